"""`abpn train` for the networks that retouch: ABPN and its rivals, from pairs or from photos."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ..errors import UsageError, shown
from .train_data import data_of
from .train_means import check_out, device_of, perceptual_of, teller
from .train_nets import Net, losses_of, make_of, refuse

if TYPE_CHECKING:
    from ..training.session import Finished, Manner, Run
    from ..training.train import Settings

Value = TypeVar("Value")

EPOCHS = 200
BATCH = 8
STEPS_FROM = 1000  # of weights that know something already


class LossesAsked(NamedTuple):
    """Weights of the losses, as given."""

    mse: float | None
    perceptual: float
    adversarial: float | None
    dice: float
    tv: float
    balance: float | None


class RetouchAsked(NamedTuple):
    """The options of a run that teaches to retouch, as given.

    lists: of --list, --nothing and --held-out.
    """

    net: Net
    out: Path
    pairs: tuple[Path, Path] | None
    photos: Path | None
    masks: Path | None
    lists: tuple[Path | None, Path | None, Path | None]
    task: str
    preset: str | None
    width: float | None
    start: Path | None
    epochs: int | None
    steps: int | None
    batch: int | None
    rate: float | None
    painter_share: float | None
    warm_up: int | None
    average: float | None
    average_start: bool
    keep_best: bool | None
    drop_at: float | None
    gate: tuple[float, float] | None
    gate_peak: float | None
    light_only: bool | None
    boost: float
    seed: int
    every: int
    vgg16: Path | None
    losses: LossesAsked
    device: str
    precision: str
    workers: int
    reuse: int
    licence: str
    known_failures: tuple[str, ...]
    installs: bool


def train_retouch(asked: RetouchAsked) -> None:
    """Train, or go on training, and write the weights with their card.

    Raises:
        UsageError, WeightsError, TargetError, NoPhotoError, DeviceError: the run cannot be meant,
            or not be done.
    """
    from ..report.training import training_log
    from ..training import session
    from ..training.reuse import Reused
    from ..training.train import Trainer

    check_asked(asked)
    config, manner, base = make_of(asked.net, asked.start, asked.preset, asked.width, asked.task)
    check_out(asked.out, asked.pairs or ())
    where = device_of(asked.device)
    tell = teller()
    batch = settled(asked.batch, BATCH)
    data = data_of(
        asked.pairs, asked.photos, asked.masks, asked.lists, asked.task,
        session.levels_of(config), batch, asked.seed, tell,
    )  # fmt: skip
    backbone = None
    if asked.net is Net.ABPN:
        backbone = perceptual_of(asked.vgg16, asked.losses.perceptual, tell)
    steps = asked.steps
    if steps is None and (base is None or asked.epochs is not None):
        passes = settled(asked.epochs, EPOCHS)
        steps = passes * max(1, data.photos // (batch * session.processes()))
    settings = _settings_of(asked, manner, settled(steps, STEPS_FROM), backbone is not None)
    first = base.state_dict() if base else None
    source = Reused(data.source, asked.reuse)
    trainer = Trainer(config, settings, source, where, backbone, first)
    card: dict[str, object] = {
        "command": shlex.join(["abpn", *sys.argv[1:]]), "licence": asked.licence,
        "known failures": list(asked.known_failures),
    }  # fmt: skip
    if asked.start is not None:
        card["from"] = session.origin_of(asked.start)
    with training_log(settings.steps) as log:
        done = session.train(
            trainer, data, _run_of(asked, manner, getattr(config, "style", "")), card,
            lambda at: log.step(at.step, at.losses, at.images * session.processes()),
            lambda step, scores: log.judged(step, scores._asdict()),
            base,
        )  # fmt: skip
    session.leave_group()
    tell_end(done, asked.start, tell)
    if asked.installs:
        install_for(asked.task, done.weights, tell)


def check_asked(asked: RetouchAsked) -> None:
    """Refuse options that contradict one another or that the network does not heed.

    Raises:
        UsageError: names them and what to do.
    """
    if asked.steps is not None and asked.epochs is not None:
        raise UsageError("--steps and --epochs both say how long to train. Leave one out.")
    if asked.average_start and asked.start is None:
        raise UsageError("--average-start: the run starts from nothing. Give --from, or leave it.")
    check_task(asked.task, asked.installs)
    if asked.net is not Net.ABPN:
        unheard = {
            "--preset": asked.preset, "--painter-share": asked.painter_share,
            "--gate": asked.gate, "--gate-peak": asked.gate_peak,
            "--light-only": asked.light_only, "--vgg16": asked.vgg16,
            "--balance": asked.losses.balance,
        }  # fmt: skip
        refuse(unheard, asked.net)


def _settings_of(asked: RetouchAsked, manner: Manner, steps: int, perceptual: bool) -> Settings:
    """How the run goes: as the command says, or else in the manner of its network."""
    from ..training.train import Settings

    losses = asked.losses
    return Settings(
        steps=steps, task=asked.task, every=asked.every, seed=asked.seed,
        precision=asked.precision, workers=asked.workers,
        rate=settled(asked.rate, manner.rate), drop_at=settled(asked.drop_at, manner.drop_at),
        warm_up=settled(asked.warm_up, manner.warm_up),
        average=settled(asked.average, manner.average), average_start=asked.average_start,
        painter_share=settled(asked.painter_share, manner.painter_share),
        keep_best=settled(asked.keep_best, asked.pairs is not None),
        weights=losses_of(
            asked.net, settled(losses.mse, manner.mse), losses.perceptual if perceptual else 0.0,
            settled(losses.adversarial, manner.adversarial), losses.dice, losses.tv,
            settled(losses.balance, 0.0),
        ),
    )  # fmt: skip


def _run_of(asked: RetouchAsked, manner: Manner, style: str) -> Run:
    """Where the run's files go and what its finished weights are given."""
    from ..training.session import STYLE_PEAKS, Run

    peaks: tuple[float, ...] = (settled(asked.gate_peak, manner.peak),)
    if asked.pairs and asked.gate_peak is None:
        peaks = tuple(max(manner.peak, peak) for peak in STYLE_PEAKS)
    light = settled(asked.light_only, asked.pairs is None and style == "cloth")
    return Run(asked.out, settled(asked.gate, manner.gate), asked.boost, peaks, light)


