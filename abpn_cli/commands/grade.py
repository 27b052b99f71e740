"""`abpn grade`: photos in, graded photos out: exposure, colour and tone as a style has them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import TargetError, UsageError, shown
from . import delivery, options, resume, shoot, styles
from .delivery import Product
from .options import Compression, Format, OverwriteChoice, RawSpace
from .output import write_text
from .regions import Bounds, find_bounds

if TYPE_CHECKING:
    from ..batch.pipeline import Finished, Stages
    from ..codecs import DecodePool
    from ..engine.grading import Grader
    from ..engine.looks import Conditions
    from ..photo import Job, Photo
    from .regions import Mask

CUBE_HEAD = 4096  # bytes of a file in which a `.cube` says its size


def grade(
    paths: options.Photos,
    out: options.Out,
    style: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME:SHARE]", help="The look, or a mix of looks: see `abpn weights`."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Weights to use in place of the style's own.", readable=False
        ),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="0 leaves the photo as it is, 1 is the whole look.")
    ] = 1.0,
    lock_look: Annotated[
        bool,
        typer.Option("--lock-look", help="One look for all photos: that of their mean."),
    ] = False,
    export_cube: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the look as a .cube too: of one photo, or with --lock-look.",
            readable=False,
        ),
    ] = None,
    only: options.Only = None,
    protect: options.Protect = None,
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
    prefer: options.PreferOption = None,
    dry_run: options.DryRun = False,
    overwrite: options.OverwriteOption = OverwriteChoice.CHANGED,
    json: options.JsonFile = None,
    ndjson: options.Ndjson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Grade photos and folders of photos; the sources are never changed.

    Example: abpn grade shoot --out graded --style film
    """
    if style is None:
        raise UsageError(
            "--style is missing. Name one, as in --style film; `abpn weights` lists them."
        )
    mix = styles.mix_of(style)
    if weights is not None and len(mix) > 1:
        raise UsageError(
            "--weights is the file of one style, and --style names several. Leave one out."
        )
    settings = shoot.Settings(
        verb="grade",
        style=styles.told(mix),
        weights=weights,
        device=device,
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
    options.check_range("--strength", strength, 0.0, 1.0)
    writing = delivery.writing_of(jpeg, upright, quality, tiff_compression)
    naming = delivery.Naming(format_, prefer)
    settings, planned = delivery.planned(settings, paths, out, naming, writing, quality)
    cube = _Cube(export_cube, styles.title_of(settings, strength), strength)
    cube.check(planned, lock_look, json)
    bounds = find_bounds(only, protect, planned)
    series = _Series(settings, planned) if lock_look else None
    looks = _Looks(strength, bounds, writing, series, cube)
    resumable = resume.Resumable(
        out,
        overwrite,
        {"strength": strength, **writing.choices(), "format": format_.value},
        lambda job: delivery.inputs_of(job, bounds),
        delivery.foresee(settings, bounds),
    )
    shared = {} if series is None else series.choices()
    find = partial(styles.craft_of, settings, mix, shared)
    resume.go(settings, planned, resumable, find, looks.stages)
    if cube.is_due and not dry_run:  # every output was up to date: no photo has been looked at
        _export(settings, looks, planned, find().load)


def _export(
    settings: shoot.Settings, looks: _Looks, planned: Sequence[Job], load: Callable[[Any], Grader]
) -> None:
    """Write the `.cube` of photos that needed no grading."""
    grader = load(shoot.cores_of(settings))
    with shoot.make_pool(settings, 1) as pool:
        if looks.series is not None:
            look = looks.series.look(grader, pool)
        else:
            look = grader.conditions(pool.decode(planned[0].source))
    if look is not None:
        looks.cube.write(grader, look)


@dataclass
class _Cube:
    """The `.cube` that `--export-cube` asks for: file, or None; is_due: not written yet."""

    file: Path | None
    title: str
    strength: float
    is_due: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_due = self.file is not None

    def check(self, planned: Sequence[Job], locked: bool, report: Path | None) -> None:
        """Refuse what cannot be meant, before a photo is looked at; nothing is written.

        Raises:
            UsageError: there are several looks, or the file is there and is no cube, or belongs to
                the run; report: the file of `--json`.
            TargetError: it cannot be written.
        """
        from ..batch.plan import check_out, written_by

        if self.file is None:
            return
        if len(planned) > 1 and not locked:
            raise UsageError(
                f"--export-cube {shown(self.file)}: {len(planned)} photos have as many looks. Add "
                "--lock-look, or grade one photo."
            )
        check_out(self.file.parent)
        if self.file.is_dir():
            raise TargetError(self.file, "is a folder", "Give --export-cube a file.")
        real = self.file.resolve()
        used = [file for job in planned for file in (job.source, *written_by(job))]
        used += [] if report is None else [report]
        if not _may_become_cube(self.file) or any(real == file.resolve() for file in used):
            raise UsageError(
                f"--export-cube {shown(self.file)}: is a photo or another file that is no cube, or "
                "belongs to this run. Name another file."
            )

    def write(self, grader: Grader, look: Conditions) -> None:
        """Write the look, once, where it is asked for.

        Raises:
            TargetError: the file cannot be written.
        """
        from ..engine.cube import SIDE, cube_text

        if self.file is None or not self.is_due:
            return
        write_text(self.file, cube_text(self.title, grader.lattice(look, SIDE, self.strength)))
        self.is_due = False


@dataclass(frozen=True)
class _Series:
    """Photos that are to share one look, whichever of them are done already."""

    settings: shoot.Settings
    jobs: Sequence[Job]

    def choices(self) -> dict[str, Any]:
        """Return what the common look depends on, as the journal keeps it."""
        with ThreadPoolExecutor(shoot.SETTLERS) as crew:
            hashes = sorted(crew.map(_hash_of, self.jobs))
        digest = hashlib.sha256("".join(f"{each}\n" for each in hashes).encode()).hexdigest()
        return {"series": digest, "accept_damaged": self.settings.accept_damaged}

    def look(self, grader: Grader, pool: DecodePool) -> Conditions | None:
        """Look at every photo and return the mean; None where none of them can be read."""
        from ..batch.pipeline import Finished, Stages, run
        from ..engine.looks import mean_look
        from ..photo import Edit
        from .story import make_teller

        teller = make_teller(self.settings.quiet, self.settings.verbose)
        teller.detail(f"looking at {len(self.jobs)} photos for their common look")
        seen: list[Conditions] = []

        def look_at(job: Job, photo: Photo) -> Finished[None]:
            seen.append(grader.conditions(photo))
            return Finished(None, Edit(0.0, None, 0, str(grader.device)), ())

        stages: Stages[None] = Stages(
            cost=lambda job: shoot.bytes_in_hand(job, pool.probe),
            decode=lambda job: pool.decode(job.source),
            retouch=look_at,
            encode=lambda job, product: (),
        )
        room = shoot.room_for(self.settings, len(self.jobs))
        for _ in run(self.jobs, stages, room, lambda: False):
            pass  # what cannot be read is told when its turn comes
        return mean_look(seen) if seen else None


def _hash_of(job: Job) -> str:
    from ..files import content_of

    try:
        return content_of(job.source).sha256
    except OSError:  # told when it is decoded
        return ""


@dataclass(frozen=True)
class _Looks:
    """How the photos shall look; series: None where each has a look of its own."""

    strength: float
    bounds: Bounds
    writing: delivery.Writing
    series: _Series | None
    cube: _Cube

    def stages(self, place: resume.Workplace[Grader]) -> Stages[Product]:
        """Join the rooms: how a photo is decoded, graded, and encoded."""
        from ..batch.pipeline import Stages
        from ..codecs import grey_of

        pool, grader = place.pool, place.engine
        common = None if self.series is None else self.series.look(grader, pool)
        if common is not None:
            grader = grader.locked(common)
            self.cube.write(grader, common)
        return Stages(
            cost=lambda job: self.writing.cost(job, place),
            decode=lambda job: pool.decode(job.source),
            retouch=self._work(grader, lambda path: grey_of(pool.decode_whole(path))),
            encode=self.writing.writer(place, self.strength).write,
        )

    def _work(
        self, grader: Grader, read_mask: Callable[[Path], Mask]
    ) -> Callable[[Job, Photo], Finished[Product]]:
        from ..batch.pipeline import Finished
        from ..codecs import make_upright

        bound_of = self.bounds.reader(read_mask)

        def work(job: Job, photo: Photo) -> Finished[Product]:
            bound = bound_of(job)
            if self.cube.is_due:
                self.cube.write(grader, grader.look_of(photo))
            done, edit = grader.overwritten(photo, self.strength, bound.only, bound.protect)
            if self.writing.upright:
                done = make_upright(done)
            return Finished(Product(done), edit, done.warnings + bound.told)

        return work


def _may_become_cube(file: Path) -> bool:
    """Whether nothing is lost by writing a `.cube` here: there is none yet, or it is an older one.

    Raises:
        TargetError: what is there cannot be read.
    """
    if not file.exists():
        return True
    if not file.is_file():  # a pipe would be waited for
        return False
    try:
        with file.open("rb") as opened:
            return b"LUT_3D_SIZE" in opened.read(CUBE_HEAD)
    except OSError as error:
        raise TargetError(
            file, f"cannot be read ({error.strerror})", "Name another file."
        ) from error
