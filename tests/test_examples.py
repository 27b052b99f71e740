"""The example shoot is what its page says, comes out of its renderer, and its scripts run."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SHOOT = EXAMPLES / "shoot"
PHOTOS = sorted(path for path in SHOOT.rglob("*.*") if path.is_file())
SCRIPTS = sorted(EXAMPLES.glob("*.sh"))
needs_weights = pytest.mark.skipif(
    not (ROOT / "weights" / "cloth.safetensors").exists(), reason="weights/cloth is not here"
)


@pytest.fixture
def render(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import render

    return render


def run(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script as its reader would: from the shell, `abpn` on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", EXAMPLES / script, *words],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_shoot_holds_its_four_photos_and_stays_small() -> None:
    names = [path.relative_to(SHOOT).as_posix() for path in PHOTOS]
    assert names == [
        "chino_shorts.png",
        "coral_tshirt.jpg",
        "hanging/blue_shirt.tif",
        "portrait/navy_tshirt.jpg",
    ]
    assert sum(path.stat().st_size for path in PHOTOS) < 12e6


def test_the_large_photo_has_24_megapixels_and_a_cameras_tags() -> None:
    with Image.open(SHOOT / "coral_tshirt.jpg") as photo:
        exif = photo.getexif()
        assert photo.size == (6000, 4000)
        assert exif[0x010F] == "abpn"
        assert exif.get_ifd(0x8769)[0x9003] == "2024:05:14 10:21:33"
        assert exif.get_ifd(0x8825)[1] == "N"


def test_one_photo_is_stored_on_its_side() -> None:
    with Image.open(SHOOT / "portrait" / "navy_tshirt.jpg") as photo:
        assert photo.size == (2000, 1600)
        assert photo.getexif()[0x0112] == 6


def test_the_tiff_really_uses_its_16_bits() -> None:
    pixels = tifffile.imread(SHOOT / "hanging" / "blue_shirt.tif")
    assert pixels.dtype == np.uint16
    assert len(np.unique(pixels & 0xFF)) == 256


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.name)
def test_each_profile_is_one_that_lcms_reads(path: Path) -> None:
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as tiff:
            icc = tiff.pages[0].tags[34675].value
    else:
        with Image.open(path) as photo:
            icc = photo.info["icc_profile"]
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    assert ImageCms.getProfileDescription(profile).startswith("abpn")
    assert profile.profile.xcolor_space.strip() == "RGB"


@pytest.mark.parametrize("name", ["SRGB", "DISPLAY_P3", "WIDE_2_2"])
def test_pixels_and_profile_of_a_colour_space_mean_the_same_colour(
    render: ModuleType, name: str
) -> None:
    space = getattr(render, name)
    linear = np.array([[[0.2, 0.4, 0.1], [0.5, 0.1, 0.1], [0.02, 0.03, 0.3]]], np.float32)
    stored = np.round(space.encode(np.clip(linear @ space.from_srgb.T, 0, 1)) * 255)
    shown = ImageCms.profileToProfile(
        Image.fromarray(stored.astype(np.uint8)),
        ImageCms.ImageCmsProfile(io.BytesIO(space.profile())),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    wanted = render.SRGB.encode(linear) * 255
    assert np.abs(np.asarray(shown, float) - wanted).max() <= 2


def test_the_renderer_makes_the_committed_photo_again(render: ModuleType, tmp_path: Path) -> None:
    picture = next(each for each in render.SHOOT if each.name == "chino_shorts.png")
    target = render.save(picture, tmp_path)
    with Image.open(target) as again, Image.open(SHOOT / picture.name) as committed:
        difference = np.abs(np.asarray(again, float) - np.asarray(committed, float))
    assert difference.mean() < 0.5  # other versions of OpenCV may round another way


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_executable_and_stop_at_errors(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text("utf-8")
    assert f"`{script.name} " in (EXAMPLES / "README.md").read_text("utf-8")
    subprocess.run(["bash", "-n", script], check=True)


def small_shoot(folder: Path) -> Path:
    """A folder of one small photo and one that is damaged."""
    folder.mkdir()
    with Image.open(SHOOT / "portrait" / "navy_tshirt.jpg") as photo:
        photo.resize((500, 400)).save(folder / "good.jpg")
    (folder / "bad.jpg").write_bytes((SHOOT / "coral_tshirt.jpg").read_bytes()[:200_000])
    return folder


def test_the_nightly_script_hands_on_the_exit_code_of_an_unknown_task(tmp_path: Path) -> None:
    shoot = small_shoot(tmp_path / "in")
    done = run("retouch_day.sh", shoot, tmp_path / "out", "no-such-task")
    assert done.returncode == 5
    assert "no-such-task" in done.stderr


@needs_weights
@pytest.mark.weights
@pytest.mark.slow
def test_the_nightly_script_names_the_photo_that_failed_and_keeps_the_code(tmp_path: Path) -> None:
    shoot = small_shoot(tmp_path / "in")
    done = run("retouch_day.sh", shoot, tmp_path / "out")
    assert done.returncode == 3, done.stderr
    failed = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 1
    assert "bad.jpg" in failed[0]
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["good.jpg"]
    events = [json.loads(line) for line in (tmp_path / "out.ndjson").read_text().splitlines()]
    assert [event["event"] for event in events] == ["plan", "photo", "photo", "summary"]


@needs_weights
@pytest.mark.weights
@pytest.mark.slow
def test_the_other_scripts_make_what_they_promise(tmp_path: Path) -> None:
    shoot = small_shoot(tmp_path / "in")
    (shoot / "bad.jpg").unlink()
    masks = run("masks_first.sh", shoot, tmp_path / "masks")
    assert masks.returncode == 0, masks.stderr
    assert len(list((tmp_path / "masks").rglob("*.jpg"))) == 1
    proofs = run("strengths.sh", shoot / "good.jpg", tmp_path / "proofs")
    assert proofs.returncode == 0, proofs.stderr
    assert len(list((tmp_path / "proofs").rglob("*.jpg"))) == 3


@needs_weights
@pytest.mark.weights
@pytest.mark.slow
def test_the_shoot_comes_back_whole_and_a_second_run_has_nothing_to_do(tmp_path: Path) -> None:
    shutil.copytree(SHOOT, tmp_path / "shoot", ignore=shutil.ignore_patterns("coral*"))
    for _ in range(2):
        done = run("retouch_day.sh", tmp_path / "shoot", tmp_path / "done")
        assert done.returncode == 0, done.stderr
    outputs = [path for path in (tmp_path / "done").rglob("[!.]*") if path.is_file()]
    assert len(outputs) == 3
    summary = json.loads((tmp_path / "done.ndjson").read_text().splitlines()[-1])
    assert summary["skipped"] == 3


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import pictures

    return pictures


def test_the_pictures_of_the_pages_are_those_that_the_script_makes(pictures: ModuleType) -> None:
    pages = "".join(
        (ROOT / "docs" / f"{n}.md").read_text("utf-8") for n in ("synthesis", "evaluation")
    )
    shown = set(re.findall(r"\]\(img/([\w.]+)\)", pages))
    assert shown == set(pictures.PICTURES)
    sizes = [(ROOT / "docs" / "img" / name).stat().st_size for name in shown]
    assert sum(sizes) < 1.6e6


def test_a_picture_of_the_pages_comes_out_of_its_script_again(
    pictures: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["pictures.py", str(tmp_path), "--only", "surfaces"])
    pictures.main()
    (made,) = tmp_path.iterdir()
    with Image.open(made) as again, Image.open(ROOT / "docs" / "img" / made.name) as committed:
        assert again.size == committed.size
        difference = np.abs(np.asarray(again, float) - np.asarray(committed, float))
    assert difference.mean() < 1
