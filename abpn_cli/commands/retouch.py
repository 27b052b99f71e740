"""`abpn retouch`: photos in, retouched photos out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ..errors import UsageError
from . import options, resume, shoot
from .options import Compression, Format, JpegMode, OverwriteChoice, Precision, Prefer, RawSpace
from .output import copy_sidecars, together
from .regions import ONLY, PROTECT, Regions, find_regions, foreseen

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..batch.keeper import Keeper
    from ..batch.pipeline import Finished, Stages
    from ..batch.sources import Source
    from ..codecs import EncodeOptions
    from ..cores import Cores
    from ..engine import Engine
    from ..photo import FormatName, Job, Photo
    from .masks import Mask8
    from .regions import Mask

DEFAULT_QUALITY = 95
QUALITY_UNUSED = (
    "--quality is not used where a JPEG stays one: what was retouched takes the quality of the "
    "rest. --jpeg reencode encodes the whole."
)
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
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder for the outputs.",
            parser=options.folder,
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(metavar="NAME[,NAME]", help="What to retouch: see `abpn weights`."),
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
    keep_moles: options.KeepMoles = True,
    detail: options.Detail = False,
    format_: Annotated[
        Format,
        typer.Option(
            "--format", help="same keeps JPEG and 8-bit PNG; the rest becomes 16-bit TIFF."
        ),
    ] = Format.SAME,
    jpeg: Annotated[
        JpegMode | None,
        typer.Option(
            help="How a JPEG becomes one: by encoding only what was retouched, or the whole. "
            "[default: keep-untouched; with --upright reencode]"
        ),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(metavar="1..100", help="JPEG quality of what is encoded whole. [default: 95]"),
    ] = None,
    tiff_compression: Annotated[
        Compression, typer.Option(help="TIFF compression; all are lossless.")
    ] = Compression.DEFLATE,
    upright: Annotated[
        bool, typer.Option("--upright", help="Turn the pixels themselves upright.")
    ] = False,
    device: options.Device = "auto",
    precision: options.PrecisionOption = Precision.AUTO,
    max_memory: options.MaxMemory = "4G",
    max_pixels: options.MaxPixels = "250M",
    accept_damaged: options.AcceptDamaged = False,
    raw_space: options.RawSpaceOption = RawSpace.SRGB,
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
    options.check_range("--strength", strength, 0.0, 1.5)
    jpeg_mode = _jpeg_mode(jpeg, upright)
    if quality is not None:
        options.check_range("--quality", quality, 1, 100)
    not_read: Counter[str] = Counter()
    planned = _plan(paths, out, _Naming(format_, prefer, save_mask), not_read)
    settings = replace(settings, not_read=not_read)
    if quality is not None and jpeg_mode is JpegMode.KEEP and any(map(_stays_jpeg, planned)):
        settings = replace(settings, warnings=(QUALITY_UNUSED,))
    looks = _Looks(
        strength,
        find_regions(ONLY, only, planned),
        find_regions(PROTECT, protect, planned),
        DEFAULT_QUALITY if quality is None else quality,
        tiff_compression,
        jpeg_mode,
        upright,
    )
    choices = {**looks.choices(), "format": format_.value}
    foresee = partial(_foreseen, settings, looks)
    resumable = resume.Resumable(out, overwrite, choices, looks.inputs, foresee)
    resume.go(settings, planned, resumable, looks.stages)


def _jpeg_mode(asked: JpegMode | None, upright: bool) -> JpegMode:
    """Settle how JPEGs become JPEGs: pixels that are turned cannot keep their encoding.

    Raises:
        UsageError: both were asked for.
    """
    if upright and asked is JpegMode.KEEP:
        raise UsageError(
            "--jpeg keep-untouched and --upright contradict each other. Leave one out."
        )
    return asked or (JpegMode.REENCODE if upright else JpegMode.KEEP)


def _stays_jpeg(job: Job) -> bool:
    from .. import codecs

    return job.format == "jpeg" and codecs.sniff(job.source) == "jpeg"


def _foreseen(settings: shoot.Settings, looks: _Looks, jobs: list[Job]) -> list[Job]:
    """Add to the jobs of a dry run what their masks will come to."""
    masks = looks.only, looks.protect
    if not any(region.files for region in masks):
        return jobs
    with shoot.make_pool(settings, 0) as pool:  # nothing is decoded
        return foreseen(jobs, masks, pool.probe)


class _Naming(NamedTuple):
    """What the plan depends on."""

    format: Format
    prefer: Prefer | None
    save_mask: bool


def _plan(paths: list[Path], out: Path, asked: _Naming, not_read: Counter[str]) -> list[Job]:
    """Settle every job, writing nothing; not_read: counts, by kind, pictures that are passed by.

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

    found = find_sources(paths, codecs.sniff, codecs.PHOTO_SUFFIXES, not_read)
    refuse_out(paths, out)
    sources = settle_twins(
        without_masks(found, is_own_mask), asked.prefer.value if asked.prefer else None
    )
    naming = Naming(out, codecs.PHOTO_SUFFIXES, format_of, keep_mask=asked.save_mask)
    planned = make_jobs(sources, naming)
    check_out(out)
    return planned


