"""Masks as 8-bit pictures, and how to know one when it is met again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import codecs
from ..errors import PhotoError
from ..photo import turn_upright

Mask8 = NDArray[np.uint8]


def known_bits(path: Path) -> int:
    """Return the bits per sample of a file; 8 where its header is broken, which decoding tells."""
    try:
        return codecs.probe(path).bits
    except PhotoError:
        return 8


def is_own_mask(path: Path) -> bool:
    """Whether a file is what `abpn mask` writes: a PNG of one channel, or an overlay."""
    kind = codecs.sniff(path)
    try:
        if kind == "jpeg":
            return codecs.is_overlay(path)
        return kind == "png" and codecs.probe(path).channels == 1
    except PhotoError:  # no mask of ours; as a photo it is reported
        return False


def mask_8bit(gate: NDArray[np.float32]) -> Mask8:
    """Round a gate, (H, W) in [0, 1], to 0..255; 0 stays for pixels that are left alone."""
    rounded: Mask8 = np.rint(gate * np.float32(255)).astype(np.uint8)
    rounded[(rounded == 0) & (gate > 0)] = 1
    return rounded


def binary_mask(gate: NDArray[np.float32]) -> Mask8:
    """Return 255 where the gate is above 0, else 0."""
    return np.multiply(gate > 0, 255, dtype=np.uint8)


def kept_mask(gate: NDArray[np.float32], orientation: int, upright: bool) -> Mask8:
    """Return the mask that lies beside an output: turned if the output is."""
    mask = mask_8bit(gate)
    return np.ascontiguousarray(turn_upright(mask, orientation)) if upright else mask
