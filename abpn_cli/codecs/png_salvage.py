"""What is left of a damaged PNG: the rows that can still be inflated, in a PNG made whole."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import PhotoError
from ..metadata.png_carrier import SIGNATURE
from ..photo import Photo
from . import png
from .formats import RESTORE

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
_LAST_FILTER = b"\x04"
_ZLIB_HEADER_BYTES = 2
_PIECE_BYTES = 512  # what is lost with a faulty byte
# Adam7 (PNG Specification, 8.2): first column and row of each pass, and their steps.
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)


def salvage(data: bytes, source: Path) -> Photo:
    """Decode what is left of a PNG; what is lost is black. Raises PhotoError."""
    kept, stream = [], b""
    for kind, body, sound in _chunks(data):
        if kind == b"IDAT":
            stream += body
        elif sound or kind == b"IHDR":
            kept.append((kind, body))
    if not kept or kept[0][0] != b"IHDR" or len(kept[0][1]) != 13:
        raise PhotoError(source, "the file has no PNG header", RESTORE)
    layout = _layout(kept[0][1])
    size = sum(count * row_bytes for count, row_bytes in layout)
    rows = _sound(_inflated(stream, size), layout)
    if not rows:
        raise PhotoError(source, "nothing is left of its pixels", RESTORE)
    rows = rows.ljust(size, b"\0")
    ending = [(b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    body = b"".join(_chunk(*part) for part in kept if part[0] != b"IEND")
    return png.decode(SIGNATURE + body + b"".join(_chunk(*part) for part in ending), source)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield what can be told of the chunks: type, data, and whether the check sum is right."""
    position = len(SIGNATURE)
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + size
        body = data[position + 8 : end]
        check = data[end : end + 4]
        yield kind, body, zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big") == check
        position = end + 4


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def _layout(header: bytes) -> list[tuple[int, int]]:
    """Return (rows, bytes of each) for every pass; one that is not interlaced has one pass."""
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    pixel_bits = bits * _SAMPLES.get(colour, 1)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = [
        (-(-(height - row) // down), -(-(width - column) // right))
        for column, row, right, down in passes
    ]
    return [
        (rows, 1 + (columns * pixel_bits + 7) // 8)  # 1: the type of the row's filter
        for rows, columns in sizes
        if rows > 0 and columns > 0
    ]


def _sound(inflated: bytes, layout: list[tuple[int, int]]) -> bytes:
    """Cut what was inflated off before the first row whose filter does not exist."""
    position = 0
    for rows, row_bytes in layout:
        for _ in range(rows):
            if inflated[position : position + 1] > _LAST_FILTER:
                return inflated[:position]
            position += row_bytes
    return inflated


def _inflated(stream: bytes, most: int) -> bytes:
    """Inflate as far as it goes, at most so many bytes; the closing check sum is not looked at."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    rows = bytearray()
    for start in range(_ZLIB_HEADER_BYTES, len(stream), _PIECE_BYTES):
        piece = inflate.unconsumed_tail + stream[start : start + _PIECE_BYTES]
        try:
            rows += inflate.decompress(piece, most - len(rows))
        except zlib.error:
            break
        if len(rows) >= most or inflate.eof:
            break
    return bytes(rows)
