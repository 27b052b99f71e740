"""Styles are learnt: damages are what they say, runs go on, a film look comes out of 30 pairs."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from command import abpn
from shoots import load, save
from styles import make_identity, save_style, style_net

from abpn_cli import weights
from abpn_cli.errors import UsageError
from abpn_cli.nets.csrnet import BASE, Csrnet, CsrnetConfig, copy_size
from abpn_cli.training.colour_pairs import Damaged, StudioColours, damaged_pairs
from abpn_cli.training.damage import SCALE, damaged, draw_curve, draw_damage, from_light, to_light
from abpn_cli.training.distances import lab_distance, psnr
from abpn_cli.training.grading import GradeTrainer, Settings, condition_of, judge, rate_at, side_of
from abpn_cli.training.pairs import Pair


def scene(seed, height=60, width=80):
    """Soft shapes in many colours, as BGR pixels."""
    rng = np.random.default_rng(seed)
    shapes = cv2.resize(rng.random((5, 6, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    light = rng.uniform(0.5, 1.0)
    return np.rint(np.clip(shapes * light + rng.normal(0, 0.02, shapes.shape), 0, 1) * 255).astype(
        np.uint8
    )


def film(pixels):
    """A made-up film: faded blacks, an S-curve, warm lights and green shadows. BGR."""
    x = pixels / 255
    x = 0.06 + 0.9 * (0.5 * x + 0.5 * x * x * (3 - 2 * x))
    x = x * np.array([0.9, 1.0, 1.06]) + np.array([0.0, 0.015, -0.01])
    return np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)


@pytest.fixture
def studio(tmp_path):
    """Thirty pairs, before/NN.png and after/NN.png, as large as the copies that `auto` reads."""
    for number in range(30):
        pixels = scene(number, 375, 500)
        save(tmp_path / "before" / f"{number:02}.png", pixels)
        save(tmp_path / "after" / f"{number:02}.png", film(pixels))
    return tmp_path


def test_light_and_back_is_what_it_was():
    assert np.allclose(from_light(to_light(SCALE)), SCALE, atol=1e-6)


def test_every_tone_curve_rises_and_stays_in_range():
    for seed in range(100):
        curve = draw_curve(np.random.default_rng(seed), 1.0)
        assert curve.shape == (256,) and curve.min() >= 0 and curve.max() <= 1
        assert (np.diff(curve) >= -1e-12).all()


def test_damages_are_the_same_for_the_same_seed_and_range_from_slight_to_severe():
    photo = scene(1)
    errors = []
    for seed in range(60):
        one, other = (damaged(photo, draw_damage(np.random.default_rng(seed))) for _ in range(2))
        assert (one == other).all() and one.dtype == np.float32
        assert one.min() >= 0 and one.max() <= 1
        errors.append(psnr(one, photo / np.float32(255)))
    assert min(errors) < 14 and max(errors) > 25


def test_rates_rise_and_fall():
    settings = Settings(1000, rate=1.0)
    rates = [rate_at(step, settings) for step in range(1000)]
    assert rates[0] < 0.1 and max(rates) > 0.9 and rates[-1] < 0.03


def test_lab_distance_is_that_of_cie_1976():
    from skimage.color import rgb2lab

    colours = np.random.default_rng(0).random((2, 50, 3)).astype(np.float32)
    wanted = np.linalg.norm(rgb2lab(colours[0]) - rgb2lab(colours[1]), axis=1)
    assert np.allclose(lab_distance(*colours), wanted, atol=1.0)  # OpenCV interpolates


@pytest.fixture
def clean(tmp_path):
    return [save(tmp_path / "clean" / f"{n}.png", scene(n)) for n in range(3)]


def test_copies_are_squares_and_some_are_left_as_they_are(tmp_path, clean):
    source = Damaged(clean, tmp_path)
    drawn = [source.draw(np.random.default_rng(seed), 96) for seed in range(60)]
    again = source.draw(np.random.default_rng(7), 96)
    assert (again.photo == drawn[7].photo).all() and (again.wanted == drawn[7].wanted).all()
    assert {image.shape for pair in drawn for image in pair} == {(96, 96, 3)}
    same = [np.array_equal(*pair) for pair in drawn]
    assert 12 < sum(same) < 36


def test_both_sides_of_a_studio_pair_are_cropped_alike(studio):
    pairs = [
        Pair(studio / "before" / f"{n:02}.png", studio / "after" / f"{n:02}.png") for n in (0, 1)
    ]
    source = StudioColours(pairs)
    for seed in range(20):
        photo, wanted = source.draw(np.random.default_rng(seed), 96)
        assert np.abs(film(photo[..., ::-1] * 255)[..., ::-1] / 255 - wanted).mean() < 0.02


def test_doing_nothing_gains_nothing_and_harms_nothing(clean):
    verdict = judge(make_identity(Csrnet()), damaged_pairs(clean, seed=1))
    assert verdict.before == pytest.approx(verdict.after, abs=0.01)
    assert verdict.gain == pytest.approx(0, abs=0.01) and verdict.harm < 0.01


def test_a_run_that_was_killed_goes_on_to_the_same_end(tmp_path, clean):
    source = Damaged(clean, tmp_path)
    settings = Settings(6, batch=1, every=3)
    ends = []
    for stop in (False, True):
        trainer = GradeTrainer(settings, source, style_net(5))
        path = tmp_path / f"{stop}.safetensors"

        def judged(step, net, stop=stop):
            if stop and step == 6:
                raise KeyboardInterrupt

        if stop:
            with pytest.raises(KeyboardInterrupt):
                trainer.run(lambda *told: None, judged, path)
            trainer = GradeTrainer(settings, source, style_net(5))
            trainer.resume(path)
            assert trainer.step == 3
        trainer.run(lambda *told: None, lambda *told: None, path)
        ends.append(trainer.average.state_dict())
    assert all((ends[0][name] == ends[1][name]).all() for name in ends[0])


def test_a_run_does_not_go_on_with_other_settings(tmp_path, clean):
    source = Damaged(clean, tmp_path)
    trainer = GradeTrainer(Settings(1, batch=1), source, None)
    trainer.save(tmp_path / "c.safetensors")
    with pytest.raises(UsageError, match="other settings"):
        GradeTrainer(Settings(2, batch=1), source, None).resume(tmp_path / "c.safetensors")


def test_a_run_sees_copies_as_large_as_those_that_are_read_in_use():
    for long_side in (112, 500):
        copy = np.prod(copy_size((4500, 6000), long_side))
        assert side_of(CsrnetConfig(long_side)) ** 2 == pytest.approx(copy, rel=0.03)


def test_zeros_around_a_small_copy_weigh_what_they_do_around_a_large_one():
    net = style_net(5)
    grey = torch.full((1, 3, 500, 375), 0.4)
    with torch.inference_mode():
        wanted, plain = net.condition(grey), net.condition(grey[..., :96, :96])
        found = condition_of(net, grey[..., :96, :96])
    assert (found - wanted).abs().max() < 0.25 * (plain - wanted).abs().max()


def test_a_frozen_base_stays_and_the_condition_learns(tmp_path, clean):
    start = style_net(5)
    trainer = GradeTrainer(Settings(3, batch=1, freeze_base=True), Damaged(clean, tmp_path), start)
    trainer.run(lambda *told: None, lambda *told: None, tmp_path / "c.safetensors")
    learnt, had = trainer.average.state_dict(), start.state_dict()
    for name, tensor in had.items():
        assert (learnt[name] == tensor).all() == name.startswith(BASE), name


def gain_on_a_new_photo(folder):
    """How much nearer `abpn grade` brings a photo that is in no pair to the film look, in dB."""
    save(folder / "new" / "a.png", scene(99, 375, 500))
    assert abpn("grade", "new", "-o", "done", "--style", "film", cwd=folder)[0] == 0
    wanted = film(scene(99, 375, 500)) / 255
    before, after = (load(folder / name / "a.png") / 255 for name in ("new", "done"))
    return psnr(after, wanted) - psnr(before, wanted)


@pytest.fixture
def user(studio, monkeypatch):
    monkeypatch.setattr("abpn_cli.weights.user_data_path", lambda *a, **k: studio / "user")
    return studio / "user" / "weights"


@pytest.mark.slow
def test_a_film_look_is_learnt_from_thirty_pairs(studio, user):
    code, _, err = abpn(
        "train", "--net", "csrnet", "--pairs", "before", "after", "--from", "auto",
        "--freeze-base", "--task", "film", "--side", "96", "--steps", "100", "--rate", "5e-3",
        "-o", "run", cwd=studio,
    )  # fmt: skip
    assert code == 0, err
    base, _ = weights.load(weights.find("auto", weights.GRADE), torch.device("cpu"))
    net, _ = weights.load(user / "film.safetensors", torch.device("cpu"))
    for name, tensor in net.state_dict().items():
        assert (tensor == base.state_dict()[name]).all() == name.startswith(BASE), name
    card = json.loads((studio / "run" / "film.json").read_text())
    assert card["from"]["file"] == "auto.safetensors"
    assert card["data"] == {"pairs": 27, "held out": 3} and card["metrics"]["gain"] > 4
    assert gain_on_a_new_photo(studio) > 4


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 2, "names the style"),
        (("--task", "a,b"), 2, "no comma"),
        (("--task", "face"), 2, "a name of abpn's own"),
        (("--task", "x", "--freeze-base"), 2, "wants a base"),
        (("--task", "x", "--from", "cloth"), 5, "`abpn retouch --task cloth`"),
        (("--task", "x", "--gate", "0.1", "0.2"), 2, "--gate is not for --net csrnet"),
        (("--task", "x", "--precision", "bf16"), 2, "--precision is not for --net csrnet"),
        (("--task", "x", "--photos", "before"), 2, "either --pairs"),
        (("--net", "abpn", "--freeze-base", "--task", "x"), 2, "--freeze-base is not for"),
    ],
)
def test_what_cannot_be_trained_is_one_line(studio, words, code, told):
    pairs = ("--pairs", "before", "after")
    found, out, err = abpn("train", "--net", "csrnet", *pairs, "-o", "run", *words, cwd=studio)
    assert (found, out) == (code, "") and told in err and err.count("\n") == 1


def test_a_style_from_photos_alone_needs_no_pairs(tmp_path, clean):
    save_style(tmp_path / "start.safetensors")
    code, _, err = abpn(
        "train", "--net", "csrnet", "--photos", "clean", "--task", "mine", "--steps", "2",
        "--batch", "1", "--from", "start.safetensors", "-o", "run", cwd=tmp_path,
    )  # fmt: skip
    assert code == 0, err
    assert "CIE76 from photos that are right" in err
    assert weights.check(tmp_path / "run" / "mine.safetensors") == "ok"
