"""Input of every kind through the command: one event each, what is written, the options."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from command import abpn, photo_events
from photos import pattern, write_dng, write_jpeg, write_png, write_tiff
from PIL import Image
from profiles import cmyk_profile

from abpn_cli.codecs import decode, profiles
from abpn_cli.commands import options
from abpn_cli.errors import UsageError

pytest.importorskip("rawpy")
pillow_heif = pytest.importorskip("pillow_heif")

RGB = pattern(96, 128)


@pytest.fixture
def shoot(tmp_path: Path) -> Path:
    """A folder of photos of every kind, one of them cut short."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_jpeg(folder / "plain.jpg", RGB)
    whole = write_jpeg(folder / "cut.jpg", RGB).read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    Image.fromarray(RGB).convert("CMYK").save(folder / "print.jpg", icc_profile=cmyk_profile())
    twelve = np.rint(RGB / 255.0 * 4095).astype(np.uint16)
    (folder / "deep.jpg").write_bytes(imagecodecs.jpeg8_encode(twelve, bitspersample=12))
    write_dng(folder / "raw.dng", pattern(96, 128, np.uint16), orientation=6)
    made = pillow_heif.from_bytes("RGB", (128, 96), RGB.tobytes())
    made.save(folder / "phone.heic", quality=90)
    write_tiff(folder / "float.tif", (RGB / 255.0).astype(np.float32))
    return tmp_path


def retouch(shoot: Path, checkpoint: Path, *words: str) -> tuple[int, dict[str, dict[str, object]]]:
    fixed = ("--weights", str(checkpoint), "--device", "cpu", "--ndjson", "-q")
    code, out, _ = abpn("retouch", "in", "--out", "out", *fixed, *words, cwd=shoot)
    return code, photo_events(out)


def written(shoot: Path) -> list[str]:
    return sorted(path.name for path in (shoot / "out").iterdir() if path.suffix in OUTPUTS)


OUTPUTS = (".jpg", ".tif", ".png")


def test_every_kind_is_done_or_named_and_comes_out_in_a_format_that_holds_it(
    shoot: Path, checkpoint: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in (shoot / "in").iterdir()}
    code, events = retouch(shoot, checkpoint)
    assert code == 3
    assert len(events) == 7
    assert {name for name, event in events.items() if event["status"] != "done"} == {"cut.jpg"}
    assert "cut short" in str(events["cut.jpg"]["error"])
    assert "--accept-damaged" in str(events["cut.jpg"]["error"])
    expected = ["deep.tif", "float.tif", "phone.tif", "plain.jpg", "print.jpg", "raw.tif"]
    assert written(shoot) == expected
    for name in expected:
        photo = decode(shoot / "out" / name)
        assert photo.pixels.dtype == (np.uint16 if name.endswith("tif") else np.uint8)
        assert photo.pixels.shape == RGB.shape
        kept = profiles.srgb() if name in ("print.jpg", "raw.tif") else photo.metadata.icc
        assert photo.metadata.icc == kept
    assert {path: path.read_bytes() for path in (shoot / "in").iterdir()} == before
    assert capfd.readouterr().err == ""  # of the decoders; the command's own words are caught


def test_damage_is_accepted_when_asked_and_told_of(shoot: Path, checkpoint: Path) -> None:
    assert retouch(shoot, checkpoint)[0] == 3
    code, events = retouch(shoot, checkpoint, "--accept-damaged")
    assert code == 0
    event = events["cut.jpg"]
    assert event["status"] == "done"
    assert any("Damage accepted" in word for word in event["warnings"])  # type: ignore[attr-defined]
    top = decode(shoot / "out" / "cut.jpg").pixels[:40].astype(int)
    assert np.abs(top - RGB[:40]).mean() < 12


def test_raw_files_may_be_developed_into_prophoto(shoot: Path, checkpoint: Path) -> None:
    retouch(shoot, checkpoint, "--raw-space", "prophoto")
    with tifffile.TiffFile(shoot / "out" / "raw.tif") as tiff:
        assert tiff.pages.first.iccprofile == profiles.prophoto()


@pytest.mark.parametrize("verb", ["retouch", "mask"])
def test_photos_of_too_many_pixels_are_refused(shoot: Path, checkpoint: Path, verb: str) -> None:
    write_png(shoot / "in" / "large.png", pattern(200, 300))
    code, out, err = abpn(
        *(verb, "in", "--out", "out", "--weights", checkpoint, "--device", "cpu", "--ndjson"),
        *("--max-pixels", "50K", "--accept-damaged"),
        cwd=shoot,
    )
    events = photo_events(out)
    assert code == 3, err
    failed = {name: e["error"] for name, e in events.items() if e["status"] == "failed"}
    assert list(failed) == ["large.png"]
    assert "300 x 200 is more than 0.05 megapixels" in failed["large.png"]
    assert "--max-pixels" in failed["large.png"]


def test_info_tells_of_every_kind(shoot: Path) -> None:
    code, out, err = abpn("info", "in", cwd=shoot)
    assert code == 3
    assert err.count("cut short") == 1
    for words in ("RAW, 16 bits", "HEIC, 8 bits", "Testcam One", "It was CMYK"):
        assert words in out


def test_a_raw_and_jpeg_pair_is_settled_by_preference(shoot: Path, checkpoint: Path) -> None:
    write_jpeg(shoot / "in" / "raw.jpg", RGB)
    code, _, err = abpn(
        "retouch", "in", "--out", "out", "--weights", checkpoint, "--device", "cpu", cwd=shoot
    )
    assert code == 2
    assert "--prefer raw or --prefer jpeg" in err
    retouch(shoot, checkpoint, "--prefer", "raw")
    assert "raw.tif" in written(shoot)
    assert "raw.jpg" not in written(shoot)


@pytest.mark.parametrize(
    ("text", "count"),
    [("250M", 250_000_000), ("250MP", 250_000_000), ("1.2g", 1_200_000_000), ("90000", 90_000)],
)
def test_counts_of_pixels_are_read_as_people_write_them(text: str, count: int) -> None:
    assert options.pixel_count(text) == count


@pytest.mark.parametrize("text", ["", "many", "-5M", "250T", "250", "0"])
def test_counts_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--max-pixels"):
        options.pixel_count(text)
