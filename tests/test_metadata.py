from __future__ import annotations

import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from donors import SUFFIX, assert_kept, block_with, make_donor, passed_through, resource
from photos import (
    SHARED,
    canon_block,
    donate,
    icc_of,
    needs_exiftool,
    pattern,
    profile_for,
    srgb_profile,
    tags_of,
    write_jpeg,
    write_tiff,
)

from abpn_cli import __version__
from abpn_cli.codecs import EncodeOptions, decode, encode, make_upright
from abpn_cli.metadata import BrokenExif, exif, photoshop
from abpn_cli.metadata.block import parse
from abpn_cli.photo import FormatName, Metadata, Photo


@needs_exiftool
@pytest.mark.parametrize("target", ["jpeg", "png", "tiff"])
@pytest.mark.parametrize("source", ["jpeg", "png", "tiff"])
def test_every_tag_survives_from_every_format_to_every_other(
    tmp_path: Path, source: FormatName, target: FormatName
) -> None:
    donor = make_donor(tmp_path, source)
    out = passed_through(donor, target)
    before, after = tags_of(donor), tags_of(out)
    assert len([name for name in before if name.startswith("GPS:")]) >= 8
    assert len([name for name in before if name.startswith("IPTC:")]) >= 5
    assert len([name for name in before if name.startswith("XMP-")]) >= 5
    assert_kept(before, after)
    assert icc_of(out) == icc_of(donor) == srgb_profile()


