"""Colour: matrix/TRC profiles against Little CMS, and everything else left as it is."""

from __future__ import annotations

import io
from itertools import product

import numpy as np
import pytest
from PIL import Image as Pictures
from PIL import ImageCms
from profiles import (
    ADOBE,
    SRGB,
    SRGB_PARAMETERS,
    WIDE,
    gamma,
    parametric,
    profile,
    srgb_decoded,
    table,
)

from abpn_cli.engine.colour import AsIs, MatrixSpace, colour_space, unit
from abpn_cli.engine.icc import ProfileError, read_profile


def colours():
    """A grid of colours and all greys, (1, n, 3) uint8."""
    grid = list(product(range(0, 256, 17), repeat=3))
    return np.array(grid + [(g, g, g) for g in range(256)], np.uint8)[None]


def by_lcms(pixels, source, target):
    """Relative colorimetric conversion by Little CMS, not shortened by its optimiser."""
    relative, no_optimising = 1, 0x0100
    source, target = (
        ImageCms.ImageCmsProfile(io.BytesIO(p)) if isinstance(p, bytes) else p
        for p in (source, target)
    )
    transform = ImageCms.buildTransform(source, target, "RGB", "RGB", relative, no_optimising)
    return np.asarray(ImageCms.applyTransform(Pictures.fromarray(pixels), transform))


def lcms_srgb():
    return ImageCms.createProfile("sRGB")


def rounded(image):
    return np.rint(image.clip(0, 1) * 255).astype(int)


def space_of(icc):
    space, warning = colour_space(icc)
    assert warning == ""
    return space


@pytest.mark.parametrize("name", WIDE)
def test_the_network_sees_what_lcms_makes_of_the_photo(name):
    pixels = colours()
    ours = rounded(space_of(WIDE[name]).to_network(pixels))
    assert np.abs(ours - by_lcms(pixels, WIDE[name], lcms_srgb())).max() <= 1


@pytest.mark.parametrize("name", WIDE)
def test_an_edit_lands_where_lcms_would_put_it(name):
    pixels = colours()
    space = space_of(WIDE[name])
    black = np.zeros_like(pixels)
    seen = space.to_network(black)
    ours = rounded(space.land(black, seen, unit(pixels)))
    in_gamut = (ours > 0).all(-1) & (ours < 255).all(-1)
    theirs = by_lcms(pixels, lcms_srgb(), WIDE[name])
    dark = by_lcms(pixels[:, :1] * 0, lcms_srgb(), WIDE[name])  # a curve may not start at 0
    assert in_gamut.mean() > 0.5
    assert np.abs(ours - (theirs.astype(int) - dark))[in_gamut].max() <= 1


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_edit_lands_as_no_change_at_all(name, dtype):
    most = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(0, most + 1, (64, 64, 3), dtype=dtype)
    space = space_of(WIDE[name])
    seen = space.to_network(pixels)
    assert np.array_equal(np.rint(space.land(pixels, seen, seen) * most), pixels)


def test_colours_outside_srgb_are_seen_outside_0_to_1_and_come_back():
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    space = space_of(WIDE["prophoto gamma"])
    seen = space.to_network(pixels)
    assert seen.min() < -0.1
    assert seen.max() > 1.1
    black = np.zeros_like(pixels)
    back = space.land(black, space.to_network(black), seen)
    assert (
        np.abs(back - unit(pixels)).max() < 2e-4
    )  # near black a gamma magnifies float32's last digit


def test_16_bit_steps_are_seen_apart():
    ramp = np.arange(30000, 30200, dtype=np.uint16)[None, :, None].repeat(3, 2)
    for name in ("adobe gamma v2", "p3 table"):
        seen = space_of(WIDE[name]).to_network(ramp)
        assert (np.diff(seen, axis=1) > 0).all()


