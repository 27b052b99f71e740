"""Masks in a batch: the user's own, which must fit, and those that are kept beside outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import abpn, photo_events
from photos import pattern, write_jpeg, write_png
from PIL import Image
from shoots import files, snapshot

pytestmark = pytest.mark.usefixtures("one_decoder")


@pytest.fixture
def shoot(tmp_path: Path) -> Path:
    """Two photos in a folder called `in`, 200 x 150 and 160 x 120."""
    (tmp_path / "in").mkdir()
    write_jpeg(tmp_path / "in" / "a.jpg", pattern(150, 200))
    write_png(tmp_path / "in" / "b.png", pattern(120, 160))
    return tmp_path


# Masks of the user's.


def grey(path: Path, height: int, width: int) -> Path:
    return write_png(path, np.full((height, width, 3), 255, np.uint8))


@pytest.mark.parametrize("option", ["--only", "--protect"])
def test_a_mask_of_another_size_is_told_without_asking_and_of_another_shape_refused(
    shoot: Path, checkpoint: Path, option: str
) -> None:
    grey(shoot / "mask.png", 75, 100)
    write_png(shoot / "in" / "wide.png", pattern(120, 162))  # 1.25 % wider than the mask
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--ndjson", option, "mask.png")
    code, out, err = abpn(*words, cwd=shoot)
    events = photo_events(out)
    assert code == 3 and {name: e["status"] for name, e in events.items()} == {
        "a.jpg": "done",
        "b.png": "done",
        "wide.png": "failed",
    }
    told = f"Its {option} mask is 100 x 75, the photo 200 x 150: resized."
    assert told in events["a.jpg"]["warnings"]
    assert f"a.jpg  warning: {told}" in err.splitlines()
    fault = f"its {option} mask is 100 x 75, which is not the shape of the photo, 162 x 120"
    assert fault in events["wide.png"]["error"]
    assert "wide.png" not in files(shoot / "done")


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_shape_of_a_mask_is_judged_on_the_upright_photo(
    tmp_path: Path, checkpoint: Path, orientation: int
) -> None:
    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pattern(150, 200)).save(tmp_path / "in" / "a.png", exif=exif)
    upright = (100, 75) if orientation > 4 else (75, 100)
    mask = np.zeros((*upright, 3), np.uint8)
    mask[: upright[0] // 2] = 255  # the upper half, as it is looked at
    write_png(tmp_path / "mask.png", mask)
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--only", "mask.png")
    code, _, err = abpn(*words, "--format", "png", cwd=tmp_path)
    assert code == 0 and "resized" in err
    stored = np.asarray(Image.open(tmp_path / "done" / "a.png").convert("RGB"))
    changed = (stored != pattern(150, 200)).any(axis=2)
    halves = {  # of the stored photo, that which may change and the other
        3: (changed[75:], changed[:73]),  # resizing softens the edge
        6: (changed[:, :100], changed[:, 102:]),
        8: (changed[:, 100:], changed[:, :98]),
    }
    free, guarded = halves[orientation]
    assert free.any() and not guarded.any()
    wrong = upright[0], upright[1] * 2
    grey(tmp_path / "mask.png", *wrong)
    assert abpn(*words, "--overwrite", "always", cwd=tmp_path)[0] == 3


def test_a_photo_without_a_mask_in_the_protect_folder_is_told_without_asking(
    shoot: Path, checkpoint: Path
) -> None:
    (shoot / "masks").mkdir()
    grey(shoot / "masks" / "b.png", 120, 160)
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--protect", "masks")
    code, _, err = abpn(*words, cwd=shoot)
    assert code == 0
    assert "a.jpg  warning: the --protect folder holds no mask for this photo" in err


@pytest.mark.parametrize("option", ["--only", "--protect"])
def test_a_dry_run_tells_of_masks_what_the_run_will_tell(
    shoot: Path, checkpoint: Path, option: str
) -> None:
    """a fits, b is of another size, c of another shape, d has none, e is no picture, f turned."""
    exif = Image.Exif()
    exif[274] = 6
    for name in "cdefg":
        Image.fromarray(pattern(120, 160)).save(shoot / "in" / f"{name}.png", exif=exif)
    masks = shoot / "masks"
    masks.mkdir()
    sizes = {"a": (150, 200), "b": (60, 80), "c": (100, 100), "f": (160, 120), "g": (40, 30)}
    for name, size in sizes.items():
        grey(masks / f"{name}.png", *size)
    (masks / "e.png").write_bytes(b"no picture")
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, option, "masks", "--ndjson")
    before = snapshot(shoot)
    code, out, err = abpn(*words, "--dry-run", cwd=shoot)
    planned = photo_events(out)
    assert snapshot(shoot) == before
    run_code, run_out, _ = abpn(*words, cwd=shoot)
    run = photo_events(run_out)
    assert code == run_code == 3
    assert [e["error"] for e in planned.values()] == [e["error"] for e in run.values()]
    assert [e["warnings"] for e in planned.values()] == [e["warnings"] for e in run.values()]
    failing = ["c.png", "d.png", "e.png"] if option == "--only" else ["c.png", "e.png"]
    for events, fine in ((planned, "planned"), (run, "done")):
        assert {name: e["status"] for name, e in events.items() if name in failing} == (
            dict.fromkeys(failing, "failed")
        )
        assert {e["status"] for name, e in events.items() if name not in failing} == {fine}
    assert "which is not the shape of the photo, 120 x 160" in planned["c.png"]["error"]
    (resized,) = planned["g.png"]["warnings"]
    assert f"in/c.png  FAILS: {planned['c.png']['error']}" in err
    assert f"g.png  warning: {resized}" in err.splitlines()
    summary = json.loads(out.splitlines()[-1])
    assert (summary["failed"], summary["exit_code"]) == (len(failing), 3)


# Masks kept beside the outputs.


def test_masks_are_kept_when_asked_for_and_never_cost_a_shoot(
    shoot: Path, checkpoint: Path
) -> None:
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint)
    abpn(*words, cwd=shoot)
    plain = snapshot(shoot / "done")
    assert "2 done, 0 skipped" in abpn(*words, "--save-mask", cwd=shoot)[2]
    masked = snapshot(shoot / "done")
    assert set(masked) - set(plain) == {shoot / "done" / f"{stem}_mask.png" for stem in "ab"}
    assert all(masked[path][0] == data for path, (data, _) in plain.items()), "the same bytes"
    for more in ((), ("--save-mask",), ()):
        assert "0 done, 2 skipped" in abpn(*words, *more, cwd=shoot)[2]
        assert snapshot(shoot / "done") == masked, "an old mask stays, and nothing is written"
    (shoot / "done" / "a_mask.png").unlink()
    assert "0 done, 2 skipped" in abpn(*words, cwd=shoot)[2]
    assert "1 done, 1 skipped" in abpn(*words, "--save-mask", cwd=shoot)[2]
    assert {p: d for p, (d, _) in snapshot(shoot / "done").items()} == {
        p: d for p, (d, _) in masked.items()
    }
    assert abpn("verify", "done", "--weights", checkpoint, cwd=shoot)[0] == 0


def test_where_masks_alone_are_missing_the_device_is_told(shoot: Path, checkpoint: Path) -> None:
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--ndjson")
    abpn(*words, cwd=shoot)
    told = []
    for more in ((), ("--save-mask",), ("--save-mask",)):
        out = abpn(*words, *more, cwd=shoot)[1]
        told.append((json.loads(out.splitlines()[0])["device"], photo_events(out)))
    (first, _), (second, photos), (third, _) = told
    assert (first, third) == ("auto", "auto"), "nothing is to be done: no network is loaded"
    assert second == photos["a.jpg"]["device"] != "auto"


def test_a_mask_that_stays_from_an_earlier_run_is_not_taken_for_damage(
    shoot: Path, checkpoint: Path
) -> None:
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint)
    abpn(*words, "--save-mask", cwd=shoot)
    assert "2 done" in abpn(*words, "--strength", "0.5", cwd=shoot)[2]
    assert (shoot / "done" / "a_mask.png").exists()
    verify = ("verify", "done", "--weights", checkpoint)
    code, out, _ = abpn(*verify, "--json", "-", cwd=shoot)
    document = json.loads(out)
    assert code == 0 and not document["strangers"] and not document["leftovers"]
    assert document["earlier"] == ["a_mask.png", "b_mask.png"]
    assert "2 files that an earlier run left" in abpn(*verify, cwd=shoot)[1]
    again = abpn(*words, "--strength", "0.5", "--save-mask", cwd=shoot)[2]
    assert "2 done" in again, "a mask of another run is none of this one's"


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("size", [(150, 200), (160, 160)], ids=["oblong", "square"])
def test_a_mask_with_a_tag_of_its_own_opens_what_it_shows(
    tmp_path: Path, checkpoint: Path, orientation: int, size: tuple[int, int]
) -> None:
    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[274] = orientation
    pixels = pattern(*size)
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png", exif=exif)
    mask = np.zeros((*size, 3), np.uint8)
    mask[:40, :50] = 255  # of the stored pixels, and the tag says so
    Image.fromarray(mask).save(tmp_path / "mask.png", exif=exif)
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--only", "mask.png")
    code, _, err = abpn(*words, "--format", "png", cwd=tmp_path)
    assert code == 0 and "resized" not in err
    stored = np.asarray(Image.open(tmp_path / "done" / "a.png").convert("RGB"))
    changed = (stored != pixels).any(axis=2)
    assert changed[:40, :50].any()
    assert not changed[40:].any() and not changed[:, 50:].any()
