"""HEIC: depths, colours, orientation, tags, and what is left behind with a word."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from photos import pattern, srgb_profile
from PIL import Image, ImageCms

from abpn_cli.codecs import DecodeOptions, DecodePool, EncodeOptions, decode, encode, probe, sniff
from abpn_cli.errors import PhotoError
from abpn_cli.photo import turn_upright

pytest.importorskip("pi_heif")
pillow_heif = pytest.importorskip("pillow_heif")

RGB = pattern(120, 160)
EXACT = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}  # nothing lost but the depth


def write_heic(path: Path, pixels: np.ndarray, **how: object) -> Path:
    """Write (H, W, 3) or (H, W, 4); uint16 becomes 10 bits, as phones write."""
    mode = {3: "RGB", 4: "RGBA"}[pixels.shape[2]] + (";16" if pixels.dtype == np.uint16 else "")
    size = (pixels.shape[1], pixels.shape[0])
    made = pillow_heif.from_bytes(mode, size, np.ascontiguousarray(pixels).tobytes())
    made.save(path, **(EXACT | how))
    return path


def name_of(icc: bytes) -> str:
    return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip()


def test_8_bits_come_back_exact(pool: DecodePool, tmp_path: Path) -> None:
    photo = pool.decode(write_heic(tmp_path / "a.heic", RGB))
    assert np.array_equal(photo.pixels, RGB)
    assert (photo.format, photo.warnings, photo.alpha) == ("heic", (), None)


def test_10_bits_become_16_of_full_range(pool: DecodePool, tmp_path: Path) -> None:
    pixels = pattern(120, 160, np.uint16)
    pixels[0, 0], pixels[0, 1] = 0, 65535
    path = write_heic(tmp_path / "a.heic", pixels)
    photo = pool.decode(path)
    assert photo.pixels.dtype == np.uint16
    ten = pixels.astype(int) >> 6
    assert np.array_equal(photo.pixels, (ten << 6) | (ten >> 4))
    assert photo.pixels[0, 1].tolist() == [65535] * 3
    assert probe(path).bits == 10


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_carried(pool: DecodePool, tmp_path: Path, dtype: type) -> None:
    pixels = pattern(120, 160, dtype)
    photo = pool.decode(write_heic(tmp_path / "a.heic", np.dstack([pixels, pixels[..., 0]])))
    assert photo.alpha is not None
    assert photo.alpha.dtype == dtype
    assert np.array_equal(photo.alpha, photo.pixels[..., 0])
    assert photo.alpha_is == "straight"


def test_grey_becomes_rgb(pool: DecodePool, tmp_path: Path) -> None:
    made = pillow_heif.from_bytes("L", (160, 120), np.ascontiguousarray(RGB[..., 0]).tobytes())
    made.save(tmp_path / "a.heic", quality=-1)
    photo = pool.decode(tmp_path / "a.heic")
    assert (photo.pixels == photo.pixels[..., :1]).all()
    assert np.abs(photo.pixels[..., 0].astype(int) - RGB[..., 0]).max() <= 2


def test_a_heic_named_jpg_is_known(pool: DecodePool, tmp_path: Path) -> None:
    path = write_heic(tmp_path / "a.jpg", RGB)
    assert sniff(path) == "heic"
    assert np.array_equal(pool.decode(path).pixels, RGB)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_upright_and_every_tag_says_so(
    pool: DecodePool, tmp_path: Path, orientation: int
) -> None:
    block = Image.Exif()
    block[271], block[274] = "Maker of phones", orientation
    packet = (
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf"
        b"-syntax-ns#'><rdf:Description xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation"
        b"='%d'/></rdf:RDF></x:xmpmeta>" % orientation
    )
    path = tmp_path / "a.heic"
    pillow_heif.register_heif_opener()
    image = Image.fromarray(RGB)
    image.save(path, exif=block.tobytes(), xmp=packet, icc_profile=srgb_profile(), **EXACT)
    photo = pool.decode(path)
    assert np.array_equal(photo.pixels, turn_upright(RGB, orientation))
    assert probe(path).size == photo.pixels.shape[:2]
    assert photo.metadata.orientation == 1
    assert photo.metadata.icc == srgb_profile()
    encode(photo, tmp_path / "b.tif", "tiff", EncodeOptions())
    with Image.open(tmp_path / "b.tif") as written:
        assert written.getexif()[271] == "Maker of phones"
        assert written.getexif().get(274, 1) == 1
        assert b"Orientation='1'" in written.tag_v2[700]
        assert written.info["icc_profile"] == srgb_profile()


@pytest.mark.parametrize(
    ("primaries", "curve", "name", "green"),
    [(1, 13, "sRGB", (0.3, 0.6)), (12, 13, "Display P3", (0.265, 0.69)), (9, 14, "BT.2020", None)],
)
def test_colours_told_by_numbers_become_a_profile(
    pool: DecodePool,
    tmp_path: Path,
    primaries: int,
    curve: int,
    name: str,
    green: tuple[float, float] | None,
) -> None:
    path = write_heic(
        tmp_path / "a.heic", RGB, color_primaries=primaries, transfer_characteristics=curve
    )
    icc = pool.decode(path).metadata.icc
    assert name_of(icc) == name
    if green is not None:
        found = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.chromaticity
        (x, y, _) = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.green_colorant[1]
        assert found is None or np.allclose(found[1][:2], green, atol=0.002)
        assert y > x


@pytest.mark.parametrize(("curve", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_by_name(pool: DecodePool, tmp_path: Path, curve: int, name: str) -> None:
    path = write_heic(
        tmp_path / "a.heic",
        pattern(120, 160, np.uint16),
        color_primaries=9,
        transfer_characteristics=curve,
    )
    with pytest.raises(PhotoError, match=f"HDR photo .{name}"):
        pool.decode(path)


def test_the_main_image_is_taken_with_a_word(pool: DecodePool, tmp_path: Path) -> None:
    made = pillow_heif.HeifFile()
    for pixels in (RGB[::2, ::2], RGB):
        size = (pixels.shape[1], pixels.shape[0])
        made.add_frombytes("RGB", size, np.ascontiguousarray(pixels).tobytes())
    made.save(tmp_path / "a.heic", primary_index=1, **EXACT)
    photo = pool.decode(tmp_path / "a.heic")
    assert np.array_equal(photo.pixels, RGB)
    assert photo.warnings == ("It holds 2 photos: only the main one was taken.",)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.98])
def test_a_file_cut_short_is_an_error(
    pool: DecodePool, tmp_path: Path, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_heic(tmp_path / "a.heic", RGB)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PhotoError, match="cut short|damaged") as caught:
        pool.decode(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_no_garbage_escapes_as_anything_but_a_photo_error(
    pool: DecodePool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = write_heic(tmp_path / "a.heic", RGB[:32, :32]).read_bytes()
    rng = np.random.default_rng(7)
    path = tmp_path / "b.heic"
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(12, min(len(whole), 400), 3):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            pool.decode(path)
        except PhotoError:
            refused += 1
    assert refused > 10
    assert capfd.readouterr() == ("", "")


def test_a_photo_beyond_the_limit_is_refused_by_its_header(tmp_path: Path) -> None:
    path = write_heic(tmp_path / "a.heic", RGB)
    with pytest.raises(PhotoError, match="160 x 120 is more than"):
        decode(path, DecodeOptions(max_pixels=10_000))


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_heic(tmp_path / "a.heic", RGB)
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    for read in (decode, probe):
        with pytest.raises(PhotoError, match=r"pi-heif is not installed.*abpn\[heic\]"):
            read(path)
