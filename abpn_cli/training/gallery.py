"""Photos kept in memory while pairs are made from them, the least recently used let go first."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..codecs import decode
from ..photo import Photo, turn_upright
from .synthesis import Floats


def upright_floats(photo: Photo) -> Floats:
    """Upright pixels of a photo as (H, W, 3) float32 in [0, 1], values as stored."""
    top = np.iinfo(photo.pixels.dtype).max
    upright = turn_upright(photo.pixels, photo.metadata.orientation)
    return np.ascontiguousarray(upright, np.float32) / np.float32(top)


def resize(image: Floats, size: tuple[int, int]) -> Floats:
    """Resize to (height, width): area average when shrinking, cubic when growing."""
    shrinks = image.shape[0] > size[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size[::-1], interpolation=how), np.float32)


class Gallery:
    """Upright photos as 8-bit pixels.

    longest: photos are kept no larger than this, in pixels of the long side; most_bytes: memory
    they may take together, in each process.
    """

    def __init__(self, longest: int, most_bytes: int = 2 * 2**30) -> None:
        self.longest = longest
        self.most_bytes = most_bytes
        self._kept: OrderedDict[Path, NDArray[np.uint8]] = OrderedDict()
        self._bytes = 0

    def pixels(self, path: Path) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, upright, read once as long as it is kept.

        Raises:
            PhotoError: it cannot be decoded.
        """
        if path in self._kept:
            self._kept.move_to_end(path)
            return self._kept[path]
        image = upright_floats(decode(path))
        if max(image.shape[:2]) > self.longest:
            share = self.longest / max(image.shape[:2])
            image = resize(image, (round(image.shape[0] * share), round(image.shape[1] * share)))
        pixels: NDArray[np.uint8] = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
        self._kept[path] = pixels
        self._bytes += pixels.nbytes
        while self._bytes > self.most_bytes and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return pixels

    def image(self, path: Path) -> Floats:
        """The same as (H, W, 3) float32 in [0, 1]."""
        return self.pixels(path).astype(np.float32) / np.float32(255)
