"""What was delivered, checked against the journal and the sources; nothing is written.

Every photo that the journal calls done gets a verdict: whether its file is there and whole, as it
was delivered, and what it owes to its source. Files in the folder that no photo accounts for are
told apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..batch.journal import Ledger, Record
from .delivered import Inspector, Means, NotHereError
from .made import Made
from .room import Room
from .survey import Survey, survey
from .verdict import Check, Verdict

__all__ = [
    "Check",
    "Made",
    "Means",
    "NotHereError",
    "Report",
    "Room",
    "Survey",
    "Verdict",
    "survey",
    "verdicts",
]


@dataclass(frozen=True)
class Report:
    """All that was found in an output folder.

    verdicts: in the order of the outputs' names; warnings: what is odd about the journal.
    """

    verdicts: tuple[Verdict, ...]
    survey: Survey
    warnings: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[str]:
        """How many photos have each verdict."""
        return Counter(verdict.sum for verdict in self.verdicts)

    def is_off(self, accept_changed: bool) -> bool:
        """Tell whether anything is not as it should be.

        accept_changed: what somebody changed since it was delivered, and left whole, is meant so.
        """
        fine = {"ok", "changed"} if accept_changed else {"ok"}
        killed = self.survey.leftovers or self.survey.unfinished
        return bool(killed) or any(verdict.sum not in fine for verdict in self.verdicts)


def verdicts(out: Path, ledger: Ledger, means: Means, workers: int) -> Iterator[Verdict]:
    """Look at every photo of a journal, several at a time; yield verdicts by output name."""
    inspector = Inspector(out, ledger, means)
    crew = ThreadPoolExecutor(workers)
    try:
        jobs = [
            crew.submit(_verdict, inspector.inspect, ledger, name) for name in sorted(ledger.latest)
        ]
        for job in jobs:
            yield job.result()
    finally:
        crew.shutdown(wait=False, cancel_futures=True)


def _verdict(inspect: Callable[[Record], Verdict], ledger: Ledger, name: str) -> Verdict:
    record = ledger.done.get(name)
    if record is not None:
        return inspect(record)
    failed = ledger.latest[name]
    return Verdict(name, failed.source, "failed", (Check("journal", "off", failed.error),))
