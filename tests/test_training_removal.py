"""Learning to fill holes: made holes, losses, a run that learns and goes on where it stopped."""

import cv2
import numpy as np
import pytest
import torch

from abpn_cli.errors import UsageError
from abpn_cli.nets.hifill import Filled, GatedConv, Hifill, HifillConfig
from abpn_cli.training import holes
from abpn_cli.training.removal import (
    Holed,
    Holes,
    RemovalTrainer,
    Settings,
    critic_loss,
    generator_losses,
    initialise,
    judge,
    l1_losses,
    pasted_in,
)

CONFIG = HifillConfig(width=1 / 16, side=128)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Two small photos: soft colours, which are easy to go on with."""
    folder = tmp_path_factory.mktemp("soft")
    for index in range(2):
        small = np.random.default_rng(index).integers(40, 216, (3, 3, 3), np.uint8)
        photo = cv2.resize(small, (160, 150), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{index}.png"), photo)
    return Holes(sorted(folder.iterdir()), folder, CONFIG.side)


@pytest.mark.parametrize("make", [holes.free_form, holes.silhouette, holes.hole])
def test_holes_are_of_one_colour_and_never_too_large(make):
    made = [make(128, np.random.default_rng(seed)) for seed in range(40)]
    shares = np.array([hole.mean() for hole in made])
    assert all(hole.dtype == bool and hole.shape == (128, 128) for hole in made)
    assert len(set(np.round(shares, 4))) > 30, "no two alike"
    if make is holes.hole:
        assert shares.max() <= holes.MOST_SHARE and shares.min() >= holes.LEAST_SHARE


def test_the_same_seed_draws_the_same(source):
    one, other = (source.batch(2, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(one.pictures, other.pictures) and torch.equal(one.masks, other.masks)
    assert one.pictures.abs().max() <= 1 and set(one.masks.unique().tolist()) == {0.0, 1.0}


def test_l1_is_counted_by_the_pixels_of_each_part():
    picture, mask = torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., :2, :2] = 1
    made = torch.where(mask.bool(), 0.5, 0.25).expand(1, 3, 4, 4)
    inside, outside = l1_losses(made, Holed(picture, mask))
    assert (float(inside), float(outside)) == (0.5, 0.25)
    settings = Settings(1, hole=2.0, context=4.0, coarse=0.5)
    losses = generator_losses(Filled(made, made, made), Holed(picture, mask), settings)
    assert {name: float(loss) for name, loss in losses.items()} == {
        "coarse_hole": 0.5, "coarse_context": 0.5, "refined_hole": 1.0, "refined_context": 1.0
    }  # fmt: skip


def test_outside_the_hole_the_critic_sees_the_photo():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 0, 0] = 1
    seen = Holed(torch.full((1, 3, 4, 4), 0.5), mask)
    pasted = pasted_in(torch.full((1, 3, 4, 4), -1.0), seen)
    assert float(pasted[0, 0, 0, 0]) == -1 and float(pasted.sum()) == 45 * 0.5 - 3


def test_the_critics_penalty_is_nothing_at_slope_one():
    class Slope(torch.nn.Module):
        def __init__(self, steepness):
            super().__init__()
            self.steepness = steepness

        def forward(self, picture):
            return self.steepness * picture.flatten(1)[:, 0]

    real, made = torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    rng = np.random.default_rng(0)
    assert float(critic_loss(Slope(1.0), real, made, 10, rng)) == pytest.approx(-1)
    assert float(critic_loss(Slope(3.0), real, made, 10, rng)) == pytest.approx(-3 + 10 * 4)


def test_a_run_learns_to_fill_holes(source, tmp_path):
    settings = Settings(14, rate=4e-3, batch=1, every=14, adversarial=0)
    trainer = RemovalTrainer(CONFIG, settings, source, torch.device("cpu"))
    before, told, steps = judge(trainer.net, source, 1, 2), [], []
    trainer.run(
        lambda step, losses, seen: steps.append(losses["refined_hole"]),
        lambda step, net: told.append(judge(net, source, 1, 2)),
        tmp_path / "checkpoint.safetensors",
    )
    assert len(steps) == 14 and np.isfinite(steps).all()
    assert told[0].l1 < 0.9 * before.l1
    assert told[0].telea == before.telea < before.l1


def test_a_network_starts_with_a_picture_at_its_end_and_a_half_in_every_gate(source):
    torch.manual_seed(0)
    net = Hifill(HifillConfig(0.25, 128))
    initialise(net)
    seen = source.batch(1, np.random.default_rng(0))
    with torch.no_grad():
        filled = net(*seen)
    assert 0.03 < float(filled.coarse.std()) < 1, "the published draw leaves 1e-9 of it, and less"
    assert 0.03 < float(filled.refined.std()) < 1
    gates = [module.gate for module in net.modules() if isinstance(module, GatedConv)]
    assert max(gate.weight.abs().max().item() for gate in gates) <= 0.1
    assert not any(gate.bias.any().item() for gate in gates)


def test_half_precision_fills_nearly_the_same_and_hands_on_float32(source):
    filled = []
    for precision in ("float32", "bf16"):
        settings = Settings(1, batch=1, precision=precision)
        trainer = RemovalTrainer(CONFIG, settings, source, torch.device("cpu"))
        seen = source.batch(1, np.random.default_rng(0))
        with torch.no_grad():
            filled.append(trainer._filled(seen))
    assert all(tensor.dtype == torch.float32 for tensor in filled[1])
    for plain, half in (
        (filled[0].coarse, filled[1].coarse),
        (filled[0].refined, filled[1].refined),
    ):
        assert 0 < float((plain - half).abs().max()) < 0.05


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(source, tmp_path):
    def run(steps, path):
        settings = Settings(2, batch=1, every=1, critic_steps=1)
        trainer = RemovalTrainer(CONFIG, settings, source, torch.device("cpu"))
        if path.exists():
            trainer.resume(path)

        def report(step, losses, seen):
            assert {"critic", "adversarial", "refined_hole"} <= set(losses)

        def judged(step, net):
            if step == steps:
                raise KeyboardInterrupt

        try:
            trainer.run(report, judged, path)
        except KeyboardInterrupt:
            trainer.save(path)  # as a kill right behind it would have left it
        return trainer

    whole = run(0, tmp_path / "whole.safetensors")
    run(1, tmp_path / "cut.safetensors")
    resumed = run(0, tmp_path / "cut.safetensors")
    for name, tensor in whole.net.state_dict().items():
        assert torch.equal(tensor, resumed.net.state_dict()[name]), name
    for name, tensor in whole.critic.state_dict().items():
        assert torch.equal(tensor, resumed.critic.state_dict()[name]), name
    with pytest.raises(UsageError, match="other settings"):
        other = RemovalTrainer(CONFIG, Settings(3), source, torch.device("cpu"))
        other.resume(tmp_path / "cut.safetensors")
