"""`abpn train`: weights from a studio's before and after photos, or from photos alone."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ..errors import UsageError, shown
from . import options
from .train_data import data_of
from .train_grading import StyleAsked, train_style
from .train_means import check_out, device_of, perceptual_of, teller
from .train_nets import Net, losses_of, make_of, net_of, refuse
from .train_removal import RemovalAsked, train_removal

if TYPE_CHECKING:
    from ..training.session import Finished

Value = TypeVar("Value")


class Preset(StrEnum):
    """Makes of the network: `shipped` starts from the identity, `paper` is as published."""

    SHIPPED = "shipped"
    PAPER = "paper"


EPOCHS = 200
BATCH = 8
MOST = (0.0, 1e9)
COUNT = (1.0, 1e9)
RANGES = {  # of options whose numbers go not from 0 to anything
    "--width": (1 / 64, 4), "--epochs": COUNT, "--steps": COUNT, "--batch": COUNT,
    "--every": COUNT, "--rate": (1e-12, 1), "--painter-share": (1e-6, 1), "--average": (0, 0.99999),
    "--drop-at": (0, 1), "--gate-peak": (0, 1), "--boost": (0, 4), "--seed": (0, 2**63 - 1),
    "--workers": (0, 1e3), "--reuse": (1, 7), "--side": (32, 4096),
}  # fmt: skip
STEPS_FROM = 1000  # of weights that know something already


class TrainPrecision(StrEnum):
    """Number format of the convolutions while training."""

    FLOAT32 = "float32"
    BF16 = "bf16"


def train(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of this run.")],
    pairs: options.PairFolders = None,
    photos: options.PhotoFolder = None,
    masks: options.LabelMaps = None,
    list_: options.ClothList = None,
    nothing: options.NothingPhotos = None,
    held_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Which of --photos to validate on.")
    ] = None,
    task: Annotated[str, typer.Option(help="What the weights retouch; names the file.")] = "cloth",
    net: Annotated[
        Net | None,
        typer.Option(
            help="The network: csrnet grades, hifill removes, the others retouch. [default: that "
            "of --from, else abpn]",
            show_default=False,
        ),
    ] = None,
    freeze_base: Annotated[
        bool,
        typer.Option(
            "--freeze-base", help="With csrnet: the condition alone learns, from few pairs."
        ),
    ] = False,
    side: Annotated[
        int | None,
        typer.Option(
            help="With hifill: px of the square it works on. [default: 512] With csrnet: px of "
            "the squares it learns from; small ones are quick, and a run without it is to follow."
        ),
    ] = None,
    preset: Annotated[
        Preset | None,
        typer.Option(help="The make of the network. [default: that of --from, else shipped]"),
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(
            help="Width of the LRL, or of an ASAP-Net's stream; 1 is the paper's. "
            "[default: that of --from, else 0.5, asapnet 0.125]"
        ),
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Weights to go on from.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help=f"Passes over the photos. [default: {EPOCHS}]")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help=f"Steps in all, in place of --epochs. [default: {STEPS_FROM} with --from]"
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Photos a step. [default: 8]")] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Learning rate of Adam. [default: 5e-4; 2e-4 with --from]"),
    ] = None,
    painter_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the rate for the layers that write into the picture. "
            "[default: 0.15 for shipped, 1 for paper]"
        ),
    ] = None,
    warm_up: Annotated[
        int | None,
        typer.Option(
            help="Steps over which the rate rises from 0. [default: 50 for shipped, 0 for paper]"
        ),
    ] = None,
    average: Annotated[
        float | None,
        typer.Option(
            help="Decay of the mean of weights that is judged; 0 for none. "
            "[default: 0.99 for shipped, 0 for paper]"
        ),
    ] = None,
    keep_best: Annotated[
        bool | None,
        typer.Option(
            "--keep-best/--keep-last",
            show_default=False,
            help="Weights that validation liked best, or the last ones. "
            "[default: best with --pairs, last with --photos]",
        ),
    ] = None,
    drop_at: Annotated[
        float | None,
        typer.Option(
            help="Share of the run after which rate is x0.1. "
            "[default: 0.75 for shipped, 0.5 for paper]"
        ),
    ] = None,
    gate: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Mask values from which a pixel is touched, wholly. "
            "[default: those of --from, else 0.4 0.6 for shipped, 0.1 0.3 for paper]",
        ),
    ] = None,
    gate_peak: Annotated[
        float | None,
        typer.Option(
            help="Mask value that a patch must rise to somewhere to be touched at all. "
            "[default: that of --from, else 0; with --pairs 0.95, more where photos of --nothing "
            "that were held back need it]"
        ),
    ] = None,
    light_only: Annotated[
        bool | None,
        typer.Option(
            "--light-only/--any-colour",
            help="Edits change light, never hue. [default: light with --photos for cloth]",
            show_default=False,
        ),
    ] = None,
    boost: Annotated[
        float, typer.Option(help="What the finished weights' edit is multiplied by.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of weights and pairs.")] = 0,
    every: Annotated[int, typer.Option(help="Steps between checkpoints and validations.")] = 500,
    vgg16: Annotated[
        Path | None, typer.Option(metavar="FILE", help="VGG-16 backbone for the perceptual loss.")
    ] = None,
    mse_weight: Annotated[
        float | None,
        typer.Option(
            help="Weight of the multi-scale MSE. "
            "[default: 1000 for shipped and lptn, 1 for paper, 0 for asapnet]"
        ),
    ] = None,
    perceptual_weight: Annotated[float, typer.Option(help="Weight of the perceptual loss.")] = 0.1,
    adversarial_weight: Annotated[
        float | None,
        typer.Option(help="Weight of the adversarial loss. [default: 0.1 for paper, else 0]"),
    ] = None,
    dice_weight: Annotated[float, typer.Option(help="Weight of the mask's dice loss.")] = 1.0,
    tv_weight: Annotated[float, typer.Option(help="Weight of the layers' smoothness.")] = 0.1,
    device: options.Device = "auto",
    precision: Annotated[
        TrainPrecision, typer.Option(help="Number format of the convolutions.")
    ] = TrainPrecision.FLOAT32,
    workers: Annotated[int, typer.Option(help="Processes that make pairs.")] = 1,
    reuse: Annotated[
        int, typer.Option(help="Times each pair is used, in other light; 1 to 7.")
    ] = 1,
    licence: Annotated[str, typer.Option(help="Licence and data note for the card.")] = "",
    known_failure: Annotated[
        list[str] | None,
        typer.Option(help="What the weights are known to do wrong, for the card; more than once."),
    ] = None,
    install: Annotated[
        bool,
        typer.Option(
            "--install/--no-install",
            help="With --pairs: put the weights where `--task NAME` finds them.",
        ),
    ] = True,
) -> None:
    """Train weights, from before and after photos (--pairs) or photos alone (--photos).

    Give the same command again to go on where a killed run stopped. The weights and their card
    end up in the run's folder, and with --pairs among the user's own weights too: then
    `abpn retouch --task NAME` has your style. --from goes on from weights that are there, which
    takes fewer photos and less time than a start from nothing.
    """
    from ..report.training import training_log
    from ..training import session
    from ..training.reuse import Reused
    from ..training.train import Settings, Trainer

    check_ranges(
        {
            "--width": width, "--epochs": epochs, "--steps": steps, "--batch": batch,
            "--rate": rate, "--painter-share": painter_share, "--warm-up": warm_up,
            "--average": average, "--drop-at": drop_at, "--boost": boost, "--seed": seed,
            "--every": every, "--workers": workers, "--reuse": reuse, "--mse-weight": mse_weight,
            "--perceptual-weight": perceptual_weight, "--adversarial-weight": adversarial_weight,
            "--gate-peak": gate_peak, "--dice-weight": dice_weight, "--tv-weight": tv_weight,
            "--side": side,
        },
        gate,
    )  # fmt: skip
    kind = net_of(net, start)
    unheard: dict[str, object] = {
        "--masks": masks, "--nothing": nothing, "--preset": preset, "--epochs": epochs,
        "--painter-share": painter_share, "--warm-up": warm_up, "--average": average,
        "--keep-best": keep_best, "--drop-at": drop_at, "--gate": gate, "--gate-peak": gate_peak,
        "--light-only": light_only, "--vgg16": vgg16, "--mse-weight": mse_weight,
    }  # fmt: skip
    if kind is Net.HIFILL:
        refuse(unheard | {"--pairs": pairs, "--freeze-base": freeze_base or None}, kind)
        train_removal(
            RemovalAsked(
                out, photos, list_, held_out, task, start, steps, batch, rate, width, side,
                adversarial_weight, seed, every, device, licence, tuple(known_failure or ()),
            )
        )  # fmt: skip
        return
    if kind is Net.CSRNET:
        refuse(unheard | {"--width": width, "--adversarial-weight": adversarial_weight}, kind)
        train_style(
            StyleAsked(
                out, pairs, photos, list_, held_out, task, start, steps, batch, rate, side, seed,
                every, freeze_base, licence, tuple(known_failure or ()),
                install and pairs is not None,
            )
        )  # fmt: skip
        return
    refuse({"--freeze-base": freeze_base or None, "--side": side}, kind)
    batch = settled(batch, BATCH)
    if steps is not None and epochs is not None:
        raise UsageError("--steps and --epochs both say how long to train. Leave one out.")
    task = task.strip()
    installs = install and pairs is not None
    check_task(task, installs)
    if kind is not Net.ABPN:
        unheard = {
            "--preset": preset, "--painter-share": painter_share, "--gate": gate,
            "--gate-peak": gate_peak, "--light-only": light_only, "--vgg16": vgg16,
        }  # fmt: skip
        refuse(unheard, kind)
    config, manner, base = make_of(kind, start, preset.value if preset else None, width, task)
    check_out(out, pairs or ())
    where = device_of(device)
    tell = teller()
    data = data_of(
        pairs, photos, masks, (list_, nothing, held_out), task, session.levels_of(config), batch,
        seed, tell,
    )  # fmt: skip
    backbone = None
    if kind is Net.ABPN:
        backbone = perceptual_of(vgg16, perceptual_weight, tell)
    if steps is None and (base is None or epochs is not None):
        passes = settled(epochs, EPOCHS)
        steps = passes * max(1, data.photos // (batch * session.processes()))
    settings = Settings(
        steps=settled(steps, STEPS_FROM),
        task=task, every=every, seed=seed, precision=precision.value, workers=workers,
        rate=settled(rate, manner.rate), drop_at=settled(drop_at, manner.drop_at),
        warm_up=settled(warm_up, manner.warm_up), average=settled(average, manner.average),
        painter_share=settled(painter_share, manner.painter_share),
        keep_best=settled(keep_best, pairs is not None),
        weights=losses_of(
            kind, settled(mse_weight, manner.mse), perceptual_weight if backbone else 0.0,
            settled(adversarial_weight, manner.adversarial), dice_weight, tv_weight,
        ),
    )  # fmt: skip
    first = base.state_dict() if base else None
    trainer = Trainer(config, settings, Reused(data.source, reuse), where, backbone, first)
    card: dict[str, object] = {
        "command": shlex.join(["abpn", *sys.argv[1:]]), "licence": licence,
        "known failures": known_failure or [],
    }  # fmt: skip
    if start is not None:
        card["from"] = session.origin_of(start)
    peaks: tuple[float, ...] = (settled(gate_peak, manner.peak),)
    if pairs and gate_peak is None:
        peaks = tuple(max(manner.peak, peak) for peak in session.STYLE_PEAKS)
    light = settled(light_only, pairs is None and getattr(config, "style", "") == "cloth")
    run = session.Run(out, settled(gate, manner.gate), boost, peaks, light)
    with training_log(settings.steps) as log:
        done = session.train(
            trainer, data, run, card,
            lambda at: log.step(at.step, at.losses, at.images * session.processes()),
            lambda step, scores: log.judged(step, scores._asdict()),
            base,
        )  # fmt: skip
    session.leave_group()
    tell_end(done, start, tell)
    if installs:
        install_for(task, done.weights, tell)


def check_ranges(
    given: Mapping[str, float | None], gate: tuple[float, float] | None = None
) -> None:
    """Refuse numbers out of range, by option; what is not given is None.

    Raises:
        UsageError: names the first of them.
    """
    for option, value in given.items():
        if value is not None:
            options.check_range(option, value, *RANGES.get(option, MOST))
    if gate is not None and not 0 <= gate[0] < gate[1] <= 1:
        raise UsageError(f"--gate {gate[0]:g} {gate[1]:g}: give two numbers, 0 <= LOW < HIGH <= 1.")


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
