"""The classical filters that stand beside the network, against their definitions."""

import numpy as np
import pytest
from networks import photo_of

from abpn_cli.evaluation.baselines import FILTERS, guided_filter, median, separation


def by_definition(image, radius, epsilon):
    """The guided filter of an (H, W) image by itself, window by window; its inner part."""
    height, width = image.shape
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for row in range(radius, height - radius):
        for column in range(radius, width - radius):
            window = np.s_[row - radius : row + radius + 1, column - radius : column + radius + 1]
            part = image[window].astype(np.float64)
            slope = part.var() / (part.var() + epsilon)
            total[window] += slope * part + (1 - slope) * part.mean()
            count[window] += 1
    inner = np.s_[2 * radius : height - 2 * radius, 2 * radius : width - 2 * radius]
    assert (count[inner] == (2 * radius + 1) ** 2).all()
    return (total / count.clip(1))[inner], inner


def test_the_guided_filter_is_what_its_definition_says():
    image = photo_of(24, 30).pixels[..., 0].astype(np.float32) / 255
    expected, inner = by_definition(image, radius=2, epsilon=0.01)
    found = guided_filter(image, image, 2, 0.01)
    np.testing.assert_allclose(found[inner], expected, atol=1e-5)
    assert np.abs(found - image).max() > 0.01


def test_the_guided_filter_worked_out_by_hand_keeps_a_step_and_flattens_a_ripple():
    step = np.zeros((9, 12), np.float32)
    step[:, 6:] = 1
    # windows of 3x3 over the step have a variance of 2/9: slope 0.957 at epsilon 0.01
    near = guided_filter(step, step, 1, 0.01)[4]
    slope = (2 / 9) / (2 / 9 + 0.01)
    lower = (1 - slope) * 1 / 3, (1 - slope) * 2 / 3  # the two windows' own values at the dark side
    assert near[5] == pytest.approx((lower[0] + lower[1]) / 3, abs=1e-5)
    assert near[3] == 0 and near[8] == 1
    ripple = np.float32(0.5) + np.float32(0.01) * (np.indices((9, 12)).sum(0) % 2).astype("f")
    assert np.ptp(guided_filter(ripple, ripple, 1, 0.01)[2:-2, 2:-2]) < 0.002


@pytest.mark.parametrize("name", FILTERS)
def test_filters_leave_flat_colour_alone_and_take_grain_away(name):
    flat = np.full((40, 50, 3), 0.3, np.float32)
    np.testing.assert_allclose(FILTERS[name](flat), flat, atol=1e-6)
    grain = np.random.default_rng(0).normal(0, 0.02, flat.shape).astype(np.float32)
    assert FILTERS[name](flat + grain).std() < 0.8 * grain.std()


def test_the_median_keeps_the_low_bits_of_a_16_bit_photo():
    flat = np.full((16, 16, 3), 20000.25 / 65535, np.float32)
    np.testing.assert_array_equal(median(flat), flat)


def waves(mask):
    """Grey cloth with creases of 16 px inside the mask, a white wall outside."""
    creases = 0.04 * np.sin(np.arange(mask.shape[1]) * 2 * np.pi / 16)
    image = np.ones((*mask.shape, 3), np.float32)
    image[mask > 0] = (0.4 + np.broadcast_to(creases, mask.shape))[mask > 0][:, None] * (
        1,
        0.8,
        0.5,
    )
    return image


def test_separation_halves_creases_inside_the_mask_and_touches_nothing_outside():
    mask = np.zeros((1024, 256), np.float32)
    mask[200:800, 64:192] = 1
    before = waves(mask)
    after = separation(before, mask)
    np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
    middle = np.s_[500, 96:160]
    assert 0.4 < np.ptp(after[middle][:, 0]) / np.ptp(before[middle][:, 0]) < 0.75
    ratios = after[middle] / before[middle]
    np.testing.assert_allclose(ratios, ratios[:, :1] @ np.ones((1, 3)), rtol=1e-5)  # hue stays


def test_no_light_leaks_into_the_cloth_from_a_bright_wall():
    mask = np.zeros((1024, 256), np.float32)
    mask[200:800, 64:192] = 1
    before = waves(mask)
    before[mask > 0] = 0.2
    after = separation(before, mask)
    np.testing.assert_allclose(after[mask > 0], before[mask > 0], atol=2e-3)
