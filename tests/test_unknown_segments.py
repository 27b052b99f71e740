"""Segments of a JPEG in which neither EXIF nor XMP, ICC or Photoshop lie; and what is behind it."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from donors import make_donor, passed_through, with_segments
from jpegs import retouched
from photos import (
    canon_block,
    needs_exiftool,
    pattern,
    srgb_profile,
    write_jpeg,
    write_png,
    write_tiff,
)

from abpn_cli.codecs import EncodeOptions, decode, encode
from abpn_cli.metadata import jpeg_carrier, segments, tiff_extent, words
from abpn_cli.metadata.jpeg_carrier import Segment
from abpn_cli.photo import FormatName

APP = range(0xE0, 0xF0)


def gopro(name: bytes = b"Hero of the test") -> Segment:
    """A GoPro's GPMF: a device with a name."""
    stored = name + bytes(-len(name) % 4)
    device = b"DVID" + struct.pack(">cBHI", b"L", 4, 1, 7)
    device += b"DVNM" + struct.pack(">cBH", b"c", 1, len(name)) + stored
    return Segment(APP[6], b"GoPro\0DEVC" + struct.pack(">BBH", 0, 1, len(device)) + device)


def ducky(words_: str) -> Segment:
    text = struct.pack(">I", len(words_)) + words_.encode("utf-16-be")
    return Segment(APP[12], b"Ducky" + struct.pack(">HH", 2, len(text)) + text + b"\0\0")


KEPT = (
    Segment(APP[5], b"ssuniqueid\0ABC123"),
    Segment(APP[1], b"FLIR\0\1\0\2heat, first part"),
    Segment(APP[1], b"FLIR\0\1\1\2heat, second part"),
    gopro(),
    Segment(APP[3], b"Meta\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"),
    Segment(APP[0], b"Ocad$Rev: 14797 $\0"),
    ducky("saved for the web"),
    Segment(APP[15], bytes(range(256)) * 200),
    Segment(APP[2], b"of a kind that nobody knows"),
    Segment(APP[14], b"not of Adobe"),
)


def others(path: Path) -> list[Segment]:
    """The application segments that are none of those every JPEG has."""
    usual = (b"JFIF", b"Exif\0", b"ICC_PROFILE", b"Adobe")
    found, _ = jpeg_carrier.split(path.read_bytes())
    return [s for s in found if s.marker in APP and not s.payload.startswith(usual)]


def donor(path: Path, *more: Segment) -> Path:
    write_jpeg(path, pattern(48, 64), srgb_profile(), canon_block())
    return with_segments(path, *more)


@pytest.mark.parametrize("way", ["keep-untouched", "reencode"])
@pytest.mark.parametrize("edited", [True, False])
def test_segments_of_makers_go_from_jpeg_to_jpeg_to_the_byte_and_in_order(
    tmp_path: Path, way: str, edited: bool
) -> None:
    photo = decode(donor(tmp_path / "a.jpg", *KEPT))
    assert photo.warnings == ()
    done = retouched(photo) if edited else photo
    assert encode(done, tmp_path / "b.jpg", "jpeg", EncodeOptions(jpeg=way)) == ()
    assert others(tmp_path / "b.jpg") == list(KEPT)
    first, _ = jpeg_carrier.split((tmp_path / "b.jpg").read_bytes())
    assert first[0].payload.startswith(b"Exif\0\0")  # where readers look for it
    again = decode(tmp_path / "b.jpg")
    assert again.metadata.segments == photo.metadata.segments


