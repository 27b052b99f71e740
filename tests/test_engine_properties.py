"""Exactness is not for sale: whatever the size, mask, strength and tiles, fast is what slow is."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import photo_of, save, untrained
from test_engine import joined, sketched, to_tensor, untiled

from abpn_cli.engine import Retoucher, network
from abpn_cli.engine.blocks import Sides
from abpn_cli.engine.finish import finish
from abpn_cli.engine.native import Kernel, kernels
from abpn_cli.engine.network import PRECISIONS
from abpn_cli.engine.painting import Painter
from abpn_cli.engine.refining import TorchRefiner, in_blocks
from abpn_cli.nets.abpn import choose_levels
from abpn_cli.nets.bpl import RefiningModule
from abpn_cli.photo import Photo

CPU = torch.device("cpu")
LARGEST, LARGEST_16_BIT, LEAST_PSNR = 1 / 255, 16 / 65535, 70.0  # what every fast path keeps to
EXACT = 5e-6  # a third of a step of 16 bits: float32 sums in another order
PLENTY = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def small_steps(tmp_path_factory):
    """A network whose refining module corrects a little, as those that learnt do, and its file.

    In bf16 its results are up to 10 of 65535 from float32, twice as far as those of the shipped
    weights (docs/experiments.md): what is computed coarsely is the correction alone.
    """
    net = untrained()
    with torch.no_grad():
        net.refine(0).phi2.weight.mul_(0.05)
    return net, save(net, tmp_path_factory.mktemp("weights") / "small.safetensors")


@pytest.fixture(
    scope="module",
    params=[*kernels(), "float32", "bf16"],
    ids=lambda way: getattr(way, "name", way),
)
def both(request, small_steps):
    """The network, and an engine with it: by each kernel that runs here, and by torch."""
    net, path = small_steps
    by_kernel = isinstance(request.param, Kernel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "kernels", lambda: [request.param] if by_kernel else [])
        precision = "float32" if by_kernel else request.param
        return net, Retoucher(path, device="cpu", precision=precision)


@st.composite
def masks(draw, size):
    """None, or a plane with a soft-edged rectangle."""
    if draw(st.booleans()):
        return None
    mask = np.zeros(size, np.float32)
    top, left = (draw(st.integers(0, n - 1)) for n in size)
    mask[top : top + draw(st.integers(1, size[0])), left : left + draw(st.integers(1, size[1]))] = 1
    return cv2.blur(mask, (5, 5)) if draw(st.booleans()) else mask


class Task(NamedTuple):
    """A photo, and how it is retouched.

    cut: into which blocks and tiles, and how many levels less are held whole.
    """

    photo: Photo
    strength: float
    only: np.ndarray | None
    protect: np.ndarray | None
    cut: tuple[Sides, int]


@st.composite
def sizes(draw):
    """Of one or two levels; or long and narrow, so that there are up to four."""
    if draw(st.booleans()):
        return draw(st.integers(16, 330)), draw(st.integers(16, 530))
    sides = draw(st.integers(16, 90)), draw(st.integers(1024, 4200))
    return sides if draw(st.booleans()) else sides[::-1]


@st.composite
def tasks(draw):
    size = draw(sizes())
    return Task(
        photo_of(*size, draw(st.sampled_from([np.uint8, np.uint16]))),
        draw(st.sampled_from([0.0, 0.3, 1.0, 1.5])),
        draw(masks(size)),
        draw(masks(size)),
        (
            Sides(2 * draw(st.integers(10, 400)), 2 * draw(st.integers(20, 300))),
            draw(st.integers(0, choose_levels(size) - 1)),
        ),
    )


@PLENTY
@given(task=tasks())
def test_any_size_mask_strength_and_tile_size_keeps_to_the_bars(both, task):
    net, retoucher = both
    factor = task.strength * (1 if task.only is None else task.only)
    factor = factor * (1 if task.protect is None else 1 - task.protect)
    expected, gate = untiled(net, task.photo, factor)
    spent = replace(task.photo, pixels=task.photo.pixels.copy())
    sides, let_go = task.cut
    sketch = sketched(retoucher, spent, let_go, task.strength, task.only, task.protect)
    apart = np.abs(joined(retoucher, sketch, sides) - expected)
    assert apart.max() <= (EXACT if retoucher.precision == "float32" else LARGEST_16_BIT)
    # Now over the very pixels that it is made of.
    told = finish(retoucher._network, retoucher._crew, sketch, spent.pixels, sides)
    shut = np.broadcast_to(gate * factor == 0, gate.shape)
    assert np.array_equal(spent.pixels[shut], task.photo.pixels[shut])
    most = np.iinfo(spent.pixels.dtype).max
    assert np.abs(spent.pixels - expected * most).max() <= 0.5 + apart.max() * most + 0.01
    assert told.changed == (spent.pixels != task.photo.pixels).any(axis=2).mean()


@pytest.mark.weights
@pytest.mark.parametrize("task", ["cloth", "face"])
def test_bf16_of_the_weights_that_ship_keeps_to_the_bars(task):
    from abpn_cli import weights

    path = weights.find(task)
    net = weights.load(path, CPU).net
    photo = photo_of(517, 1031, np.uint16)
    half = Retoucher(path, device="cpu", precision="bf16")
    with torch.inference_mode():
        expected, _ = untiled(net, photo)
    apart = np.concatenate(
        [np.abs(image - expected[tile.window]).ravel() for tile, image in half.unrounded(photo)]
    )
    assert apart.max() <= min(LARGEST, LARGEST_16_BIT)
    mean = float(np.square(apart, dtype=np.float64).mean())
    assert mean == 0 or -10 * math.log10(mean) >= LEAST_PSNR


def test_the_mask_does_not_hang_on_the_precision(small_steps):
    photo = photo_of(300, 400)
    gates = [Retoucher(small_steps[1], "cpu", each).gate(photo) for each in ("float32", "bf16")]
    assert np.array_equal(*gates)
    assert 0 < (gates[0] > 0).mean() < 1


@torch.inference_mode()
def test_a_convolution_in_blocks_makes_the_same_pixels():
    torch.manual_seed(1)
    image, weight = torch.randn(1, 5, 8, 6), torch.randn(3, 5, 3, 3)
    expected = torch.nn.functional.conv2d(image, weight, padding=1)
    blocks = torch.nn.functional.conv2d(image, in_blocks(weight), padding=1, stride=2)
    pixels = blocks.reshape(2, 2, 3, 4, 3).permute(2, 3, 0, 4, 1).reshape(1, 3, 8, 6)
    assert torch.allclose(pixels, expected, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(2, 2), (4, 30), (36, 18)])
def test_the_refiner_is_the_papers_module(size):
    torch.manual_seed(2)
    module = RefiningModule()
    layer, high_freq = np.random.default_rng(0).normal(0, 20, (2, *size, 3)).astype(np.float32)
    expected = module(to_tensor(layer), to_tensor(high_freq))[0].permute(1, 2, 0).numpy()
    refined = TorchRefiner(module, CPU, PRECISIONS["float32"]).refine(layer, high_freq)
    assert np.abs(refined).max() == 10  # the clamp is reached
    assert np.abs(refined - expected).max() < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("up_mode", ["bilinear", "nearest"])
def test_the_painter_is_the_papers_layer(residual, up_mode):
    from abpn_cli.nets.lrl import LocalRetouchingLayer

    torch.manual_seed(3)
    lrl = LocalRetouchingLayer(1 / 16, up_mode, residual).eval()
    for module in lrl.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as if it had learnt
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.5, 2)
            module.bias.normal_(0, 0.1)
    thumbnail = torch.rand(1, 3, 128, 64)
    expected, painted = lrl(thumbnail), Painter(lrl, CPU).paint(thumbnail)
    assert (painted.mask - expected.mask).abs().max() < 1e-5
    assert (painted.retouched - expected.retouched).abs().max() < 1e-5
    assert expected.mask.std() > 1e-4 and expected.retouched.std() > 1e-4