@needs_exiftool
@pytest.mark.parametrize("target", ["jpeg", "png", "tiff"])
def test_the_software_and_the_stored_orientation_are_written(
    tmp_path: Path, target: FormatName
) -> None:
    out = passed_through(make_donor(tmp_path, "jpeg"), target)
    command = ["exiftool", "-s3", "-n", "-IFD0:Software", "-IFD0:Orientation", str(out)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    assert said[:2] == [f"abpn {__version__}", "6"]


@needs_exiftool
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("target", ["jpeg", "png", "tiff"])
def test_offsets_inside_a_maker_note_stay_true(
    tmp_path: Path, target: FormatName, order: str
) -> None:
    donor = write_jpeg(tmp_path / "canon.jpg", pattern(48, 64), exif=canon_block(order))
    before = tags_of(donor)
    assert before["Canon:OwnerName"] == "Owner of the camera"
    out = passed_through(donor, target)
    assert_kept(before, tags_of(out))
    again = passed_through(out, "tiff", "again")  # from a TIFF's tags, too, at its old offset
    assert_kept(before, tags_of(again))


@needs_exiftool
@pytest.mark.parametrize("target", ["jpeg", "tiff"])
def test_outputs_pass_the_validator_without_structural_faults(
    tmp_path: Path, target: FormatName
) -> None:
    donor = write_jpeg(tmp_path / "canon.jpg", pattern(48, 64), exif=canon_block())
    out = passed_through(donate(donor), target)
    command = ["exiftool", "-validate", "-warning", "-error", "-a", "-s3", str(out)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    faults = ("Bad", "Suspicious", "Illegal", "overlap", "past end", "outside", "out of sequence")
    assert not [line for line in said.splitlines() if any(fault in line for fault in faults)], said


@needs_exiftool
def test_the_thumbnail_of_a_jpeg_shows_the_new_pixels(tmp_path: Path) -> None:
    donor = write_jpeg(tmp_path / "canon.jpg", pattern(480, 640), exif=canon_block())
    photo = decode(donor)
    painted = replace(photo, pixels=np.full_like(photo.pixels, (200, 20, 20)))
    out = tmp_path / "out.jpg"
    encode(painted, out, "jpeg", EncodeOptions())
    small = tmp_path / "small.jpg"
    command = ["exiftool", "-b", "-ThumbnailImage", str(out)]
    small.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    thumbnail = decode(small).pixels
    assert thumbnail.shape == (120, 160, 3)
    assert np.abs(thumbnail.astype(int) - (200, 20, 20)).max() < 8


@needs_exiftool
@pytest.mark.parametrize("target", ["png", "tiff"])
def test_no_thumbnail_is_left_where_none_is_written(tmp_path: Path, target: FormatName) -> None:
    donor = write_jpeg(tmp_path / "canon.jpg", pattern(48, 64), exif=canon_block())
    command = ["exiftool", "-b", "-ThumbnailImage"]
    old = subprocess.run([*command, str(donor)], check=True, capture_output=True).stdout
    assert old.startswith(b"\xff\xd8")
    out = passed_through(donor, target)
    assert not subprocess.run([*command, str(out)], check=True, capture_output=True).stdout
    assert old[200:400] not in out.read_bytes()


def test_a_second_pass_does_not_let_the_block_grow() -> None:
    once, _ = exif.for_jpeg(canon_block(), "abpn 0.1.0", 1, b"\xff\xd8" + b"x" * 3000)
    twice, _ = exif.for_jpeg(once, "abpn 0.1.0", 1, b"\xff\xd8" + b"y" * 3001)
    assert len(twice) <= len(once) + 2
    assert b"xxxx" not in twice


def test_a_block_too_large_to_grow_is_edited_in_place() -> None:
    block = canon_block()
    large = block + b"\0" * (exif.JPEG_LIMIT - len(block))
    edited, left_out = exif.for_jpeg(large, "abpn", 6, b"\xff\xd8small\xff\xd9")
    assert len(edited) == len(large)
    assert left_out == []
    assert exif.orientation(edited) == 6
    assert b"abpn\0" in edited
    assert b"\xff\xd8small\xff\xd9" in edited


def test_a_value_that_two_tags_share_outlives_one_of_them() -> None:
    block = bytearray(block_with((305, 2, b"By A. Painter\0"), (33432, 2, b"(c) A. Painter\0")))
    at = block.index(struct.pack("<HH", 33432, 2))
    block[at + 4 : at + 12] = block[at - 8 : at]  # the copyright is where the software is
    for edited in (
        exif.for_jpeg(bytes(block), "abpn", 1, b"")[0],
        exif.for_png(bytes(block), "x", 1),
    ):
        assert b"By A. Painter\0" in edited


def test_a_thumbnail_that_does_not_fit_in_place_is_unlinked() -> None:
    block = canon_block()
    large = block + b"\0" * (exif.JPEG_LIMIT - len(block))
    edited, _ = exif.for_jpeg(large, "abpn", 1, b"\xff\xd8" + b"z" * 20000)
    assert parse(large).thumb
    assert not parse(edited).thumb


@needs_exiftool
def test_exif_that_no_jpeg_can_hold_loses_its_largest_tags_with_a_word(tmp_path: Path) -> None:
    donor = tmp_path / "large.tif"
    blob = (65000, 7, 70000, b"x" * 70000, True)
    write_tiff(donor, pattern(48, 64), extratags=[blob])
    donate(donor)
    out = tmp_path / "out.jpg"
    left_out = encode(decode(donor), out, "jpeg", EncodeOptions())
    assert any("65000" in word for word in left_out)
    before = {name: value for name, value in tags_of(donor).items() if "xxxx" not in str(value)}
    assert_kept(before, tags_of(out))


def test_a_broken_exif_block_costs_the_exif_and_not_the_photo(tmp_path: Path) -> None:
    path = write_jpeg(
        tmp_path / "broken.jpg", pattern(48, 64), exif=b"II*\0\xff\xff\xff\x7f" + b"x" * 50
    )
    photo = decode(path)
    assert photo.warnings == ("Its EXIF is damaged and was left out.",)
    encode(photo, tmp_path / "out.jpg", "jpeg", EncodeOptions())
    assert exif.orientation(decode(tmp_path / "out.jpg").metadata.exif) == 1


@pytest.mark.parametrize("at", range(0, 700, 7))
def test_no_damage_to_a_block_escapes_as_anything_but_broken_exif(at: int) -> None:
    block = bytearray(canon_block())
    block[at : at + 4] = b"\xff\xff\xff\xff"
    for make in (
        lambda: exif.for_jpeg(bytes(block), "abpn", 1, b"\xff\xd8thumb"),
        lambda: exif.for_png(bytes(block), "abpn", 1),
        lambda: exif.for_tiff(bytes(block), "abpn", 1),
    ):
        try:
            make()
        except BrokenExif:
            assert at < 120  # only the header and the main directory may cost the block


def test_a_directory_pointing_at_the_old_main_directory_finds_nothing_there() -> None:
    block = bytearray(canon_block())
    position = block.index(struct.pack("<HHI", 40965, 4, 1))
    struct.pack_into("<I", block, position + 8, 8)  # Interop points at the main directory
    edited, _ = exif.for_jpeg(bytes(block), "abpn", 1, b"")
    assert struct.unpack_from("<H", edited, 8)[0] in (0, 8)
    assert parse(edited).layout.first != 8


@needs_exiftool
@pytest.mark.parametrize("target", ["jpeg", "png", "tiff"])
def test_an_upright_photo_says_so_in_every_tag(tmp_path: Path, target: FormatName) -> None:
    donor = write_jpeg(tmp_path / "canon.jpg", pattern(48, 64), exif=canon_block())
    donate(donor, "-EXIF:Orientation=6", "-XMP-tiff:Orientation=6", "-XMP-exif:ExifImageWidth=64")
    photo = decode(donor)
    turned = make_upright(photo)
    assert turned.pixels.shape == (64, 48, 3)
    assert np.array_equal(turned.pixels, np.rot90(photo.pixels, -1))
    out = tmp_path / f"out{SUFFIX[target]}"
    encode(turned, out, target, EncodeOptions())
    tags = {
        name: subprocess.run(
            ["exiftool", "-s3", "-n", f"-{name}", str(out)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for name in ("IFD0:Orientation", "XMP-tiff:Orientation", "ExifIFD:ExifImageWidth")
    }
    assert tags["IFD0:Orientation"] == "1"
    assert tags["XMP-tiff:Orientation"] == "1"
    assert tags["ExifIFD:ExifImageWidth"] == "48"
    assert decode(out).metadata.orientation == 1


@needs_exiftool
@pytest.mark.parametrize("target", ["png", "tiff", "jpeg"])
def test_the_density_of_a_jfif_header_becomes_the_resolution(
    tmp_path: Path, target: FormatName
) -> None:
    donor = write_jpeg(tmp_path / "dense.jpg", pattern(48, 64), dpi=(300, 300))
    out = passed_through(donor, target)
    command = ["exiftool", "-s3", "-n", "-IFD0:XResolution", "-IFD0:ResolutionUnit", str(out)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert said == ["300", "2"]


def test_stale_photoshop_resources_go_and_the_others_stay() -> None:
    kept = resource(1005, b"resolution") + resource(1061, b"x" * 16) + resource(2000, b"path")
    stale = b"".join(resource(number, b"old") for number in (1033, 1036, 1039, 1058, 1060))
    iptc = b"\x1c\x02\x78\x00\x03abc"
    blocks = kept + stale + resource(photoshop.IPTC, iptc)
    assert photoshop.with_iptc(blocks, iptc) == kept + resource(photoshop.IPTC, iptc)
    assert photoshop.without_iptc(blocks) == kept
    assert photoshop.iptc_of(blocks) == iptc


def test_iptc_loses_only_its_padding() -> None:
    iptc = b"\x1c\x02\x78\x00\x03ab\0"
    assert photoshop.trimmed_iptc(iptc + b"\0\0") == iptc
    padded = iptc + b"\0" * (-len(iptc) % 4)
    swapped = b"".join(padded[i : i + 4][::-1] for i in range(0, len(padded), 4))
    assert photoshop.trimmed_iptc(swapped) == iptc


@pytest.mark.parametrize(
    ("icc", "words"),
    [
        (profile_for(b"GRAY"), "is for GRAY pixels"),
        (profile_for(b"Lab "), "is for Lab pixels"),
        (b"not a profile at all" * 20, "is damaged"),
        (srgb_profile()[:300], "is cut short"),
    ],
)
def test_a_profile_that_does_not_fit_is_left_out_with_a_word(
    tmp_path: Path, icc: bytes, words: str
) -> None:
    photo = decode(write_tiff(tmp_path / "a.tif", pattern(48, 64), icc))
    assert photo.metadata.icc == b""
    assert words in photo.warnings[0]


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff"])
def test_writing_twice_gives_the_same_bytes(tmp_path: Path, format: FormatName) -> None:
    block, icc = canon_block(), srgb_profile()
    photo = Photo(pattern(48, 64), Metadata(exif=block, icc=icc), source=tmp_path / "x")
    for name in ("a", "b"):
        encode(photo, tmp_path / name, format, EncodeOptions())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@needs_exiftool
@pytest.mark.slow
@pytest.mark.parametrize("target", ["jpeg", "tiff", "png"])
@pytest.mark.parametrize("name", ["nasa_1.jpg", "usds_2.jpg"])
def test_tags_of_real_photos_survive(tmp_path: Path, name: str, target: FormatName) -> None:
    source = SHARED / "data" / "hires_test" / name
    if not source.exists():
        pytest.skip("the shared photos are not here")
    out = tmp_path / f"out{SUFFIX[target]}"
    encode(decode(source), out, target, EncodeOptions())
    told = ("XMP-xmpMM:History", "XMP-xmpMM:InstanceID")  # set where there is a history
    before = {key: value for key, value in tags_of(source).items() if not key.startswith(told)}
    assert_kept(before, tags_of(out))
    assert icc_of(out) == icc_of(source)