def settled(given: Value | None, by_preset: Value) -> Value:
    """Return what the command says, or else what the preset does."""
    return by_preset if given is None else given


def tell_end(done: Finished, start: Path | None, tell: Callable[[str], None]) -> None:
    """Tell what the weights gain, over photos untouched and over those they started from."""
    from ..training.session import gain_over

    own = done.scores
    tell(
        f"over photos untouched: {own.in_gain:+.2f} dB inside what is retouched, "
        f"{own.out_gain:+.2f} dB outside; {own.harm:.1f} dB on photos with nothing to do"
    )
    if done.base is not None and start is not None:
        gain = gain_over(done.base, own)
        tell(
            f"over {shown(start.name)}: {gain['inside']:+.2f} dB inside, "
            f"{gain['outside']:+.2f} dB outside; {gain['harm']:+.1f} dB with nothing to do"
        )
    tell(f"weights: {shown(done.weights)}")


def install_for(task: str, weights: Path, tell: Callable[[str], None]) -> None:
    """Put weights among the user's own, the first process alone."""
    from ..report.training import is_first_process
    from ..training.session import install
    from ..weights import find_own, hash_of

    if is_first_process():
        had = find_own(task)
        there = install(weights)
        replaced = ", in place of other weights" if had and had != hash_of([there]) else ""
        tell(f"installed: {shown(there)}{replaced}; `abpn retouch --task {task}` uses it")


def check_task(task: str, installs: bool) -> None:
    """Refuse a name that cannot name weights, or where they are installed, one that is taken.

    Raises:
        UsageError: names what to do instead.
    """
    from ..weights import packaged_tasks

    if not task or Path(task).name != task or "," in task:
        raise UsageError(f"--task '{task}': cannot name a file. Leave out slashes and commas.")
    if installs and task.casefold() in map(str.casefold, packaged_tasks()):
        raise UsageError(
            f"--task {task}: is a task of abpn's own. Choose another name, or --no-install."
        )
