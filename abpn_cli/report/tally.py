"""What a run adds up to."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..photo import Outcome


@dataclass
class Tally:
    """Counts of a run, filled as its outcomes come in.

    total: jobs planned; foreign: how many of the skipped are somebody's work; warned: photos with
    warnings; failures, undone: the outcomes that failed, and those not come to, in order.
    """

    total: int
    done: int = 0
    skipped: int = 0
    foreign: int = 0
    warned: int = 0
    failures: list[Outcome] = field(default_factory=list)
    undone: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        if outcome.status == "done":
            self.done += 1
        elif outcome.status == "skipped":
            self.skipped += 1
            self.foreign += outcome.job.foreign
        elif outcome.status == "not_done":
            self.undone.append(outcome)
        else:
            self.failures.append(outcome)
        self.warned += bool(outcome.warnings)

    @property
    def failed(self) -> int:
        """How many photos failed."""
        return len(self.failures)

    @property
    def left(self) -> int:
        """How many photos were not come to, because the run was stopped."""
        return self.total - self.done - self.skipped - self.failed
