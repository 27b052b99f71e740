"""What `abpn train` trains: the network by its name, and the losses that it knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError, WeightsError

if TYPE_CHECKING:
    from ..training.lessons import Weights
    from ..training.session import Make


class Net(StrEnum):
    """Networks that can be trained, as weights files name them.

    `csrnet` grades, `hifill` removes, the others retouch.
    """

    ABPN = "abpn"
    LPTN = "lptn"
    ASAPNET = "asapnet"
    CSRNET = "csrnet"
    HIFILL = "hifill"


def net_of(asked: Net | None, start: Path | None) -> Net:
    """Settle the network: the one asked for, that of the file to go on from, or ABPN.

    Raises:
        WeightsError: the file is missing, damaged or of no network that can be trained.
    """
    from ..weights import header_of

    if asked is not None or start is None:
        return asked or Net.ABPN
    name = header_of(start).net
    if name not in list(Net):
        raise WeightsError(start, f"holds a '{name}' network", "Give weights that abpn trained.")
    return Net(name)


def refuse(given: Mapping[str, object], net: Net) -> None:
    """Refuse options that a network's training does not heed; what is not given is None.

    Raises:
        UsageError: names the first of them.
    """
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{option} is not for --net {net}. Leave it out.")


def make_of(
    net: Net,
    start: Path | None,
    preset: str | None,
    width: float | None,
    task: str,
) -> Make:
    """Settle the network of a run that retouches, and how it trains where nothing is said.

    Raises:
        UsageError: a preset or width that the network, or the file to go on from, does not have.
        WeightsError: the file to go on from is missing, damaged or of another network.
    """
    from ..training import session
    from ..training.rivals import rival_of

    if net is Net.ABPN:
        return session.make_of(start, preset, width, task)
    return rival_of(net.value, start, width)


def losses_of(
    net: Net,
    mse: float,
    perceptual: float,
    adversarial: float,
    dice: float,
    tv: float,
    balance: float,
) -> Weights:
    """Weights of the losses that a network knows."""
    from ..training.losses import LossWeights
    from ..training.rivals import RIVALS

    if net is Net.ABPN:
        return LossWeights(mse, perceptual, adversarial, dice, tv, balance)
    return replace(RIVALS[net.value].losses, mse=mse, adversarial=adversarial)
