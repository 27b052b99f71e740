"""The refining module, laid out for speed: paper 4.3, the same numbers in fewer operations.

On a CPU in float32 it is one kernel (`native`), where there is one; elsewhere torch convolves. φ2
makes 3 channels of 16, and a vector unit makes 16 at a time: thirteen of them in vain. So it is
turned into a convolution of stride 2 that makes a block of 2 × 2 pixels at once, 12 channels, with
a kernel of 4 × 4 in which each of the four pixels has its 3 × 3, zeros around it: half the time.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..nets.bpl import BLEND_LIMIT, LEAK, RefiningModule
from .clock import stage
from .colour import Image
from .native import Kernel, laid_out

RGB = 3
BLOCK = 2  # px, the side of what one step of φ2 makes
PAIR = np.dtype(f"V{BLOCK * RGB * 4}")  # two pixels of float32, moved as one


class Refiner(Protocol):
    """One refining module."""

    def refine(self, layer: Image, high_freq: Image) -> Image:
        """Return B_i = φ2(lrelu(φ1([u, H_i]))) + u, clamped to ±BLEND_LIMIT.

        layer: (h, w, 3), u, h and w even; high_freq: (h, w, 3), H_i.
        """


class KernelRefiner:
    """A refining module in a kernel, float32."""

    def __init__(self, module: RefiningModule, kernel: Kernel) -> None:
        """Lay out the weights."""
        self._kernel = kernel
        self._module = laid_out(module)

    def refine(self, layer: Image, high_freq: Image) -> Image:
        """Do what `Refiner` says."""
        with stage("refine"):
            return self._kernel.refine(self._module, layer, high_freq)


class TorchRefiner:
    """A refining module on its device, its convolutions in the precision chosen."""

    def __init__(self, module: RefiningModule, device: torch.device, dtype: torch.dtype) -> None:
        """Lay out the weights."""
        self._device = device
        self._dtype = dtype
        phi1, phi2 = module.phi1, module.phi2
        assert phi1.bias is not None and phi2.bias is not None
        self._first = self._laid_out(phi1.weight), self._laid_out(phi1.bias)
        self._second = (
            self._laid_out(in_blocks(phi2.weight)),
            self._laid_out(phi2.bias.repeat(BLOCK * BLOCK)),
        )

    def _laid_out(self, weights: Tensor) -> Tensor:
        moved = weights.detach().to(self._device, self._dtype)
        return moved.contiguous(memory_format=torch.channels_last) if moved.dim() == 4 else moved

    @torch.inference_mode()
    def refine(self, layer: Image, high_freq: Image) -> Image:
        """Do what `Refiner` says."""
        with stage("refine"):
            refined = self._correction(np.asarray(cv2.merge([layer, high_freq]), np.float32))
            refined += layer
            return np.clip(refined, -BLEND_LIMIT, BLEND_LIMIT, out=refined)

    def _correction(self, joined: Image) -> Image:
        """φ2(lrelu(φ1(joined))): (h, w, 6) to (h, w, 3)."""
        height, width = joined.shape[:2]
        image = torch.from_numpy(joined).permute(2, 0, 1)[None].to(self._device, self._dtype)
        features = F.leaky_relu_(F.conv2d(image, *self._first, padding=1), LEAK)
        blocks = F.conv2d(features, *self._second, padding=1, stride=BLOCK)
        array = blocks[0].permute(1, 2, 0).float().contiguous().cpu().numpy()
        pairs = array.reshape(height // BLOCK, width // BLOCK, BLOCK, BLOCK * RGB).view(PAIR)
        rows = np.ascontiguousarray(pairs[..., 0].swapaxes(1, 2))
        refined: Image = rows.view(np.float32).reshape(height, width, RGB)
        return refined


def in_blocks(weight: Tensor) -> Tensor:
    """Turn a 3 × 3 convolution into one of stride 2 that makes 2 × 2 pixels at once.

    weight: (c, n, 3, 3). Returns (4·c, n, 4, 4): channels of the upper left pixel, the upper right
    one, the lower two; padding is 1 as before.
    """
    count, inputs = weight.shape[:2]
    blocks = weight.new_zeros(BLOCK, BLOCK, count, inputs, 4, 4)
    for down in range(BLOCK):
        for right in range(BLOCK):
            blocks[down, right, :, :, down : down + 3, right : right + 3] = weight
    return blocks.flatten(0, 2)
