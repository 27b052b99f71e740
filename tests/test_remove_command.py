"""`abpn remove` in a folder of its own: which files it makes, what it says of each photo."""

import json

import numpy as np
import pytest
from command import abpn as command
from command import photo_events
from PIL import Image
from shoots import files, load, picture, save

from abpn_cli.commands.remove import disc
from abpn_cli.errors import UsageError


def abpn(*words, cwd):
    """Run the command; paths become absolute, as the shared decoders have a folder of their own."""
    there = [cwd / word if (cwd / word).exists() or word == "out" else word for word in words]
    return command(*there, cwd=cwd)


@pytest.fixture
def studio(tmp_path, shared_decoders):
    """in/a.jpg, in/b.png (16 bits) and in/c.png; masks/a.png and masks/b.png."""
    save(tmp_path / "in" / "a.jpg", picture())
    save(tmp_path / "in" / "b.png", picture(dtype=np.uint16))
    save(tmp_path / "in" / "c.png", picture())
    mask = np.zeros((96, 128), np.uint8)
    mask[40:50, 60:72] = 255
    (tmp_path / "masks").mkdir()
    for name in ("a", "b"):
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    return tmp_path


def test_a_mask_each_and_none_for_one_which_is_skipped(studio):
    run = ("remove", "in", "--mask", "masks", "-o", "out", "--save-mask", "--ndjson")
    code, out, err = abpn(*run, cwd=studio)
    assert code == 0, err
    told = photo_events(out)
    assert [told[n]["status"] for n in ("a.jpg", "b.png", "c.png")] == ["done", "done", "skipped"]
    assert told["c.png"]["reason"] == "no mask for it"
    assert told["a.jpg"]["method"] == "patchmatch" and told["a.jpg"]["windows"] == 1
    assert files(studio / "out") == ["a.jpg", "a_mask.png", "b.tif", "b_mask.png"]
    before, after = load(studio / "in" / "b.png"), load(studio / "out" / "b.tif")
    assert after.dtype == np.uint16
    kept = np.asarray(Image.open(studio / "out" / "b_mask.png"))
    changed = (before != after).any(2)
    assert changed.any() and not changed[kept == 0].any() and (kept[40:50, 60:72] == 255).all()
    assert abpn("verify", "out", cwd=studio)[0] == 0
    again = photo_events(abpn(*run, cwd=studio)[1])
    assert {event["status"] for event in again.values()} == {"skipped"}


def test_a_changed_mask_or_option_is_a_reason_to_do_a_photo_again(studio):
    run = ("remove", "in/a.jpg", "--mask", "masks/a.png", "-o", "out", "--ndjson")
    assert photo_events(abpn(*run, cwd=studio)[1])["a.jpg"]["status"] == "done"
    assert photo_events(abpn(*run, cwd=studio)[1])["a.jpg"]["status"] == "skipped"
    assert photo_events(abpn(*run, "--force", cwd=studio)[1])["a.jpg"]["status"] == "skipped"
    assert photo_events(abpn(*run, "--feather", "2", cwd=studio)[1])["a.jpg"]["status"] == "done"
    Image.fromarray(np.zeros((96, 128), np.uint8)).save(studio / "masks" / "a.png")
    told = photo_events(abpn(*run, "--feather", "2", cwd=studio)[1])["a.jpg"]
    assert told["status"] == "done" and told["method"] is None and told["changed_fraction"] == 0
    assert "passes as it is" in told["warnings"][0]
    assert (studio / "out" / "a.jpg").stat().st_size > 0
    assert np.array_equal(load(studio / "in" / "a.jpg"), load(studio / "out" / "a.jpg"))


def test_points_go_from_every_photo(studio):
    code, out, _ = abpn(
        "remove", "in", "--points", "30,20,4", "--points", "90,60,3.5", "-o", "out", "--ndjson",
        cwd=studio,
    )  # fmt: skip
    assert code == 0
    assert {event["status"] for event in photo_events(out).values()} == {"done"}
    assert len(photo_events(out)) == 3


def test_a_jpeg_keeps_what_was_not_touched(studio):
    save(studio / "in" / "large.jpg", picture(480, 640))
    run = ("remove", "in/large.jpg", "--points", "30,20,4", "-o", "out", "--save-mask")
    assert abpn(*run, cwd=studio)[0] == 0
    before, after = load(studio / "in" / "large.jpg"), load(studio / "out" / "large.jpg")
    assert np.array_equal(before[80:], after[80:]) and not np.array_equal(before, after)
    code, out, _ = abpn("verify", "out", "-v", "--json", "-", cwd=studio)
    checks = {c["name"]: c["state"] for c in json.loads(out)["photos"][0]["checks"]}
    assert code == 0 and checks["pixels"] == "ok"


