"""`abpn verify`: what was delivered, checked against its journal and its sources.

`--json` gives one document, schema 1: ``out``; ``photos``, by output name: ``output``, ``source``,
``verdict`` (ok; changed since delivery; missing, damaged, wrong; failed: no run could do it) and
``checks`` (``name``; ``state``: ok, off, changed, unchecked; ``words`` or null); ``leftovers``,
half-written by killed runs; ``unfinished``, whole but in no photo line; ``earlier``, masks and
sidecars of runs before the last; ``strangers``, which no run wrote; ``warnings`` about the journal;
``summary``, how many of each, and ``exit_code``.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import PhotoError, TargetError, UsageError, shown
from . import options
from .evidence import Decoders, Gates
from .output import write_json, write_stdout

if TYPE_CHECKING:
    from ..batch.journal import Record
    from ..verify import Report, Verdict

SCHEMA = 1
IN_HAND_SHARE = 2  # one part in two of --max-memory for photos in hand, the rest for the network
KINDS = ("ok", "changed", "missing", "damaged", "wrong", "failed")


def verify(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="Folder that `abpn retouch --out` wrote to.",
            readable=False,
            parser=options.folder,
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the sources lie now, if they were moved.",
            readable=False,
        ),
    ] = None,
    outputs_only: Annotated[
        bool, typer.Option("--outputs-only", help="Look at no source: files and hashes alone.")
    ] = False,
    accept_changed: Annotated[
        bool,
        typer.Option(
            "--accept-changed", help="What was changed since, and is whole, is all right."
        ),
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The weights used, to find the masks again. [default: those of the task]",
            readable=False,
        ),
    ] = None,
    max_memory: options.MaxMemory = "4G",
    max_pixels: options.MaxPixels = "250M",
    jobs: options.JobsOption = None,
    json: options.JsonFile = None,
    quiet: options.Quiet = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell photos that are all right, too.")
    ] = False,
) -> None:
    """Check what was delivered: whole, unchanged, and true to its source. Writes nothing there.

    Exit codes: 0 all right, 2 no journal, 3 something is off, 7 a run is writing there.

    Example: abpn verify done
    """
    options.check_voices(quiet, verbose, json, ndjson=False)
    limit = options.memory_bytes(max_memory)
    if outputs_only and source is not None:
        raise UsageError("--outputs-only and --source contradict each other. Leave one out.")
    if source is not None:
        options.check_folder("--source", source)
    pixels, workers = options.pixel_count(max_pixels), options.worker_count(jobs)
    wish = _Wish(out, source, outputs_only, weights, limit, pixels, workers)
    _check_report(json, out)
    with _held(out):
        report = _look(wish, told=not quiet)
    code = PhotoError.exit_code if report.is_off(accept_changed) else 0
    if json is not None:
        write_json(json, _document(report, out, code))
    if json != options.STDOUT and not quiet:
        write_stdout(_text(report, verbose))
    if code:
        raise typer.Exit(code)


def _check_report(json: Path | None, out: Path) -> None:
    """Refuse a report inside the folder that is looked at.

    Raises:
        UsageError: it would be written there.
    """
    if json is None or json == options.STDOUT:
        return
    if json.resolve().is_relative_to(out.resolve()):
        raise UsageError(
            f"--json {shown(json)}: lies in the folder that is checked, which is not written to. "
            "Name a file elsewhere."
        )


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Keep runs out of a folder while it is looked at; several may look.

    Raises:
        UsageError: there is no journal.
        TargetError: a run is writing there.
    """
    from ..batch.journal import journal_path, open_journal

    path = journal_path(out)
    try:
        file = open_journal(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{shown(out)}: holds no journal of abpn's. Name the folder that --out named."
        ) from error
    except OSError as error:
        fault = f"it cannot be read ({error.strerror})"
        raise TargetError(path, fault, "Give yourself permission, or check the disk.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TargetError(
                path, "a run is writing into this folder", "Wait until it has ended."
            ) from error
        except OSError:  # a disk that knows no locks: whoever looks sees to it alone
            pass
        yield


