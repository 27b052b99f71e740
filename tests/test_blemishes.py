"""Blemishes are painted on skin alone, as skin's own pigments; healing takes spots and no more."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from abpn_cli.skin import BLOOD, MELANIN
from abpn_cli.training import blemishes, shine, sores
from abpn_cli.training.face_pairs import FacePairs, FaceRecipe, healed_pixels
from abpn_cli.training.made_pairs import Labels, Scene
from abpn_cli.training.synthesis import blur

SIZE = (512, 384)
TONES = [(0.90, 0.74, 0.66), (0.72, 0.52, 0.42), (0.40, 0.27, 0.21)]
PAINTERS = [
    blemishes.blemished,
    blemishes.freckled,
    blemishes.blotched,
    sores.domed,
    sores.acne,
    sores.scarred,
    sores.patched,
]


def skin() -> np.ndarray:
    """An oval of skin with a mouth left out: (H, W) of {0, 1}."""
    mask = np.zeros(SIZE, np.float32)
    cv2.ellipse(mask, (192, 256), (140, 200), 0, 0, 360, 1.0, -1)
    cv2.ellipse(mask, (192, 360), (50, 18), 0, 0, 360, 0.0, -1)
    return mask


def face(tone=TONES[0], seed=0) -> np.ndarray:
    """Skin with pores, darker towards its sides: (H, W, 3) in [0, 1]."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    form = np.exp(-(((rows - 256) / 400) ** 2) - ((columns - 192) / 260) ** 2)
    pores = np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)
    light = form * (1 + 0.02 * pores)
    return (light[..., None] * np.array(tone, np.float32)).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("paint", PAINTERS)
def test_blemishes_are_painted_on_skin_alone(paint):
    where = blemishes.inner_skin(skin(), 0.5)
    painted = [paint(SIZE, where, np.random.default_rng(seed)) for seed in range(6)]
    for ratio in painted:
        assert ratio.shape == (*SIZE, 3)
        assert ratio.dtype == np.float32
        assert (ratio[where == 0] == 1).all()
        assert 0.2 < ratio.min() <= ratio.max() < 1.6
    assert sum(np.abs(ratio - 1).max() > 0.05 for ratio in painted) >= 4


