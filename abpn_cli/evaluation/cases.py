"""Pairs as they are judged: at full size, or as the paper does, padded to a square of 1024 px."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..codecs import decode
from ..errors import PhotoError, shown
from ..photo import Metadata, Photo, upright_size
from ..training.gallery import resize, upright_floats
from ..training.pairs import CHANGED, Pair
from ..training.synthesis import Floats
from .measures import Bools

PAPER_SIDE = 1024  # px, paper 5.1
MOST_16_BIT = 65535


@dataclass(frozen=True)
class Case:
    """A pair made ready.

    name:    of the photo, printable.
    photo:   what methods are given.
    before:  its upright pixels, (H, W, 3) float32 in [0, 1]; target: the retoucher's.
    changed: (H, W), M_gt: any channel of the two differs by more than 2/255.
    """

    name: str
    photo: Photo
    before: Floats
    target: Floats
    changed: Bools


Protocol = Callable[[Photo, Photo], tuple[Photo, Floats]]
"""Brings the photos of a pair to the size they are judged at: what methods are given, and the
retoucher's upright pixels."""


def full_size(original: Photo, retouched: Photo) -> tuple[Photo, Floats]:
    """Photos as they are."""
    return original, upright_floats(retouched)


def paper(original: Photo, retouched: Photo) -> tuple[Photo, Floats]:
    """Padded to a square and resized to 1024 x 1024, 16 bits.

    Padding is equal in both, so that figures rise by 1.8 dB for photos of 2:3: compare them with
    the untouched photo's, and never with those at full size.
    """
    before, target = (_squared(upright_floats(photo)) for photo in (original, retouched))
    pixels = np.rint(before * MOST_16_BIT).astype(np.uint16)
    metadata = Metadata(icc=original.metadata.icc)
    return Photo(pixels, metadata, source=original.source), target


PROTOCOLS: Mapping[str, Protocol] = {"full": full_size, "paper": paper}


def read_case(pair: Pair, protocol: Protocol) -> Case:
    """Read a pair.

    Raises:
        PhotoError: a photo cannot be read or the sizes of a pair differ.
    """
    original, retouched = decode(pair.original), decode(pair.retouched)
    if _upright_size(original) != _upright_size(retouched):
        raise PhotoError(
            pair.retouched, "differs in size from its original", "Export both at one size."
        )
    photo, target = protocol(original, retouched)
    before = upright_floats(photo)
    changed: Bools = np.abs(before - target).max(axis=2) > CHANGED
    return Case(shown(pair.original.name), photo, before, target, changed)


def _upright_size(photo: Photo) -> tuple[int, int]:
    height, width = photo.pixels.shape[:2]
    return upright_size((height, width), photo.metadata.orientation)


def _squared(image: Floats) -> Floats:
    """Pad with black on both sides to a square, and resize to PAPER_SIDE."""
    height, width = image.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return resize(square, (PAPER_SIDE, PAPER_SIDE)).clip(0, 1)
