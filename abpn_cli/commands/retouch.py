"""`abpn retouch`: photos in, retouched photos out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from . import options, shoot
from .options import Compression, Format, OverwriteChoice, Precision, Prefer
from .output import copy_sidecars, together
from .regions import ONLY, PROTECT, Regions, find_regions

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..batch.pipeline import Finished, Stages
    from ..batch.sources import Source
    from ..codecs import DecodePool, EncodeOptions
    from ..engine import Retoucher
    from ..photo import FormatName, Job, Photo
    from .masks import Mask8
    from .regions import Mask

NAMES: dict[Format, FormatName | None] = {
    Format.SAME: None,  # by source
    Format.JPEG: "jpeg",
    Format.PNG: "png",
    Format.TIFF: "tiff",
}


def retouch(
    paths: options.Photos,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Folder for the outputs.", readable=False),
    ],
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to retouch: see `abpn weights`.")
    ] = None,
    weights: options.Weights = None,
    strength: Annotated[
        float, typer.Option(help="0 leaves the photo as it is, 1 is as trained, 1.5 the most.")
    ] = 1.0,
    only: Annotated[
        Path | None,
        typer.Option(
            metavar="MASK",
            help="Retouch only where this file, or folder, is white.",
            readable=False,
        ),
    ] = None,
    protect: Annotated[
        Path | None,
        typer.Option(
            metavar="MASK",
            help="Leave alone where this file, or folder, is white.",
            readable=False,
        ),
    ] = None,
    detail: options.Detail = False,
    format_: Annotated[
        Format,
        typer.Option(
            "--format", help="same keeps JPEG and 8-bit PNG; the rest becomes 16-bit TIFF."
        ),
    ] = Format.SAME,
    quality: Annotated[int, typer.Option(help="JPEG quality, 1..100.")] = 95,
    tiff_compression: Annotated[
        Compression, typer.Option(help="TIFF compression; all are lossless.")
    ] = Compression.DEFLATE,
    upright: Annotated[
        bool, typer.Option("--upright", help="Turn the pixels themselves upright.")
    ] = False,
    device: options.Device = "auto",
    precision: options.PrecisionOption = Precision.AUTO,
    max_memory: options.MaxMemory = "4G",
    jobs: options.JobsOption = None,
    save_mask: Annotated[
        bool, typer.Option("--save-mask", help="Keep each mask as NAME_mask.png beside its output.")
    ] = False,
    prefer: Annotated[Prefer | None, typer.Option(help="Which of a RAW+JPEG pair to do.")] = None,
    dry_run: options.DryRun = False,
    overwrite: options.OverwriteOption = OverwriteChoice.CHANGED,
    json: options.JsonFile = None,
    ndjson: options.Ndjson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Retouch photos and folders of photos; the sources are never changed.

    Example: abpn retouch shoot --out done --task cloth
    """
    settings = shoot.Settings(
        verb="retouch",
        task=task,
        weights=weights,
        device=device,
        precision=precision,
        detail=detail,
        max_memory=max_memory,
        jobs=jobs,
        dry_run=dry_run,
        json=json,
        ndjson=ndjson,
        quiet=quiet,
        verbose=verbose,
    )
    options.check_range("--strength", strength, 0.0, 1.5)
    options.check_range("--quality", quality, 1, 100)
    planned = _plan(paths, out, _Naming(format_, prefer, overwrite, save_mask))
    looks = _Looks(
        strength,
        find_regions(ONLY, only, planned),
        find_regions(PROTECT, protect, planned),
        quality,
        tiff_compression,
        upright,
    )
    shoot.go(settings, planned, looks.stages)


class _Naming(NamedTuple):
    """What the plan depends on."""

    format: Format
    prefer: Prefer | None
    overwrite: OverwriteChoice
    save_mask: bool


def _plan(paths: list[Path], out: Path, asked: _Naming) -> list[Job]:
    """Settle every job, writing nothing.

    Raises:
        UsageError, NoPhotoError, TargetError: the run cannot be meant, or cannot be written.
    """
    from .. import codecs
    from ..batch.plan import (
        Naming,
        check_out,
        make_jobs,
        refuse_out,
        same_format,
        settle_twins,
    )
    from ..batch.sources import find_sources, without_masks
    from .masks import is_own_mask, known_bits

    def format_of(source: Source) -> FormatName:
        return NAMES[asked.format] or same_format(source, known_bits)

    found = find_sources(paths, codecs.sniff, codecs.PHOTO_SUFFIXES)
    refuse_out(paths, out)
    sources = settle_twins(
        without_masks(found, is_own_mask), asked.prefer.value if asked.prefer else None
    )
    naming = Naming(
        out, codecs.PHOTO_SUFFIXES, format_of, keep_mask=asked.save_mask, is_ours=codecs.is_ours
    )
    planned = make_jobs(sources, naming, asked.overwrite.value)
    check_out(out)
    return planned


class _Delivery(NamedTuple):
    """What is written of one photo; mask: (H, W) uint8, or None where it is not kept."""

    photo: Photo
    mask: Mask8 | None


@dataclass(frozen=True)
class _Looks:
    """How the photos shall look."""

    strength: float
    only: Regions
    protect: Regions
    quality: int
    tiff_compression: Compression
    upright: bool

    def stages(self, retoucher: Retoucher, pool: DecodePool) -> Stages[_Delivery]:
        """Join the rooms: how a photo is decoded, retouched, and encoded."""
        from ..batch.pipeline import Stages
        from ..codecs import EncodeOptions, grey_of

        encode_options = EncodeOptions(self.quality, self.tiff_compression.value)
        return Stages(
            cost=shoot.bytes_in_hand,
            decode=lambda job: pool.decode(job.source),
            retouch=self._work(retoucher, lambda path: grey_of(pool.decode(path))),
            encode=lambda job, delivery: _encode(job, delivery, encode_options, self.upright),
        )

    def _work(
        self, retoucher: Retoucher, read_mask: Callable[[Path], Mask]
    ) -> Callable[[Job, Photo], Finished[_Delivery]]:
        from ..batch.pipeline import Finished
        from ..codecs import make_upright
        from .masks import kept_mask

        only_of, protect_of = self.only.reader(read_mask), self.protect.reader(read_mask)

        def work(job: Job, photo: Photo) -> Finished[_Delivery]:
            only, protect = only_of(job), protect_of(job)
            done, edit = retoucher.retouch(photo, self.strength, only.mask, protect.mask)
            mask = None
            if job.mask is not None:
                mask = kept_mask(retoucher.gate(photo), photo.metadata.orientation, self.upright)
            if self.upright:
                done = make_upright(done)
            told = tuple(filter(None, (only.warning, protect.warning)))
            return Finished(_Delivery(done, mask), edit, done.warnings + told)

        return work


def _encode(
    job: Job, delivery: _Delivery, encode_options: EncodeOptions, upright: bool
) -> tuple[str, ...]:
    """Write a photo and what goes with it; the photo last, so that it stands for all of them."""
    from .. import codecs

    companions = [written for _, written in job.sidecars]
    if job.mask is not None:
        companions.append(job.mask)
    with together(companions):
        if job.mask is not None and delivery.mask is not None:
            codecs.write_mask(delivery.mask, job.mask, delivery.photo.metadata.orientation)
        copy_sidecars(job, codecs.upright_sidecar if upright else bytes)
        return codecs.encode(delivery.photo, job.target, job.format, encode_options)
