"""What each network is taught by: the network and its losses in one forward pass.

ABPN learns by its five losses (paper 4.4). Its rivals, made for other tasks, learn from the same
pairs by the plainest loss that their papers know: LPTN by squared error on crops of 256 px and
more, the size it was published with, to the target in place of the input; ASAP-Net by absolute
error on whole thumbnails, for its stream must see the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..nets.abpn import Abpn, AbpnConfig
from ..nets.asapnet import AsapNet, AsapNetConfig
from ..nets.bpl import down, laplacian_pyramid, unblend
from ..nets.lptn import Lptn, LptnConfig
from .losses import (
    LossWeights,
    PerceptualLoss,
    PixelWeights,
    balanced,
    dice_loss,
    multi_scale_mse,
    tv_loss,
)
from .pairs import Batch, target_mask

PAINTERS = ("lrl.retouch_branch.lams.5.", "refining.", "j", "k")  # what writes into the picture

NetConfig = AbpnConfig | LptnConfig | AsapNetConfig
Net = Abpn | Lptn | AsapNet
Weights = LossWeights | PixelWeights


class Taught(NamedTuple):
    """What a forward pass comes to.

    parts: every loss but the adversarial one, by name; seen, target, result: what the network saw
    at its largest, should have made of it, and made of it, (N, 3, H, W), for the critic.
    """

    parts: dict[str, Tensor]
    seen: Tensor
    target: Tensor
    result: Tensor


class AbpnLosses(nn.Module):
    """The network and its losses in one forward pass, as DDP wants it."""

    def __init__(
        self, net: Abpn, weights: LossWeights, perceptual: PerceptualLoss | None, precision: str
    ) -> None:
        super().__init__()
        self.net = net
        self.weights = weights
        self.perceptual = perceptual
        self.precision = precision

    def forward(self, batch: Batch) -> Taught:
        """Judge R_0 of the crops and all below it."""
        net, levels = self.net, batch.levels
        thumbnail, target = batch.thumbnail, batch.thumbnail_target
        device = thumbnail.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16"):
            retouched, mask = net.lrl(thumbnail)
            layer = unblend(thumbnail, retouched, net.j, net.k)
            pyramid = laplacian_pyramid(batch.crop, levels)
            side = batch.crop.shape[-1] >> levels
            cut = torch.stack(
                [
                    b[:, r : r + side, c : c + side]
                    for b, (r, c) in zip(layer, batch.corners.tolist(), strict=True)
                ]
            )
            layers = [b.float() for b in net.refine_layers(cut, pyramid.high_freqs)]
        results = net.blend_results(pyramid.images, layers)
        targets = [batch.crop_target]
        while len(targets) < levels:
            targets.append(down(targets[-1]))
        shares = balanced(thumbnail, target, self.weights.balance)
        parts = {
            "mse": multi_scale_mse([*results, retouched], [*targets, target], shares),
            "dice": dice_loss(mask, target_mask(thumbnail, target)),
            "tv": tv_loss([*layers[:-1], layer]),
        }
        if self.perceptual is not None:
            parts["perceptual"] = self.perceptual(retouched, target)
        return Taught(parts, batch.crop, batch.crop_target, results[0])


class PixelLosses(nn.Module):
    """A rival and its loss.

    whole: learns on thumbnails, which are whole photos, not on crops.
    """

    def __init__(self, net: Lptn | AsapNet, weights: PixelWeights, precision: str) -> None:
        super().__init__()
        self.net = net
        self.weights = weights
        self.precision = precision
        self.whole = isinstance(net, AsapNet)

    def forward(self, batch: Batch) -> Taught:
        """Judge what becomes of the thumbnails, or else of the crops."""
        seen, target = batch.crop, batch.crop_target
        if self.whole:
            seen, target = batch.thumbnail, batch.thumbnail_target
        with torch.autocast(seen.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            result = self.net.repainted(seen).float()
        parts = {"mse": F.mse_loss(result, target), "l1": F.l1_loss(result, target)}
        told = {name: loss for name, loss in parts.items() if getattr(self.weights, name) > 0}
        return Taught(told, seen, target, result)


class Lesson(NamedTuple):
    """How a network is called in NETS, made of its config, and taught.

    losses: net, weights, perceptual loss or None, precision to a module that makes `Taught` of a
    `Batch`.
    """

    name: str
    make: Callable[[Any], Net]
    losses: Callable[[Any, Any, PerceptualLoss | None, str], nn.Module]


def _by_pixels(
    net: Lptn | AsapNet, weights: PixelWeights, perceptual: PerceptualLoss | None, precision: str
) -> nn.Module:
    return PixelLosses(net, weights, precision)


LESSONS: Mapping[type[NetConfig], Lesson] = {
    AbpnConfig: Lesson("abpn", Abpn, AbpnLosses),
    LptnConfig: Lesson("lptn", Lptn, _by_pixels),
    AsapNetConfig: Lesson("asapnet", AsapNet, _by_pixels),
}


def lesson_of(config: NetConfig) -> Lesson:
    """How the network of a config is taught."""
    return LESSONS[type(config)]


def parameter_groups(net: Net, painter_share: float) -> list[dict[str, Any]]:
    """Adam's groups: all else, and what writes into the picture, each with its `share` of the rate.

    Under a residual LRL that picture is right from the start, and Adam's jitter in its last layers
    is as large as the edit: they bear a lower rate than the rest (docs/experiments.md).
    """
    wanted = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    painters = [p for name, p in wanted if name.startswith(PAINTERS)]
    rest = [p for name, p in wanted if not name.startswith(PAINTERS)]
    return [{"params": rest, "share": 1.0}, {"params": painters, "share": painter_share}]
