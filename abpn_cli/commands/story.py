"""A run as it is told, to people and to scripts alike: plan, photos, summary, however it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from time import perf_counter
from typing import TYPE_CHECKING

import typer

from .. import __version__
from ..errors import AbpnError, TargetError, shown
from .options import STDOUT
from .output import write_stdout, write_text

if TYPE_CHECKING:
    from ..photo import Job, Outcome
    from ..report.console import Teller
    from ..report.events import Events
    from .shoot import Settings

LAST_WORDS_SECONDS = 1.0  # for readers of the reports, when the run is stopped at once


class Story:
    """Tells one run.

    weights: the file of each task; warnings: what is to be known of the run as a whole, one
    sentence each.
    """

    def __init__(
        self,
        settings: Settings,
        weights: Mapping[str, Path],
        jobs: Sequence[Job],
        warnings: tuple[str, ...] = (),
    ) -> None:
        from ..report.tally import Tally

        self.teller = make_teller(settings.quiet, settings.verbose)
        self.events = make_events(settings.json, settings.ndjson)
        self.settings = settings
        self.weights = ", ".join(map(shown, weights.values()))
        self.jobs = jobs
        self.warnings = settings.warnings + warnings
        self.skipped = sum(bool(job.skip) for job in jobs)
        self.tally = Tally(len(jobs))
        self._left = {job.target: job for job in jobs}  # no two jobs have one target
        self._start = perf_counter()
        self._lock = Lock()  # around every word: the last ones may come from another thread
        self._ended = False

    def tell_plan(self) -> None:
        """Tell what the run would do (`--dry-run`).

        Raises:
            typer.Exit: with the exit code of photos that failed, where some are known to fail.
        """
        from ..photo import Outcome
        from ..report.events import planned_event, summary_event
        from ..report.tally import Tally

        self._begin(self.settings.device)
        for job in self.jobs:
            self.events.tell(planned_event(job))
        self.teller.plan(self.jobs)
        self._tell_not_read()
        foreign = sum(job.foreign for job in self.jobs)
        failing = [Outcome(job, "failed", error=job.fault) for job in self.jobs if job.fault]
        tally = Tally(len(self.jobs), skipped=self.skipped, foreign=foreign, failures=failing)
        code = _exit_code(tally.failed, None)
        self.events.tell(summary_event(tally, 0.0, code, ""))
        self.events.close()
        if code:
            raise typer.Exit(code)

    def tell_run(
        self, outcomes: Callable[[Callable[[], bool]], Iterator[Outcome]], device: str
    ) -> None:
        """Go through the outcomes and tell each, from the plan to the summary.

        Raises:
            typer.Exit: with the run's exit code, where it is not 0.
            AbpnError: what stopped the run, after the summary.
        """
        from ..batch.stop import stop_on_signals

        self._start = perf_counter()
        fatal: AbpnError | None = None
        with stop_on_signals(self._leave) as stop:
            try:
                with self._lock:
                    self._begin(device)
                    self._tell_not_read()
                with self.teller.progress(len(self.jobs)):
                    for outcome in outcomes(stop.asked):
                        self._tell_outcome(outcome)
            except AbpnError as error:
                fatal = error
            code = stop.exit_code or _exit_code(self.tally.failed, fatal)
            self._tell_end(code, fatal)
        if fatal is not None and not stop.asked():
            raise fatal
        if code:
            raise typer.Exit(code)

    def _tell_outcome(self, outcome: Outcome) -> None:
        from ..report.events import photo_event

        with self._lock:
            if self._ended:  # the process is about to end
                return
            del self._left[outcome.job.target]
            self.tally.add(outcome)
            self.teller.photo(outcome)
            self.events.tell(photo_event(outcome))

    def _tell_end(self, code: int, fatal: AbpnError | None) -> None:
        """Tell what the run did not come to, and what it adds up to."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            undone = self._undone()
            self.teller.summary(self.tally, self._seconds())
            self._end_events(undone, code, str(fatal) if fatal else "")

    def _leave(self, code: int) -> None:
        """End the process now; the reports are brought to their end, where they are read."""
        from ..batch.stop import leave_at_once

        last_words = Thread(target=self._tell_stop, args=(code,), daemon=True)
        last_words.start()
        last_words.join(LAST_WORDS_SECONDS)
        leave_at_once(code)

    def _tell_stop(self, code: int) -> None:
        """Tell, while the other threads are still at work, that the run is stopped at once."""
        from ..files import discard_unfinished

        with self._lock:
            if self._ended:
                return
            self._ended = True
            discard_unfinished()  # what is being written must not come about after these words
            with suppress(TargetError):  # nobody reads them; the exit code still says it
                self._end_events(self._undone(), code, "")
            self.teller.summary(self.tally, self._seconds())  # last: its reader may be the one

    def _undone(self) -> list[Outcome]:
        """Count what has no outcome as not done."""
        from ..photo import Outcome

        undone = [Outcome(job, "not_done") for job in self._left.values()]
        for outcome in undone:
            self.tally.add(outcome)
        return undone

    def _end_events(self, undone: list[Outcome], code: int, error: str) -> None:
        from ..report.events import photo_event, summary_event

        for outcome in undone:
            self.events.tell(photo_event(outcome))
        self.events.tell(summary_event(self.tally, self._seconds(), code, error))
        self.events.close()

    def _seconds(self) -> float:
        return perf_counter() - self._start

    def _begin(self, device: str) -> None:
        from ..report.events import Setup, plan_event

        setup = Setup(
            self.settings.verb,
            __version__,
            self.settings.task,
            self.weights,
            device,
            self.settings.dry_run,
            self.warnings,
            dict(self.settings.not_read),
            self.settings.style,
        )
        self.events.tell(plan_event(setup, len(self.jobs), self.skipped))
        for warning in self.warnings:
            self.teller.note(warning)
        self.teller.detail(f"weights {self.weights}, device {device}")

    def _tell_not_read(self) -> None:
        """Tell of pictures that are passed by."""
        from ..batch.sources import not_read_words

        if self.settings.not_read:
            self.teller.note(not_read_words(self.settings.not_read))


def all_skipped(jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Yield the outcomes of a run that has nothing to do: no network, no decoder is started."""
    from ..photo import Outcome

    return (Outcome(job, "skipped", warnings=job.warnings) for job in jobs)


def _exit_code(failed: int, fatal: AbpnError | None) -> int:
    if fatal is not None:
        return fatal.exit_code
    return 3 if failed else 0


def make_teller(quiet: bool, verbose: bool) -> Teller:
    """Connect `-q` and `-v` to the console."""
    from ..report.console import Loudness, Teller

    if quiet:
        return Teller(Loudness.QUIET)
    return Teller(Loudness.VERBOSE if verbose else Loudness.NORMAL)


def make_events(json: Path | None, ndjson: bool) -> Events:
    """Connect `--json` and `--ndjson` to where reports go."""
    from ..report.events import Events

    line = write_stdout if ndjson else None
    if json is None:
        return Events(line, None)
    if json == STDOUT:
        return Events(line, write_stdout)
    return Events(line, lambda text: write_text(json, text))
