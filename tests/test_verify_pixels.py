"""`abpn verify` on outputs that are not what was promised of their source: each is named."""

import shutil
import subprocess
from dataclasses import replace

import jpeglib
import numpy as np
import pytest
import tifffile
from photos import donate, needs_exiftool, srgb_profile, write_jpeg, write_png, write_tiff
from profiles import WIDE
from verifying import found, only_wrong, pixels, retouch, sworn, verify

from abpn_cli import codecs
from abpn_cli.codecs import EncodeOptions, decode, encode

pytestmark = pytest.mark.usefixtures("shared_decoders")


def closed_pixel(root, output):
    """A pixel in a closed 16 x 16 block, by the mask that was kept."""
    name = f"{output.rpartition('.')[0]}_mask.png"
    mask = decode(root / "out" / name).pixels[..., 0]
    assert (mask > 0).any()
    for y in range(0, mask.shape[0] - 16, 16):
        for x in range(0, mask.shape[1] - 16, 16):
            if not mask[y : y + 16, x : x + 16].any():
                return y + 5, x + 5
    raise AssertionError("the mask is open everywhere")


@pytest.mark.parametrize("output", ["b.tif", "sub/c.png"])
def test_one_pixel_outside_the_mask_that_differs_by_one_is_wrong(studio, output):
    path = studio / "out" / output
    made = decode(path)
    y, x = closed_pixel(studio, output)
    made.pixels[y, x, 1] ^= 1
    encode(made, path, made.format, EncodeOptions())
    sworn(studio, output)
    assert only_wrong(studio, output, "pixels") == "1 pixels differ outside the mask"


def test_any_pixel_inside_the_mask_may_differ(studio):
    path = studio / "out" / "b.tif"
    made = decode(path)
    mask = decode(studio / "out" / "b_mask.png").pixels[..., 0]
    made.pixels[mask > 0] ^= 1
    encode(made, path, "tiff", EncodeOptions())
    sworn(studio, "b.tif")
    code, document = verify(studio)
    assert code == 0, document


def test_transparency_that_changed_is_wrong(studio):
    path = studio / "out" / "sub" / "c.png"
    made = decode(path)
    made.alpha[7, 7] ^= 1
    encode(made, path, "png", EncodeOptions())
    sworn(studio, "sub/c.png")
    assert "transparency" in only_wrong(studio, "sub/c.png", "pixels")


