"""Pairs of small copies whose colours differ: a studio's own, or clean photos put wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .damage import damaged, draw_damage
from .gallery import Gallery, resize
from .pairs import Pair, digest_of
from .synthesis import Floats

LONG_SIDE = 500  # px of the photos that are kept in memory, and judged
UNTOUCHED = 0.4  # share of made pairs whose photo is left as it is: restraint is learnt from them
CROPPED = 0.6  # share of pairs that are cropped
WAYS = 3  # in which a held-out photo is put wrong: the mean of one hangs on its draws
LEAST_CROP = 0.5  # of a photo's sides: what a crop keeps

_PHOTOS = Gallery(LONG_SIDE)  # of this process


class Coloured(NamedTuple):
    """A small photo and how its colours shall become, (h, w, 3) float32 in [0, 1]."""

    photo: Floats
    wanted: Floats


class ColourSource(Protocol):
    """Anything that draws coloured pairs; `identity` says from what, for a run that goes on."""

    @property
    def identity(self) -> str:
        """Digest of what and how."""

    def draw(self, rng: Generator, side: int) -> Coloured:
        """Draw a pair of `side` by `side` px."""


class Damaged:
    """Clean photos put wrong at random; some are left as they are."""

    def __init__(self, photos: Sequence[Path], root: Path) -> None:
        """photos: files under `root`, of which at least one."""
        self.photos = list(photos)
        self._names = [photo.relative_to(root).as_posix() for photo in photos]

    @property
    def identity(self) -> str:
        """Digest of the photos' names."""
        return digest_of(self._names, UNTOUCHED)

    def draw(self, rng: Generator, side: int) -> Coloured:
        """Draw a photo, crop it, and put it wrong."""
        photo = _PHOTOS.pixels(self.photos[int(rng.integers(len(self.photos)))])
        (copy,) = _copies((photo,), rng, side)
        clean = copy.astype(np.float32) / np.float32(255)
        if rng.random() < UNTOUCHED:
            return Coloured(clean, clean)
        return Coloured(damaged(copy, draw_damage(rng)), clean)


class StudioColours:
    """A studio's before and after, whole and in crops."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        """pairs: of photos of one frame, at least one."""
        self.pairs = list(pairs)

    @property
    def identity(self) -> str:
        """Digest of the photos' names."""
        return digest_of([path.name for pair in self.pairs for path in pair])

    def draw(self, rng: Generator, side: int) -> Coloured:
        """Draw a pair and crop both alike."""
        pair = self.pairs[int(rng.integers(len(self.pairs)))]
        before, after = (_PHOTOS.pixels(path) for path in pair)
        if after.shape != before.shape:
            size = before.shape[1::-1]
            after = np.asarray(cv2.resize(after, size, interpolation=cv2.INTER_AREA), np.uint8)
        before, after = _copies((before, after), rng, side)
        return Coloured(*(copy.astype(np.float32) / np.float32(255) for copy in (before, after)))


def _copies(
    photos: Sequence[NDArray[np.uint8]], rng: Generator, side: int
) -> list[NDArray[np.uint8]]:
    """Crop (h, w, 3) of one frame, mirror them, each by chance, and bring them to squares."""
    size = np.array(photos[0].shape[:2])
    kept, top, left = size, 0, 0
    if rng.random() < CROPPED:
        kept = np.maximum((size * rng.uniform(LEAST_CROP, 1, 2)).astype(int), 1)
        top, left = (int(rng.integers(room + 1)) for room in size - kept)
    step = -1 if rng.random() < 0.5 else 1
    copies = []
    for photo in photos:
        part = photo[top : top + kept[0], left : left + kept[1]][:, ::step]
        copy = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA)
        copies.append(np.asarray(copy, np.uint8))
    return copies


def damaged_pairs(photos: Sequence[Path], seed: int) -> list[Coloured]:
    """Pairs of each photo, whole at LONG_SIDE: put wrong in WAYS ways, and left as it is."""
    pairs = []
    for index, path in enumerate(photos):
        photo = _PHOTOS.pixels(path)
        clean = photo.astype(np.float32) / np.float32(255)
        pairs.append(Coloured(clean, clean))
        for way in range(WAYS):
            damage = draw_damage(np.random.default_rng((seed, index, way)))
            pairs.append(Coloured(damaged(photo, damage), clean))
    return pairs


def studio_pairs(pairs: Sequence[Pair]) -> list[Coloured]:
    """A studio's pairs, whole at LONG_SIDE."""
    small = [[_PHOTOS.image(path) for path in pair] for pair in pairs]
    return [Coloured(before, resize(after, before.shape[:2])) for before, after in small]
