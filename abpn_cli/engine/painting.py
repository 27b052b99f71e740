"""The LRL, laid out for speed: the same network as `nets.lrl` in fewer passes over memory.

Batch normalisation is folded into the convolution before it; feature and gate of a LAM, which look
at the same, are one convolution; what M adds is a convolution of its own, for a map of one channel
more or less is slow to join and to walk through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..nets.lrl import (
    LEAK,
    LocalAttentiveModule,
    LocalRetouch,
    LocalRetouchingLayer,
    UpMode,
    enlarge,
    resize_mask,
)


class Laid(NamedTuple):
    """A 3 x 3 convolution: weight (o, i, 3, 3) in channels_last order, bias (o,)."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, image: Tensor, stride: int = 1) -> Tensor:
        """Convolve (1, i, h, w)."""
        return F.conv2d(image, self.weight, self.bias, stride=stride, padding=1)

    def to(self, device: torch.device) -> Laid:
        """Move it, in the order that is walked through fastest."""
        weight = self.weight.detach().to(device)
        bias = None if self.bias is None else self.bias.detach().to(device)
        return Laid(weight.contiguous(memory_format=torch.channels_last), bias)


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Laid:
    """Fold the batch normalisation that follows a convolution without bias into it."""
    assert norm.running_mean is not None and norm.running_var is not None and conv.bias is None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = norm.bias.double() - norm.running_mean.double() * scale
    return Laid((conv.weight.double() * scale[:, None, None, None]).float(), bias.float())


class _Gated(NamedTuple):
    """A LAM: `joined` sees features and skip, `marked` sees M; both make feature, then gate.

    last: it paints RGB, without activation.
    """

    joined: Laid
    marked: Laid
    last: bool

    def __call__(self, features: Tensor, skip: Tensor, mask: Tensor) -> Tensor:
        """Features and skip (1, C, h, w), M of any size, to (1, outputs, h, w)."""
        small = resize_mask(mask, (skip.shape[2], skip.shape[3]))
        both = self.joined(torch.cat([features, skip], 1))
        both += self.marked(small)
        feature, gate = both.chunk(2, 1)
        if not self.last:
            feature = F.leaky_relu_(feature, LEAK)
        return feature * gate.sigmoid_()


def _gated(lam: LocalAttentiveModule) -> _Gated:
    feature, gate = Laid(lam.feature.weight, lam.feature.bias), Laid(lam.gate.weight, lam.gate.bias)
    last = not isinstance(lam.activation, nn.Sequential)
    if not last:
        assert isinstance(lam.activation, nn.Sequential)
        norm = lam.activation[0]
        assert isinstance(norm, nn.BatchNorm2d)
        feature = folded(lam.feature, norm)
    weight = torch.cat([feature.weight, gate.weight])
    assert feature.bias is not None
    idle = torch.zeros_like(feature.bias) if gate.bias is None else gate.bias
    joined = Laid(weight[:, :-1], torch.cat([feature.bias, idle]))
    return _Gated(joined, Laid(weight[:, -1:], None), last)


class Painter:
    """An LRL on its device, in float32."""

    def __init__(self, lrl: LocalRetouchingLayer, device: torch.device) -> None:
        """Lay out the weights; the layer itself is not needed afterwards."""
        self._residual = lrl.residual
        self._up: UpMode = lrl.mask_branch.up_mode
        self._encoder = [laid.to(device) for laid in _steps(lrl.encoder.steps)]
        self._finder = [laid.to(device) for laid in _steps(lrl.mask_branch.steps)]
        head = lrl.mask_branch.head
        self._head = Laid(head.weight, head.bias).to(device)
        self._lams: list[_Gated] = []
        for lam in lrl.retouch_branch.lams:
            assert isinstance(lam, LocalAttentiveModule)
            joined, marked, last = _gated(lam)
            self._lams.append(_Gated(joined.to(device), marked.to(device), last))

    @torch.inference_mode()
    def paint(self, thumbnail: Tensor) -> LocalRetouch:
        """Retouch a whole thumbnail, as `LocalRetouchingLayer` does.

        thumbnail: (1, 3, h, w) float32 on the device, h and w multiples of LRL_MULTIPLE.
        Returns R_l and M in float32.
        """
        skips = [thumbnail]
        for step in self._encoder:
            skips.append(F.relu_(step(skips[-1], stride=2)))
        features = skips[6]
        for step, skip in zip(self._finder, skips[5:1:-1], strict=True):
            joined = torch.cat([enlarge(features, self._up), skip], 1)
            features = F.leaky_relu_(step(joined), LEAK)
        mask = torch.sigmoid(self._head(features))
        features = skips[6]
        for lam, skip in zip(self._lams, skips[5::-1], strict=True):
            features = lam(enlarge(features, self._up), skip, mask)
        return LocalRetouch(thumbnail + features if self._residual else features, mask)


def _steps(steps: nn.ModuleList) -> Sequence[Laid]:
    """The steps of an encoder or decoder, each Conv, BN and an activation."""
    laid = []
    for step in steps:
        assert isinstance(step, nn.Sequential)
        conv, norm = step[0], step[1]
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        laid.append(folded(conv, norm))
    return laid
