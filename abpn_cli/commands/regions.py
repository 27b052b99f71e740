"""`--only` and `--protect`: the user's own masks, one for all photos or a folder of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UsageError, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..photo import Job


class Region(NamedTuple):
    """A user's mask for one photo: (H, W) float32 in [0, 1], stored orientation, or none."""

    mask: NDArray[np.float32] | None
    warning: str


NOWHERE = Region(None, "")


@dataclass(frozen=True)
class Regions:
    """The masks of one option.

    option: its name; folder: shown to the user; files: the mask of each source, None where the
    folder holds none; read: reads a mask.
    """

    option: str
    folder: str
    files: Mapping[Path, Path | None]
    read: Callable[[Path], NDArray[np.float32]]

    def of(self, job: Job) -> Region:
        """Read the mask of one photo; a photo without one is told so, not refused.

        Raises:
            PhotoError: the mask cannot be read.
        """
        if job.source not in self.files:
            return NOWHERE
        file = self.files[job.source]
        if file is None:
            return Region(None, f"{self.folder} ({self.option}) holds no mask for this photo")
        return Region(self.read(file), "")


def find_regions(option: str, path: Path | None, jobs: Sequence[Job]) -> Regions:
    """Find the masks an option names, before anything starts.

    A file serves every photo and is read once; a folder matches by relative path.

    Raises:
        UsageError: no such path, two masks for one photo, or a folder without any that fits.
    """
    from functools import lru_cache

    from .. import codecs
    from ..batch.sources import find_masks

    if path is None:
        return Regions(option, "", {}, codecs.read_mask)
    if not os.access(path, os.F_OK):
        raise UsageError(f"{option} {shown(path)}: no such file or folder. Check the spelling.")
    to_do = [job for job in jobs if not job.skip]
    if not path.is_dir():
        once = lru_cache(maxsize=1)(codecs.read_mask)
        return Regions(option, "", {job.source: path for job in to_do}, once)
    masks = find_masks(path, (job.relative for job in to_do), codecs.PHOTO_SUFFIXES)
    if to_do and not any(masks):
        raise UsageError(
            f"{option} {shown(path)}: holds no mask for any of these photos. Name masks after "
            f"their photos, in the same folders: {shown(to_do[0].relative.with_suffix('.png'))}."
        )
    files = dict(zip((job.source for job in to_do), masks, strict=True))
    return Regions(option, shown(path), files, codecs.read_mask)
