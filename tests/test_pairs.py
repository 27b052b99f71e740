"""A studio's own before and after photos: matched, checked, cut alike."""

import cv2
import numpy as np
import pytest
from garments import cloth_photo

from abpn_cli.training.data import own_levels
from abpn_cli.training.pairs import (
    Pair,
    Shape,
    StudioPairs,
    match_pairs,
    shift_between,
    spanning,
    split,
)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def test_pairs_are_matched_by_name_and_unfit_ones_reported(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    image = cloth_photo(1, (300, 400))
    write(before / "day" / "a.png", image)
    write(after / "day" / "a.jpg", image)
    write(before / "lonely.png", image)
    write(before / "sized.png", image)
    write(after / "sized.png", image[:200])
    write(before / "moved.png", image)
    write(after / "moved.png", np.roll(image, 9, axis=1))
    write(before / "twice.png", image)
    write(before / "twice.jpg", image)
    write(after / "twice.png", image)
    (before / "notes.txt").write_text("not a photo")
    matched = match_pairs(before, after)
    assert [pair.original.name for pair in matched.pairs] == ["a.png", "twice.jpg"]
    problems = "\n".join(matched.problems)
    assert "lonely: no partner" in problems
    assert "sized: sizes differ, 400x300 and 400x200" in problems
    assert "moved: misaligned by" in problems
    assert "twice.png: twice.jpg has the same name" in problems
    assert len(matched.problems) == 4


def test_a_retouched_photo_does_not_count_as_shifted():
    image = cloth_photo(2, (300, 400)).astype(np.float32) / 255
    assert shift_between(image, cv2.GaussianBlur(image, (0, 0), 1.5)) < 0.2
    assert shift_between(image, np.roll(image, 6, 0)) > 5


def test_some_pairs_are_kept_for_validation(tmp_path):
    pairs = [(tmp_path / f"{i}.png", tmp_path / f"r{i}.png") for i in range(30)]
    pairs = [Pair(*pair) for pair in pairs]
    train, kept = split(pairs)
    assert len(kept) == 3
    assert not set(train) & set(kept)
    assert split(pairs[:1]) == (pairs[:1], pairs[:1])


def test_studio_pairs_cut_the_same_place_of_both_photos(tmp_path):
    image = cloth_photo(3, (600, 640))
    marked = image.copy()
    marked[100:500, 100:500] = np.clip(marked[100:500, 100:500].astype(int) + 20, 0, 255)
    write(tmp_path / "b" / "x.png", image)
    write(tmp_path / "a" / "x.png", marked)
    matched = match_pairs(tmp_path / "b", tmp_path / "a")
    batch = StudioPairs(matched.pairs, (1,), 2, 0).batch(0)
    difference = (batch.crop_target - batch.crop).amax(1)
    assert difference.max() > 15 / 255
    assert difference.min() > -6 / 255  # cubic resizing overshoots at the step


@pytest.mark.parametrize(
    ("longest", "levels"), [(400, (1,)), (800, (1,)), (1100, (2, 1)), (2100, (3, 2))]
)
def test_studio_pairs_are_halved_as_retouching_would(tmp_path, longest, levels):
    write(tmp_path / "x.png", np.zeros((40, longest, 3), np.uint8))
    assert own_levels([Pair(tmp_path / "x.png", tmp_path / "x.png")]) == levels


def test_thumbnails_of_studio_pairs_are_scaled_as_retouching_would(tmp_path, monkeypatch):
    write(tmp_path / "x.png", cloth_photo(4, (700, 800)))
    spans = []

    def noted(image, size, span, rng):
        window = spanning(image, size, span, rng)
        spans.append(window.height / size[0])
        assert 0 <= window.top <= 700 - window.height
        assert 0 <= window.left <= 800 - window.width
        return window

    monkeypatch.setattr("abpn_cli.training.pairs.spanning", noted)
    made = StudioPairs([Pair(tmp_path / "x.png", tmp_path / "x.png")], (1,), 1, 0)
    for seed in range(8):
        made.sample(Shape(1, (256, 256), 128), np.random.default_rng(seed))
    assert 1.6 <= min(spans) < max(spans) <= 2.5
    made.sample(Shape(3, (256, 256), 40), np.random.default_rng(0))
    assert spans[-1] == pytest.approx(700 / 256)  # more than the photo has is not to be had
