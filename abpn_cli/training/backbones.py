"""Perceptual backbones from a user's file: VGG-16 and AlexNet features, and LPIPS on top.

The files are safetensors with torchvision's `features.*` names; for LPIPS they also hold the
linear layers `lin0..4.model.1.weight` of version 0.1. None of them ships with abpn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import WeightsError

VGG16_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
VGG16_TAPS = (3, 8, 15, 22, 29)  # `features` indices of relu1_2, 2_2, 3_3, 4_3, 5_3
ALEXNET_TAPS = (1, 4, 7, 9, 11)  # relu1..relu5
LPIPS_SHIFT = (-0.030, -0.088, -0.188)
LPIPS_SCALE = (0.458, 0.448, 0.450)
NORM_EPSILON = 1e-10


def read_backbone(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a backbone file.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            file, f"cannot be read as a backbone ({error})", "Give a safetensors file of one."
        ) from error


def vgg16_features(file: Path, tensors: Mapping[str, Tensor], last: int) -> nn.Sequential:
    """Rebuild VGG-16 up to and with layer `last` (torchvision's numbers, 15 is relu3_3).

    Raises:
        WeightsError: a tensor is missing or of another shape.
    """
    layers: list[nn.Module] = []
    channels = 3
    for width in VGG16_WIDTHS:  # 0: max pooling
        if len(layers) > last:
            break
        if width == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        conv = nn.Conv2d(channels, width, 3, padding=1)
        layers += [_filled(file, tensors, conv, len(layers), "VGG-16"), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers)


def alexnet_features(file: Path, tensors: Mapping[str, Tensor]) -> nn.Sequential:
    """Rebuild AlexNet's convolutions, 12 layers up to relu5.

    Raises:
        WeightsError: a tensor is missing or of another shape.
    """
    convs = (
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.Conv2d(256, 256, 3, padding=1),
    )
    layers: list[nn.Module] = []
    for number, conv in enumerate(convs):
        layers += [_filled(file, tensors, conv, len(layers), "AlexNet"), nn.ReLU()]
        if number < 2:
            layers.append(nn.MaxPool2d(3, 2))
    return nn.Sequential(*layers)


def _filled(
    file: Path, tensors: Mapping[str, Tensor], conv: nn.Conv2d, index: int, kind: str
) -> nn.Conv2d:
    name = f"features.{index}"
    try:
        conv.load_state_dict({p: tensors[f"{name}.{p}"].float() for p in ("weight", "bias")})
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            file, f"is no {kind}: {name} missing or of another shape", f"Give {kind} weights."
        ) from error
    return conv


class Lpips(nn.Module):
    """LPIPS 0.1 (Zhang et al., CVPR 2018): how different two pictures look; 0 is equal."""

    shift: Tensor
    scale: Tensor

    def __init__(self, file: Path) -> None:
        """Read AlexNet or VGG-16 with its linear layers, whichever the file holds.

        Raises:
            WeightsError: it holds neither whole.
        """
        super().__init__()
        tensors = read_backbone(file)
        first = tensors.get("features.0.weight")
        if first is not None and first.shape[-1] == 11:
            self.features, self.taps = alexnet_features(file, tensors), ALEXNET_TAPS
        else:
            self.features = vgg16_features(file, tensors, VGG16_TAPS[-1])
            self.taps = VGG16_TAPS
        try:
            lines = [tensors[f"lin{i}.model.1.weight"].float() for i in range(len(self.taps))]
        except KeyError as error:
            raise WeightsError(
                file, f"holds no LPIPS layers ({error} is missing)", "Give an LPIPS backbone."
            ) from error
        self.lines = nn.ParameterList(lines)
        self.register_buffer("shift", torch.tensor(LPIPS_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(LPIPS_SCALE).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(N, 3, H, W) RGB in [0, 1], twice, to (N,) distances."""
        total = a.new_zeros(len(a))
        for layer in self.layers(a, b):
            total = total + layer.mean((1, 2))
        return total

    def layers(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """The distances of each tap, (N, h, w) of its own size; arguments as of `forward`."""
        found = []
        a, b = ((2 * x - 1 - self.shift) / self.scale for x in (a, b))
        lines = iter(self.lines)
        for index, layer in enumerate(self.features):
            a, b = layer(a), layer(b)
            if index in self.taps:
                squared = (_unit(a) - _unit(b)).square()
                found.append((squared * next(lines)).sum(1))
        return found

    @staticmethod
    def spread(layers: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Where two pictures differ: the sum of `layers`, enlarged to `size`; (N, H, W)."""
        enlarged = [
            F.interpolate(layer[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
            for layer in layers
        ]
        return torch.stack(enlarged).sum(0)


def _unit(features: Tensor) -> Tensor:
    """Scale the channel vector of every place to length 1."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + NORM_EPSILON)
