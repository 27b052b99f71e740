"""Blocks over the pixels they are made of: each is written when nobody will read it any more."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from abpn_cli.engine.blocks import Blocks, LateWriter, Part, margin, sides_for
from abpn_cli.engine.colour import AsIs
from abpn_cli.engine.finish import cone
from abpn_cli.engine.pyramid import Canvas, hull

UNHURRIED = settings(deadline=None)
SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))


@UNHURRIED
@given(SIZES, st.integers(1, 20), st.integers(1, 45), st.data())
def test_no_block_is_written_before_all_that_look_into_it_are_read(size, side, around, data):
    pixels = np.zeros((*size, 3), np.uint8)
    blocks = Blocks(size, side, around)
    writer = LateWriter(pixels, blocks.lag)
    open_ = data.draw(st.lists(st.sampled_from(range(len(blocks.tiles))), unique=True).map(sorted))
    most = 0
    for index in open_:
        tile = blocks.tiles[index]
        assert not pixels[tile.grown(around, size).window].any()
        writer.put(index, [Part(tile, np.ones_like(pixels[tile.window]))])
        done = int(pixels.sum())
        most = max(most, sum(blocks.tiles[i].area for i in open_ if i <= index) * 3 - done)
    assert most <= blocks.waiting_bytes(1, 0)
    writer.finish()
    marked = np.zeros_like(pixels)
    for index in open_:
        marked[blocks.tiles[index].window] = 1
    assert np.array_equal(pixels, marked)


@UNHURRIED
@given(SIZES, st.integers(1, 20))
def test_blocks_cover_every_pixel_once(size, side):
    seen = np.zeros(size, int)
    for tile in Blocks(size, side, 1).tiles:
        seen[tile.window] += 1
    assert (seen == 1).all()


@UNHURRIED
@given(st.integers(1, 6), SIZES, st.integers(10, 300), st.data())
def test_a_block_is_read_no_farther_than_its_margin(first, size, half_side, data):
    size = 16 * size[0], 16 * size[1]
    canvas = Canvas(np.broadcast_to(np.uint8(0), (*size, 3)), AsIs(), 2**first)
    block = data.draw(st.sampled_from(Blocks(size, 2 * half_side, 1).tiles))
    read = canvas.reaches(cone(canvas, block, first)[-1].outer, first - 1)[0]
    allowed = block.grown(margin(first), canvas.size)
    assert hull([read, allowed]) == allowed
    assert margin(first) <= sides_for(first).block
