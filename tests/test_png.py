from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from photos import pattern, srgb_profile, write_png
from PIL import Image

from abpn_cli.codecs import EncodeOptions, decode, encode, probe
from abpn_cli.errors import PhotoError
from abpn_cli.metadata import png_carrier
from abpn_cli.photo import Metadata, Photo


def chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def raw_png(path: Path, rows: np.ndarray, bits: int, kind: int, extra: bytes = b"") -> Path:
    """Write big-endian rows as they are; the tests' own writer, for kinds others do not write."""
    height = rows.shape[0]
    width = rows.shape[1] * 8 // bits if bits < 8 else rows.shape[1]
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + extra
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [3, 4])
def test_pixels_and_alpha_survive_bit_for_bit(tmp_path: Path, dtype: type, channels: int) -> None:
    pixels = pattern(48, 64, dtype)
    stored = pixels if channels == 3 else np.dstack([pixels, pixels[..., 1] // 2])
    photo = decode(write_png(tmp_path / "a.png", stored, srgb_profile()))
    assert photo.pixels.dtype == dtype
    assert np.array_equal(photo.pixels, pixels)
    assert encode(photo, tmp_path / "b.png", "png", EncodeOptions()) == ()
    back = decode(tmp_path / "b.png")
    assert back.pixels.dtype == dtype
    assert np.array_equal(back.pixels, pixels)
    assert back.metadata.icc == srgb_profile()
    if channels == 4:
        assert back.alpha is not None
        assert np.array_equal(back.alpha, stored[..., 3])
    else:
        assert back.alpha is None


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGB", "RGBA"])
def test_every_kind_reads_as_pillow_reads_it(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(pattern(48, 64)).convert(mode)
    image.save(tmp_path / "a.png")
    photo = decode(tmp_path / "a.png")
    assert np.array_equal(photo.pixels, np.asarray(image.convert("RGBA"))[..., :3])
    assert (photo.alpha is not None) == (mode in ("LA", "RGBA"))


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_colour_named_transparent_becomes_alpha(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(pattern(48, 64)).convert(mode)
    image.save(tmp_path / "a.png", transparency=image.getpixel((5, 7)))
    photo = decode(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        expected = np.asarray(opened.convert("RGBA"))
    assert photo.alpha is not None
    assert photo.alpha[7, 5] == 0
    assert np.array_equal(photo.alpha, expected[..., 3])


def test_grey_of_16_bits_with_a_transparent_value(tmp_path: Path) -> None:
    grey = pattern(20, 30, np.uint16)[..., 0].astype(">u2")
    value = chunk(b"tRNS", struct.pack(">H", int(grey[3, 4])))
    photo = decode(raw_png(tmp_path / "a.png", grey, 16, 0, value))
    assert np.array_equal(photo.pixels[..., 2], grey)
    assert photo.alpha is not None
    assert np.array_equal(photo.alpha == 0, grey == grey[3, 4])


def test_interlaced_and_small_depths_are_read(tmp_path: Path) -> None:
    rows = np.full((4, 2), 0b00011011, np.uint8)
    photo = decode(raw_png(tmp_path / "a.png", rows, 2, 0))
    assert photo.pixels[0, :4, 0].tolist() == [0, 85, 170, 255]


@pytest.mark.parametrize("share", [0.2, 0.7, 0.99])
def test_a_file_cut_short_is_an_error(tmp_path: Path, share: float) -> None:
    data = write_png(tmp_path / "a.png", pattern(48, 64)).read_bytes()
    (tmp_path / "a.png").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PhotoError, match="cut short"):
        decode(tmp_path / "a.png")


def test_one_wrong_bit_in_the_pixels_is_an_error(tmp_path: Path) -> None:
    data = bytearray(write_png(tmp_path / "a.png", pattern(48, 64)).read_bytes())
    data[data.index(b"IDAT") + 100] ^= 4
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(PhotoError, match="check sum"):
        decode(tmp_path / "a.png")


def test_missing_rows_are_an_error(tmp_path: Path) -> None:
    rows = pattern(20, 30)
    path = raw_png(tmp_path / "a.png", rows, 8, 2)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack(">II", 30, 20), struct.pack(">II", 30, 40)))
    head = bytearray(path.read_bytes())
    head[29:33] = struct.pack(">I", zlib.crc32(head[12:29]))
    path.write_bytes(head)
    with pytest.raises(PhotoError, match="damaged"):
        decode(path)


def test_damage_in_words_costs_the_words_and_not_the_photo(tmp_path: Path) -> None:
    text = bytearray(chunk(b"tEXt", b"Title\0words"))
    text[12] ^= 1
    rows = pattern(20, 30)
    photo = decode(raw_png(tmp_path / "a.png", rows, 8, 2, bytes(text)))
    assert np.array_equal(photo.pixels, rows)
    assert photo.warnings == ("Its tEXt chunk is damaged and was left out.",)


def test_text_and_colour_chunks_go_from_png_to_png(tmp_path: Path) -> None:
    extra = chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"tEXt", b"Title\0words")
    raw_png(
        tmp_path / "a.png", pattern(20, 30), 8, 2, extra + chunk(b"tIME", b"\x07\xe8\1\1\0\0\0")
    )
    encode(decode(tmp_path / "a.png"), tmp_path / "b.png", "png", EncodeOptions())
    chunks, _ = png_carrier.split((tmp_path / "b.png").read_bytes())
    found = {item.type: item.data for item in chunks}
    assert found[b"gAMA"] == struct.pack(">I", 45455)
    assert found[b"tEXt"] == b"Title\0words"
    assert b"tIME" not in found  # the time of the last change: not known any more


def test_the_comment_of_a_jpeg_is_kept(tmp_path: Path) -> None:
    photo = Photo(pattern(20, 30), Metadata(comment=b"made by hand"))
    encode(photo, tmp_path / "a.png", "png", EncodeOptions())
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["Comment"] == "made by hand"


def test_the_resolution_comes_back(tmp_path: Path) -> None:
    Image.fromarray(pattern(20, 30)).save(tmp_path / "a.png", dpi=(300, 300))
    encode(decode(tmp_path / "a.png"), tmp_path / "b.png", "png", EncodeOptions())
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_a_compressed_chunk_cannot_fill_the_memory(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(80 << 20), 9)
    path = raw_png(tmp_path / "a.png", pattern(20, 30), 8, 2, chunk(b"iCCP", b"x\0\0" + bomb))
    photo = decode(path)
    assert photo.metadata.icc == b""
    assert photo.warnings == ("Its ICC profile is damaged and was left out.",)


def test_multiplied_pixels_are_divided_for_a_png(tmp_path: Path) -> None:
    straight = pattern(40, 50, np.uint16)
    alpha = np.full((40, 50), 32768, np.uint16)
    multiplied = np.rint(straight * (32768 / 65535)).astype(np.uint16)
    photo = Photo(multiplied, alpha=alpha, alpha_is="associated")
    (word,) = encode(photo, tmp_path / "a.png", "png", EncodeOptions())
    assert "divided" in word
    assert np.abs(decode(tmp_path / "a.png").pixels.astype(int) - straight).max() <= 1


def test_the_header_is_told_without_decoding(tmp_path: Path) -> None:
    header = probe(write_png(tmp_path / "a.png", np.zeros((20, 30, 4), np.uint16)))
    assert (header.format, header.size, header.bits, header.channels) == ("png", (20, 30), 16, 4)
