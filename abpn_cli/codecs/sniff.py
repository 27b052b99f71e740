"""What a file is, told by its first bytes; the extension decides only between TIFF and raw."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

RAW_SUFFIXES = frozenset(
    [".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25"]
    + [".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2"]
    + [".rwl", ".sr2", ".srf", ".srw", ".x3f"]
)
PHOTO_SUFFIXES = RAW_SUFFIXES | frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".heic", ".heif", ".hif"]
)

HEAD_BYTES = 64
OUR_HEAD_BYTES = 1 << 20  # all metadata of what we write lies before its pixels
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"8BPS\0", "psd"),
    (b"\x76\x2f\x31\x01", "exr"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    (b"FUJIFILMCCD-RAW", "raw"),
    (b"FOVb", "raw"),
    (b"\0MRM", "raw"),
    (b"IIU\0", "raw"),
    (b"IIRO", "raw"),
    (b"IIRS", "raw"),
    (b"MMOR", "raw"),
    (b"II\x1a\0\0\0HEAPCCDR", "raw"),
)
_BRANDS = {b"crx ": "raw", b"avif": "avif", b"avis": "avif"} | dict.fromkeys(
    (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevx", b"mif1", b"msf1"), "heic"
)


def sniff(path: Path) -> str | None:
    """Tell what a file is: "jpeg", "png", "tiff", "heic", "raw", or a kind abpn does not read.

    Returns None where it is no photo, no regular file, or cannot be read: never raises for that.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            return None
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return None
    return kind_of(head, os.fspath(path))


def kind_of(head: bytes, name: str) -> str | None:
    """Tell what a file is from its first bytes and, between TIFF and raw, its name."""
    if head[:4] in _TIFF:
        raw = Path(name).suffix.lower() in RAW_SUFFIXES or head[8:10] == b"CR"  # Canon's CR2
        return "raw" if raw else "tiff"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:2] == b"BM" and len(head) >= 18:
        reserved, _, info = struct.unpack_from("<III", head, 6)
        return "bmp" if reserved == 0 and info in (12, 40, 52, 56, 64, 108, 124) else None
    return None
