"""A run that makes masks where they would come out otherwise: their stamps joined to the stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .. import __version__
from . import shoot
from .late import Late, Workshop, put_off
from .made import Means, by_faces, choices_of, hash_of_weights, possible_means
from .options import OverwriteChoice
from .story import Story

if TYPE_CHECKING:
    from ..batch.pipeline import Stages
    from ..batch.stamps import Seen, Stamps
    from ..codecs import DecodePool
    from ..engine import Engine
    from ..photo import Job

Product = TypeVar("Product")


@dataclass(frozen=True)
class Asked:
    """What decides, beside the photos, whether a mask is still what a run would make.

    choices: the verb's own options that can change a mask, as JSON knows them.
    held:    entered before anything is written, left when all is.
    """

    overwrite: OverwriteChoice
    choices: Mapping[str, Any]
    held: AbstractContextManager[None]


def go(
    settings: shoot.Settings,
    jobs: Sequence[Job],
    asked: Asked,
    stages: Callable[[Engine, DecodePool, str], Stages[Product]],
) -> None:
    """Do a run, or tell what it would do; masks that are up to date, or somebody's, are kept.

    Args:
        settings: what the user asked for.
        jobs: the plan.
        asked: what masks depend on, and when those that exist are written again.
        stages: makes the verb's own work from the network, the decoders and the digest that its
            masks are stamped with.

    Raises:
        typer.Exit: with the run's exit code, where it is not 0.
        AbpnError: what stopped the run.
    """
    shoot.check_report(settings.json, jobs)
    weights = shoot.find_weights(settings)
    settings = shoot.with_doubts(settings, weights)
    digest = _digester(settings, weights, asked.choices)
    stamps = _stamps(asked.overwrite, [digest(means) for means in possible_means(settings)])
    if settings.dry_run:
        Story(settings, weights, shoot.settled(jobs, stamps.settle)).tell_plan()
        return

    from ..batch.pipeline import run

    room = shoot.room_for(settings, len(jobs))
    cores = shoot.cores_of(settings)
    with ExitStack() as stack:
        # The processes first: they get ready while the networks are loaded.
        pool = Late(lambda: stack.enter_context(shoot.make_pool(settings, room.decoders)))

        def load() -> Engine:
            pool.get()
            return shoot.load_engine(settings, weights, cores)

        engine = Late(load)
        device, computed_by = settings.device, ""
        if any(map(stamps.is_due, jobs)):  # then what is wrong with it is told first, and alone
            device, computed_by = str(engine.get().device), engine.get().computed_by
        stack.enter_context(asked.held)

        def make() -> Workshop[Product]:
            retoucher = engine.get()
            made = digest(Means(retoucher.device.type, retoucher.precision))
            work = stages(retoucher, pool.get(), made)
            return Workshop(work, str(retoucher.device), retoucher.computed_by)

        work = put_off(Late(make), stamps.settle)
        story = Story(settings, weights, jobs)
        story.tell_run(lambda stopped: run(jobs, work, room, stopped, cores), device, computed_by)


def _digester(
    settings: shoot.Settings, weights: Mapping[str, Path], choices: Mapping[str, Any]
) -> Callable[[Means], str]:
    """Return what makes the digest of masks, given on what the network runs.

    Raises:
        WeightsError: the weights cannot be read.
    """
    from ..batch.journal import Run

    content = hash_of_weights(weights)  # before they are loaded: what comes between is noticed
    heeded = {**choices, **choices_of(settings, weights), "by_faces": by_faces(weights)}

    def digest(means: Means) -> str:
        told = {**heeded, **means._asdict(), "weights": content}
        return Run(__version__, settings.verb, None, content, told).settings_digest

    return digest


def _stamps(overwrite: OverwriteChoice, alike: Sequence[str]) -> Stamps:
    from .. import codecs
    from ..batch.stamps import Seen, Stamps

    def look(path: Path) -> Seen:
        seen = codecs.read_stamped(path)
        source, made = seen.stamp or ("", "")
        return Seen(seen.whole, source, made, seen.changed)

    def made_of(path: Path) -> str:
        stamp = codecs.read_stamp(path)
        return stamp.made if stamp is not None else ""

    return Stamps(overwrite.value, look, made_of, frozenset(alike))
