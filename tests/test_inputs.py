"""Input of every kind: files that are no photos, names, bombs, masquerades, PNGs, profiles.

Every photo goes through a decoding process, as in a run; none may say a word on stderr.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from photos import (
    pattern,
    profile_for,
    srgb_profile,
    write_dng,
    write_jpeg,
    write_png,
    write_tiff,
)
from PIL import Image
from profiles import WIDE

from abpn_cli.codecs import DecodeOptions, DecodePool, EncodeOptions, decode, encode, probe
from abpn_cli.codecs.formats import to_16_bit
from abpn_cli.errors import PhotoError
from abpn_cli.photo import Photo

RGB = pattern(60, 80)
WRITERS = {".jpg": write_jpeg, ".png": write_png, ".tif": write_tiff}


@pytest.fixture(autouse=True)
def silence(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert capfd.readouterr() == ("", "")


def refused(pool: DecodePool, path: Path) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        pool.decode(path)
    assert caught.value.path == path
    assert caught.value.remedy.endswith(".")
    return caught.value


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_name_that_is_not_utf_8_is_read(pool: DecodePool, tmp_path: Path, suffix: str) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    WRITERS[suffix](tmp_path / "a", RGB).rename(path)
    assert pool.decode(path).pixels.shape == (60, 80, 3)


@pytest.mark.parametrize(
    "name", ["a b.jpg", "ünï.jpg", "100%d.jpg", "new\nline.jpg", "n" * 251 + ".jpg", ".jpg", "-o"]
)
def test_odd_names_are_read(pool: DecodePool, tmp_path: Path, name: str) -> None:
    assert pool.decode(write_jpeg(tmp_path / name, RGB)).pixels.shape == (60, 80, 3)


def test_what_is_no_file_is_refused_and_never_waited_for(pool: DecodePool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to("other.jpg")
    (tmp_path / "other.jpg").symlink_to("loop.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nowhere.jpg")
    for name, fault in (
        ("pipe.jpg", "it is not a regular file"),
        ("folder.jpg", "it is not a regular file"),
        ("loop.jpg", "the link leads in a circle"),
        ("dangling.jpg", "the file is not there"),
    ):
        assert refused(pool, tmp_path / name).fault == fault


def test_a_link_to_a_photo_is_the_photo(pool: DecodePool, tmp_path: Path) -> None:
    write_jpeg(tmp_path / "a.jpg", RGB)
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    assert pool.decode(tmp_path / "b.jpg").pixels.shape == (60, 80, 3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(pool: DecodePool, tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg", RGB)
    path.chmod(0)
    assert refused(pool, path).fault == "no permission to read the file"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"words and more words", "not a photo"),
        (b"<!doctype html><html>", "not a photo"),
        (bytes(5000), "not a photo"),
        (b"GIF89a" + bytes(100), "GIF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WEBP"),
        (b"8BPS\0\1", "PSD"),
    ],
)
@pytest.mark.parametrize("suffix", WRITERS)
def test_what_is_no_photo_is_named(
    pool: DecodePool, tmp_path: Path, data: bytes, words: str, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    assert words in refused(pool, path).fault


@pytest.mark.parametrize(("kind", "suffix"), [(".png", ".jpg"), (".jpg", ".tif"), (".tif", ".png")])
def test_a_wrong_extension_does_not_matter(
    pool: DecodePool, tmp_path: Path, kind: str, suffix: str
) -> None:
    photo = pool.decode(WRITERS[kind](tmp_path / f"a{suffix}", RGB))
    assert photo.format == {".png": "png", ".jpg": "jpeg", ".tif": "tiff"}[kind]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def bombs(folder: Path) -> Iterator[Path]:
    """Small files that say they are 40,000 pixels square."""
    side = 40_000
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [png_chunk(b"IHDR", head), png_chunk(b"IDAT", zlib.compress(bytes(10_000_000)))]
    (folder / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + b"".join([*parts, png_chunk(b"IEND", b"")])
    )
    yield folder / "a.png"
    jpeg = bytearray(write_jpeg(folder / "a.jpg", RGB).read_bytes())
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", side, side)
    (folder / "a.jpg").write_bytes(jpeg)
    yield folder / "a.jpg"
    for path in (
        write_tiff(folder / "a.tif", RGB, compression="zlib"),
        write_dng(folder / "a.dng", pattern(60, 80, np.uint16)),
    ):
        path.write_bytes(with_tags(path.read_bytes(), {256: side, 257: side}))
        yield path


def with_tags(data: bytes, values: dict[int, int]) -> bytes:
    """Set tags of a little-endian TIFF to one LONG each."""
    out = bytearray(data)
    for tag, value in values.items():
        places = [data.find(struct.pack("<HHI", tag, kind, 1)) for kind in (3, 4)]
        places = [place for place in places if place >= 0]
        struct.pack_into("<HHII", out, places[0], tag, 4, 1, value)
    return bytes(out)


def test_a_bomb_is_refused_by_its_header(pool: DecodePool, tmp_path: Path) -> None:
    (tmp_path / "bombs").mkdir()
    for path in bombs(tmp_path / "bombs"):
        error = refused(pool, path)
        assert re.search("40000 x 40000|cannot read|damaged", error.fault)
        if path.suffix != ".dng":  # LibRaw has limits of its own
            assert "--max-pixels" in error.remedy


def test_the_bound_on_pixels_is_the_users(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", RGB)
    assert decode(path, DecodeOptions(max_pixels=4800)).pixels.shape == (60, 80, 3)
    with pytest.raises(PhotoError, match="80 x 60 is more than 0.004799 megapixels"):
        decode(path, DecodeOptions(max_pixels=4799))


def test_a_deflate_bomb_inside_a_tiff_takes_no_more_than_its_strip(
    pool: DecodePool, tmp_path: Path
) -> None:
    path = write_tiff(tmp_path / "a.tif", RGB, compression="zlib")
    bomb = zlib.compress(bytes(300_000_000))
    data = path.read_bytes()
    path.write_bytes(with_tags(data, {273: len(data), 279: len(bomb)}) + bomb)
    assert refused(pool, path).fault.startswith("the file is damaged")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_cut_short_or_with_a_wrong_bit_is_refused(
    pool: DecodePool, lenient_pool: DecodePool, tmp_path: Path, dtype: type
) -> None:
    pixels = pattern(200, 300, dtype)
    whole = write_png(tmp_path / "a.png", pixels).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) * 3 // 4] ^= 16
    for data, words in ((whole[: len(whole) * 3 // 4], "cut short"), (flipped, "check sum")):
        path = tmp_path / "b.png"
        path.write_bytes(data)
        error = refused(pool, path)
        assert words in error.fault and "--accept-damaged" in error.remedy
        photo = lenient_pool.decode(path)
        assert words in photo.warnings[-1]
        assert np.array_equal(photo.pixels[:80], pixels[:80])
        assert not np.array_equal(photo.pixels, pixels)


def test_a_png_whose_rows_end_early_is_refused(
    pool: DecodePool, lenient_pool: DecodePool, tmp_path: Path
) -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in RGB[:30])
    parts = [
        png_chunk(b"IHDR", struct.pack(">IIBBBBB", 80, 60, 8, 2, 0, 0, 0)),
        png_chunk(b"IDAT", zlib.compress(rows)),
        png_chunk(b"IEND", b""),
    ]
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert "damaged" in refused(pool, path).fault
    photo = lenient_pool.decode(path)
    assert np.array_equal(photo.pixels[:30], RGB[:30])
    assert not photo.pixels[30:].any()


def test_an_interlaced_png_is_salvaged_too(
    pool: DecodePool, lenient_pool: DecodePool, tmp_path: Path
) -> None:
    height, width = 61, 83
    pixels = pattern(height, width)
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4))
    passes += ((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    raw = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in pixels[y::dy, x::dx])
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1))
    path = tmp_path / "a.png"
    body = head + png_chunk(b"IDAT", zlib.compress(raw)) + png_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    assert np.array_equal(pool.decode(path).pixels, pixels)
    path.write_bytes(path.read_bytes()[:-40])
    assert "cut short" in refused(pool, path).fault
    assert np.array_equal(lenient_pool.decode(path).pixels[0], pixels[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("write", [write_png, write_tiff])
def test_alpha_is_carried_at_its_own_depth(
    pool: DecodePool, tmp_path: Path, dtype: type, write: type
) -> None:
    how = {"extrasamples": ["unassalpha"]} if write is write_tiff else {}
    stored = np.dstack([pattern(60, 80, dtype), pattern(60, 80, dtype)[..., 1]])
    photo = pool.decode(write(tmp_path / "a", stored, **how))
    assert photo.alpha is not None
    assert np.array_equal(np.dstack([photo.pixels, photo.alpha]), stored)
    encode(photo, tmp_path / "b.tif", "tiff", EncodeOptions())
    back = pool.decode(tmp_path / "b.tif")
    assert np.array_equal(back.alpha, to_16_bit(stored[..., 3]))


@pytest.mark.parametrize("write", [write_jpeg, write_png, write_tiff])
def test_grey_becomes_rgb(pool: DecodePool, tmp_path: Path, write: type) -> None:
    how = {"photometric": "minisblack"} if write is write_tiff else {}
    photo = pool.decode(write(tmp_path / "a", RGB[..., 0], **how))
    assert (photo.pixels == photo.pixels[..., :1]).all()
    assert np.abs(photo.pixels[..., 0].astype(int) - RGB[..., 0]).max() <= 4


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("colours", [2, 16, 256])
def test_a_palette_is_expanded(pool: DecodePool, tmp_path: Path, suffix: str, colours: int) -> None:
    path = tmp_path / f"a{suffix}"
    image = Image.fromarray(RGB).quantize(colours)
    image.save(path, bits={2: 1, 16: 4, 256: 8}[colours]) if suffix == ".png" else image.save(path)
    assert np.array_equal(pool.decode(path).pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("write", WRITERS.values())
@pytest.mark.parametrize(
    ("icc", "words"),
    [
        (profile_for(b"Lab "), "Lab"),
        (profile_for(b"GRAY"), "GRAY"),
        (b"no profile at all" * 20, "damaged"),
        (srgb_profile()[:300], "cut short"),
    ],
)
def test_a_profile_that_does_not_fit_is_left_out_with_a_word(
    pool: DecodePool, tmp_path: Path, write: type, icc: bytes, words: str
) -> None:
    photo = pool.decode(write(tmp_path / "a", RGB, icc))
    assert photo.metadata.icc == b""
    assert any("ICC profile" in word and words in word for word in photo.warnings)


@pytest.mark.parametrize("write", WRITERS.values())
def test_a_wide_gamut_is_kept_to_the_byte(pool: DecodePool, tmp_path: Path, write: type) -> None:
    icc = WIDE["prophoto gamma"]
    photo = pool.decode(write(tmp_path / "a", RGB, icc))
    assert photo.metadata.icc == icc
    assert photo.warnings == ()
    encode(photo, tmp_path / "b.tif", "tiff", EncodeOptions())
    assert pool.decode(tmp_path / "b.tif").metadata.icc == icc


def test_the_digest_is_of_the_bytes_that_were_decoded(pool: DecodePool, tmp_path: Path) -> None:
    import hashlib

    for path in (write_jpeg(tmp_path / "a.jpg", RGB), write_tiff(tmp_path / "a.tif", RGB)):
        expected = hashlib.sha256(path.read_bytes()).hexdigest()
        assert pool.decode(path).digest == decode(path).digest == expected
    assert Photo(RGB).digest == ""


def test_headers_are_read_without_the_pixels(pool: DecodePool, tmp_path: Path) -> None:
    dng = write_dng(tmp_path / "a.dng", pattern(64, 96, np.uint16), orientation=8)
    for read in (probe, pool.probe):
        header = read(dng)
        assert (header.format, header.size, header.bits) == ("raw", (64, 96), 16)
        assert header.orientation == 8
        with pytest.raises(PhotoError, match="not there"):
            read(tmp_path / "missing.dng")
