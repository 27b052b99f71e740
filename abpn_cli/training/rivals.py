"""LPTN and ASAP-Net as runs of training: how each is made, and trains where the command is silent.

Both were published for other tasks, unpaired or from labels. Here they learn from the pairs that
ABPN learns from; a checkpoint's settings say by which losses (`PixelWeights`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from ..errors import UsageError, WeightsError, shown
from ..nets.asapnet import AsapNet, AsapNetConfig
from ..nets.lptn import Lptn, LptnConfig
from ..weights import load
from .lessons import NetConfig
from .losses import PixelWeights
from .session import Make, Manner

ASAP_WIDTH = 1 / 8  # of the paper's stream: 81 million parameters want a GPU and days
LEAST_WIDTH = 16  # channels
GATE = (0.0, 1.0)  # of networks that have none
RATE_FROM = 1e-4  # of weights that know something already


class Rival(NamedTuple):
    """How a rival trains; mean of the weights and drop of the rate as for ABPN.

    make: its config by width, None for the default; losses: their weights.
    """

    make: Callable[[float | None], NetConfig]
    net: type[Lptn] | type[AsapNet]
    losses: PixelWeights
    rate: float
    warm_up: int = 50


def _lptn(width: float | None) -> LptnConfig:
    if width is not None:
        raise UsageError("--width: an LPTN has but one. Leave it out.")
    return LptnConfig()


def asapnet(width: float | None) -> AsapNetConfig:
    """An ASAP-Net for photos, its stream so many times as wide as the paper's.

    It learns on thumbnails of 256 px and more, predicts what to add to the photo, and its cells
    are blended: the paper's way re-synthesises every pixel, and shows the seams.
    """
    share = ASAP_WIDTH if width is None else width
    stream, most = (max(LEAST_WIDTH, round(share * full)) for full in (64, 1024))
    return AsapNetConfig(reduction=16, width=stream, most=most, residual=True, blend_cells=True)


RIVALS: Mapping[str, Rival] = {
    # squared error x1000 as published, to the target in place of the input
    "lptn": Rival(_lptn, Lptn, PixelWeights(mse=1000.0), 5e-4),
    "asapnet": Rival(asapnet, AsapNet, PixelWeights(l1=1.0), 2e-4),
}


def rival_of(name: str, start: Path | None, width: float | None) -> Make:
    """Settle a rival's network and manner; weights to go on from need not be told of what make.

    Raises:
        UsageError: a width that it cannot have.
        WeightsError: the file is missing, damaged or of another network.
    """
    rival = RIVALS[name]
    manner = Manner(
        rival.losses.mse, rival.losses.adversarial, rival.rate, 1.0, rival.warm_up, 0.99, 0.75, GATE
    )
    if start is None:
        return Make(rival.make(width), manner)
    base = load(start, torch.device("cpu")).net
    if not isinstance(base, rival.net):
        raise WeightsError(start, f"is of another network than {name}", "Check --net and --from.")
    if width is not None:
        raise UsageError(f"--width: that of --from {shown(start)} holds. Leave it out.")
    return Make(base.config, manner._replace(rate=RATE_FROM), base)
