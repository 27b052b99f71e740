"""Faces are retouched one by one: what is outside of them stays, whatever their order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import save, untrained
from portraits import OPEN, box, portrait, skin_of, stored
from profiles import WIDE

from abpn_cli.engine import Retoucher
from abpn_cli.engine.faces import FaceRetoucher
from abpn_cli.engine.patches import feather, groups, patches, weight
from abpn_cli.errors import PhotoError
from abpn_cli.photo import Metadata, turn_upright

PAIR = (box(150, 130, 120), box(170, 260, 130))  # patches that overlap
LONE = box(380, 90, 60)


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    """A retoucher that opens nearly all that it sees."""
    path = save(untrained(OPEN), tmp_path_factory.mktemp("eager") / "face.safetensors")
    return Retoucher(path, device="cpu")


def finding(retoucher, *faces, keep_moles=False):
    return FaceRetoucher(retoucher, keep_moles, find=lambda photo: faces)


def inside(photo, faces):
    """Where the patches of these faces are: (H, W)."""
    where = np.zeros(photo.pixels.shape[:2], bool)
    for patch in patches(faces, where.shape):
        where[patch.tile.window] = True
    return where


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("icc", [b"", WIDE["adobe gamma v2"]], ids=["sRGB", "wide"])
def test_pixels_outside_the_patches_are_bit_exact_and_faces_change(eager, dtype, icc):
    photo = skin_of(500, 420, dtype, metadata=Metadata(icc=icc))
    done, edit = finding(eager, *PAIR, LONE).retouch(photo)
    changed = (done.pixels != photo.pixels).any(-1)
    assert done.pixels.dtype == dtype
    assert not changed[~inside(photo, [*PAIR, LONE])].any()
    assert changed[140:180, 120:270].mean() > 0.8 and changed[370:390, 80:100].mean() > 0.8
    assert edit.faces == 3 and edit.moles_kept == 0
    assert edit.changed_fraction == changed.mean()


def test_a_photo_without_a_face_comes_back_as_it_was(eager):
    photo = skin_of(300, 200)
    done, edit = finding(eager).retouch(photo)
    assert np.array_equal(done.pixels, photo.pixels) and done.warnings == ()
    assert (edit.faces, edit.mask_fraction, edit.changed_fraction) == (0, 0.0, 0.0)
    assert not finding(eager).gate(photo).any()


def test_the_outcome_does_not_depend_on_the_order_of_faces(eager):
    photo = skin_of(500, 420)
    faces = [*PAIR, box(200, 200, 140), LONE]
    one, _ = finding(eager, *faces).retouch(photo)
    other, _ = finding(eager, *reversed(faces)).retouch(photo)
    third, _ = finding(eager, *faces[2:], *faces[:2]).retouch(photo)
    assert np.array_equal(one.pixels, other.pixels) and np.array_equal(one.pixels, third.pixels)
    assert not np.array_equal(one.pixels, finding(eager, *PAIR).retouch(photo)[0].pixels)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 260), st.integers(40, 200)),
        min_size=1,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_weights_sum_up_to_1_at_most_and_fall_to_0_at_every_rim(places, chance):
    size = (300, 260)
    faces = [box(*place) for place in places]
    cut = patches(faces, size)
    total = np.zeros(size, np.float32)
    for group in groups(cut):
        for patch in group:
            share = weight(patch, group, size)
            assert share.min() >= 0
            tile = patch.tile
            rims = [(tile.top, share[0]), (tile.left, share[:, 0])]
            assert not any(rim.any() for start, rim in rims if start > 0)
            rims = [(tile.bottom - size[0], share[-1]), (tile.right - size[1], share[:, -1])]
            assert not any(rim.any() for past, rim in rims if past < 0)
            total[tile.window] += share
    assert total.max() <= 1 + 1e-6
    chance.shuffle(faces)
    assert groups(patches(faces, size)) == groups(cut)


def test_a_face_is_whole_within_its_weight_which_does_not_fall_at_the_photos_border():
    size = (400, 300)
    (patch,) = patches([box(60, 150, 160)], size)
    plane = np.zeros(size, np.float32)
    plane[patch.tile.window] = feather(patch, patch.tile, size)
    assert patch.tile.top == 0
    assert (plane[0:140, 92:208] == 1).all()  # the box, up to the photo's upper border
    steps = np.abs(np.diff(plane, axis=1)).max()
    assert 0 < steps < 0.06, "it falls softly"


@pytest.mark.parametrize("place", [(10, 10), (490, 10), (10, 410), (495, 415), (250, 3)])
def test_a_face_at_the_border_is_retouched_up_to_it(eager, place):
    photo = skin_of(500, 420)
    face = box(*place, 110)
    done, _ = finding(eager, face).retouch(photo)
    changed = (done.pixels != photo.pixels).any(-1)
    row, column = np.clip(place, 0, (499, 419))
    assert changed[max(0, row - 20) : row + 20, max(0, column - 20) : column + 20].mean() > 0.8
    assert not changed[~inside(photo, [face])].any()


def test_where_one_face_alone_has_weight_its_neighbours_change_nothing(eager):
    photo = skin_of(500, 420)
    alone, _ = finding(eager, PAIR[0]).retouch(photo)
    both, _ = finding(eager, *PAIR).retouch(photo)
    apart = inside(photo, PAIR[:1]) & ~inside(photo, PAIR[1:])
    assert np.array_equal(alone.pixels[apart], both.pixels[apart])
    assert not np.array_equal(alone.pixels, both.pixels)


def test_overlapping_changes_are_added_and_stay_within_the_type(eager):
    photo = skin_of(300, 300)
    white = replace(photo, pixels=np.full_like(photo.pixels, 255))
    twins = box(150, 140, 120), box(150, 144, 120)
    done, _ = finding(eager, *twins).retouch(white, strength=1.5)
    assert done.pixels.min() > 60, "no value has run over the end of the type"
    (one, two) = (finding(eager, twin).retouch(photo)[0].pixels.astype(int) for twin in twins)
    both = finding(eager, *twins).retouch(photo)[0].pixels.astype(int)
    core = (slice(110, 190), slice(120, 165))
    middle = (one + two)[core] / 2
    assert np.abs(both[core] - middle).max() <= 6, "each counts half where both are whole"


def test_where_the_gate_is_0_nothing_changes_and_elsewhere_most_does(retoucher):
    photo = skin_of(500, 420)
    faces = finding(retoucher, *PAIR, LONE)  # the usual network of the tests opens about a half
    done, edit = faces.retouch(photo)
    gate = faces.gate(photo)
    changed = (done.pixels != photo.pixels).any(-1)
    assert not changed[gate == 0].any()
    assert changed[gate > 0.3].mean() > 0.5
    assert edit.mask_fraction == (gate > 0).mean()
    assert 0 < gate.max() <= 1 and not gate[~inside(photo, [*PAIR, LONE])].any()


def test_masks_of_the_user_multiply_in(eager):
    photo = skin_of(500, 420)
    faces = finding(eager, PAIR[0])
    only = np.zeros((500, 420), np.float32)
    only[:150] = 1
    protect = np.zeros_like(only)
    protect[:, :130] = 1
    plain, _ = faces.retouch(photo)
    done, _ = faces.retouch(photo, only=only, protect=protect)
    assert np.array_equal(done.pixels[:150, 130:], plain.pixels[:150, 130:])
    assert np.array_equal(done.pixels[150:], photo.pixels[150:])
    assert np.array_equal(done.pixels[:, :130], photo.pixels[:, :130])
    assert np.array_equal(faces.retouch(photo, strength=0)[0].pixels, photo.pixels)


def test_a_mask_of_another_size_is_told_once(eager):
    photo = skin_of(500, 420)
    done, _ = finding(eager, *PAIR, LONE).retouch(photo, only=np.ones((250, 210), np.float32))
    (warning,) = done.warnings
    assert "210 x 250" in warning
    with pytest.raises(PhotoError, match="not the shape"):
        finding(eager).retouch(photo, only=np.ones((250, 250), np.float32))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_portrait_stored_turned_comes_out_as_the_upright_one(eager, orientation):
    upright = portrait()
    expected, edit = FaceRetoucher(eager).retouch(upright)
    done, turned = FaceRetoucher(eager).retouch(stored(upright, orientation))
    assert edit.faces == turned.faces == 1
    assert done.metadata.orientation == orientation
    shown = turn_upright(done.pixels, orientation).astype(int)
    change = expected.pixels.astype(int) - upright.pixels
    assert np.abs(change).mean() > 0.3
    # a pyramid keeps every other row from the first, which is another one from the other side
    assert np.abs(shown - expected.pixels).mean() < 0.25 * np.abs(change).mean()


def test_a_face_that_lies_on_its_side_is_shown_to_the_network_upright(eager, monkeypatch):
    upright = portrait((400, 400), ((190, 200, 200),))
    lying = replace(upright, pixels=np.ascontiguousarray(turn_upright(upright.pixels, 6)))
    shown = []
    worked = eager.worked

    def spy(photo, *rest):
        shown.append(turn_upright(photo.pixels, photo.metadata.orientation))
        return worked(photo, *rest)

    monkeypatch.setattr(eager, "worked", spy)
    for photo in (upright, lying):
        assert FaceRetoucher(eager).retouch(photo)[1].faces == 1
    one, other = (part[20:280, 20:280].astype(int) for part in shown)
    assert np.abs(one - other).mean() < 8 < np.abs(one - np.rot90(other)).mean()


def test_alpha_and_metadata_stay(eager):
    alpha = np.full((500, 420), 77, np.uint8)
    photo = skin_of(500, 420, alpha=alpha, metadata=Metadata(comment=b"me"))
    done, _ = finding(eager, *PAIR).retouch(photo)
    assert done.alpha is alpha and done.metadata == photo.metadata


def test_what_does_not_fit_into_memory_is_refused_before_it_is_taken(eager, monkeypatch):
    photo = skin_of(500, 420)
    faces = finding(eager, *PAIR)
    monkeypatch.setattr(eager, "_max_bytes", faces.peak_bytes(photo) * 2)
    faces.retouch(photo)
    monkeypatch.setattr(eager, "_max_bytes", faces.peak_bytes(photo) // 2)
    with pytest.raises(PhotoError, match="of memory"):
        faces.retouch(photo)


def test_the_memory_told_covers_a_face_that_fills_the_photo(eager):
    photo = skin_of(600, 500)
    faces = finding(eager)
    whole = groups(patches([box(300, 250, 590)], (600, 500)))
    assert faces._needed(photo, whole, 1) <= faces.peak_bytes(photo, 1)
    assert faces.peak_bytes(photo, 1) > eager.peak_bytes(photo, 1)
