"""TensorFlow's checkpoints (format V2) read without TensorFlow: an index, raw numbers beside it.

`NAME.index` is a table as LevelDB writes them: sorted blocks of keys that share beginnings, and a
footer. Its values are protocol buffers: of each tensor its type, shape, and where its bytes lie in
`NAME.data-00000-of-00001`. Every length is checked: nothing in such a file is trusted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import WeightsError

INDEX_SUFFIX = ".index"
DATA_SUFFIX = ".data-00000-of-00001"
REMEDY = "Fetch both files again, .index and .data-00000-of-00001."
FLOAT32 = 1  # of TensorFlow's types, DT_FLOAT
MOST_BYTES = 2**30  # of either file
FOOTER = struct.Struct("<40sQ")
MAGIC = 0xDB4775248B80FB57  # leveldb/table/format.h
TRAILER_BYTES = 5  # behind each block: how it is compressed, and its checksum


class Handle(NamedTuple):
    """Where a block lies in the index."""

    offset: int
    size: int


class Entry(NamedTuple):
    """What the index says of a tensor: DT_ type, shape, shard, and where its bytes lie."""

    type: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


class BrokenError(ValueError):
    """The bytes are no such table."""


def read_checkpoint(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read every float32 tensor of a checkpoint, by its name; types that are others are left out.

    path: either file of the two.

    Raises:
        WeightsError: one of them is missing, too large, or damaged.
    """
    name = path.name.removesuffix(INDEX_SUFFIX).removesuffix(DATA_SUFFIX)
    index, data = (_bytes_of(path.with_name(name + s)) for s in (INDEX_SUFFIX, DATA_SUFFIX))
    try:
        return {key: _tensor(entry, data) for key, entry in entries(index) if entry.type == FLOAT32}
    except (ValueError, IndexError, struct.error) as error:  # BrokenError is a ValueError
        raise WeightsError(path, f"damaged or no checkpoint ({error})", REMEDY) from error


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise WeightsError(path, "is too large for a checkpoint", "Check the path.")
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(path, f"cannot be read ({error.strerror})", REMEDY) from error


def entries(index: bytes) -> Iterator[tuple[str, Entry]]:
    """Yield the tensors of an index, in the order of their names.

    Raises:
        BrokenError, IndexError, UnicodeDecodeError, struct.error: it is no index.
    """
    if len(index) < FOOTER.size:
        raise BrokenError("too short")
    handles, magic = FOOTER.unpack_from(index, len(index) - FOOTER.size)
    if magic != MAGIC:
        raise BrokenError("no table")
    _, at = _handle(handles, 0)  # of what tells about the table itself
    root, _ = _handle(handles, at)
    for _, value in _pairs(_block(index, root)):
        for key, said in _pairs(_block(index, _handle(value, 0)[0])):
            if key:  # the empty one tells how many shards there are
                yield key.decode("utf-8"), _entry(said)


def _handle(data: bytes, at: int) -> tuple[Handle, int]:
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return Handle(offset, size), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, least first; and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise BrokenError("a number without end")


def _block(index: bytes, handle: Handle) -> bytes:
    end = handle.offset + handle.size
    if end + TRAILER_BYTES > len(index):
        raise BrokenError("a block beyond the end")
    if index[end]:
        raise BrokenError("a compressed block, which TensorFlow does not write")
    return index[handle.offset : end]


def _pairs(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys of a block with their values; a key begins as the one before it does."""
    (restarts,) = struct.unpack_from("<I", block, len(block) - 4)
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise BrokenError("a block that is too short")
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        size, at = _varint(block, at)
        if shared > len(key) or at + own + size > end:
            raise BrokenError("a key beyond its block")
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + size]
        at += own + size


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the numbered fields of a protocol buffer: numbers, or bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = _varint(message, at)
        elif tag & 7 == 2:
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        elif tag & 7 in (1, 5):
            size = 8 if tag & 7 == 1 else 4
            value, at = message[at : at + size], at + size
        else:
            raise BrokenError("a field of an unknown kind")
        if at > len(message):
            raise BrokenError("a field beyond its message")
        yield tag >> 3, value


def _entry(message: bytes) -> Entry:
    """Read a BundleEntryProto: 1 type, 2 shape, 3 shard, 4 offset, 5 size."""
    said = dict(_fields(message))
    shape = []
    for number, dimension in _fields(_as_bytes(said.get(2, b""))):
        if number == 2:
            shape.append(_as_int(dict(_fields(_as_bytes(dimension))).get(1, 0)))
    kind, shard, offset, size = (_as_int(said.get(number, 0)) for number in (1, 3, 4, 5))
    return Entry(kind, tuple(shape), shard, offset, size)


def _as_int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise BrokenError("bytes in a number's place")
    return value


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise BrokenError("a number in a message's place")
    return value


def _tensor(entry: Entry, data: bytes) -> NDArray[np.float32]:
    count = 1
    for length in entry.shape:
        count *= length
    if entry.shard:
        raise BrokenError("more than one data file")
    if entry.size != 4 * count or entry.offset + entry.size > len(data):
        raise BrokenError("a tensor beyond its file")
    if count == 0:
        return np.zeros(entry.shape, np.float32)
    flat = np.frombuffer(data, "<f4", count, entry.offset)
    return flat.reshape(entry.shape).astype(np.float32)
