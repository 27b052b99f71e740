"""From changed pixels to changed coefficients (ITU-T T.81, A.3.3; JFIF 1.02, colour space)."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .coefficients import Coefficients
from .jpeg_stream import Component, Layout

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Y, Cb, Cr from R, G, B, without the offsets of Cb and Cr: for differences
_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
_NONE = np.empty(0, np.float32)
_GREY = 128  # the pixel whose coefficients are all zero
_DC_BITS, _AC_BITS = 1 << 10, (1 << 10) - 1  # the most an 8-bit JPEG can code: T.81, F.1.2
# A half is rounded towards no change: sums of integers often end there exactly, and which way
# they fall must not hang on the last bit of a float.
_TOWARDS_ZERO = 1 - 1e-5


def rows_that_differ(before: Bytes, after: Bytes, layout: Layout) -> list[int]:
    """Return the numbers of the rows of MCUs in which two photos, (H, W, 3), differ."""
    height = layout.mcu[0]
    bands = (slice(row * height, (row + 1) * height) for row in range(layout.mcus[0]))
    return [row for row, band in enumerate(bands) if not np.array_equal(before[band], after[band])]


def repaint(held: Coefficients, rows: list[int], before: Bytes, after: Bytes) -> None:
    """Change the coefficients of one photo, in place, into those of another.

    rows:          of MCUs, those to look at.
    before, after: (H, W, 3) RGB, the photo that `held` decodes to, and what it shall become.

    It is the difference of the two that is transformed and added: coefficients say more than the
    pixels decoded from them, of chroma most of all, and what is not changed in them stays exact.
    Only in an MCU where a changed pixel was at the end of its range, so that coefficients may
    reach beyond it, the pixels themselves are coded.
    """
    layout, height = held.layout, held.layout.mcu[0]
    kernels = [
        _kernel(steps, item, layout)
        for steps, item in zip(held.steps, layout.components, strict=True)
    ]
    for row in rows:
        band = slice(row * height, (row + 1) * height)
        old, new = _mcus(before[band], layout), _mcus(after[band], layout)
        (columns,) = np.nonzero((old != new).any(axis=1))
        old, new = old[columns], new[columns]
        fresh = ((old != new) & ((old == 0) | (old == 255))).any(axis=1)
        old[fresh] = _GREY
        delta = (new.astype(np.float32) - old).reshape(len(columns), -1, 3)
        channels: Floats = cv2.transform(delta, _YCBCR)  # type: ignore[assignment]
        for number, (item, kernel) in enumerate(zip(layout.components, kernels, strict=True)):
            values = _transformed(channels[..., number], layout, item, kernel)
            _add(values, held.blocks[number], item, _Places(row, columns, fresh))


class _Places(NamedTuple):
    """MCUs of one row: their columns, (n,), and which of them, (n,), do not keep what they hold."""

    row: int
    columns: NDArray[np.intp]
    fresh: NDArray[np.bool_]


def _add(
    values: NDArray[np.int16], blocks: NDArray[np.int16], component: Component, places: _Places
) -> None:
    """Add quantised coefficients, (n, v, h, 64), to the blocks (down, across, 64) of MCUs."""
    for v in range(component.v):
        down = places.row * component.v + v
        if down >= len(blocks):  # below the photo: such blocks are not held
            continue
        for h in range(component.h):
            across = places.columns * component.h + h
            inside = across < blocks.shape[1]
            kept = np.where(places.fresh[inside, None], 0, blocks[down, across[inside]])
            blocks[down, across[inside]] = _codable(kept + values[inside, v, h])


def _codable(values: NDArray[np.int16]) -> NDArray[np.int16]:
    """Hold quantised coefficients (n, 64) to what Huffman codes of 8-bit JPEGs can say."""
    held = np.clip(values, -_AC_BITS, _AC_BITS)
    held[:, 0] = values[:, 0].clip(-_DC_BITS, _DC_BITS - 1)
    return held


def _mcus(rows: Bytes, layout: Layout) -> Bytes:
    """Cut a row of MCUs out of (h, W, 3) pixels: (MCUs across, bytes), edges repeated."""
    height, width = layout.mcu
    across = layout.mcus[1]
    missing = (height - rows.shape[0], across * width - rows.shape[1])
    if any(missing):
        rows = np.pad(rows, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    return rows.reshape(height, across, 3 * width).swapaxes(0, 1).reshape(across, -1)


def _transformed(
    channel: Floats, layout: Layout, component: Component, kernel: Floats
) -> NDArray[np.int16]:
    """Turn one channel of MCUs, (n, pixels), into quantised coefficients (n, v, h, 64)."""
    count, (v, h) = len(channel), (component.v, component.h)
    down, across = layout.most[0] // v, layout.most[1] // h
    if (down, across) != (1, 1):  # chroma: the mean of the pixels that share a sample
        channel = channel.reshape(count, 8 * v, down, 8 * h, across).mean(axis=(2, 4))
    blocks = channel.reshape(count, v, 8, h, 8).swapaxes(2, 3).reshape(-1, 64)
    # not @: NumPy's threads, spinning beside those of the network, take 50 times as long
    quantised: NDArray[np.int16] = np.rint(cv2.gemm(blocks, kernel, 1, _NONE, 0)).astype(np.int16)
    return quantised.reshape(count, v, h, 64)


def _kernel(steps: NDArray[np.uint16], component: Component, layout: Layout) -> Floats:
    """Return the matrix (64, 64) from a block's samples to its coefficients over their steps."""
    frequency, place = np.mgrid[0:8, 0:8]
    cosines = np.cos((2 * place + 1) * frequency * np.pi / 16) / 2
    cosines[0] /= np.sqrt(2)
    down, across = (
        cosines @ _sharpening(most // own)
        for most, own in zip(layout.most, (component.v, component.h), strict=True)
    )
    kernel: Floats = (np.kron(down, across).T * (_TOWARDS_ZERO / steps)).astype(np.float32)
    return kernel


def _sharpening(factor: int) -> NDArray[np.floating]:
    """Return the matrix (8, 8) that undoes what reading and averaging do to a row of samples.

    Decoders draw two pixels from a sample, each with a quarter of the neighbour on its side;
    the mean of both is 6/8 of the sample and 1/8 of either neighbour.
    """
    if factor != 2:  # other samples are repeated: their mean is what they were
        return np.eye(8)
    smoothing = 0.75 * np.eye(8) + 0.125 * (np.eye(8, k=1) + np.eye(8, k=-1))
    smoothing[0, 0] = smoothing[-1, -1] = 0.875  # beyond the block lies more of the same
    undone: NDArray[np.floating] = np.linalg.inv(smoothing)
    return undone
