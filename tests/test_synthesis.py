"""Painted creases and smoothed wrinkles: what they may change and what they must not."""

import numpy as np
import pytest

from abpn_cli.training import synthesis
from abpn_cli.training.creases import (
    Bank,
    Transplant,
    crumple,
    draped_cloth,
    ridged_noise,
    ripples,
    strokes,
    tension_folds,
)
from abpn_cli.training.synthesis import (
    bleached,
    inner_cloth,
    off_edges,
    patches,
    smoothed,
    studio_sweep,
    tonal_print,
    unevenness,
    wrinkle_patch,
)

SIZE = (256, 256)
ALL = np.ones(SIZE, np.float32)


def rng(seed=0):
    return np.random.default_rng(seed)


def wavy_cloth(amplitude=0.06, period=18.0):
    """Plain cloth with parallel creases: (256, 256, 3)."""
    columns = np.arange(SIZE[1], dtype=np.float32)
    light = 0.5 * (1 + amplitude * np.sin(2 * np.pi * columns / period))
    colour = np.array([0.9, 0.6, 0.4], np.float32)
    return np.broadcast_to(light[None, :, None] * colour, (*SIZE, 3)).astype(np.float32)


GENERATORS = [
    ridged_noise,
    draped_cloth,
    strokes,
    crumple,
    ripples,
    tension_folds,
    Transplant(Bank([ridged_noise((90, 120), rng(9))])),
]


@pytest.mark.parametrize("generate", GENERATORS)
@pytest.mark.parametrize("size", [(256, 256), (200, 333)])
def test_a_crease_generator_gives_a_field_of_unit_spread(generate, size):
    field = generate(size, rng(1))
    assert field.shape == size
    assert field.dtype == np.float32
    assert abs(float(field.mean())) < 0.1
    assert 0.5 < float(field.std()) < 1.2
    assert np.isfinite(field).all()


@pytest.mark.parametrize("generate", GENERATORS)
def test_a_crease_generator_follows_its_seed_alone(generate):
    assert np.array_equal(generate(SIZE, rng(5)), generate(SIZE, rng(5)))
    assert not np.array_equal(generate(SIZE, rng(5)), generate(SIZE, rng(6)))


def test_real_creases_are_lowered_by_the_amount_asked_for():
    image = wavy_cloth()
    ratio = smoothed(image, ALL, amount=0.8, coarse=30).ratio
    luma = synthesis.luminance(image)
    middle = (slice(60, 196), slice(60, 196))
    before, after = luma[middle].std(), (luma * ratio)[middle].std()
    assert after < 0.5 * before


def test_smoothing_keeps_the_hue():
    image = wavy_cloth()
    result = image * smoothed(image, ALL, 0.8, 30).ratio[..., None]
    assert np.abs(result[..., 0] / result[..., 1] - 1.5).max() < 1e-4


def test_smooth_cloth_is_left_alone():
    plain = np.full((*SIZE, 3), 0.5, np.float32)
    noisy = plain + 0.002 * rng().standard_normal(plain.shape, np.float32)
    assert np.abs(smoothed(noisy, ALL, 0.9, 14).ratio - 1).max() < 0.004


def test_nothing_outside_the_cloth_changes():
    cloth = np.zeros(SIZE, np.float32)
    cloth[64:192, 64:192] = 1
    ratio = smoothed(wavy_cloth(), inner_cloth(cloth, 0.25), 0.8, 30).ratio
    assert np.abs(ratio[cloth == 0] - 1).max() < 1e-6
    assert np.abs(ratio - 1).max() > 0.01


def test_a_print_keeps_its_edges():
    image = wavy_cloth()
    image[100:156, 100:156] = (0.05, 0.1, 0.4)
    keep = off_edges(image, ALL, 0.25)
    assert keep[100, 110:146].max() < 0.05
    result = image * smoothed(image, ALL, 0.8, 30).ratio[..., None]
    step = np.abs(np.diff(synthesis.luminance(image)[:, 128]))[[99, 155]]
    found = np.abs(np.diff(synthesis.luminance(result)[:, 128]))[[99, 155]]
    assert found == pytest.approx(step, rel=0.05)


def test_knit_is_left_alone():
    stitches = wavy_cloth(amplitude=0.4, period=4.0)
    stitches = (stitches + stitches.transpose(1, 0, 2)) / 2
    ribs = wavy_cloth(amplitude=0.03)
    knit = stitches * ribs / wavy_cloth(amplitude=0)
    change, change_in_knit = (
        np.abs(smoothed(image, ALL, 0.9, 30).ratio - 1).mean() for image in (ribs, knit)
    )
    assert change_in_knit < 0.2 * change


def test_a_step_in_colour_is_an_edge_where_light_alone_is_not():
    image = np.full((*SIZE, 3), 0.5, np.float32)
    image[:, 128:] *= 0.92  # a fold's dark side
    assert off_edges(image, ALL, 0.25)[128, 120:136].min() > 0.5
    image[:, 128:] = (0.56, 0.46, 0.42)  # another cloth, as light
    assert off_edges(image, ALL, 0.25)[128, 120:136].min() < 0.1


def test_unevenness_is_the_relative_strength_of_what_is_finer_than_drape():
    luma = synthesis.luminance(wavy_cloth(0.06, 18.0))
    found = unevenness(luma, ALL, coarse=60)[60:196, 60:196]
    assert found.mean() == pytest.approx(0.06 / 2**0.5 * 0.5 / 0.54, rel=0.15)
    assert unevenness(np.full(SIZE, 0.5, np.float32), ALL, 60).max() < 1e-4


def test_patches_cover_about_the_share_asked_for():
    for share in (0.2, 0.5, 0.8):
        cover = float(patches(SIZE, share, rng(3)).mean())
        assert share - 0.2 < cover < share + 0.2


def test_wrinkles_are_taken_from_plain_garments_only():
    assert wrinkle_patch(wavy_cloth(), ALL) is not None
    checked = wavy_cloth()
    checked[::8] = 0.05
    assert wrinkle_patch(checked, ALL) is None
    assert wrinkle_patch(wavy_cloth(), np.zeros(SIZE, np.float32)) is None


def test_bleaching_leaves_white_paper_white_and_creases_faint():
    image = wavy_cloth()
    image[:, :64] = 1
    cloth = np.ones(SIZE, np.float32)
    cloth[:, :64] = 0
    pale = bleached(image, cloth, 0.2)
    assert (pale[:, :64] == 1).all()
    assert pale[:, 64:].min() > 0.8
    assert 0 < np.ptp(synthesis.luminance(pale)[100, 64:]) < 0.02


def test_a_tonal_print_is_a_coloured_pattern():
    assert np.ptp(tonal_print(SIZE, rng(2))) > 0.02
    assert tonal_print(SIZE, rng(2)).shape == (*SIZE, 3)


def test_a_studio_sweep_is_blank_but_for_soft_shadows():
    for seed in range(5):
        sweep = studio_sweep(SIZE, rng(seed))
        assert sweep.shape == SIZE
        assert 0 <= sweep.min() <= sweep.max() <= 1
        assert np.abs(np.diff(sweep, axis=0)).max() < 0.2
