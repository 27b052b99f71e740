"""Made-up surfaces: wood, stone, facades, sheets, things."""

import numpy as np
import pytest

from abpn_cli.training import surfaces
from abpn_cli.training.cloth_pairs import ClothPairs, Recipe
from abpn_cli.training.made_pairs import Labels
from abpn_cli.training.pairs import Shape

MAKERS = [
    surfaces.wood,
    surfaces.stone,
    surfaces.cobbles,
    surfaces.facade,
    surfaces.sheet,
    surfaces.things,
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("size", [(96, 160), (161, 97)])
def test_a_surface_is_a_photo_full_of_lines(make, size):
    image = make(size, np.random.default_rng(3))
    assert image.shape == (*size, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1
    assert np.abs(np.diff(image.mean(2), axis=0)).mean() > 0.002
    assert np.array_equal(image, make(size, np.random.default_rng(3)))
    assert not np.array_equal(image, make(size, np.random.default_rng(4)))


def test_a_surface_has_nothing_to_retouch(tmp_path):
    made = ClothPairs([], [], Labels(None, tmp_path), [], Recipe(surfaces=1), 1, 0)
    sample = made.sample(Shape(1, (128, 192), 64), np.random.default_rng(0))
    assert np.array_equal(sample.thumbnail, sample.thumbnail_target)
    assert np.array_equal(sample.crop, sample.crop_target)
    assert sample.thumbnail.std() > 0.01