def test_verify_says_what_it_cannot_know_without_a_mask(studio):
    assert abpn("remove", "in/a.jpg", "--points", "30,20,4", "-o", "out", cwd=studio)[0] == 0
    code, out, _ = abpn("verify", "out", cwd=studio)
    assert code == 0 and "--save-mask" in out


def test_a_mask_of_another_shape_fails_its_photo_alone_and_a_dry_run_knows(studio):
    Image.fromarray(np.full((96, 96), 255, np.uint8)).save(studio / "masks" / "b.png")
    run = ("remove", "in", "--mask", "masks", "-o", "out", "--ndjson")
    for words in ((*run, "--dry-run"), run):
        code, out, err = abpn(*words, cwd=studio)
        told = photo_events(out)
        assert code == 3 and told["b.png"]["status"] == "failed"
        assert "not the shape of the photo" in told["b.png"]["error"]
    assert told["a.jpg"]["status"] == "done"


def test_a_hole_too_large_fails_with_advice(studio):
    Image.fromarray(np.full((96, 128), 255, np.uint8)).save(studio / "masks" / "a.png")
    code, out, _ = abpn("remove", "in/a.jpg", "--mask", "masks/a.png", "-o", "out", cwd=studio)
    assert code == 3 and not (studio / "out" / "a.jpg").exists()


@pytest.mark.parametrize(
    ("words", "struck"),
    [
        (("--mask", "masks", "-o", "masks"), "masks/b.tif"),
        (("--mask", "masks/b.tif", "-o", "masks"), "masks/b.tif"),
        (("--mask", "out/b_mask.png", "-o", "out", "--save-mask"), "out/b_mask.png"),
        (("--points", "9,9,3", "--mask", "link", "-o", "masks"), "masks/b.tif"),
    ],
)
@pytest.mark.parametrize("extra", [(), ("--dry-run",), ("--overwrite", "always")])
def test_a_mask_of_the_run_is_never_overwritten(studio, words, struck, extra):
    (studio / "masks" / "b.png").rename(studio / "masks" / "b.tif")
    (studio / "out").mkdir()
    (studio / "out" / "b_mask.png").write_bytes((studio / "masks" / "b.tif").read_bytes())
    (studio / "link").symlink_to(studio / "masks" / "b.tif")
    before = {path: path.read_bytes() for path in studio.rglob("*.*") if path.is_file()}
    code, out, err = abpn("remove", "in/b.png", *words, *extra, cwd=studio)
    assert (code, out) == (2, "")
    assert "these masks of --mask would be overwritten" in err and struck in err
    assert all(path.read_bytes() == data for path, data in before.items())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--mask is missing"),
        (("--mask", "nowhere.png"), "no such file"),
        (("--points", "1,2"), "write it as x,y,r"),
        (("--points", "1,2,0"), "half a pixel or more"),
        (("--points", "nan,2,3"), "half a pixel or more"),
        (("--points", "9,9,3", "--feather", "-1"), "--feather"),
        (("--points", "9,9,3", "--device", "cuda"), "filled on the CPU"),
        (("--points", "9,9,3", "--jpeg", "keep-untouched", "--upright"), "contradict"),
    ],
)
def test_what_cannot_be_meant_is_usage(studio, words, told):
    code, out, err = abpn("remove", "in", "-o", "out", *words, cwd=studio)
    assert (code, out) == (2, "") and told in err
    assert not (studio / "out").exists()


def test_weights_that_are_not_there_or_of_another_network_exit_with_5(studio, checkpoint):
    for path, told in (("none.safetensors", "no such weights"), (checkpoint, "of a HiFill")):
        code, _, err = abpn(
            "remove", "in", "-o", "out", "--points", "9,9,3", "--weights", path, cwd=studio
        )
        assert code == 5 and told in err


def test_points_are_read_with_their_decimals():
    assert disc("12.5,8,3") == (12.5, 8, 3)
    with pytest.raises(UsageError, match="x,y,r"):
        disc("12;8;3")


def test_a_mask_that_marks_nothing_is_told_without_asking(studio):
    Image.fromarray(np.zeros((96, 128), np.uint8)).save(studio / "masks" / "a.png")
    code, _, err = abpn("remove", "in/a.jpg", "--mask", "masks/a.png", "-o", "out", cwd=studio)
    assert code == 0
    assert "a.jpg  warning: Nothing is marked in it: it passes as it is." in err.splitlines()
