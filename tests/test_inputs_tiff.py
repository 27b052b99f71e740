"""TIFFs of every kind: layouts, depths, compressions, pages, damage, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from photos import pattern, srgb_profile, write_tiff
from PIL import Image, ImageCms
from profiles import cmyk_profile

from abpn_cli.codecs import DecodeOptions, DecodePool, decode, probe
from abpn_cli.errors import PhotoError

RGB8 = pattern(130, 70)
RGB = pattern(130, 70, np.uint16)


LOSSLESS = ["lzw", "zlib", "deflate", "packbits", "zstd", "lzma", "lerc", "png", "jpeg2000"]
LOSSLESS += ["jpegxl", "jpegxr", "webp"]


@pytest.mark.parametrize("compression", LOSSLESS)
def test_every_compression_is_read(pool: DecodePool, tmp_path: Path, compression: str) -> None:
    for pixels in (RGB8, RGB):
        if compression == "webp" and pixels.dtype == np.uint16:
            continue
        photo = pool.decode(write_tiff(tmp_path / "a.tif", pixels, compression=compression))
        assert photo.pixels.dtype == pixels.dtype
        assert np.array_equal(photo.pixels, pixels)
        assert photo.warnings == ()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_pixels_stay_as_stored(pool: DecodePool, tmp_path: Path, orientation: int) -> None:
    tag = (274, 3, 1, orientation, True)
    photo = pool.decode(write_tiff(tmp_path / "a.tif", RGB, extratags=[tag]))
    assert np.array_equal(photo.pixels, RGB)
    assert photo.metadata.orientation == orientation


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_every_layout_is_read(
    pool: DecodePool,
    tmp_path: Path,
    tiled: bool,
    order: str,
    big: bool,
    planar: bool,
    compression: str | None,
) -> None:
    how: dict[str, object] = {"byteorder": order, "bigtiff": big, "compression": compression}
    if tiled:
        how["tile"] = (48, 32)
    if planar:
        how["planarconfig"] = "separate"
    stored = np.moveaxis(RGB, -1, 0) if planar else RGB
    photo = pool.decode(write_tiff(tmp_path / "a.tif", stored, **how))
    assert np.array_equal(photo.pixels, RGB)


@pytest.mark.parametrize("bits", [2, 4, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
def test_every_depth_is_scaled_to_its_full_range(
    pool: DecodePool, tmp_path: Path, bits: int, photometric: str
) -> None:
    dtype = np.uint8 if bits <= 8 else np.uint16
    values = (RGB >> (16 - bits)).astype(dtype)
    values[0, 0], values[0, 1] = 0, (1 << bits) - 1
    stored = values if photometric == "rgb" else np.ascontiguousarray(values[..., 0])
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric=photometric, bitspersample=bits, metadata=None)
    photo = pool.decode(path)
    full = 255 if bits <= 8 else 65535
    expected = stored * (full / ((1 << bits) - 1))
    if photometric == "miniswhite":
        expected = full - expected
    shown = photo.pixels if photometric == "rgb" else photo.pixels[..., 0]
    assert photo.pixels.dtype == dtype
    assert np.abs(shown - expected).max() < 1
    assert {int(shown[0, 0].min()), int(shown[0, 1].min())} == {0, full}
    assert probe(path).bits == bits


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib", "predictor": 3}])
def test_floating_point_within_0_and_1_becomes_16_bits(
    pool: DecodePool, tmp_path: Path, dtype: type, how: dict[str, object]
) -> None:
    values = (RGB / 65535.0).astype(dtype)
    values[0, 0], values[0, 1] = 0.0, 1.0
    photo = pool.decode(write_tiff(tmp_path / "a.tif", values, **how))
    assert photo.pixels.dtype == np.uint16
    assert np.array_equal(photo.pixels, np.rint(values.astype(np.float64) * 65535))
    alpha = np.dstack([values, values[..., :1]])
    photo = pool.decode(write_tiff(tmp_path / "a.tif", alpha, extrasamples=["unassalpha"], **how))
    assert np.array_equal(photo.alpha, photo.pixels[..., 0])


@pytest.mark.parametrize("value", [-0.001, 1.001, np.nan, np.inf, -np.inf])
def test_floating_point_beyond_is_refused_and_not_clipped(
    pool: DecodePool, tmp_path: Path, value: float
) -> None:
    values = (RGB / 65535.0).astype(np.float32)
    values[100, 20, 1] = value
    with pytest.raises(PhotoError, match="beyond 0 to 1"):
        pool.decode(write_tiff(tmp_path / "a.tif", values))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cmyk_becomes_srgb_through_its_profile(
    pool: DecodePool, tmp_path: Path, dtype: type
) -> None:
    icc = cmyk_profile()
    inks = np.asarray(Image.fromarray(RGB8).convert("CMYK"))
    stored = inks if dtype is np.uint8 else inks.astype(np.uint16) * 257
    path = write_tiff(tmp_path / "a.tif", stored, icc, photometric="separated")
    photo = pool.decode(path)
    expected = ImageCms.profileToProfile(
        Image.fromarray(inks, "CMYK"),
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        "RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert photo.pixels.dtype == dtype
    scale = 1 if dtype is np.uint8 else 257
    assert np.abs(photo.pixels / scale - np.asarray(expected)).max() <= 2
    assert photo.metadata.icc[16:20] == b"RGB "
    assert "CMYK" in photo.warnings[0]
    with pytest.raises(PhotoError, match="without a profile"):
        pool.decode(write_tiff(tmp_path / "a.tif", stored, photometric="separated"))


def test_the_first_full_page_is_taken_with_a_word(pool: DecodePool, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for _ in "ab":
            writer.write(RGB[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
        writer.write(RGB, photometric="rgb", iccprofile=srgb_profile(), metadata=None)
        writer.write(RGB[::-1], photometric="rgb", metadata=None)
    photo = pool.decode(path)
    assert np.array_equal(photo.pixels, RGB)
    assert photo.metadata.icc == srgb_profile()
    assert photo.warnings == ("It has 4 pages: only the photo was taken.",)


SPOT_COLOURS = {"photometric": "separated", "extratags": [(332, 3, 1, 2, True)]}


@pytest.mark.parametrize(
    ("stored", "how", "words"),
    [
        (np.zeros((20, 30, 3), np.int16), {}, "signed-integer"),
        (np.zeros((20, 30, 3), np.int8), {}, "signed-integer"),
        (np.zeros((20, 30, 3), np.uint32), {}, "32-bit"),
        (np.zeros((20, 30, 3), np.complex64), {}, "complex"),
        (np.zeros((20, 30, 3), np.uint8), {"photometric": "cielab"}, "Lab"),
        (np.zeros((20, 30, 5), np.uint8), {"extrasamples": [2, 0]}, "5 channels"),
        (np.zeros((20, 30, 4), np.uint8), SPOT_COLOURS, "many-ink"),
        (np.zeros((20, 30), bool), {"photometric": "minisblack"}, "1-bit"),
        (np.zeros((20, 30), np.uint16), {"photometric": "cfa"}, "raw"),
    ],
)
def test_what_cannot_be_rgb_is_refused_by_name(
    pool: DecodePool, tmp_path: Path, stored: np.ndarray, how: dict[str, object], words: str
) -> None:
    path = write_tiff(tmp_path / "a.tif", stored, **how)
    with pytest.raises(PhotoError, match=words) as caught:
        pool.decode(path)
    assert "RGB" in caught.value.remedy


def test_one_wrong_bit_under_deflate_is_an_error(
    pool: DecodePool, lenient_pool: DecodePool, tmp_path: Path
) -> None:
    path = write_tiff(tmp_path / "a.tif", RGB, compression="zlib", rowsperstrip=16)
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages.first.dataoffsets[3] + 40
    data = bytearray(path.read_bytes())
    data[at] ^= 8
    path.write_bytes(data)
    with pytest.raises(PhotoError, match="damaged") as caught:
        pool.decode(path)
    assert "--accept-damaged" in caught.value.remedy
    photo = lenient_pool.decode(path)
    assert np.array_equal(photo.pixels[:48], RGB[:48])
    assert np.array_equal(photo.pixels[64:], RGB[64:])
    assert "Damage accepted" in photo.warnings[-1]


@pytest.mark.parametrize(
    "how",
    [{}, {"compression": "zlib"}, {"compression": "lzw"}, {"tile": (32, 32)}, {"byteorder": ">"}],
    ids=lambda how: "+".join(how) or "plain",
)
def test_a_file_cut_short_is_an_error_unless_it_is_accepted(
    pool: DecodePool, lenient_pool: DecodePool, tmp_path: Path, how: dict[str, object]
) -> None:
    path = write_tiff(tmp_path / "a.tif", RGB, **({"rowsperstrip": 16} | how))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(PhotoError, match="cut short"):
        pool.decode(path)
    photo = lenient_pool.decode(path)
    assert np.array_equal(photo.pixels[:32], RGB[:32])
    assert not photo.pixels[-1].any()
    assert "cut short" in photo.warnings[-1]


@pytest.mark.parametrize("tables", [False, True])
def test_a_damaged_jpeg_inside_is_an_error(
    pool: DecodePool, lenient_pool: DecodePool, tmp_path: Path, tables: bool
) -> None:
    path = tmp_path / "a.tif"
    if tables:  # libtiff keeps them apart, tifffile in every strip
        Image.fromarray(RGB8).save(path, compression="jpeg", quality=95)
    else:
        write_tiff(path, RGB8, compression="jpeg", rowsperstrip=32)
    whole = pool.decode(path).pixels
    assert np.abs(whole.astype(int) - RGB8).mean() < 6
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        at = page.dataoffsets[-1] + page.databytecounts[-1] // 2
        assert (page.jpegtables is not None) == tables
    data = bytearray(path.read_bytes())
    data[at : at + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(PhotoError, match="JPEG inside"):
        pool.decode(path)
    assert lenient_pool.decode(path).pixels.shape == RGB8.shape


def test_12_bit_jpeg_inside_is_read(pool: DecodePool, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    how = {"compression": "jpeg", "compressionargs": {"bitspersample": 12, "level": 98}}
    tifffile.imwrite(path, RGB >> 4, photometric="rgb", bitspersample=12, metadata=None, **how)
    photo = pool.decode(path)
    assert photo.pixels.dtype == np.uint16
    assert np.abs(photo.pixels.astype(int) - RGB).mean() < 800
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        at = page.dataoffsets[-1] + page.databytecounts[-1] // 2
    data = bytearray(path.read_bytes())
    data[at : at + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(PhotoError, match="JPEG inside"):
        pool.decode(path)


def test_a_strip_that_is_missing_is_an_error(pool: DecodePool, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", RGB, compression="zlib", rowsperstrip=65)
    data = path.read_bytes()
    for tag in (273, 279):  # two strips become one; their numbers then lie in the tag itself
        at = data.index(tag.to_bytes(2, "little"), 8)
        kind = int.from_bytes(data[at + 2 : at + 4], "little")
        width = {3: 2, 4: 4}[kind]
        place = int.from_bytes(data[at + 8 : at + 12], "little")
        value = data[at + 8 : at + 8 + width] if width == 2 else data[place : place + width]
        entry = data[at : at + 4] + b"\1\0\0\0" + value.ljust(4, b"\0")
        data = data[:at] + entry + data[at + 12 :]
    path.write_bytes(data)
    with pytest.raises(PhotoError, match="lacks a part|damaged"):
        pool.decode(path)


def test_a_tile_larger_than_any_photo_is_refused(pool: DecodePool, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", RGB, tile=(48, 32), compression="zlib")
    data = path.read_bytes()
    for tag in (322, 323):
        for kind in (3, 4):
            at = data.find(tag.to_bytes(2, "little") + bytes([kind, 0, 1, 0, 0, 0]))
            if at >= 0:
                entry = tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + (65536).to_bytes(4, "little")
                data = data[:at] + entry + data[at + 12 :]
    path.write_bytes(data)
    with pytest.raises(PhotoError, match="absurdly tiled"):
        pool.decode(path)


def test_nothing_is_left_of_a_file_without_its_directory(
    lenient_pool: DecodePool, tmp_path: Path
) -> None:
    path = write_tiff(tmp_path / "a.tif", RGB)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(PhotoError):
        lenient_pool.decode(path)


def test_no_damage_escapes_as_anything_but_a_photo_error(tmp_path: Path) -> None:
    whole = write_tiff(tmp_path / "a.tif", RGB[:20, :20], compression="zlib").read_bytes()
    rng = np.random.default_rng(5)
    options = DecodeOptions(max_pixels=10_000, accept_damaged=True)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for at in rng.integers(0, min(len(data), 400), 3):
            data[at] = rng.integers(0, 256)
        (tmp_path / "b.tif").write_bytes(data)
        try:
            decode(tmp_path / "b.tif", options)
        except PhotoError:
            refused += 1
    assert refused > 20