def test_the_look_up_of_a_tables_inverse_is_finer_than_a_16_bit_step():
    curve = read_profile(profile(curves=(table(lambda x: x**2.2, 1024),))).curves[0]
    linear = np.linspace(0.001, 1, 100_001).astype(np.float32)
    exact = np.interp(linear.astype(float), curve.linear, np.linspace(0, 1, 1024))
    assert np.abs(curve.encode(linear) - exact).max() * 65535 < 0.5


@pytest.mark.parametrize("name", WIDE)
def test_curves_go_on_smoothly_above_1_and_mirrored_below_0(name):
    curve = read_profile(WIDE[name]).curves[0]
    outside = np.array([1.01, 1.2, 1.5], np.float32)
    assert np.abs(curve.encode(curve.decode(outside)) - outside).max() < 1e-5
    assert np.array_equal(curve.encode(-outside), -curve.encode(outside))
    assert np.array_equal(curve.decode(-outside), -curve.decode(outside))


@pytest.mark.parametrize(
    "icc",
    [
        b"",
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        profile(SRGB, (table(srgb_decoded),)),
        profile(SRGB, (parametric(3, *SRGB_PARAMETERS),), 4),
    ],
)
def test_srgb_by_any_name_is_read_as_it_is(icc):
    assert isinstance(space_of(icc), AsIs)


def test_srgb_primaries_with_a_plain_gamma_are_not_srgb():
    assert isinstance(space_of(profile(SRGB, (gamma(2.2),))), MatrixSpace)


@pytest.mark.parametrize(
    ("icc", "words"),
    [
        (profile(more=[(b"A2B0", b"mft2" + bytes(60))]), "built on lookup tables"),
        (profile(pcs=b"Lab "), "built on lookup tables"),
        (profile(space=b"GRAY"), "made for GRAY values"),
        (profile(space=b"CMYK"), "made for CMYK values"),
        (profile((ADOBE[0], ADOBE[0], ADOBE[2])), "do not span"),
        (profile(curves=(table(lambda x: 1 - x),)), "does not rise"),
        (profile(curves=(gamma(0),)), "does not rise"),
        (profile(curves=(parametric(9, 2.2),)), "unknown type"),
        (profile(curves=(b"text\0\0\0\0....",)), "unknown type"),
        (profile(curves=(b"curv\0\0\0\0\0\0\x04\0..",)), "cut short"),
        (profile()[:120], "no profile header"),
        (profile()[:140], "longer than the profile"),
        (profile()[:250], "ends in the middle"),
        (profile().replace(b"gTRC", b"xTRC"), "no gTRC tag"),
        (b"not a profile" * 40, "no profile header"),
    ],
)
def test_a_profile_that_cannot_be_used_is_told_and_the_values_read_as_they_are(icc, words):
    space, warning = colour_space(icc)
    assert isinstance(space, AsIs)
    assert words in warning
    assert warning.startswith("Its ICC profile is ")


def test_no_damage_to_a_profile_is_more_than_a_profile_error():
    rng = np.random.default_rng(0)
    whole = WIDE["p3 as Apple writes it"]
    pixels = colours()[:, ::50]
    usable = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for position in rng.integers(100, len(whole), 3):
            damaged[position] = rng.integers(256)
        try:
            space = MatrixSpace(read_profile(bytes(damaged)))
        except ProfileError:
            continue
        seen = space.to_network(pixels)
        assert np.isfinite(space.land(pixels, seen, seen + np.float32(0.01))).all()
        usable += 1
    assert 0 < usable < 300


def test_the_order_of_an_array_in_memory_does_not_matter():
    space = space_of(WIDE["p3 as Apple writes it"])
    pixels = np.ascontiguousarray(colours()[:, :3600].reshape(60, 60, 3))
    turned = pixels.swapaxes(0, 1)
    seen = space.to_network(pixels)
    edited = seen * np.float32(0.5)
    expected = space.land(pixels, seen, edited)
    assert np.abs(space.to_network(turned) - seen.swapaxes(0, 1)).max() < 1e-6
    landed = space.land(turned, seen.swapaxes(0, 1), edited.swapaxes(0, 1))
    assert np.abs(landed - expected.swapaxes(0, 1)).max() < 1e-6
