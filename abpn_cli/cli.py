"""The app: joins the verbs; turns our errors into one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from . import __version__
from .commands import bench, evaluate, grade, info, mask, remove, retouch, train, verify, weights
from .commands.output import tell_error, write_stdout
from .errors import AbpnError

app = typer.Typer(
    name="abpn",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help answers three times as fast
    pretty_exceptions_enable=False,  # a bug shows a plain traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(retouch.retouch)
app.command()(grade.grade)
app.command()(remove.remove)
app.command()(mask.mask)
app.command()(verify.verify)
app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(info.info)
app.add_typer(weights.app, name="weights")
app.command()(bench.bench)


def _tell_version(wanted: bool) -> None:
    if wanted:
        write_stdout(f"abpn {__version__}\n")
        raise typer.Exit


@app.callback()
def abpn(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_tell_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Batch retouching of studio photos with the Adaptive Blend Pyramid Network.

    Exit codes: 0 all done or skipped, 2 wrong usage, 3 some photos failed, 4 no photo found,
    5 weights missing or damaged, 6 device not there or out of memory, 7 output cannot be
    written, 129 hang-up, 130 Ctrl-C, 143 SIGTERM.
    """


def main() -> None:
    """Run the app; turn our own errors into one line on stderr and their exit code."""
    _fill_closed_streams()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's own would come on top of ours
    try:
        app(prog_name="abpn")
    except AbpnError as error:
        tell_error(error)
        raise SystemExit(error.exit_code) from None


def _fill_closed_streams() -> None:
    """Open what the caller closed (``2>&-``), so that no photo is opened as, say, number 2.

    What is told then goes nowhere; results for a closed stdout are refused, as for a full one.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115, PTH123
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115, PTH123
