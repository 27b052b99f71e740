from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from photos import pattern, profile_for, srgb_profile, write_jpeg
from PIL import Image

from abpn_cli.codecs import EncodeOptions, decode, encode, probe
from abpn_cli.errors import PhotoError
from abpn_cli.metadata import jpeg_carrier
from abpn_cli.photo import Metadata, Photo


@pytest.fixture
def jpeg(tmp_path: Path) -> Path:
    return write_jpeg(tmp_path / "a.jpg", pattern(120, 160), srgb_profile())


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def by_pillow(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_pixels_are_those_of_pillow(tmp_path: Path, subsampling: int, progressive: bool) -> None:
    how = {"subsampling": subsampling, "progressive": progressive}
    path = write_jpeg(tmp_path / "a.jpg", pattern(121, 163), **how)
    photo = decode(path)
    assert photo.pixels.dtype == np.uint8
    assert np.abs(photo.pixels.astype(int) - by_pillow(path)).max() <= 1
    assert photo.warnings == ()


def test_pixels_stay_as_stored_whatever_the_orientation(tmp_path: Path) -> None:
    block = Image.Exif()
    block[274] = 6
    path = write_jpeg(tmp_path / "a.jpg", pattern(48, 64), exif=block.tobytes()[6:])
    photo = decode(path)
    assert photo.pixels.shape == (48, 64, 3)
    assert photo.metadata.orientation == 6
    assert probe(path).orientation == 6


def test_grey_becomes_rgb_and_loses_its_grey_profile(tmp_path: Path) -> None:
    grey = pattern(48, 64)[..., 0]
    path = write_jpeg(tmp_path / "a.jpg", grey, profile_for(b"GRAY"))
    photo = decode(path)
    assert photo.pixels.shape == (48, 64, 3)
    assert (photo.pixels == photo.pixels[..., :1]).all()
    assert photo.metadata.icc == b""
    assert "GRAY" in photo.warnings[0]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_cut_short_is_an_error(tmp_path: Path, share: float, progressive: bool) -> None:
    whole = write_jpeg(tmp_path / "a.jpg", pattern(240, 320), progressive=progressive).read_bytes()
    path = put(tmp_path / "cut.jpg", whole[: int(len(whole) * share)])
    with pytest.raises(PhotoError, match="cut short|damaged"):
        decode(path)


def test_a_cut_file_with_an_end_marker_is_an_error_too(jpeg: Path) -> None:
    whole = jpeg.read_bytes()
    with pytest.raises(PhotoError, match="cut short|damaged"):
        decode(put(jpeg, whole[: len(whole) * 2 // 3] + b"\xff\xd9"))


def test_zeroed_blocks_are_an_error(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg", pattern(480, 640))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(4096)
    with pytest.raises(PhotoError, match="damaged|cut short"):
        decode(put(path, bytes(data)))


def test_a_missing_end_marker_alone_is_forgiven_with_a_word(jpeg: Path) -> None:
    whole = decode(jpeg)
    mended = decode(put(jpeg, jpeg.read_bytes()[:-2]))
    assert np.array_equal(mended.pixels, whole.pixels)
    assert mended.warnings == ("Its end marker is missing; the pixels are whole.",)


def test_a_progressive_file_without_its_end_is_not_trusted(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg", pattern(120, 160), progressive=True)
    with pytest.raises(PhotoError, match="cut short"):
        decode(put(path, path.read_bytes()[:-2]))


def test_junk_between_header_segments_is_forgiven_with_a_word(jpeg: Path) -> None:
    whole = decode(jpeg)
    data = jpeg.read_bytes()
    at = data.index(b"\xff\xdb", 2 + len(srgb_profile()))
    mended = decode(put(jpeg, data[:at] + b"\0\1\2" + data[at:]))
    assert np.array_equal(mended.pixels, whole.pixels)
    assert mended.metadata.icc == srgb_profile()
    assert "the pixels are whole" in mended.warnings[0]


def test_an_incomplete_profile_is_left_out_with_a_word(jpeg: Path) -> None:
    write_jpeg(jpeg, pattern(48, 64), srgb_profile()[:400])
    data = jpeg.read_bytes().replace(b"ICC_PROFILE\0\x01\x01", b"ICC_PROFILE\0\x01\x02")
    photo = decode(put(jpeg, data))
    assert photo.metadata.icc == b""
    assert any("incomplete" in word for word in photo.warnings)


def test_16_bits_are_rounded_to_8_and_full_chroma_is_kept(tmp_path: Path) -> None:
    pixels = pattern(96, 128, np.uint16)
    encode(Photo(pixels), tmp_path / "a.jpg", "jpeg", EncodeOptions(quality=100))
    back = decode(tmp_path / "a.jpg").pixels.astype(int)
    assert np.abs(back - np.rint(pixels / 257)).max() <= 5
    frame = jpeg_carrier.split((tmp_path / "a.jpg").read_bytes())[0]
    (header,) = [item.payload for item in frame if item.marker == 0xC0]
    assert header[7] == header[10] == header[13] == 0x11  # 4:4:4


def test_quality_is_obeyed(tmp_path: Path) -> None:
    photo = Photo(pattern(240, 320))
    for quality in (30, 95):
        encode(photo, tmp_path / f"{quality}.jpg", "jpeg", EncodeOptions(quality=quality))
    assert (tmp_path / "30.jpg").stat().st_size < 0.7 * (tmp_path / "95.jpg").stat().st_size


def test_alpha_is_left_out_with_a_word(tmp_path: Path) -> None:
    pixels = pattern(48, 64)
    photo = Photo(pixels, alpha=pixels[..., 0])
    (word,) = encode(photo, tmp_path / "a.jpg", "jpeg", EncodeOptions())
    assert "transparency" in word


def test_nothing_of_the_old_encoding_is_copied(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg", pattern(48, 64))
    data = path.read_bytes()

    def segment(marker: int, payload: bytes) -> bytes:
        return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload

    stale = segment(0xE2, b"MPF\0II*\0") + segment(0xE2, b"FPXR\0x") + segment(0xEB, b"JPc2pa")
    put(
        path, data[:2] + stale + segment(0xEE, b"Adobe\0d\0\0\0\0\1") + data[2:] + b"trailing image"
    )
    encode(decode(path), tmp_path / "out.jpg", "jpeg", EncodeOptions())
    out = (tmp_path / "out.jpg").read_bytes()
    for word in (b"MPF", b"FPXR", b"c2pa", b"Adobe", b"JFIF", b"trailing"):
        assert word not in out


def test_a_profile_of_several_segments_comes_back_whole(tmp_path: Path) -> None:
    icc = bytearray(profile_for(b"RGB") + bytes(range(256)) * 600)
    icc[0:4] = len(icc).to_bytes(4, "big")
    photo = Photo(pattern(48, 64), Metadata(icc=bytes(icc)))
    encode(photo, tmp_path / "a.jpg", "jpeg", EncodeOptions())
    assert decode(tmp_path / "a.jpg").metadata.icc == bytes(icc)


def test_what_a_jpeg_cannot_hold_is_an_error_of_the_photo(tmp_path: Path) -> None:
    photo = Photo(np.zeros((1, 65501, 3), np.uint8), source=Path("wide.tif"))
    with pytest.raises(PhotoError, match="wide.tif"):
        encode(photo, tmp_path / "a.jpg", "jpeg", EncodeOptions())
    assert not list(tmp_path.iterdir())


def test_outputs_open_everywhere(tmp_path: Path) -> None:
    photo = replace(Photo(pattern(48, 64)), metadata=Metadata(icc=srgb_profile()))
    encode(photo, tmp_path / "a.jpg", "jpeg", EncodeOptions())
    data = (tmp_path / "a.jpg").read_bytes()
    ours = decode(tmp_path / "a.jpg").pixels.astype(int)
    opened = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.abs(ours - opened).max() <= 1
    image = Image.open(io.BytesIO(data))
    assert image.info["icc_profile"] == srgb_profile()
    assert np.abs(ours - np.asarray(image)).max() <= 1
