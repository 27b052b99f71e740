"""The blend layer laid on the photo, and rounded to its integers; in a kernel or by OpenCV."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..photo import Pixels
from .colour import Image
from .gate import Plane
from .native import Kernel

NO_CHANGE = (0, 0, 0)
Terms = NDArray[np.float32]  # (3,), j or k


class Blended(NamedTuple):
    """A base with its blend layer, (h, w, 3), not clamped, and the largest |B·factor|.

    largest: NaN or infinity where the layer holds any.
    """

    image: Image
    largest: float


class Laid(NamedTuple):
    """New integers, (h, w, 3), and how many pixels differ from what they were."""

    pixels: Pixels
    changed: int


class Blender(Protocol):
    """What turns a base and its blend layer into integers."""

    def blend(self, base: Image, layer: Image, factor: Plane) -> Blended:
        """Apply a blend layer, float32, eq. (3).

        base, layer: (h, w, 3); factor: (h, w), what the layer is multiplied by.
        """

    def lay(self, image: Image, before: Pixels, factor: Plane) -> Laid:
        """Round where the factor is above 0, and keep the integers elsewhere.

        image: (h, w, 3), the photo's own values, clamped to [0, 1] here; before: its integers.
        """


class KernelBlender:
    """In a kernel."""

    def __init__(self, kernel: Kernel, j: Terms, k: Terms) -> None:
        """Take the learnt coefficients."""
        self._kernel = kernel
        self._terms = np.concatenate([j, k])

    def blend(self, base: Image, layer: Image, factor: Plane) -> Blended:
        """Do what `Blender` says."""
        return Blended(*self._kernel.blend(self._terms, base, layer, factor))

    def lay(self, image: Image, before: Pixels, factor: Plane) -> Laid:
        """Do what `Blender` says."""
        return Laid(*self._kernel.lay(image, before, factor))


class ArrayBlender:
    """By OpenCV and numpy, array by array."""

    def __init__(self, j: Terms, k: Terms) -> None:
        """Take the learnt coefficients."""
        self._j, self._k = j, k
        self._keeps_base = k.tolist() == [0.0, 1.0, 0.0]  # then Σ k_i·x^i is x to the bit

    def blend(self, base: Image, layer: Image, factor: Plane) -> Blended:
        """Do what `Blender` says."""
        # What is 1 everywhere, as inside the mask, need not be multiplied by.
        scaled = layer if factor.min() == 1 == factor.max() else _times(layer, factor)
        least, most = cv2.minMaxLoc(scaled.reshape(len(scaled), -1))[:2]
        blended = scaled * _polynomial(base, self._j)
        blended += base if self._keeps_base else _polynomial(base, self._k)
        return Blended(blended, max(-least, most))

    def lay(self, image: Image, before: Pixels, factor: Plane) -> Laid:
        """Do what `Blender` says."""
        integers = to_integers(image.clip(0, 1), before.dtype)
        return counted(laid_over(before, integers, factor > 0), before)


def counted(after: Pixels, before: Pixels) -> Laid:
    """New integers, (h, w, 3), and how many of their pixels are not what they were before."""
    same = cv2.inRange(after ^ before, NO_CHANGE, NO_CHANGE)
    return Laid(after, same.size - cv2.countNonZero(same))


def to_integers(image: Image, dtype: np.dtype[np.uint8] | np.dtype[np.uint16]) -> Pixels:
    """Turn [0, 1] into the integers of a type, to the nearest."""
    scaled = image * np.float32(np.iinfo(dtype).max)
    integers: Pixels = np.rint(scaled, out=scaled).astype(dtype)
    return integers


def _polynomial(base: Image, terms: Terms) -> Image:
    """Σ terms_i·x^i, i = 0..2, as `nets.bpl` does it."""
    value: Image = base * terms[2]
    value += terms[1]
    value *= base
    value += terms[0]
    return value


def _times(image: Image, plane: Plane) -> Image:
    """Multiply (h, w, 3) by (h, w)."""
    return np.asarray(cv2.multiply(image, cv2.merge([plane, plane, plane])), np.float32)


def laid_over(pixels: Pixels, others: Pixels, where: NDArray[np.bool_]) -> Pixels:
    """Put `others` over `pixels` (both (h, w, 3)) where (h, w) is True, in a copy."""
    if where.all():
        return others
    new = pixels.copy()
    # Masked copies by np.copyto take a hundred times as long.
    cv2.copyTo(others, where.view(np.uint8), new)
    return new
