"""The shipped `face` weights on drawn faces: blemishes go, all that is a person's own stays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from portraits import draw
from skimage.color import rgb2lab

from abpn_cli.engine.tasks import Means, make_engine
from abpn_cli.photo import Photo
from abpn_cli.skin import BLOOD, MELANIN

WEIGHTS = Path(__file__).parents[1] / "weights" / "face.safetensors"
TONES = [(245, 215, 200), (224, 180, 150), (150, 105, 82), (92, 60, 45)]
SIZE = (630, 560)
FACE = ((300, 280), 336)  # its middle, and its height brow to chin
SPOTS = [(329, 210, 3), (364, 329, 5), (343, 231, 7), (392, 224, 3.5), (329, 350, 10)]  # px


@pytest.fixture(scope="module")
def engine():
    return make_engine({"face": WEIGHTS}, Means())


def face(tone) -> np.ndarray:
    """A drawn face with soft light and pores: (H, W, 3) float32 in [0, 1]."""
    canvas = draw(np.full((*SIZE, 3), (150, 165, 180), np.uint8), *FACE, tone)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    form = 1.02 - 0.15 * ((columns - 280) / 280) ** 2 - 0.05 * (rows - 300) / 300
    pores = cv2.GaussianBlur(np.random.default_rng(1).standard_normal(SIZE), (0, 0), 1.0)
    light = form * (1 + 0.07 * pores)
    return np.float32(cv2.GaussianBlur(canvas, (0, 0), 1.2) / 255 * light[..., None])


def skin_of(tone) -> np.ndarray:
    """Where the drawn face shows bare skin: (H, W) of booleans."""
    drawn = draw(np.full((*SIZE, 3), (150, 165, 180), np.uint8), *FACE, tone)
    bare = np.abs(drawn.astype(int) - tone).max(-1) < 4
    return cv2.erode(bare.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0


def dots(places, softness=0.6) -> np.ndarray:
    """Soft dots of (row, column, radius): (H, W) in [0, 1]."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    each = [
        np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * (softness * radius) ** 2))
        for row, column, radius in places
    ]
    return np.max(each, axis=0)


def pigment(field: np.ndarray, absorbs: np.ndarray, depth: float) -> np.ndarray:
    """What a field of pigment leaves of light: (H, W, 3)."""
    return np.exp(-depth * field[..., None] * absorbs)


def retouched(engine, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture as 8 bits hold it, and what becomes of it: (H, W, 3) in [0, 1] each."""
    photo = Photo(np.rint(image.clip(0, 1) * 255).astype(np.uint8), source=Path("face.png"))
    done, edit = engine.retouch(photo)
    assert edit.faces == 1
    return photo.pixels / 255, done.pixels / 255


@pytest.fixture(scope="module", params=TONES)
def spotted(request, engine):
    """A face with red spots: its tone, what it is without them, before, after."""
    clean = face(request.param)
    return request.param, clean, *retouched(engine, clean * pigment(dots(SPOTS), BLOOD, 0.3))


def test_red_spots_go_from_skin_of_every_tone_and_the_rest_stays(spotted):
    _, clean, before, after = spotted
    inside = dots(SPOTS) > 0.4
    errors = [np.square(each - clean)[inside].mean() for each in (before, after)]
    assert errors[1] < 0.35 * errors[0]
    far = dots(SPOTS, softness=1.5) < 0.02
    assert (np.abs(after - before)[far].max(-1) > 6 / 255).mean() < 0.002


def test_the_mean_of_the_skin_keeps_its_colour(spotted):
    tone, _, before, after = spotted
    means = [rgb2lab(each[skin_of(tone)][None])[0].mean(0) for each in (before, after)]
    assert np.linalg.norm(means[0] - means[1]) < 0.5


@pytest.mark.parametrize("tone", [TONES[0], TONES[-1]])
def test_a_face_without_a_blemish_keeps_lips_eyes_and_brows(engine, tone):
    before, after = retouched(engine, face(tone))
    features = [np.s_[258:308, 175:385], np.s_[370:420, 224:336]]  # eyes with brows, lips
    for part in features:
        assert np.abs(after[part] - before[part]).mean() < 0.5 / 255
    assert (np.abs(after - before).max(-1) > 8 / 255).mean() < 0.001


def test_freckles_stay(engine):
    rng, tone = np.random.default_rng(5), TONES[0]
    free = np.argwhere(skin_of(tone)[308:, :]) + (308, 0)
    places = [(*free[rng.integers(len(free))], rng.uniform(1.5, 3)) for _ in range(140)]
    field = dots(places)
    before, after = retouched(engine, face(tone) * pigment(field, MELANIN, 0.15))
    inside = field > 0.5
    lost = (after - before)[inside].mean() / (face(tone) - before)[inside].mean()
    assert lost < 0.2


def test_a_mole_stays_to_the_bit(engine):
    tone, field = TONES[1], dots([(350, 217, 6.5)], softness=0.5)
    before, after = retouched(engine, face(tone) * pigment(field, MELANIN, 1.0))
    np.testing.assert_array_equal(after[field > 0.2], before[field > 0.2])


def test_stubble_stays(engine):
    rng, tone, hairs = np.random.default_rng(6), TONES[1], np.zeros(SIZE, np.float32)
    free = np.argwhere(skin_of(tone)[392:, :]) + (392, 0)
    for _ in range(250):
        row, column = (int(v) for v in free[rng.integers(len(free))])
        turn = rng.uniform(0.2, np.pi - 0.2)
        end = round(column + 5 * np.cos(turn)), round(row + 5 * np.sin(turn))
        cv2.line(hairs, (column, row), end, float(rng.uniform(0.4, 1)), 1, cv2.LINE_AA)
    before, after = retouched(engine, face(tone) * pigment(hairs, MELANIN, 0.6))
    inside = hairs > 0.3
    lost = (after - before)[inside].mean() / (face(tone) - before)[inside].mean()
    assert lost < 0.1
