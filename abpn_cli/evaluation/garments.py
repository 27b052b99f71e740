"""Real garments: wrinkles must go, and seams, buttons, prints, knit and edges must stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from ..codecs import decode
from ..errors import PhotoError, shown
from ..photo import Photo
from ..training.cloth_pairs import CLOTH
from ..training.gallery import resize, upright_floats
from ..training.made_pairs import Labels
from ..training.synthesis import Floats
from .judge import middle
from .methods import Method
from .wrinkles import LEAST_CLOTH, Kept, kept, places_in

LEAST_REMOVED = 0.35  # of the wrinkles' mid-band energy
LEAST_KEPT = 0.95  # of the edges' gradient energy, and of the texture's
STEPS_8, STEPS_16 = 255, 65535


class Garment(NamedTuple):
    """What weights made of a photo of a garment, or on the average of a set of them.

    set:    folder of the photo, inside the folder of all.
    photo:  its path inside the folder of all; "" for the means of a set.
    others: as of `wrinkles.Kept`; nan where there is too little of a kind to tell.
    passes: removed >= LEAST_REMOVED, edges and texture >= LEAST_KEPT, as far as they can be told.
    """

    set: str
    photo: str
    method: str
    wrinkled: float
    depth: float
    removed: float
    removed_all: float
    edges: float
    texture: float
    passes: bool


LookAtGarment = Callable[[Garment, Photo, Floats, Floats], None]
"""Shown the figures, the photo, its upright pixels and what became of them by methods `seen`."""


def look_away(garment: Garment, photo: Photo, before: Floats, after: Floats) -> None:
    """Nobody looks."""


def judge_garments(
    labels: Labels,
    photos: Iterable[Path],
    methods: Sequence[Method],
    look: LookAtGarment,
    left_out: Callable[[str], None],
) -> Iterator[Garment]:
    """Yield the figures of each photo and each method.

    labels: where cloth is; without an archive of maps, everywhere. left_out: told of photos that
    cannot be judged.
    """
    for path in photos:
        try:
            name = path.relative_to(labels.root)
            photo = sixteen_bits(decode(path))
            image = upright_floats(photo)
            places = places_in(image, cloth_in(labels, path, image))
            if places.cloth.sum() < LEAST_CLOTH:
                raise PhotoError(path, "shows too little cloth to judge", "Look at its label map.")
            for method in methods:
                after = method.attempt(photo).result
                found = garment_of(kept(image, after, places))
                garment = found._replace(
                    set=shown(name.parent), photo=shown(name), method=method.name
                )
                if method.seen:
                    look(garment, photo, image, after)
                yield garment
        except PhotoError as error:
            left_out(str(error))


def cloth_in(labels: Labels, path: Path, image: Floats) -> Floats:
    """Where a photo shows cloth: (H, W) in [0, 1], the size of the upright (H, W, 3) `image`.

    Raises:
        PhotoError: there are label maps, and none of this photo.
    """
    size = (image.shape[0], image.shape[1])
    if labels.file is None:
        return np.ones(size, np.float32)
    cloth = labels(path, CLOTH)
    if cloth is None:
        raise PhotoError(path, "has no label map", "Add one to --masks, or leave the photo out.")
    return resize(cloth, size)


def garment_of(figures: Kept) -> Garment:
    """Say whether figures pass; names are left empty."""
    removed, edges, texture = figures.removed, figures.edges, figures.texture
    passes = not (removed < LEAST_REMOVED or edges < LEAST_KEPT or texture < LEAST_KEPT)
    return Garment("", "", "", *figures, passes)


def means_of_sets(garments: Sequence[Garment]) -> list[Garment]:
    """Means over the photos of each set, by method; they pass by the same limits."""
    found = []
    for name, method in dict.fromkeys((garment.set, garment.method) for garment in garments):
        own = [g for g in garments if (g.set, g.method) == (name, method)]
        columns = zip(*(g[3:9] for g in own), strict=True)
        mean = garment_of(Kept._make(middle(column, fmean) for column in columns))
        found.append(mean._replace(set=name, method=method))
    return found


def passed(garments: Sequence[Garment], method: str) -> tuple[int, int]:
    """How many photos passed, of how many judged."""
    own = [garment.passes for garment in garments if garment.method == method]
    return sum(own), len(own)


def sixteen_bits(photo: Photo) -> Photo:
    """The same in 16 bits: rounding a result to 8 adds noise that would pass for texture."""
    if photo.pixels.dtype == np.uint16:
        return photo
    pixels = photo.pixels.astype(np.uint16) * np.uint16(STEPS_16 // STEPS_8)
    return Photo(pixels, photo.metadata, source=photo.source)
