"""A run that goes on where an earlier one stopped: the journal joined to the stages."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from .. import __version__
from ..errors import PhotoError, WeightsError
from ..files import content_of
from . import shoot
from .options import OverwriteChoice

if TYPE_CHECKING:
    from ..batch.journal import Ledger, Run
    from ..batch.keeper import Keeper
    from ..batch.pipeline import Stages
    from ..batch.resume import Resume
    from ..codecs import DecodePool
    from ..engine import Retoucher
    from ..photo import Job

Product = TypeVar("Product")

SETTLERS = 2  # hashing is as fast as the disk


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
    stages: Callable[[Retoucher, DecodePool, Keeper], Stages[Product]],
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
        shoot.Story(settings, weights, _settled(settings, weights, jobs, asked)).tell_plan()
    elif asked.overwrite is OverwriteChoice.NEVER and all(_exists(job.target) for job in jobs):
        story = shoot.Story(settings, weights, _settled(settings, weights, jobs, asked))
        story.tell_run(lambda stopped: shoot.all_skipped(story.jobs), settings.device)
    else:
        _run(settings, weights, jobs, asked, stages)


def _run(
    settings: shoot.Settings,
    weights: Path,
    jobs: Sequence[Job],
    asked: Resumable,
    stages: Callable[[Retoucher, DecodePool, Keeper], Stages[Product]],
) -> None:
    from ..batch.keeper import keep_journal
    from ..batch.pipeline import run

    digest = _hash_of_weights(weights)  # before they are loaded: what comes between is noticed
    retoucher = shoot.make_retoucher(settings, weights)
    room = shoot.room_for(settings, len(jobs))
    made_with = _made_with(settings, digest, asked, retoucher.device.type, retoucher.precision)
    with keep_journal(asked.out) as keeper, ExitStack() as stack:
        keeper.begin(made_with)
        resume = _resume(asked, keeper.ledger, lambda: made_with, stack)
        pool = stack.enter_context(shoot.make_pool(settings, room.decoders))
        work = replace(stages(retoucher, pool, keeper), settle=resume.settle)
        story = shoot.Story(settings, weights, jobs, keeper.warnings)
        story.tell_run(
            lambda stopped: keeper.failures(run(jobs, work, room, stopped)), str(retoucher.device)
        )


def _settled(
    settings: shoot.Settings, weights: Path, jobs: Sequence[Job], asked: Resumable
) -> list[Job]:
    """Settle the whole plan, writing nothing, as a run would."""
    from ..batch.journal import read_journal

    @cache
    def would_be() -> Run:
        from ..engine.network import choose_device, choose_precision

        device = choose_device(settings.device)
        precision = choose_precision(settings.precision.value, device)
        digest = _hash_of_weights(weights)
        return _made_with(settings, digest, asked, device.type, precision)

    with ExitStack() as stack, ThreadPoolExecutor(SETTLERS) as crew:
        resume = _resume(asked, read_journal(asked.out), would_be, stack)
        return list(crew.map(resume.settle, jobs))


def _hash_of_weights(path: Path) -> str:
    try:
        return content_of(path).sha256
    except OSError as error:
        raise WeightsError(
            path, f"cannot be read ({error.strerror})", "Check the file and its permissions."
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
        },
    )


def _resume(asked: Resumable, ledger: Ledger, run: Callable[[], Run], stack: ExitStack) -> Resume:
    from ..batch.resume import Reading, Resume

    reading = Reading(asked.inputs, _Checker(stack).is_whole, run)
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
