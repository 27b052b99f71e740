"""Odd metadata, carried as promised: comparing finds nothing, until a byte is changed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from hashlib import md5
from pathlib import Path

import pytest
from donors import SUFFIX, block_with, resource, with_chunk, with_segments
from photos import canon_block, pattern, srgb_profile, write_jpeg, write_png, write_tiff
from test_left_out import NOTE, PACKET, raw_profile, tiff_with_note
from test_xmp import HISTORY, extended_pair, packet

from abpn_cli.codecs import EncodeOptions, decode, encode, make_upright
from abpn_cli.metadata import exif, jpeg_carrier, photoshop
from abpn_cli.metadata.block import from_directories
from abpn_cli.metadata.ifd import Field, Layout
from abpn_cli.metadata.jpeg_carrier import APP1, APP13, COM, Segment
from abpn_cli.photo import FormatName, Metadata, Photo, Provenance
from abpn_cli.verify.tags import same_profile, same_tags

MADE = Provenance("1.2.3", "cloth", "ab" * 32, 0.7)
FORMATS: tuple[FormatName, ...] = ("jpeg", "png", "tiff")
IPTC = b"\x1c\x02\x78\x00\x03abc\x1c\x02\x19\x00\x04wool"
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"'
MANY = block_with(
    (271, 2, b"Maker\0"),
    (33432, 129, "© Müller\0".encode()),
    (50341, 7, b"PrintIM\0" * 3),
    (50706, 1, b"\1\4\0\0"),
    (65000, 12, struct.pack(">d", 0.1)),
    exif=((33434, 5, struct.pack(">II", 1, 125)), (37380, 10, struct.pack(">ii", -1, 3))),
    gps=((0, 1, b"\2\3\0\0"), (2, 5, struct.pack(">6I", 52, 1, 31, 1, 12, 1))),
    interop=((1, 2, b"R98\0"),),
    order=">",
)


def jpeg_with(*segments: Segment, block: bytes = b"") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = write_jpeg(folder / "a.jpg", pattern(48, 64), srgb_profile(), block)
        return with_segments(path, *segments)

    return make


def png_with(*chunks: tuple[bytes, bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = write_png(folder / "a.png", pattern(48, 64), srgb_profile())
        for kind, data in chunks:
            with_chunk(path, kind, data)
        return path

    return make


def tiff_with(*tags: tuple[int, int, bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        sizes = {1: 1, 4: 4, 7: 1}
        extra = [(tag, kind, len(data) // sizes[kind], data, True) for tag, kind, data in tags]
        return write_tiff(folder / "a.tif", pattern(48, 64), srgb_profile(), extratags=extra)

    return make


def xmp_of(metadata: Metadata) -> tuple[Segment, ...]:
    parts, _ = jpeg_carrier._xmp_segments(metadata.xmp, metadata.extended_xmp)
    return tuple(parts)


LONG_TEXT = f"<dc:description>{'long words ' * 7000}</dc:description>"
TURNED = exif.with_orientation(canon_block(), 6)
DONORS: dict[str, Callable[[Path], Path]] = {
    "nothing": lambda folder: write_jpeg(folder / "a.jpg", pattern(48, 64)),
    "a MakerNote with offsets": jpeg_with(block=canon_block()),
    "a MakerNote with offsets, big-endian": jpeg_with(block=canon_block(">")),
    "turned": jpeg_with(block=TURNED),
    "tags of every kind": jpeg_with(block=MANY),
    "more EXIF than a JPEG holds": tiff_with((65000, 7, b"x" * 70_000)),
    "a MakerNote far into a TIFF": lambda folder: tiff_with_note(folder / "a.tif", 300_000, NOTE),
    "a MakerNote too far": lambda folder: tiff_with_note(folder / "a.tif", 1_200_000, NOTE),
    "a history": jpeg_with(*xmp_of(Metadata(xmp=packet(HISTORY))), block=canon_block()),
    "extended XMP": jpeg_with(*xmp_of(extended_pair("<dc:format>jpeg</dc:format>", LONG_TEXT, DC))),
    "a large packet": tiff_with((700, 1, packet(LONG_TEXT + HISTORY, DC))),
    "XMP in UTF-16": tiff_with((700, 1, packet("").decode().encode("utf-16"))),
    "resources": jpeg_with(
        Segment(APP13, b"Photoshop 3.0\0" + resource(1028, IPTC) + resource(1005, b"x" * 16)),
        Segment(APP13, b"Photoshop 3.0\0" + resource(1061, md5(IPTC).digest())),
    ),
    "IPTC in a TIFF": tiff_with(
        (33723, 4, photoshop.padded_iptc(IPTC)), (34377, 1, resource(1005, b"y" * 16))
    ),
    "comments": jpeg_with(Segment(COM, b"one"), Segment(COM, b"two")),
    "PNG text": png_with((b"tEXt", b"Author\0somebody"), (b"gAMA", b"\0\0\xb1\x8f")),
    "raw profiles": png_with(raw_profile(b"exif", canon_block()), raw_profile(b"iptc", IPTC)),
    "PNG XMP": png_with((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(PACKET))),
    "damaged EXIF": jpeg_with(Segment(APP1, b"Exif\0\0II*\0\xff\xff\0\0")),
}


def through(donor: Path, format: FormatName, turn: bool = False) -> tuple[Photo, Photo]:
    """The photo as it is encoded, and the output decoded."""
    photo = decode(donor)
    photo = make_upright(photo) if turn else photo
    target = donor.with_name(f"out{SUFFIX[format]}")
    encode(photo, target, format, EncodeOptions(jpeg="reencode", provenance=MADE))
    return photo, decode(target)


def compared(before: Photo, after: Metadata, format: FormatName) -> str:
    seed = f"{before.digest} {format}"
    return same_tags(before.metadata, after, format, MADE, seed).words


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("donor", DONORS)
def test_what_abpn_carries_is_found_again(tmp_path: Path, donor: str, format: FormatName) -> None:
    before, after = through(DONORS[donor](tmp_path), format)
    assert compared(before, after.metadata, format) == ""
    assert same_profile(before.metadata, after.metadata).state == "ok"


@pytest.mark.parametrize("format", FORMATS)
def test_what_was_turned_upright_says_so_and_else_the_same(
    tmp_path: Path, format: FormatName
) -> None:
    donor = DONORS["turned"](tmp_path)
    before, after = through(donor, format, turn=True)
    assert compared(before, after.metadata, format) == ""
    assert "Orientation" in compared(decode(donor), after.metadata, format)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("donor", "field", "old", "new", "named"),
    [
        ("a MakerNote with offsets", "exif", b"Firmware", b"firmware", "MakerNote"),
        ("tags of every kind", "exif", b"Maker\0", b"maker\0", "IFD0 271"),
        ("tags of every kind", "exif", b"R98\0", b"R03\0", "Interop 1"),
        ("a history", "xmp", b"strength 0.7", b"strength 0.8", "XMP History"),
        ("a large packet", "", b"long words </", b"long sword </", "XMP description"),
        ("resources", "photoshop", b"x" * 16, b"z" * 16, "Photoshop resources"),
        ("IPTC in a TIFF", "iptc", b"wool", b"silk", "IPTC"),
    ],
)
def test_one_byte_that_changed_is_named(
    tmp_path: Path, donor: str, field: str, old: bytes, new: bytes, named: str, format: FormatName
) -> None:
    before, after = through(DONORS[donor](tmp_path), format)
    metadata = after.metadata
    for name in (field,) if field else ("xmp", "extended_xmp"):
        said = getattr(metadata, name)
        metadata = replace(metadata, **{name: said.replace(old, new)})
    assert metadata != after.metadata
    assert compared(before, metadata, format) == f"lost or changed: {named}"


def test_a_maker_note_that_was_moved_is_named() -> None:
    """Offsets in it count from the start of the block."""
    here, there = (
        from_directories(Layout("<", False, 0), [], [Field(37500, 7, 40, NOTE[:40])], [], [], place)
        for place in (200, 300)
    )
    before = Photo(pattern(48, 64), Metadata(exif=here))
    assert compared(before, Metadata(exif=here), "jpeg") == ""
    words = compared(before, Metadata(exif=there), "jpeg")
    assert words == "lost or changed: the place of the MakerNote"


def test_words_of_a_png_and_comments_of_a_jpeg_that_are_lost_are_named(tmp_path: Path) -> None:
    before, after = through(DONORS["PNG text"](tmp_path), "png")
    assert compared(before, replace(after.metadata, chunks=()), "png").endswith("PNG text")
    before, after = through(DONORS["comments"](tmp_path), "jpeg")
    lost = replace(after.metadata, more_comments=())
    assert compared(before, lost, "jpeg").endswith("comment")
