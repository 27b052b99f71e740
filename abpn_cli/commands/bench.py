"""`abpn bench`: how fast, how much memory, how exact, on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ..errors import UsageError
from . import options
from .options import STDOUT, Precision
from .output import refuse_photo, write_json, write_stdout

if TYPE_CHECKING:
    from ..benchmark.cases import Size

SCHEMA = 1
SIZES = "512,1024,2048,4096,6144x4096,8192,14204x10652"


def bench(
    sizes: Annotated[
        str, typer.Option(metavar="SIZE[,SIZE]", help="Sides of squares, or WIDTHxHEIGHT.")
    ] = SIZES,
    width: Annotated[
        float, typer.Option(help="Of random weights: 1 is the paper's network, 0.5 half as wide.")
    ] = 0.5,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights in place of random ones.", readable=False),
    ] = None,
    device: options.Device = "auto",
    precision: options.PrecisionOption = Precision.AUTO,
    repeats: Annotated[int, typer.Option(metavar="N", help="Timed runs of each case.")] = 5,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare with the untiled float32 result.")
    ] = True,
    plain: Annotated[
        bool, typer.Option("--plain/--no-plain", help="Run the plain network, too.")
    ] = True,
    end_to_end: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Time `abpn retouch` on this folder's JPEGs instead.",
            readable=False,
        ),
    ] = None,
    task: Annotated[
        str, typer.Option(metavar="NAME", help="With --end-to-end: what to retouch.")
    ] = "cloth",
    json: options.JsonFile = None,
    quiet: options.Quiet = False,
) -> None:
    """Measure speed, memory and exactness, beside the plain network and the machine's own limits.

    Example: abpn bench --sizes 2048,6144x4096 --json bench.json
    """
    from ..benchmark.cases import parse_sizes

    wanted = parse_sizes(sizes)
    options.check_range("--repeats", repeats, 1, 1000)
    if not 0 < width <= 4:
        raise UsageError(f"--width {width:g}: is out of range. Give a number above 0, up to 4.")
    if json is not None and json != STDOUT:
        refuse_photo(json)
    asked = _Asked(width, weights, device, precision, repeats, check, plain)
    show = _Voice(json != STDOUT, quiet)
    with TemporaryDirectory(prefix="abpn-bench-") as room:
        if end_to_end is None:
            report = _speed(asked, wanted, Path(room), show)
        else:
            report = _end_to_end(asked, end_to_end, task, Path(room), show)
    if json is not None:
        write_json(json, {"schema": SCHEMA, **report})


class _Asked(NamedTuple):
    """What is measured, and how."""

    width: float
    weights: Path | None
    device: str
    precision: Precision
    repeats: int
    check: bool
    plain: bool


class _Voice(NamedTuple):
    """Tables go to stdout, unless the report does; what is being done goes to stderr."""

    tables: bool
    quiet: bool

    def table(self, text: str) -> None:
        """Show figures."""
        if self.tables:
            write_stdout(text + "\n")

    def tell(self, line: str) -> None:
        """Say what is being done."""
        if not self.quiet:
            typer.echo(line, err=True)


def _speed(asked: _Asked, sizes: list[Size], room: Path, show: _Voice) -> dict[str, Any]:
    from ..benchmark import speed, tables
    from ..engine.network import choose_device, choose_precision

    device = choose_device(asked.device)
    precision = choose_precision(asked.precision.value, device)
    path = asked.weights
    if path is None:
        path = room / "random.safetensors"
        config = speed.make_weights(path, asked.width, seed=1)
    else:
        config = speed.config_of(path)
    facts = _machine(device.type, precision) | {"weights": path.name, "net": config.width}
    show.table(tables.machine_text(facts))
    plan = speed.Plan(
        path, config, str(device), precision, asked.repeats, room, asked.check, asked.plain
    )
    measured = []
    for sized in speed.measure(plan, sizes, show.tell):
        show.table(tables.speed_text(sized))
        measured.append(sized.facts())
    return {"machine": facts, "config": asdict(config), "sizes": measured}


def _end_to_end(asked: _Asked, folder: Path, task: str, room: Path, show: _Voice) -> dict[str, Any]:
    from ..benchmark import end_to_end, tables

    words = ["--device", asked.device, "--precision", asked.precision.value]
    words += ["--task", task] if asked.weights is None else ["--weights", str(asked.weights)]
    facts = _machine(asked.device, asked.precision.value)
    show.table(tables.machine_text(facts))
    figures = end_to_end.measure(folder, words, room, show.tell)
    show.table(tables.end_to_end_text(figures))
    return {"machine": facts, "end_to_end": figures.facts()}


def _machine(device: str, precision: str) -> dict[str, Any]:
    from ..benchmark.machine import describe

    return describe(device, precision)
