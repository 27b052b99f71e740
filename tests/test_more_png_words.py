"""The words of a PNG's text chunks, and the comments of a JPEG, in formats of another kind."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from donors import block_with, with_chunk, with_segments
from photos import needs_exiftool, pattern, srgb_profile, tags_of, write_jpeg, write_png
from PIL import Image

from abpn_cli.codecs import EncodeOptions, decode, encode
from abpn_cli.metadata import png_carrier
from abpn_cli.metadata.jpeg_carrier import COM, Segment
from abpn_cli.photo import FormatName

OTHERS: tuple[FormatName, ...] = ("jpeg", "tiff")


def itxt(keyword: bytes, text: str) -> bytes:
    return keyword + b"\0\1\0de\0\0" + zlib.compress(text.encode())


def worded(path: Path, *more: tuple[bytes, bytes]) -> Path:
    write_png(path, pattern(24, 32), srgb_profile())
    with_chunk(path, b"tEXt", b"Author\0Ren\xe9 of the Studio")
    with_chunk(path, b"zTXt", b"Copyright\0\0" + zlib.compress(b"\xa9 Studio"))
    with_chunk(path, b"iTXt", itxt(b"Description", "Ein Mantel – grün"))
    with_chunk(path, b"tEXt", b"Title\0Coat")
    with_chunk(path, b"tEXt", b"Software\0something else")
    for kind, data in more:
        with_chunk(path, kind, data)
    return path


def sent(source: Path, format: FormatName) -> tuple[Path, tuple[str, ...]]:
    target = source.with_name(f"out.{format}")
    return target, encode(decode(source), target, format, EncodeOptions())


@needs_exiftool
@pytest.mark.parametrize("format", OTHERS)
def test_words_that_have_a_place_are_found_there(tmp_path: Path, format: FormatName) -> None:
    target, told = sent(worded(tmp_path / "a.png"), format)
    assert told == ()
    tags = tags_of(target)
    assert tags["IFD0:Artist"] == "René of the Studio"
    assert tags["IFD0:Copyright"] == "© Studio"
    assert tags["IFD0:ImageDescription"] == "Ein Mantel – grün"
    assert tags["IFD0:DocumentName"] == "Coat"


@pytest.mark.parametrize(("format", "name"), [("jpeg", "a JPEG"), ("tiff", "a TIFF")])
def test_words_that_have_no_place_are_told_by_their_keywords(
    tmp_path: Path, format: FormatName, name: str
) -> None:
    time = (b"tEXt", b"Creation Time\0yesterday")
    target, told = sent(worded(tmp_path / "a.png", time, (b"iTXt", itxt(b"prompt", "x"))), format)
    assert told == (f"'prompt', 'Creation Time' were left out: {name} has no place for them.",)
    assert b"yesterday" not in target.read_bytes()


@pytest.mark.parametrize("format", OTHERS)
def test_words_never_take_the_place_of_others(tmp_path: Path, format: FormatName) -> None:
    block = block_with((315, 2, b"Somebody Else\0"), (270, 2, b"   \0"), (33432, 2, b"no\0"))
    source = worded(tmp_path / "a.png", (b"eXIf", block))
    target, told = sent(source, format)
    with Image.open(target) as image:
        seen = image.getexif()
    assert (seen[315], seen[270].strip(), seen[33432], seen[269]) == (
        *("Somebody Else", "", "no"),
        "Coat",
    )
    assert told[0].startswith("'Description', 'Author', 'Copyright' were left out")


def test_the_same_words_already_there_are_nothing_to_tell(tmp_path: Path) -> None:
    source = worded(tmp_path / "a.png", (b"eXIf", block_with((269, 2, b"Coat\0"))))
    assert sent(source, "tiff")[1] == ()


@pytest.mark.parametrize("format", OTHERS)
def test_a_text_too_long_for_exif_is_told(tmp_path: Path, format: FormatName) -> None:
    long = (b"zTXt", b"Description\0\0" + zlib.compress(b"word " * 10_000))
    source = with_chunk(write_png(tmp_path / "a.png", pattern(24, 32)), *long)
    assert sent(source, format)[1][0].startswith("'Description' was left out")


def test_a_png_stays_as_wordy_as_it_was(tmp_path: Path) -> None:
    source = worded(tmp_path / "a.png", (b"tEXt", b"parameters\0a, b"))
    target, told = sent(source, "png")
    assert told == ()
    with Image.open(source) as before, Image.open(target) as after:
        before.load()
        after.load()
    assert after.text == before.text and len(before.text) == 6  # type: ignore[attr-defined]


def test_comments_go_from_png_to_jpeg_and_back(tmp_path: Path) -> None:
    source = write_png(tmp_path / "a.png", pattern(24, 32))
    with_chunk(source, b"tEXt", b"Comment\0the second")
    with_chunk(source, b"tEXt", b"Comment\0gr\xfcn")
    jpeg, told = sent(source, "jpeg")
    assert told == ()
    found = decode(jpeg).metadata
    assert (found.comment, found.more_comments) == ("grün".encode(), (b"the second",))
    png, _ = sent(jpeg, "png")
    back = decode(png).metadata
    assert (back.comment, back.more_comments) == ("grün".encode(), (b"the second",))
    with Image.open(png) as shown:
        shown.load()
    assert shown.text["Comment"] in ("grün", "the second")  # type: ignore[attr-defined]
    assert png_carrier.words_of(back.chunks) == [("Comment", "grün"), ("Comment", "the second")]


@needs_exiftool
def test_a_comment_becomes_the_description_of_a_tiff_that_has_none(tmp_path: Path) -> None:
    plain = with_segments(write_jpeg(tmp_path / "a.jpg", pattern(24, 32)), Segment(COM, b"by hand"))
    target, told = sent(plain, "tiff")
    assert (tags_of(target)["IFD0:ImageDescription"], told) == ("by hand", ())
    block = block_with((270, 2, b"a coat\0"))
    taken = write_jpeg(tmp_path / "b.jpg", pattern(24, 32), exif=block)
    target, told = sent(with_segments(taken, Segment(COM, b"by hand")), "tiff")
    assert tags_of(target)["IFD0:ImageDescription"] == "a coat"
    assert told == ("Its comment was left out: a TIFF with a description has no place for it.",)


@pytest.mark.parametrize(
    ("chunk", "told"),
    [
        ((b"cICP", b"\x09\x10\0\1"), "Its colour space (cICP)"),
        ((b"gAMA", struct.pack(">I", 100_000)), "Its gamma (gAMA)"),
        ((b"cHRM", struct.pack(">8I", 1, 2, 3, 4, 5, 6, 7, 8)), "Its primaries (cHRM)"),
        ((b"gAMA", struct.pack(">I", 45455)), ""),
        ((b"cICP", b"\1\x0d\0\1"), ""),
        ((b"sRGB", b"\0"), ""),
    ],
)
@pytest.mark.parametrize("format", OTHERS)
def test_colours_told_by_chunks_alone_are_not_lost_silently(
    tmp_path: Path, chunk: tuple[bytes, bytes], told: str, format: FormatName
) -> None:
    source = with_chunk(write_png(tmp_path / "a.png", pattern(24, 32)), *chunk)
    said = sent(source, format)[1]
    assert len(said) == bool(told)
    assert not told or said[0].startswith(f"{told} was left out")
