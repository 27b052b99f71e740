"""Where cloth is drawn from and what it is set before, in pairs for `cloth`."""

import cv2
import numpy as np
import pytest

from abpn_cli.training.cloth_pairs import ClothPairs, Recipe, by_set, odds_of, stepped_back
from abpn_cli.training.made_pairs import Labels
from abpn_cli.training.pairs import Shape


def test_a_set_of_few_photos_is_seen_more_often_than_its_share(tmp_path):
    photos = [tmp_path / "cloth" / "flat" / f"{i}.jpg" for i in range(16)]
    photos += [tmp_path / "portraits" / "staff" / f"{i}.jpg" for i in range(4)]
    sets = by_set(photos, tmp_path)
    assert [len(found) for found in sets] == [16, 4]
    assert odds_of(sets) == pytest.approx([2 / 3, 1 / 3])


def test_a_set_is_told_by_two_folders_below_the_root_and_by_no_more(tmp_path):
    photos = [tmp_path / "cloth" / "flat" / day / "a.jpg" for day in ("mon", "tue")]
    photos += [tmp_path / "cloth" / "a.jpg", tmp_path / "b.jpg"]
    assert [len(found) for found in by_set(photos, tmp_path)] == [2, 1, 1]


def test_whoever_steps_back_is_smaller_and_stands_on_the_lower_edge():
    photo = np.full((60, 40, 3), 0.25, np.float32)
    cloth, person = np.ones((60, 40), np.float32), np.ones((60, 40), np.float32)
    for seed in range(6):
        back = stepped_back((photo, cloth, person), 0.5, np.random.default_rng(seed))
        small, worn, shape = back
        assert small.shape == photo.shape and worn.shape == shape.shape == (60, 40)
        assert np.array_equal(worn, shape)
        assert shape.sum() == 30 * 20
        assert shape[30:].sum() == shape.sum()  # nothing floats
        assert np.allclose(small[shape > 0], 0.25) and np.all(small[shape == 0] == 1)


@pytest.mark.parametrize("blurred", [0.0, 1.0])
def test_photos_with_nothing_to_do_may_be_out_of_focus(tmp_path, blurred):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (128, 192, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    recipe = Recipe(nothing=1, surfaces=0, blurred=blurred, blurs=(0.02, 0.02))
    made = ClothPairs([], [tmp_path / "noise.png"], Labels(None, tmp_path), [], recipe, 1, 0)
    sample = made.sample(Shape(1, (128, 192), 64), rng)
    assert np.array_equal(sample.thumbnail, sample.thumbnail_target)
    rough = np.abs(np.diff(sample.thumbnail, axis=2)).mean()
    assert rough < 0.03 if blurred else rough > 0.03
