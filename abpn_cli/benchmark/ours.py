"""The engine as it ships, with a mask forced on each photo, and how far it is from the oracle."""

from __future__ import annotations

from math import log10
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..engine import Retoucher
from ..engine.gate import Gate, Plane
from ..photo import Photo
from .plain import forced_mask


class ForcedRetoucher(Retoucher):
    """Finds the mask as ever, and takes another in its place: so much of each photo."""

    def __init__(self, weights: Path, device: str, precision: str, share: float) -> None:
        """Load the weights.

        Raises:
            UsageError, DeviceError, WeightsError: as `Retoucher`.
        """
        super().__init__(weights, device, precision, max_bytes=2**62)
        self._share = share

    def _gate(self, photo: Photo, mask: Plane) -> Gate:
        return super()._gate(photo, forced_mask((mask.shape[0], mask.shape[1]), self._share))


class Distance(NamedTuple):
    """How far results are from the oracle, before rounding, on values in [0, 1].

    largest: the largest difference; psnr: dB, None where there is no difference at all;
    untouched: whether every pixel whose gate is 0 came back as the integers it was.
    """

    largest: float
    psnr: float | None
    untouched: bool


def distance(retoucher: Retoucher, photo: Photo, expected: NDArray[np.float32]) -> Distance:
    """Compare what the engine makes of a photo with the oracle, (H, W, 3)."""
    largest = squares = 0.0
    for tile, image in retoucher.unrounded(photo):
        apart = np.abs(image - expected[tile.window])
        largest = max(largest, float(apart.max()))
        squares += float(np.square(apart, dtype=np.float64).sum())
    mean = squares / photo.pixels.size
    worked = retoucher.worked(photo)
    same = (worked.photo.pixels == photo.pixels).all(axis=2)
    untouched = bool(same[~worked.opened()].all())
    return Distance(largest, -10 * log10(mean) if mean else None, untouched)
