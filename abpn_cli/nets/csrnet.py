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

    matrix: (out, in); offset: (out, 1). For N photos each has one dimension more, before these.
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
        return self.features(image).mean((2, 3))

    def features(self, image: Tensor) -> Tensor:
        """(N, 3, h, w) to what the mean is taken of: (N, 32, about h/8, about w/8)."""
        features = F.relu(self.conv1(image))
        features = F.relu(self.conv2(features))
        return F.relu(self.conv3(features))


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
        return apply_steps(self.steps(condition), image.flatten(2)).view_as(image)

    def steps(self, condition: Tensor) -> tuple[Step, Step, Step]:
        """Fold one photo's condition, (32,), or those of N, (N, 32), into the base network.

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
    matrix = conv.weight[:, :, 0, 0] * gain[..., None]
    return Step(matrix, (conv.bias * gain + shift(condition))[..., None])


def apply_steps(steps: tuple[Step, Step, Step], colours: Tensor) -> Tensor:
    """Map (3, P) colours by a photo's steps: (3, P), not clamped; ReLU after the first two.

    For N photos: (N, 3, P) to the same.
    """
    layer = torch.addmm if colours.dim() == 2 else torch.baddbmm
    first, second, third = steps
    features = layer(first.offset, first.matrix, colours).relu_()
    features = layer(second.offset, second.matrix, features).relu_()
    return layer(third.offset, third.matrix, features)


def copy_size(size: tuple[int, int], long_side: int | None) -> tuple[int, int]:
    """(height, width) of the copy a condition is read from; never larger than the photo.

    long_side: as `CsrnetConfig.condition_long_side`. Sides have at least MIN_SIDE.
    """
    share = 1.0 if long_side is None else min(1.0, long_side / max(size))
    height, width = (max(MIN_SIDE, round(length * share)) for length in size)
    return height, width
