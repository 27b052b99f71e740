"""The blend pyramid's algebra against golden tensors, OpenCV and its own inverses."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from abpn_cli.nets.abpn import PUBLISHED_J, PUBLISHED_K
from abpn_cli.nets.bpl import (
    BLEND_LIMIT,
    RefiningModule,
    blend,
    blend_polynomials,
    down,
    laplacian_pyramid,
    pad_to_multiple,
    reflect_index,
    unblend,
    up,
    upsample,
)

GOLDEN = np.load(Path(__file__).parent / "data" / "blend_algebra.npz")
TOLERANCE = 1e-6


def golden(name):
    return torch.from_numpy(GOLDEN[name].copy())


def as_image(name):
    return golden(name).permute(2, 0, 1)[None]


def published(style):
    return torch.tensor(PUBLISHED_J[style]).double(), torch.tensor(PUBLISHED_K).double()


@pytest.mark.parametrize("style", ["cloth", "face"])
def test_blend_with_the_published_coefficients_equals_the_golden_table(style):
    x, b = golden("x"), golden("b")
    j, k = (torch.tensor(c, dtype=torch.float64) for c in (PUBLISHED_J[style], PUBLISHED_K))
    table = blend(x[None, :], b[:, None], j, k).clamp(0, 1)
    assert (table - golden(f"abm/{style}")).abs().max() <= TOLERANCE


@pytest.mark.parametrize("style", ["cloth", "face"])
def test_unblend_with_the_published_coefficients_equals_the_golden_table(style):
    x = golden("x")
    j, k = (torch.tensor(c, dtype=torch.float64) for c in (PUBLISHED_J[style], PUBLISHED_K))
    layer = unblend(x[None, :].expand(101, 101), x[:, None].expand(101, 101), j, k)
    assert (layer - golden(f"rabm/{style}")).abs().max() <= TOLERANCE


def test_blend_with_all_six_coefficients_equals_the_golden_tensor():
    y = blend(golden("gen/x"), golden("gen/b"), golden("gen/j"), golden("gen/k"))
    assert (y - golden("gen/y")).abs().max() <= TOLERANCE


def test_the_pyramid_equals_the_golden_tensors():
    images, high_freqs = laplacian_pyramid(as_image("pyr/I0"), 3)
    for level in range(4):
        assert (images[level] - as_image(f"pyr/I{level}")).abs().max() <= TOLERANCE
    for level in range(3):
        assert (high_freqs[level] - as_image(f"pyr/H{level}")).abs().max() <= TOLERANCE


def test_the_layers_upsampling_equals_the_golden_tensor():
    assert (upsample(as_image("up/in")) - as_image("up/out")).abs().max() <= TOLERANCE


@pytest.mark.parametrize("size", [(64, 96), (37, 51), (5, 8), (2, 3)])
def test_down_equals_opencv_borders_included(size):
    image = np.random.default_rng(1).random((*size, 3))
    ours = down(torch.from_numpy(image).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - cv2.pyrDown(image)).max() <= 1e-12


@pytest.mark.parametrize("size", [(32, 48), (9, 5), (3, 3)])
def test_up_equals_opencv_borders_included(size):
    image = np.random.default_rng(2).random((*size, 3))
    doubled = (2 * size[0], 2 * size[1])
    ours = up(torch.from_numpy(image).permute(2, 0, 1)[None], doubled)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - cv2.pyrUp(image)).max() <= 1e-12


@pytest.mark.parametrize("size", [(64, 64), (63, 65), (17, 300), (1, 16)])
def test_the_pyramid_rebuilds_the_photo_at_any_size(size):
    image = torch.rand(1, 3, *size, dtype=torch.float64)
    images, high_freqs = laplacian_pyramid(image, 3)
    rebuilt = images[-1]
    for high_freq in reversed(high_freqs):
        height, width = high_freq.shape[-2:]
        rebuilt = up(rebuilt, (height, width)) + high_freq
    assert (rebuilt - image).abs().max() <= 1e-12


def test_unblend_undoes_blend_for_random_coefficients():
    draw = torch.Generator().manual_seed(3)
    for _ in range(50):
        j, k = torch.randn(2, 3, generator=draw, dtype=torch.float64)
        base = torch.rand(1, 3, 8, 8, generator=draw, dtype=torch.float64)
        layer = 4 * torch.rand(1, 3, 8, 8, generator=draw, dtype=torch.float64) - 2
        gain, _ = blend_polynomials(base, j, k)
        safe = gain.abs() >= 1e-3
        found = unblend(base, blend(base, layer, j, k), j, k)
        assert ((found - layer).abs()[safe]).max() <= 1e-9


def test_blend_undoes_unblend_whatever_the_coefficients():
    draw = torch.Generator().manual_seed(4)
    compared = 0
    for _ in range(50):
        j, k = torch.randn(2, 3, generator=draw, dtype=torch.float64)
        base, result = torch.rand(2, 1, 3, 16, 16, generator=draw, dtype=torch.float64)
        layer = unblend(base, result, j, k)
        free = layer.abs() < BLEND_LIMIT  # a layer at its limit cannot carry the whole edit
        off = (blend(base, layer, j, k) - result).abs()
        assert torch.where(free, off, 0).max() <= TOLERANCE
        compared += int(free.sum())
    assert compared > 25 * 3 * 16 * 16


def test_unblend_stays_finite_and_bounded_where_the_gain_vanishes():
    j = torch.tensor([0.0, 2.0, -2.0])  # Pegtop soft light: no gain at 0 and 1
    base = torch.tensor([0.0, 1.0, 0.5]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    layer = unblend(base, torch.full_like(base, 0.7), j, torch.tensor(PUBLISHED_K))
    assert torch.isfinite(layer).all()
    assert layer.abs().max() <= BLEND_LIMIT
    assert layer[0, 0, 0].tolist() == pytest.approx([10.0, -10.0, 0.4])


def test_an_empty_blend_layer_leaves_the_photo_untouched_bit_for_bit():
    base = torch.rand(2, 3, 33, 17)
    j, k = torch.tensor(PUBLISHED_J["cloth"]), torch.tensor(PUBLISHED_K)
    assert torch.equal(blend(base, torch.zeros_like(base), j, k), base)


def test_scaling_the_layer_scales_the_edit():
    base, layer = torch.rand(2, 1, 3, 9, 9, dtype=torch.float64)
    j, k = published("cloth")
    whole, half = blend(base, layer, j, k), blend(base, 0.5 * layer, j, k)
    assert (half - base - 0.5 * (whole - base)).abs().max() <= 1e-12


def test_the_refining_module_has_the_papers_parameters_and_respects_the_limit():
    module = RefiningModule()
    assert sum(p.numel() for p in module.parameters()) == 1315
    refined = module(torch.full((1, 3, 8, 8), 50.0), torch.zeros(1, 3, 8, 8))
    assert refined.abs().max() <= BLEND_LIMIT


@pytest.mark.parametrize(("size", "wanted"), [(5, 8), (3, 16), (1, 4), (2, 9)])
def test_padding_repeats_the_reflection_as_often_as_needed(size, wanted):
    line = np.arange(size, dtype=np.float32)
    expected = np.pad(line, (0, wanted - size), mode="reflect") if size > 1 else np.zeros(wanted)
    assert reflect_index(0, wanted, size).tolist() == expected.astype(int).tolist()
    assert pad_to_multiple(torch.rand(1, 3, 5, 130), 64).shape == (1, 3, 64, 192)
