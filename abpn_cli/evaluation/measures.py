"""How far one picture is from another: over the whole frame, where a retoucher worked, elsewhere.

Pure functions. Pictures are (H, W, 3) float32 RGB in [0, 1]; `changed` is M_gt at full size:
(H, W), True where the retoucher changed a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log10, nan
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..training.backbones import Lpips
from ..training.gallery import resize
from ..training.synthesis import Floats, as_floats

LPIPS_SIDE = 1024  # px: long side at which LPIPS looks, as the paper's protocol does
SSIM_SIGMA = 1.5  # px, and the rest of SSIM as in Wang et al., IEEE TIP 2004
SSIM_SIDE = 11  # px: the Gaussian window
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2

Bools = NDArray[np.bool_]


class Parts(NamedTuple):
    """A measure over the whole frame, inside M_gt and outside; nan where a part is empty."""

    whole: float
    inside: float
    outside: float


class Change(NamedTuple):
    """Our change beside the retoucher's, both as differences to the original.

    cosine:   of the two, over all pixels and channels; its square is the share of the true change
              that ours explains at the best strength. nan where either is nothing.
    strength: what ours must be multiplied by to come nearest; nan where ours is nothing.
    """

    cosine: float
    strength: float


class Overlap(NamedTuple):
    """How well a predicted area covers the true one; nan where both are empty."""

    iou: float
    dice: float


def psnr(error: Floats) -> float:
    """PSNR in dB of squared errors of values in [0, 1]; `inf` for no error, nan for no value."""
    if not error.size:
        return nan
    mean = float(error.mean(dtype=np.float64))
    return inf if mean == 0 else -10 * log10(mean)


def in_parts(measure: Callable[[Floats], float], field: Floats, changed: Bools) -> Parts:
    """Apply a measure to a field (H, W) or (H, W, C), whole, inside and outside M_gt."""
    return Parts(measure(field), measure(field[changed]), measure(field[~changed]))


def psnr_parts(result: Floats, target: Floats, changed: Bools) -> Parts:
    """PSNR in dB of a result."""
    return in_parts(psnr, np.square(result - target), changed)


def ssim_map(a: Floats, b: Floats) -> Floats:
    """SSIM of two pictures at every pixel, mean of the channels: (H, W), at most 1."""
    total = np.zeros(a.shape[:2], np.float32)
    channels = a.shape[2]
    for channel in range(channels):
        total += _ssim_of(a[..., channel], b[..., channel])
    return total / np.float32(channels)


def ssim_parts(a: Floats, b: Floats, changed: Bools) -> Parts:
    """Mean SSIM over each part; half a window at the rim, where half of it is made up, left out."""
    rim = SSIM_SIDE // 2
    inner = (slice(rim, -rim), slice(rim, -rim))
    return in_parts(_mean, ssim_map(a, b)[inner], changed[inner])


def lpips_parts(lpips: Lpips, a: Floats, b: Floats, changed: Bools) -> Parts:
    """LPIPS of two pictures, at LPIPS_SIDE where they are larger.

    Inside and outside are means of its spatial map, a pixel at the rim of M_gt counting to both.
    """
    share = min(1.0, LPIPS_SIDE / max(a.shape[:2]))
    size = (round(a.shape[0] * share), round(a.shape[1] * share))
    inside = resize(changed.astype(np.float32), size).clip(0, 1)
    tensors = [
        torch.from_numpy(resize(image, size).transpose(2, 0, 1).copy())[None] for image in (a, b)
    ]
    layers = lpips.layers(*tensors)
    whole = float(sum(layer.mean() for layer in layers))
    field = lpips.spread(layers, size)[0].numpy()
    return Parts(whole, _weighted(field, inside), _weighted(field, 1 - inside))


def change_of(original: Floats, result: Floats, target: Floats) -> Change:
    """Compare what a result changed with what the retoucher changed."""
    ours, true = ((image - original).ravel() for image in (result, target))
    product, own, wanted = (float(x @ y) for x, y in ((ours, true), (ours, ours), (true, true)))
    if own == 0:
        return Change(nan, nan)
    return Change(product / (own * wanted) ** 0.5 if wanted else nan, product / own)


def overlap(predicted: Bools, changed: Bools) -> Overlap:
    """Compare a predicted area with M_gt, both (H, W)."""
    both, either = int((predicted & changed).sum()), int((predicted | changed).sum())
    if not either:
        return Overlap(nan, nan)
    return Overlap(both / either, 2 * both / (both + either))


def _ssim_of(a: Floats, b: Floats) -> Floats:
    """SSIM of two (H, W) planes at every pixel."""
    mean_a, mean_b, aa, bb, ab = (_window(plane) for plane in (a, b, a * a, b * b, a * b))
    both = mean_a * mean_b
    squares = mean_a * mean_a + mean_b * mean_b
    likeness = (2 * both + SSIM_C1) * (2 * (ab - both) + SSIM_C2)
    return as_floats(likeness / ((squares + SSIM_C1) * (aa + bb - squares + SSIM_C2)))


def _window(plane: Floats) -> Floats:
    window = (SSIM_SIDE, SSIM_SIDE)
    blurred = cv2.GaussianBlur(
        np.ascontiguousarray(plane), window, SSIM_SIGMA, borderType=cv2.BORDER_REFLECT
    )
    return as_floats(blurred)


def _mean(field: Floats) -> float:
    return float(field.mean(dtype=np.float64)) if field.size else nan


def _weighted(field: Floats, weights: Floats) -> float:
    total = float(weights.sum(dtype=np.float64))
    return float((field * weights).sum(dtype=np.float64)) / total if total else nan
