"""CSRNet against the published network's own numbers, and its folding against the paper's GFM."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from abpn_cli.nets.csrnet import Csrnet, CsrnetConfig, apply_steps

GOLDEN = Path(__file__).parents[1].parent / "shared" / "golden" / "csrnet"
TOLERANCE = 1e-5
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden tensors here")


def seeded() -> Csrnet:
    """The network with every tensor made from its own name, as the golden numbers were."""
    net = Csrnet()
    state = {}
    for name, tensor in net.state_dict().items():
        rng = np.random.RandomState(zlib.crc32(f"csrnet/{name}".encode()) & 0xFFFFFFFF)
        values = rng.standard_normal(tuple(tensor.shape))
        fan_in = np.prod(tensor.shape[1:])
        values = values / np.sqrt(fan_in) if tensor.dim() > 1 else 0.05 * values
        state[name] = torch.from_numpy(values.astype(np.float32))
    net.load_state_dict(state)
    return net.eval()


def test_it_has_as_many_parameters_as_published():
    net = Csrnet()
    assert sum(p.numel() for p in net.parameters()) == 36_489
    base = sum(p.numel() for n, p in net.named_parameters() if n.startswith("conv"))
    assert base == 4_611


@needs_golden
def test_the_seeded_weights_are_those_of_the_golden_numbers():
    told = json.loads((GOLDEN / "seeded_weights.json").read_text())
    state = seeded().state_dict()
    assert set(told) == set(state)
    for name, row in told.items():
        assert list(state[name].shape) == row["shape"]
        assert float(state[name].double().abs().sum()) == pytest.approx(row["abs_sum"], rel=1e-4)


@needs_golden
@pytest.mark.parametrize("case", ["noise_96x128", "scene_101x77"])
def test_it_does_what_the_published_network_does(case):
    with np.load(GOLDEN / "csrnet.npz") as golden:
        image = torch.from_numpy(golden[f"in/{case}"])
        condition = golden[f"seeded/{case}/cond"]
        out = golden[f"seeded/{case}/out"]
    net = seeded()
    with torch.inference_mode():
        found = net.condition(image).numpy()
        result = net(image).numpy()
    assert np.abs(found.reshape(condition.shape) - condition).max() < TOLERANCE
    assert result.shape == out.shape
    assert np.abs(result - out).max() < TOLERANCE


def test_three_folded_matrices_are_convolutions_scaled_and_shifted():
    net = seeded()
    image = torch.rand(2, 3, 17, 23, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        c = net.condition(image)
        h = image
        for conv, scale, shift, last in (
            (net.conv1, net.cond_scale1, net.cond_shift1, False),
            (net.conv2, net.cond_scale2, net.cond_shift2, False),
            (net.conv3, net.cond_scale3, net.cond_shift3, True),
        ):
            h = conv(h)
            h = h * scale(c)[:, :, None, None] + shift(c)[:, :, None, None] + h
            h = h if last else F.relu(h)
        assert torch.allclose(net(image), h, atol=1e-5)


def test_a_pixel_is_mapped_alike_wherever_it_stands():
    net = seeded()
    colours = torch.rand(3, 40, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        steps = net.steps(torch.linspace(0, 1, 32))
        whole = apply_steps(steps, colours)
        parts = torch.cat([apply_steps(steps, part) for part in colours.split(7, dim=1)], dim=1)
    assert torch.allclose(whole, parts, atol=1e-6)


def test_many_photos_at_once_become_what_each_becomes():
    net = seeded()
    images = torch.rand(3, 3, 9, 11, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        alone = torch.cat([net(image[None]) for image in images])
        assert torch.allclose(net(images), alone, atol=1e-6)


def test_a_condition_from_too_small_a_copy_is_refused():
    with pytest.raises(ValueError, match="condition_long_side 4"):
        CsrnetConfig(4)
