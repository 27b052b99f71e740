"""Blend pyramid layer (BPL), paper 4.3: Burt-Adelson pyramid, blend and unblend, refining module.

Everything here is a function of its arguments; the one module owns the refining weights. All
images are (N, 3, H, W), RGB, display-encoded in [0, 1], any float type unless said otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLEND_LIMIT = 10.0  # supplement 2.2: layers outside [-10, 10] blow up the gradient
MIN_GAIN = 1e-3  # the least |den| an unblend divides by [D9]
LEAK = 0.2  # slope of every leaky ReLU, paper 4.3 [D7]
REFINE_CHANNELS = 16  # paper 4.3: 6 -> 16 -> 3


class Pyramid(NamedTuple):
    """Gaussian images I_0..I_l and the high-frequency bands H_0..H_{l-1} between them."""

    images: list[Tensor]
    high_freqs: list[Tensor]


def reflect_index(start: int, stop: int, size: int) -> Tensor:
    """Positions start..stop-1 of a line of `size` pixels, reflect-101, as often as needed [D15].

    Returns int64 indices in [0, size); a line of one pixel repeats it.
    """
    period = max(1, 2 * (size - 1))
    index = torch.arange(start, stop).remainder(period)
    return torch.minimum(index, period - index) if size > 1 else index


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Reflect-101-pad the bottom and right of (N, C, H, W) to multiples of `multiple` [D15]."""
    for axis in (2, 3):
        size = image.shape[axis]
        wanted = -(-size // multiple) * multiple
        if wanted != size:
            index = reflect_index(0, wanted, size).to(image.device)
            image = image.index_select(axis, index)
    return image


def _down_axis(image: Tensor, axis: int) -> Tensor:
    size = image.shape[axis]
    count = (size + 1) // 2
    index = reflect_index(-2, 2 * count + 1, size).to(image.device)
    taps = image.index_select(axis, index).movedim(axis, -1)
    end = 2 * count - 1
    outer = taps[..., 0:end:2] + taps[..., 4::2]
    inner = taps[..., 1 : end + 1 : 2] + taps[..., 3 : end + 3 : 2]
    return ((outer + 4 * inner + 6 * taps[..., 2 : end + 2 : 2]) / 16).movedim(-1, axis)


def down(image: Tensor) -> Tensor:
    """Halve an image: filter with w = [1, 4, 6, 4, 1]/16, keep even rows and columns (spec 3.1).

    (N, C, H, W) to (N, C, ceil(H/2), ceil(W/2)); reflect-101 borders, as OpenCV's pyrDown.
    """
    return _down_axis(_down_axis(image, 2), 3)


def _up_axis(image: Tensor, axis: int, wanted: int) -> Tensor:
    size = image.shape[axis]
    # The zero-stuffed line is what is reflected; a period of even length keeps samples on samples.
    ends = torch.cat([reflect_index(-2, -1, wanted), reflect_index(2 * size, 2 * size + 1, wanted)])
    index = torch.cat([ends[:1] // 2, torch.arange(size), ends[1:] // 2]).to(image.device)
    taps = image.index_select(axis, index).movedim(axis, -1)
    left, here, right = taps[..., :-2], taps[..., 1:-1], taps[..., 2:]
    even = (left + 6 * here + right) / 8
    odd = (here + right) / 2
    both = torch.stack([even, odd], dim=-1).flatten(-2)
    return both[..., :wanted].movedim(-1, axis)


def up(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Double an image: insert zeros, filter with 4·w⊗w (spec 3.1).

    size: (height, width) wanted, 2h or 2h-1 by 2w or 2w-1 for an input of (h, w).
    """
    return _up_axis(_up_axis(image, 2, size[0]), 3, size[1])


def laplacian_pyramid(image: Tensor, levels: int) -> Pyramid:
    """Split I_0 into I_0..I_l and H_i = I_i - up(I_{i+1}), i < l; l = `levels` (spec 3.1)."""
    images = [image]
    high_freqs = []
    for _ in range(levels):
        fine = images[-1]
        coarse = down(fine)
        height, width = fine.shape[-2:]
        high_freqs.append(fine - up(coarse, (height, width)))
        images.append(coarse)
    return Pyramid(images, high_freqs)


def upsample(layer: Tensor) -> Tensor:
    """Double a blend layer, bilinear with half-pixel centres [D13]: not the pyramid's `up`."""
    return F.interpolate(layer, scale_factor=2, mode="bilinear", align_corners=False)


def blend_polynomials(base: Tensor, j: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Return (gain, offset) = (Σ j_i·x^i, Σ k_i·x^i), i = 0..2, elementwise on base x, eq. (3).

    j, k: (3,), learnt coefficients shared by every level. Both results are shaped as base.
    """
    gain = (j[2] * base + j[1]) * base + j[0]
    offset = (k[2] * base + k[1]) * base + k[0]
    return gain, offset


def blend(base: Tensor, layer: Tensor, j: Tensor, k: Tensor) -> Tensor:
    """Apply a blend layer to the base layer (ABM), eq. (3).

    base:  (N, 3, H, W), RGB in [0, 1].
    layer: (N, 3, H, W), in [-BLEND_LIMIT, BLEND_LIMIT].
    j, k:  (3,), learnt coefficients shared by every level.
    Returns (N, 3, H, W), not clamped: the caller decides.
    """
    gain, offset = blend_polynomials(base, j, k)
    return layer * gain + offset


def unblend(base: Tensor, result: Tensor, j: Tensor, k: Tensor) -> Tensor:
    """Find the blend layer that turns base into result (R-ABM), eq. (4): the inverse of `blend`.

    Shapes as in `blend`. A gain nearer to 0 than MIN_GAIN is replaced by ±MIN_GAIN [D9]; the
    layer is clamped to ±BLEND_LIMIT.
    """
    gain, offset = blend_polynomials(base, j, k)
    least = torch.where(gain < 0, -MIN_GAIN, MIN_GAIN).to(gain)
    gain = torch.where(gain.abs() < MIN_GAIN, least, gain)
    return ((result - offset) / gain).clamp(-BLEND_LIMIT, BLEND_LIMIT)


class RefiningModule(nn.Module):
    """Sharpens an enlarged blend layer with the photo's own detail, paper 4.3: 1,315 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.phi1 = nn.Conv2d(6, REFINE_CHANNELS, 3, padding=1)
        self.phi2 = nn.Conv2d(REFINE_CHANNELS, 3, 3, padding=1)

    def forward(self, layer: Tensor, high_freq: Tensor) -> Tensor:
        """Return B_i = φ2(lrelu(φ1([u, H_i]))) + u, clamped to ±BLEND_LIMIT.

        layer:     (N, 3, H, W), u: B_{i+1} after `upsample`.
        high_freq: (N, 3, H, W), H_i.
        """
        correction = self.phi2(F.leaky_relu(self.phi1(torch.cat([layer, high_freq], 1)), LEAK))
        refined: Tensor = correction + layer
        return refined.clamp(-BLEND_LIMIT, BLEND_LIMIT)
