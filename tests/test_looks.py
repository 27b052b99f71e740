"""What must not matter in a pair: softness, compression, bars. Alike in both photos."""

import numpy as np
import pytest

from abpn_cli.training import made_pairs
from abpn_cli.training.made_pairs import Look, Scene, letterboxed

PLAIN = Look(1.0, np.ones(3, np.float32), grey=False, grain=0.0)


def speckled(size=(96, 128)):
    return np.random.default_rng(1).uniform(0.2, 0.8, (*size, 3)).astype(np.float32)


def test_looks_are_sharp_and_soft_uncompressed_and_compressed():
    looks = [Look.draw(np.random.default_rng(seed)) for seed in range(300)]
    soft = np.mean([look.blur > 0 for look in looks])
    compressed = np.mean([look.quality is not None for look in looks])
    assert soft == pytest.approx(made_pairs.SOFT, abs=0.06)
    assert compressed == pytest.approx(made_pairs.COMPRESSED, abs=0.08)
    assert max(look.blur for look in looks) <= made_pairs.SOFTEST
    low, high = made_pairs.QUALITIES
    assert all(low <= look.quality < high for look in looks if look.quality is not None)


def test_a_soft_look_is_as_soft_at_full_size_as_on_the_thumbnail():
    image = speckled()
    soft = PLAIN._replace(blur=1.0)
    assert np.array_equal(PLAIN.put_on(image, 2), image)
    roughness = [np.abs(np.diff(soft.put_on(image, zoom), axis=1)).mean() for zoom in (1, 2, 4)]
    assert roughness[0] > 1.8 * roughness[1] > 3 * roughness[2]


def test_a_compressed_look_shows_the_blocks_of_a_jpeg():
    image = np.repeat(speckled()[..., :1], 3, 2)  # grey: colour is halved at any quality
    assert PLAIN.compressed(image) is image
    rough, fine = (PLAIN._replace(quality=q).compressed(image) for q in (50, 95))
    errors = [np.abs(made - image).mean() for made in (rough, fine)]
    assert errors[0] > 2 * errors[1] > 0
    assert rough.min() >= 0 and rough.max() <= 1 and rough.dtype == np.float32


def test_bars_of_a_letterbox_are_no_cloth(monkeypatch):
    image, mask = speckled(), np.ones((96, 128), np.float32)
    rng = np.random.default_rng(0)
    monkeypatch.setattr(made_pairs, "LETTERBOXED", 0.0)
    assert letterboxed(Scene(image, mask), rng).image is image
    monkeypatch.setattr(made_pairs, "LETTERBOXED", 1.0)
    for _ in range(8):
        framed = letterboxed(Scene(image, mask, image), rng)
        bars = framed.mask == 0
        assert framed.image.shape[:2] == framed.mask.shape == framed.healed.shape[:2]
        assert 0 < bars.mean() < 0.3
        assert len(np.unique(framed.image[bars])) == 1
        assert np.array_equal(framed.image[~bars].reshape(image.shape), image)
