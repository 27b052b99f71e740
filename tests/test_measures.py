"""PSNR, SSIM and LPIPS against what others compute; parts, cosine and overlap by hand."""

from math import inf, isnan
from pathlib import Path

import numpy as np
import pytest
from networks import photo_of
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from abpn_cli.evaluation.measures import (
    change_of,
    lpips_parts,
    overlap,
    psnr_parts,
    ssim_map,
    ssim_parts,
)
from abpn_cli.training.backbones import Lpips

MODELS = Path(__file__).parents[2] / "shared" / "data" / "models"
# Of the pictures below, by the package lpips 0.1.4 on the same backbone and its own linear layers:
# the plain value, and means of its spatial map over the changed half and the other.
OFFICIAL = {"alexnet": (0.13318, 0.22363, 0.04273), "vgg16": (0.10730, 0.18648, 0.02813)}


def pictures(height=72, width=100):
    """A picture, and the same with noise in its upper half and a shade all over."""
    before = photo_of(height, width).pixels.astype(np.float32) / 255
    noise = np.random.default_rng(1).normal(0, 0.08, before.shape).astype(np.float32)
    noise[height // 2 :] = 0.01
    after = (before + noise).clip(0, 1)
    changed = np.zeros((height, width), bool)
    changed[: height // 2] = True
    return before, after, changed


def test_psnr_is_that_of_scikit_image_in_every_part():
    a, b, changed = pictures()
    parts = psnr_parts(a, b, changed)
    pairs = (a, b), (a[changed], b[changed]), (a[~changed], b[~changed])
    expected = [peak_signal_noise_ratio(x, y, data_range=1) for x, y in pairs]
    assert parts == pytest.approx(expected, abs=1e-4)
    assert psnr_parts(a, a, changed) == (inf, inf, inf)


def test_ssim_is_that_of_scikit_image_as_a_mean_and_at_every_pixel():
    a, b, changed = pictures()
    mean, field = structural_similarity(
        a.astype(np.float64), b.astype(np.float64), data_range=1, channel_axis=2, full=True,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    np.testing.assert_allclose(ssim_map(a, b), field.mean(2), atol=2e-4)
    parts = ssim_parts(a, b, changed)
    assert parts.whole == pytest.approx(mean, abs=2e-5)
    inner = np.s_[5:-5, 5:-5]
    upper = field.mean(2)[inner][changed[inner]]
    assert parts.inside == pytest.approx(upper.mean(), abs=2e-5)
    assert parts.inside < parts.whole < parts.outside


def test_a_part_that_is_empty_has_no_figure():
    a, b, changed = pictures()
    nowhere = np.zeros_like(changed)
    assert isnan(psnr_parts(a, b, nowhere).inside) and isnan(ssim_parts(a, b, nowhere).inside)
    assert psnr_parts(a, b, nowhere).outside == psnr_parts(a, b, nowhere).whole


def test_the_cosine_and_the_best_strength_of_changes_worked_out_by_hand():
    before = np.full((1, 2, 3), 0.5, np.float32)
    ours, true = before.copy(), before.copy()
    ours[0, 0, 0] += 0.1  # ours: (0.1, 0), true: (0.3, 0.4): cosine 0.6, best at 3 times
    true[0, 0, 0] += 0.3
    true[0, 1, 0] += 0.4
    assert change_of(before, ours, true) == pytest.approx((0.6, 3.0), abs=1e-5)
    assert all(isnan(value) for value in change_of(before, before, true))
    nothing = change_of(before, ours, before)
    assert isnan(nothing.cosine) and nothing.strength == 0


def test_iou_and_dice_of_areas_counted_by_hand():
    predicted, changed = np.zeros((2, 6), bool), np.zeros((2, 6), bool)
    predicted[0, :4] = changed[0, 2:6] = True  # two in common, six in all
    assert overlap(predicted, changed) == pytest.approx((2 / 6, 4 / 8))
    assert all(isnan(value) for value in overlap(~(changed | True), ~(changed | True)))
    assert overlap(predicted, ~(changed | True)) == (0, 0)


@pytest.mark.skipif(not MODELS.is_dir(), reason="the shared backbones are not here")
@pytest.mark.parametrize("kind", ["alexnet", "vgg16"])
def test_lpips_is_that_of_its_authors_package_whole_and_as_a_map(kind):
    a, b, changed = pictures(96, 160)
    parts = lpips_parts(Lpips(MODELS / f"{kind}_lpips_fp16.safetensors"), a, b, changed)
    whole, inside, outside = OFFICIAL[kind]
    assert parts == pytest.approx((whole, inside, outside), abs=2e-4)
    assert parts.inside > parts.whole > parts.outside
