"""How much memory a photo takes, told before it is taken."""

from __future__ import annotations

from math import prod
from pathlib import Path

from ..errors import PhotoError
from ..photo import Photo

MIB = 2**20
# Python, torch and OpenCV, resident: measured 272 MiB, and spare for other builds of them.
PROGRAM_BYTES = 448 * MIB
# One tile: maps of 16, 6 and 3 channels, all float32, and what the allocator keeps of them.
TILE_BYTES = 80 * MIB
# The LRL's feature maps and their convolutions' workspace per pixel of the thumbnail, at width 1.
PAINTING_BYTES_PER_PIXEL = 1536
# Bytes per pixel of the padded photo: I_1..I_l take 4 (12 a pixel of level 1, of which there are a
# quarter, and a third more for the levels above it), B_1 and B_2 take 3.75.
PYRAMID_BYTES_PER_PIXEL = 8
# A user's mask is float32 here, and once more as 16-bit integers while it is being fitted.
MASK_BYTES_PER_PIXEL = 6


def peak_bytes(
    photo: Photo,
    thumbnail: tuple[int, int],
    weight_bytes: int,
    width: float,
    masks: int,
    threads: int,
) -> int:
    """Most memory that retouching takes, the photo, its result and the program included.

    thumbnail: (height, width) of I_l; width: the network's; masks: how many of --only and
    --protect are given; threads: tiles at once.
    """
    pixels = prod(photo.pixels.shape[:2])
    alpha = 0 if photo.alpha is None else photo.alpha.nbytes
    return (
        PROGRAM_BYTES
        + threads * TILE_BYTES
        + 2 * weight_bytes  # once as read from the file
        + round(prod(thumbnail) * PAINTING_BYTES_PER_PIXEL * width)
        + 2 * photo.pixels.nbytes
        + alpha
        + pixels * (PYRAMID_BYTES_PER_PIXEL + MASK_BYTES_PER_PIXEL * masks)
    )


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
