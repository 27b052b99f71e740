"""What the verbs that deliver photos share: which jobs there are, how outputs are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UsageError
from . import options, shoot
from .options import Compression, Format, JpegMode, Prefer
from .output import copy_sidecars, together
from .regions import Regions, foreseen
from .shoot import Maker

if TYPE_CHECKING:
    from ..batch.keeper import Keeper
    from ..batch.sources import Source
    from ..codecs import EncodeOptions
    from ..cores import Cores
    from ..photo import FormatName, Job, Photo
    from .masks import Mask8
    from .resume import Workplace
    from .shoot import Maker

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


class Naming(NamedTuple):
    """What the plan depends on."""

    format: Format
    prefer: Prefer | None
    save_mask: bool = False


def planned(
    settings: shoot.Settings,
    paths: list[Path],
    out: Path,
    asked: Naming,
    writing: Writing,
    quality: int | None,
) -> tuple[shoot.Settings, list[Job]]:
    """Settle every job, writing nothing; the settings come back with what is to be told of them.

    quality: of `--quality`, None where it is not given.

    Raises:
        UsageError, NoPhotoError, TargetError: as `_plan`.
    """
    not_read: Counter[str] = Counter()
    jobs = _plan(paths, out, asked, not_read)
    told = _unused(quality, writing, jobs)
    return replace(settings, not_read=not_read, warnings=told), jobs


def _plan(paths: list[Path], out: Path, asked: Naming, not_read: Counter[str]) -> list[Job]:
    """Settle every job, writing nothing; not_read: counts, by kind, pictures that are passed by.

    Raises:
        UsageError, NoPhotoError, TargetError: the run cannot be meant, or cannot be written.
    """
    from .. import codecs
    from ..batch import plan as room
    from ..batch.sources import find_sources, without_masks
    from .masks import is_own_mask, known_bits

    def format_of(source: Source) -> FormatName:
        return NAMES[asked.format] or room.same_format(source, known_bits)

    found = find_sources(paths, codecs.sniff, codecs.PHOTO_SUFFIXES, not_read)
    room.refuse_out(paths, out)
    sources = room.settle_twins(
        without_masks(found, is_own_mask), asked.prefer.value if asked.prefer else None
    )
    naming = room.Naming(out, codecs.PHOTO_SUFFIXES, format_of, keep_mask=asked.save_mask)
    jobs = room.make_jobs(sources, naming)
    room.check_out(out)
    return jobs


def foresee(settings: shoot.Settings, masks: Sequence[Regions]) -> Callable[[list[Job]], list[Job]]:
    """Make what adds to the jobs of a dry run what their masks will come to."""

    def with_words(jobs: list[Job]) -> list[Job]:
        if not any(region.files for region in masks):
            return jobs
        with shoot.make_pool(settings, 0) as pool:  # nothing is decoded
            return foreseen(jobs, masks, pool.probe)

    return with_words


@dataclass(frozen=True)
class Writing:
    """How outputs are written; all of it can change them."""

    quality: int
    tiff_compression: Compression
    jpeg: JpegMode
    upright: bool

    def choices(self) -> dict[str, str | int | float | bool]:
        """Return the choices as the journal keeps them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def cost(self, job: Job, place: Workplace[Maker]) -> int:
        """Estimate what a photo holds from decoding to encoding, in bytes.

        Raises:
            PhotoError: its header cannot be read.
        """
        return shoot.bytes_in_hand(job, place.pool.probe, self.jpeg is JpegMode.KEEP)

    def writer(self, place: Workplace[Maker], strength: float | None) -> Writer:
        """Make what writes the outputs of a run; strength: as an XMP history shall name it."""
        from ..codecs import EncodeOptions
        from ..photo import Provenance

        made = place.keeper.run
        encode_options = EncodeOptions(
            self.quality,
            self.tiff_compression.value,
            self.jpeg.value,
            provenance=Provenance(
                made.version,
                made.task or "",
                made.weights,
                strength,
                made.settings.get("style", ""),
            ),
            keeping_bytes=place.engine.spare_bytes,
        )
        return Writer(encode_options, self.upright, place.keeper, place.cores)


def writing_of(
    jpeg: JpegMode | None, upright: bool, quality: int | None, tiff_compression: Compression
) -> Writing:
    """Settle how outputs are written; jpeg and quality: None where they are not given.

    Raises:
        UsageError: they contradict each other, or the quality is out of range.
    """
    mode = _jpeg_mode(jpeg, upright)
    if quality is not None:
        options.check_range("--quality", quality, 1, 100)
    return Writing(DEFAULT_QUALITY if quality is None else quality, tiff_compression, mode, upright)


def _unused(quality: int | None, writing: Writing, jobs: Sequence[Job]) -> tuple[str, ...]:
    """Return a warning where `--quality` is given and changes nothing for some photo."""
    keeps = quality is not None and writing.jpeg is JpegMode.KEEP
    return (QUALITY_UNUSED,) if keeps and any(map(_stays_jpeg, jobs)) else ()


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


def inputs_of(job: Job, masks: Sequence[Regions] = ()) -> dict[str, Path | None]:
    """Name the files that are read for a job besides its photo, by role."""
    roles: dict[str, Path | None] = {}
    for region in masks:
        roles |= region.of(job)
    return roles | {f"sidecar {read.name}": read for read, _ in job.sidecars}


class Product(NamedTuple):
    """What is written of one photo; mask: (H, W) uint8, or None where it is not kept."""

    photo: Photo
    mask: Mask8 | None = None


class Writer(NamedTuple):
    """How, and with what, outputs are written."""

    options: EncodeOptions
    upright: bool
    keeper: Keeper
    cores: Cores

    def write(self, job: Job, product: Product) -> tuple[str, ...]:
        """Write a photo and what goes with it; the photo last, so that it stands for all of them.

        Returns what the format could not hold, one sentence each.

        Raises:
            PhotoError: a sidecar cannot be read.
            TargetError: something cannot be written.
        """
        from .. import codecs
        from ..batch.plan import written_by

        photo, ready = product.photo, (delivery := self.keeper.delivery(job)).ready
        with together(written_by(job)[1:]):
            if job.mask is not None and product.mask is not None:
                orientation = photo.metadata.orientation
                codecs.write_mask(product.mask, job.mask, orientation, ready(job.mask))
            copy_sidecars(job, codecs.upright_sidecar if self.upright else bytes, ready)
            with self.cores.more(codecs.useful_threads(job.format)) as threads:
                choices = replace(self.options, threads=threads)
                left_out = codecs.encode(photo, job.target, job.format, choices, ready(job.target))
        delivery.done(photo.digest)
        return left_out
