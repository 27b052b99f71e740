r"""The story told to scripts: NDJSON events as they happen, or one JSON document at the end.

Schema 1. Every event has `schema` and `event`:

- ``plan``: first; ``verb``, ``version``, ``task``, ``style`` (of `abpn grade`, null elsewhere),
  ``weights``, ``device``, ``dry_run``, ``photos``
  (how many), ``to_do``, ``skipped`` (known now: outputs are compared with what they were made from
  as the run goes, so that it may skip more), ``warnings`` (of the run as a whole), ``not_read``
  (pictures that are passed by: how many of each kind that abpn does not read, as
  ``{"webp": 2}``). The device is the one asked for, which may be ``auto``, in a dry run and where
  it seems that there is nothing to do.
- ``photo``: one per job, in order: ``source``, ``output``, ``status`` (done, skipped, failed;
  not_done, after all others, where the run was stopped before it came to the photo, or, at once,
  before it had told of it; in a dry run planned, or failed where its mask cannot fit),
  ``format``, ``seconds`` (decode, retouch, encode), ``megapixels``, ``mask_fraction``,
  ``changed_fraction``, ``damped_fraction`` (of the photo, where the edit was taken back lest it
  leave a ghost along an outline), ``levels``, ``device``,
  ``precision`` (of the refining convolutions), ``faces`` (how many were found, 0
  included; null where no task looks for them), ``moles_kept``, ``method`` (what
  filled the place of what was removed: ``patchmatch`` or ``hifill``), ``windows`` (how many were
  filled), ``reason`` (of a skip), ``foreign``
  (skipped because the output is somebody's work), ``error``, ``warnings``. What is not known is
  null.
- ``summary``: last: ``done``, ``skipped``, ``foreign`` (of the skipped), ``failed``, ``not_done``,
  ``seconds``, ``exit_code``, ``error`` (what stopped the run, or null).

The document is ``{"schema": 1, "plan": …, "photos": […], "summary": …}`` of the same events.
Text is ASCII-escaped; bytes of a name that are not UTF-8 stand as ``\xNN``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import shown
from ..photo import Job, Outcome
from .tally import Tally

SCHEMA = 1

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Setup:
    """What a run works with: told once, first."""

    verb: str
    version: str
    task: str | None
    weights: str | None
    device: str
    dry_run: bool = False
    warnings: tuple[str, ...] = ()
    not_read: Mapping[str, int] = field(default_factory=dict)
    style: str | None = None


def plan_event(setup: Setup, jobs: int, skipped: int) -> Event:
    """Tell what the run is about to do."""
    counts = {"photos": jobs, "to_do": jobs - skipped, "skipped": skipped}
    return {"schema": SCHEMA, "event": "plan", **asdict(setup), **counts}


def photo_event(outcome: Outcome) -> Event:
    """Tell how one photo went."""
    edit = outcome.edit
    return {
        **planned_event(outcome.job),
        "status": outcome.status,
        "seconds": asdict(outcome.seconds) if outcome.megapixels else None,
        "megapixels": outcome.megapixels or None,
        "mask_fraction": edit.mask_fraction if edit else None,
        "changed_fraction": edit.changed_fraction if edit else None,
        "damped_fraction": edit.damped_fraction if edit else None,
        "levels": edit.levels if edit else None,
        "device": edit.device if edit else None,
        "precision": edit.precision or None if edit else None,
        "faces": edit.faces if edit else None,
        "moles_kept": edit.moles_kept if edit else None,
        "method": edit.method or None if edit else None,
        "windows": edit.windows if edit else None,
        "error": outcome.error or None,
        "warnings": list(outcome.warnings or outcome.job.warnings),
    }


def planned_event(job: Job) -> Event:
    """Tell what would be done with one photo, in the same shape."""
    return {
        "schema": SCHEMA,
        "event": "photo",
        "source": shown(job.source),
        "output": shown(job.target),
        "status": "skipped" if job.skip else "failed" if job.fault else "planned",
        "format": job.format,
        "seconds": None,
        "megapixels": None,
        "mask_fraction": None,
        "changed_fraction": None,
        "damped_fraction": None,
        "levels": None,
        "device": None,
        "precision": None,
        "faces": None,
        "moles_kept": None,
        "method": None,
        "windows": None,
        "reason": job.skip or None,
        "foreign": job.foreign,
        "error": job.fault or None,
        "warnings": list(job.warnings),
    }


def summary_event(tally: Tally, seconds: float, exit_code: int, error: str) -> Event:
    """Tell what the run adds up to."""
    return {
        "schema": SCHEMA,
        "event": "summary",
        "done": tally.done,
        "skipped": tally.skipped,
        "foreign": tally.foreign,
        "failed": tally.failed,
        "not_done": tally.left,
        "seconds": seconds,
        "exit_code": exit_code,
        "error": error or None,
    }


class Events:
    """Passes events on as they happen, and keeps them where a document is wanted.

    line:     takes each event as one line of JSON, or None.
    document: takes the finished document, or None.
    """

    def __init__(
        self, line: Callable[[str], None] | None, document: Callable[[str], None] | None
    ) -> None:
        self._line = line
        self._document = document
        self._kept: list[Event] = []

    def tell(self, event: Event) -> None:
        """Pass one event on."""
        if self._line is not None:
            self._line(json.dumps(event) + "\n")
        if self._document is not None:
            self._kept.append(event)

    def close(self) -> None:
        """Hand over the document; call once, after the summary."""
        if self._document is not None:
            self._document(json.dumps(as_document(self._kept), indent=2) + "\n")


def as_document(events: list[Event]) -> Event:
    """Put the events of a run into one document."""
    by_kind: dict[str, list[Event]] = {"plan": [], "photo": [], "summary": []}
    for event in events:
        by_kind[event["event"]].append(
            {key: value for key, value in event.items() if key not in ("schema", "event")}
        )
    return {
        "schema": SCHEMA,
        "plan": next(iter(by_kind["plan"]), None),
        "photos": by_kind["photo"],
        "summary": next(iter(by_kind["summary"]), None),
    }
