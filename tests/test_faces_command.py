"""`--task face`, alone and with cloth, by the commands that users give."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from command import abpn, photo_events
from networks import save, untrained
from portraits import OPEN, portrait
from shoots import load, picture
from shoots import save as save_picture

from abpn_cli import weights
from abpn_cli.batch.journal import JOURNAL_NAME


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A user's data folder with weights for `cloth` and `face`."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "abpn" / "weights").mkdir(parents=True)
    save(untrained(), folder / "abpn" / "weights" / "cloth.safetensors")
    save(untrained(OPEN), folder / "abpn" / "weights" / "face.safetensors")
    return folder


@pytest.fixture
def studio(tmp_path, home, monkeypatch, shared_decoders):
    """A shoot of one portrait and one photo without a face, and weights for both tasks."""
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    save_picture(tmp_path / "in" / "face.png", portrait().pixels[..., ::-1])
    save_picture(tmp_path / "in" / "none.png", picture())
    return tmp_path


def test_faces_are_counted_and_a_photo_without_one_comes_back_as_it_was(studio):
    words = ("retouch", studio / "in", "-o", studio / "out", "--task", "face", "--ndjson", "-v")
    code, out, err = abpn(*words, cwd=studio)
    assert code == 0
    assert "1 face\n" in err and "no face\n" in err
    events = photo_events(out)
    assert events["face.png"]["faces"] == 1 and events["face.png"]["changed_fraction"] > 0.1
    assert events["none.png"]["faces"] == 0 and events["none.png"]["moles_kept"] == 0
    assert events["none.png"]["mask_fraction"] == events["none.png"]["changed_fraction"] == 0
    assert np.array_equal(load(studio / "out" / "none.png"), load(studio / "in" / "none.png"))
    assert not np.array_equal(load(studio / "out" / "face.png"), load(studio / "in" / "face.png"))


def test_cloth_and_face_in_one_pass_change_what_each_changes(studio):
    for name in ("cloth", "face", "cloth,face"):
        words = ("retouch", studio / "in", "-o", studio / name, "--task", name, "--ndjson")
        code, out, _ = abpn(*words, cwd=studio)
        assert code == 0, name
    plan = json.loads(out.splitlines()[0])
    assert plan["task"] == "cloth,face"
    assert "cloth.safetensors" in plan["weights"] and "face.safetensors" in plan["weights"]
    assert photo_events(out)["face.png"]["faces"] == 1
    before = load(studio / "in" / "face.png").astype(int)
    changes = [load(studio / name / "face.png") - before for name in ("cloth", "face")]
    both = load(studio / "cloth,face" / "face.png")
    assert all(change.any() for change in changes)
    assert np.array_equal(both, (before + sum(changes)).clip(0, 255))
    cloth_alone = load(studio / "cloth" / "none.png")
    assert np.array_equal(load(studio / "cloth,face" / "none.png"), cloth_alone)


def test_the_journal_knows_both_weights_and_whether_moles_were_kept(studio):
    run = ("retouch", studio / "in", "-o", studio / "out", "--task", "cloth,face")
    assert abpn(*run, cwd=studio)[0] == 0
    assert "2 skipped" in abpn(*run, cwd=studio)[2]
    assert "2 done" in abpn(*run, "--no-keep-moles", cwd=studio)[2]
    lines = (studio / "out" / JOURNAL_NAME).read_text().splitlines()
    runs = [entry for entry in map(json.loads, lines) if entry["entry"] == "run"]
    assert {entry["task"] for entry in runs} == {"cloth,face"}
    assert runs[-1]["settings"]["keep_moles"] is False and "keep_moles" not in runs[0]["settings"]
    code, out, _ = abpn(*run[:4], "--task", "face", "--ndjson", "--dry-run", cwd=studio)
    assert code == 0 and json.loads(out.splitlines()[0])["to_do"] == 2, "other weights"


@pytest.mark.parametrize("task", ["face", "cloth,face"])
def test_the_mask_is_0_where_nothing_changed_and_is_the_one_that_is_saved(studio, task):
    run = ("retouch", studio / "in", "-o", studio / "out", "--task", task, "--save-mask")
    assert abpn(*run, cwd=studio)[0] == 0
    words = ("mask", studio / "in", "-o", studio / "masks", "--task", task)
    assert abpn(*words, cwd=studio)[0] == 0
    mask = load(studio / "masks" / "face_mask.png")
    assert np.array_equal(mask, load(studio / "out" / "face_mask.png"))
    before, after = load(studio / "in" / "face.png"), load(studio / "out" / "face.png")
    assert np.array_equal(before[mask == 0], after[mask == 0])
    assert mask.any()
    if task == "face":
        assert not load(studio / "masks" / "none_mask.png").any()


def test_verify_finds_the_masks_of_both_tasks_again(studio):
    run = ("retouch", studio / "in", "-o", studio / "out", "--task", "cloth,face")
    assert abpn(*run, "--no-keep-moles", cwd=studio)[0] == 0
    code, out, err = abpn("verify", studio / "out", cwd=studio)
    assert code == 0, out + err
    assert "see --weights" not in out + err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--task", "cloth,face", "--weights", "x.safetensors"), "Leave one out"),
        (("--task", "face,face"), "--task face,face: names a task twice"),
        (("--task", "face, face "), "names a task twice"),
        (("--task", "face,"), "--task face,: there is a comma too many"),
        (("--task", ","), "there is a comma too many"),
        (("--task", ""), "--task '': names no task. `abpn weights` lists them"),
        (("--task", "  "), "names no task"),
        (("--task", "../face"), "--task ../face: is not the name of a task"),
        (("--task", "cloth,/tmp/face"), "--task /tmp/face: is not the name of a task"),
        (("--task", ".face"), "is not the name of a task"),
    ],
)
@pytest.mark.parametrize("verb", ["retouch", "mask"])
def test_lists_of_tasks_that_cannot_be_meant_are_refused(studio, verb, words, told):
    code, out, err = abpn(verb, studio / "in", "-o", studio / "out", *words, cwd=studio)
    assert (code, out) == (2, "")
    assert told in err and err.count("\n") == 1
    assert not (studio / "out").exists()


def test_a_task_that_nobody_knows_is_5_among_others_too(studio):
    words = ("retouch", studio / "in", "-o", studio / "out", "--task", "face,nobody")
    code, _, err = abpn(*words, cwd=studio)
    assert code == 5 and "no weights for this task" in err


def test_what_changes_nothing_does_no_photo_again(studio):
    """Neither the order of tasks, nor what is about other tasks than those at hand."""

    def again(task, *words):
        run = ("retouch", studio / "in", "-o", studio / "out", "--task", task, *words, "--ndjson")
        code, out, err = abpn(*run, cwd=studio)
        assert code == 0, err
        (name,) = {json.loads(line)["task"] for line in out.splitlines()[:1]}
        return name, {event["status"] for event in photo_events(out).values()}

    assert again("cloth,face") == ("cloth,face", {"done"})
    assert again("face,cloth") == ("cloth,face", {"skipped"})
    assert again(" face , cloth ") == ("cloth,face", {"skipped"})
    assert again("face,cloth", "--no-keep-moles") == ("cloth,face", {"done"})
    assert again("cloth") == ("cloth", {"done"})
    assert again("cloth", "--no-keep-moles") == ("cloth", {"skipped"})
    assert again("cloth", "--detail") == ("cloth", {"done"})
    assert again("face") == ("face", {"done"})
    assert again("face", "--detail") == ("face", {"skipped"})  # faces are always seen so
    assert again("face", "--no-keep-moles") == ("face", {"done"})


def test_weights_of_another_task_than_the_one_named_are_used_and_told_once(studio, home):
    path = studio / "coat.safetensors"
    weights.save(path, untrained(), weights.Header("abpn", asdict(untrained().config), "coat"))
    told = "is of the task 'coat' by its own word, --task says cloth: the file is used."
    for verb, more in (("retouch", ()), ("retouch", ("--dry-run",)), ("mask", ())):
        words = (verb, studio / "in", "-o", studio / f"out {verb}", "--weights", path, "--ndjson")
        code, out, err = abpn(*words, *more, "--task", "cloth", cwd=studio)
        (warning,) = json.loads(out.splitlines()[0])["warnings"]
        assert code == 0 and warning.endswith(told)
        assert err.count(told) == 1
        for task in (("--task", "coat"), ()):
            _, out, err = abpn(*words, *more, *task, cwd=studio)
            assert json.loads(out.splitlines()[0])["warnings"] == [] and told not in err


def test_weights_that_learnt_faces_work_on_faces_without_being_told(studio, home):
    path = studio / "mine.safetensors"
    weights.save(path, untrained(OPEN), weights.Header("abpn", asdict(OPEN), "face"))
    words = ("retouch", studio / "in", "-o", studio / "out", "--weights", path, "--ndjson")
    code, out, _ = abpn(*words, cwd=studio)
    assert code == 0 and photo_events(out)["none.png"]["faces"] == 0
