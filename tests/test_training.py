"""Training: pairs, schedule, exact resume, and the command on a few small photos."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from abpn_cli import weights
from abpn_cli.cli import app
from abpn_cli.codecs import decode
from abpn_cli.errors import DeviceError, NoPhotoError, TargetError, UsageError
from abpn_cli.nets.abpn import Abpn, AbpnConfig
from abpn_cli.training import data, session
from abpn_cli.training.data import read_list
from abpn_cli.training.gallery import Gallery
from abpn_cli.training.losses import LossWeights
from abpn_cli.training.pairs import (
    Pair,
    Shape,
    StudioPairs,
    draw_corner,
    match_pairs,
    mirrored,
    shift_between,
    split,
    stack,
)
from abpn_cli.training.session import PRESETS
from abpn_cli.training.synthesis import ridged_noise
from abpn_cli.training.synthesised import Labels, Recipe, SynthesisedPairs
from abpn_cli.training.train import Settings, Trainer, learning_rate
from abpn_cli.training.validate import gate_of, score

CPU = torch.device("cpu")
SMALL = replace(PRESETS["shipped"], width=1 / 32)
QUIET = LossWeights(mse=100, perceptual=0, adversarial=0)


def cloth_photo(seed, size=(200, 260)):
    """A made-up garment: coloured, shaded, creased, textured."""
    rng = np.random.default_rng(seed)
    shade = 1 + 0.05 * ridged_noise(size, rng)
    image = shade[..., None] * rng.uniform(0.25, 0.75, 3) + 0.004 * rng.standard_normal((*size, 3))
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index in range(4):
        cv2.imwrite(str(folder / f"c{index}.png"), cloth_photo(index))
    maps = {f"c{i}.png": np.full((80, 104), 3, np.uint8) for i in range(3)}
    np.savez(folder / "masks.npz", **maps)
    return folder


@pytest.fixture
def source(photos):
    cloth = [photos / f"c{i}.png" for i in range(3)]
    labels = Labels(photos / "masks.npz", photos)
    return SynthesisedPairs(cloth, [photos / "c3.png"], labels, [ridged_noise], Recipe(), 2, 7)


def trainer(source, **changes):
    settings = Settings(steps=4, every=2, workers=0, weights=QUIET)
    return Trainer(SMALL, replace(settings, **changes), source, CPU)


def silent(*_):
    return None


def test_the_rate_drops_tenfold_at_the_share_asked_for():
    settings = Settings(steps=200, rate=5e-4, drop_at=0.5)
    assert learning_rate(99, settings) == 5e-4
    assert learning_rate(100, settings) == pytest.approx(5e-5)


def test_a_step_sees_the_same_pairs_each_time(source):
    first, again = source.batch(3), source.batch(3)
    assert torch.equal(first.crop, again.crop)
    assert not torch.equal(first.thumbnail, source.batch(4).thumbnail[: len(first.thumbnail)])


def test_a_crop_lies_where_its_corner_says(source):
    shape = Shape(1, (256, 256), 128)
    sample = source.sample(shape, np.random.default_rng(0))
    (row, column), side = sample.corner, shape.crop
    there = sample.thumbnail[row : row + side, column : column + side]
    small = cv2.pyrDown(sample.crop)
    assert np.abs(small - there)[8:-8, 8:-8].mean() < 0.01  # grain apart
    turned = mirrored(sample, shape)
    (row, column) = turned.corner
    there = turned.thumbnail[row : row + side, column : column + side]
    assert np.abs(cv2.pyrDown(turned.crop) - there)[8:-8, 8:-8].mean() < 0.01


def test_a_photo_with_nothing_to_do_makes_an_identical_pair(photos):
    recipe = Recipe(nothing=1)
    made = SynthesisedPairs(
        [photos / "c0.png"], [photos / "c3.png"], Labels(None, photos), [ridged_noise], recipe, 2, 0
    )
    batch = made.batch(0)
    assert torch.equal(batch.thumbnail, batch.thumbnail_target)
    assert torch.equal(batch.crop, batch.crop_target)


def test_the_corner_of_a_crop_stays_inside_and_seeks_the_edit():
    shape = Shape(2, (256, 320), 64)
    edited = np.zeros(shape.thumbnail, bool)
    edited[200:210, 300:310] = True
    hits = 0
    for seed in range(40):
        row, column = draw_corner(edited, shape, np.random.default_rng(seed))
        assert 0 <= row <= 256 - 64
        assert 0 <= column <= 320 - 64
        hits += row <= 205 < row + 64 and column <= 305 < column + 64
    assert hits > 25


def test_losses_fall_on_a_fixed_batch(source):
    run = trainer(source, rate=2e-3)
    batch = source.batch(0)
    run.net.train()
    losses = [run._step(batch) for _ in range(12)]
    assert losses[-1]["dice"] < losses[0]["dice"]
    assert losses[-1]["mse"] < losses[0]["mse"]


@pytest.mark.slow
def test_a_run_killed_halfway_and_resumed_ends_with_the_same_weights(source, tmp_path):
    whole = trainer(source)
    whole.run(silent, lambda _: {}, tmp_path / "whole.safetensors")

    def kill_at_three(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    half = trainer(source)
    with pytest.raises(KeyboardInterrupt):
        half.run(kill_at_three, lambda _: {}, tmp_path / "half.safetensors")
    rest = trainer(source)
    rest.resume(tmp_path / "half.safetensors")
    assert rest.step == 2
    rest.run(silent, lambda _: {}, tmp_path / "rest.safetensors")
    for name, tensor in whole.net.state_dict().items():
        assert torch.equal(tensor, rest.net.state_dict()[name]), name


def test_a_run_with_a_discriminator_saves_and_resumes_it(source, tmp_path):
    lambdas = LossWeights(perceptual=0)
    run = trainer(source, weights=lambdas, steps=1)
    run.run(silent, lambda _: {}, tmp_path / "gan.safetensors")
    again = trainer(source, weights=lambdas, steps=1)
    again.resume(tmp_path / "gan.safetensors")
    for name, tensor in run.critic.state_dict().items():
        assert torch.equal(tensor, again.critic.state_dict()[name]), name


def test_a_checkpoint_of_other_settings_is_refused(source, tmp_path):
    run = trainer(source, steps=2)
    run.run(silent, lambda _: {}, tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="was made with other settings"):
        session.resume(trainer(source, steps=2, rate=1e-3), tmp_path / "x.safetensors")


def test_a_checkpoint_of_another_network_is_refused_before_it_is_taken_over(source, tmp_path):
    run = trainer(source, steps=1)
    run.run(silent, lambda _: {}, tmp_path / "x.safetensors")
    settings = Settings(steps=1, every=2, workers=0, weights=QUIET)
    wider = Trainer(replace(SMALL, width=1 / 16), settings, source, CPU)
    with pytest.raises(UsageError, match="was made with other settings"):
        session.resume(wider, tmp_path / "x.safetensors")
    assert wider.step == 0


def test_weights_to_go_on_from_must_be_of_the_same_make(tmp_path):
    file = tmp_path / "a.safetensors"
    weights.save(file, Abpn(SMALL), weights.Header("abpn", asdict(SMALL), "cloth"))
    assert "j" in session.start_from(file, SMALL)
    with pytest.raises(UsageError, match=r"has width 0\.03125 and not 0\.5\. Give --preset"):
        session.start_from(file, replace(SMALL, width=0.5))


def test_what_is_no_archive_of_label_maps_is_refused(photos, tmp_path):
    data.check_masks(photos / "masks.npz")
    with pytest.raises(UsageError, match="cannot be read"):
        data.check_masks(tmp_path / "gone.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name in ("text.npz", "one.npy"):
        with pytest.raises(UsageError, match="is no archive of label maps"):
            data.check_masks(tmp_path / name)


def test_photos_that_cannot_be_read_are_told_before_a_run_starts(photos, tmp_path):
    short = tmp_path / "short.png"
    short.write_bytes((photos / "c0.png").read_bytes()[:3000])
    good, problems = data.readable([photos / "c1.png", short, photos / "c2.png"])
    assert good == [photos / "c1.png", photos / "c2.png"]
    assert len(problems) == 1
    assert "short.png: the file is cut short." in problems[0]


@pytest.mark.gpu
def test_validation_runs_where_the_network_is(source):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    shape = Shape(1, (256, 256), 256)
    batch = stack([source.sample(shape, np.random.default_rng(0)) for _ in range(2)], 1)
    assert score(Abpn(SMALL).eval().cuda(), [batch]).in_gain == pytest.approx(0, abs=1e-3)


def test_a_checkpoint_of_other_photos_is_refused(source, photos, tmp_path):
    trainer(source, steps=1).run(silent, lambda _: {}, tmp_path / "x.safetensors")
    fewer = SynthesisedPairs(
        source.cloth[:2], source.nothing, source.labels, source.creases, source.recipe, 2, 7
    )
    with pytest.raises(UsageError, match="was made from other photos"):
        session.resume(trainer(fewer, steps=1), tmp_path / "x.safetensors")


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(source, tmp_path):
    run = trainer(source, steps=2, every=1)

    def spoil(progress):
        if progress.step == 2:
            raise AssertionError("the second step went through")
        with torch.no_grad():
            run.net.j.fill_(float("nan"))

    with pytest.raises(UsageError, match="step 2: a loss is no number"):
        run.run(spoil, lambda _: {}, tmp_path / "x.safetensors")


def test_photos_are_kept_within_a_bound_and_read_once(photos, monkeypatch):
    opened = []

    def counted(path):
        opened.append(path.name)
        return decode(path)

    monkeypatch.setattr("abpn_cli.training.gallery.decode", counted)
    one = 200 * 260 * 3
    gallery = Gallery(longest=4096, most_bytes=2 * one)
    for name in ("c0.png", "c1.png", "c0.png", "c2.png", "c0.png", "c1.png"):
        assert gallery.pixels(photos / name).shape == (200, 260, 3)
    assert opened == ["c0.png", "c1.png", "c2.png", "c1.png"]
    assert max(Gallery(longest=100).pixels(photos / "c0.png").shape[:2]) == 100


def test_a_boost_multiplies_the_thumbnails_edit_and_leaves_the_run_alone():
    net = Abpn(SMALL).eval()
    torch.nn.init.normal_(net.lrl.retouch_branch.painter.feature.weight, std=0.02)
    thumbnail = torch.rand(1, 3, 64, 64)
    edit = net.lrl(thumbnail).retouched - thumbnail
    boosted = session.finished(net, 1.5).lrl(thumbnail).retouched - thumbnail
    assert torch.allclose(boosted, 1.5 * edit, atol=1e-6)
    assert torch.equal(net.lrl(thumbnail).retouched - thumbnail, edit)
    with pytest.raises(UsageError, match="paints whole thumbnails"):
        session.finished(Abpn(AbpnConfig(width=1 / 32)), 1.5)


def test_the_paper_preset_trains_two_levels_and_the_shared_one_several():
    assert session.levels_of(PRESETS["paper"]) == (2,)
    assert len(session.levels_of(PRESETS["shipped"])) > 1


def test_scores_of_an_untouched_photo_are_zero(source):
    net = Abpn(SMALL).eval()  # starts from the identity
    rng = np.random.default_rng(0)
    batch = stack([source.sample(Shape(1, (256, 256), 256), rng) for _ in range(2)], 1)
    scores = score(net, [batch])
    assert scores.in_gain == pytest.approx(0, abs=1e-4)
    assert scores.out_gain == pytest.approx(0, abs=1e-4)


def test_the_gate_follows_the_configuration():
    net = Abpn(AbpnConfig(width=1 / 32, gate_low=0.4, gate_high=0.6))
    gate = gate_of(net, torch.tensor([[[[0.4, 0.6]]]]), (1, 2))
    assert gate.flatten().tolist() == [0, 1]


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def test_pairs_are_matched_by_name_and_unfit_ones_reported(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    image = cloth_photo(1, (300, 400))
    write(before / "day" / "a.png", image)
    write(after / "day" / "a.jpg", image)
    write(before / "lonely.png", image)
    write(before / "sized.png", image)
    write(after / "sized.png", image[:200])
    write(before / "moved.png", image)
    write(after / "moved.png", np.roll(image, 9, axis=1))
    write(before / "twice.png", image)
    write(before / "twice.jpg", image)
    write(after / "twice.png", image)
    (before / "notes.txt").write_text("not a photo")
    matched = match_pairs(before, after)
    assert [pair.original.name for pair in matched.pairs] == ["a.png", "twice.jpg"]
    problems = "\n".join(matched.problems)
    assert "lonely: no partner" in problems
    assert "sized: sizes differ, 400x300 and 400x200" in problems
    assert "moved: misaligned by" in problems
    assert "twice.png: twice.jpg has the same name" in problems
    assert len(matched.problems) == 4


def test_a_retouched_photo_does_not_count_as_shifted():
    image = cloth_photo(2, (300, 400)).astype(np.float32) / 255
    assert shift_between(image, cv2.GaussianBlur(image, (0, 0), 1.5)) < 0.2
    assert shift_between(image, np.roll(image, 6, 0)) > 5


def test_some_pairs_are_kept_for_validation(tmp_path):
    pairs = [(tmp_path / f"{i}.png", tmp_path / f"r{i}.png") for i in range(30)]
    pairs = [Pair(*pair) for pair in pairs]
    train, kept = split(pairs)
    assert len(kept) == 3
    assert not set(train) & set(kept)
    assert split(pairs[:1]) == (pairs[:1], pairs[:1])


def test_studio_pairs_cut_the_same_place_of_both_photos(tmp_path):
    image = cloth_photo(3, (600, 640))
    marked = image.copy()
    marked[100:500, 100:500] = np.clip(marked[100:500, 100:500].astype(int) + 20, 0, 255)
    write(tmp_path / "b" / "x.png", image)
    write(tmp_path / "a" / "x.png", marked)
    matched = match_pairs(tmp_path / "b", tmp_path / "a")
    batch = StudioPairs(matched.pairs, (1,), 2, 0).batch(0)
    difference = (batch.crop_target - batch.crop).amax(1)
    assert difference.max() > 15 / 255
    assert difference.min() > -6 / 255  # cubic resizing overshoots at the step


def test_a_list_that_names_a_missing_photo_is_refused(tmp_path):
    (tmp_path / "list.txt").write_text("gone.png\n")
    with pytest.raises(UsageError, match=r"names .*gone\.png, which is not there"):
        read_list(tmp_path, tmp_path / "list.txt")


def abpn(*words, cwd):
    command = [sys.executable, "-m", "abpn_cli", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_trains_resumes_and_writes_weights_with_a_card(photos, tmp_path):
    words = (
        "train", "--photos", photos, "--masks", photos / "masks.npz", "--out", tmp_path / "run",
        "--width", 0.03125, "--steps", 2, "--batch", 2, "--every", 1, "--workers", 0,
        "--adversarial-weight", 0, "--task", "mystyle", "--licence", "ours", "--device", "cpu",
    )  # fmt: skip
    done = abpn(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "perceptual loss off: no --vgg16 given" in done.stderr
    assert done.stdout == ""
    file = tmp_path / "run" / "mystyle.safetensors"
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["licence"] == "ours"
    assert card["command"].startswith("abpn train --photos")
    assert card["steps"] == 2
    assert "in_gain" in card["metrics"]
    before = file.read_bytes()
    again = abpn(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert file.read_bytes() == before
    regated = abpn(*words, "--gate", 0.4, 0.6, cwd=tmp_path)
    assert regated.returncode == 0, regated.stderr
    assert json.loads(file.with_suffix(".json").read_text())["config"]["gate_low"] == 0.4
    other = abpn(*words, "--rate", 0.1, cwd=tmp_path)
    assert other.returncode == 2
    assert "was made with other settings" in other.stderr


def test_the_command_wants_one_kind_of_data(tmp_path):
    done = abpn("train", "--out", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "Give either --pairs BEFORE AFTER or --photos DIR." in done.stderr


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        ("--steps 0", UsageError, "--steps 0: is out of range"),
        ("--steps -1", UsageError, "--steps -1: is out of range"),
        ("--batch 0", UsageError, "--batch 0: is out of range"),
        ("--rate nan", UsageError, "--rate nan: is out of range"),
        ("--seed -1", UsageError, "--seed -1: is out of range"),
        ("--workers -1", UsageError, "--workers -1: is out of range"),
        ("--tv-weight -1", UsageError, "--tv-weight -1: is out of range"),
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
def test_two_processes_of_torchrun_train_one_network(photos, tmp_path):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
        "-m", "abpn_cli", "train", "--photos", str(photos), "--out", "run", "--width", "0.03125",
        "--steps", "2", "--batch", "1", "--workers", "0", "--adversarial-weight", "0",
        "--device", "cpu",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("weights: run") == 1
    assert weights.check(tmp_path / "run" / "cloth.safetensors") == "ok"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoint.safetensors", "cloth.json", "cloth.safetensors",
    ]  # fmt: skip
