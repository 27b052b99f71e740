"""The look in the CPU kernel: what torch computes, pixel by pixel, and to the integer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import photo_of
from profiles import ADOBE, profile
from styles import save_style, style_net
from test_kernel import NO_KERNEL, every_kernel

from abpn_cli.engine import grading
from abpn_cli.engine.colour import AsIs, colour_space
from abpn_cli.engine.grading import Grader, Style
from abpn_cli.engine.looks import InKernel, KernelMap, Landed, TorchMap, landed
from abpn_cli.photo import Metadata

AS_TORCH = 1e-6  # of [0, 1]: sums in another order
UNHURRIED = settings(max_examples=12, deadline=None)
SHARES = {1: [1.0], 2: [0.6, 0.4], 3: [0.2, 0.5, 0.3]}

styles_mixed = st.sampled_from([1, 2, 3])


def maps(kernel, styles=1, spread=1.0):
    """A mix by the kernel and by torch; spread: of the condition, the larger the wilder."""
    steps = []
    for seed in range(styles):
        torch.manual_seed(100 + seed)
        with torch.no_grad():
            steps.append(style_net(seed).steps(torch.randn(32) * spread))
    cpu = torch.device("cpu")
    return KernelMap(steps, SHARES[styles], kernel), TorchMap(steps, SHARES[styles], cpu)


@every_kernel
@UNHURRIED
@given(st.integers(1, 300), styles_mixed, st.sampled_from([0.1, 1.0]))
def test_it_maps_colours_as_the_network_does(kernel, count, styles, spread):
    ours, plain = maps(kernel, styles, spread)
    colours = np.random.default_rng(count).random((count, 3), np.float32)
    colours[0] = 0, 1, 1
    found, wanted = ours.colours(colours), plain.colours(colours)
    assert found.min() >= 0 and found.max() <= 1
    assert np.abs(found - wanted).max() < AS_TORCH


@every_kernel
@UNHURRIED
@given(
    st.integers(1, 13), st.integers(1, 131), styles_mixed, st.sampled_from([0.3, 1.0, None]),
    st.sampled_from([np.uint8, np.uint16]),
)  # fmt: skip
def test_it_grades_integers_as_numpy_and_torch_do(kernel, height, width, styles, strength, dtype):
    rng = np.random.default_rng(height * 132 + width)
    top = np.iinfo(dtype).max
    whole = rng.integers(0, top, (width, height + 2, 3), dtype, endpoint=True).swapaxes(0, 1)
    band = whole[1:-1]  # rows of a photo, here of one that lies on its side
    factor = np.float32(strength or 1)
    if strength is None:
        factor = rng.choice([0.0, 0.25, 1.0], (height, width)).astype(np.float32)
    ours, plain = maps(kernel, styles)
    found = landed(ours, AsIs()).graded(band, factor)
    wanted = Landed(plain, AsIs()).graded(band, factor)
    assert found.pixels.dtype == dtype
    apart = np.abs(found.pixels.astype(int) - wanted.pixels)
    assert apart.max() <= 1
    seen = band.astype(np.float64) / top
    mapped = plain.colours(seen.astype(np.float32).reshape(-1, 3)).reshape(seen.shape)
    exact = (seen + (mapped - seen) * np.float64(factor).reshape(factor.shape + (1,))) * top
    near_half = np.abs(exact % 1 - 0.5) < top * AS_TORCH + 1e-4
    assert near_half[apart > 0].all(), "more than rounding is apart"
    closed = np.broadcast_to(factor == 0, (height, width))
    assert np.array_equal(found.pixels[closed], band[closed])
    assert found.changed == (found.pixels != band).any(2).sum()


@every_kernel
def test_pixels_with_no_share_of_the_edit_stay_to_the_bit(kernel):
    every = np.arange(2**16, dtype=np.uint16).repeat(3).reshape(256, 256, 3)
    found = landed(maps(kernel)[0], AsIs()).graded(every, np.zeros((256, 256), np.float32))
    assert np.array_equal(found.pixels, every) and found.changed == 0


@every_kernel
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("styles", [1, 2])
def test_what_is_no_number_is_told(kernel, layer, styles):
    ours, _ = maps(kernel, styles)
    torch.manual_seed(0)
    steps = style_net().steps(torch.zeros(32))
    with torch.no_grad():
        steps[layer].offset[1] = float("nan")
    last = KernelMap([steps], [1.0], kernel)
    ours.looks[-1:] = last.looks
    assert np.isnan(ours.colours(np.full((5, 3), 0.5, np.float32))).any(1).all()
    assert landed(ours, AsIs()).graded(np.zeros((3, 7, 3), np.uint16), np.float32(1)) is None


@every_kernel
def test_one_colour_that_is_no_number_spoils_no_other(kernel):
    colours = np.random.default_rng(0).random((101, 3), np.float32)
    wanted = maps(kernel)[0].colours(colours)
    colours[50] = np.nan
    found = maps(kernel)[0].colours(colours)
    assert np.isnan(found[50]).all()
    assert np.array_equal(np.delete(found, 50, 0), np.delete(wanted, 50, 0))


@every_kernel
def test_only_photos_in_srgb_go_from_integers_to_integers_in_it(kernel):
    ours, plain = maps(kernel)
    wide, _ = colour_space(profile(ADOBE))
    assert type(landed(ours, AsIs())) is InKernel
    assert type(landed(ours, wide)) is type(landed(plain, AsIs())) is Landed


@NO_KERNEL
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("icc", [b"", profile(ADOBE)], ids=["srgb", "adobe"])
def test_a_photo_is_graded_the_same_without_it(tmp_path, monkeypatch, dtype, icc):
    paths = [save_style(tmp_path / f"{seed}.safetensors", seed) for seed in (5, 6)]
    mix = [Style(path, share) for path, share in zip(paths, SHARES[2], strict=True)]
    photo = photo_of(201, 307, dtype, metadata=Metadata(icc=icc))
    only = np.linspace(0, 1, 201 * 307, dtype=np.float32).reshape(201, 307).clip(0.2, 1) - 0.2
    with_it = Grader(mix, "cpu")
    monkeypatch.setattr(grading, "choose_kernel", lambda device, precision: None)
    without = Grader(mix, "cpu")
    for strength, mask in ((1.0, None), (0.4, None), (0.9, only)):
        (done, edit), (wanted, told) = (
            each.retouch(photo, strength, mask) for each in (with_it, without)
        )
        apart = np.abs(done.pixels.astype(int) - wanted.pixels)
        assert apart.max() <= 1 and (dtype == np.uint16 or (apart > 0).mean() < 1e-3)
        assert edit.mask_fraction == told.mask_fraction
        assert edit.changed_fraction == pytest.approx(told.changed_fraction, abs=1e-3)
