"""`--only` and `--protect`: the user's own masks, one for all photos or a folder of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import PhotoError, UsageError, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..codecs import Header
    from ..photo import Job

    Mask = NDArray[np.float32]

ONLY, PROTECT = "--only", "--protect"


class Region(NamedTuple):
    """A user's mask for one photo: (H, W) float32 in [0, 1], upright by its own tag, or none."""

    mask: Mask | None
    warning: str


NOWHERE = Region(None, "")


@dataclass(frozen=True)
class Regions:
    """The masks of one option.

    option: its name; files: the mask of each source, None where the folder holds none; shared:
    whether one mask serves them all.
    """

    option: str
    files: Mapping[Path, Path | None]
    shared: bool = False

    def of(self, job: Job) -> dict[str, Path | None]:
        """Return the mask of a job by the option's name; empty where the option is not given."""
        role = self.option.removeprefix("--")
        return {role: self.files[job.source]} if job.source in self.files else {}

    def reader(self, read: Callable[[Path], Mask]) -> Callable[[Job], Region]:
        """Make the function that gives each job its mask; one that all share is read once.

        The function raises PhotoError where a mask cannot be read, and where `--only` has none
        for the photo: what the user did not mark must not be touched.
        """
        read = lru_cache(maxsize=1)(read) if self.shared else read

        def of(job: Job) -> Region:
            if job.source not in self.files:
                return NOWHERE
            file = self.files[job.source]
            return Region(None, self._missing(job)) if file is None else Region(read(file), "")

        return of

    def notice(self, job: Job, probe: Callable[[Path], Header]) -> str:
        """Return what the user will be told of a job's mask, "" for nothing; by headers alone.

        Raises:
            PhotoError: as `reader`, or the mask has another shape than the photo.
        """
        from ..photo import DRAW_ANEW, Notice, mask_fit, upright_size

        if job.source not in self.files:
            return ""
        file = self.files[job.source]
        if file is None:
            return self._missing(job)
        photo, mask = probe(job.source), probe(file)
        seen = upright_size(mask.size, mask.orientation)
        fit = mask_fit(seen, photo.size, photo.orientation, self.option)
        if fit.fault:
            raise PhotoError(job.source, fit.fault, DRAW_ANEW)
        return Notice(fit.notice)

    def _missing(self, job: Job) -> str:
        """Return the warning of a photo without a mask. Raises PhotoError where it takes one."""
        from ..photo import Notice

        if self.option == ONLY:
            raise PhotoError(
                job.source,
                f"the {ONLY} folder holds no mask for it",
                f"Put {shown(job.relative.with_suffix('.png'))} there, white where to retouch.",
            )
        return Notice(f"the {self.option} folder holds no mask for this photo")


class Bound(NamedTuple):
    """Where one photo may be changed, as the user has it: what `Engine.retouch` takes.

    told: what the user is to know of its masks, one sentence each.
    """

    only: Mask | None
    protect: Mask | None
    told: tuple[str, ...]


class Bounds(NamedTuple):
    """Where photos may be changed: the masks of `--only` and of `--protect`."""

    only: Regions
    protect: Regions

    def reader(self, read: Callable[[Path], Mask]) -> Callable[[Job], Bound]:
        """Make the function that gives each job its masks; raises as `Regions.reader` has it."""
        only_of, protect_of = self.only.reader(read), self.protect.reader(read)

        def of(job: Job) -> Bound:
            only, protect = only_of(job), protect_of(job)
            told = tuple(filter(None, (only.warning, protect.warning)))
            return Bound(only.mask, protect.mask, told)

        return of


def find_bounds(only: Path | None, protect: Path | None, jobs: Sequence[Job]) -> Bounds:
    """Find the masks of both options, before anything starts.

    Raises:
        UsageError: as `find_regions`.
    """
    return Bounds(find_regions(ONLY, only, jobs), find_regions(PROTECT, protect, jobs))


def foreseen(
    jobs: Iterable[Job], regions: Sequence[Regions], probe: Callable[[Path], Header]
) -> list[Job]:
    """Add to the jobs what a run will tell of their masks; probe: reads a photo's header."""
    return [job if job.skip else _foreseen(job, regions, probe) for job in jobs]


def _foreseen(job: Job, regions: Sequence[Regions], probe: Callable[[Path], Header]) -> Job:
    try:
        told = [region.notice(job, probe) for region in regions]
    except PhotoError as error:
        return replace(job, fault=str(error))
    return replace(job, warnings=(*job.warnings, *filter(None, told)))


def find_regions(option: str, path: Path | None, jobs: Sequence[Job]) -> Regions:
    """Find the masks an option names, before anything starts.

    A file serves every photo and is read once; a folder matches by relative path.

    Raises:
        UsageError: no such path, two masks for one photo, a folder without any that fits, or a mask
            that an output would take the place of.
    """
    from ..batch.plan import refuse_overwritten_masks

    found = _find(option, path, jobs)
    masks = {file for file in found.files.values() if file is not None}
    refuse_overwritten_masks(jobs, masks, option)
    return found


def _find(option: str, path: Path | None, jobs: Sequence[Job]) -> Regions:
    """Do what `find_regions` does, whatever is written later."""
    from .. import codecs
    from ..batch.sources import find_masks

    if path is None:
        return Regions(option, {})
    if not os.access(path, os.F_OK):
        raise UsageError(f"{option} {shown(path)}: no such file or folder. Check the spelling.")
    to_do = [job for job in jobs if not job.skip]
    if not path.is_dir():
        return Regions(option, {job.source: path for job in to_do}, shared=True)
    masks = find_masks(path, (job.relative for job in to_do), codecs.PHOTO_SUFFIXES)
    if to_do and not any(masks):
        raise UsageError(
            f"{option} {shown(path)}: holds no mask for any of these photos. Name masks after "
            f"their photos, in the same folders: {shown(to_do[0].relative.with_suffix('.png'))}."
        )
    files = dict(zip((job.source for job in to_do), masks, strict=True))
    return Regions(option, files)
