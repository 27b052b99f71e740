"""The DCT coefficients of a JPEG, read and written by libjpeg-turbo as jpeglib ships it.

jpeglib's own Python is not used: it wants file names in UTF-8, decodes every photo once more than
is needed, holds two copies of it, and collects markers in globals. Its C functions do none of that.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .jpeg_stream import Layout, Stream, UnkeepableError, with_tables_of

_KNOWN = "1.0."  # jpeglib's versions whose C functions take the arguments given here
_LIBRARY = "cjpeglib_turbo210.*"  # the newest that knows arithmetic coding
_GREY, _YCBCR = 1, 3  # J_COLOR_SPACE
_OPTIMIZE_CODING = 1 << 6


class Coefficients(NamedTuple):
    """The quantised coefficients of a JPEG.

    layout: how they lie.
    blocks: one array per component, (blocks down, blocks across, 64) int16, each block in rows
            of rising horizontal frequency.
    steps:  (components, 64) uint16, the quantisation steps in the same order.
    """

    layout: Layout
    blocks: list[NDArray[np.int16]]
    steps: NDArray[np.uint16]


def read(stream: Stream) -> Coefficients:
    """Read the coefficients of a JPEG that was decoded strictly: damaged ones come out as zeros.

    Holds 4 bytes a coefficient while it works, and returns 2. Raises UnkeepableError where libjpeg
    does not take it.
    """
    layout = stream.layout
    blocks = [np.zeros((*layout.blocks(item), 64), np.int16) for item in layout.components]
    slots = np.zeros((4, 64), np.uint16)
    numbers = np.zeros(4, np.int16)
    with _unnamed() as (descriptor, name):
        _fill(descriptor, stream.data)
        pointers = _pointers(blocks)
        done = _library().read_jpeg_dct(name, *pointers, *_addresses(slots, numbers))
    steps = slots[numbers[: len(blocks)]]
    if not done or steps.min() == 0:
        raise UnkeepableError("its coefficients cannot be read")
    return Coefficients(layout, blocks, steps)


def write(coefficients: Coefficients, source: Stream) -> bytes:
    """Write coefficients as a JPEG: one sequential scan, with Huffman tables of its own.

    The quantisation tables are copied from the source: libjpeg clamps and complains of coarse ones.
    Holds 2 bytes a coefficient while it works. Raises UnkeepableError where libjpeg does not take
    them.
    """
    layout, blocks, _ = coefficients
    factors = np.array([(item.v, item.h) for item in layout.components], np.int32)
    shapes = np.array([array.shape[:2] for array in blocks], np.int32)
    size = np.array(layout.size, np.int32)
    with _unnamed() as (descriptor, name):
        done = _library().write_jpeg_dct(
            None,  # no source: its coefficients would be read once more
            name,
            *_pointers(blocks),
            *_addresses(size, shapes, factors),
            _YCBCR if len(blocks) == 3 else _GREY,
            len(blocks),
            None,  # some tables
            -1,
            None,
            0,  # no markers
            None,
            None,
            None,
            _OPTIMIZE_CODING,
            _OPTIMIZE_CODING,
        )
        if not done:
            raise UnkeepableError("its coefficients cannot be written")
        encoded = _contents(descriptor)
    return with_tables_of(source, encoded)


@cache
def _library() -> ctypes.CDLL:
    """Load libjpeg-turbo out of jpeglib, and tell ctypes what its functions take."""
    try:
        known = version("jpeglib").startswith(_KNOWN)
    except PackageNotFoundError:
        known = False
    spec = find_spec("jpeglib") if known else None
    folders = spec.submodule_search_locations or [] if spec else []
    found = next((f for folder in folders for f in Path(folder, "cjpeglib").glob(_LIBRARY)), None)
    if found is None:
        raise UnkeepableError(f"jpeglib {_KNOWN}x is not installed")
    library = ctypes.CDLL(os.fspath(found))
    pointer, number, short, bits = ctypes.c_void_p, ctypes.c_int, ctypes.c_short, ctypes.c_uint
    library.read_jpeg_dct.argtypes = [ctypes.c_char_p, *[pointer] * 6]
    library.read_jpeg_dct.restype = number
    library.write_jpeg_dct.argtypes = [
        *[ctypes.c_char_p] * 2,
        *[pointer] * 7,  # four components; size, shapes, factors
        number,
        number,
        pointer,
        short,
        pointer,
        number,
        *[pointer] * 3,
        bits,
        bits,
    ]
    library.write_jpeg_dct.restype = number
    return library


def _pointers(blocks: list[NDArray[np.int16]]) -> list[int | None]:
    """Return the addresses of Y, Cb, Cr and K, None for those that are not there."""
    given: list[int | None] = [*_addresses(*blocks)]
    return given + [None] * (4 - len(blocks))


def _addresses(*arrays: NDArray[np.generic]) -> list[int]:
    """Return where contiguous arrays lie; the caller keeps them alive."""
    return [array.ctypes.data for array in arrays]


@contextmanager
def _unnamed() -> Iterator[tuple[int, bytes]]:
    """Yield a file that has no name of its own: its descriptor, and a path that C can open."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("abpn-jpeg")
    else:  # macOS: a file on the disk that lost its name
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        yield descriptor, b"/dev/fd/%d" % descriptor
    finally:
        os.close(descriptor)


def _fill(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    os.lseek(descriptor, 0, os.SEEK_SET)


def _contents(descriptor: int) -> bytes:
    with open(os.dup(descriptor), "rb") as file:  # noqa: PTH123 (it has no path)
        file.seek(0)
        return file.read()
