"""The story told to people, on stderr: a bar and a line per photo, plain lines without a terminal.

Nothing here lets rich read markup: a photo may be called ``[bold]x.jpg``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import IntEnum

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ..photo import Job, Notice, Outcome
from .lines import one_line, photo_line, plan_line, plural, summary_lines, warning_line
from .tally import Tally


class Loudness(IntEnum):
    """How much is told: errors only, a line per photo, or every detail."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


class _Rate(ProgressColumn):
    """Photos per second since the start."""

    def render(self, task: Task) -> Text:
        """Return the rate, or a dash before the first photo."""
        elapsed = task.elapsed or 0.0
        if not task.completed or elapsed <= 0:
            return Text("- photos/s")
        return Text(f"{task.completed / elapsed:.2f} photos/s")


class _Stderr(Console):
    """stderr as rich sees it; a reader that went away is an OSError like any other."""

    def on_broken_pipe(self) -> None:
        """Raise on, where rich would end the program."""
        raise  # the BrokenPipeError that rich handles when it calls this


class Teller:
    """Tells one run. Only the thread that made it may call it.

    A stderr that cannot be written (its reader gone, its disk full) is told no more; the run,
    which is for the photos, goes on.
    """

    def __init__(self, loudness: Loudness) -> None:
        self.loudness = loudness
        # stderr decides, not FORCE_COLOR: a bar in a log file is noise
        self.live = loudness > Loudness.QUIET and sys.stderr.isatty()
        self.console = _Stderr(stderr=True, markup=False, highlight=False, emoji=False)
        self.bar: Progress | None = None

    @contextmanager
    def progress(self, total: int) -> Iterator[None]:
        """Show a bar of `total` photos inside the block, on a terminal; skips shorten it."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TextColumn("ETA", markup=False),
            TimeRemainingColumn(),
        )
        bar = Progress(*columns, console=self.console, transient=True)
        shown: AbstractContextManager[object] = bar if self.live and total else nullcontext()
        with shown:
            if self.live and total:
                bar.add_task("photos", total=total)
                self.bar = bar
            try:
                yield
            finally:
                self.bar = None

    def photo(self, outcome: Outcome) -> None:
        """Tell how one photo went, and move the bar."""
        self._say(photo_line(outcome), _needed(outcome), style=_STYLES[outcome.status])
        self._warn(outcome.job, outcome.warnings)
        if self.bar is None:
            return
        (task,) = self.bar.tasks
        if outcome.status == "skipped":  # there is less to do than it seemed
            self.bar.update(task.id, total=(task.total or 1) - 1)
        else:
            self.bar.advance(task.id)

    def detail(self, line: str) -> None:
        """Tell what only `-v` asks for."""
        self._say(line, Loudness.VERBOSE)

    def note(self, line: str) -> None:
        """Tell what concerns the run as a whole."""
        self._say(one_line(line), Loudness.NORMAL, style="yellow")

    def plan(self, jobs: Sequence[Job]) -> None:
        """Tell what would be done; nothing is."""
        for job in jobs:
            if job.fault:
                self._say(plan_line(job), Loudness.QUIET, style=_STYLES["failed"])
            else:
                self._say(plan_line(job), Loudness.NORMAL)
            self._warn(job, job.warnings)
        skipped = sum(bool(job.skip) for job in jobs)
        failing = sum(bool(job.fault) for job in jobs)
        to_do = len(jobs) - skipped - failing
        fails = f", {failing} would fail" if failing else ""
        self._say(
            f"{plural(to_do, 'photo')} to do, {skipped} skipped{fails}; "
            "nothing was written (--dry-run)",
            Loudness.NORMAL,
        )

    def summary(self, tally: Tally, seconds: float) -> None:
        """Tell what the run adds up to."""
        for line in summary_lines(tally, seconds):
            self._say(line, Loudness.NORMAL)
        if tally.skipped and not tally.done and not tally.failed:
            self._say("nothing to do (--overwrite always does them again)", Loudness.NORMAL)
        if tally.warned and self.loudness == Loudness.NORMAL:
            self._say(f"{plural(tally.warned, 'photo')} with warnings: see -v", Loudness.NORMAL)

    def _warn(self, job: Job, warnings: Sequence[str]) -> None:
        """Tell warnings of a photo, those that nobody should have to ask for always."""
        for warning in warnings:
            needed = Loudness.NORMAL if isinstance(warning, Notice) else Loudness.VERBOSE
            self._say(warning_line(job, warning), needed, style="yellow")

    def _say(self, line: str, needed: Loudness, style: str = "") -> None:
        """Print one line, never wrapped, above the bar where there is one."""
        if self.loudness < needed:
            return
        try:
            self.console.print(Text(line, style=style), soft_wrap=True)
        except OSError:
            # what could not be written must not come up again, here or when Python closes it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


_STYLES = {"done": "", "skipped": "dim", "failed": "red", "not_done": "dim"}


def _needed(outcome: Outcome) -> Loudness:
    """Failures are always told; plain skips, which may be thousands, only to who wants detail."""
    if outcome.status == "failed":
        return Loudness.QUIET
    quiet_skip = outcome.status == "skipped" and not outcome.warnings
    return Loudness.VERBOSE if quiet_skip else Loudness.NORMAL
