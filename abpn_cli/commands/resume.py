"""A run that goes on where an earlier one stopped: the journal joined to the stages."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from .. import __version__
from ..errors import PhotoError, WeightsError
from . import shoot
from .options import OverwriteChoice, Precision
from .story import Story, all_skipped

if TYPE_CHECKING:
    from ..batch.journal import Ledger, Run
    from ..batch.keeper import Keeper
    from ..batch.pipeline import Stages
    from ..batch.resume import Resume
    from ..codecs import DecodePool
    from ..engine import Engine
    from ..photo import Job

Product = TypeVar("Product")
Thing = TypeVar("Thing")

SETTLERS = 2  # hashing is as fast as the disk
DEVICES = ("cpu", "cuda")  # any of which `--device auto` may mean
PRECISION = "float32"  # what `--precision auto` means on each of them


@dataclass(frozen=True)
class Resumable:
    """What decides, beside the photos, whether an output is still what a run would make.

    out:     the folder that has the journal.
    choices: options that can change an output, as JSON knows them.
    inputs:  other files that are read for a photo, by role; None where a folder holds none.
    """

    out: Path
    overwrite: OverwriteChoice
    choices: Mapping[str, Any]
    inputs: Callable[[Job], Mapping[str, Path | None]]


def go(
    settings: shoot.Settings,
    jobs: Sequence[Job],
    asked: Resumable,
    stages: Callable[[Engine, DecodePool, Keeper], Stages[Product]],
) -> None:
    """Do a run, or tell what it would do; what earlier runs have done is kept.

    Args:
        settings: what the user asked for.
        jobs: the plan.
        asked: what outputs depend on, and when those that exist are written again.
        stages: makes the verb's own work from the network, the decoders and the journal.

    Raises:
        typer.Exit: with the run's exit code, where it is not 0.
        AbpnError: what stopped the run.
    """
    shoot.check_report(settings.json, jobs)
    weights = shoot.find_weights(settings)
    if settings.dry_run:
        Story(settings, weights, _settled(settings, weights, jobs, asked)).tell_plan()
    elif asked.overwrite is OverwriteChoice.NEVER and all(_exists(job.target) for job in jobs):
        story = Story(settings, weights, _settled(settings, weights, jobs, asked))
        story.tell_run(lambda stopped: all_skipped(story.jobs), settings.device)
    else:
        _run(settings, weights, jobs, asked, stages)


def _run(
    settings: shoot.Settings,
    weights: Mapping[str, Path],
    jobs: Sequence[Job],
    asked: Resumable,
    stages: Callable[[Engine, DecodePool, Keeper], Stages[Product]],
) -> None:
    from ..batch.journal import journal_path
    from ..batch.keeper import keep_journal
    from ..batch.pipeline import run

    digest = _hash_of_weights(weights)  # before they are loaded: what comes between is noticed
    room = shoot.room_for(settings, len(jobs))
    engine = _Late(lambda: shoot.load_engine(settings, weights))
    if not os.path.lexists(journal_path(asked.out)):  # nobody holds it: nothing is made in vain
        engine.get()
    with keep_journal(asked.out) as keeper, ExitStack() as stack:

        def make() -> _Workshop[Product]:
            retoucher = engine.get()
            device, precision = retoucher.device, retoucher.precision
            keeper.begin(_made_with(settings, digest, asked, device.type, precision))
            pool = stack.enter_context(shoot.make_pool(settings, room.decoders))
            return _Workshop(stages(retoucher, pool, keeper), str(device))

        workshop = _Late(make)
        resume = _resume(asked, keeper.ledger, _alike(settings, digest, asked), stack)
        device = settings.device
        if any(map(resume.is_due, jobs)):  # then what is wrong with it is told first, and alone
            device = workshop.get().device
        work = _put_off(lambda: workshop.get().stages, resume.settle)
        story = Story(settings, weights, jobs, keeper.warnings)
        story.tell_run(lambda stopped: keeper.failures(run(jobs, work, room, stopped)), device)


class _Workshop(NamedTuple, Generic[Product]):
    """All that photos are done with, which takes seconds to get ready."""

    stages: Stages[Product]
    device: str


class _Late(Generic[Thing]):
    """Something that is made when it is first wanted, from any thread."""

    def __init__(self, make: Callable[[], Thing]) -> None:
        self._make = make
        self._made: list[Thing] = []
        self._lock = Lock()

    def get(self) -> Thing:
        """Return it; what stops it from being made is raised."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