def test_one_coefficient_outside_the_mask_that_differs_is_wrong(studio):
    path = studio / "out" / "a.jpg"
    y, x = closed_pixel(studio, "a.jpg")
    plain = studio / "plain.jpg"
    shutil.copy(path, plain)
    image = jpeglib.read_dct(str(plain))
    image.Y[y // 8, x // 8, 1, 1] += 1
    image.write_dct(str(plain))
    segments, _ = codecs.jpeg.jpeg_carrier.split(path.read_bytes())
    metadata = [s for s in segments if s.marker in (0xE1, 0xE2)]
    own, scan = codecs.jpeg.jpeg_carrier.split(plain.read_bytes())
    own = [s for s in own if s.marker not in (0xE0, 0xE1, 0xE2, 0xFE)]
    path.write_bytes(codecs.jpeg.jpeg_carrier.join(metadata + own) + plain.read_bytes()[scan:])
    sworn(studio, "a.jpg")
    assert only_wrong(studio, "a.jpg", "pixels") == "1 MCUs differ outside the mask"


def test_a_jpeg_that_was_encoded_whole_where_it_should_not_is_wrong(studio):
    path = studio / "out" / "a.jpg"
    encode(decode(path), path, "jpeg", EncodeOptions(jpeg="reencode"))
    sworn(studio, "a.jpg")
    assert "quantisation or sampling" in only_wrong(studio, "a.jpg", "pixels")


def test_the_mask_is_found_anew_where_none_was_kept(studio, checkpoint, tmp_path):
    assert retouch(studio, checkpoint, "--format", "tiff", out="bare") == 0
    code, document = verify(studio, out="bare")
    assert code == 0
    assert "name it with --weights" in found(document, "b.tif", "unchecked")["pixels"]
    other = tmp_path / "other.safetensors"
    other.write_bytes(checkpoint.read_bytes() + b"\0")
    _, document = verify(studio, "--weights", other, out="bare")
    assert "is not the weights file" in found(document, "b.tif", "unchecked")["pixels"]
    code, document = verify(studio, "--weights", checkpoint, out="bare")
    assert code == 0 and not found(document, "b.tif", "unchecked")
    path = studio / "bare" / "a.tif"
    made = decode(path)
    mask = decode(studio / "out" / "a_mask.png").pixels[..., 0]
    assert (mask == 0).any()
    made.pixels[mask == 0] ^= 1
    encode(made, path, "tiff", EncodeOptions())
    shutil.rmtree(studio / "out")
    (studio / "bare").rename(studio / "out")
    sworn(studio, "a.tif")
    words = only_wrong(studio, "a.tif", "pixels", "--weights", checkpoint)
    assert words == f"{(mask == 0).sum()} pixels differ outside the mask"


@needs_exiftool
@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
def test_every_tag_that_is_lost_or_changed_is_named(checkpoint, tmp_path, suffix):
    write = {".jpg": write_jpeg, ".tif": write_tiff, ".png": write_png}[suffix]
    (tmp_path / "in").mkdir()
    name = f"a{suffix}"
    donate(write(tmp_path / "in" / name, pixels(), srgb_profile()), "-EXIF:Orientation=6")
    assert retouch(tmp_path, checkpoint) == 0
    code, document = verify(tmp_path)
    assert code == 0, document
    path = tmp_path / "out" / name
    whole = path.read_bytes()
    for harm in (
        {
            "-EXIF:Artist=": "IFD0 315",
            "-EXIF:FNumber=8": "EXIF 33437",
            "-GPS:GPSLatitude=1": "GPS 2",
            "-EXIF:Orientation=1": "Orientation",
            "-EXIF:XResolution=72": "resolution",
        },
        {
            "-EXIF:UserComment=": "EXIF 37510",
            "-IPTC:Keywords-=wool": "IPTC",
            "-XMP-dc:Subject=cut": "XMP subject",
            "-XMP-photoshop:City=": "XMP City",
        },
    ):
        path.write_bytes(whole)
        command = ["exiftool", "-q", "-m", "-n", "-overwrite_original", *harm, str(path)]
        subprocess.run(command, check=True)
        sworn(tmp_path, name)
        words = only_wrong(tmp_path, name, "tags")
        assert set(words.removeprefix("lost or changed: ").split(", ")) == set(harm.values())


@pytest.mark.parametrize(("output", "format"), [("a.jpg", "jpeg"), ("b.tif", "tiff")])
def test_a_profile_that_is_lost_or_another_is_named(studio, output, format):
    path = studio / "out" / output
    for icc, words in ((b"", "is lost"), (WIDE["prophoto gamma"], "is not the source's")):
        made = decode(path)
        encode(
            replace(made, metadata=replace(made.metadata, icc=icc)), path, format, EncodeOptions()
        )
        sworn(studio, output)
        assert only_wrong(studio, output, "profile") == f"the ICC profile {words}"


def test_a_maker_note_that_lost_a_byte_is_wrong(studio):
    path = studio / "out" / "a.jpg"
    data = path.read_bytes()
    assert data.count(b"Owner of the camera") == 1
    path.write_bytes(data.replace(b"Owner of the camera", b"owner of the camera"))
    sworn(studio, "a.jpg")
    assert only_wrong(studio, "a.jpg", "tags") == "lost or changed: MakerNote"


def test_a_wrong_size_depth_or_format_is_named(studio):
    made = pixels(np.uint16)
    path = studio / "out" / "b.tif"
    write_tiff(path, made[:-1], srgb_profile())
    sworn(studio, "b.tif")
    code, document = verify(studio)
    assert "it is 420 x 299, not 420 x 300" in found(document, "b.tif")["size"]
    write_tiff(path, (made >> 8).astype(np.uint8), srgb_profile())
    sworn(studio, "b.tif")
    code, document = verify(studio)
    assert found(document, "b.tif")["depth"] == "8 bits, not 16"
    write_png(path, made, srgb_profile())
    sworn(studio, "b.tif")
    code, document = verify(studio)
    assert found(document, "b.tif")["format"] == "it is a png"


def test_a_16_bit_tiff_is_read_by_others_as_verify_says(delivery):
    """The oracle: tifffile and the mask, without abpn's own reader."""
    before, after = (tifffile.imread(delivery / f / "b.tif") for f in ("in", "out"))
    mask = decode(delivery / "out" / "b_mask.png").pixels[..., 0]
    assert np.array_equal(before[mask == 0], after[mask == 0])
    assert not np.array_equal(before, after)
