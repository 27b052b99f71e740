from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from photos import canon_block, pattern, profile_for, srgb_profile, write_tiff
from PIL import Image

from abpn_cli.codecs import DecodeOptions, EncodeOptions, decode, encode, probe
from abpn_cli.errors import PhotoError
from abpn_cli.photo import Metadata, Photo

RGB = pattern(130, 70, np.uint16)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"planarconfig": "separate"},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"tile": (32, 48)},
        {"rowsperstrip": 7},
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib", "predictor": True, "byteorder": ">"},
        {"compression": "zstd"},
        {"compression": "packbits"},
        {"tile": (32, 48), "planarconfig": "separate", "compression": "zlib"},
    ],
    ids=lambda how: "+".join(how) or "plain",
)
def test_every_layout_gives_the_stored_pixels(
    tmp_path: Path, dtype: type, how: dict[str, object]
) -> None:
    pixels = pattern(130, 70, dtype)
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in how else pixels
    photo = decode(write_tiff(tmp_path / "a.tif", stored, **how))
    assert photo.pixels.dtype == dtype
    assert photo.pixels.flags.c_contiguous
    assert np.array_equal(photo.pixels, pixels)
    assert photo.warnings == ()


@pytest.mark.parametrize("quality", [75, 95])
def test_jpeg_inside_a_tiff_gives_the_pixels_of_pillow(tmp_path: Path, quality: int) -> None:
    pixels = pattern(128, 96)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.tif", compression="jpeg", quality=quality)
    photo = decode(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as opened:
        expected = np.asarray(opened.convert("RGB")).astype(int)
    assert np.abs(photo.pixels - expected).mean() < 1
    assert np.abs(photo.pixels - pixels.astype(int)).mean() < 8


def test_tags_of_a_big_tiff_are_carried_into_a_classic_one(tmp_path: Path) -> None:
    tags = [(271, 2, 0, "Maker of cameras", True), (274, 3, 1, 8, True)]
    path = write_tiff(tmp_path / "a.tif", RGB, srgb_profile(), bigtiff=True, extratags=tags)
    photo = decode(path)
    assert (photo.metadata.orientation, photo.metadata.icc) == (8, srgb_profile())
    encode(photo, tmp_path / "b.tif", "tiff", EncodeOptions())
    with Image.open(tmp_path / "b.tif") as image:
        assert image.tag_v2[271] == "Maker of cameras"
        assert image.tag_v2[274] == 8


def test_grey_is_replicated_and_white_is_zero_inverted(tmp_path: Path) -> None:
    grey = RGB[..., 0]
    for photometric, expected in (("minisblack", grey), ("miniswhite", 65535 - grey)):
        photo = decode(write_tiff(tmp_path / "a.tif", grey, photometric=photometric))
        assert np.array_equal(photo.pixels, np.repeat(expected[..., None], 3, axis=2))


def test_a_grey_profile_does_not_go_onto_rgb(tmp_path: Path) -> None:
    path = write_tiff(
        tmp_path / "a.tif", RGB[..., 0], profile_for(b"GRAY"), photometric="minisblack"
    )
    photo = decode(path)
    assert photo.metadata.icc == b""
    assert "GRAY" in photo.warnings[0]


def test_a_palette_is_expanded(tmp_path: Path) -> None:
    indices = np.arange(130 * 70, dtype=np.uint8).reshape(130, 70)
    colours = np.random.default_rng(1).integers(0, 256, (3, 256)).astype(np.uint16)
    for scale, dtype in ((257, np.uint8), (256, np.uint8), (255, np.uint16)):
        table = (colours * scale).astype(np.uint16)
        photo = decode(
            write_tiff(tmp_path / "a.tif", indices, photometric="palette", colormap=table)
        )
        assert photo.pixels.dtype == dtype
        expected = table.T[indices] if dtype is np.uint16 else colours.T[indices]
        assert np.array_equal(photo.pixels, expected)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_a_fourth_channel_comes_back_as_what_it_was(tmp_path: Path, kind: str) -> None:
    stored = np.dstack([RGB, RGB[..., 0] // 3])
    photo = decode(write_tiff(tmp_path / "a.tif", stored, extrasamples=[kind]))
    assert np.array_equal(photo.pixels, RGB)
    encode(photo, tmp_path / "b.tif", "tiff", EncodeOptions())
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        page = tiff.pages.first
        assert page.extrasamples[0].name.lower() == kind
        assert np.array_equal(page.asarray(), stored)


def test_grey_with_alpha_is_read(tmp_path: Path) -> None:
    stored = RGB[..., :2]
    path = write_tiff(
        tmp_path / "a.tif", stored, photometric="minisblack", extrasamples=["unassalpha"]
    )
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.samplesperpixel == 2
    photo = decode(path)
    assert np.array_equal(photo.pixels[..., 1], RGB[..., 0])
    assert np.array_equal(photo.alpha, RGB[..., 1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_stay_as_stored_whatever_the_orientation(tmp_path: Path, orientation: int) -> None:
    tag = (274, 3, 1, orientation, True)
    photo = decode(write_tiff(tmp_path / "a.tif", RGB, extratags=[tag]))
    assert np.array_equal(photo.pixels, RGB)
    assert photo.metadata.orientation == orientation
    encode(photo, tmp_path / "b.tif", "tiff", EncodeOptions())
    back = decode(tmp_path / "b.tif")
    assert np.array_equal(back.pixels, RGB)
    assert back.metadata.orientation == orientation


def test_the_first_full_page_is_taken_with_a_word(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(RGB[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
        writer.write(RGB, photometric="rgb", metadata=None)
        writer.write(RGB[::-1], photometric="rgb", metadata=None)
    photo = decode(path)
    assert np.array_equal(photo.pixels, RGB)
    assert photo.warnings == ("It has 3 pages: only the photo was taken.",)
    assert probe(path).size == RGB.shape[:2]


@pytest.mark.parametrize(
    ("stored", "how", "words"),
    [
        (np.zeros((20, 30, 3), np.int16), {}, "signed"),
        (np.zeros((20, 30, 3), np.uint32), {}, "32-bit"),
        (np.zeros((20, 30, 4), np.uint8), {"photometric": "separated"}, "CMYK"),
        (np.zeros((20, 30, 3), np.uint8), {"photometric": "cielab"}, "Lab"),
        (np.zeros((20, 30, 5), np.uint8), {"extrasamples": [2, 0]}, "5 channels"),
        (np.zeros((20, 30), bool), {"photometric": "minisblack"}, "1-bit"),
    ],
)
def test_what_is_no_rgb_photo_is_refused_by_name(
    tmp_path: Path, stored: np.ndarray, how: dict[str, object], words: str
) -> None:
    path = write_tiff(tmp_path / "a.tif", stored, **how)
    with pytest.raises(PhotoError, match=words) as caught:
        decode(path)
    assert "RGB" in caught.value.remedy


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_file_cut_short_is_an_error(
    tmp_path: Path, compression: str | None, share: float
) -> None:
    path = write_tiff(tmp_path / "a.tif", RGB, compression=compression, rowsperstrip=16)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PhotoError):
        decode(path)


def test_one_wrong_bit_in_deflated_pixels_is_an_error(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", RGB, compression="zlib", rowsperstrip=16)
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages.first.dataoffsets[3] + 40
    data = bytearray(path.read_bytes())
    data[at] ^= 8
    path.write_bytes(data)
    with pytest.raises(PhotoError, match="damaged"):
        decode(path)


def test_no_damage_escapes_as_anything_but_a_photo_error(tmp_path: Path) -> None:
    whole = write_tiff(tmp_path / "a.tif", RGB[:20, :20], srgb_profile()).read_bytes()
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for at in rng.integers(0, min(len(data), 400), 3):
            data[at] = rng.integers(0, 256)
        (tmp_path / "b.tif").write_bytes(data)
        try:
            decode(tmp_path / "b.tif", DecodeOptions(max_pixels=10_000))
        except PhotoError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("compression", ["none", "deflate", "zstd"])
def test_the_output_has_16_bits_and_the_compression_asked_for(
    tmp_path: Path, compression: str
) -> None:
    options = EncodeOptions(tiff_compression=compression)  # type: ignore[arg-type]
    encode(Photo(RGB), tmp_path / "a.tif", "tiff", options)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages.first
        names = {"none": "NONE", "deflate": "ADOBE_DEFLATE", "zstd": "ZSTD"}
        assert page.compression.name == names[compression]
        assert page.predictor == (1 if compression == "none" else 2)
        assert page.rowsperstrip == 64
        assert page.dtype == np.uint16
        assert np.array_equal(page.asarray(), RGB)


def test_8_bits_become_16_so_that_white_stays_white(tmp_path: Path) -> None:
    pixels = pattern(48, 64)
    encode(Photo(pixels), tmp_path / "a.tif", "tiff", EncodeOptions())
    assert np.array_equal(decode(tmp_path / "a.tif").pixels, pixels.astype(np.uint16) * 257)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_output_takes_the_byte_order_of_its_exif(tmp_path: Path, order: str) -> None:
    photo = Photo(RGB, Metadata(exif=canon_block(order)))
    encode(photo, tmp_path / "a.tif", "tiff", EncodeOptions())
    assert (tmp_path / "a.tif").read_bytes()[:2] == {"<": b"II", ">": b"MM"}[order]
    with Image.open(tmp_path / "a.tif") as image:
        assert image.size == (70, 130)
        assert image.getexif()[271] == "Canon"
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), RGB)


def test_tags_of_a_raw_or_layered_file_do_not_make_the_output_one(tmp_path: Path) -> None:
    tags = [
        (50706, 1, 4, b"\1\4\0\0", True),
        (37724, 7, 8, b"layers!!", True),
        (65001, 2, 4, "own", True),
    ]
    photo = decode(write_tiff(tmp_path / "a.tif", RGB, extratags=tags))
    encode(photo, tmp_path / "b.tif", "tiff", EncodeOptions())
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        found = tiff.pages.first.tags
        assert 50706 not in found
        assert 37724 not in found
        assert found[65001].value == "own"


def test_no_resolution_means_72_per_inch_and_a_stated_one_is_kept(tmp_path: Path) -> None:
    for name, how, expected in (
        ("none", {}, ((72, 1), 2)),
        ("some", {"resolution": (118.5, 118.5), "resolutionunit": 3}, ((237, 2), 3)),
    ):
        tagged = write_tiff(tmp_path / "a.tif", RGB, **how)
        photo = decode(tagged) if how else Photo(RGB)
        encode(photo, tmp_path / name, "tiff", EncodeOptions())
        with tifffile.TiffFile(tmp_path / name) as tiff:
            found = tiff.pages.first.tags
            assert (found[282].value, found[296].value) == expected


def test_nothing_is_said_on_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tags = [(65001, 12, 1, 1.5, True)]
    path = write_tiff(tmp_path / "a.tif", RGB, extratags=tags)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(PhotoError):
        decode(path)
    encode(Photo(RGB, Metadata(exif=canon_block())), tmp_path / "b.tif", "tiff", EncodeOptions())
    assert capfd.readouterr() == ("", "")