def _put_off(made: Callable[[], Stages[Product]], settle: Callable[[Job], Job]) -> Stages[Product]:
    """Return stages that are made for the first photo that needs doing: there may be none."""
    from ..batch.pipeline import Stages

    return Stages(
        cost=lambda job: made().cost(job),
        decode=lambda job: made().decode(job),
        retouch=lambda job, photo: made().retouch(job, photo),
        encode=lambda job, product: made().encode(job, product),
        settle=settle,
    )


def _settled(
    settings: shoot.Settings, weights: Mapping[str, Path], jobs: Sequence[Job], asked: Resumable
) -> list[Job]:
    """Settle the whole plan, writing nothing, as a run would."""
    from ..batch.journal import read_journal

    alike = _alike(settings, _hash_of_weights(weights), asked)
    with ExitStack() as stack, ThreadPoolExecutor(SETTLERS) as crew:
        resume = _resume(asked, read_journal(asked.out), alike, stack)
        return list(crew.map(resume.settle, jobs))


def _hash_of_weights(files: Mapping[str, Path]) -> str:
    from ..weights import hash_of

    try:
        return hash_of(files.values())
    except OSError as error:
        raise WeightsError(
            error.filename or next(iter(files.values())),
            f"cannot be read ({error.strerror})",
            "Check the file and its permissions.",
        ) from error


def _made_with(
    settings: shoot.Settings, weights: str, asked: Resumable, device: str, precision: str
) -> Run:
    """Say what outputs are made with, so that another day can tell whether that has changed.

    Not what only decides whether a photo is done at all: with --accept-damaged for the three that
    failed, the others need not be done again.
    """
    from ..batch.journal import Run

    return Run(
        __version__,
        settings.verb,
        settings.task,
        weights,
        {
            **asked.choices,
            "task": settings.task,  # an XMP history names it
            "detail": settings.detail,
            "raw_space": settings.raw_space.value,
            "device": device,
            "precision": precision,
            # told only where it is not as ever, so that older outputs are still what they were
            **({} if settings.keep_moles else {"keep_moles": False}),
        },
    )


def _alike(settings: shoot.Settings, weights: str, asked: Resumable) -> list[Run]:
    """Say what outputs may have been made with to be up to date, without asking for a device.

    With `--device auto` the outputs of every device are: a shoot need not be done again where its
    graphics card is not there today.
    """
    kinds = DEVICES if settings.device == "auto" else (settings.device.partition(":")[0],)
    auto = settings.precision is Precision.AUTO
    precision = PRECISION if auto else settings.precision.value
    return [_made_with(settings, weights, asked, kind, precision) for kind in kinds]


def _resume(asked: Resumable, ledger: Ledger, alike: Sequence[Run], stack: ExitStack) -> Resume:
    from ..batch.resume import Reading, Resume

    reading = Reading(asked.inputs, _Checker(stack).is_whole, alike)
    return Resume(asked.out, asked.overwrite.value, ledger, reading)


class _Checker:
    """Decodes outputs that the journal does not know, one at a time, in a process of its own.

    Not in the pipeline's: those are busy with its photos, and may take damaged ones.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._lock = Lock()
        self._pool: DecodePool | None = None

    def is_whole(self, path: Path) -> bool:
        """Whether a file is a photo, of any kind, and not known to be damaged."""
        from ..codecs import DecodePool, sniff
        from ..codecs.formats import RESTORE

        if sniff(path) is None:
            return False
        with self._lock:
            if self._pool is None:
                self._pool = self._stack.enter_context(DecodePool(1))
            try:
                self._pool.decode(path)
            except PhotoError as error:  # refused for another reason, it may be somebody's work
                return not error.remedy.startswith(RESTORE)
        return True


def _exists(path: Path) -> bool:
    return os.path.lexists(path)
