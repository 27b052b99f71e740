"""Detail brought into holes: the public code's very numbers, and copies found again."""

import cv2
import numpy as np
import pytest
from photos import SHARED

from abpn_cli.engine.pyramid import Tile
from abpn_cli.engine.residuals import (
    Grid,
    aggregated,
    bell,
    block_means,
    detail,
    enlarged,
    matches,
)

GOLDEN = SHARED / "golden" / "hifill" / "residual_aggregation.npz"


def grain(size, seed=0):
    return np.random.default_rng(seed).random((*size, 3), np.float32)


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the golden tensors are not here")
def test_aggregation_is_that_of_the_public_code():
    golden = np.load(GOLDEN)
    large, small, ratio = golden["large_img"], golden["small_img"], 3
    assert abs(block_means(large, ratio) - small).max() < 1e-3
    keep = cv2.resize(golden["mask"], (192, 192), interpolation=cv2.INTER_NEAREST)[..., 0]
    grid = Grid(8, 24)
    beyond = detail(large, small, ratio, keep < 128, Tile(0, 192, 0, 192))
    bands = (beyond[grid.band(row).window] for row in range(8))
    made = np.zeros_like(large)
    for cell, part in aggregated(bands, golden["att"], np.arange(64), grid):
        top, left = (24 * at for at in divmod(cell, 8))
        made[top : top + 24, left : left + 24] = part
    assert abs(made - golden["agg"]).max() < 1e-3
    filled = np.clip(enlarged(golden["net_out"], ratio) + made, 0, 255)
    height, width = golden["raw"].shape[:2]
    share = cv2.resize(golden["small_mask"], (width, height))[..., None]
    result = golden["raw"] * (1 - share) + cv2.resize(filled, (width, height)) * share
    assert abs(result.astype(np.uint8).astype(int) - golden["result"]).max() <= 1


@pytest.mark.parametrize("tile", [Tile(0, 9, 0, 9), Tile(10, 77, 50, 90), Tile(83, 90, 31, 32)])
def test_a_rectangle_is_enlarged_as_the_whole_would_be(tile):
    small = grain((30, 32))
    assert np.array_equal(enlarged(small, 3, tile), enlarged(small, 3)[tile.window])


def test_detail_and_enlargement_make_the_photo_again():
    large = grain((48, 64))
    small = block_means(large, 4)
    tile = Tile(8, 40, 4, 60)
    nowhere = np.zeros((32, 56), bool)
    again = enlarged(small, 4, tile) + detail(large[tile.window], small, 4, nowhere, tile)
    assert abs(again - large[tile.window]).max() < 1e-6


def test_only_wanted_cells_are_built_and_from_all_cells():
    grid = Grid(4, 6)
    beyond, shares = grain((24, 24)), np.random.default_rng(1).random((16, 16), np.float32)
    tiles = beyond.reshape(4, 6, 4, 6, 3).swapaxes(1, 2).reshape(16, -1)
    bands = (beyond[grid.band(row).window] for row in range(4))
    made = dict(aggregated(bands, shares, np.array([3, 10]), grid))
    assert set(made) == {3, 10}
    for cell, part in made.items():
        assert abs(part.ravel() - shares[cell] @ tiles).max() < 1e-5


def test_cells_that_a_hole_touches_are_known():
    hole = np.zeros((24, 24), bool)
    hole[5:7, 12] = True
    assert Grid(4, 6).cells_of(hole).tolist() == [2, 6]


def test_a_copy_is_found_where_it_was_taken_from():
    picture = grain((160, 200), seed=3)
    hole = np.zeros((160, 200), bool)
    hole[80:110, 60:100] = True
    moved = picture.copy()
    moved[64:128, 48:112] = picture[4:68, 120:184]  # more than the hole: patches see around it
    found = matches(moved, hole)
    assert found
    for tile, top, left in found:
        assert (top - tile.top, left - tile.left) == (4 - 64, 120 - 48)
    covered = np.zeros_like(hole)
    for match in found:
        covered[match.tile.window] = True
    assert covered[hole].all()


def test_patches_are_never_taken_from_the_hole():
    picture = np.full((96, 96, 3), 0.5, np.float32)
    hole = np.zeros((96, 96), bool)
    hole[:60] = True
    for tile, top, _ in matches(picture, hole):
        assert top >= 60 and top + tile.bottom - tile.top <= 96


def test_where_nothing_is_known_nothing_is_found():
    assert matches(np.zeros((64, 64, 3), np.float32), np.ones((64, 64), bool)) == []


def test_weights_of_patches_that_overlap_by_half_add_up_to_one():
    one = bell(Tile(0, 16, 0, 16), 2)
    across = one[:, 16:] + one[:, :16]
    assert abs(across / across[:, :1] - 1).max() < 1e-5
    assert one.min() > 0
