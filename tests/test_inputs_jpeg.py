"""JPEGs of every kind: damaged, faulty but whole, CMYK, over 8 bits, lossless, oddly sampled."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from photos import pattern, srgb_profile, write_jpeg
from PIL import Image, ImageCms
from profiles import cmyk_profile

from abpn_cli.codecs import DecodePool, EncodeOptions, decode, encode, probe
from abpn_cli.errors import PhotoError
from abpn_cli.metadata import jpeg_carrier
from abpn_cli.photo import Metadata, Photo

RGB = pattern(240, 320)


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def zeroed(data: bytes, share: float, size: int = 600) -> bytes:
    at = int(len(data) * share)
    return data[:at] + bytes(size) + data[at + size :]


def rotten(data: bytes, share: float) -> bytes:
    """Some bytes gone wrong: most such files, not all, are out of step at their end."""
    at = int(len(data) * share)
    noise = np.random.default_rng(1).integers(1, 255, 300, np.uint8).tobytes()
    return data[:at] + noise + data[at + 300 :]


DAMAGE = {
    "cut": lambda data: data[: len(data) * 3 // 4],
    "cut, with an end marker": lambda data: data[: len(data) * 3 // 4] + b"\xff\xd9",
    "zeroed blocks": lambda data: zeroed(data, 0.75),
    "a tail of zeros": lambda data: data[: len(data) * 3 // 4] + bytes(len(data) // 4),
    "bit rot": lambda data: rotten(data, 0.75),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_an_error_unless_it_is_accepted(
    pool: DecodePool, lenient_pool: DecodePool, tmp_path: Path, damage: str
) -> None:
    whole = write_jpeg(tmp_path / "a.jpg", RGB)
    pixels = decode(whole).pixels
    path = put(tmp_path / "b.jpg", DAMAGE[damage](whole.read_bytes()))
    with pytest.raises(PhotoError, match="cut short|damaged") as caught:
        pool.decode(path)
    assert "--accept-damaged" in caught.value.remedy
    photo = lenient_pool.decode(path)
    assert np.array_equal(photo.pixels[:80], pixels[:80])
    assert not np.array_equal(photo.pixels, pixels)
    assert any(word.startswith("Damage accepted: the file is ") for word in photo.warnings)


def test_whole_photos_are_told_of_no_damage_where_it_is_accepted(
    lenient_pool: DecodePool, tmp_path: Path
) -> None:
    assert lenient_pool.decode(write_jpeg(tmp_path / "a.jpg", RGB)).warnings == ()


def test_damage_in_the_header_leaves_nothing(lenient_pool: DecodePool, tmp_path: Path) -> None:
    whole = write_jpeg(tmp_path / "a.jpg", RGB).read_bytes()
    for size in (3, 100, 400):
        with pytest.raises(PhotoError, match="cut short"):
            lenient_pool.decode(put(tmp_path / "b.jpg", whole[:size]))


@pytest.mark.parametrize("scans", [1, 3, 6])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_a_progressive_photo_cut_between_scans_is_an_error(
    pool: DecodePool, lenient_pool: DecodePool, tmp_path: Path, scans: int, end: bytes
) -> None:
    data = write_jpeg(tmp_path / "a.jpg", RGB, progressive=True).read_bytes()
    places = [at for at in range(len(data)) if data.startswith(b"\xff\xda", at)]
    cut = data.rfind(b"\xff\xc4", 0, places[scans])  # tables come before their scan
    cut = cut if cut > places[scans - 1] else places[scans]
    path = put(tmp_path / "b.jpg", data[:cut] + end)
    with pytest.raises(PhotoError, match="cut short"):
        pool.decode(path)
    assert lenient_pool.decode(path).pixels.shape == RGB.shape


def test_a_missing_end_marker_is_forgiven_with_a_word(pool: DecodePool, tmp_path: Path) -> None:
    whole = write_jpeg(tmp_path / "a.jpg", RGB)
    photo = pool.decode(put(tmp_path / "b.jpg", whole.read_bytes()[:-2]))
    assert np.array_equal(photo.pixels, decode(whole).pixels)
    assert photo.warnings == ("Its end marker is missing; the pixels are whole.",)


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


@pytest.mark.parametrize(
    "junk",
    [
        b"\0\1\2\3",
        segment(0xE2, b"ICC_PROFILE\0\x02\x01odd") + b"\0",
        segment(0xEE, b"Adobe\0\x64\0\0\0\0\x07"),
        b"\xff\x01" + b"junk",
    ],
    ids=["bytes", "bad ICC marker", "unknown Adobe transform", "a marker alone"],
)
def test_junk_in_the_header_is_forgiven_with_a_word(
    pool: DecodePool, tmp_path: Path, junk: bytes
) -> None:
    whole = write_jpeg(tmp_path / "a.jpg", RGB)
    data = whole.read_bytes()
    at = data.index(b"\xff\xdb")
    photo = pool.decode(put(tmp_path / "b.jpg", data[:at] + junk + data[at:]))
    assert np.array_equal(photo.pixels, decode(whole).pixels)
    if b"Adobe" not in junk:  # this the decoder passes over
        assert any("pixels are whole" in word or "ICC" in word for word in photo.warnings)


def cmyk_of(rgb: np.ndarray) -> Image.Image:
    return Image.fromarray(rgb).convert("CMYK")


def by_lcms(image: Image.Image, icc: bytes) -> np.ndarray:
    return np.asarray(
        ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            "RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    ).astype(int)


@pytest.mark.parametrize("kind", ["YCCK by Adobe", "CMYK by Adobe", "CMYK as it is"])
def test_cmyk_becomes_srgb_through_its_profile(pool: DecodePool, tmp_path: Path, kind: str) -> None:
    icc = cmyk_profile()
    path = tmp_path / "a.jpg"
    how = {"quality": 98, "subsampling": 0, "icc_profile": icc}
    inks = np.asarray(cmyk_of(RGB))
    if kind == "YCCK by Adobe":  # Adobe stores no ink as 255: what is R, G, B then becomes YCC
        ycc = np.asarray(Image.fromarray(255 - inks[..., :3]).convert("YCbCr"))
        inks = 255 - np.dstack([ycc, 255 - inks[..., 3]])  # Pillow inverts as it writes
    if kind == "CMYK as it is":
        inks = 255 - inks
    Image.fromarray(inks, "CMYK").save(path, **how)
    data = path.read_bytes()
    adobe = data.index(b"Adobe")
    if kind == "YCCK by Adobe":
        data = data[: adobe + 11] + b"\2" + data[adobe + 12 :]
    stored = Image.open(io.BytesIO(data))
    expected = by_lcms(stored, icc)
    if kind == "CMYK as it is":  # which Pillow, taking all for Adobe's, shows inverted
        data = data[: adobe - 4] + data[adobe + 12 :]
        expected = by_lcms(Image.fromarray(255 - np.asarray(stored), "CMYK"), icc)
    photo = pool.decode(put(path, data))
    assert np.abs(photo.pixels - expected).max() <= 2
    assert photo.pixels.std() > 20
    assert "CMYK" in photo.warnings[0]
    assert "sRGB" in photo.warnings[0]
    assert (
        ImageCms.getProfileDescription(
            ImageCms.ImageCmsProfile(io.BytesIO(photo.metadata.icc))
        ).strip()
        == "sRGB"
    )


def test_converted_cmyk_looks_like_the_photo_it_was_made_of(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    cmyk_of(RGB).save(path, quality=98, subsampling=0, icc_profile=cmyk_profile(11, black=0))
    assert np.abs(decode(path).pixels.astype(int) - RGB).mean() < 8


@pytest.mark.parametrize(
    ("icc", "words"),
    [
        (b"", "without a profile"),
        (srgb_profile(), "not for CMYK"),
        (b"x" * 16 + b"CMYK", "damaged"),
    ],
)
def test_cmyk_without_a_good_profile_is_refused_with_the_remedy(
    pool: DecodePool, tmp_path: Path, icc: bytes, words: str
) -> None:
    path = tmp_path / "a.jpg"
    cmyk_of(RGB).save(path, icc_profile=icc or None)
    with pytest.raises(PhotoError, match=words) as caught:
        pool.decode(path)
    assert "RGB" in caught.value.remedy


def smooth(bits: int) -> np.ndarray:
    most = (1 << bits) - 1
    return np.rint(pattern(240, 320, np.uint16) / 65535.0 * most).astype(
        np.uint16 if bits > 8 else np.uint8
    )


def rare(path: Path, bits: int, **how: object) -> Path:
    settings = {"bitspersample": bits, "level": 98, "subsampling": "444"} | how
    return put(path, imagecodecs.jpeg8_encode(smooth(bits), **settings))


@pytest.mark.parametrize("grey", [False, True])
def test_12_bits_become_16(pool: DecodePool, tmp_path: Path, grey: bool) -> None:
    values = smooth(12)[..., 0] if grey else smooth(12)
    how = {"bitspersample": 12, "level": 98, "subsampling": "444"}
    path = put(tmp_path / "a.jpg", imagecodecs.jpeg8_encode(np.ascontiguousarray(values), **how))
    photo = pool.decode(path)
    assert photo.pixels.dtype == np.uint16
    expected = values.astype(float) * 65535 / 4095
    shown = photo.pixels[..., 0] if grey else photo.pixels
    assert np.abs(shown - expected).mean() < 65535 / 256
    assert len(np.unique(photo.pixels)) > 2000
    assert abs(int(photo.pixels.max()) - expected.max()) < 1000
    assert photo.warnings == ()
    assert probe(path).bits == 12


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_lossless_jpegs_come_back_exact(pool: DecodePool, tmp_path: Path, bits: int) -> None:
    photo = pool.decode(rare(tmp_path / "a.jpg", bits, lossless=True))
    values = smooth(bits).astype(np.uint16)
    if bits == 8:
        assert np.array_equal(photo.pixels, values)
    else:
        assert np.array_equal(photo.pixels >> (16 - bits), values)
        assert photo.pixels[values == values.max()].min() > 65000
    assert photo.warnings == ()


RARE: dict[str, tuple[int, dict[str, object]]] = {
    "12 bits": (12, {}),
    "lossless 12": (12, {"lossless": True}),
    "lossless 16": (16, {"lossless": True}),
}


@pytest.mark.parametrize("kind", RARE)
@pytest.mark.parametrize(
    "damage", ["cut", "cut, with an end marker", "zeroed blocks", "a tail of zeros"]
)
def test_damage_in_rare_jpegs_is_found_too(
    pool: DecodePool, lenient_pool: DecodePool, tmp_path: Path, kind: str, damage: str
) -> None:
    bits, how = RARE[kind]
    whole = rare(tmp_path / "a.jpg", bits, **how)
    pixels = pool.decode(whole).pixels
    path = put(tmp_path / "b.jpg", DAMAGE[damage](whole.read_bytes()))
    with pytest.raises(PhotoError, match="cut short|damaged") as caught:
        pool.decode(path)
    assert "--accept-damaged" in caught.value.remedy
    photo = lenient_pool.decode(path)
    assert photo.pixels.shape == pixels.shape
    assert any("Damage accepted" in word for word in photo.warnings)


@pytest.mark.parametrize("missing", [1, 5, 20, 100])
def test_a_rare_jpeg_that_lacks_a_few_bytes_is_found(
    pool: DecodePool, tmp_path: Path, missing: int
) -> None:
    for kind in ("12 bits", "lossless 16"):
        data = rare(tmp_path / "a.jpg", RARE[kind][0], **RARE[kind][1]).read_bytes()
        path = put(tmp_path / "b.jpg", data[: -2 - missing] + b"\xff\xd9")
        with pytest.raises(PhotoError):
            pool.decode(path)


def odd_sampling(path: Path, restart: int = 0) -> Path:
    """Put a JPEG of 4:1:0 together from three grey ones, a scan for each channel."""
    channels = [pattern(64, 128)[..., 0], *(pattern(64, 128)[::2, ::4, n] for n in (1, 2))]
    parts, tables = [], []
    for number, channel in enumerate(channels, 1):
        grey = np.ascontiguousarray(channel)
        data = write_jpeg(path, grey, restart_marker_blocks=restart).read_bytes()
        segments, scan = jpeg_carrier.split(data)
        parts.append(b"\xff\xda\0\x08\1" + bytes([number]) + b"\0\0\x3f\0" + data[scan + 10 : -2])
        if number == 1:
            tables = [item for item in segments if item.marker in (0xDB, 0xC4, 0xDD)]
    frame = b"\x08\0\x40\0\x80\3" + b"\1\x42\0" + b"\2\x11\0" + b"\3\x11\0"
    head = jpeg_carrier.join([*tables, jpeg_carrier.Segment(0xC0, frame)])
    return put(path, head + b"".join(parts) + b"\xff\xd9")


@pytest.mark.parametrize("restart", [0, 4])
def test_odd_sampling_is_read_and_its_damage_found(
    pool: DecodePool, tmp_path: Path, restart: int
) -> None:
    path = odd_sampling(tmp_path / "a.jpg", restart)
    photo = pool.decode(path)
    with Image.open(path) as image:
        assert np.abs(photo.pixels - np.asarray(image.convert("RGB")).astype(int)).max() <= 1
    assert photo.warnings == ()
    data = path.read_bytes()
    last = data.rindex(b"\xff\xda")
    restarts = [
        at for at in range(last, len(data) - 2) if data[at] == 255 and data[at + 1] & 0xF8 == 0xD0
    ]
    cuts = [last, (last + len(data)) // 2, len(data) - 6, *restarts[-1:]]
    for cut in cuts:
        with pytest.raises(PhotoError, match="cut short|damaged"):
            pool.decode(put(tmp_path / "b.jpg", data[:cut] + b"\xff\xd9"))


def test_a_process_that_no_camera_writes_is_named(pool: DecodePool, tmp_path: Path) -> None:
    data = write_jpeg(tmp_path / "a.jpg", RGB).read_bytes()
    at = data.index(b"\xff\xc0")
    for marker, words in ((0xC5, "process 5"), (0xCB, "process 11")):
        path = put(tmp_path / "b.jpg", data[:at] + bytes([255, marker]) + data[at + 2 :])
        with pytest.raises(PhotoError, match=words):
            pool.decode(path)


def test_a_converted_photo_is_written_with_its_new_profile(tmp_path: Path) -> None:
    cmyk_of(RGB).save(tmp_path / "a.jpg", icc_profile=cmyk_profile())
    photo = decode(tmp_path / "a.jpg")
    encode(photo, tmp_path / "b.jpg", "jpeg", EncodeOptions())
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.mode == "RGB"
        assert image.info["icc_profile"] == photo.metadata.icc
        assert np.abs(np.asarray(image).astype(int) - photo.pixels).mean() < 2


def test_12_bits_go_into_a_16_bit_tiff(pool: DecodePool, tmp_path: Path) -> None:
    photo = pool.decode(rare(tmp_path / "a.jpg", 12))
    encode(replace(photo, metadata=Metadata()), tmp_path / "b.tif", "tiff", EncodeOptions())
    assert np.array_equal(decode(tmp_path / "b.tif").pixels, photo.pixels)
    encode(
        Photo(photo.pixels, format="jpeg", digest=photo.digest, source=photo.source),
        tmp_path / "c.jpg",
        "jpeg",
        EncodeOptions(),
    )
    assert decode(tmp_path / "c.jpg").pixels.dtype == np.uint8
