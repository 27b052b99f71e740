"""LPTN and ASAP-Net are taught by what teaches ABPN: the same pairs, steps, resume and commands."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from command import abpn
from garments import write_pairs

from abpn_cli import weights
from abpn_cli.errors import UsageError, WeightsError
from abpn_cli.nets.asapnet import AsapNetConfig
from abpn_cli.nets.lptn import LptnConfig
from abpn_cli.training import session
from abpn_cli.training.lessons import lesson_of
from abpn_cli.training.losses import PixelWeights
from abpn_cli.training.pairs import Batch
from abpn_cli.training.rivals import RIVALS, asapnet, rival_of
from abpn_cli.training.train import Settings, Trainer
from abpn_cli.training.validate import score

CPU = torch.device("cpu")
TINY_ASAP = AsapNetConfig(
    reduction=4, learned=4, width=4, most=8, depth=1, pixel_width=8, residual=True
)
TAUGHT = {
    "lptn": (LptnConfig(), PixelWeights(mse=1000)),
    "asapnet": (TINY_ASAP, PixelWeights(l1=1)),
}


class Lighter:
    """Pairs of soft pictures, lighter after than before: what any network can learn."""

    identity = "lighter"

    def batch(self, step):
        torch.manual_seed(step)
        small = torch.rand(2, 3, 8, 8)
        thumbnail, crop = (
            torch.nn.functional.interpolate(small, size=side, mode="bicubic").clamp(0, 0.8)
            for side in (64, 32)
        )
        corners = torch.zeros(2, 2, dtype=torch.int64)
        return Batch(thumbnail, thumbnail * 1.2, crop, crop * 1.2, corners, 1)


def trainer(name, **changes):
    config, losses = TAUGHT[name]
    settings = Settings(steps=4, every=2, workers=0, weights=losses, rate=2e-3, drop_at=1)
    return Trainer(config, replace(settings, **changes), Lighter(), CPU)


def silent(*_):
    return None


def unjudged(_):
    return {}


@pytest.mark.parametrize(("name", "loss"), [("lptn", "mse"), ("asapnet", "l1")])
def test_the_loss_falls(name, loss, tmp_path):
    told = []
    run = trainer(name, steps=14, every=14, rate=5e-3)
    run.run(lambda at: told.append(at.losses), unjudged, tmp_path / "run.safetensors")
    assert all(set(losses) == {loss} for losses in told)
    first, last = (np.mean([each[loss] for each in part]) for part in (told[:3], told[-3:]))
    assert last < 0.7 * first


@pytest.mark.parametrize("name", TAUGHT)
def test_a_run_cut_in_two_ends_where_one_run_does(name, tmp_path):
    whole, first, second = (trainer(name, average=0.9) for _ in range(3))
    whole.run(silent, unjudged, tmp_path / "whole.safetensors")
    first.settings = replace(first.settings, steps=2)
    first.run(silent, unjudged, tmp_path / "cut.safetensors")
    second.resume(tmp_path / "cut.safetensors")
    second.run(silent, unjudged, tmp_path / "cut.safetensors")
    for one, other in ((whole.net, second.net), (whole.latest, second.latest)):
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("name", TAUGHT)
def test_a_checkpoint_says_of_which_network_it_is_and_how_that_was_taught(name, tmp_path):
    run = trainer(name)
    run.save(tmp_path / "run.safetensors")
    header, _ = weights.read_tensors(tmp_path / "run.safetensors")
    assert header.net == name == lesson_of(run.config).name
    assert header.training["settings"]["weights"] == vars(TAUGHT[name][1])


@pytest.mark.parametrize("name", TAUGHT)
def test_a_critic_may_help_to_teach(name):
    losses = replace(TAUGHT[name][1], adversarial=0.1)
    run = trainer(name, weights=losses)
    told = run._step(Lighter().batch(0))
    assert {"adversarial", "discriminator"} < set(told)
    assert all(np.isfinite(list(told.values())))


def test_a_network_without_a_mask_is_judged_as_open_everywhere():
    torch.manual_seed(0)
    net = trainer("asapnet").net.eval()  # starts with the photo
    seen = Lighter().batch(0)
    crop = torch.nn.functional.interpolate(seen.thumbnail, scale_factor=2)  # a photo, whole
    batch = seen._replace(crop=crop, crop_target=crop * 1.2)
    scores = score(net, [batch, batch._replace(crop_target=crop)])
    assert scores.gated == 1
    assert abs(scores.in_gain) < 0.01 and scores.harm > 80


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """Three pairs, lighter after than before, and one more to judge by."""
    root = tmp_path_factory.mktemp("rival studio")
    write_pairs(root)
    return root


TRAIN = ("train", "--pairs", "before", "after", "--device", "cpu", "--workers", "0", "--batch",
         "1", "--steps", "2", "--every", "2", "--no-install", "--task", "look")  # fmt: skip


@pytest.fixture(scope="module")
def looks(studio, small_judges):
    """Weights of each rival, trained by the command, with what it told."""
    told = {}
    for name in RIVALS:
        code, _, err = abpn(*TRAIN, "--net", name, "--out", name, cwd=studio)
        assert code == 0, err
        told[name] = err
    return told


@pytest.mark.parametrize("name", RIVALS)
def test_the_command_trains_a_rival_and_goes_on_where_it_stopped(studio, looks, name):
    file = studio / name / "look.safetensors"
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["net"] == name and card["steps"] == 2 and "boost" not in card
    assert card["settings"]["weights"] == vars(RIVALS[name].losses)
    assert "perceptual" not in looks[name]
    assert weights.check(file) == "ok"
    before = weights.header_of(file).digest
    assert abpn(*TRAIN, "--net", name, "--out", name, cwd=studio)[0] == 0
    assert weights.header_of(file).digest == before
    code, _, err = abpn(*TRAIN, "--net", name, "--out", name, "--rate", "0.1", cwd=studio)
    assert code == 2 and "was made with other settings" in err
    code, _, err = abpn(*TRAIN, "--from", file, "--out", f"{name} on", "--rate", "1e-5", cwd=studio)
    assert code == 0, err  # the file says of which network it is
    assert weights.header_of(studio / f"{name} on" / "look.safetensors").net == name


@pytest.mark.parametrize("name", RIVALS)
def test_its_weights_retouch_without_a_switch(studio, looks, name):
    run = ("retouch", "before", "--out", f"{name} done", "--weights", f"{name}/look.safetensors")
    code, out, err = abpn(*run, "--device", "cpu", "--ndjson", "--save-mask", cwd=studio)
    assert code == 0, err
    photos = [json.loads(line) for line in out.splitlines() if '"photo"' in line]
    assert [photo["mask_fraction"] for photo in photos] == [1, 1, 1]
    assert {photo["precision"] for photo in photos} == {"float32"}
    mask = cv2.imread(str(studio / f"{name} done" / "0_mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.min() == 255
    _, again, _ = abpn(*run, "--device", "cpu", "--ndjson", "--save-mask", cwd=studio)
    states = [json.loads(line).get("status") for line in again.splitlines()]
    assert states.count("skipped") == 3


def test_all_networks_are_judged_beside_each_other(studio, looks, checkpoint):
    files = [f"{name}/look.safetensors" for name in RIVALS]
    words = [word for file in (*files, checkpoint) for word in ("--weights", file)]
    judged = ("evaluate", "--pairs", "before", "after", "--device", "cpu", "--json", "-")
    code, out, err = abpn(*judged, *words, cwd=studio)
    assert code == 0, err
    rows = json.loads(out)
    names = ["untouched", "look", "look-2", "test"]
    assert [row["method"] for row in rows] == names * 3
    assert [row["gated"] for row in rows[1:3]] == [1, 1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--net", "lptn", "--gate", "0.1", "0.3"), "--gate is not for --net lptn"),
        (("--net", "asapnet", "--preset", "paper"), "--preset is not for --net asapnet"),
        (("--net", "lptn", "--width", "0.5"), "--width: an LPTN has but one"),
    ],
)
def test_options_of_abpn_alone_are_refused_for_a_rival(studio, words, told):
    code, _, err = abpn(*TRAIN, *words, "--out", "none", cwd=studio)
    assert code == 2 and told in err
    assert not (studio / "none").exists()


def test_weights_of_another_network_are_no_start(studio, looks, checkpoint):
    code, _, err = abpn(*TRAIN, "--net", "lptn", "--from", checkpoint, "--out", "x", cwd=studio)
    assert code == 5 and "another network than lptn" in err
    start = studio / "lptn" / "look.safetensors"
    with pytest.raises(WeightsError, match="not an ABPN"):
        session.make_of(start, None, None, "cloth")
    with pytest.raises(UsageError, match="--width"):
        rival_of("asapnet", studio / "asapnet" / "look.safetensors", 0.5)


def test_the_papers_width_is_1():
    config = asapnet(1.0)
    assert (config.width, config.most, config.depth, config.pixel_width) == (64, 1024, 7, 64)
    assert asapnet(None).most == 128
