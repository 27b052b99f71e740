"""The CPU kernel: what torch computes, and torch computes where it is missing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from command import abpn
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import photo_of
from test_engine import to_array, to_tensor

from abpn_cli.engine import Retoucher, native, network
from abpn_cli.engine.blending import ArrayBlender, KernelBlender
from abpn_cli.engine.native import Kernel, kernels, laid_out
from abpn_cli.nets.bpl import BLEND_LIMIT, RefiningModule

TERMS = np.array([[0.19, 0.31, -0.24], [0.01, 0.98, 0.02]], np.float32)
UNHURRIED = settings(max_examples=30, deadline=None)
NO_KERNEL = pytest.mark.skipif(not kernels(), reason="no kernel was built: there is no C compiler")

every_kernel = pytest.mark.parametrize("kernel", kernels(), ids=lambda kernel: kernel.name)


@every_kernel
@UNHURRIED
@given(st.integers(1, 70), st.integers(1, 150), st.sampled_from([0.3, 20.0]), st.integers(0, 9))
def test_it_refines_as_the_papers_module_does(kernel, height, width, spread, seed):
    torch.manual_seed(seed)
    module = RefiningModule()
    rng = np.random.default_rng(seed)
    layer, high_freq = rng.normal(0, spread, (2, height, width, 3)).astype(np.float32)
    with torch.inference_mode():
        expected = to_array(module(to_tensor(layer), to_tensor(high_freq)))
    refined = kernel.refine(laid_out(module), layer, high_freq)
    assert np.abs(refined).max() <= BLEND_LIMIT
    assert np.abs(refined - expected).max() < 1e-6 * max(spread, 2)


@every_kernel
@UNHURRIED
@given(st.integers(1, 40), st.integers(1, 150), st.sampled_from([np.uint8, np.uint16]))
def test_it_blends_and_rounds_as_numpy_does(kernel, height, width, dtype):
    rng = np.random.default_rng(height * 151 + width)
    base, layer = rng.normal(0.5, 0.4, (2, height + 2, width + 5, 3)).astype(np.float32)
    base, layer = base[1:-1, 2:-3], layer[1:-1, 2:-3]  # a part of a whole, as a tile is
    factor = rng.choice([0.0, 0.3, 1.0, 1.5], (height, width)).astype(np.float32)
    before = rng.integers(0, np.iinfo(dtype).max, (width, height, 3), dtype).swapaxes(0, 1)
    ours, plain = KernelBlender(kernel, *TERMS), ArrayBlender(*TERMS)
    blended, largest = ours.blend(base, layer, factor)
    expected = plain.blend(base, layer, factor)
    assert np.abs(blended - expected.image).max() < 1e-6
    assert largest == expected.largest
    laid, expected_integers = (each.lay(blended, before, factor) for each in (ours, plain))
    assert np.array_equal(laid.pixels, expected_integers.pixels)
    assert laid.changed == expected_integers.changed


@every_kernel
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_told(kernel, value):
    layer = np.ones((3, 70, 3), np.float32)
    layer[2, 66, 1] = value
    base, factor = np.zeros_like(layer), np.ones((3, 70), np.float32)
    assert not math.isfinite(KernelBlender(kernel, *TERMS).blend(base, layer, factor).largest)
    torch.manual_seed(0)
    refined = kernel.refine(laid_out(RefiningModule()), layer, base)
    assert not np.isfinite(kernel.blend(TERMS, base, refined, factor)[1])
    assert np.isfinite(refined[:, :60]).all()


@every_kernel
def test_a_base_that_nothing_is_laid_on_stays_to_the_bit(kernel):
    base = np.random.default_rng(0).random((50, 61, 3), np.float32)
    identity = KernelBlender(kernel, TERMS[0], np.array([0, 1, 0], np.float32))
    blended, largest = identity.blend(base, np.zeros_like(base), np.ones((50, 61), np.float32))
    assert np.array_equal(blended, base) and largest == 0


@NO_KERNEL
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_photo_is_the_same_without_it(checkpoint, monkeypatch, dtype):
    photo = photo_of(530, 1207, dtype)
    only = np.linspace(0, 1, photo.pixels[..., 0].size, dtype=np.float32).reshape(530, 1207)
    with_it = Retoucher(checkpoint, "cpu")
    assert with_it.computed_by == f"kernel ({kernels()[0].name})"
    monkeypatch.setattr(network, "kernels", lambda: ())
    without = Retoucher(checkpoint, "cpu", "float32")
    assert without.computed_by == "torch"
    assert with_it.precision == without.precision == "float32"
    (done, edit), (expected, told) = (each.retouch(photo, 0.9, only) for each in (with_it, without))
    steps = np.abs(done.pixels.astype(int) - expected.pixels)
    assert steps.max() <= 1 and (steps > 0).mean() < (1e-3 if dtype == np.uint8 else 0.1)
    assert edit.mask_fraction == told.mask_fraction > 0
    assert edit.largest_layer == pytest.approx(told.largest_layer, rel=1e-4)


def test_a_library_that_is_missing_or_of_another_version_is_not_used(monkeypatch, tmp_path):
    kernels.cache_clear()
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "_kernels.so")
    assert kernels() == ()
    (tmp_path / "_kernels.so").write_bytes(b"of another system")
    kernels.cache_clear()
    assert kernels() == ()
    monkeypatch.undo()
    monkeypatch.setattr(native, "VERSION", 0)
    kernels.cache_clear()
    assert not kernels()
    kernels.cache_clear()


def test_the_command_tells_by_what_it_computes(tmp_path, checkpoint):
    from shoots import picture, save

    save(tmp_path / "a.jpg", picture())
    words = ("retouch", "a.jpg", "-o", "done", "--weights", checkpoint, "--device", "cpu", "-v")
    code, _, err = abpn(*words, cwd=tmp_path)
    assert code == 0
    assert "device cpu, by " + (f"kernel ({kernels()[0].name})" if kernels() else "torch") in err


def test_kernels_are_named_by_the_instruction_sets_in_the_source():
    source = (Path(native.__file__).parent / "kernels.c").read_text("utf-8")
    for lanes, name in native.SETS.items():
        assert f"#define SET {name}\n#define LANES {lanes}\n" in source
    assert f"#define ABPN_VERSION {native.VERSION} " in source
    assert all(isinstance(kernel, Kernel) for kernel in kernels())
