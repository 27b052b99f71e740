"""Which masks need finding: pictures of `abpn mask` against what they say of themselves.

No journal knows them, as they may lie beside the photos. Each carries a stamp: the hash of the
photo that it was found on, the digest of weights and options that found it, and the hash of its own
picture. What is found in a mask's place is

- *missing*, or *broken*: no whole picture, so nobody's work is lost with it: found anew;
- *ours*: stamped, and the picture is as it was: kept where photo, weights and options are those of
  this run, else found anew;
- *foreign*: stamped, and changed since, or without a stamp and no older than its photo: somebody's
  work. It is kept, and told.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import shown
from ..files import content_of
from ..photo import Job
from .resume import CHANGED, EXISTS, UP_TO_DATE

STRANGE = "a picture without abpn's stamp is in its place"


class Seen(NamedTuple):
    """A picture in a mask's place.

    whole:   whether it is a picture, not cut short.
    source, made: what its stamp says, "" where it has none.
    changed: whether it is another picture than that which was stamped.
    """

    whole: bool
    source: str = ""
    made: str = ""
    changed: bool = False


class Stamps:
    """Settles jobs, one by one, from any thread.

    look:  reads the picture in a mask's place; made_of: reads of its stamp, quickly, with what it
           was made, "" where it has none. Both may raise OSError.
    alike: the digests that a mask of this run may bear.
    """

    def __init__(
        self,
        overwrite: Literal["never", "changed", "always"],
        look: Callable[[Path], Seen],
        made_of: Callable[[Path], str],
        alike: Collection[str],
    ) -> None:
        self._overwrite = overwrite
        self._look = look
        self._made_of = made_of
        self._alike = alike

    def is_due(self, job: Job) -> bool:
        """Whether a job is to be done, as far as that shows without reading pictures."""
        if self._overwrite == "always" or not os.path.lexists(job.target):
            return True
        if self._overwrite == "never":
            return False
        try:
            if not job.target.is_file():
                return False
            made = self._made_of(job.target)
            return made not in self._alike if made else _is_older(job)
        except OSError:
            return False

    def settle(self, job: Job) -> Job:
        """Add to a job whether there is something to do."""
        if self._overwrite == "always" or not os.path.lexists(job.target):
            return job
        if self._overwrite == "never":
            return replace(job, skip=EXISTS)
        try:
            kind = job.target.stat().st_mode
            if stat.S_ISDIR(kind):
                return job  # writing will say that it is in the way
            if not stat.S_ISREG(kind):
                return _kept(job, STRANGE)
            return self._compared(job, self._look(job.target))
        except FileNotFoundError:  # a link that leads nowhere
            return job
        except OSError:  # it is somebody's, and may not be read
            return _kept(job, STRANGE)

    def _compared(self, job: Job, seen: Seen) -> Job:
        if not seen.whole:
            return job
        if seen.changed:
            return _kept(job, CHANGED)
        if not seen.made:
            return job if _is_older(job) else _kept(job, STRANGE)
        if seen.made in self._alike and seen.source == _hash_of(job.source):
            return replace(job, skip=UP_TO_DATE)
        return job


def _kept(job: Job, reason: str) -> Job:
    told = f"{shown(job.target)} is kept: --overwrite always replaces it"
    return replace(job, skip=reason, foreign=True, warnings=(*job.warnings, told))


def _is_older(job: Job) -> bool:
    """Whether the picture in a mask's place is older than the photo. Raises OSError."""
    try:
        photo = job.source.stat().st_mtime_ns
    except OSError:  # decoding will say so
        return True
    return job.target.stat().st_mtime_ns < photo


def _hash_of(path: Path) -> str:
    """Return a photo's hash, "" where it cannot be read: that is told when it is decoded."""
    try:
        return content_of(path).sha256
    except OSError:
        return ""
