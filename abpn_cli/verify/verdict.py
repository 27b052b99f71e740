"""What is said of a delivered photo: one check each of what was promised, and their sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CheckName = Literal[
    "journal",
    "file",
    "whole",
    "hash",
    "companions",
    "source",
    "format",
    "size",
    "depth",
    "profile",
    "tags",
    "pixels",
]
State = Literal["ok", "off", "changed", "unchecked"]
Sum = Literal["ok", "changed", "missing", "damaged", "wrong", "failed"]

_SUM_OF_OFF: dict[CheckName, Sum] = {"file": "missing", "whole": "damaged"}


@dataclass(frozen=True)
class Check:
    """How one promise was found: kept, broken, changed by somebody since, or not looked at.

    words: why, where it is not plainly kept; no trailing period.
    """

    name: CheckName
    state: State
    words: str = ""


@dataclass(frozen=True)
class Verdict:
    """All that is said of one photo.

    output: its path inside the output folder; source: as the journal names it.
    sum:    "ok"; "changed" by somebody since it was delivered; "missing"; "damaged"; "wrong" where
            any other promise is broken; "failed" where the last run could not do it.
    """

    output: str
    source: str
    sum: Sum
    checks: tuple[Check, ...]

    @property
    def faults(self) -> list[Check]:
        """What is not as it was delivered."""
        return [check for check in self.checks if check.state in ("off", "changed")]

    @property
    def unchecked(self) -> list[Check]:
        """What was not looked at."""
        return [check for check in self.checks if check.state == "unchecked"]


def summed_up(output: str, source: str, checks: list[Check]) -> Verdict:
    """Make a verdict of checks: the first that is off decides, in the order in which they stand."""
    sums = [_SUM_OF_OFF.get(check.name, "wrong") for check in checks if check.state == "off"]
    if not sums and any(check.state == "changed" for check in checks):
        sums = ["changed"]
    return Verdict(output, source, sums[0] if sums else "ok", tuple(checks))
