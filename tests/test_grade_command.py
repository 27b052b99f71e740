"""`abpn grade` as a user runs it: styles, mixes, one look for a shoot, `.cube` files, refusals."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from command import abpn, photo_events
from networks import save as save_abpn
from shoots import files, load, picture, save, tree
from styles import save_style

from abpn_cli.commands.styles import Share, mix_of, told
from abpn_cli.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_decoder")


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch, net):
    """A user's own weights: styles warm and film, a task that retouches."""
    monkeypatch.setattr("abpn_cli.weights.user_data_path", lambda *a, **k: tmp_path / "user")
    folder = tmp_path / "user" / "weights"
    for seed, name in ((5, "warm"), (6, "film")):
        save_style(folder / f"{name}.safetensors", seed)
    save_abpn(net, folder / "mend.safetensors")
    monkeypatch.setattr("abpn_cli.engine.cube.SIDE", 9)  # the size itself is tested elsewhere
    return folder


def grade(*words, cwd):
    return abpn("grade", "in", "-o", "out", *words, cwd=cwd)


def test_a_shoot_is_graded_in_its_own_formats(shoot):
    before = tree(shoot / "in")
    code, out, _ = grade("--style", "warm", "--ndjson", cwd=shoot)
    assert code == 0
    assert tree(shoot / "in") == before
    assert files(shoot / "out") == ["a.jpg", "sub/b.png", "sub/c.tif"]
    assert (load(shoot / "out" / "sub" / "b.png") != load(shoot / "in" / "sub" / "b.png")).any()
    plan = json.loads(out.splitlines()[0])
    assert (plan["verb"], plan["style"], plan["task"]) == ("grade", "warm", None)
    assert plan["weights"].endswith("warm.safetensors")
    event = photo_events(out)["b.png"]
    assert event["mask_fraction"] == 1 and event["changed_fraction"] > 0.5


def test_a_second_run_has_nothing_to_do_and_another_style_or_strength_has(shoot):
    assert grade("--style", "warm", cwd=shoot)[0] == 0
    first = tree(shoot / "out")
    code, out, _ = grade("--style", "warm", "--ndjson", cwd=shoot)
    assert code == 0 and json.loads(out.splitlines()[-1])["skipped"] == 3
    for words in (("--style", "film"), ("--style", "film", "--strength", "0.5")):
        code, out, _ = grade(*words, "--ndjson", cwd=shoot)
        assert code == 0 and json.loads(out.splitlines()[-1])["done"] == 3
    assert tree(shoot / "out") != first


def test_strength_0_and_a_black_mask_leave_every_bit(shoot):
    assert grade("--style", "warm", "--strength", "0", cwd=shoot)[0] == 0
    for name in ("a.jpg", "sub/b.png"):
        assert (load(shoot / "out" / name) == load(shoot / "in" / name)).all()
    mask = np.zeros((96, 128), np.uint8)
    mask[:, 64:] = 255
    save(shoot / "mask.png", mask)
    code, _, _ = grade("--style", "warm", "--only", "mask.png", cwd=shoot)
    assert code == 0
    before, after = (load(shoot / folder / "sub" / "b.png") for folder in ("in", "out"))
    assert (before[:, :64] == after[:, :64]).all() and (before[:, 64:] != after[:, 64:]).any()


def test_a_mix_is_told_in_one_way(shoot):
    code, out, _ = grade("--style", "warm, film:0.4", "--ndjson", cwd=shoot)
    assert code == 0
    assert json.loads(out.splitlines()[0])["style"] == "film:0.4,warm:0.6"
    code, out, _ = grade("--style", "film:0.4,warm:0.6", "--ndjson", cwd=shoot)
    assert code == 0 and json.loads(out.splitlines()[-1])["skipped"] == 3


@pytest.mark.parametrize(
    ("text", "mix"),
    [
        ("auto", [("auto", 1.0)]),
        ("b,a:0.4", [("a", 0.4), ("b", 0.6)]),
        ("a:0.5,b,c", [("a", 0.5), ("b", 0.25), ("c", 0.25)]),
        ("a:0.3,b:0.7", [("a", 0.3), ("b", 0.7)]),
        ("a:1", [("a", 1.0)]),
    ],
)
def test_shares_of_a_mix_add_up(text, mix):
    found = mix_of(text)
    assert [name for name, _ in found] == [name for name, _ in mix]
    assert np.allclose([share for _, share in found], [share for _, share in mix])


@pytest.mark.parametrize(
    "text",
    ["", "a,", "a,a", "a:0.4", "a:0.6,b:0.6", "a:1,b", "a:x", "a:0", "a:nan", "../a", "a:1.5"],
)
def test_a_mix_that_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError, match="--style"):
        mix_of(text)


def test_one_style_is_told_by_its_name_alone():
    assert told([Share("auto", 1.0)]) == "auto"


