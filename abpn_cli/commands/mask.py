"""`abpn mask`: where a photo would be retouched, as a picture."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from . import options, shoot, stamped
from .options import OverwriteChoice, Precision, RawSpace

if TYPE_CHECKING:
    from ..batch.pipeline import Finished, Stages
    from ..codecs import DecodePool
    from ..engine import Engine
    from ..photo import Job, Photo
    from .masks import Mask8

DEFAULT_TASK = "cloth"


def mask(
    photos: options.Photos,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder for the masks. [default: beside]",
            parser=options.folder,
        ),
    ] = None,
    binary: Annotated[
        bool, typer.Option("--binary", help="White wherever anything is retouched, else black.")
    ] = False,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="A JPEG of the photo with the mask in red.")
    ] = False,
    task: Annotated[
        str | None,
        typer.Option(metavar="NAME[,NAME]", help="See `abpn weights`. [default: cloth]"),
    ] = None,
    weights: options.Weights = None,
    keep_moles: options.KeepMoles = True,
    detail: options.Detail = False,
    device: options.Device = "auto",
    precision: options.PrecisionOption = Precision.AUTO,
    max_memory: options.MaxMemory = "4G",
    max_pixels: options.MaxPixels = "250M",
    accept_damaged: options.AcceptDamaged = False,
    raw_space: options.RawSpaceOption = RawSpace.SRGB,
    jobs: options.JobsOption = None,
    dry_run: options.DryRun = False,
    overwrite: options.OverwriteOption = OverwriteChoice.CHANGED,
    json: options.JsonFile = None,
    ndjson: options.Ndjson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write NAME_mask.png for each photo: white where it would be retouched, black elsewhere.

    A mask is kept where photo, weights and options are those that it was made with, as the file
    itself says, and made anew where they are not. One that was painted over, or that does not come
    from abpn and is no older than its photo, is somebody's work: it is kept and told, and replaced
    with --overwrite always alone.

    Example: abpn mask shoot --out masks
    """
    settings = shoot.Settings(
        verb="mask",
        task=DEFAULT_TASK if task is None and weights is None else task,
        weights=weights,
        keep_moles=keep_moles,
        device=device,
        precision=precision,
        detail=detail,
        max_memory=max_memory,
        max_pixels=max_pixels,
        accept_damaged=accept_damaged,
        raw_space=raw_space,
        jobs=jobs,
        dry_run=dry_run,
        json=json,
        ndjson=ndjson,
        quiet=quiet,
        verbose=verbose,
    )
    from ..batch.keeper import keep_swept

    not_read: Counter[str] = Counter()
    planned = _plan(photos, out, overlay, not_read)
    settings = replace(settings, not_read=not_read)
    held = nullcontext() if out is None else keep_swept(out)
    wish = _Wish(binary, overlay, detail)
    choices = {"binary": binary, "overlay": overlay}
    stamped.go(settings, planned, stamped.Asked(overwrite, choices, held), wish.stages)


def _plan(paths: list[Path], out: Path | None, overlay: bool, not_read: Counter[str]) -> list[Job]:
    """Settle every job, writing nothing; not_read: counts, by kind, pictures that are passed by.

    Raises:
        UsageError, NoPhotoError, TargetError: the run cannot be meant, or cannot be written.
    """
    from .. import codecs
    from ..batch.plan import Naming, check_out, make_jobs, refuse_out
    from ..batch.sources import MASK_ENDING, find_sources, without_masks
    from .masks import is_own_mask

    found = find_sources(paths, codecs.sniff, codecs.PHOTO_SUFFIXES, not_read)
    sources = without_masks(found, is_own_mask)
    if out is not None:
        refuse_out(paths, out)
        check_out(out)
    naming = Naming(
        out,
        codecs.PHOTO_SUFFIXES,
        lambda source: "jpeg" if overlay else "png",
        ending=MASK_ENDING,
    )
    return make_jobs(sources, naming)


class _Picture(NamedTuple):
    """What is written of one photo: its mask, or the photo with the mask painted on it.

    source: the hash of the photo's file.
    """

    mask: Mask8
    orientation: int
    photo: Photo | None
    source: str


@dataclass(frozen=True)
class _Wish:
    """Which picture of the mask is wanted."""

    binary: bool
    overlay: bool
    detail: bool

    def stages(self, retoucher: Engine, pool: DecodePool, made: str) -> Stages[_Picture]:
        """Join the rooms: how a photo is decoded, looked at, and its mask written and stamped."""
        from ..batch.pipeline import Stages

        return Stages(
            cost=lambda job: shoot.bytes_in_hand(job, pool.probe),
            decode=lambda job: pool.decode(job.source),
            retouch=lambda job, photo: self._find(retoucher, photo),
            encode=lambda job, picture: _write(job, picture, made),
        )

    def _find(self, retoucher: Engine, photo: Photo) -> Finished[_Picture]:
        from ..batch.pipeline import Finished
        from ..engine.outlook import outlook
        from ..photo import Edit
        from .masks import binary_mask, mask_8bit

        gate = retoucher.gate(photo)
        found = binary_mask(gate) if self.binary else mask_8bit(gate)
        share = float((found > 0).mean())
        height, width = found.shape
        levels = outlook((height, width), self.detail).levels
        edit = Edit(share, None, levels, str(retoucher.device))
        painted_on = photo if self.overlay else None
        picture = _Picture(found, photo.metadata.orientation, painted_on, photo.digest)
        return Finished(picture, edit, photo.warnings)


def _write(job: Job, picture: _Picture, made: str) -> tuple[str, ...]:
    from .. import codecs

    stamp = codecs.Stamp(picture.source, made)
    if picture.photo is None:
        codecs.write_mask(picture.mask, job.target, picture.orientation, stamp=stamp)
    else:
        codecs.write_overlay(picture.photo, picture.mask, job.target, stamp)
    return ()
