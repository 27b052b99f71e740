"""CSRNet: a whole photo's colours by one curve of three matrices, arXiv 2009.10390.

The base network maps each pixel for itself. What it does follows from 32 numbers, the condition,
that another small network reads from the whole photo: they scale and shift the base network's
features (GFM). So for one photo the network is one map from colour to colour, the same at any size,
and its three layers with their scales and shifts fold into three matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 64  # of the base network's features
CONDITION = 32  # numbers that stand for a photo
MIN_SIDE = 5  # px: the first convolution is 7 wide, and is given 1 px of padding on either side
CONDITION_GAIN = 1.0  # of a new condition network's layers, above what keeps features as large
BASE = ("conv1.", "conv2.", "conv3.")  # parameters of the base network, which styles share


@dataclass(frozen=True)
class CsrnetConfig:
    """A CSRNet's make.

    condition_long_side: px, the photo's copy that the condition is read from has so long a side at
    most, as in training; None for the photo itself, as published.
    """

    condition_long_side: int | None = 500

    def __post_init__(self) -> None:
        """Refuse a copy that the condition cannot be read from. Raises ValueError."""
        side = self.condition_long_side
        if side is not None and side < MIN_SIDE:
            raise ValueError(f"condition_long_side {side}")


class Step(NamedTuple):
    """A layer of the base network for one photo, GFM folded in: x becomes matrix·x + offset.

    matrix: (out, in); offset: (out, 1).
    """

    matrix: Tensor
    offset: Tensor


class ConditionNetwork(nn.Module):
    """Three convolutions of stride 2, each over one pixel of zeros around; then their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, CONDITION, 7, stride=2, padding=1)
        self.conv2 = nn.Conv2d(CONDITION, CONDITION, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(CONDITION, CONDITION, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, h, w), RGB in [0, 1], sides of MIN_SIDE or more, to c: (N, 32)."""
        features = F.relu(self.conv1(image))
        features = F.relu(self.conv2(features))
        features = F.relu(self.conv3(features))
        return features.mean((2, 3))


class Csrnet(nn.Module):
    """The network; its parameters bear the names of the published ones."""

    def __init__(self, config: CsrnetConfig | None = None) -> None:
        super().__init__()
        self.config = config or CsrnetConfig()
        self.cond_net = ConditionNetwork()
        self.cond_scale1 = nn.Linear(CONDITION, WIDTH)
        self.cond_scale2 = nn.Linear(CONDITION, WIDTH)
        self.cond_scale3 = nn.Linear(CONDITION, 3)
        self.cond_shift1 = nn.Linear(CONDITION, WIDTH)
        self.cond_shift2 = nn.Linear(CONDITION, WIDTH)
        self.cond_shift3 = nn.Linear(CONDITION, 3)
        self.conv1 = nn.Conv2d(3, WIDTH, 1)
        self.conv2 = nn.Conv2d(WIDTH, WIDTH, 1)
        self.conv3 = nn.Conv2d(WIDTH, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1], to the same, not clamped; the condition is read from it."""
        return self.graded(image, self.condition(image))

    def condition(self, image: Tensor) -> Tensor:
        """Read c from (N, 3, h, w) images: (N, 32)."""
        condition: Tensor = self.cond_net(image)
        return condition

    def graded(self, image: Tensor, condition: Tensor) -> Tensor:
        """(N, 3, H, W) by the condition (N, 32) of each: (N, 3, H, W), not clamped."""
        done = [
            apply_steps(self.steps(c), pixels.flatten(1)).view_as(pixels)
            for pixels, c in zip(image, condition, strict=True)
        ]
        return torch.stack(done)

    def steps(self, condition: Tensor) -> tuple[Step, Step, Step]:
        """Fold one photo's condition, (32,), into the base network.

        GFM: h becomes h·γ + β + h, γ and β linear in c; h = W·x + b. So the layer is
        (1 + γ)·W and (1 + γ)·b + β.
        """
        layers = (
            (self.conv1, self.cond_scale1, self.cond_shift1),
            (self.conv2, self.cond_scale2, self.cond_shift2),
            (self.conv3, self.cond_scale3, self.cond_shift3),
        )
        first, second, third = (_folded(*layer, condition) for layer in layers)
        return first, second, third


def _folded(conv: nn.Conv2d, scale: nn.Linear, shift: nn.Linear, condition: Tensor) -> Step:
    assert conv.bias is not None
    gain = 1 + scale(condition)
    matrix = conv.weight[:, :, 0, 0] * gain[:, None]
    return Step(matrix, (conv.bias * gain + shift(condition))[:, None])


def apply_steps(steps: tuple[Step, Step, Step], colours: Tensor) -> Tensor:
    """Map (3, P) colours by a photo's steps: (3, P), not clamped; ReLU after the first two."""
    first, second, third = steps
    features = torch.addmm(first.offset, first.matrix, colours).relu_()
    features = torch.addmm(second.offset, second.matrix, features).relu_()
    return torch.addmm(third.offset, third.matrix, features)


def copy_size(size: tuple[int, int], long_side: int | None) -> tuple[int, int]:
    """(height, width) of the copy a condition is read from; never larger than the photo.

    long_side: as `CsrnetConfig.condition_long_side`. Sides have at least MIN_SIDE.
    """
    share = 1.0 if long_side is None else min(1.0, long_side / max(size))
    height, width = (max(MIN_SIDE, round(length * share)) for length in size)
    return height, width


@torch.no_grad()
def make_identity(net: Csrnet) -> None:
    """Let a new network return what it is given, so that training starts from there.

    Three of the features carry the colour through; the others are as they were drawn, and the last
    layer does not listen to them yet. Scales and shifts are 0 whatever the condition, and the
    condition is drawn large: what it cannot tell apart by whole numbers, scales are slow to learn.
    """
    for conv in (net.cond_net.conv1, net.cond_net.conv2, net.cond_net.conv3):
        assert conv.bias is not None
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        conv.weight *= CONDITION_GAIN
        nn.init.zeros_(conv.bias)
    for scale, shift in (
        (net.cond_scale1, net.cond_shift1),
        (net.cond_scale2, net.cond_shift2),
        (net.cond_scale3, net.cond_shift3),
    ):
        for head in (scale, shift):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
    for conv in (net.conv1, net.conv2, net.conv3):
        assert conv.bias is not None
        conv.weight[:3] = 0
        conv.bias[:3] = 0
        for channel in range(3):
            conv.weight[channel, channel] = 1
