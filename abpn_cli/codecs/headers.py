"""What a photo's header says, whatever its format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..errors import PhotoError
from ..files import opened
from . import heic, jpeg_read, png, raw, tiff_read
from .formats import Header
from .sniff import HEAD_BYTES, kind_of

BY_LIBRARY = frozenset(["raw", "heic"])  # their headers are read in C: it may crash

_HEADERS: dict[str, Callable[[BinaryIO, Path], Header]] = {
    "jpeg": jpeg_read.header,
    "png": png.header,
    "tiff": tiff_read.header,
    "raw": raw.header,
    "heic": heic.header,
}


def probe(path: Path) -> Header:
    """Read a photo's header; raise PhotoError where it is no photo that abpn reads.

    For the kinds of BY_LIBRARY that takes their C library: `DecodePool.probe` has another process
    ask it.
    """
    with opened(path) as file:
        return read_header(file, path)[1]


def read_header(file: BinaryIO, path: Path) -> tuple[str, Header]:
    """Tell the kind of an open file and read its header. Raises PhotoError."""
    kind = kind_of(file.read(HEAD_BYTES), str(path))
    file.seek(0)
    if kind is None:
        raise PhotoError(path, "it is not a photo", "Give a JPEG, PNG, TIFF, HEIC or raw file.")
    if kind not in _HEADERS:
        fault = f"it is a {kind.upper()} image, which abpn does not read"
        raise PhotoError(path, fault, "Convert it to TIFF or JPEG first.")
    return kind, _HEADERS[kind](file, path)
