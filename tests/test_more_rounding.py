"""A retouch of half a quantisation step is rounded towards no change, whichever way it goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jpeglib
import numpy as np
import pytest

from abpn_cli.codecs import EncodeOptions, decode, encode

STEP = 16  # of the mean of a block: one level of 8 x 8 equal pixels is 8, half of it
LEVELS = (1, 3, 5, 7)  # half a step, one and a half, ...


def means(path: Path) -> np.ndarray:
    """The quantised means of the blocks in a row, by jpeglib's own reader."""
    with jpeglib.version("turbo210"):
        read = jpeglib.read_dct(str(path))
        read.load()
    return read.Y[0, :, 0, 0].astype(int)


def flat(path: Path, channels: int) -> None:
    """A row of even blocks of mid grey."""
    with jpeglib.version("turbo210"):
        image = jpeglib.from_spatial(np.full((8, 8 * len(LEVELS), channels), 128, np.uint8))
        if channels == 3:
            image.samp_factor = [[1, 1]] * 3
        image.write_spatial(str(path), qt=np.full((min(channels, 2), 8, 8), STEP, np.uint16))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("way", [1, -1])
def test_a_half_is_rounded_towards_no_change(tmp_path: Path, channels: int, way: int) -> None:
    flat(tmp_path / "a.jpg", channels)
    photo = decode(tmp_path / "a.jpg")
    assert (photo.pixels == 128).all()
    change = np.repeat(LEVELS, 8)[None, :, None] * way
    done = replace(photo, pixels=(photo.pixels + change).astype(np.uint8))
    assert encode(done, tmp_path / "b.jpg", "jpeg", EncodeOptions()) == ()
    moved = means(tmp_path / "b.jpg") - means(tmp_path / "a.jpg")
    assert moved.tolist() == [way * (level // 2) for level in LEVELS]
