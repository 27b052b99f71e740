"""Masks read from the user's files, and gates written for the user to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import not_asked, opened, write_atomic
from ..metadata import exif, jpeg_carrier, png_carrier
from ..photo import Metadata, Photo
from . import jpeg, png
from .formats import SOFTWARE, EncodeOptions, to_8_bit
from .sniff import OUR_HEAD_BYTES

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_RED = np.array([255.0, 0.0, 0.0], np.float32)
_RED_SHARE = 0.6  # of the overlay where the gate is fully open
_BAND_ROWS = 256
_OVERLAY_NOTE = b"abpn mask --overlay"  # the JPEG comment by which an overlay is known again


def grey_of(photo: Photo) -> NDArray[np.float32]:
    """Return a photo's grey values, (H, W) float32 in [0, 1]; what is transparent is 0."""
    full = np.float32(np.iinfo(photo.pixels.dtype).max)
    grey = np.empty(photo.pixels.shape[:2], np.float32)
    for start in range(0, len(grey), _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        grey[rows] = photo.pixels[rows] @ (_LUMA / full)
    if photo.alpha is not None and photo.alpha_is == "straight":
        grey *= photo.alpha / full
    return np.clip(grey, 0.0, 1.0, out=grey)


def write_mask(
    gate: NDArray[np.uint8],
    target: Path,
    orientation: int,
    ready: Callable[[Path], None] = not_asked,
) -> None:
    """Write a gate as 8-bit grey PNG in stored orientation, with the tag that turns it upright.

    gate: (H, W) uint8; ready: as of `write_atomic`. Raises TargetError.
    """
    block = exif.for_png(b"", SOFTWARE, orientation)
    data = png_carrier.write(png.encode_plain(gate), Metadata(exif=block), None)
    write_atomic(target, lambda path: _fill(path, data), ready)


def write_overlay(photo: Photo, gate: NDArray[np.uint8], target: Path) -> None:
    """Write the photo with the gate laid over it in red, as JPEG in stored orientation.

    gate: (H, W) uint8, the photo's size. Raises TargetError, PhotoError.
    """
    pixels = to_8_bit(photo.pixels).copy()
    for start in range(0, pixels.shape[0], _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        share = gate[rows, :, None].astype(np.float32) * np.float32(_RED_SHARE / 255)
        pixels[rows] = np.rint(pixels[rows] * (1 - share) + _RED * share).astype(np.uint8)
    metadata = Metadata(
        orientation=photo.metadata.orientation, icc=photo.metadata.icc, comment=_OVERLAY_NOTE
    )
    plain = replace(photo, pixels=pixels, metadata=metadata, alpha=None)
    data = jpeg.encode(plain, EncodeOptions()).data
    write_atomic(target, lambda path: _fill(path, data))


def is_overlay(path: Path) -> bool:
    """Tell whether a file is a JPEG that `write_overlay` made. Raises PhotoError."""
    with opened(path) as file:
        segments, _ = jpeg_carrier.split(file.read(OUR_HEAD_BYTES))
    return jpeg_carrier.read(segments)[0].comment == _OVERLAY_NOTE


def _fill(path: Path, data: bytes) -> None:
    path.write_bytes(data)
