"""`abpn retouch`: photos in, retouched photos out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import delivery, options, resume, shoot
from .delivery import Product
from .options import Compression, Format, OverwriteChoice, Precision, RawSpace
from .regions import Bounds, find_bounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..batch.pipeline import Finished, Stages
    from ..engine import Engine
    from ..photo import Job, Photo
    from .regions import Mask


def retouch(
    paths: options.Photos,
    out: options.Out,
    task: Annotated[
        str | None,
        typer.Option(metavar="NAME[,NAME]", help="What to retouch: see `abpn weights`."),
    ] = None,
    weights: options.Weights = None,
    strength: Annotated[
        float, typer.Option(help="0 leaves the photo as it is, 1 is as trained, 1.5 the most.")
    ] = 1.0,
    only: options.Only = None,
    protect: options.Protect = None,
    keep_moles: options.KeepMoles = True,
    detail: options.Detail = False,
    format_: options.FormatOption = Format.SAME,
    jpeg: options.JpegOption = None,
    quality: options.Quality = None,
    tiff_compression: options.TiffCompression = Compression.DEFLATE,
    upright: options.Upright = False,
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
    prefer: options.PreferOption = None,
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
    shoot.check_task(settings)
    options.check_range("--strength", strength, 0.0, 1.5)
    writing = delivery.writing_of(jpeg, upright, quality, tiff_compression)
    naming = delivery.Naming(format_, prefer, save_mask)
    settings, planned = delivery.planned(settings, paths, out, naming, writing, quality)
    bounds = find_bounds(only, protect, planned)
    looks = _Looks(strength, bounds, writing)
    resumable = resume.Resumable(
        out,
        overwrite,
        {**looks.choices(), "format": format_.value},
        lambda job: delivery.inputs_of(job, bounds),
        delivery.foresee(settings, bounds),
    )
    resume.go(settings, planned, resumable, partial(shoot.tasks_of, settings), looks.stages)


@dataclass(frozen=True)
class _Looks:
    """How the photos shall look."""

    strength: float
    bounds: Bounds
    writing: delivery.Writing

    def choices(self) -> dict[str, Any]:
        """Return what can change an output, as the journal keeps it; masks go by their content."""
        return {"strength": self.strength, **self.writing.choices()}

    def stages(self, place: resume.Workplace[Engine]) -> Stages[Product]:
        """Join the rooms: how a photo is decoded, retouched, and encoded."""
        from ..batch.pipeline import Stages
        from ..codecs import grey_of

        pool = place.pool
        return Stages(
            cost=lambda job: self.writing.cost(job, place),
            decode=lambda job: pool.decode(job.source),
            retouch=self._work(place.engine, lambda path: grey_of(pool.decode_whole(path))),
            encode=self.writing.writer(place, self.strength).write,
        )

    def _work(
        self, retoucher: Engine, read_mask: Callable[[Path], Mask]
    ) -> Callable[[Job, Photo], Finished[Product]]:
        from ..batch.pipeline import Finished
        from ..codecs import make_upright
        from .masks import kept_mask

        bound_of = self.bounds.reader(read_mask)
        upright = self.writing.upright

        def work(job: Job, photo: Photo) -> Finished[Product]:
            bound = bound_of(job)
            mask = None
            if job.mask is not None:
                mask = kept_mask(retoucher.gate(photo), photo.metadata.orientation, upright)
            done, edit = retoucher.overwritten(photo, self.strength, bound.only, bound.protect)
            if upright:
                done = make_upright(done)
            return Finished(Product(done, mask), edit, done.warnings + bound.told)

        return work
