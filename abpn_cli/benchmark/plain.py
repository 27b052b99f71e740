"""The plain network: eager, float32, NCHW, the whole photo at once. The oracle is made of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .. import weights
from ..engine.contours import damp_ghosts
from ..nets.abpn import Abpn, choose_levels, gate_grid
from ..nets.bpl import blend, laplacian_pyramid, pad_to_multiple, unblend
from ..nets.lrl import MASK_STRIDE
from ..photo import Pixels

GRAIN_SIDE = 1024  # px; the grain of the photos made here repeats after so many


def load_plain(path: Path, device: torch.device) -> Abpn:
    """Load a network as its file has it.

    Raises:
        WeightsError: as `weights.load`.
    """
    net = weights.load(path, device).net
    assert isinstance(net, Abpn)  # the caller has chosen them
    return net


def image_of(pixels: Pixels, device: torch.device) -> Tensor:
    """Integers (H, W, 3) to (1, 3, H, W) float32 in [0, 1], contiguous: NCHW."""
    planes = torch.empty((1, 3, *pixels.shape[:2]), dtype=torch.float32)
    planes[0].copy_(torch.from_numpy(pixels).permute(2, 0, 1))
    return planes.div_(np.iinfo(pixels.dtype).max).to(device)


def made_pixels(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Soft shapes with grain on top: (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    shapes = rng.integers(40, 216, (7, 9, 3), dtype=np.uint8)
    grain = np.rint(rng.normal(0, 5, (GRAIN_SIDE, GRAIN_SIDE, 3))).astype(np.int8)
    pixels = np.asarray(cv2.resize(shapes, (width, height), interpolation=cv2.INTER_LINEAR))
    for top in range(0, height, GRAIN_SIDE):
        for left in range(0, width, GRAIN_SIDE):
            part = pixels[top : top + GRAIN_SIDE, left : left + GRAIN_SIDE]
            part += grain[: part.shape[0], : part.shape[1]].view(np.uint8)  # 40..215 leave room
    return pixels.astype(np.uint8, copy=False)


def forced_mask(shape: tuple[int, int], share: float) -> NDArray[np.float32]:
    """Mark so much of M's grid: 1 in an ellipse in the middle of (h, w), 0 around it."""
    if share >= 1:
        return np.ones(shape, np.float32)
    rows, columns = ((2 * np.arange(n) + 1) / n - 1 for n in shape)
    distance = rows[:, None] ** 2 + columns**2
    mask = np.zeros(shape, np.float32)
    mask.flat[np.argsort(distance, axis=None, kind="stable")[: round(share * mask.size)]] = 1
    return mask


@torch.inference_mode()
def oracle(net: Abpn, pixels: Pixels, share: float) -> NDArray[np.float32]:
    """What retouching is defined to be, untiled, float32, before rounding: (H, W, 3).

    The engine's gate and its damping of ghosts included, with the mask forced as `forced_mask`.
    """
    device = net.j.device
    height, width = pixels.shape[:2]
    levels = choose_levels((height, width))
    image = image_of(pixels, device)
    pyramid = laplacian_pyramid(pad_to_multiple(image, 2**levels), levels)
    thumbnail = pyramid.images[-1]
    painted, mask = net.retouch_thumbnail(thumbnail)
    forced = torch.from_numpy(forced_mask((mask.shape[2], mask.shape[3]), share)).to(device)
    grid = gate_grid(forced[None, None], net.config)
    layer = unblend(thumbnail, painted, net.j, net.k)
    seen = _enlarged(grid, MASK_STRIDE)[..., : layer.shape[2], : layer.shape[3]]
    edited = blend(thumbnail, layer * seen, net.j, net.k)
    damped, _ = damp_ghosts(*(_array(part) for part in (thumbnail, edited, layer)))
    layer = torch.from_numpy(damped).permute(2, 0, 1)[None].to(device)
    fine = net.refine_layers(layer, pyramid.high_freqs)[0][..., :height, :width]
    gate = _enlarged(grid, MASK_STRIDE * 2**levels)[..., :height, :width]
    return _array(blend(image, fine * gate, net.j, net.k).clamp(0, 1))


def _enlarged(grid: Tensor, factor: int) -> Tensor:
    return F.interpolate(grid, scale_factor=factor, mode="bilinear", align_corners=False)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor[0].permute(1, 2, 0).contiguous().cpu().numpy()
