"""Pixels outside the mask: those of the source, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ..codecs import coefficients
from ..codecs.coefficients import Coefficients
from ..codecs.formats import to_16_bit
from ..codecs.jpeg_stream import Layout, UnkeepableError, stripped
from ..photo import Photo, turn_upright
from .verdict import Check

Closed = NDArray[np.bool_]  # (H, W) of the output: True where the gate is 0

_BAND_ROWS = 256


def same_outside(source: Photo, output: Photo, upright: bool, closed: Closed) -> Check:
    """Compare a photo with a lossless output of it, pixels and alpha.

    upright: whether the output's pixels were turned.
    """
    turn = source.metadata.orientation if upright else 1
    differing = _differing(turn_upright(source.pixels, turn), output.pixels, closed)
    if differing:
        return Check("pixels", "off", f"{differing} pixels differ outside the mask")
    if source.alpha is None or (output.format == "png" and source.alpha_is != "straight"):
        return Check("pixels", "ok")
    alpha = turn_upright(source.alpha, turn)
    if output.alpha is None or _differing(alpha, output.alpha, np.ones_like(closed)):
        return Check("pixels", "off", "its transparency is not the source's")
    return Check("pixels", "ok")


def _differing(before: NDArray[Any], after: NDArray[Any], closed: Closed) -> int:
    """Count the pixels of two arrays (H, W) or (H, W, 3) that differ where `closed` is True."""
    count = 0
    for start in range(0, len(after), _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        band = before[rows]
        if after.dtype == np.uint16:
            band = to_16_bit(band)
        differs = band != after[rows]
        if differs.ndim == 3:
            differs = differs.any(axis=2)
        count += int(np.count_nonzero(differs & closed[rows]))
    return count


def same_coefficients(source: bytes, output: bytes, closed: Closed) -> Check:
    """Compare the files of a JPEG and of what was retouched in it alone.

    In every MCU that the mask does not touch, all DCT coefficients must be the source's.
    """
    try:
        before = _coefficients(source)
    except UnkeepableError as reason:  # as the encoder found, which then encoded the whole
        return Check("pixels", "unchecked", f"it was encoded whole: {reason}")
    try:
        after = _coefficients(output)
    except UnkeepableError as reason:
        return Check("pixels", "off", f"its coefficients cannot be compared: {reason}")
    if _shape(before) != _shape(after) or not np.array_equal(before.steps, after.steps):
        return Check("pixels", "off", "its quantisation or sampling is not the source's")
    untouched = _closed_mcus(closed, before.layout)
    differing = np.zeros_like(untouched)
    for item, old, new in zip(before.layout.components, before.blocks, after.blocks, strict=True):
        rows, columns = np.nonzero((old != new).any(axis=2))
        differing[rows // item.v, columns // item.h] = True
    count = int(np.count_nonzero(differing & untouched))
    return Check(
        "pixels", "off" if count else "ok", f"{count} MCUs differ outside the mask" * bool(count)
    )


def _shape(held: Coefficients) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    return held.layout.size, [(item.v, item.h) for item in held.layout.components]


def _coefficients(data: bytes) -> Coefficients:
    """Read the coefficients of a file. Raises UnkeepableError where that cannot be done safely."""
    stream = stripped(data)
    try:  # damaged data must not reach the library that reads coefficients
        simplejpeg.decode_jpeg(stream.data, "RGB", strict=True)
    except ValueError as error:
        raise UnkeepableError("it is damaged") from error
    return coefficients.read(stream)


def _closed_mcus(closed: Closed, layout: Layout) -> Closed:
    """Tell of each MCU whether all of its pixels are closed."""
    rows, columns = (
        np.arange(count) * side for count, side in zip(layout.mcus, layout.mcu, strict=True)
    )
    by_row = np.logical_and.reduceat(closed, rows, axis=0)
    mcus: Closed = np.logical_and.reduceat(by_row, columns, axis=1)
    return mcus
