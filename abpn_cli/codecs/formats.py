"""What the formats have in common: header, options, and depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import __version__

Values = NDArray[Any]  # uint8 or uint16, any shape

SOFTWARE = f"abpn {__version__}"
MAX_PIXELS = 250_000_000  # more is an attack or a mosaic; both would fill the memory
_BAND_ROWS = 128
RESTORE = "Restore it from the card or a backup."


@dataclass(frozen=True)
class Header:
    """What a photo's header says.

    format:      "jpeg", "png" or "tiff"; size: (height, width) as stored.
    bits:        per channel; channels: as stored, alpha included (1 for a palette).
    orientation: EXIF orientation 1..8.
    """

    format: str
    size: tuple[int, int]
    bits: int
    channels: int
    orientation: int


@dataclass(frozen=True)
class EncodeOptions:
    """Choices of the writer: JPEG quality 1..100, compression of TIFFs."""

    quality: int = 95
    tiff_compression: Literal["none", "deflate", "zstd"] = "deflate"


class Encoded(NamedTuple):
    """A file's bytes, and what of the photo they could not hold, one sentence each."""

    data: bytes
    left_out: list[str]


def to_8_bit(pixels: Values) -> NDArray[np.uint8]:
    """Return pixels of any shape with 8 bits, 65535 becoming 255, rounded to nearest."""
    if pixels.dtype == np.uint8:
        return pixels
    table = ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)
    narrow = np.empty(pixels.shape, np.uint8)
    for start in range(0, len(pixels), _BAND_ROWS):  # looking up takes 8 bytes a value
        rows = slice(start, start + _BAND_ROWS)
        narrow[rows] = table[pixels[rows]]
    return narrow


def to_16_bit(pixels: Values) -> NDArray[np.uint16]:
    """Return pixels of any shape with 16 bits, 255 becoming 65535."""
    if pixels.dtype == np.uint16:
        return pixels
    wide = pixels.astype(np.uint16)
    wide *= 257
    return wide


def as_rgb(pixels: Values) -> Values:
    """Return (H, W) grey pixels as (H, W, 3), and (H, W, 3) as they are."""
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
