"""Training: pairs, schedule, exact resume, and the command on a few small photos."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from garments import cloth_photo

from abpn_cli.codecs import decode
from abpn_cli.errors import UsageError
from abpn_cli.nets.abpn import Abpn, AbpnConfig
from abpn_cli.training import data, session
from abpn_cli.training.cloth_pairs import ClothPairs, Recipe
from abpn_cli.training.creases import ridged_noise
from abpn_cli.training.data import read_list
from abpn_cli.training.gallery import Gallery
from abpn_cli.training.losses import LossWeights
from abpn_cli.training.made_pairs import Labels, Scene
from abpn_cli.training.pairs import (
    Shape,
    draw_corner,
    mirrored,
    stack,
)
from abpn_cli.training.session import PRESETS
from abpn_cli.training.train import Settings, Trainer, learning_rate
from abpn_cli.training.validate import gate_of, score

CPU = torch.device("cpu")
SMALL = replace(PRESETS["shipped"], width=1 / 32)
QUIET = LossWeights(mse=100, perceptual=0, adversarial=0)


@pytest.fixture
def source(photos):
    cloth = [photos / f"c{i}.png" for i in range(3)]
    labels = Labels(photos / "masks.npz", photos)
    return ClothPairs(cloth, [photos / "c3.png"], labels, [ridged_noise], Recipe(), 2, 7)


def trainer(source, **changes):
    settings = Settings(steps=4, every=2, workers=0, weights=QUIET)
    return Trainer(SMALL, replace(settings, **changes), source, CPU)


def silent(*_):
    return None


def test_the_rate_drops_tenfold_at_the_share_asked_for():
    settings = Settings(steps=200, rate=5e-4, drop_at=0.5)
    assert learning_rate(99, settings) == 5e-4
    assert learning_rate(100, settings) == pytest.approx(5e-5)


def test_the_rate_rises_over_the_warm_up():
    settings = Settings(steps=200, rate=1e-3, warm_up=4, drop_at=1)
    found = [learning_rate(step, settings) for step in range(6)]
    assert found == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3, 1e-3])


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
    recipe = Recipe(nothing=1, surfaces=0)
    made = ClothPairs(
        [photos / "c0.png"], [photos / "c3.png"], Labels(None, photos), [ridged_noise], recipe, 2, 0
    )
    batch = made.batch(0)
    assert torch.equal(batch.thumbnail, batch.thumbnail_target)
    assert torch.equal(batch.crop, batch.crop_target)


def test_creases_are_painted_only_where_the_target_is_smooth(photos):
    calm, rough = np.full((200, 260, 3), 120, np.uint8), cloth_photo(5)
    made = ClothPairs([], [], Labels(None, photos), [ridged_noise], Recipe(on_smooth=1), 1, 0)
    cloth = np.ones((200, 260), np.float32)
    rng = np.random.default_rng(0)
    edits = made.edits(Scene(calm.astype(np.float32) / 255, cloth), "painted", rng)
    assert edits.fit
    assert np.abs(edits.before - 1).max() > 0.01
    assert np.abs(edits.after - 1).max() < 1e-4
    rough = np.repeat(np.clip(rough[..., :1] * 1.0, 0, 255) / 255, 3, 2).astype(np.float32)
    rough[::8] = 0.1  # strong stripes stay, whatever is smoothed
    edits = made.edits(Scene(rough, cloth), "painted", rng)
    assert not edits.fit
    assert np.array_equal(edits.before, np.ones_like(edits.before))


def test_a_print_is_no_part_of_the_edit(photos):
    recipe = Recipe(nothing=0, surfaces=0, smooth=1, prints=1)
    plain, printed = (
        ClothPairs([photos / "c0.png"], [], Labels(None, photos), [ridged_noise], made, 1, 0)
        for made in (replace(recipe, prints=0), recipe)
    )
    batch = printed.batch(0)
    assert torch.equal(batch.thumbnail, batch.thumbnail_target)
    assert torch.equal(batch.crop, batch.crop_target)
    assert (batch.thumbnail - plain.batch(0).thumbnail).abs().max() > 0.02


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
    source.recipe = Recipe(nothing=0, surfaces=0, real=0, smooth=0)  # something to learn in each
    run = trainer(source, rate=2e-3)
    batch = source.batch(0)
    run.net.train()
    losses = [run._step(batch) for _ in range(12)]
    assert losses[-1]["dice"] < losses[0]["dice"]
    assert losses[-1]["mse"] < losses[0]["mse"]


@pytest.mark.slow
def test_a_run_killed_halfway_and_resumed_ends_with_the_same_weights(source, tmp_path):
    whole = trainer(source, average=0.9, warm_up=2)
    whole.run(silent, lambda _: {}, tmp_path / "whole.safetensors")

    def kill_at_three(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    half = trainer(source, average=0.9, warm_up=2)
    with pytest.raises(KeyboardInterrupt):
        half.run(kill_at_three, lambda _: {}, tmp_path / "half.safetensors")
    rest = trainer(source, average=0.9, warm_up=2)
    rest.resume(tmp_path / "half.safetensors")
    assert rest.step == 2
    rest.run(silent, lambda _: {}, tmp_path / "rest.safetensors")
    for name, tensor in whole.net.state_dict().items():
        assert torch.equal(tensor, rest.net.state_dict()[name]), name
    for name, tensor in whole.average.state_dict().items():
        assert torch.equal(tensor, rest.average.state_dict()[name]), name


def test_the_mean_of_the_weights_is_what_is_judged(source, tmp_path):
    run, judged = trainer(source, average=0.9), []
    run.run(silent, lambda net: judged.append(net) or {}, tmp_path / "x.safetensors")
    assert all(net is run.average and not net.training for net in judged)
    wobble, mean = (net.lrl.encoder.steps[0][0].weight.detach() for net in (run.net, run.average))
    assert not torch.equal(wobble, mean)
    assert (wobble - mean).abs().max() < 0.01


@pytest.mark.parametrize("begun", [False, True], ids=["forgets", "keeps"])
def test_the_mean_of_the_weights_is_the_decayed_sum_of_its_steps(source, tmp_path, begun):
    run, seen = trainer(source, average=0.5, average_start=begun, steps=3), []

    def note(progress):
        seen.append(run.net.j.detach().clone())

    start = run.net.j.detach().clone()
    run.run(note, lambda _: {}, tmp_path / "x.safetensors")
    mean = start
    for step, j in enumerate(seen, 1):
        decay = 0.5 if begun else min(0.5, step / (step + 10))
        mean = decay * mean + (1 - decay) * j
    # `note` is called after the mean took the step in
    assert torch.allclose(run.average.j, mean, atol=1e-7)


def test_the_weights_that_validation_liked_best_are_kept_over_a_restart(source, tmp_path):
    liked = {2: 0.5, 4: 0.9, 6: 0.1, 8: 0.7}
    seen = {}

    def train_until(last, run, path):
        def judge(net):
            seen[run.step] = {name: t.clone() for name, t in net.state_dict().items()}
            return {"gain": liked[run.step]}

        def stop(progress):
            if progress.step > last:
                raise KeyboardInterrupt

        run.run(stop, judge, path)

    checkpoint = tmp_path / "x.safetensors"
    first = trainer(source, steps=8, keep_best=True)
    with pytest.raises(KeyboardInterrupt):
        train_until(6, first, checkpoint)
    again = trainer(source, steps=8, keep_best=True)
    again.resume(checkpoint)
    assert (again.step, again.kept.step) == (6, 4)
    train_until(8, again, checkpoint)
    for name, tensor in again.outcome().state_dict().items():
        assert torch.equal(tensor, seen[4][name]), name
    assert not torch.equal(again.net.j, again.outcome().j)
    last = trainer(source, steps=8)
    train_until(8, last, tmp_path / "y.safetensors")
    assert torch.equal(last.outcome().j, last.net.j)


def test_layers_that_paint_have_their_share_of_the_rate(source, tmp_path):
    run = trainer(source, rate=1e-3, painter_share=0.1)
    names = {id(p): name for name, p in run.net.named_parameters()}
    shares = {names[id(p)]: g["share"] for g in run.adam.param_groups for p in g["params"]}
    assert {name for name, share in shares.items() if share == 0.1} == {
        name
        for name in shares
        if name.startswith(("lrl.retouch_branch.lams.5.", "refining.")) or name == "j"
    }
    rates = []
    run.run(
        lambda _: rates.append([group["lr"] for group in run.adam.param_groups]),
        lambda _: {},
        tmp_path / "x.safetensors",
    )
    assert rates[0] == pytest.approx([1e-3, 1e-4])


def test_a_run_with_a_discriminator_saves_and_resumes_it(source, tmp_path):
    lambdas = LossWeights(perceptual=0)
    run = trainer(source, weights=lambdas, steps=1)
    run.run(silent, lambda _: {}, tmp_path / "gan.safetensors")
    again = trainer(source, weights=lambdas, steps=1)
    again.resume(tmp_path / "gan.safetensors")
    for name, tensor in run.critic.state_dict().items():
        assert torch.equal(tensor, again.critic.state_dict()[name]), name


def test_balanced_losses_reach_the_step(source):
    plain, evened = (
        trainer(source, weights=replace(QUIET, balance=balance))._step(source.batch(0))["mse"]
        for balance in (0.0, 0.5)
    )
    assert 0 < evened < plain


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
    fewer = ClothPairs(
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


def test_the_gain_over_whole_frames_counts_what_is_spoilt_where_nothing_was_due(source):
    net = Abpn(SMALL).eval()
    rng = np.random.default_rng(0)
    pair = stack([source.sample(Shape(1, (256, 256), 256), rng)], 1)
    idle = pair._replace(crop_target=pair.crop, thumbnail_target=pair.thumbnail)
    assert score(net, [pair, idle]).gain == pytest.approx(0, abs=1e-4)
    net.config = replace(net.config, gate_low=0.001, gate_high=0.002)
    with torch.no_grad():
        net.lrl.retouch_branch.painter.feature.bias.fill_(0.2)
    assert score(net, [pair, idle]).gain < score(net, [pair]).gain < 0


def test_the_gate_follows_the_configuration():
    net = Abpn(AbpnConfig(width=1 / 32, gate_low=0.4, gate_high=0.6))
    gate = gate_of(net, torch.tensor([[[[0.4, 0.6]]]]), (1, 2))
    assert gate.flatten().tolist() == [0, 1]


def test_a_list_that_names_a_missing_photo_is_refused(tmp_path):
    (tmp_path / "list.txt").write_text("gone.png\n")
    with pytest.raises(UsageError, match=r"names .*gone\.png, which is not there"):
        read_list(tmp_path, tmp_path / "list.txt")
