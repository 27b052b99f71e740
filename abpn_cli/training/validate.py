"""Validation while training: gain over returning the photo untouched, inside and outside M_gt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..nets.abpn import Abpn, gate_grid
from ..nets.bpl import blend
from .lessons import Net
from .losses import dice_loss
from .pairs import CHANGED, MASK_STRIDE, Batch, target_mask

NO_ERROR = 1e-10  # mean squared error counted as none: 100 dB


class Scores(NamedTuple):
    """Figures of one set of pairs, decibels but for dice and shares.

    in_gain:  mean over photos of the PSNR gained over the untouched photo inside M_gt.
    out_gain: the same outside M_gt, errors pooled over the set (most photos have next to none).
    harm:     PSNR to the input on pairs with nothing to do.
    dice:     1 - dice loss of M; gated: share of pixels with a gate above 0.
    harm_gated: that share on pairs with nothing to do.
    gain: over the untouched photos, whole frames, errors pooled over all pairs, those with nothing
    to do too: what is gained where it is due less what is spoilt elsewhere.
    """

    in_gain: float
    out_gain: float
    harm: float
    dice: float
    gated: float
    harm_gated: float = 0.0
    gain: float = 0.0


def decibels(error: Tensor) -> Tensor:
    """PSNR of a mean squared error of values in [0, 1]."""
    return -10 * torch.log10(error.clamp(min=NO_ERROR))


def gate_of(net: Abpn, mask: Tensor, size: tuple[int, int]) -> Tensor:
    """The gate g as the engine applies it: (N, 1, h, w) mask to (N, 1, H, W) in [0, 1]."""
    return F.interpolate(
        gate_grid(mask, net.config), size=size, mode="bilinear", align_corners=False
    )


@torch.no_grad()
def retouch(net: Net, image: Tensor, levels: int) -> tuple[Tensor, Tensor, Tensor]:
    """R_0 as delivered, M and the gate of (N, 3, H, W); sides multiples of 64·2^levels.

    A network without a mask opens everything.
    """
    if not isinstance(net, Abpn):
        gate = torch.ones_like(image[:, :1])
        cells = [length // (MASK_STRIDE << levels) for length in image.shape[2:]]
        return net.repainted(image).clamp(0, 1), gate[..., : cells[0], : cells[1]], gate
    retouched = net(image, levels)
    gate = gate_of(net, retouched.mask, (image.shape[2], image.shape[3]))
    result = blend(image, gate * retouched.blend_layers[0], net.j, net.k).clamp(0, 1)
    return result, retouched.mask, gate


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The photos of a batch on a device; corners stay, for they are read as numbers."""
    a, b, c, d = (images.to(device) for images in batch[:4])
    return Batch(a, b, c, d, batch.corners, batch.levels)


def score(net: Net, batches: Iterable[Batch]) -> Scores:
    """Judge a network, on its own device, on batches whose crops are whole photos."""
    where = next(net.parameters()).device
    in_gains, outs, harms, dices, gates, wholes = [], [], [], [], [], []
    for batch in (on_device(made, where) for made in batches):
        result, mask, gate = retouch(net, batch.crop, batch.levels)
        dices.append(1 - dice_loss(mask, target_mask(batch.thumbnail, batch.thumbnail_target)))
        gates.append((gate > 0).float().mean())
        original, target = batch.crop, batch.crop_target
        inside = ((original - target).abs().amax(1, keepdim=True) > CHANGED).float()
        before = (original - target).square().mean(1, keepdim=True)
        after = (result - target).square().mean(1, keepdim=True)
        wholes.append(torch.stack([before.mean((1, 2, 3)), after.mean((1, 2, 3))]))
        area = inside.sum((1, 2, 3))
        touched = area > 0
        if touched.any():
            errors = [(e * inside).sum((1, 2, 3))[touched] / area[touched] for e in (before, after)]
            in_gains.append(decibels(errors[1]) - decibels(errors[0]))
            everywhere = torch.ones_like(inside)
            outside = [
                ((1 - inside) * e).sum((1, 2, 3))[touched] for e in (before, after, everywhere)
            ]
            outs.append(torch.stack(outside))
        if (~touched).any():
            harms.append(decibels(after.mean((1, 2, 3))[~touched]))
    before_out, after_out, area_out = torch.cat(outs, 1).sum(1) if outs else torch.ones(3)
    whole = torch.cat(wholes, 1).mean(1)
    errors_out = [total / area_out.clamp(min=1) for total in (before_out, after_out)]
    return Scores(
        float(torch.cat(in_gains).mean()) if in_gains else 0.0,
        float(decibels(errors_out[1]) - decibels(errors_out[0])),
        float(torch.cat(harms).mean()) if harms else 100.0,
        float(torch.stack(dices).mean()),
        float(torch.stack(gates).mean()),
        gain=float(-decibels(whole[0]) + decibels(whole[1])),
    )
