"""What a run made its outputs with, read from its journal: untrusted, so every type is checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..batch.journal import Ledger, Record, Run
from ..photo import Provenance


@dataclass(frozen=True)
class Made:
    """How an output was made, as far as checking it needs to know.

    jpeg: "keep-untouched" or "reencode"; device: "cpu" or "cuda"; weights: their file's SHA-256,
    "" where there were none; verb: the command that made it.
    """

    provenance: Provenance
    weights: str
    upright: bool
    jpeg: str
    detail: bool
    raw_space: Literal["srgb", "prophoto"]
    device: str
    precision: str
    keep_moles: bool = True
    verb: str = "retouch"


def made_with(ledger: Ledger, record: Record) -> Made | None:
    """Find the run that delivered a photo; None where the journal has lost its line."""
    for run in reversed(ledger.runs):
        if run.weights == record.weights and run.settings_digest == record.settings:
            return _made(run)
    return None


def _made(run: Run) -> Made:
    said = run.settings
    strength = said.get("strength")
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    return Made(
        Provenance(
            run.version,
            run.task or "",
            run.weights,
            strength if number else None,
            style if isinstance(style := said.get("style"), str) else "",
        ),
        run.weights,
        upright=said.get("upright") is True,
        jpeg=str(said.get("jpeg")),
        detail=said.get("detail") is True,
        raw_space="prophoto" if said.get("raw_space") == "prophoto" else "srgb",
        device=str(said.get("device")),
        precision=str(said.get("precision")),
        keep_moles=said.get("keep_moles") is not False,
        verb=run.verb,
    )
