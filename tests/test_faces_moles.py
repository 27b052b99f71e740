"""Moles are told from blemishes by their look, and kept from the network."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from networks import save, untrained
from portraits import OPEN, box, portrait

from abpn_cli.engine import Retoucher
from abpn_cli.engine.faces import FaceRetoucher
from abpn_cli.engine.moles import find_moles, shut_at
from abpn_cli.photo import Photo
from abpn_cli.skin import BLOOD, MELANIN

TONES = [(232, 195, 170), (198, 145, 110), (141, 92, 66), (92, 60, 45)]
FACE_WIDTH = 300.0


def skin(tone=TONES[0], side=600):
    """Plain skin with pores and a soft light across it: (H, W, 3) in [0, 1]."""
    rng = np.random.default_rng(2)
    pores = cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), 1.2) * 0.03
    light = np.linspace(1, 0.85, side)[None, :, None]
    return np.array(tone) / 255 * light * (1 + pores)[..., None]


def spot(image, place, radius, pigment, depth, softness=0.25):
    """Lay a round spot of a pigment on skin, its edge softened over a share of its radius."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    far = np.hypot(rows - place[0], columns - place[1]) / radius
    disc = np.clip((1 + softness - far) / (2 * softness), 0, 1)
    return image * np.exp(-depth * disc[..., None] * pigment)


def photo_of(image):
    return Photo(np.rint(image.clip(0, 1) * 255).astype(np.uint8))


@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("radius", [2, 4, 9])
def test_a_dark_brown_sharp_spot_is_a_mole_on_every_tone_of_skin(tone, radius):
    (mole,) = find_moles(photo_of(spot(skin(tone), (250, 330), radius, MELANIN, 0.9)), FACE_WIDTH)
    assert np.hypot(mole.row - 250, mole.column - 330) < 1.5
    assert 0.6 < mole.radius / radius < 1.8


@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("radius", [2, 4, 9])
def test_a_red_spot_is_no_mole(tone, radius):
    assert not find_moles(photo_of(spot(skin(tone), (250, 330), radius, BLOOD, 0.7)), FACE_WIDTH)


def test_what_is_too_small_too_faint_too_soft_or_too_long_is_no_mole():
    plain = skin()
    assert not find_moles(photo_of(plain), FACE_WIDTH)
    small = spot(plain, (250, 330), 2, MELANIN, 0.9)
    assert not find_moles(photo_of(small), face_width=1200), "a freckle, on a face so large"
    assert not find_moles(photo_of(spot(plain, (250, 330), 4, MELANIN, 0.2)), FACE_WIDTH)
    soft = cv2.GaussianBlur(spot(plain, (250, 330), 9, MELANIN, 0.5), (0, 0), 9)
    assert not find_moles(photo_of(soft), FACE_WIDTH)
    line = plain.copy()
    line[250:253, 200:400] *= 0.5
    assert not find_moles(photo_of(line), FACE_WIDTH)


def test_stubble_is_no_crowd_of_moles():
    image = skin(side=240)
    rng = np.random.default_rng(3)
    for place in rng.uniform(40, 200, (100, 2)):
        image = spot(image, place, 2, MELANIN, 0.9)
    assert len(find_moles(photo_of(image), FACE_WIDTH)) < 6


def test_a_mole_is_found_in_a_large_crop_at_its_own_place_and_size():
    small = spot(skin(), (250, 330), 6, MELANIN, 0.9)
    large = cv2.resize(small, (2400, 2400), interpolation=cv2.INTER_CUBIC)
    (mole,) = find_moles(photo_of(large), 4 * FACE_WIDTH)
    assert np.hypot(mole.row - 1001.5, mole.column - 1321.5) < 6
    assert 0.6 < mole.radius / 24 < 1.8


def test_the_gate_is_shut_on_a_mole_and_softly_opens_around_it():
    (mole,) = find_moles(photo_of(spot(skin(), (250, 330), 5, MELANIN, 0.9)), FACE_WIDTH)
    shut = shut_at((mole,), (600, 600))
    assert (shut[246:255, 326:335] == 1).all()
    assert shut[250, 330 + round(2 * mole.radius) + 1 :].max() == 0
    assert np.abs(np.diff(shut, axis=1)).max() < 0.6
    assert shut_at((), (60, 50)).max() == 0
    corner = shut_at((mole._replace(row=0.0, column=0.0),), (600, 600))
    assert corner[0, 0] == 1


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    path = save(untrained(OPEN), tmp_path_factory.mktemp("eager") / "face.safetensors")
    return Retoucher(path, device="cpu")


def test_moles_stay_to_the_bit_unless_they_are_not_to_be_kept(eager):
    face = portrait((520, 480), ((240, 240, 300),))
    cheek = (290, 190)
    image = spot(face.pixels / 255, cheek, 5, MELANIN, 0.9)
    image = spot(image, (290, 290), 5, BLOOD, 0.7)  # a pimple on the other cheek
    photo = replace(face, pixels=np.rint(image * 255).astype(np.uint8))

    def find(photo):
        return (box(240, 240, 300),)

    kept, edit = FaceRetoucher(eager, find=find).retouch(photo)
    gone, other = FaceRetoucher(eager, keep_moles=False, find=find).retouch(photo)
    on_mole = (slice(286, 295), slice(186, 195))
    on_pimple = (slice(286, 295), slice(286, 295))
    assert np.array_equal(kept.pixels[on_mole], photo.pixels[on_mole])
    assert (gone.pixels[on_mole] != photo.pixels[on_mole]).any(-1).mean() > 0.5
    assert (kept.pixels[on_pimple] != photo.pixels[on_pimple]).any(-1).mean() > 0.5
    assert edit.moles_kept and other.moles_kept == 0
    gate = FaceRetoucher(eager, find=find).gate(photo)
    assert gate[on_mole].max() == 0
    assert gate[on_pimple].min() > 0


def test_a_mole_that_two_patches_hold_is_counted_once(eager):
    face = portrait((520, 480), ((240, 240, 300),))
    image = spot(face.pixels / 255, (290, 190), 5, MELANIN, 0.9)
    photo = replace(face, pixels=np.rint(image * 255).astype(np.uint8))
    one = FaceRetoucher(eager, find=lambda photo: (box(240, 240, 300),))
    two = FaceRetoucher(eager, find=lambda photo: (box(240, 240, 300), box(244, 238, 300)))
    assert two.retouch(photo)[1].moles_kept == one.retouch(photo)[1].moles_kept