def shoot_of_two(folder):
    """Two photos of one scene: dark, and light with another mood."""
    pixels = picture()
    save(folder / "in" / "dark.png", pixels // 2)
    save(folder / "in" / "light.png", 255 - pixels // 3)
    return folder


def test_a_locked_look_is_the_same_for_all_and_does_not_depend_on_what_is_done(tmp_path):
    shoot_of_two(tmp_path)
    locked = ("--style", "warm", "--lock-look")
    assert grade(*locked, cwd=tmp_path)[0] == 0
    whole = tree(tmp_path / "out")
    (tmp_path / "out" / "light.png").unlink()
    code, out, _ = grade(*locked, "--ndjson", cwd=tmp_path)
    assert code == 0 and json.loads(out.splitlines()[-1])["done"] == 1
    assert tree(tmp_path / "out") == whole
    code, _, _ = abpn("grade", "in/light.png", "in/dark.png", "-o", "other", *locked, cwd=tmp_path)
    assert code == 0 and tree(tmp_path / "other") == whole
    assert abpn("grade", "in", "-o", "free", "--style", "warm", cwd=tmp_path)[0] == 0
    assert tree(tmp_path / "free") != whole


def test_a_photo_more_changes_a_locked_look(tmp_path):
    shoot_of_two(tmp_path)
    assert grade("--style", "warm", "--lock-look", cwd=tmp_path)[0] == 0
    save(tmp_path / "in" / "third.png", np.full((40, 40, 3), 30, np.uint8))
    code, out, _ = grade("--style", "warm", "--lock-look", "--ndjson", cwd=tmp_path)
    assert code == 0 and json.loads(out.splitlines()[-1])["done"] == 3


def test_a_damaged_photo_costs_itself_and_not_the_look_of_the_others(tmp_path):
    shoot_of_two(tmp_path)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff nonsense")
    code, out, _ = grade("--style", "warm", "--lock-look", "--ndjson", cwd=tmp_path)
    assert code == 3
    assert photo_events(out)["broken.jpg"]["status"] == "failed"
    assert photo_events(out)["light.png"]["status"] == "done"


def test_a_cube_comes_with_one_photo_and_again_where_that_is_done(tmp_path):
    save(tmp_path / "in" / "a.png", picture())
    words = ("--style", "warm", "--export-cube", "looks/warm.cube")
    assert grade(*words, cwd=tmp_path)[0] == 0
    cube = tmp_path / "looks" / "warm.cube"
    text = cube.read_text()
    assert text.startswith('TITLE "abpn warm"') and len(text.splitlines()) == 5 + 9**3
    cube.unlink()
    assert grade(*words, cwd=tmp_path)[0] == 0
    assert cube.read_text() == text


def test_a_cube_of_a_locked_look_comes_with_many_photos(tmp_path):
    shoot_of_two(tmp_path)
    code, _, err = grade("--style", "warm", "--export-cube", "a.cube", cwd=tmp_path)
    assert code == 2 and "2 photos" in err and "--lock-look" in err and err.count("\n") == 1
    words = ("--style", "warm", "--lock-look", "--export-cube", "a.cube")
    assert grade(*words, "--dry-run", cwd=tmp_path)[0] == 0
    assert not (tmp_path / "a.cube").exists() and not (tmp_path / "out").exists()
    assert grade(*words, cwd=tmp_path)[0] == 0
    assert (tmp_path / "a.cube").is_file()


@pytest.mark.parametrize(
    ("words", "code", "told_"),
    [
        ((), 2, "--style is missing"),
        (("--style", "flim"), 5, "Styles found: auto, film, warm"),
        (("--style", "mend"), 5, "`abpn retouch --task mend`"),
        (("--style", "warm,flim:0.4"), 5, "no weights for this style"),
        (("--style", "warm", "--strength", "1.1"), 2, "--strength 1.1"),
        (("--style", "warm", "--weights", "no.safetensors"), 5, "no such weights file"),
        (("--style", "warm", "--weights", "user/weights/mend.safetensors"), 5, "holds a 'abpn'"),
        (("--style", "warm,film:0.5", "--weights", "x"), 2, "names several"),
        (("--style", "warm", "--export-cube", "in"), 7, "is a folder"),
        (("--style", "warm", "--export-cube", "in/a.png"), 2, "is a photo"),
        (("--style", "warm", "--export-cube", "file/a.cube"), 7, "file"),
        (("--style", "warm", "--export-cube", "in/a.xmp"), 2, "no cube"),
        (("--style", "warm", "--export-cube", "user/weights/warm.safetensors"), 2, "no cube"),
        (("--style", "warm", "--export-cube", "x.json", "--json", "x.json"), 2, "this run"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_written(tmp_path, words, code, told_):
    save(tmp_path / "in" / "a.png", picture())
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "in" / "a.xmp").write_text("<x:xmpmeta/>")
    before = tree(tmp_path)
    found, out, err = grade(*words, cwd=tmp_path)
    assert (found, out) == (code, "")
    assert told_ in err and err.count("\n") == 1
    assert tree(tmp_path) == before or code == 5


def test_retouch_offers_no_styles(shoot):
    code, _, err = abpn("retouch", "in", "-o", "out", "--task", "warm", cwd=shoot)
    assert code == 5 and "`abpn grade --style warm`" in err
    code, _, err = abpn("retouch", "in", "-o", "out", "--task", "nothing", cwd=shoot)
    assert code == 5 and "warm" not in err and "mend" in err


def test_the_list_of_weights_says_which_verb_uses_them(tmp_path):
    code, out, _ = abpn("weights", cwd=tmp_path)
    assert code == 0
    assert "abpn grade --style warm" in out and "abpn retouch --task mend" in out
    _, out, _ = abpn("weights", "--json", "-", cwd=tmp_path)
    verbs = {row["task"]: row["verb"] for row in json.loads(out)}
    assert (verbs["warm"], verbs["mend"], verbs["cloth"]) == ("grade", "retouch", "retouch")


def test_verify_says_that_grading_may_change_every_pixel(shoot):
    assert grade("--style", "warm", cwd=shoot)[0] == 0
    code, out, _ = abpn("verify", "out", cwd=shoot)
    assert code == 0 and "3 ok" in out and "grading may change every pixel" in out


def test_a_cube_is_not_waited_for_at_a_pipe(tmp_path):
    save(tmp_path / "in" / "a.png", picture())
    os.mkfifo(tmp_path / "pipe")
    code, out, err = grade("--style", "warm", "--export-cube", "pipe", cwd=tmp_path)
    assert (code, out) == (2, "") and "no cube" in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()
