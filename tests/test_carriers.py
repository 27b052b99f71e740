"""Metadata of several segments: too large for one, out of order, incomplete, miscounted."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from donors import (
    SUFFIX,
    assert_kept,
    make_donor,
    passed_through,
    resource,
    with_segments,
    write_tag,
)
from photos import (
    donate,
    icc_of,
    needs_exiftool,
    pattern,
    srgb_profile,
    tags_of,
    write_jpeg,
    write_png,
    write_tiff,
)

from abpn_cli.codecs import EncodeOptions, decode, encode
from abpn_cli.metadata import jpeg_carrier
from abpn_cli.metadata.jpeg_carrier import APP1, APP2, APP13, COM, Segment
from abpn_cli.photo import FormatName, Metadata

FORMATS: tuple[FormatName, ...] = ("jpeg", "png", "tiff")


def segments_of(path: Path) -> list[Segment]:
    return jpeg_carrier.split(path.read_bytes())[0]


def exiftool(path: Path, *options: str) -> bytes:
    command = ["exiftool", "-s3", *options, str(path)]
    return subprocess.run(command, check=True, capture_output=True).stdout


@needs_exiftool
@pytest.mark.parametrize("target", FORMATS)
def test_extended_xmp_of_several_segments_survives(tmp_path: Path, target: FormatName) -> None:
    donor = write_jpeg(tmp_path / "donor.jpg", pattern(48, 64))
    donate(donor)
    write_tag(donor, "XMP-dc:Description", "many words " * 14000)
    extended = [s for s in segments_of(donor) if s.payload.startswith(b"http://ns.adobe.com/xmp/e")]
    assert len(extended) >= 2
    before, after = tags_of(donor), tags_of(passed_through(donor, target))
    if target != "jpeg":  # the packet is one again
        del before["XMP-xmpNote:HasExtendedXMP"]
    assert_kept(before, after)
    assert decode(donor).warnings == ()


def extended_segments(guid: bytes, whole: bytes, size: int = 40) -> list[Segment]:
    head = b"http://ns.adobe.com/xmp/extension/\0" + guid
    return [
        Segment(APP1, head + struct.pack(">II", len(whole), at) + whole[at : at + size])
        for at in range(0, len(whole), size)
    ]


EXTENDED = b'<rdf:RDF xmlns:rdf="r"><rdf:Description xmlns:a="b" a:c="some words"/></rdf:RDF>'
GUID = hashlib.md5(EXTENDED).hexdigest().upper().encode()
POINTER = b'<rdf:Description xmlns:xmpNote="n" xmpNote:HasExtendedXMP="' + GUID + b'"/>'
MAIN = Segment(APP1, b"http://ns.adobe.com/xap/1.0/\0" + POINTER)


def test_extended_xmp_is_put_together_by_its_offsets_not_its_order() -> None:
    pieces = extended_segments(GUID, EXTENDED)
    metadata, told = jpeg_carrier.read([*reversed(pieces), MAIN])
    assert metadata.extended_xmp == EXTENDED
    assert told == []


@pytest.mark.parametrize("fault", ["missing", "foreign", "overlapping"])
def test_extended_xmp_that_is_not_whole_is_left_out_with_a_word(fault: str) -> None:
    pieces = extended_segments(GUID, EXTENDED)
    if fault == "missing":
        del pieces[1]
    elif fault == "foreign":
        pieces[1] = extended_segments(b"0" * 32, EXTENDED)[1]
    else:
        wrong = extended_segments(GUID, EXTENDED)[1].payload
        at = wrong.index(GUID) + 36
        pieces[1] = Segment(APP1, wrong[:at] + struct.pack(">I", 39) + wrong[at + 4 :])
    metadata, told = jpeg_carrier.read([MAIN, *pieces])
    assert metadata.extended_xmp == b""
    assert told == ["Its extended XMP is incomplete and was left out."]


def test_extended_xmp_that_differs_from_its_checksum_is_told() -> None:
    pieces = extended_segments(GUID, EXTENDED.replace(b"some", b"same"))
    metadata, told = jpeg_carrier.read([MAIN, *pieces])
    assert b"same" in metadata.extended_xmp
    assert "checksum" in told[0]
    unnamed, told = jpeg_carrier.read(pieces)
    assert unnamed.extended_xmp == b""
    assert "not named" in told[0]


@needs_exiftool
@pytest.mark.parametrize("target", ["png", "tiff"])
def test_exif_of_several_segments_survives_where_there_is_room(
    tmp_path: Path, target: FormatName
) -> None:
    donor = donate(write_jpeg(tmp_path / "donor.jpg", pattern(48, 64)))
    write_tag(donor, "EXIF:ImageHistory", "long " * 30000)
    assert sum(s.payload.startswith(b"Exif\0\0") for s in segments_of(donor)) >= 3
    before = tags_of(donor)
    assert len(str(before["ExifIFD:ImageHistory"])) > 140_000
    assert_kept(before, tags_of(passed_through(donor, target)))


@needs_exiftool
@pytest.mark.parametrize("source", ["jpeg", "tiff"])
def test_exif_that_no_jpeg_can_hold_loses_its_largest_tags_with_a_word(
    tmp_path: Path, source: FormatName
) -> None:
    donor = make_donor(tmp_path, source)
    write_tag(donor, "EXIF:ImageHistory", "long " * 30000)
    out = tmp_path / "out.jpg"
    told = encode(decode(donor), out, "jpeg", EncodeOptions())
    assert told == ("EXIF is too large for a JPEG: left out tag 37395.",)
    before = tags_of(donor)
    del before["ExifIFD:ImageHistory"]
    assert_kept(before, tags_of(out))


@needs_exiftool
@pytest.mark.parametrize("source", FORMATS)
def test_a_profile_of_many_chunks_stays_to_the_byte(tmp_path: Path, source: FormatName) -> None:
    noise = np.random.default_rng(0).bytes(200_000)
    profile = bytearray(srgb_profile() + noise)
    struct.pack_into(">I", profile, 0, len(profile))
    icc = bytes(profile)
    donor = tmp_path / f"donor{SUFFIX[source]}"
    {"jpeg": write_jpeg, "png": write_png, "tiff": write_tiff}[source](donor, pattern(48, 64), icc)
    for target in FORMATS:
        assert icc_of(passed_through(donor, target)) == icc


def icc_segments(profile: bytes, total: int | None = None, first: int = 1) -> list[Segment]:
    chunks = [profile[i : i + 500] for i in range(0, len(profile), 500)]
    count = len(chunks) if total is None else total
    return [
        Segment(APP2, b"ICC_PROFILE\0" + bytes([number, count]) + chunk)
        for number, chunk in enumerate(chunks, first)
    ]


def test_a_profile_is_put_together_by_its_numbers_not_its_order() -> None:
    icc = srgb_profile()
    assert jpeg_carrier.read(icc_segments(icc)[::-1]) == (Metadata(icc=icc), [])


@pytest.mark.parametrize(("total", "first"), [(9, 1), (0, 1), (None, 0)])
def test_a_profile_that_is_miscounted_but_whole_is_kept_with_a_word(
    total: int | None, first: int
) -> None:
    icc = srgb_profile()
    metadata, told = jpeg_carrier.read(icc_segments(icc, total, first))
    assert metadata.icc == icc
    assert "miscounted" in told[0]


def test_a_profile_that_lacks_a_chunk_is_left_out_with_a_word() -> None:
    pieces = icc_segments(srgb_profile(), 2)
    for number in range(len(pieces)):
        metadata, told = jpeg_carrier.read([*pieces[:number], *pieces[number + 1 :]])
        assert metadata.icc == b""
        assert told == ["Its ICC profile is incomplete and was left out."]


def test_photoshop_resources_of_several_segments_survive(tmp_path: Path) -> None:
    blocks = b"".join(resource(2000 + i, bytes([i]) * 90_001) for i in range(3))
    pieces = [blocks[i : i + 60_000] for i in range(0, len(blocks), 60_000)]
    donor = write_jpeg(tmp_path / "donor.jpg", pattern(48, 64))
    with_segments(donor, *(Segment(APP13, b"Photoshop 3.0\0" + piece) for piece in pieces))
    assert decode(donor).metadata.photoshop == blocks
    for target in FORMATS:
        again = decode(passed_through(donor, target)).metadata
        assert again.photoshop == blocks
    out = segments_of(passed_through(donor, "jpeg"))
    assert sum(segment.marker == APP13 for segment in out) == 5


def test_photoshop_resources_that_cannot_be_read_to_the_end_are_told(tmp_path: Path) -> None:
    donor = write_jpeg(tmp_path / "donor.jpg", pattern(48, 64))
    blocks = resource(2000, b"kept") + b"8BIM\x07\xd1\0\0\x7f\xff\xff\xffcut"
    with_segments(donor, Segment(APP13, b"Photoshop 3.0\0" + blocks))
    assert decode(donor).warnings == ("Its Photoshop resources are damaged: some were left out.",)
    assert decode(passed_through(donor, "jpeg")).metadata.photoshop == resource(2000, b"kept")


@needs_exiftool
@pytest.mark.parametrize("target", ["jpeg", "tiff"])
@pytest.mark.parametrize("source", ["jpeg", "tiff"])
def test_the_iptc_digest_stays_true_where_it_was(
    tmp_path: Path, source: FormatName, target: FormatName
) -> None:
    donor = make_donor(tmp_path, source)
    write_tag(donor, "Photoshop:IPTCDigest", "new")
    for out in (
        passed_through(donor, target),
        passed_through(passed_through(donor, "png", "between"), target, "again"),
    ):
        said = exiftool(out, "-CurrentIPTCDigest", "-IPTCDigest").split()
        assert len(said) == 2
        assert said[0] == said[1]


@needs_exiftool
def test_an_iptc_digest_that_tells_of_a_change_still_tells_it(tmp_path: Path) -> None:
    donor = make_donor(tmp_path, "tiff")
    write_tag(donor, "Photoshop:IPTCDigest", "5" * 32)
    for target in FORMATS:
        assert exiftool(passed_through(donor, target), "-IPTCDigest").split() == [b"5" * 32]


def test_all_comments_of_a_jpeg_are_kept(tmp_path: Path) -> None:
    donor = write_jpeg(tmp_path / "donor.jpg", pattern(48, 64))
    with_segments(donor, Segment(COM, b"one"), Segment(COM, b"two \xff\0"))
    comments = [s.payload for s in segments_of(passed_through(donor, "jpeg")) if s.marker == COM]
    assert comments == [b"one", b"two \xff\0"]
    assert b"Comment\0one" in passed_through(donor, "png").read_bytes()
