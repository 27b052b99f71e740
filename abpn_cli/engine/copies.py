"""Small copies of a photo, for what looks at it as a whole: as the network sees colours."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..photo import Photo
from .colour import Image, colour_space


def small_copy(photo: Photo, side: int) -> Image:
    """Make a copy in sRGB, not clipped, stored orientation, of a long side of `side` at most."""
    space, _ = colour_space(photo.metadata.icc)
    return space.to_network(shrunk(photo.pixels, side))


def shrunk(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    """Shrink (H, W, 3) integers to a long side of `side`, where they are longer."""
    height, width = pixels.shape[:2]
    share = min(1.0, side / max(height, width))
    size = (max(1, round(width * share)), max(1, round(height * share)))
    if size == (width, height):
        return np.ascontiguousarray(pixels)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
