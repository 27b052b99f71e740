"""Camera raw files: developed by LibRaw, tags from the file itself, errors by name."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from photos import needs_exiftool, pattern, tags_of, write_dng, write_jpeg
from PIL import Image, ImageCms
from profiles import P3, PROPHOTO, SRGB

from abpn_cli.codecs import (
    DecodeOptions,
    DecodePool,
    EncodeOptions,
    decode,
    encode,
    probe,
    profiles,
    sniff,
)
from abpn_cli.codecs.raw_metadata import of_raw
from abpn_cli.errors import PhotoError
from abpn_cli.metadata import exif
from abpn_cli.photo import turn_upright

pytest.importorskip("rawpy")

LIGHT = (pattern(96, 128, np.uint16) // 2 + 8000).astype(np.uint16)  # linear, nothing clipped


def flat(value: int) -> np.ndarray:
    return np.full((64, 96, 3), value, np.uint16)


def srgb_of(light: float) -> float:
    return light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def as_lab(pixels: np.ndarray, icc: bytes) -> np.ndarray:
    """What a profile makes of 16-bit pixels, by lcms: (N, 3) Lab, at 8 bits."""
    image = Image.fromarray((pixels >> 8).astype(np.uint8))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    lab = ImageCms.profileToProfile(
        image, profile, ImageCms.createProfile("LAB"), ImageCms.Intent.RELATIVE_COLORIMETRIC, "LAB"
    )
    values = np.frombuffer(lab.tobytes(), np.uint8).reshape(-1, 3).astype(float)
    values[:, 1:] = (values[:, 1:] + 128) % 256 - 128
    return values * (100 / 255, 1, 1)


def test_light_becomes_srgb_without_brightening(pool: DecodePool, tmp_path: Path) -> None:
    for light in (655, 6553, 32768, 60000):
        photo = pool.decode(write_dng(tmp_path / "a.dng", flat(light)))
        assert photo.pixels.dtype == np.uint16
        expected = 65535 * srgb_of(light / 65535)
        assert np.abs(photo.pixels.astype(int) - expected).max() <= 0.01 * expected + 40
    assert photo.format == "raw"
    assert photo.warnings == ()


def test_the_camera_s_white_balance_is_taken(pool: DecodePool, tmp_path: Path) -> None:
    tinted = flat(20000)
    tinted[..., 0] = 10000
    path = write_dng(tmp_path / "a.dng", tinted)
    data = path.read_bytes()
    neutral = np.array([1, 1] * 3, "<u4").tobytes()
    assert neutral in data
    path.write_bytes(data.replace(neutral, np.array([1, 2, 1, 1, 1, 1], "<u4").tobytes()))
    red, green, blue = pool.decode(path).pixels[20:40, 20:40].reshape(-1, 3).mean(0)
    assert abs(red - green) < 0.01 * green
    assert abs(blue - green) < 0.01 * green


def test_srgb_and_prophoto_show_the_same_colours(tmp_path: Path) -> None:
    path = write_dng(tmp_path / "a.dng", LIGHT)
    srgb = decode(path)
    wide = decode(path, DecodeOptions(raw_space="prophoto"))
    names = [
        ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(p.metadata.icc))).strip()
        for p in (srgb, wide)
    ]
    assert names == ["sRGB", "ProPhoto RGB"]
    assert not np.array_equal(srgb.pixels, wide.pixels)
    inside = (srgb.pixels > 2000).all(-1) & (srgb.pixels < 60000).all(-1)
    assert inside.mean() > 0.3
    difference = as_lab(srgb.pixels, srgb.metadata.icc) - as_lab(wide.pixels, wide.metadata.icc)
    assert np.linalg.norm(difference[inside.ravel()], axis=1).mean() < 2.5


@pytest.mark.parametrize(
    ("made", "published"),
    [
        (profiles.SRGB, SRGB),
        (profiles.DISPLAY_P3, P3),
        (profiles.ROMM, PROPHOTO),
    ],
)
def test_profiles_of_ours_have_the_published_primaries(
    made: profiles.Primaries, published: tuple[tuple[float, ...], ...]
) -> None:
    icc = profiles.build("test", made, profiles.gamma(1.8))
    assert profiles.build("test", made, profiles.gamma(1.8)) == icc  # no clock in it
    seen = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
    columns = [seen.red_colorant, seen.green_colorant, seen.blue_colorant]
    assert np.allclose([column[0] for column in columns], published, atol=4e-4)
    assert seen.media_white_point[0] == pytest.approx((0.9642, 1.0, 0.8249), abs=1e-4)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_pixels_stay_as_the_sensor_lies_and_the_tag_says_so(
    pool: DecodePool, tmp_path: Path, orientation: int
) -> None:
    path = write_dng(tmp_path / "a.dng", LIGHT, orientation)
    plain = pool.decode(write_dng(tmp_path / "b.dng", LIGHT))
    photo = pool.decode(path)
    assert photo.metadata.orientation == orientation
    assert np.array_equal(photo.pixels, plain.pixels)
    encode(photo, tmp_path / "c.tif", "tiff", EncodeOptions())
    with tifffile.TiffFile(tmp_path / "c.tif") as tiff:
        assert tiff.pages.first.tags[274].value == orientation
        assert np.array_equal(tiff.pages.first.asarray(), photo.pixels)
    upright = turn_upright(photo.pixels, orientation)
    assert upright.shape[:2] == ((96, 128) if orientation in (1, 3) else (128, 96))


@needs_exiftool
def test_tags_are_carried_and_the_output_is_no_raw_file(tmp_path: Path) -> None:
    path = write_dng(tmp_path / "a.dng", LIGHT)
    encode(decode(path), tmp_path / "b.tif", "tiff", EncodeOptions())
    encode(decode(path), tmp_path / "b.jpg", "jpeg", EncodeOptions())
    for name in ("b.tif", "b.jpg"):
        tags = tags_of(tmp_path / name)
        assert tags["IFD0:Make"] == "Testcam"
        assert tags["IFD0:Model"] == "Testcam One"
        assert tags["IFD0:ModifyDate"] == "2024:05:06 07:08:09"
        assert not [tag for tag in tags if "DNG" in tag or "CFA" in tag or "ColorMatrix" in tag]
    assert decode(tmp_path / "b.tif").metadata.icc == decode(path).metadata.icc


@pytest.mark.parametrize("head", [b"IIRO", b"IIRS", b"IIU\0"])
def test_structures_under_a_maker_s_own_number_are_read(tmp_path: Path, head: bytes) -> None:
    data = write_dng(tmp_path / "a.dng", LIGHT, 8).read_bytes()
    found, _ = of_raw(head + data[4:], b"")
    assert exif.orientation(found.exif) == 8
    assert b"Testcam One" in found.exif


def test_where_only_the_preview_has_tags_it_is_asked(tmp_path: Path) -> None:
    block = Image.Exif()
    block[272] = "Fuji of the test"
    preview = write_jpeg(tmp_path / "a.jpg", pattern(48, 64), exif=block.tobytes()[6:])
    found, _ = of_raw(b"FUJIFILMCCD-RAW 0201" + bytes(100), preview.read_bytes())
    assert b"Fuji of the test" in found.exif
    assert of_raw(b"FUJIFILMCCD-RAW 0201" + bytes(100), b"")[0].exif == b""
    assert of_raw(b"FUJIFILMCCD-RAW 0201", b"\xff\xd8broken")[0].exif == b""


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8) + kind + body


def structure(*entries: tuple[int, bytes]) -> bytes:
    """A TIFF structure with one directory of ASCII tags."""
    values = 8 + 2 + 12 * len(entries) + 4
    head, tail = struct.pack("<H", len(entries)), b""
    for tag, text in entries:
        head += struct.pack("<HHII", tag, 2, len(text), values + len(tail))
        tail += text
    return b"II*\0\x08\0\0\0" + head + bytes(4) + tail


def test_the_boxes_of_a_cr3_are_read(tmp_path: Path) -> None:
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    parts = [
        box(b"CMT1", structure((271, b"Canon\0"), (272, b"Canon EOS R5\0"))),
        box(b"CMT2", structure((36867, b"2024:05:06 07:08:09\0"), (42036, b"RF85mm F1.2\0"))),
        box(b"CMT3", structure((9, b"Owner of it\0"))),
        box(b"CMT4", structure((29, b"2024:05:06\0"))),
    ]
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    data = box(b"ftyp", b"crx \0\0\0\1crx isom")
    data += box(b"moov", box(b"uuid", canon, *parts))
    data += box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), packet)
    found, _ = of_raw(data, b"")
    assert found.xmp == packet
    seen = Image.Exif()
    seen.load(found.exif)
    assert seen[272] == "Canon EOS R5"
    assert seen.get_ifd(34665) == {36867: "2024:05:06 07:08:09", 42036: "RF85mm F1.2"}
    assert seen.get_ifd(34853) == {29: "2024:05:06"}
    rng = np.random.default_rng(2)
    for _ in range(300):  # no garbage gets through as an exception
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 5):
            broken[at] = rng.integers(0, 256)
        of_raw(bytes(broken), b"")
        of_raw(data[: rng.integers(0, len(data))], b"")


def test_a_sensor_without_filters_gives_grey(pool: DecodePool, tmp_path: Path) -> None:
    path = write_dng(tmp_path / "a.dng", LIGHT)
    data = path.read_bytes()
    cfa = struct.pack("<HHIHH", 262, 3, 1, 32803, 0)
    data = data.replace(cfa, struct.pack("<HHIHH", 262, 3, 1, 34892, 0))
    path.write_bytes(data)
    photo = pool.decode(path)
    assert photo.pixels.shape == LIGHT.shape
    assert (photo.pixels == photo.pixels[..., :1]).all()
    assert photo.pixels.std() > 1000


@pytest.mark.parametrize("share", [0.03, 0.5, 0.95])
def test_a_file_cut_short_is_an_error_and_libraw_is_not_heard(
    pool: DecodePool, tmp_path: Path, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_dng(tmp_path / "a.dng", LIGHT)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    for read in (pool.decode, decode):
        with pytest.raises(PhotoError, match="cut short or damaged"):
            read(path)
    assert capfd.readouterr() == ("", "")


def test_no_garbage_escapes_as_anything_but_a_photo_error(
    pool: DecodePool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = write_dng(tmp_path / "a.dng", LIGHT[:32, :32]).read_bytes()
    rng = np.random.default_rng(7)
    path = tmp_path / "b.dng"
    for _ in range(40):
        data = bytearray(whole)
        for at in rng.integers(8, 450, 4):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        with contextlib.suppress(PhotoError):
            assert pool.decode(path).pixels.ndim == 3
    for words in (b"II*\0" + bytes(200), b"FUJIFILMCCD-RAW " + bytes(500), b"FOVb" + bytes(90)):
        path.write_bytes(words)
        with pytest.raises(PhotoError):
            pool.decode(path)
    assert capfd.readouterr() == ("", "")


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dng(tmp_path / "a.dng", LIGHT)
    monkeypatch.setitem(sys.modules, "rawpy", None)
    for read in (decode, probe):
        with pytest.raises(PhotoError, match=r"rawpy is not installed.*abpn\[raw\]"):
            read(path)


def test_the_header_tells_what_will_be_developed(tmp_path: Path) -> None:
    path = write_dng(tmp_path / "a.dng", LIGHT, 6)
    header = probe(path)
    assert (header.format, header.size, header.orientation) == ("raw", (96, 128), 6)
    assert sniff(path) == "raw"
    with pytest.raises(PhotoError, match="128 x 96 is more than"):
        decode(path, DecodeOptions(max_pixels=10_000))
