"""Local retouching layer (LRL), paper 4.2: one encoder, a mask branch and a retouch branch.

The LRL sees the whole thumbnail (sides multiples of `LRL_MULTIPLE`), finds the target mask M and
paints the retouched thumbnail R_l. It is never tiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LRL_MULTIPLE = 64  # six stride-2 steps [D15]
MASK_STRIDE = 4  # M lies at 1/4 of the thumbnail, supplement Table 1
LEAK = 0.2  # [D7]
ENCODER_CHANNELS = (64, 128, 256, 512, 512, 512)  # F1..F6, supplement Table 1

UpMode = Literal["bilinear", "nearest"]


class LocalRetouch(NamedTuple):
    """What the LRL returns: R_l (N, 3, h, w), unclamped, and M (N, 1, h/4, w/4) in (0, 1)."""

    retouched: Tensor
    mask: Tensor


def enlarge(features: Tensor, mode: UpMode) -> Tensor:
    """Double (N, C, h, w) between decoder steps [D3]."""
    if mode == "nearest":
        return F.interpolate(features, scale_factor=2, mode="nearest")
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring M to a LAM's size [D4]: area average where it shrinks, bilinear where it grows.

    mask: (N, 1, h, w); size: (height, width), the same power-of-two ratio in both axes.
    """
    height = mask.shape[-2]
    if size[0] < height:
        return F.avg_pool2d(mask, height // size[0])
    if size[0] > height:
        return F.interpolate(mask, size=size, mode="bilinear", align_corners=False)
    return mask


def _rows(mask: Tensor) -> Tensor:
    """Say of (N, 1, h, w) that it lies in channels_last, which one channel does either way.

    Else `cat` would bring its neighbours to NCHW and each convolution would bring them back, again
    for the gradients: a fifth of a training step on a CPU.
    """
    height, width = mask.shape[-2:]
    return mask.contiguous().as_strided(mask.shape, (height * width, 1, width, 1))


def _conv(inputs: int, outputs: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=bias)


class MutualEncoder(nn.Module):
    """Six Conv3x3 stride 2, BN, ReLU: the features both branches share, supplement Table 1."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        inputs = (3, *channels[:-1])
        self.steps = nn.ModuleList(
            nn.Sequential(_conv(i, o, stride=2), nn.BatchNorm2d(o), nn.ReLU())
            for i, o in zip(inputs, channels, strict=True)
        )

    def forward(self, thumbnail: Tensor) -> list[Tensor]:
        """(N, 3, h, w) to skips F0..F6: skips[0] is the thumbnail [D1], skips[i] has h/2^i."""
        skips = [thumbnail]
        for step in self.steps:
            skips.append(step(skips[-1]))
        return skips


class MaskBranch(nn.Module):
    """Predicts the target mask M (MPB): four decoder steps and a head, supplement Table 1."""

    def __init__(self, channels: Sequence[int], up_mode: UpMode) -> None:
        super().__init__()
        self.up_mode = up_mode
        outputs = channels[-2:0:-1]  # as wide as the skip of each step: F5, F4, F3, F2
        inputs = (channels[-1], *outputs[:-1])
        self.steps = nn.ModuleList(
            nn.Sequential(_conv(i + o, o), nn.BatchNorm2d(o), nn.LeakyReLU(LEAK))
            for i, o in zip(inputs, outputs, strict=True)
        )
        self.head = _conv(outputs[-1], 1, bias=True)

    def forward(self, skips: list[Tensor]) -> Tensor:
        """Skips F0..F6 to M, (N, 1, h/4, w/4) in (0, 1)."""
        features = skips[6]
        for step, skip in zip(self.steps, skips[5:1:-1], strict=True):  # [D2]
            features = step(torch.cat([enlarge(features, self.up_mode), skip], 1))
        return torch.sigmoid(self.head(features).float())


class LocalAttentiveModule(nn.Module):
    """Gated convolution on features, skip and mask (LAM), paper 4.2 [D5, D6].

    The last one (`normalised` false) paints RGB: biases, neither BN nor LeakyReLU.
    """

    def __init__(self, inputs: int, outputs: int, normalised: bool = True) -> None:
        super().__init__()
        self.feature = _conv(inputs, outputs, bias=not normalised)
        self.gate = _conv(inputs, outputs, bias=not normalised)
        self.activation = (
            nn.Sequential(nn.BatchNorm2d(outputs), nn.LeakyReLU(LEAK))
            if normalised
            else nn.Identity()
        )

    def forward(self, features: Tensor, skip: Tensor, mask: Tensor) -> Tensor:
        """Features and skip (N, C, h, w), mask M of any size, to (N, outputs, h, w)."""
        height, width = skip.shape[-2:]
        small = _rows(resize_mask(mask, (height, width)).to(features.dtype))
        joined = torch.cat([features, skip.to(features.dtype), small], 1)
        gated: Tensor = self.activation(self.feature(joined)) * torch.sigmoid(self.gate(joined))
        return gated


class RetouchBranch(nn.Module):
    """Paints the retouched thumbnail (LRB): six LAMs from F6 up to F0, supplement Table 1."""

    def __init__(self, channels: Sequence[int], up_mode: UpMode) -> None:
        super().__init__()
        self.up_mode = up_mode
        skips = (*channels[-2::-1], 3)  # F5..F1, F0
        inputs = (channels[-1], *skips[:-1])
        self.lams = nn.ModuleList(
            LocalAttentiveModule(i + o + 1, o, normalised=o != 3)
            for i, o in zip(inputs, skips, strict=True)
        )

    @property
    def painter(self) -> LocalAttentiveModule:
        """The last LAM, which paints RGB."""
        last = self.lams[-1]
        assert isinstance(last, LocalAttentiveModule)
        return last

    def forward(self, skips: list[Tensor], mask: Tensor) -> Tensor:
        """Skips F0..F6 and M to (N, 3, h, w)."""
        features = skips[6]
        for lam, skip in zip(self.lams, skips[5::-1], strict=True):
            features = lam(enlarge(features, self.up_mode), skip, mask)
        return features


class LocalRetouchingLayer(nn.Module):
    """Encoder, mask branch and retouch branch: 41,477,919 parameters at width 1.

    width:    scales every channel count; 1.0 is the paper's.
    residual: R_l = I_l + the last LAM, which starts at zero: training starts at identity [D8].
    """

    def __init__(self, width: float, up_mode: UpMode, residual: bool) -> None:
        super().__init__()
        channels = [max(1, round(c * width)) for c in ENCODER_CHANNELS]
        self.residual = residual
        self.encoder = MutualEncoder(channels)
        self.mask_branch = MaskBranch(channels, up_mode)
        self.retouch_branch = RetouchBranch(channels, up_mode)

    def forward(self, thumbnail: Tensor) -> LocalRetouch:
        """Retouch a whole thumbnail.

        thumbnail: (N, 3, h, w) float32 RGB in [0, 1], h and w multiples of LRL_MULTIPLE.
        Returns R_l and M in float32, whatever precision the convolutions run in.
        """
        skips = self.encoder(thumbnail)
        mask = self.mask_branch(skips)
        painted = self.retouch_branch(skips, mask).float()
        return LocalRetouch(thumbnail + painted if self.residual else painted, mask)
