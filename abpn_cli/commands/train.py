"""`abpn train`: weights from a studio's before and after photos, or from photos alone."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from . import options
from .train_grading import StyleAsked, train_style
from .train_nets import Net, net_of, refuse
from .train_removal import RemovalAsked, train_removal
from .train_retouch import EPOCHS, STEPS_FROM, LossesAsked, RetouchAsked, train_retouch


class Preset(StrEnum):
    """Makes of the network: `shipped` starts from the identity, `paper` is as published."""

    SHIPPED = "shipped"
    PAPER = "paper"


MOST = (0.0, 1e9)
COUNT = (1.0, 1e9)
RANGES = {  # of options whose numbers go not from 0 to anything
    "--width": (1 / 64, 4), "--epochs": COUNT, "--steps": COUNT, "--batch": COUNT,
    "--every": COUNT, "--rate": (1e-12, 1), "--painter-share": (1e-6, 1), "--average": (0, 0.99999),
    "--drop-at": (0, 1), "--gate-peak": (0, 1), "--boost": (0, 4), "--seed": (0, 2**63 - 1),
    "--workers": (0, 1e3), "--reuse": (1, 7), "--side": (32, 4096),
    "--balance": (0, 1),
}  # fmt: skip


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
    average_start: Annotated[
        bool,
        typer.Option(
            "--average-start",
            help="The mean of weights starts with those of --from and keeps AVERAGE^STEPS of them: "
            "a long, calm mean.",
        ),
    ] = False,
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
    balance: Annotated[
        float | None,
        typer.Option(
            help="How far photos with little to do count as much as others, 0..1. [default: 0]"
        ),
    ] = None,
    device: options.Device = "auto",
    precision: Annotated[
        TrainPrecision | None,
        typer.Option(help="Number format of the convolutions. [default: float32]"),
    ] = None,
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
    check_ranges(
        {
            "--width": width, "--epochs": epochs, "--steps": steps, "--batch": batch,
            "--rate": rate, "--painter-share": painter_share, "--warm-up": warm_up,
            "--average": average, "--drop-at": drop_at, "--boost": boost, "--seed": seed,
            "--every": every, "--workers": workers, "--reuse": reuse, "--mse-weight": mse_weight,
            "--perceptual-weight": perceptual_weight, "--adversarial-weight": adversarial_weight,
            "--gate-peak": gate_peak, "--dice-weight": dice_weight, "--tv-weight": tv_weight,
            "--side": side, "--balance": balance,
        },
        gate,
    )  # fmt: skip
    kind = net_of(net, start)
    number_format = (precision or TrainPrecision.FLOAT32).value
    notes = (licence, tuple(known_failure or ()))
    unheard: dict[str, object] = {
        "--masks": masks, "--nothing": nothing, "--preset": preset, "--epochs": epochs,
        "--painter-share": painter_share, "--warm-up": warm_up, "--average": average,
        "--average-start": average_start or None, "--keep-best": keep_best, "--drop-at": drop_at,
        "--gate": gate, "--gate-peak": gate_peak, "--light-only": light_only, "--vgg16": vgg16,
        "--mse-weight": mse_weight, "--balance": balance,
    }  # fmt: skip
    if kind is Net.HIFILL:
        refuse(unheard | {"--pairs": pairs, "--freeze-base": freeze_base or None}, kind)
        train_removal(
            RemovalAsked(
                out, photos, list_, held_out, task, start, steps, batch, rate, width, side,
                adversarial_weight, seed, every, device, number_format, *notes,
            )
        )  # fmt: skip
    elif kind is Net.CSRNET:
        unheard |= {
            "--width": width, "--adversarial-weight": adversarial_weight, "--precision": precision,
        }  # fmt: skip
        refuse(unheard, kind)
        train_style(
            StyleAsked(
                out, pairs, photos, list_, held_out, task, start, steps, batch, rate, side, seed,
                every, freeze_base, *notes, install and pairs is not None,
            )
        )  # fmt: skip
    else:
        refuse({"--freeze-base": freeze_base or None, "--side": side}, kind)
        train_retouch(
            RetouchAsked(
                kind, out, pairs, photos, masks, (list_, nothing, held_out), task.strip(),
                preset.value if preset else None, width, start, epochs, steps, batch, rate,
                painter_share, warm_up, average, average_start, keep_best, drop_at, gate,
                gate_peak, light_only, boost, seed, every, vgg16,
                LossesAsked(
                    mse_weight, perceptual_weight, adversarial_weight, dice_weight, tv_weight,
                    balance,
                ),
                device, number_format, workers, reuse, *notes, install and pairs is not None,
            )
        )  # fmt: skip


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
