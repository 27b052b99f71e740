"""Which photos need doing: outputs on the disk against the journal, content by content.

Sizes and times prove nothing, so files are hashed, each output once a run. An output is

- *missing*, or *broken*: it does not decode whole, and nobody's work is lost with it: done again;
- *ours*: the journal knows its content: kept where it was made from this source, these weights,
  these settings, and its companions are there; else done again;
- *foreign*: whole, and not as any run left it, or none did: somebody's work. It is kept, and told.
  So is what was made from another photo that is still there: two shoots, one name.

Sidecars and masks beside an output are judged by themselves: a foreign one is kept while its photo
is done.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

from ..errors import shown
from ..files import content_of
from ..photo import Job
from .journal import Ledger, Record, Run
from .plan import written_by

UP_TO_DATE = "the output is up to date"
EXISTS = "the output exists"
CHANGED = "the output was changed after abpn wrote it"
STRANGE = "a file that the journal does not know is in its place"
RIVAL = "the output of another photo is in its place"


class State(Enum):
    """What is found under an output's name."""

    MISSING = "missing"
    BROKEN = "broken"
    OURS = "ours"
    FOREIGN = "foreign"


class Found(NamedTuple):
    """A file under an output's name; its hash is "" where it is missing or not readable."""

    state: State
    sha256: str = ""


@dataclass(frozen=True)
class Reading:
    """What a photo depends on besides its own file.

    inputs: names other files that are read for a job, by role ("only", "sidecar a.xmp"); None
            where the user named a folder that holds none for it.
    whole:  whether a photo file is not damaged; may take as long as decoding it.
    runs:   what an output may have been made with to be what this run would make.
    """

    inputs: Callable[[Job], Mapping[str, Path | None]]
    whole: Callable[[Path], bool]
    runs: Sequence[Run]


class Resume:
    """Settles jobs, one by one, from any thread."""

    def __init__(
        self,
        out: Path,
        overwrite: Literal["never", "changed", "always"],
        ledger: Ledger,
        reading: Reading,
    ) -> None:
        self._out = out
        self._overwrite = overwrite
        self._ledger = ledger
        self._reading = reading
        self._hashes: dict[Path, str] = {}  # of inputs: one may serve every photo
        self._lock = Lock()

    def is_due(self, job: Job) -> bool:
        """Whether a job is to be done, as far as that shows without reading a file."""
        if self._overwrite == "always" or not os.path.lexists(job.target):
            return True
        record = self._ledger.done.get(self._name(job.target))
        if self._overwrite == "never" or record is None:
            return False
        complete = all(map(os.path.lexists, written_by(job)))
        return not complete or not self._made_alike(record)

    def settle(self, job: Job) -> Job:
        """Add to a job whether there is something to do, and what it is made from."""
        if self._overwrite == "never" and os.path.lexists(job.target):
            return replace(job, skip=EXISTS)
        with self._lock:  # an input is hashed before anyone reads it
            inputs = tuple(
                (role, self._hash_of_input(path))
                for role, path in sorted(self._reading.inputs(job).items())
            )
        job = replace(job, inputs=inputs)
        if self._overwrite == "always":
            return job
        if self._overwrite == "never":
            return self._spared(job)
        return self._compared(job)

    def _spared(self, job: Job) -> Job:
        """Take out of a job the companions that exist."""
        sidecars = tuple(pair for pair in job.sidecars if not os.path.lexists(pair[1]))
        mask = job.mask if job.mask and not os.path.lexists(job.mask) else None
        return replace(job, sidecars=sidecars, mask=mask)

    def _compared(self, job: Job) -> Job:
        """Settle a job by what is in its place and how that came about."""
        output = self._look(job.target, self._reading.whole)
        record = self._ledger.done.get(self._name(job.target))
        if output.state is State.FOREIGN:
            reason = STRANGE if record is None else CHANGED
            told = f"{shown(job.target)} is kept: --overwrite always replaces it"
            return replace(job, skip=reason, foreign=True, warnings=(*job.warnings, told))
        job, complete = self._companions(job, record)
        if record is None or output.sha256 != record.output_sha256:
            return job
        if complete and self._still_true(job, record):
            return replace(job, skip=UP_TO_DATE)
        if _is_another(job.source, record):
            told = (
                f"{shown(job.target)} was made from {shown(record.source)} and is kept: another "
                "--out keeps both, --overwrite always replaces it"
            )
            return replace(job, skip=RIVAL, foreign=True, warnings=(*job.warnings, told))
        return job

    def _companions(self, job: Job, record: Record | None) -> tuple[Job, bool]:
        """Take foreign companions out of a job; tell whether the others are as recorded."""
        recorded = record.companions if record is not None else {}
        complete = True
        kept: list[Path] = []
        for path in (*filter(None, [job.mask]), *(written for _, written in job.sidecars)):
            whole = self._reading.whole if path == job.mask else _holds_anything
            found = self._look(path, whole)
            if found.state is State.FOREIGN:
                kept.append(path)
            elif found.sha256 != recorded.get(self._name(path)):
                complete = False
        told = tuple(
            f"{shown(path)} is not as abpn left it and is kept: --overwrite always replaces it"
            for path in kept
        )
        return replace(
            job,
            mask=None if job.mask in kept else job.mask,
            sidecars=tuple(pair for pair in job.sidecars if pair[1] not in kept),
            warnings=job.warnings + told,
        ), complete

    def _still_true(self, job: Job, record: Record) -> bool:
        """Whether an output would come out the same: cheap questions first, the source last."""
        return (
            self._made_alike(record)
            and dict(record.inputs) == dict(job.inputs)
            and record.sha256 == _hash_of(job.source)
        )

    def _made_alike(self, record: Record) -> bool:
        made = (record.weights, record.settings)
        return made in [(run.weights, run.settings_digest) for run in self._reading.runs]

    def _look(self, path: Path, whole: Callable[[Path], bool]) -> Found:
        try:
            kind = path.stat().st_mode
            if stat.S_ISDIR(kind):
                return Found(State.MISSING)  # writing will say that it is in the way
            if not stat.S_ISREG(kind):
                return Found(State.FOREIGN)
            sha256 = content_of(path).sha256
        except (FileNotFoundError, NotADirectoryError):
            return Found(State.MISSING)
        except OSError:  # it is somebody's, and may not be read
            return Found(State.FOREIGN)
        if self._ledger.is_ours(self._name(path), sha256):
            return Found(State.OURS, sha256)
        return Found(State.FOREIGN if whole(path) else State.BROKEN, sha256)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._out).as_posix()

    def _hash_of_input(self, path: Path | None) -> str:
        if path is None:
            return ""
        if path not in self._hashes:
            self._hashes[path] = _hash_of(path)
        return self._hashes[path]


def _is_another(source: Path, record: Record) -> bool:
    """Whether a record is about another photo than this, one that is still there.

    A shoot that was moved, or is worked on in a copy that comes and goes, is the same shoot.
    """
    try:
        if source.samefile(record.source):
            return False
    except (OSError, ValueError):  # one of the two has gone; or a journal's text is no path
        return False
    return record.sha256 != _hash_of(source)


def _hash_of(path: Path) -> str:
    """Return a file's hash, "" where it cannot be read: that is told when it is decoded."""
    try:
        return content_of(path).sha256
    except OSError:
        return ""


def _holds_anything(path: Path) -> bool:
    """Whether a sidecar is more than what a lost disk cache leaves: nothing, or zeros."""
    return any(path.read_bytes()[:4096])
