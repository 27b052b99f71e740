"""What the verbs that go through a shoot share: settings, weights, room in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from ..cores import Cores
from ..errors import TargetError, UsageError, WeightsError, shown
from .late import torch_coming
from .made import choices_of, hash_of_weights
from .options import (
    STDOUT,
    Precision,
    RawSpace,
    check_voices,
    core_count,
    memory_bytes,
    pixel_count,
    task_names,
    worker_count,
)
from .output import refuse_photo

if TYPE_CHECKING:
    from ..batch.pipeline import Limits
    from ..codecs import DecodePool, Header
    from ..engine import Engine
    from ..photo import Job

Maker = TypeVar("Maker", bound="Engine")

SETTLERS = 2  # hashing is as fast as the disk
KEEPING_BYTES_PER_PIXEL = 16  # of `codecs.jpeg_keep`, at 4:4:4
IN_HAND_SHARE = 4  # one part in four of --max-memory for photos in hand, the rest for the network


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every verb that goes through a shoot takes; checked when it is made.

    task: the tasks, separated by commas, in the order of `task_names`, whatever was given.
    style: what the photos are graded by, one way to say each mix; None where they are not.
    keep_moles: whether moles are kept from `face`.
    warnings: what is to be known of the options as given, one sentence each; not_read: how many
    pictures are passed by, by kind. Both are known when the plan is made.
    """

    verb: str
    device: str
    max_memory: str
    jobs: int | None
    dry_run: bool
    json: Path | None
    ndjson: bool
    quiet: bool
    verbose: bool
    task: str | None = None
    weights: Path | None = None
    precision: Precision = Precision.AUTO
    detail: bool = False
    max_pixels: str = "250M"
    accept_damaged: bool = False
    raw_space: RawSpace = RawSpace.SRGB
    warnings: tuple[str, ...] = ()
    not_read: Mapping[str, int] = field(default_factory=dict)
    keep_moles: bool = True
    style: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, before a photo is looked for.

        Raises:
            UsageError: names the option and the remedy.
        """
        check_voices(self.quiet, self.verbose, self.json, self.ndjson)
        memory_bytes(self.max_memory)
        pixel_count(self.max_pixels)
        worker_count(self.jobs)
        if self.task is None:
            return
        names = task_names(self.task)
        if len(names) > 1 and self.weights is not None:
            raise UsageError(
                "--weights is the file of one task, and --task names several. Leave one out."
            )
        object.__setattr__(self, "task", ",".join(names))  # one way to say the same


def check_task(settings: Settings) -> None:
    """Refuse a run of tasks that names none.

    Raises:
        UsageError: neither `--task` nor `--weights` is given.
    """
    if settings.task is None and settings.weights is None:
        raise UsageError(
            "--task is missing. Name one, as in --task cloth; `abpn weights` lists them."
        )


class Craft(NamedTuple, Generic[Maker]):
    """What a verb makes outputs with.

    weights:  the weights files, by what they are called in words for the user.
    digest:   the hash that stands for them.
    choices:  what of the verb's options changes what is made with them, as JSON knows it.
    load:     loads them, given the run's cores.
    warnings: what is to be known of them, one sentence each.
    """

    weights: Mapping[str, Path]
    digest: str
    choices: Mapping[str, Any]
    load: Callable[[Cores], Maker]
    warnings: tuple[str, ...] = ()


def tasks_of(settings: Settings) -> Craft[Engine]:
    """Settle with what the tasks of a run are done.

    Raises:
        WeightsError: no such task, no such file, or it is damaged.
    """
    weights = find_weights(settings)
    doubted = with_doubts(settings, weights)
    digest = hash_of_weights(weights)
    choices = {
        **choices_of(settings, weights),
        "task": settings.task,  # an XMP history names it
    }
    told = doubted.warnings[len(settings.warnings) :]
    return Craft(weights, digest, choices, partial(load_engine, settings, weights), told)


def settled(jobs: Sequence[Job], settle: Callable[[Job], Job]) -> list[Job]:
    """Settle a whole plan at once, as a run does job by job."""
    with ThreadPoolExecutor(SETTLERS) as crew:
        return list(crew.map(settle, jobs))


def load_engine(settings: Settings, weights: Mapping[str, Path], cores: Cores) -> Engine:
    """Load the networks.

    weights: the file of each task, as `find_weights` returns them; cores: the run's.

    Raises:
        WeightsError, DeviceError, UsageError: as `Retoucher`.
    """
    with torch_coming():
        from ..engine.tasks import Means, make_engine

    limit = memory_bytes(settings.max_memory)
    precision = settings.precision.value
    means = Means(settings.device, precision, limit, settings.detail, settings.keep_moles, cores)
    return make_engine(weights, means)


def make_pool(settings: Settings, workers: int) -> DecodePool:
    """Make the decoding processes; entering the pool starts them."""
    from ..codecs import DecodeOptions, DecodePool

    options = DecodeOptions(
        pixel_count(settings.max_pixels), settings.accept_damaged, settings.raw_space.value
    )
    return DecodePool(workers, options)


def cores_of(settings: Settings) -> Cores:
    """Make the run's budget of threads, as `--jobs` has it."""
    return Cores(core_count(settings.jobs))


