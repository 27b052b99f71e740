"""Metadata that is not to be carried, damaged, or must be moved; and what a PNG holds."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import tifffile
from donors import (
    SUFFIX,
    block_with,
    passed_through,
    resource,
    with_chunk,
    with_segments,
)
from photos import (
    canon_block,
    pattern,
    srgb_profile,
    tags_of,
    write_jpeg,
    write_png,
    write_tiff,
)

from abpn_cli.codecs import EncodeOptions, decode, encode
from abpn_cli.metadata import exif, jpeg_carrier, png_carrier, words, xmp
from abpn_cli.metadata.jpeg_carrier import APP2, APP11, Segment
from abpn_cli.photo import FormatName, Metadata

FORMATS: tuple[FormatName, ...] = ("jpeg", "png", "tiff")


# -- not carried -----------------------------------------------------------------------------

JUMBF = b"JP\0\1\0\0\0\1" + struct.pack(">I4s", 60, b"jumb") + b"\0\0\0\x1ejumd"


@pytest.mark.parametrize(
    ("segment", "told"),
    [
        (Segment(APP2, b"MPF\0MM\0*secret"), words.FURTHER_IMAGES),
        (Segment(APP2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0secret"), words.GAIN_MAP),
        (Segment(APP11, JUMBF + b"c2pa\0\x11secret"), words.C2PA),
        (Segment(APP11, JUMBF + b"other secret"), words.JUMBF),
    ],
)
@pytest.mark.parametrize("target", FORMATS)
def test_what_belongs_to_the_old_jpeg_is_left_out_with_a_word(
    tmp_path: Path, segment: Segment, told: str, target: FormatName
) -> None:
    donor = with_segments(write_jpeg(tmp_path / "donor.jpg", pattern(48, 64)), segment)
    if segment.marker == APP2:
        donor.write_bytes(donor.read_bytes() + b"\xff\xd8\xffa further image: secret")
    assert decode(donor).warnings == (told,)
    assert b"secret" not in passed_through(donor, target).read_bytes()


@pytest.mark.parametrize(("kind", "told"), [(b"caBX", words.C2PA), (b"acTL", words.ANIMATION)])
def test_a_manifest_or_animation_of_a_png_is_left_out_with_a_word(
    tmp_path: Path, kind: bytes, told: str
) -> None:
    donor = with_chunk(write_png(tmp_path / "donor.png", pattern(48, 64)), kind, b"secret")
    assert decode(donor).warnings == (told,)
    assert b"secret" not in passed_through(donor, "png").read_bytes()


@pytest.mark.parametrize(("tag", "told"), [(52545, words.C2PA), (37724, words.LAYERS)])
def test_a_manifest_or_the_layers_of_a_tiff_are_left_out_with_a_word(
    tmp_path: Path, tag: int, told: str
) -> None:
    donor = tmp_path / "donor.tif"
    write_tiff(donor, pattern(48, 64), extratags=[(tag, 7, 30, b"secret" * 5, True)])
    assert decode(donor).warnings == (told,)
    for target in FORMATS:
        assert b"secret" not in passed_through(donor, target).read_bytes()


@pytest.mark.parametrize("source", ["jpeg", "tiff"])
def test_tags_of_raw_files_and_of_printers_do_not_go_into_a_tiff(
    tmp_path: Path, source: FormatName
) -> None:
    raw = ((50341, 7, b"PrintIM\0" * 3), (50706, 1, b"\1\4\0\0"), (50708, 2, b"Camera\0"))
    donor = tmp_path / f"donor{SUFFIX[source]}"
    if source == "jpeg":
        write_jpeg(donor, pattern(48, 64), exif=block_with((271, 2, b"Maker\0"), *raw))
    else:
        extra = [(tag, kind, len(data), data, True) for tag, kind, data in raw]
        write_tiff(donor, pattern(48, 64), extratags=[(271, 2, 6, b"Maker\0", True), *extra])
    with tifffile.TiffFile(passed_through(donor, "tiff")) as tiff:
        tags = {tag.code for tag in tiff.pages.first.tags}
    assert 271 in tags
    assert not tags & {50341, 50706, 50708}


# -- PNG -------------------------------------------------------------------------------------


def raw_profile(name: bytes, profile: bytes) -> tuple[bytes, bytes]:
    """A profile as ImageMagick writes it into a text chunk."""
    digits = profile.hex().encode()
    lines = b"\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    text = b"\n%s\n%8d\n%s\n" % (name, len(profile), lines)
    return b"zTXt", b"Raw profile type " + name + b"\0\0" + zlib.compress(text)


IPTC = b"\x1c\x02\x78\x00\x03abc"
PACKET = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


@pytest.mark.parametrize(
    ("name", "profile", "expected"),
    [
        (b"exif", b"Exif\0\0" + canon_block(), {"exif": canon_block()}),
        (b"APP1", b"Exif\0\0" + canon_block(), {"exif": canon_block()}),
        (b"APP1", b"http://ns.adobe.com/xap/1.0/\0" + PACKET, {"xmp": PACKET}),
        (b"xmp", PACKET, {"xmp": PACKET}),
        (b"8bim", resource(1028, IPTC), {"iptc": IPTC, "photoshop": resource(1028, IPTC)}),
        (b"iptc", resource(1028, IPTC), {"iptc": IPTC, "photoshop": resource(1028, IPTC)}),
        (b"iptc", IPTC, {"iptc": IPTC}),
        (b"icc", srgb_profile(), {"icc": srgb_profile()}),
    ],
)
def test_raw_profiles_of_a_png_are_read(
    tmp_path: Path, name: bytes, profile: bytes, expected: dict[str, bytes]
) -> None:
    donor = with_chunk(write_png(tmp_path / "a.png", pattern(16, 16)), *raw_profile(name, profile))
    photo = decode(donor)
    metadata = replace(photo.metadata, orientation=1)
    assert metadata == replace(Metadata(), **expected)  # type: ignore[arg-type]
    assert photo.warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"\n", b"\nexif\n", b"\nexif\n 4\n", b"\nexif\n 4\n0011", b"\nexif\n 4\nzz\n"),
        *(b"\nexif\n" + b"9" * 5000 + b"\n00", b"\nexif\n-4\n00", b"\nexif\n 1\n0", b" " * 99999),
    ],
)
def test_a_raw_profile_that_makes_no_sense_is_left_out(tmp_path: Path, text: bytes) -> None:
    data = b"Raw profile type exif\0\0" + zlib.compress(text)
    donor = with_chunk(write_png(tmp_path / "a.png", pattern(16, 16)), b"zTXt", data)
    assert decode(donor).metadata == Metadata()


def test_compressed_xmp_of_a_png_is_read_and_a_bomb_is_not(tmp_path: Path) -> None:
    def itxt(text: bytes) -> bytes:
        return b"XML:com.adobe.xmp\0\1\0en\0key\0" + zlib.compress(text, 9)

    plain = with_chunk(write_png(tmp_path / "a.png", pattern(16, 16)), b"iTXt", itxt(PACKET))
    assert decode(plain).metadata.xmp == PACKET
    bomb = write_png(tmp_path / "b.png", pattern(16, 16))
    with_chunk(bomb, b"iTXt", itxt(bytes((64 << 20) + 1)))
    assert decode(bomb).metadata.xmp == b""


def test_the_colour_chunks_of_hdr_go_from_png_to_png(tmp_path: Path) -> None:
    donor = write_png(tmp_path / "a.png", pattern(16, 16))
    chunks = ((b"cICP", b"\x09\x10\0\1"), (b"mDCV", bytes(24)), (b"cLLI", bytes(8)))
    for kind, data in chunks:
        with_chunk(donor, kind, data)
    kinds = {
        chunk.type for chunk in png_carrier.split(passed_through(donor, "png").read_bytes())[0]
    }
    assert {kind for kind, _ in chunks} <= kinds


# -- damaged, and moved ----------------------------------------------------------------------


@pytest.mark.parametrize("target", FORMATS)
def test_what_pointed_past_the_end_of_exif_points_at_nothing_afterwards(
    tmp_path: Path, target: FormatName
) -> None:
    lens = (42036, 2, b"the name of a lens\0")
    whole = block_with(
        (271, 2, b"Maker\0"), exif=(lens, (42035, 2, b"its maker\0")), gps=((0, 1, b"\2\3\0\0"),)
    )
    block = bytearray(whole)
    at = whole.index(struct.pack("<HHI", 42036, 2, 19))
    struct.pack_into("<I", block, at + 8, len(block) + 40)
    at = whole.index(struct.pack("<HHI", 34853, 4, 1))
    struct.pack_into("<I", block, at + 8, len(block) + 10)
    donor = write_jpeg(tmp_path / "a.jpg", pattern(48, 64), exif=bytes(block))
    photo = decode(donor)
    assert photo.warnings == ("Parts of its EXIF are damaged and were left out.",)
    out = tmp_path / "out"
    encode(photo, out, target, EncodeOptions())
    again = decode(out)
    assert again.warnings == ()
    tags = tags_of(out)
    assert tags["IFD0:Make"] == "Maker"
    assert tags["ExifIFD:LensMake"] == "its maker"
    assert not {"ExifIFD:LensModel", "GPS:GPSVersionID"} & set(tags)


def tiff_with_note(path: Path, place: int, note: bytes) -> Path:
    """A TIFF whose MakerNote lies at an offset."""
    write_tiff(path, pattern(48, 64), extratags=[(34664, 4, 1, 0, True)])
    data = bytearray(path.read_bytes())
    data += bytes(place - len(data)) + note + bytes(len(note) % 2)
    directory = struct.pack("<HHHII", 1, 37500, 7, len(note), place) + bytes(4)
    at = data.index(struct.pack("<HHI", 34664, 4, 1))
    struct.pack_into("<HHII", data, at, 34665, 4, 1, len(data))
    path.write_bytes(data + directory)
    return path


def note_of(block: bytes) -> tuple[int, bytes]:
    """Where the MakerNote of a block lies, and its bytes."""
    at = block.index(struct.pack("<HH", 37500, 7))
    size, place = struct.unpack_from("<II", block, at + 4)
    return place, block[place : place + size]


NOTE = b"Private\0" + bytes(range(256)) * 4


def test_a_maker_note_far_into_a_tiff_keeps_its_place_in_a_tiff_and_not_in_a_jpeg(
    tmp_path: Path,
) -> None:
    donor = tiff_with_note(tmp_path / "a.tif", 300_000, NOTE)
    assert decode(donor).warnings == ()
    assert note_of(passed_through(donor, "tiff").read_bytes()) == (300_000, NOTE)
    told = encode(decode(donor), tmp_path / "out.jpg", "jpeg", EncodeOptions())
    assert told == (words.MAKER_NOTE_MOVED,)
    assert note_of(decode(tmp_path / "out.jpg").metadata.exif)[1] == NOTE


@pytest.mark.parametrize(
    ("note", "told"), [(NOTE, (words.MAKER_NOTE_MOVED,)), (b"Nikon\0\2\x10\0\0" + NOTE, ())]
)
def test_a_maker_note_that_must_move_is_told_where_its_offsets_may_count(
    tmp_path: Path, note: bytes, told: tuple[str, ...]
) -> None:
    donor = tiff_with_note(tmp_path / "a.tif", 1_200_000, note)
    assert decode(donor).warnings == told
    assert note_of(passed_through(donor, "tiff").read_bytes())[1] == note


def test_a_block_just_too_large_keeps_its_maker_note_in_its_place() -> None:
    block = canon_block()
    large = block_with((271, 2, b"Maker\0"), (65000, 7, b"x" * 65000), exif=((37500, 7, NOTE),))
    place, _ = note_of(large)
    edited, told = exif.for_jpeg(large, "abpn", 1, b"\xff\xd8" + b"z" * 2000)
    assert told == ["EXIF is too large for a JPEG: left out tag 65000."]
    assert note_of(edited) == (place, NOTE)
    assert len(edited) <= exif.JPEG_LIMIT
    assert len(block) < exif.JPEG_LIMIT


def test_a_packet_no_jpeg_can_hold_is_left_out_with_a_word() -> None:
    metadata = Metadata(xmp=b"<no rdf" + b" " * 70_000, extended_xmp=b"<rdf:RDF/>")
    encoded = b"\xff\xd8\xff\xda"
    data, told = jpeg_carrier.write(encoded, metadata)
    assert told == ["Its XMP is too large for a JPEG and was left out."]
    assert data == encoded
    alone, told = jpeg_carrier.write(encoded, replace(metadata, extended_xmp=b""))
    again, _ = jpeg_carrier.read(jpeg_carrier.split(alone)[0])
    assert told == []
    assert again.extended_xmp == metadata.xmp.strip()
    assert xmp.extended_guid(again.xmp) == xmp.guid_of(again.extended_xmp)
