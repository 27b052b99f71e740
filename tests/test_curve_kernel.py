"""Tone curves in the CPU kernel: what NumPy computes, to a digit of float32."""

from __future__ import annotations

import numpy as np
import pytest
from test_kernel import every_kernel

from abpn_cli.engine import icc
from abpn_cli.engine.colour import SRGB_CURVE
from abpn_cli.engine.icc import Power

CURVES = {
    "sRGB": SRGB_CURVE,
    "Adobe RGB": Power(2.19921875),
    "ProPhoto": Power(1.8, 1, 0, 1 / 16, 1 / 32),
    "Rec. 709": Power(1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081),
    "identity": Power(1.0),
    "all parameters": Power(2.4, 0.9, 0.05, 0.05, 0.03, 0.01, 0.002),
    "a flat start": Power(2.2, 1, -0.05, 0, 0.05),
}
VALUES = np.concatenate(
    [np.linspace(-0.3, 1.6, 200_001), 10 ** np.linspace(-30, 0, 20_001)]
).astype(np.float32)
DIGIT = 2e-6  # of a value, and of 0.001 below that

every_curve = pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
each_way = pytest.mark.parametrize("way", ["decode", "encode"])


def both(curve, way, values, kernel, monkeypatch):
    """By the kernel and by NumPy."""
    monkeypatch.setattr(icc, "kernels", lambda: (kernel,))
    ours = getattr(curve, way)(values)
    monkeypatch.setattr(icc, "kernels", lambda: ())
    with np.errstate(invalid="ignore", over="ignore"):
        return ours, getattr(curve, way)(values)


@every_kernel
@every_curve
@each_way
def test_it_bends_values_as_numpy_does(kernel, curve, way, monkeypatch):
    ours, plain = both(curve, way, VALUES, kernel, monkeypatch)
    assert ours.dtype == np.float32
    assert (np.abs(ours - plain) <= DIGIT * np.maximum(np.abs(plain), 1e-3)).all()


@every_kernel
@each_way
def test_what_is_no_number_or_endless_stays_so(kernel, way, monkeypatch):
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 3e38], np.float32)
    ours, plain = both(SRGB_CURVE, way, odd, kernel, monkeypatch)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(plain))
    np.testing.assert_array_equal(np.signbit(ours[1:]), np.signbit(odd[1:]))
    np.testing.assert_allclose(ours[1:7], plain[1:7], rtol=1e-6)


@every_kernel
@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 8, 15, 16, 17, 33])
def test_any_number_of_values_in_any_layout_keeps_its_shape(kernel, count, monkeypatch):
    values = np.random.default_rng(count).random((3, 2 * count), np.float32)[:, ::2].T
    ours, plain = both(SRGB_CURVE, "encode", values, kernel, monkeypatch)
    assert ours.shape == values.shape
    np.testing.assert_allclose(ours, plain, rtol=1e-5)


@every_kernel
def test_there_and_back_is_where_it_was(kernel, monkeypatch):
    monkeypatch.setattr(icc, "kernels", lambda: (kernel,))
    steps = np.arange(65536, dtype=np.float32) / np.float32(65535)
    for name in ("sRGB", "Adobe RGB", "ProPhoto", "identity"):
        back = CURVES[name].encode(CURVES[name].decode(steps))
        assert np.abs(back - steps).max() < 0.25 / 65535, name