class _Product(NamedTuple):
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
    jpeg: JpegMode
    upright: bool

    def choices(self) -> dict[str, str | int | float | bool]:
        """Return what can change an output, as the journal keeps it; masks go by their content."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in ("only", "protect")
        }

    def inputs(self, job: Job) -> dict[str, Path | None]:
        """Name the files that are read for a job besides its photo, by role."""
        sidecars: dict[str, Path | None] = {
            f"sidecar {read.name}": read for read, _ in job.sidecars
        }
        return {**self.only.of(job), **self.protect.of(job), **sidecars}

    def stages(self, place: resume.Workplace) -> Stages[_Product]:
        """Join the rooms: how a photo is decoded, retouched, and encoded."""
        from ..batch.pipeline import Stages
        from ..codecs import EncodeOptions, grey_of
        from ..photo import Provenance

        retoucher, pool, keeper, cores = place
        made = keeper.run
        encode_options = EncodeOptions(
            self.quality,
            self.tiff_compression.value,
            self.jpeg.value,
            provenance=Provenance(made.version, made.task or "", made.weights, self.strength),
            keeping_bytes=retoucher.spare_bytes,
        )
        return Stages(
            cost=lambda job: shoot.bytes_in_hand(job, pool.probe, self.jpeg is JpegMode.KEEP),
            decode=lambda job: pool.decode(job.source),
            retouch=self._work(retoucher, lambda path: grey_of(pool.decode_whole(path))),
            encode=lambda job, product: _encode(
                job, product, _Writing(encode_options, self.upright, keeper, cores)
            ),
        )

    def _work(
        self, retoucher: Engine, read_mask: Callable[[Path], Mask]
    ) -> Callable[[Job, Photo], Finished[_Product]]:
        from ..batch.pipeline import Finished
        from ..codecs import make_upright
        from .masks import kept_mask

        only_of, protect_of = self.only.reader(read_mask), self.protect.reader(read_mask)

        def work(job: Job, photo: Photo) -> Finished[_Product]:
            only, protect = only_of(job), protect_of(job)
            mask = None
            if job.mask is not None:
                mask = kept_mask(retoucher.gate(photo), photo.metadata.orientation, self.upright)
            done, edit = retoucher.overwritten(photo, self.strength, only.mask, protect.mask)
            if self.upright:
                done = make_upright(done)
            told = tuple(filter(None, (only.warning, protect.warning)))
            return Finished(_Product(done, mask), edit, done.warnings + told)

        return work


class _Writing(NamedTuple):
    """How, and with what, outputs are written."""

    options: EncodeOptions
    upright: bool
    keeper: Keeper
    cores: Cores


def _encode(job: Job, product: _Product, how: _Writing) -> tuple[str, ...]:
    """Write a photo and what goes with it; the photo last, so that it stands for all of them."""
    from .. import codecs
    from ..batch.plan import written_by

    photo, ready = product.photo, (delivery := how.keeper.delivery(job)).ready
    with together(written_by(job)[1:]):
        if job.mask is not None and product.mask is not None:
            orientation = photo.metadata.orientation
            codecs.write_mask(product.mask, job.mask, orientation, ready(job.mask))
        copy_sidecars(job, codecs.upright_sidecar if how.upright else bytes, ready)
        with how.cores.more(codecs.useful_threads(job.format)) as threads:
            choices = replace(how.options, threads=threads)
            left_out = codecs.encode(photo, job.target, job.format, choices, ready(job.target))
    delivery.done(photo.digest)
    return left_out
