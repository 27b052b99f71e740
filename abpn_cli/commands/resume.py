"""A run that goes on where an earlier one stopped: the journal joined to the stages."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from .. import __version__
from ..errors import PhotoError
from . import shoot
from .late import Late, Workshop, put_off
from .made import Means, possible_means
from .options import OverwriteChoice
from .shoot import Craft, Maker
from .story import Story, all_skipped

if TYPE_CHECKING:
    from ..batch.journal import Ledger, Run
    from ..batch.keeper import Keeper
    from ..batch.pipeline import Stages
    from ..batch.resume import Resume
    from ..codecs import DecodePool
    from ..cores import Cores
    from ..photo import Job

Product = TypeVar("Product")


@dataclass(frozen=True)
class Resumable:
    """What decides, beside the photos, whether an output is still what a run would make.

    out:     the folder that has the journal.
    choices: options that can change an output, as JSON knows them.
    inputs:  other files that are read for a photo, by role; None where a folder holds none.
    foresee: adds to settled jobs what can be told beforehand of how they will go.
    """

    out: Path
    overwrite: OverwriteChoice
    choices: Mapping[str, Any]
    inputs: Callable[[Job], Mapping[str, Path | None]]
    foresee: Callable[[list[Job]], list[Job]]


class Workplace(NamedTuple, Generic[Maker]):
    """What photos are done with: the networks, the decoders, the journal, the run's cores."""

    engine: Maker
    pool: DecodePool
    keeper: Keeper
    cores: Cores


def go(
    settings: shoot.Settings,
    jobs: Sequence[Job],
    asked: Resumable,
    find: Callable[[], Craft[Maker]],
    stages: Callable[[Workplace[Maker]], Stages[Product]],
) -> None:
    """Do a run, or tell what it would do; what earlier runs have done is kept.

    Args:
        settings: what the user asked for.
        jobs: the plan.
        asked: what outputs depend on, and when those that exist are written again.
        find: settles what outputs are made with; may raise WeightsError.
        stages: makes the verb's own work from what it is done with.

    Raises:
        typer.Exit: with the run's exit code, where it is not 0.
        AbpnError: what stopped the run.
    """
    shoot.check_report(settings.json, jobs)
    craft = find()
    settings = replace(settings, warnings=settings.warnings + craft.warnings)
    if settings.dry_run:
        planned = asked.foresee(_settled(settings, craft, jobs, asked))
        Story(settings, craft.weights, planned).tell_plan()
    elif asked.overwrite is OverwriteChoice.NEVER and all(_exists(job.target) for job in jobs):
        story = Story(settings, craft.weights, _settled(settings, craft, jobs, asked))
        story.tell_run(lambda stopped: all_skipped(story.jobs), settings.device)
    else:
        _run(settings, craft, jobs, asked, stages)


def _run(
    settings: shoot.Settings,
    craft: Craft[Maker],
    jobs: Sequence[Job],
    asked: Resumable,
    stages: Callable[[Workplace[Maker]], Stages[Product]],
) -> None:
    from ..batch.journal import journal_path
    from ..batch.keeper import keep_journal
    from ..batch.pipeline import run

    made_on = _maker(settings, craft, asked)
    room = shoot.room_for(settings, len(jobs))
    cores = shoot.cores_of(settings)
    with ExitStack() as stack:
        # The processes first: they get ready while the networks are loaded.
        pool = Late(lambda: stack.enter_context(shoot.make_pool(settings, room.decoders)))

        def load() -> Maker:
            pool.get()
            return craft.load(cores)

        engine = Late(load)
        if not os.path.lexists(journal_path(asked.out)):  # nobody holds it: nothing is in vain
            engine.get()
        keeper = stack.enter_context(keep_journal(asked.out))

        def make() -> Workshop[Product]:
            retoucher = engine.get()
            device = retoucher.device
            keeper.begin(made_on(Means(device.type, retoucher.precision)))
            work = stages(Workplace(retoucher, pool.get(), keeper, cores))
            return Workshop(work, str(device))

        workshop = Late(make)
        alike = list(map(made_on, possible_means(settings)))
        resume = _resume(asked, keeper.ledger, alike, stack)
        device = settings.device
        if any(map(resume.is_due, jobs)):  # then what is wrong with it is told first, and alone
            device = workshop.get().device
        work = put_off(workshop, resume.settle)
        story = Story(settings, craft.weights, jobs, keeper.warnings)
        story.tell_run(
            lambda stopped: keeper.failures(run(jobs, work, room, stopped, cores)), device
        )


def _settled(
    settings: shoot.Settings, craft: Craft[Maker], jobs: Sequence[Job], asked: Resumable
) -> list[Job]:
    """Settle the whole plan, writing nothing, as a run would."""
    from ..batch.journal import read_journal

    alike = list(map(_maker(settings, craft, asked), possible_means(settings)))
    with ExitStack() as stack:
        resume = _resume(asked, read_journal(asked.out), alike, stack)
        return shoot.settled(jobs, resume.settle)


def _maker(
    settings: shoot.Settings, craft: Craft[Maker], asked: Resumable
) -> Callable[[Means], Run]:
    """Return what says with what outputs are made, given on what the network runs."""
    from ..batch.journal import Run

    def made_on(means: Means) -> Run:
        told = {**asked.choices, **craft.choices, **means._asdict()}
        return Run(__version__, settings.verb, settings.task, craft.digest, told)

    return made_on


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
