"""`abpn train` as a user runs it, on a few small photos."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime

import pytest
import torch
from command import abpn
from garments import write_pairs
from typer.testing import CliRunner

from abpn_cli import weights
from abpn_cli.cli import app
from abpn_cli.errors import DeviceError, NoPhotoError, TargetError, UsageError


@pytest.mark.slow
def test_the_command_trains_resumes_and_writes_weights_with_a_card(photos, tmp_path, small_judges):
    words = (
        "train", "--photos", photos, "--masks", photos / "masks.npz", "--out", "run",
        "--width", "0.03125", "--steps", "2", "--batch", "2", "--every", "1", "--workers", "0",
        "--adversarial-weight", "0", "--task", "mystyle", "--licence", "ours", "--device", "cpu",
        "--known-failure", "soft prints", "--known-failure", "white gaps",
    )  # fmt: skip
    code, out, err = abpn(*words, cwd=tmp_path)
    assert code == 0, err
    assert "perceptual loss off: no --vgg16 given" in err
    assert out == ""
    file = tmp_path / "run" / "mystyle.safetensors"
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["licence"] == "ours"
    assert card["known failures"] == ["soft prints", "white gaps"]
    assert date.fromisoformat(card["date"]) <= datetime.now(UTC).date()
    assert card["config"]["light_only"]
    assert card["command"].startswith("abpn train --photos")
    assert card["steps"] == 2
    assert "in_gain" in card["metrics"]
    before = file.read_bytes()
    code, _, err = abpn(*words, cwd=tmp_path)
    assert code == 0, err
    assert file.read_bytes() == before
    code, _, err = abpn(*words, "--gate", "0.4", "0.6", cwd=tmp_path)
    assert code == 0, err
    assert json.loads(file.with_suffix(".json").read_text())["config"]["gate_low"] == 0.4
    code, _, err = abpn(*words, "--rate", "0.1", cwd=tmp_path)
    assert code == 2
    assert "was made with other settings" in err


def test_the_command_wants_one_kind_of_data(tmp_path):
    code, _, err = abpn("train", "--out", "run", cwd=tmp_path)
    assert code == 2
    assert "Give either --pairs BEFORE AFTER or --photos DIR." in err


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        ("--steps 0", UsageError, "--steps 0: is out of range"),
        ("--steps 1 --epochs 3", UsageError, "--steps and --epochs both say how long"),
        ("--steps -1", UsageError, "--steps -1: is out of range"),
        ("--batch 0", UsageError, "--batch 0: is out of range"),
        ("--rate nan", UsageError, "--rate nan: is out of range"),
        ("--seed -1", UsageError, "--seed -1: is out of range"),
        ("--workers -1", UsageError, "--workers -1: is out of range"),
        ("--tv-weight -1", UsageError, "--tv-weight -1: is out of range"),
        ("--average-start", UsageError, "--average-start: the run starts from nothing"),
        ("--balance 1.5", UsageError, "--balance 1.5: is out of range"),
        ("--net lptn --balance 0.5", UsageError, "--balance is not for --net lptn"),
        ("--device gpu", UsageError, "unknown device 'gpu'"),
        ("--device cuda", DeviceError, "Use --device cpu"),
        ("--task a/b", UsageError, "cannot name a file"),
        ("--masks gone.npz", UsageError, "--masks gone.npz: cannot be read"),
        ("--held-out none.txt", NoPhotoError, "No photo to validate on"),
        ("--out none.txt", TargetError, "cannot be made a folder"),
    ],
)
def test_options_that_cannot_be_meant_are_told_before_anything_starts(
    photos, tmp_path, monkeypatch, words, error, told
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "none.txt").write_text("")
    command = ["train", "--photos", str(photos), "--out", "run", *words.split()]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, error)
    assert told in str(result.exception)


@pytest.mark.slow
def test_two_processes_of_torchrun_train_one_network(tmp_path):
    """From pairs, as what photos alone are judged by takes a minute to make."""
    write_pairs(tmp_path)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
        "-m", "abpn_cli", "train", "--pairs", "before", "after", "--out", "run", "--width",
        "0.03125", "--steps", "2", "--batch", "1", "--workers", "0", "--adversarial-weight", "0",
        "--device", "cpu", "--task", "look", "--no-install",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("weights: run") == 1
    assert weights.check(tmp_path / "run" / "look.safetensors") == "ok"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoint.safetensors", "look.json", "look.safetensors",
    ]  # fmt: skip