@needs_exiftool
def test_exiftool_reads_from_the_output_what_it_read_from_the_source(tmp_path: Path) -> None:
    def read(path: Path) -> list[str]:
        groups = ["-GoPro:all", "-Ducky:all", "-APP0:all", "-APP6:all"]
        command = ["exiftool", "-G", "-a", "-s", "-m", *groups, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [line for line in done.stdout.splitlines() if "JFIF" not in line]

    source = donor(tmp_path / "a.jpg", gopro(), ducky("for the web"), KEPT[5])
    before = read(source)
    assert any("Hero of the test" in line for line in before)
    assert any("for the web" in line for line in before)
    assert any("14797" in line for line in before)
    assert read(passed_through(source, "jpeg")) == before


@pytest.mark.parametrize(("format", "name"), [("tiff", "a TIFF"), ("png", "a PNG")])
def test_other_formats_tell_which_segments_they_have_no_place_for(
    tmp_path: Path, format: FormatName, name: str
) -> None:
    some = (gopro(), *KEPT[1:3], Segment(APP[9], b"\0\1\2"))
    photo = decode(donor(tmp_path / "a.jpg", *some))
    told = encode(photo, tmp_path / "out", format, EncodeOptions())
    listed = "APP6 'GoPro', APP1 'FLIR', APP9"
    assert told == (f"{listed} were left out: {name} has no place for them.",)
    assert b"heat" not in (tmp_path / "out").read_bytes()


JPEG = b"\xff\xd8\xff\xdb"


@pytest.mark.parametrize(
    ("segment", "told"),
    [
        (Segment(APP[2], b"FPXR\0\0\1secret"), words.FLASHPIX),
        (Segment(APP[4], b"SCALADO\0secret"), words.SCAN_INDEX),
        (Segment(APP[8], b"SEAL\0<seal secret/>"), words.SEAL),
        (Segment(APP[10], b"AROT\0\0\0\0\0\1secret"), words.GAIN_MAP),
        (Segment(APP[11], b"HDR_RI ver=11 secret"), words.GAIN_MAP),
        (Segment(APP[2], b"QVGA\0" + JPEG + b"secret"), words.PREVIEW),
        (Segment(APP[3], JPEG + b"secret"), words.PREVIEW),
    ],
)
def test_what_shows_or_signs_the_photo_before_is_left_out_with_a_word(
    tmp_path: Path, segment: Segment, told: str
) -> None:
    photo = decode(donor(tmp_path / "a.jpg", segment, gopro()))
    assert photo.warnings == (told,)
    encode(photo, tmp_path / "b.jpg", "jpeg", EncodeOptions())
    assert others(tmp_path / "b.jpg") == [gopro()]


def test_a_preview_in_pieces_goes_whole_and_what_follows_it_stays(tmp_path: Path) -> None:
    pieces = [Segment(APP[3], JPEG + bytes(60_000)), Segment(APP[4], b"\x7f" * 60_000)]
    pieces += [Segment(APP[5], b"\x80" * 100)]
    photo = decode(donor(tmp_path / "a.jpg", *pieces, gopro(), Segment(APP[5], b"RMETA\0a")))
    assert photo.warnings == (words.PREVIEW,)
    kept = (APP[5], b"RMETA\0a")
    assert photo.metadata.segments == (tuple(gopro()), kept)


def test_headers_of_the_old_encoding_go_without_a_word(tmp_path: Path) -> None:
    gone = (
        Segment(APP[0], b"JFXX\0\x10" + JPEG + b"a thumbnail"),
        Segment(APP[0], b"AVI1\0\0"),
        Segment(APP[8], b"SPIFF\0\1\2"),
    )
    photo = decode(donor(tmp_path / "a.jpg", *gone))
    assert photo.warnings == ()
    encode(photo, tmp_path / "b.jpg", "jpeg", EncodeOptions())
    assert others(tmp_path / "b.jpg") == []


@pytest.mark.parametrize(
    ("trailer", "what"),
    [
        (b"\0\0\0\x18ftypmp42secret", "a film, 18 bytes"),
        (b"\0\0\0\0" + JPEG + b"secret", "a further image"),
        (b"\0\0\x30\x0aMotionPhoto_Data secret SEFH\x6b\0\0\0SEFT", "Samsung's own data"),
        (b"CANON OPTIONAL DATA\0secret", "data of an unknown kind, 26 bytes"),
        (b"\0\0\0\x18ftypmp42secret" + b"x" * 2_340_000, "a film, 2.3 MB."),
        (b"secret" + b"x" * 12_340, "data of an unknown kind, 12 KB."),
    ],
)
def test_what_lies_behind_the_end_is_left_out_with_a_word(
    tmp_path: Path, trailer: bytes, what: str
) -> None:
    source = donor(tmp_path / "a.jpg")
    source.write_bytes(source.read_bytes() + trailer)
    photo = decode(source)
    (told,) = photo.warnings
    assert told.startswith(f"What lies behind its end was left out: {what}")
    for way in ("keep-untouched", "reencode"):
        encode(retouched(photo), tmp_path / "b.jpg", "jpeg", EncodeOptions(jpeg=way))
        assert b"secret" not in (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize("padding", [b"", b"\0" * 5000, b"\xff" * 40, b"\r\n"])
@pytest.mark.parametrize("progressive", [False, True])
def test_padding_behind_the_end_is_no_matter(
    tmp_path: Path, padding: bytes, progressive: bool
) -> None:
    source = write_jpeg(tmp_path / "a.jpg", pattern(48, 64), progressive=progressive)
    source.write_bytes(source.read_bytes() + padding)
    assert decode(source).warnings == ()


@pytest.mark.parametrize("write", [write_png, write_tiff])
@pytest.mark.parametrize(
    ("trailer", "what"),
    [
        (b"\0\0\0\x18ftypmp42secret", "a film, 18 bytes."),
        (JPEG + b"secret" * 300, "a further image, 1.8 KB."),
        (b"secret" * 200_000, "data of an unknown kind, 1.2 MB."),
        (b"x", "data of an unknown kind, 1 byte."),
        (b"", ""),
        (b"\0" * 5000, ""),
        (b"\r\n", ""),
    ],
)
def test_what_lies_behind_the_end_of_a_png_or_tiff_is_told_once(
    tmp_path: Path, write: Callable[..., Path], trailer: bytes, what: str
) -> None:
    source = write(tmp_path / "a", pattern(48, 64), srgb_profile())
    source.write_bytes(source.read_bytes() + trailer)
    told = (f"What lies behind its end was left out: {what}",) if what else ()
    photo = decode(source)
    assert photo.warnings == told
    for format in ("png", "tiff"):
        assert encode(photo, tmp_path / "b", format, EncodeOptions()) == ()
        assert b"secret" not in (tmp_path / "b").read_bytes()


def test_all_that_a_tiff_speaks_of_lies_before_its_end(tmp_path: Path) -> None:
    """Tiles, pages, a smaller copy, BigTIFF, Exif and GPS behind the pixels: nothing is left."""
    for name, how in (
        ("tiles", {"tile": (16, 16)}),
        ("big", {"compression": "zlib"}),
        ("planes", {"planarconfig": "separate"}),
    ):
        path = tmp_path / name
        with tifffile.TiffWriter(path, bigtiff=name == "big") as writer:
            pixels = pattern(48, 64)
            stored = np.moveaxis(pixels, -1, 0) if name == "planes" else pixels
            writer.write(stored, photometric="rgb", subifds=1, **how)
            writer.write(pixels[::2, ::2], photometric="rgb", subfiletype=1)
            writer.write(pixels, photometric="rgb")
        assert decode(path).warnings == ("It has 2 pages: only the photo was taken.",)


@needs_exiftool
def test_tags_that_lie_behind_the_pixels_of_a_tiff_belong_to_it(tmp_path: Path) -> None:
    assert decode(make_donor(tmp_path, "tiff")).warnings == ()


def test_a_tiff_whose_end_cannot_be_told_says_nothing(tmp_path: Path) -> None:
    whole = write_tiff(tmp_path / "a.tif", pattern(48, 64)).read_bytes()
    assert tiff_extent.behind_the_end(whole + b"behind") != []
    for data in (b"", b"II*\0", whole[:20], b"II*\0\xff\xff\xff\x7f" + whole[8:]):
        assert tiff_extent.behind_the_end(data + b"behind") == []


def test_many_names_are_told_in_few_words() -> None:
    many = tuple((APP[7], b"kind %03d\0" % number) for number in range(50))
    (told,) = segments.no_place(many, "a TIFF")
    assert told.count("APP7") == 9 and "41 more were left out" in told
    assert segments.no_place((), "a TIFF") == []