@dataclass(frozen=True)
class _Wish:
    """What was asked for; sizes in bytes and pixels."""

    out: Path
    source: Path | None
    outputs_only: bool
    weights: Path | None
    max_bytes: int
    max_pixels: int
    workers: int

    def source_of(self, record: Record) -> Path | None:
        """Say where a source lies; None: it is not to be looked at."""
        if self.outputs_only:
            return None
        return Path(record.source) if self.source is None else self.source / record.relative


def _look(wish: _Wish, told: bool) -> Report:
    """Look at everything; told: with a bar, where there is a terminal."""
    from ..batch.journal import read_journal
    from ..report.verdicts import bar
    from ..verify import Means, Report, survey, verdicts

    ledger = read_journal(wish.out)
    workers = max(1, min(wish.workers, len(ledger.latest)))
    with ExitStack() as stack:
        decoders = Decoders(stack, workers, wish.max_pixels)
        means = Means(
            source_of=wish.source_of,
            decode_source=decoders.source,
            decode_whole=decoders.whole,
            gate=Gates(wish.weights, wish.max_bytes).of,
            room=decoders.room(wish.max_bytes // IN_HAND_SHARE),
        )
        step = stack.enter_context(bar(len(ledger.latest), told))
        found = []
        for verdict in verdicts(wish.out, ledger, means, workers):
            found.append(verdict)
            step()
    return Report(tuple(found), survey(wish.out, ledger), tuple(ledger.warnings))


def _document(report: Report, out: Path, code: int) -> dict[str, Any]:
    """Write a report for programs."""
    files = report.survey
    return {
        "schema": SCHEMA,
        "out": shown(out),
        "photos": [_facts(verdict) for verdict in report.verdicts],
        "leftovers": [shown(name) for name in files.leftovers],
        "unfinished": [shown(name) for name in files.unfinished],
        "earlier": [shown(name) for name in files.earlier],
        "strangers": [shown(name) for name in files.strangers],
        "warnings": list(report.warnings),
        "summary": {
            "photos": len(report.verdicts),
            **{kind: report.counts[kind] for kind in KINDS},
            "leftovers": len(files.leftovers) + len(files.unfinished),
            "earlier": len(files.earlier),
            "strangers": len(files.strangers),
            "exit_code": code,
        },
    }


def _facts(verdict: Verdict) -> dict[str, Any]:
    return {
        "output": shown(verdict.output),
        "source": shown(verdict.source),
        "verdict": verdict.sum,
        "checks": [
            {"name": check.name, "state": check.state, "words": check.words or None}
            for check in verdict.checks
        ],
    }


def _text(report: Report, verbose: bool) -> str:
    """Write a report for people."""
    from ..report.lines import one_line, plural
    from ..report.verdicts import Row, table

    rows = [
        Row(shown(verdict.output), verdict.sum, "; ".join(c.words for c in verdict.faults))
        for verdict in report.verdicts
        if verbose or verdict.sum != "ok"
    ]
    for words, names in (
        ("left half-written by a run that was killed: run again", report.survey.leftovers),
        ("written by a run that was killed: run again", report.survey.unfinished),
    ):
        rows += [Row(shown(name), "leftover", words) for name in names]
    counts = ", ".join(f"{count} {name}" for name, count in sorted(report.counts.items()))
    lines = [f"{plural(len(report.verdicts), 'photo')}: {counts or 'nothing was delivered'}"]
    for words, count in Counter(
        f"{check.name}: {check.words}" for v in report.verdicts for check in v.unchecked
    ).most_common():
        lines.append(f"not checked of {plural(count, 'photo')}: {words}")
    for names, words in (
        (report.survey.earlier, "that an earlier run left beside its photos"),
        (report.survey.strangers, "that no run wrote"),
    ):
        if not names:
            continue
        lines.append(f"{plural(len(names), 'file')} {words}:")
        lines += [f"  {shown(name)}" for name in names if verbose]
        if not verbose:
            lines[-1] = lines[-1].removesuffix(":") + " (-v names them)"
    lines += [f"warning: {warning}" for warning in report.warnings]
    text = table(rows)
    return text + "\n" * bool(text) + "".join(one_line(line) + "\n" for line in lines)
