"""The engine's pyramid: pieces with margins are the whole, and the whole is the paper's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from abpn_cli.engine import pyramid
from abpn_cli.engine.colour import AsIs
from abpn_cli.engine.crew import Crew
from abpn_cli.engine.pyramid import (
    HELD_BYTES,
    Canvas,
    Tile,
    doubled,
    first_held,
    held_bytes,
    held_levels,
    hull,
    pad,
    padded_length,
    reflected,
    tiles,
    up,
    upsample,
    whole,
)
from abpn_cli.nets import bpl

CREW = Crew()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


def integers(height, width, dtype=np.uint8):
    rng = np.random.default_rng(1)
    return rng.integers(0, np.iinfo(dtype).max + 1, (height, width, 3), dtype=dtype)


def to_tensor(image):
    return torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None]


def to_array(tensor):
    return tensor[0].permute(1, 2, 0).numpy()


def exact_image(pixels, multiple):
    """The padded photo as float64, by the network's own padding."""
    return bpl.pad_to_multiple(to_tensor(pixels / np.iinfo(pixels.dtype).max), multiple)


def test_reflection_does_not_repeat_the_border_pixel():
    assert reflected(5, 9).tolist() == [0, 1, 2, 3, 4, 3, 2, 1, 0]


def test_reflection_goes_on_where_the_padding_exceeds_the_line():
    assert reflected(3, 9).tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert reflected(2, 5).tolist() == [0, 1, 0, 1, 0]
    assert reflected(1, 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("size", [(16, 16), (9, 64), (65, 130), (1, 5)])
def test_padding_is_the_networks_own(size):
    image = noise(*size)
    wanted = tuple(padded_length(n, 64) for n in size)
    expected = to_array(bpl.pad_to_multiple(to_tensor(image), 64))
    assert np.array_equal(pad(image, wanted), expected.astype(np.float32))


def test_tiles_cover_every_pixel_once():
    seen = np.zeros((70, 33), int)
    for tile in tiles(seen.shape, 32):
        seen[tile.window] += 1
    assert (seen == 1).all()


def test_tiles_of_a_tile_cover_it_and_their_hull_is_the_tile():
    whole_tile = Tile(6, 61, 10, 43)
    parts = list(whole_tile.tiles(16))
    seen = np.zeros((70, 50), int)
    for part in parts:
        seen[part.window] += 1
    assert (seen[whole_tile.window] == 1).all()
    assert seen.sum() == 55 * 33
    assert hull(parts) == whole_tile
    assert Tile(5, 61, 10, 43).evened() == Tile(4, 62, 10, 44)


@pytest.fixture
def holding(monkeypatch):
    """Let only so many of the coarsest levels be held."""
    return lambda count: monkeypatch.setattr(
        pyramid, "first_held", lambda size, coarsest: coarsest - count + 1
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("size", "levels"),
    [
        ((16, 16), 1),
        ((17, 300), 2),
        ((515, 1030), 3),
        ((513, 30), 2),
        ((16, 8192), 5),
        ((32, 32), 5),
    ],
)
def test_levels_held_are_the_papers_however_many_are_passed_by(holding, size, levels, dtype):
    pixels = integers(*size, dtype)
    canvas = Canvas(pixels, AsIs(), 2**levels)
    expected = bpl.laplacian_pyramid(exact_image(pixels, 2**levels), levels).images[1:]
    for count in range(1, levels + 1):
        holding(count)
        held = held_levels(canvas, levels, CREW)
        assert len(held) == count
        for image, exact in zip(held, expected[-count:], strict=True):
            assert np.abs(image - to_array(exact)).max() < 1e-6


def test_a_piece_of_any_level_is_cut_from_the_papers_whole():
    pixels = integers(130, 200)
    canvas = Canvas(pixels, AsIs(), 8)
    images = bpl.laplacian_pyramid(exact_image(pixels, 8), 3).images
    for level in range(4):
        for tile in tiles(canvas.level_size(level), 10):
            pieces = canvas.pieces(tile, level)
            assert [piece.size for piece in pieces] == [im.shape[2:] for im in images[: level + 1]]
            assert pieces[-1].tile == tile
            for piece, exact in zip(pieces, images[: level + 1], strict=True):
                assert np.abs(piece.image - to_array(exact)[piece.tile.window]).max() < 1e-6


@pytest.mark.parametrize(
    "size", [(512, 512), (4096, 6144), (10656, 14208), (64, 200064), (65536, 65536)]
)
def test_levels_held_take_little_of_a_photo_of_any_size(size):
    first = first_held(size, 9)
    assert held_bytes(size, first) <= HELD_BYTES or first == 9
    assert first == 1 or held_bytes(size, first - 1) > HELD_BYTES
    pixels = sum((size[0] >> level) * (size[1] >> level) for level in range(first, 10))
    assert 2 * 3 * 4 * pixels <= held_bytes(size, first)  # I_i and B_i in float32


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (40, 55)])
@pytest.mark.parametrize(
    ("enlarge", "exact"),
    [
        (up, lambda coarse: bpl.up(coarse, (2 * coarse.shape[2], 2 * coarse.shape[3]))),
        (upsample, bpl.upsample),
    ],
)
def test_a_doubled_tile_is_cut_from_the_papers_whole(size, enlarge, exact):
    coarse = noise(*size)
    expected = to_array(exact(to_tensor(coarse)))
    for tile in tiles(expected.shape[:2], 16):
        cut = doubled(whole(coarse), tile, enlarge)
        assert np.abs(cut - expected[tile.window]).max() < 1e-6


def test_a_view_across_the_photos_edge_shows_its_reflection():
    pixels = integers(17, 19)
    expected = to_array(exact_image(pixels, 16))
    tile = Tile(10, 32, 4, 32)
    assert np.abs(Canvas(pixels, AsIs(), 16).image(tile) - expected[tile.window]).max() < 1e-6