@pytest.mark.parametrize("paint", PAINTERS)
def test_a_generator_follows_its_seed_alone_and_leaves_faceless_photos_alone(paint):
    first, again = (paint(SIZE, skin(), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    bare = paint(SIZE, np.zeros(SIZE, np.float32), np.random.default_rng(3))
    np.testing.assert_array_equal(bare, np.ones((*SIZE, 3), np.float32))


def test_pigment_takes_light_as_beer_and_lambert_say():
    density = np.array([[[0.3, 0.0], [0.0, 0.2], [0.3, 0.2]]], np.float32)
    brown, red, both = blemishes.pigmented(density)[0]
    np.testing.assert_allclose(brown, np.exp(-0.3 * MELANIN), rtol=1e-6)
    np.testing.assert_allclose(red, np.exp(-0.2 * BLOOD), rtol=1e-6)
    np.testing.assert_allclose(both, brown * red, rtol=1e-6)
    assert red[0] > 0.95 > red[1]  # blood lets red light pass


def widths(ratio: np.ndarray) -> list[float]:
    """Diameters of what a ratio field darkens, px at 1024: those of discs of the same area."""
    spots = (ratio[..., 1] < 0.97).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(spots)
    return [2 * (area / np.pi) ** 0.5 * 1024 / max(SIZE) for area in stats[1:, cv2.CC_STAT_AREA]]


def test_domes_are_larger_than_the_spots_of_before():
    small, large = (
        np.concatenate(
            [widths(paint(SIZE, skin(), np.random.default_rng(seed))) for seed in range(12)]
        )
        for paint in (blemishes.blemished, sores.domed)
    )
    assert np.median(large) > 1.8 * np.median(small)
    assert large.max() > 50


def test_acne_is_many_spots_close_to_each_other():
    counts, spreads = [], []
    for seed in range(10):
        ratio = sores.acne(SIZE, skin(), np.random.default_rng(seed))
        counts.append(len(widths(ratio)))
        rows, columns = np.nonzero(ratio[..., 1] < 0.95)
        spreads.append(np.hypot(rows.std(), columns.std()))
    rows, columns = np.nonzero(skin())
    assert np.mean(counts) > 10
    assert min(spreads) < 0.5 * np.hypot(rows.std(), columns.std())


def test_scars_are_thin_and_some_are_paler_than_the_skin():
    painted = [sores.scarred(SIZE, skin(), np.random.default_rng(seed)) for seed in range(20)]
    assert any((ratio > 1.03).any() for ratio in painted)
    assert any((ratio < 0.97).any() for ratio in painted)
    for ratio in painted:
        changed = (np.abs(ratio - 1).max(-1) > 0.03).astype(np.uint8)
        depth = cv2.distanceTransform(changed, cv2.DIST_L2, 3)
        assert depth.max() < 16  # px of 512: 9 px of radius at 1024, and what lies side by side


def test_soft_patches_keep_from_lips_and_rim_and_are_neither_faint_nor_deep():
    room = cv2.distanceTransform((skin() > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    for seed in range(20):
        ratio = sores.patched(SIZE, skin(), np.random.default_rng(seed))
        lost = -np.log(ratio).max(-1)
        if lost.max() < 0.01:
            continue  # nowhere room enough
        assert 0.4 * sores.FAINTEST < lost.max() < 4 * sores.DEEPEST
        row, column = np.unravel_index(lost.argmax(), lost.shape)
        assert room[row, column] > 3
        steps = np.abs(np.diff(blur(lost.astype(np.float32), 1.0), axis=0))[room[1:] > 4]
        assert steps.max() < 0.06  # soft


@pytest.mark.parametrize("tone", TONES)
def test_shine_is_lighter_and_whiter_than_skin_of_any_tone(tone):
    image, where = face(tone), blemishes.inner_skin(skin(), 0.5)
    ratio = shine.shone(image, where, np.random.default_rng(2))
    assert (ratio[where == 0] == 1).all()
    shiny = image * ratio
    lit = np.abs(ratio - 1).max(-1) > 0.1
    assert lit.mean() > 0.001
    assert (shiny[lit] >= image[lit] - 1e-6).all()
    assert shiny.max() <= 1
    before, after = (x[lit, 1] / x[lit, 0] for x in (image, shiny))
    assert after.mean() > before.mean() + 0.02


@pytest.mark.parametrize(("tone", "left"), [*zip(TONES, (0.95, 0.75, 0.75), strict=True)])
def test_matting_takes_shine_and_keeps_the_form_and_pores_of_a_face(tone, left):
    image, where = face(tone), blemishes.inner_skin(skin(), 0.5)
    kept = image * shine.matted(image, where)
    np.testing.assert_allclose(kept, image, atol=0.02)
    field = np.zeros(SIZE, np.float32)
    cv2.circle(field, (192, 150), 22, 1.0, -1)
    field = 0.45 * blur(field, 8.0)[..., None]
    shiny = (image + field * (1 - image)).astype(np.float32)
    matte = shiny * shine.matted(shiny, where)
    middle = np.s_[140:160, 182:202]
    over = [(x[middle] - image[middle]).mean() for x in (shiny, matte)]
    assert 0 < over[1] < left * over[0]
    fine = [(x - blur(x.astype(np.float32), 2.0))[middle].std() for x in (shiny, matte)]
    assert fine[1] > 0.75 * fine[0]
    assert (matte[where == 0] == shiny[where == 0]).all()


def test_healing_takes_round_spots_and_leaves_lines_and_pores():
    image, where = face(TONES[0]), blemishes.inner_skin(skin(), 0.5)
    pigment = np.zeros((*SIZE, 2), np.float32)
    blemishes.lay(
        pigment[..., 1], np.array([200.0, 150.0]), 4.0, 0.3, 0.8, np.random.default_rng(0)
    )
    spotted = (image * blemishes.pigmented(pigment)).astype(np.float32)
    crease = np.zeros(SIZE, np.float32)
    cv2.line(crease, (230, 180), (230, 300), 0.2, 3)
    spotted = (spotted * np.exp(-blur(crease, 1.0))[..., None]).astype(np.float32)
    healed = spotted * blemishes.healed(spotted, where)
    spot, line, plain = np.s_[196:205, 146:155], np.s_[200:280, 227:234], np.s_[240:280, 120:160]
    gone = [np.abs(x[spot] - image[spot]).mean() for x in (spotted, healed)]
    assert gone[1] < 0.5 * gone[0]
    assert np.abs(healed[line] - spotted[line]).mean() < 0.01
    np.testing.assert_allclose(healed[plain], spotted[plain], atol=0.01)


def pairs_of(*painters, **recipe) -> FacePairs:
    settled = FaceRecipe(nothing=0, on_healed=1, transplanted=0, **recipe)
    return FacePairs([], [], Labels(None, Path()), painters, settled, 1, 1)


def darkened(share: float):
    """A generator that takes a share of all light from the skin."""

    def paint(size, skin, rng):
        return np.float32(1 - share * skin[..., None]) * np.ones((*size, 3), np.float32)

    return paint


def test_some_pairs_bear_the_blemishes_of_two_generators():
    image = face()
    scene = Scene(image, skin(), image)
    mixed = pairs_of(darkened(0.5), darkened(0.5), mixed=1.0).edits
    alone = pairs_of(darkened(0.5), darkened(0.5), mixed=0.0).edits
    depths = [
        float((edits(scene, "painted", np.random.default_rng(1)).before)[256, 192].min())
        for edits in (mixed, alone)
    ]
    np.testing.assert_allclose(depths, (0.25, 0.5), atol=1e-5)


def test_shine_is_painted_where_it_is_asked_for_and_never_in_the_target():
    image = face()
    scene = Scene(image, skin(), image)
    for shiny in (0.0, 1.0):
        edits = pairs_of(darkened(0), shiny=shiny).edits(scene, "painted", np.random.default_rng(1))
        assert bool((edits.before > 1.05).any()) == bool(shiny)
        np.testing.assert_allclose(edits.after, 1, atol=1e-6)


def test_a_portrait_is_healed_by_each_healer_in_turn():
    image = face()
    halved = healed_pixels(image, skin(), [lambda img, _: np.full_like(img, 0.5)] * 2)
    inside = skin() > 0.5
    np.testing.assert_allclose(halved[inside] / 255, image[inside] / 4, atol=0.5 / 255 + 1e-6)
