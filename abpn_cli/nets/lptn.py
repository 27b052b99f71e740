"""LPTN: colour and light are translated in a small image, detail is re-weighted above it.

Liang, Zeng and Zhang, CVPR 2021 (arXiv 2105.09188), after our specification (lptn.md). Images are
(N, 3, H, W), RGB, display-encoded in [0, 1], of any size. Names of modules are those of the
published state dict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from .bpl import down, up

Variant = Literal["repo", "paper"]
MASK_CHANNELS = {"repo": 3, "paper": 1}  # C: as improved after publication, and as published
WIDTH = 64  # channels of the residual blocks
NARROW = 16  # channels at the ends of the low branch, and of the layers P_t
LOW_BLOCKS, HIGH_BLOCKS = 5, 3
MIN_SIDE = 16  # px: the smallest photo that leaves something to convolve at 1/8


@dataclass(frozen=True)
class LptnConfig:
    """What an LPTN is made of; lies in every checkpoint.

    variant: "repo", the mask as the authors improved it, or "paper", as published;
    bands:   L, Laplacian bands above the low image.
    """

    variant: Variant = "repo"
    bands: int = 3

    def __post_init__(self) -> None:
        """Refuse what no network can be made of.

        Raises:
            ValueError: names the key.
        """
        if self.variant not in MASK_CHANNELS:
            raise ValueError(f"variant {self.variant}")
        if not 1 <= self.bands <= 8:
            raise ValueError(f"bands {self.bands}")


class Bands(NamedTuple):
    """A photo taken apart: Laplacian bands h_0..h_{L-1}, finest first, and the low image I_L."""

    highs: list[Tensor]
    low: Tensor


def nearest(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize to `size` (height, width) by the nearest pixel: position floor(i·from/to)."""
    for axis, wanted in ((2, size[0]), (3, size[1])):
        had = image.shape[axis]
        if had != wanted:
            index = nearest_index(had, wanted).to(image.device)
            image = image.index_select(axis, index)
    return image


def nearest_index(had: int, wanted: int) -> Tensor:
    """Which of `had` positions each of `wanted` takes, in integers: no size is rounded wrong."""
    return torch.arange(wanted) * had // wanted


def expand(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Double an image, and bring it to an odd `size` by the nearest pixel."""
    doubled = up(image, (2 * image.shape[2], 2 * image.shape[3]))
    return nearest(doubled, size)


def take_apart(image: Tensor, bands: int) -> Bands:
    """Split a photo; a side of n px is halved to ceil(n/2)."""
    highs = []
    for _ in range(bands):
        halved = down(image)
        highs.append(image - expand(halved, (image.shape[2], image.shape[3])))
        image = halved
    return Bands(highs, image)


def put_together(bands: Bands) -> Tensor:
    """Undo `take_apart`."""
    image = bands.low
    for high in reversed(bands.highs):
        image = expand(image, (high.shape[2], high.shape[3])) + high
    return image


class ResidualBlock(nn.Module):
    """x + Conv3x3(LeakyReLU(Conv3x3 x))."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.LeakyReLU(0.01),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 64, h, w) to the same."""
        added: Tensor = x + self.block(x)
        return added


class LowBranch(nn.Module):
    """Translates the low image; its InstanceNorm must see all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, NARROW, 3, padding=1),
            nn.InstanceNorm2d(NARROW),
            nn.LeakyReLU(0.01),
            nn.Conv2d(NARROW, WIDTH, 3, padding=1),
            nn.LeakyReLU(0.01),
            *(ResidualBlock() for _ in range(LOW_BLOCKS)),
            nn.Conv2d(WIDTH, NARROW, 3, padding=1),
            nn.LeakyReLU(0.01),
            nn.Conv2d(NARROW, 3, 3, padding=1),
        )

    def forward(self, low: Tensor) -> Tensor:
        """I_L to the translated one, in (-1, 1): tanh is the authors', on values in [0, 1] too."""
        return torch.tanh(low + self.model(low))


class HighBranch(nn.Module):
    """Finds the mask m at the second-smallest level, and P_t that carry it to finer bands."""

    def __init__(self, config: LptnConfig) -> None:
        super().__init__()
        channels = MASK_CHANNELS[config.variant]
        self.variant = config.variant
        self.bands = config.bands
        self.model = nn.Sequential(
            nn.Conv2d(9, WIDTH, 3, padding=1),
            nn.LeakyReLU(0.01),
            *(ResidualBlock() for _ in range(HIGH_BLOCKS)),
            nn.Conv2d(WIDTH, channels, 3, padding=1),
        )
        for t in range(config.bands):
            layer = nn.Sequential(
                nn.Conv2d(channels, NARROW, 1), nn.LeakyReLU(0.01), nn.Conv2d(NARROW, channels, 1)
            )
            self.add_module(f"trans_mask_block_{t}", layer)

    @property
    def reach(self) -> int:
        """How far, px of its level, a pixel of m looks: one for each 3x3 convolution."""
        return 2 + 2 * HIGH_BLOCKS

    def mask(self, high: Tensor, low: Tensor, translated: Tensor) -> Tensor:
        """m, (N, C, h, w), of h_{L-1}, and of I_L and its translation at the size of h_{L-1}."""
        found: Tensor = self.model(torch.cat([high, low, translated], 1))
        return found

    def carried(self, mask: Tensor, level: int) -> Tensor:
        """What of m goes on from band `level` to the next finer one: refined in "paper" alone."""
        return self._layer(level)(mask) if self.variant == "paper" else mask

    def weigh(self, high: Tensor, mask: Tensor, level: int) -> Tensor:
        """Re-weight band `level`, (N, 3, h, w), by what `carried` made of m at its size."""
        if self.variant == "paper":
            return high * mask
        weighed: Tensor = self._layer(level)(high * mask + high)
        return weighed

    def _layer(self, level: int) -> nn.Module:
        """P_t of a band: t counts from the coarsest."""
        return self.get_submodule(f"trans_mask_block_{self.bands - 1 - level}")


class Lptn(nn.Module):
    """Laplacian Pyramid Translation Network: 617,567 parameters, "paper" 616,215, at three bands.

    Unlike ABPN it has no mask: whatever it sees comes out anew.
    """

    def __init__(self, config: LptnConfig) -> None:
        super().__init__()
        self.config = config
        self.trans_low = LowBranch()
        self.trans_high = HighBranch(config)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to the same, not clamped; any size from MIN_SIDE on."""
        highs, low = take_apart(image, self.config.bands)
        translated = self.trans_low(low)
        size = (highs[-1].shape[2], highs[-1].shape[3])
        mask = self.trans_high.mask(highs[-1], nearest(low, size), nearest(translated, size))
        weighed = list(highs)
        for level in reversed(range(self.config.bands)):
            high = highs[level]
            mask = self.trans_high.carried(nearest(mask, (high.shape[2], high.shape[3])), level)
            weighed[level] = self.trans_high.weigh(high, mask, level)
        return put_together(Bands(weighed, translated))

    def repainted(self, image: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in [0, 1] to the same, not clamped: what ASAP-Net does as well."""
        result: Tensor = self(image)
        return result
