"""HiFill as the public code has it: sizes, padding, attention, and its very numbers."""

import json
from dataclasses import asdict
from zlib import crc32

import numpy as np
import pytest
import torch
from photos import SHARED

from abpn_cli import weights
from abpn_cli.nets.hifill import (
    Critic,
    Hifill,
    HifillConfig,
    attention_of,
    doubled,
    pasted,
    same_padding,
)

GOLDEN = SHARED / "golden" / "hifill"
TINY = HifillConfig(width=1 / 16, side=128)


def parameters(net):
    return sum(p.numel() for p in net.parameters())


def seeded(net, names):
    """The seeded-weights rule of the golden tensors, prefix hifill/, gain 1.4."""
    drawn = {}
    for (name, told), (key, tensor) in zip(names.items(), net.state_dict().items(), strict=True):
        assert list(tensor.shape) == told["shape"], name
        z = np.random.RandomState(crc32(f"hifill/{name}".encode())).standard_normal(tensor.shape)
        scale = 1.4 / np.prod(tensor.shape[1:]) ** 0.5 if tensor.ndim > 1 else 0.05
        drawn[key] = torch.from_numpy((z * scale).astype(np.float32))
        assert abs(float(drawn[key].double().sum()) - told["sum"]) < 1e-4 * told["abs_sum"]
    net.load_state_dict(drawn)
    return net.eval()


def hwc(tensor):
    return tensor[0].permute(1, 2, 0).numpy()


def test_it_has_the_parameters_that_are_published():
    net = Hifill(HifillConfig())
    assert parameters(net) == 2_722_791
    assert parameters(net.coarse) == 811_489
    assert parameters(Critic(HifillConfig())) == 5_961_601


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden tensors are not here")
def test_it_returns_what_the_public_code_does():
    names = json.loads((GOLDEN / "generator_seeded_weights.json").read_text())
    net = seeded(Hifill(HifillConfig()), names)
    golden = np.load(GOLDEN / "generator_seeded.npz")
    picture = torch.from_numpy(golden["image_u8"] / np.float32(127.5) - 1).permute(2, 0, 1)[None]
    mask = torch.from_numpy(golden["mask"].astype(np.float32))[None, None]
    with torch.inference_mode():
        filled = net(picture, mask)
    for name in ("coarse", "refined"):
        made = hwc(getattr(filled, name))
        assert abs(made[::4, ::4] - golden[f"{name}_s4"]).max() < 2e-5
        assert abs(made[140:204, 190:254] - golden[f"{name}_crop"]).max() < 2e-5
    attention = filled.attention[0].numpy()
    assert abs(attention[golden["att_rows_index"]] - golden["att_rows"]).max() < 2e-5
    assert abs(attention.sum(1) - golden["att_rowsum"]).max() < 2e-5
    assert (attention.argmax(1) == golden["att_argmax"]).mean() > 0.99


def test_padding_puts_the_smaller_half_at_the_top_and_left():
    ones = torch.ones(1, 1, 8, 8)
    assert same_padding(ones, 3, 2).shape == (1, 1, 9, 9)
    assert same_padding(ones, 3, 2)[0, 0, 0, 0] == 1  # 0 before, 1 behind
    five = same_padding(ones, 5, 2)
    assert five.shape == (1, 1, 11, 11)
    assert five[0, 0, 0].sum() == 0 and five[0, 0, 1, 1:9].sum() == 8  # 1 before, 2 behind
    assert same_padding(ones, 3, 1, rate=4).shape == (1, 1, 16, 16)


def test_doubling_keeps_every_value_and_puts_means_between():
    row = torch.tensor([[[[0.0, 2.0, 6.0]]]]).expand(1, 1, 3, 3)
    assert doubled(row)[0, 0, 0].tolist() == [0, 1, 2, 4, 6, 6]
    assert doubled(row.mT)[0, 0, :, 0].tolist() == [0, 1, 2, 4, 6, 6]


def test_keys_that_touch_the_hole_get_no_attention():
    torch.manual_seed(0)
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 50:60, 50:60] = 1
    attention = attention_of(torch.randn(1, 5, 16, 16), mask)
    grid = attention[0].unflatten(1, (8, 8))
    assert (grid[:, 2:5, 2:5] == 0).all()  # cell 3 of 16 px, and those around it
    assert (attention.sum(2) <= 1 + 1e-6).all()
    assert (grid[:, 0, 0] > 0).any()


def test_a_cell_that_is_like_another_pays_attention_to_it():
    torch.manual_seed(1)
    features = 0.03 * torch.randn(1, 16, 16, 16)  # faint: shares stay soft
    features[..., 8:14, 8:14] = features[..., 0:6, 0:6]  # cells 4..6 are as cells 0..2
    attention = attention_of(features, torch.zeros(1, 1, 128, 128))[0]
    middle_of_copy, middle_of_original = 5 * 8 + 5, 1 * 8 + 1
    row = attention[middle_of_copy].clone()
    row[middle_of_copy] = 0  # it is most like itself
    assert int(row.argmax()) == middle_of_original


@pytest.mark.parametrize(("side", "overlaps"), [(16, 9 / 4), (32, 4), (64, 4)])
def test_pasting_sums_what_overlaps(side, overlaps):
    alike = torch.eye(64)[None]
    features = torch.ones(1, 2, side, side)
    made = pasted(alike, features)
    assert made.shape == features.shape
    inner = made[..., 8:-8, 8:-8] if side > 16 else made[..., 4:-4, 4:-4]
    assert float(inner.mean()) == pytest.approx(overlaps, rel=1e-5)


def test_what_lies_under_the_hole_is_not_looked_at():
    torch.manual_seed(2)
    net = Hifill(TINY).eval()
    picture = torch.rand(1, 3, 128, 128) * 2 - 1
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 40:70, 60:90] = 1
    with torch.inference_mode():
        one = net(picture, mask)
        other = net(torch.where(mask.bool(), torch.rand_like(picture), picture), mask)
    assert torch.equal(one.refined, other.refined)
    assert one.refined.abs().max() <= 1


def test_every_size_of_whole_cells_will_do():
    net = Hifill(TINY).eval()
    with torch.inference_mode():
        filled = net(torch.zeros(2, 3, 96, 96), torch.zeros(2, 1, 96, 96))
    assert filled.coarse.shape == filled.refined.shape == (2, 3, 96, 96)
    assert filled.attention.shape == (2, 36, 36)


def test_the_critic_scores_each_picture():
    assert Critic(TINY)(torch.zeros(3, 3, 128, 128)).shape == (3,)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"side": 100}, {"side": 96}, {"order": "grb"}])
def test_sizes_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError):
        HifillConfig(**wrong)


def test_a_checkpoint_says_what_it_is(tmp_path):
    torch.manual_seed(3)
    net = Hifill(TINY)
    path = tmp_path / "fill.safetensors"
    weights.save(path, net, weights.Header("hifill", asdict(TINY), "remove"))
    loaded = weights.load(path, torch.device("cpu"))
    assert loaded.net.config == TINY
    for name, tensor in net.state_dict().items():
        assert torch.equal(loaded.net.state_dict()[name], tensor), name


def test_gates_of_the_coarse_network_are_shared_by_all_channels():
    net = Hifill(TINY)
    assert net.coarse.encoder[0].gate.weight.shape == (1, 4, 5, 5)
    assert net.refine.encoder[0][0].gate.weight.shape[2:] == (1, 1)
