"""Where something is to go: boxes, windows, and how a filling shows."""

import numpy as np
import pytest

from abpn_cli.engine.holes import LEAST_SIDE, Window, boxes, grown_by, paste, windows
from abpn_cli.engine.pyramid import Tile


def hole_of(size, *tiles):
    hole = np.zeros(size, bool)
    for tile in tiles:
        hole[tile.window] = True
    return hole


def test_each_hole_has_its_box_and_near_ones_share_it():
    far, one, near = Tile(900, 930, 10, 25), Tile(40, 60, 100, 130), Tile(50, 70, 140, 150)
    assert boxes(hole_of((1000, 400), far, one, near)) == [Tile(40, 70, 100, 150), far]


def covers(outer, inner):
    rows = outer.top <= inner.top and inner.bottom <= outer.bottom
    return rows and outer.left <= inner.left and inner.right <= outer.right


def test_no_hole_has_no_box():
    assert boxes(np.zeros((50, 60), bool)) == []


@pytest.mark.parametrize("size", [(700, 1100), (701, 1103)])
def test_holes_at_the_rim_keep_to_the_photo(size):
    corner = Tile(size[0] - 7, size[0], size[1] - 9, size[1])
    (window,) = windows(boxes(hole_of(size, corner)), size, square=False)
    assert window.box == corner
    assert window.tile == Tile(size[0] - 512, size[0], size[1] - 512, size[1])


def test_a_small_hole_in_a_large_photo_is_looked_at_in_a_small_window():
    (window,) = windows([Tile(4000, 4030, 4000, 4030)], (8192, 8192), square=True)
    assert window.tile == Tile(3759, 4271, 3759, 4271)


@pytest.mark.parametrize("square", [True, False])
def test_a_window_is_three_times_its_hole(square):
    (window,) = windows([Tile(3000, 3400, 3000, 3300)], (8192, 8192), square)
    high, wide = window.tile.bottom - window.tile.top, window.tile.right - window.tile.left
    assert (high, wide) == ((1536, 1536) if square else (1200, 900))


def test_a_square_window_of_a_low_photo_reaches_beyond_it():
    (window,) = windows([Tile(100, 300, 700, 900)], (400, 2000), square=True)
    assert window.tile.top == 0 and window.tile.bottom == 1024
    assert window.tile.right - window.tile.left == 1024


def test_windows_that_overlap_become_one_where_no_detail_is_lost():
    near = [Tile(100, 120, 100, 120), Tile(150, 170, 200, 220)]
    (window,) = windows(near, (4000, 4000), square=True)
    assert window.box == Tile(100, 170, 100, 220)
    assert window.tile.bottom - window.tile.top == LEAST_SIDE
    line = [Tile(2000, 2030, x, x + 30) for x in range(100, 3900, 400)]  # a row of dust
    apart = windows(line, (4000, 4000), square=True)
    sides = {each.tile.bottom - each.tile.top for each in apart}
    assert max(sides) <= 2 * LEAST_SIDE, "spots must not add up to one large window"
    for box in line:
        assert any(box.within(w.box)[0].start >= 0 and w.box.top <= box.top for w in apart)


def test_dust_all_over_is_looked_at_in_few_windows_and_grown_as_specks_are():
    rng = np.random.default_rng(0)
    dust = [Tile(int(y), int(y) + 6, int(x), int(x) + 6) for y, x in rng.integers(0, 790, (60, 2))]
    (window,) = windows(dust, (800, 800), square=False)
    assert window.tile == Tile(0, 800, 0, 800) and window.grown == 2
    wide = [Tile(y, y + 6, x, x + 6) for y in range(50, 2900, 90) for x in range(50, 3900, 90)]
    laid = windows(wide, (3000, 4000), square=False)
    assert sum(each.tile.area for each in laid) < 4 * 3000 * 4000, "one each takes 31 times that"
    assert max(each.tile.area for each in laid) <= 1024**2, "none is filled at less than full size"
    for box in wide:
        assert any(covers(each.box, box) for each in laid)


def test_the_order_of_holes_changes_no_window():
    rng = np.random.default_rng(0)
    found = [
        Tile(int(y), int(y) + 20, int(x), int(x) + 25) for y, x in rng.integers(0, 2900, (12, 2))
    ]
    at_first = windows(sorted(found), (3000, 3000), square=True)
    assert windows(sorted(found), (3000, 3000), square=True) == at_first


@pytest.mark.parametrize(
    ("square", "tile"), [(True, (0, 1536, 0, 1536)), (False, (0, 900, 0, 1400))]
)
def test_the_whole_photo_may_be_the_window(square, tile):
    found = [Tile(5, 10, 5, 10), Tile(700, 800, 1200, 1300)]
    assert windows(found, (900, 1400), square, full=True) == [
        Window(Tile(*tile), Tile(5, 800, 5, 1300), grown_by(Tile(*tile)))
    ]


def test_a_filling_shows_whole_on_the_grown_hole_and_falls_off_around_it():
    hole = hole_of((600, 600), Tile(290, 310, 290, 310))
    (window,) = windows(boxes(hole), (600, 600), square=True)
    assert window.grown == 2
    over = paste(hole, window, feather=4)
    row = over.alpha[300 - over.tile.top]
    inside = slice(288 - over.tile.left, 312 - over.tile.left)
    assert (row[inside] == 1).all()
    after = row[inside.stop :]
    assert 0 < after[0] < 1 and (np.diff(after[:5]) < 0).all() and after[5:].sum() == 0


def test_without_feather_a_filling_ends_at_once():
    hole = hole_of((600, 600), Tile(290, 310, 290, 310))
    (window,) = windows(boxes(hole), (600, 600), square=True)
    assert set(np.unique(paste(hole, window, feather=0).alpha)) <= {0.0, 1.0}
