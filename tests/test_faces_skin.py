"""Beside a face stands what is no skin: walls, cars, trees. It is not the network's to retouch."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from networks import save, untrained
from portraits import OPEN, SKIN, portrait

from abpn_cli.engine import Retoucher
from abpn_cli.engine.complexion import skin_share
from abpn_cli.engine.detector import find_faces
from abpn_cli.engine.faces import FaceRetoucher
from abpn_cli.engine.patches import patches

DARK, LIGHT = (92, 60, 45), (245, 215, 200)


def crop_of(photo):
    """The crop of the first face, as a photo."""
    (patch,) = patches(find_faces(photo), photo.pixels.shape[:2])
    return replace(photo, pixels=photo.pixels[patch.tile.window]), patch


def before(colour):
    """A drawn portrait before a wall of this colour, where the wall is, and its middle's place."""
    photo = portrait()
    wall = (np.abs(photo.pixels.astype(int) - (150, 165, 180)).max(-1) < 24)[..., None]
    wall = cv2.erode(wall.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    pixels = np.where(wall[..., None], np.array(colour, np.uint8), photo.pixels).astype(np.uint8)
    return replace(photo, pixels=pixels), wall


@pytest.mark.parametrize("colour", [(40, 70, 150), (200, 60, 60), (230, 235, 240), (60, 110, 50)])
def test_what_stands_behind_a_face_stays_as_it_is(tmp_path, colour):
    photo, wall = before(colour)
    eager = Retoucher(save(untrained(OPEN), tmp_path / "face.safetensors"), device="cpu")
    done, edit = FaceRetoucher(eager, keep_moles=False).retouch(photo)
    changed = (done.pixels != photo.pixels).any(-1)
    rim = cv2.dilate((~wall).astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
    assert edit.faces == 1
    assert not changed[~rim].any()
    assert changed[150:230, 160:240].mean() > 0.7


@pytest.mark.parametrize("tone", [DARK, SKIN, LIGHT])
def test_skin_of_every_tone_is_skin_spots_and_shadows_included(tone):
    rows, columns = np.mgrid[0:300, 0:300]
    face = ((rows - 150) ** 2 / 120**2 + (columns - 150) ** 2 / 95**2) < 1
    light = np.where(columns < 150, 1.0, 0.55)[..., None]
    image = np.where(face[..., None], np.array(tone) * light, (70, 120, 160))
    cv2.circle(image, (130, 180), 6, (0.95 * tone[0], 0.6 * tone[1], 0.6 * tone[2]), -1)
    photo = replace(portrait(), pixels=np.rint(image).astype(np.uint8))
    share = skin_share(photo)
    inner = cv2.erode(face.astype(np.uint8), np.ones((19, 19), np.uint8)) > 0
    outer = cv2.dilate(face.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    assert share[inner].min() > 0.9
    assert share[~outer].max() == 0


def test_a_wall_of_the_skins_own_colour_is_no_skin_where_it_does_not_touch_the_face():
    photo, wall = before((40, 70, 150))
    pixels = photo.pixels.copy()
    pixels[60:120, 40:90] = SKIN
    crop, patch = crop_of(replace(photo, pixels=pixels))
    share = skin_share(crop)
    there = share[60 - patch.tile.top : 120 - patch.tile.top, 0 : 90 - patch.tile.left]
    assert there.max() == 0


def test_a_monochrome_face_is_retouched_as_any_other():
    photo = portrait()
    grey = np.repeat(photo.pixels.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
    crop, _ = crop_of(replace(photo, pixels=grey))
    assert skin_share(crop).min() == 1
