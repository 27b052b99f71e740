"""Photos with every kind of metadata, sent through `decode` and `encode`."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
from photos import donate, pattern, srgb_profile, write_jpeg, write_png, write_tiff

from abpn_cli.codecs import EncodeOptions, decode, encode
from abpn_cli.metadata import jpeg_carrier
from abpn_cli.metadata.jpeg_carrier import Segment
from abpn_cli.metadata.png_carrier import chunk_bytes
from abpn_cli.photo import FormatName

SUFFIX: dict[FormatName, str] = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif"}
EXIF_GROUPS = {"IFD0", "ExifIFD", "GPS", "InteropIFD", "Canon", "MakerNotes"}


def make_donor(folder: Path, format: FormatName) -> Path:
    path = folder / f"donor{SUFFIX[format]}"
    if format == "jpeg":
        write_jpeg(path, pattern(48, 64), srgb_profile())
    elif format == "png":
        write_png(path, pattern(48, 64, np.uint16), srgb_profile())
    else:
        write_tiff(path, pattern(48, 64, np.uint16), srgb_profile())
    return donate(path, "-EXIF:Orientation=6")


def passed_through(source: Path, format: FormatName, name: str = "out") -> Path:
    target = source.with_name(name + SUFFIX[format])
    encode(decode(source), target, format, EncodeOptions())
    return target


def assert_kept(before: dict[str, object], after: dict[str, object]) -> None:
    wanted = {
        name: value for name, value in before.items() if name.partition(":")[0] in EXIF_GROUPS
    }
    changed = {
        name: (value, after.get(name)) for name, value in wanted.items() if after.get(name) != value
    }
    assert len(changed) <= 0.005 * len(wanted), changed
    for group in ("GPS", "IPTC", "XMP"):
        part = {name: value for name, value in before.items() if name.startswith(group)}
        assert part == {name: after.get(name) for name in part}


Tag = tuple[int, int, bytes]  # number, type, value


def block_with(
    *main: Tag,
    exif: tuple[Tag, ...] = (),
    gps: tuple[Tag, ...] = (),
    interop: tuple[Tag, ...] = (),
    order: str = "<",
) -> bytes:
    """An EXIF block with these tags, values before directories; no code of the package wrote it."""
    block = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))

    def pointer(tag: int, offset: int) -> Tag:
        return tag, 4, struct.pack(order + "I", offset)

    if interop:
        exif = (*exif, pointer(40965, _append(block, order, interop)))
    if exif:
        main = (*main, pointer(34665, _append(block, order, exif)))
    if gps:
        main = (*main, pointer(34853, _append(block, order, gps)))
    struct.pack_into(order + "I", block, 4, _append(block, order, main))
    return bytes(block)


TYPE_SIZE = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    129: 1,
}


def _append(block: bytearray, order: str, tags: tuple[Tag, ...]) -> int:
    entries = b""
    for tag, kind, data in sorted(tags):
        entries += struct.pack(order + "HHI", tag, kind, len(data) // TYPE_SIZE[kind])
        if len(data) <= 4:
            entries += data.ljust(4, b"\0")
        else:
            entries += struct.pack(order + "I", len(block))
            block += data + bytes(len(data) % 2)
    offset = len(block)
    block += struct.pack(order + "H", len(tags)) + entries + bytes(4)
    return offset


def with_segments(path: Path, *segments: Segment) -> Path:
    """Put segments into a JPEG, before those it has."""
    data = path.read_bytes()
    own, scan = jpeg_carrier.split(data)
    path.write_bytes(jpeg_carrier.join([*segments, *own]) + data[scan:])
    return path


def with_chunk(path: Path, kind: bytes, data: bytes) -> Path:
    png = path.read_bytes()
    path.write_bytes(png[:33] + chunk_bytes(kind, data) + png[33:])
    return path


def write_tag(path: Path, tag: str, value: str) -> None:
    """Have exiftool write a tag, its value too long for a command line perhaps."""
    words = path.with_name("words.txt")
    words.write_text(value)
    command = ["exiftool", "-q", "-m", "-overwrite_original", f"-{tag}<={words}", str(path)]
    subprocess.run(command, check=True)


def resource(number: int, data: bytes) -> bytes:
    """A Photoshop image resource block."""
    return b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + b"\0" * (len(data) % 2)
