"""`abpn train --net hifill`: a network that fills holes for `abpn remove`, from photos alone."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import NoPhotoError, UsageError, shown
from . import options
from .train_data import photos_apart
from .train_means import check_out, device_of, teller

if TYPE_CHECKING:
    from ..training.removal import Holes

STEPS = 300_000  # as published
BATCH = 4
RATE = 1e-4
DEFAULT_TASK = "cloth"  # of `abpn train`, which fills nothing
JUDGED = 8  # batches of a validation


class RemovalAsked(NamedTuple):
    """The options of a run that have a part in it, as given."""

    out: Path
    photos: Path | None
    list: Path | None
    held_out: Path | None
    name: str
    start: Path | None
    steps: int | None
    batch: int | None
    rate: float | None
    width: float | None
    side: int | None
    adversarial: float | None
    seed: int
    every: int
    device: str
    precision: str
    licence: str
    known_failures: tuple[str, ...]


def train_removal(asked: RemovalAsked) -> None:
    """Train, or go on training, and write the weights with their card.

    Raises:
        UsageError, WeightsError, TargetError, NoPhotoError, DeviceError: the run cannot be meant,
            or not be done.
    """
    from ..report.training import training_log
    from ..training import removal

    name = asked.name.strip()
    if name == DEFAULT_TASK:
        raise UsageError("--task is missing: with --net hifill it names the weights.")
    options.check_file_name("--task", name, "set of weights")
    base = None if asked.start is None else removal.start_from(asked.start)
    config = removal.config_of(asked.width, asked.side, base)
    check_out(asked.out, ())
    where, tell = device_of(asked.device), teller()
    train, held_out = _photos(asked, config.side, tell)
    settings = removal.Settings(
        asked.steps or STEPS,
        asked.rate or RATE,
        asked.batch or BATCH,
        asked.seed,
        asked.every,
        precision=asked.precision,
    )
    if asked.adversarial is not None:
        settings = settings.with_adversarial(asked.adversarial)
    first = None if base is None else base.state_dict()
    trainer = removal.RemovalTrainer(config, settings, train, where, first)
    checkpoint = asked.out / removal.CHECKPOINT
    if checkpoint.exists():
        trainer.resume(checkpoint)
    with training_log(settings.steps) as log:
        trainer.run(
            log.step,
            lambda step, net: log.judged(step, removal.judge(net, held_out, JUDGED)._asdict()),
            checkpoint,
        )
    verdict = removal.judge(trainer.net, held_out, JUDGED)
    card: dict[str, object] = {
        "command": shlex.join(["abpn", *sys.argv[1:]]),
        "licence": asked.licence,
        "known failures": list(asked.known_failures),
        "data": {"photos": len(train.photos), "held out": len(held_out.photos)},
        "metrics": verdict._asdict(),
    }
    done = removal.export(trainer, asked.out, name, card)
    tell(
        f"mean difference in the holes of held-out photos: {verdict.l1:.2f} % of the range, "
        f"OpenCV's Telea {verdict.telea:.2f} %"
    )
    tell(f"weights: {shown(done)}; `abpn remove --weights {shown(done)}` uses them")


def _photos(asked: RemovalAsked, side: int, tell: Callable[[str], None]) -> tuple[Holes, Holes]:
    """Settle what to learn from, and what to judge by.

    Raises:
        UsageError: --photos is missing or no folder.
        NoPhotoError: there is nothing to learn from, or to judge by.
    """
    from ..training.removal import Holes

    root = asked.photos
    if root is None:
        raise UsageError("--photos is missing: holes are made in photos. Name their folder.")
    options.check_folder("--photos", root)
    train_on, judged_by = photos_apart(root, asked.list, asked.held_out, tell)
    if not train_on or not judged_by:
        raise NoPhotoError(f"{shown(root)}: too few photos to train on. Check --photos and --list.")
    return Holes(train_on, root, side), Holes(judged_by, root, side)