def room_for(settings: Settings, photos: int) -> Limits:
    """Decide how much of so many photos may be in hand."""
    workers = min(worker_count(settings.jobs), photos)
    return limits_for(workers, memory_bytes(settings.max_memory))


def find_weights(settings: Settings) -> dict[str, Path]:
    """Settle which weights file is used for each task; "" is the task that a file itself knows.

    Raises:
        WeightsError: no such task, no such file.
    """
    if settings.weights is None:
        from ..weights import find_each

        return find_each(settings.task or "")
    if not os.access(settings.weights, os.F_OK) or not settings.weights.is_file():
        raise WeightsError(
            settings.weights, "no such weights file", "Check --weights, or use --task alone."
        )
    return {settings.task or "": settings.weights}


def with_doubts(settings: Settings, files: Mapping[str, Path]) -> Settings:
    """Add a warning where a weights file says that it is of another task than `--task` does.

    A studio's weights may well go by another name: they are used as they are.

    Raises:
        WeightsError: the file is damaged.
    """
    from ..weights import header_of

    if settings.weights is None or settings.task is None:
        return settings
    said = header_of(settings.weights).task
    if not said or said == settings.task:
        return settings
    told = (
        f"--weights {shown(settings.weights)} is of the task '{said}' by its own word, "
        f"--task says {settings.task}: the file is used."
    )
    return replace(settings, warnings=(*settings.warnings, told))


def limits_for(workers: int, max_bytes: int) -> Limits:
    """Decide how much may be in hand: as many decoded as written at once, and one retouched.

    The network's own bound is `max_bytes` as well, and both hold together: a photo large enough
    to need most of it is more than a quarter of it in hand, and so is alone in hand.
    """
    from ..batch.pipeline import Limits

    return Limits(2 * workers + 1, max_bytes // IN_HAND_SHARE, workers, workers)


def bytes_in_hand(job: Job, probe: Callable[[Path], Header], keeps_jpeg: bool = False) -> int:
    """Estimate, from its header alone, what a photo holds from decoding to encoding, in bytes.

    probe: reads the header, as `DecodePool.probe` does; keeps_jpeg: whether a JPEG that stays one
    keeps what is untouched, which takes its coefficients.

    Raises:
        PhotoError: the header cannot be read.
    """
    header = probe(job.source)
    height, width = header.size
    samples = height * width * max(3, header.channels)
    pixels = samples * (2 if header.bits > 8 else 1)
    encoded = samples * 4 if job.format == "tiff" else samples  # 16-bit strips, and their deflate
    if keeps_jpeg and header.format == job.format == "jpeg":
        encoded = height * width * KEEPING_BYTES_PER_PIXEL
    return 2 * pixels + encoded


def check_report(json: Path | None, jobs: Sequence[Job]) -> None:
    """Check, writing nothing, that `--json` has a place that is not a photo's.

    Raises:
        UsageError: the report would replace a photo or an output.
        TargetError: it cannot be written.
    """
    from ..batch.journal import JOURNAL_NAME
    from ..batch.plan import check_out, written_by

    if json is None or json == STDOUT:
        return
    check_out(json.parent)
    if json.is_dir():
        raise TargetError(json, "is a folder", "Give --json a file.")
    refuse_photo(json)
    real = json.resolve()
    if json.name == JOURNAL_NAME:
        raise UsageError(f"--json {shown(json)}: is a journal of abpn's. Name another file.")
    used = ((job.source, *written_by(job)) for job in jobs)
    if any(real == file.resolve() for file in chain.from_iterable(used)):
        raise UsageError(f"--json {shown(json)}: belongs to this run. Name another file.")
