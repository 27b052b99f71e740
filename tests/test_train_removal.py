"""`abpn train --net hifill`: weights that `abpn remove` takes, and what cannot be meant."""

import json

import cv2
import numpy as np
import pytest
from command import abpn, photo_events

TINY = ("--net", "hifill", "--width", "0.0625", "--side", "128", "--batch", "1", "--steps", "2")


@pytest.fixture
def studio(tmp_path):
    """in/0.png .. in/3.png, soft colours."""
    (tmp_path / "in").mkdir()
    for index in range(4):
        small = np.random.default_rng(index).integers(40, 216, (3, 3, 3), np.uint8)
        photo = cv2.resize(small, (140, 150), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / "in" / f"{index}.png"), photo)
    return tmp_path


def test_photos_alone_make_weights_that_remove_things(studio, shared_decoders, monkeypatch):
    monkeypatch.setattr("abpn_cli.commands.train_removal.JUDGED", 1)
    code, out, err = abpn(
        "train", "--photos", "in", *TINY, "--task", "mine", "--out", "run", cwd=studio
    )
    assert (code, out) == (0, ""), err
    assert "OpenCV's Telea" in err
    card = json.loads((studio / "run" / "mine.json").read_text())
    assert card["net"] == "hifill" and card["config"]["side"] == 128 and card["steps"] == 2
    assert set(card["metrics"]) == {"l1", "telea"}
    code, out, err = abpn(
        "remove", studio / "in" / "0.png", "--points", "70,60,5", "-o", studio / "out",
        "--weights", "run/mine.safetensors", "--ndjson", cwd=studio,
    )  # fmt: skip
    assert code == 0, err
    assert photo_events(out)["0.png"]["method"] == "hifill"
    again = abpn("train", "--photos", "in", *TINY, "--task", "mine", "--out", "run", cwd=studio)
    assert again[0] == 0, "a run that is through is through"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--photos", "in"), "--task is missing"),
        (("--photos", "in", "--task", "a/b"), "is not the name"),
        (("--task", "mine"), "--photos is missing"),
        (("--photos", "in", "--task", "mine", "--side", "100"), "no multiple of 32"),
        (("--photos", "in", "--task", "mine", "--gate-peak", "0.5"), "not for --net hifill"),
        (("--photos", "in", "--task", "mine", "--pairs", "in", "in"), "not for --net hifill"),
    ],
)
def test_what_cannot_be_meant_is_usage(studio, words, told):
    code, _, err = abpn("train", "--net", "hifill", "--out", "run", *words, cwd=studio)
    assert code == 2 and told in err


def test_a_side_is_for_this_network_alone(studio):
    code, _, err = abpn("train", "--photos", "in", "--side", "128", "--out", "run", cwd=studio)
    assert code == 2 and "--side is not for --net abpn" in err


def test_going_on_from_other_weights_is_refused(studio, checkpoint):
    code, _, err = abpn(
        "train", "--photos", "in", *TINY, "--task", "mine", "--out", "run", "--from", checkpoint,
        cwd=studio,
    )  # fmt: skip
    assert code == 5 and "is not a HiFill" in err
