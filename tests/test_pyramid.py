"""The engine's pyramid: pieces with margins are the whole, and the whole is the paper's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from abpn_cli.engine.colour import AsIs
from abpn_cli.engine.crew import Crew
from abpn_cli.engine.pyramid import (
    Canvas,
    Tile,
    coarse_levels,
    doubled,
    first_level,
    pad,
    padded_length,
    reflected,
    tiles,
    up,
    upsample,
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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(16, 16), (17, 300), (515, 1030), (513, 30)])
def test_the_first_level_in_pieces_equals_the_papers_whole(size, dtype):
    pixels = integers(*size, dtype)
    canvas = Canvas(pixels, AsIs(), 4)
    expected = bpl.down(exact_image(pixels, 4))
    assert np.abs(first_level(canvas, CREW) - to_array(expected)).max() < 1e-6


@pytest.mark.parametrize("size", [(16, 8192), (32, 32), (250, 375)])
def test_coarse_levels_are_the_papers_down_to_one_pixel(size):
    pixels = integers(*size)
    canvas = Canvas(pixels, AsIs(), 32)
    images = coarse_levels(first_level(canvas, CREW), 5)
    expected = bpl.laplacian_pyramid(exact_image(pixels, 32), 5).images[1:]
    for image, whole in zip(images, expected, strict=True):
        assert np.abs(image - to_array(whole)).max() < 1e-6


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
    whole = to_array(exact(to_tensor(coarse)))
    for tile in tiles(whole.shape[:2], 16):
        cut = doubled(coarse, tile, enlarge)
        assert np.abs(cut - whole[tile.window]).max() < 1e-6


def test_a_view_across_the_photos_edge_shows_its_reflection():
    pixels = integers(17, 19)
    whole = to_array(exact_image(pixels, 16))
    tile = Tile(10, 32, 4, 32)
    assert np.abs(Canvas(pixels, AsIs(), 16).image(tile) - whole[tile.window]).max() < 1e-6
