"""How much memory a photo takes, told before it is taken."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import NamedTuple

from ..errors import PhotoError
from ..photo import Photo
from .blocks import Blocks, margin, sides_for
from .crew import AHEAD
from .outlook import Outlook
from .pyramid import first_held, held_bytes, padded_length

MIB = 2**20
# Python, torch and OpenCV, resident: measured 272 MiB, and spare for other builds of them.
PROGRAM_BYTES = 448 * MIB
# One thread: a block's levels, a tile's maps of 16, 6 and 3 channels, all float32, and what the
# allocator keeps of them.
BLOCK_BYTES = 80 * MIB
# The LRL's feature maps and their convolutions' workspace per pixel of the thumbnail, at width 1.
PAINTING_BYTES_PER_PIXEL = 1536
# A user's mask is float32 here, and once more as 16-bit integers while it is being fitted.
MASK_BYTES_PER_PIXEL = 6


class Needs(NamedTuple):
    """What retouching takes besides the photo.

    weight_bytes: of the network; width: the network's; threads: blocks at once; masks: how many of
    --only and --protect are given; results: photos made besides the one given, 0 or 1.
    """

    weight_bytes: int
    width: float
    threads: int
    masks: int
    results: int


def peak_bytes(photo: Photo, seen: Outlook, needs: Needs) -> int:
    """Most memory that retouching takes, photo, result and program included.

    Besides masks and whole photos it hardly grows with the size: HELD_BYTES of coarse levels, and
    a row of blocks that wait to be written along the photo's shorter side.
    """
    size = photo.pixels.shape[0], photo.pixels.shape[1]
    alpha = 0 if photo.alpha is None else photo.alpha.nbytes
    return (
        PROGRAM_BYTES
        + needs.threads * BLOCK_BYTES
        + 2 * needs.weight_bytes  # once as read from the file
        + round(prod(seen.thumbnail) * PAINTING_BYTES_PER_PIXEL * needs.width)
        + (1 + needs.results) * photo.pixels.nbytes
        + alpha
        + _streaming_bytes(photo, seen.levels, needs.threads)
        + prod(size) * MASK_BYTES_PER_PIXEL * needs.masks
    )


def _streaming_bytes(photo: Photo, levels: int, threads: int) -> int:
    height, width = (padded_length(length, 2**levels) for length in photo.pixels.shape[:2])
    first = first_held((height, width), levels)
    blocks = Blocks((height, width), sides_for(first).block, margin(first))
    waiting = blocks.waiting_bytes(photo.pixels.dtype.itemsize, AHEAD * threads)
    return held_bytes((height, width), first) + waiting


def check_fits(source: Path, size: tuple[int, int], needed: int, allowed: int) -> None:
    """Refuse a photo of `size` that needs more bytes than are allowed.

    Raises:
        PhotoError: it does not fit.
    """
    if needed > allowed:
        megapixels = prod(size) / 1e6
        raise PhotoError(
            source,
            f"{megapixels:.0f} megapixels need {needed / 2**30:.1f} GiB of memory, "
            f"{allowed / 2**30:.1f} GiB are allowed",
            "Raise --max-memory, or retouch a smaller copy.",
        )
