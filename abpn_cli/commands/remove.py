"""`abpn remove`: photos in, the same photos out without what a mask marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ..errors import UsageError, WeightsError, shown
from . import delivery, options, resume, shoot
from .delivery import Product
from .late import torch_coming
from .made import hash_of_weights
from .options import Compression, Format, OverwriteChoice, RawSpace
from .regions import Regions, find_regions

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..batch.pipeline import Finished, Stages
    from ..cores import Cores
    from ..engine.removing import Remover
    from ..photo import Job, Photo
    from .regions import Mask

MASK = "--mask"
DEFAULT_FEATHER = 4
MOST_FEATHER = 64
COPIES_LIBRARY = "PyPatchMatch"  # what fills holes where no weights are named


class WindowChoice(StrEnum):
    """What is looked at: what surrounds each hole, or the whole photo at once."""

    AUTO = "auto"
    FULL = "full"


class Disc(NamedTuple):
    """What `--points` names: pixels of the upright photo."""

    x: float
    y: float
    radius: float


def remove(
    paths: options.Photos,
    out: options.Out,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="MASK",
            help="What goes: this file is white there, or the file of the photo's name in this "
            "folder; a photo that has none there is skipped.",
            readable=False,
        ),
    ] = None,
    points: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,R",
            help="A disc that goes, in pixels of the upright photo; may be given again.",
        ),
    ] = None,
    feather: Annotated[
        int, typer.Option(metavar="PX", help="How softly a filling goes over into the photo.")
    ] = DEFAULT_FEATHER,
    window: Annotated[
        WindowChoice, typer.Option(help="Fill from what surrounds a hole, or the whole photo.")
    ] = WindowChoice.AUTO,
    force: Annotated[
        bool, typer.Option("--force", help="Fill holes that are too large for their surroundings.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Weights of a HiFill network, a file or a name that `abpn weights` lists. "
            "[default: none: copies of the surroundings, by PatchMatch]",
            readable=False,
        ),
    ] = None,
    format_: options.FormatOption = Format.SAME,
    jpeg: options.JpegOption = None,
    quality: options.Quality = None,
    tiff_compression: options.TiffCompression = Compression.DEFLATE,
    upright: options.Upright = False,
    device: options.Device = "auto",
    max_memory: options.MaxMemory = "4G",
    max_pixels: options.MaxPixels = "250M",
    accept_damaged: options.AcceptDamaged = False,
    raw_space: options.RawSpaceOption = RawSpace.SRGB,
    jobs: options.JobsOption = None,
    save_mask: Annotated[
        bool,
        typer.Option(
            "--save-mask", help="Keep what was filled as NAME_mask.png beside its output."
        ),
    ] = False,
    prefer: options.PreferOption = None,
    dry_run: options.DryRun = False,
    overwrite: options.OverwriteOption = OverwriteChoice.CHANGED,
    json: options.JsonFile = None,
    ndjson: options.Ndjson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Remove things from photos: what a mask marks is filled from what surrounds it.

    Example: abpn remove portrait.jpg --mask sticker.png --out done
    """
    settings = shoot.Settings(
        verb="remove",
        weights=None if weights is None else file_of(weights),
        device=device,
        precision=options.Precision.FLOAT32,
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
    discs = tuple(map(disc, points or []))
    if mask is None and not discs:
        raise UsageError("--mask is missing. Name a mask, white where something goes, or --points.")
    if weights is None and device not in ("auto", "cpu"):
        raise UsageError(f"--device {device}: without --weights holes are filled on the CPU.")
    options.check_range("--feather", feather, 0, MOST_FEATHER)
    writing = delivery.writing_of(jpeg, upright, quality, tiff_compression)
    naming = delivery.Naming(format_, prefer, save_mask)
    settings, planned = delivery.planned(settings, paths, out, naming, writing, quality)
    masks = find_regions(MASK, mask, planned)
    if not discs:
        planned = without_masks_skipped(planned, masks)
    wish = _Removal(discs, feather, window, force, masks, writing)
    resumable = resume.Resumable(
        out,
        overwrite,
        {**wish.choices(), "format": format_.value},
        lambda job: delivery.inputs_of(job, [masks]),
        delivery.foresee(settings, [masks]),
    )
    resume.go(settings, planned, resumable, partial(wish.craft, settings), wish.stages)


def file_of(named: Path) -> Path:
    """Return the file that `--weights` means: itself, or the one that is installed by that name.

    Raises:
        WeightsError: there is none.
    """
    from ..weights import REMOVE, SUFFIX, find

    if named.name != str(named) or named.suffix == SUFFIX or named.is_file():
        return named
    return find(str(named), REMOVE)


def disc(text: str) -> Disc:
    """Read one `--points`: x,y,r in pixels, as in 1200,800,24.

    Raises:
        UsageError: it is not of that form, or nothing lies there.
    """
    try:
        x, y, radius = map(float, text.split(","))
    except ValueError:
        raise UsageError(f"--points {shown(text)}: write it as x,y,r, as in 1200,800,24.") from None
    if not all(map(math.isfinite, (x, y, radius))) or min(x, y) < 0 or radius < 0.5:
        raise UsageError(
            f"--points {shown(text)}: x and y must be 0 or more, r half a pixel or more."
        )
    return Disc(x, y, radius)


def without_masks_skipped(jobs: Sequence[Job], masks: Regions) -> list[Job]:
    """Give photos that the folder of masks says nothing of their reason to be skipped."""
    return [
        replace(job, skip="no mask for it")
        if not job.skip and masks.files.get(job.source) is None
        else job
        for job in jobs
    ]


@dataclass(frozen=True)
class _Removal:
    """What is removed, and how it is filled."""

    discs: tuple[Disc, ...]
    feather: int
    window: WindowChoice
    force: bool
    masks: Regions
    writing: delivery.Writing

    def choices(self) -> dict[str, Any]:
        """Return what can change an output, as the journal keeps it; masks go by their content.

        Not --force: it only decides whether a photo is done at all.
        """
        return {
            "points": [list(each) for each in self.discs],
            "feather": self.feather,
            "window": self.window.value,
            **self.writing.choices(),
        }

    def craft(self, settings: shoot.Settings) -> shoot.Craft[Remover]:
        """Settle with what holes are filled.

        Raises:
            WeightsError: the weights are missing or damaged.
        """
        files = {} if settings.weights is None else shoot.find_weights(settings)
        choices = {"method": _method(settings.weights), "raw_space": settings.raw_space.value}
        digest = hash_of_weights(files) if files else ""
        return shoot.Craft(files, digest, choices, partial(self._load, settings))

    def _load(self, settings: shoot.Settings, cores: Cores) -> Remover:
        with torch_coming():
            from ..engine.removing import Remover, Spot, Wish

        spots = tuple(Spot(*each) for each in self.discs)
        wish = Wish(spots, self.feather, self.window is WindowChoice.FULL, self.force)
        limit = options.memory_bytes(settings.max_memory)
        return Remover(wish, settings.weights, settings.device, limit, cores)

    def stages(self, place: resume.Workplace[Remover]) -> Stages[Product]:
        """Join the rooms: how a photo is decoded, what is removed, and how it is encoded."""
        from ..batch.pipeline import Stages
        from ..codecs import grey_of

        pool = place.pool
        return Stages(
            cost=lambda job: self.writing.cost(job, place),
            decode=lambda job: pool.decode(job.source),
            retouch=self._work(place.engine, lambda path: grey_of(pool.decode_whole(path))),
            encode=self.writing.writer(place, None).write,
        )

    def _work(
        self, remover: Remover, read_mask: Callable[[Path], Mask]
    ) -> Callable[[Job, Photo], Finished[Product]]:
        from ..batch.pipeline import Finished
        from ..codecs import make_upright
        from .masks import kept_mask

        mask_of = self.masks.reader(read_mask)
        upright = self.writing.upright

        def work(job: Job, photo: Photo) -> Finished[Product]:
            region = mask_of(job)
            kept = None
            if job.mask is not None:
                gate = remover.gate(photo, region.mask)
                kept = kept_mask(gate, photo.metadata.orientation, upright)
            done, edit = remover.retouch(photo, only=region.mask)
            if upright:
                done = make_upright(done)
            told = (region.warning,) if region.warning else ()
            return Finished(Product(done, kept), edit, done.warnings + told)

        return work


def _method(weights: Path | None) -> str:
    """Say what fills holes, and of which version where it is a library's work."""
    from importlib.metadata import version

    if weights is None:
        return f"{COPIES_LIBRARY} {version(COPIES_LIBRARY)}"
    from ..weights import header_of

    net = header_of(weights).net
    if net != "hifill":
        raise WeightsError(weights, f"holds a '{net}' network", "Choose weights of a HiFill.")
    return net
