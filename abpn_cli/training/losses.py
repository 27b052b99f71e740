"""The five losses, paper 4.4, and the discriminator. All take RGB (N, 3, H, W) in [0, 1]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UsageError
from .backbones import read_backbone, vgg16_features

DICE_EPSILON = 1.0  # [D21]
USUAL = 5e-6  # squared change of a thumbnail with little to do: a photo of it counts 0.5^balance
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
VGG16_RELU2_2, VGG16_RELU3_3 = 8, 15  # `features` indices of the layers compared [D19]


@dataclass(frozen=True)
class LossWeights:
    """λ of the five losses; the defaults are the paper's (4.4).

    balance: how far squared errors are weighed by what there is to do in their photo (`balanced`).
    """

    mse: float = 1.0
    perceptual: float = 0.1
    adversarial: float = 0.1
    dice: float = 1.0
    tv: float = 0.1
    balance: float = 0.0


@dataclass(frozen=True)
class PixelWeights:
    """Weights of the losses of LPTN and ASAP-Net: squared and absolute error to the target.

    What a checkpoint holds of it says how it was taught.
    """

    mse: float = 0.0
    l1: float = 0.0
    adversarial: float = 0.0


def total_of(losses: Iterable[Tensor], step: int) -> Tensor:
    """Add up the weighed losses of a step; step: counted from 0.

    Raises:
        UsageError: the sum is no number.
    """
    total = torch.stack(list(losses)).sum()
    if not bool(torch.isfinite(total.detach())):
        raise UsageError(
            f"step {step + 1}: a loss is no number. Run again with a lower --rate; the last "
            "checkpoint is whole."
        )
    return total


def multi_scale_mse(
    results: Sequence[Tensor], targets: Sequence[Tensor], shares: Tensor | None = None
) -> Tensor:
    """Mean squared error of every level R_i against Rgt_i, summed over levels [D18].

    shares: (N,), what each photo's errors are multiplied by; 1 where it is None.
    """
    pairs = zip(results, targets, strict=True)
    if shares is None:
        return torch.stack([F.mse_loss(result, target) for result, target in pairs]).sum()
    errors = [(result - target).square().mean((1, 2, 3)) for result, target in pairs]
    return torch.stack([(shares * error).mean() for error in errors]).sum()


def balanced(original: Tensor, retouched: Tensor, balance: float) -> Tensor | None:
    """Shares for `multi_scale_mse`: (N,) in (0, 1], None where `balance` is 0.

    (USUAL / (e + USUAL))^balance, where e is the squared change of a photo, (N, 3, h, w) before and
    after. At 0 strong edits own the loss, for they change a hundred times as much as faint ones; at
    1 a faint edit and a strong one weigh the same, as they do in decibels gained.
    """
    if balance == 0:
        return None
    change = (original - retouched).square().mean((1, 2, 3))
    return (USUAL / (change + USUAL)) ** balance


def dice_loss(mask: Tensor, target: Tensor) -> Tensor:
    """1 - 2Σpg/(Σp² + Σg²), V-Net's form with ε = 1 on both sides [D21].

    mask in (0, 1), target in {0, 1}, same shape; sums run over the batch.
    """
    overlap = 2 * (mask * target).sum() + DICE_EPSILON
    return 1 - overlap / (mask.square().sum() + target.square().sum() + DICE_EPSILON)


def tv_loss(layers: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of neighbours in every blend layer, summed over layers [D18]."""
    terms = [
        layer.diff(dim=2).square().mean() + layer.diff(dim=3).square().mean() for layer in layers
    ]
    return torch.stack(terms).sum()


class PerceptualLoss(nn.Module):
    """L2 between VGG-16 features relu2_2 and relu3_3 of R_l and its target [D19].

    file: safetensors with torchvision's `features.*` names; the weights stay fixed.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.features = vgg16_features(file, read_backbone(file), VGG16_RELU3_3)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def forward(self, result: Tensor, target: Tensor) -> Tensor:
        """Mean squared feature distance, summed over the two layers."""
        total = result.new_zeros(())
        a, b = ((x - self.mean) / self.std for x in (result, target))
        for index, layer in enumerate(self.features):
            a, b = layer(a), layer(b)
            if index in (VGG16_RELU2_2, VGG16_RELU3_3):
                total = total + F.mse_loss(a, b)
        return total


class PatchDiscriminator(nn.Module):
    """Conditional 70x70 PatchGAN on (I_0, R_0) [D20]: logits, one per patch."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        channels = (6, width, 2 * width, 4 * width, 8 * width)
        layers: list[nn.Module] = []
        for index, (i, o) in enumerate(pairwise(channels)):
            first, last = index == 0, index == len(channels) - 2
            layers.append(nn.Conv2d(i, o, 4, stride=1 if last else 2, padding=1, bias=first))
            layers += [] if first else [nn.BatchNorm2d(o)]
            layers.append(nn.LeakyReLU(0.2))
        layers.append(nn.Conv2d(channels[-1], 1, 4, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, original: Tensor, result: Tensor) -> Tensor:
        """(N, 3, H, W) twice to (N, 1, H/8 - 2, W/8 - 2) logits."""
        logits: Tensor = self.layers(torch.cat([original, result], 1))
        return logits


def adversarial_loss(logits: Tensor) -> Tensor:
    """What the generator pays: binary cross entropy against "real" [D20]."""
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross entropy of real and fake logits, mean of the two [D20]."""
    right = F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
    wrong = F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    return (right + wrong) / 2
