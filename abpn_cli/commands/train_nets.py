"""What `abpn train` trains, and on what: the network by its name, the device, the losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import UsageError, WeightsError

if TYPE_CHECKING:
    import torch

    from ..training.lessons import Weights
    from ..training.losses import PerceptualLoss
    from ..training.session import Make


class NetName(StrEnum):
    """Networks that retouch, as weights files name them."""

    ABPN = "abpn"
    LPTN = "lptn"
    ASAPNET = "asapnet"


def net_of(asked: NetName | None, start: Path | None) -> NetName:
    """Settle the network: the one asked for, that of the file to go on from, or ABPN.

    Raises:
        WeightsError: the file is missing, damaged or of no network that retouches.
    """
    from ..weights import header_of

    if asked is not None or start is None:
        return asked or NetName.ABPN
    name = header_of(start).net
    if name not in list(NetName):
        raise WeightsError(start, f"holds a '{name}' network", "Give weights of a retouching task.")
    return NetName(name)


def make_of(
    net: NetName,
    start: Path | None,
    preset: str | None,
    width: float | None,
    task: str,
    foreign: Mapping[str, object],
) -> Make:
    """Settle the network of a run and how it trains where the command does not say.

    foreign: options that ABPN alone has, by name; None where not given.

    Raises:
        UsageError: one of them is given for a rival, or they contradict --from.
        WeightsError: the file to go on from is missing, damaged or of another network.
    """
    from ..training import session
    from ..training.rivals import rival_of

    if net is NetName.ABPN:
        return session.make_of(start, preset, width, task)
    given = [option for option, value in foreign.items() if value is not None]
    if given:
        raise UsageError(f"{given[0]} is about ABPN, and --net is {net.value}. Leave one out.")
    return rival_of(net.value, start, width)


def losses_of(
    net: NetName,
    mse: float,
    perceptual: float,
    adversarial: float,
    dice: float,
    tv: float,
) -> Weights:
    """Weights of the losses that a network knows."""
    from ..training.losses import LossWeights
    from ..training.rivals import RIVALS

    if net is NetName.ABPN:
        return LossWeights(mse, perceptual, adversarial, dice, tv)
    return replace(RIVALS[net.value].losses, mse=mse, adversarial=adversarial)


def device_of(name: str) -> torch.device:
    """The device to train on, this process's own where `torchrun` started several.

    Raises:
        UsageError: an unknown device, or not the one that `torchrun` hands out.
        DeviceError: CUDA asked for and not there.
    """
    from ..engine import choose_device
    from ..training.train import join_group

    chosen = choose_device(name)
    given = join_group()
    if given is not None and name not in ("auto", given.type):
        raise UsageError(
            f"--device {name}: torchrun hands out {given.type} here. Leave the option out."
        )
    return given or chosen


def teller() -> Callable[[str], None]:
    """Say something on stderr, in the first process only."""
    from ..report.training import is_first_process

    return (lambda text: typer.echo(text, err=True)) if is_first_process() else (lambda text: None)


def perceptual_of(
    file: Path | None, weight: float, tell: Callable[[str], None]
) -> PerceptualLoss | None:
    """Load the perceptual backbone; without one the loss is off, and the log says so."""
    from ..training.losses import PerceptualLoss

    if file is None or weight == 0:
        tell("perceptual loss off: weight 0" if file else "perceptual loss off: no --vgg16 given")
        return None
    return PerceptualLoss(file)
