"""Larger blemishes painted on skin: domes, acne, scars, soft patches, a generator for each.

Pure functions as in `blemishes`: (size, skin, rng) to a ratio field (H, W, 3) float32, about 1;
size is (H, W), skin is (H, W) as `blemishes.inner_skin` returns it. Lengths are px at 1024 px long
side of the window that is painted on, scaled. Windows hold about half of what the program cuts
around a face, so that 40 px here are 20 there.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from .blemishes import lay, pigmented
from .synthesis import Floats, as_floats

DOMES = (10.0, 40.0)  # px: radii of large spots
PIMPLES = (2.0, 11.0)  # px: radii of those of a cluster
PATCHES = (18.0, 60.0)  # px: radii of soft patches
FAINTEST, DEEPEST = 0.05, 0.2  # log light that a patch takes: less is blush, more is no patch
ROOM = 0.7  # of its radius: how far a patch keeps from lips, eyes, brows and the rim of the skin


def domed(size: tuple[int, int], skin: Floats, rng: Generator) -> Floats:
    """Paint a few large raised spots with soft rims, lit from one side: (H, W, 3) ratio."""
    density, shade, scale = _bare(size)
    for place in _places(skin, int(rng.integers(1, 6)), rng):
        radius = _even(DOMES, rng) * scale
        depth, blood = rng.uniform(0.07, 0.35), rng.uniform(0, 1) ** 0.5
        lay(density[..., 0], place, radius, depth * (1 - blood), rng.uniform(0.6, 1), rng)
        lay(density[..., 1], place, radius, depth * blood, rng.uniform(0.6, 1), rng)
        if rng.random() < 0.5:  # the middle of a sore is darker than its rim
            lay(density[..., 1], place, radius * 0.5, depth * rng.uniform(0.2, 0.6), 1.0, rng)
        if rng.random() < 0.6:
            _raise(shade, place, radius, rng.uniform(0.02, 0.08), rng)
    return _laid(density, shade, skin)


def acne(size: tuple[int, int], skin: Floats, rng: Generator) -> Floats:
    """Paint clusters of pimples on skin that is sore between them: (H, W, 3) ratio."""
    density, shade, scale = _bare(size)
    for centre in _places(skin, int(rng.integers(1, 4)), rng):
        spread = rng.uniform(25, 90) * scale
        sore = rng.uniform(0, 0.1)
        for _ in range(int(rng.integers(6, 30))):
            place = as_floats(centre + rng.normal(0, spread, 2))
            radius, depth = _even(PIMPLES, rng) * scale, rng.uniform(0.08, 0.4)
            lay(density[..., 1], place, radius, depth, rng.uniform(0.5, 1), rng)
            lay(density[..., 0], place, radius, depth * rng.uniform(0, 0.5), 1.0, rng)
            lay(density[..., 1], place, radius * rng.uniform(1.8, 3), sore, 1.0, rng)
            if rng.random() < 0.3:
                lay(density[..., 1], place, radius * 0.4, -depth * rng.uniform(0.5, 1), 0.8, rng)
            _raise(shade, place, radius, rng.uniform(0, 0.08), rng)
    return _laid(density, shade, skin)


def scarred(size: tuple[int, int], skin: Floats, rng: Generator) -> Floats:
    """Paint scars, pale or dark thin lines, and pits, dark on the one side: (H, W, 3) ratio."""
    density, shade, scale = _bare(size)
    for place in _places(skin, int(rng.integers(0, 4)), rng):
        _line(density, place, scale, rng)
    for centre in _places(skin, int(rng.integers(0, 3)), rng):
        spread = rng.uniform(10, 70) * scale
        for _ in range(int(rng.integers(3, 16))):
            place = as_floats(centre + rng.normal(0, spread, 2))
            radius = max(rng.uniform(2, 9) * scale, 0.8)
            _raise(shade, place, radius, -rng.uniform(0.05, 0.2), rng)
            lay(density[..., 0], place, radius, rng.uniform(0, 0.12), 1.0, rng)
    return _laid(density, shade, skin)


def patched(size: tuple[int, int], skin: Floats, rng: Generator) -> Floats:
    """Paint soft patches, brown more than red, well inside the skin: (H, W, 3) ratio.

    Compact, alone, and never fainter than a blush: beside what a face has of its own (nose, cheeks,
    lips) a wide faint redness could be told by nothing, and a face would go pale.
    """
    density, shade, scale = _bare(size)
    room = cv2.distanceTransform((skin > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    for _ in range(int(rng.integers(1, 5))):
        radius = _even(PATCHES, rng) * scale
        inside = np.argwhere(room > ROOM * radius)
        if not len(inside):
            continue
        centre = as_floats(inside[int(rng.integers(len(inside)))])
        depth, blood = rng.uniform(FAINTEST, DEEPEST), rng.uniform(0, 0.7)
        layer = np.zeros(size, np.float32)
        for _ in range(int(rng.integers(2, 6))):  # uneven in outline: discs grown together
            place = as_floats(centre + rng.normal(0, 0.35 * radius, 2))
            disc = np.zeros(size, np.float32)
            lay(disc, place, radius * rng.uniform(0.4, 0.8), 1.0, rng.uniform(0.5, 1), rng)
            layer = as_floats(np.maximum(layer, disc))
        density[..., 0] += layer * np.float32(depth * (1 - blood))
        density[..., 1] += layer * np.float32(depth * blood)
    return _laid(density, shade, skin)


def _bare(size: tuple[int, int]) -> tuple[Floats, Floats, float]:
    """Nothing painted yet: pigment (H, W, 2), shade (H, W) in log light; px per px at 1024."""
    return np.zeros((*size, 2), np.float32), np.zeros(size, np.float32), max(size) / 1024


def _laid(density: Floats, shade: Floats, skin: Floats) -> Floats:
    """Pigment and shade as a ratio on the skin alone: (H, W, 3)."""
    light = np.exp(np.clip(shade * skin, -0.4, 0.3))
    return as_floats(pigmented(as_floats(density * skin[..., None])) * light[..., None])


def _places(skin: Floats, count: int, rng: Generator) -> list[Floats]:
    """Places on the skin: `count` of (row, column), none where there is no skin."""
    places = np.argwhere(skin > 0.5)
    if not len(places):
        return []
    return [as_floats(places[int(rng.integers(len(places)))]) for _ in range(count)]


def _even(bounds: tuple[float, float], rng: Generator) -> float:
    """A length between two, even on a logarithmic scale: most are small."""
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _raise(shade: Floats, place: Floats, radius: float, depth: float, rng: Generator) -> None:
    """Light one side of a bump and shade the other, in place; a pit where depth is negative."""
    angle = rng.uniform(0, 2 * np.pi)
    aside = as_floats(np.array([np.sin(angle), np.cos(angle)]) * radius * 0.5)
    lay(shade, as_floats(place - aside), radius * 0.7, depth, 1.0, rng)
    lay(shade, as_floats(place + aside), radius * 0.7, -depth, 1.0, rng)


def _line(density: Floats, place: Floats, scale: float, rng: Generator) -> None:
    """Add a thin line, nearly straight, of one tint, uneven along its length, in place."""
    angle, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.15)
    length, width = rng.uniform(25, 110) * scale, max(rng.uniform(1.0, 3.5) * scale, 0.7)
    tint = rng.uniform((-0.16, -0.12), (0.16, 0.25))  # of melanin, of blood: pale where negative
    count = max(4, int(length / width))
    for index in range(count):
        fade = float(np.sin(np.pi * (index + 1) / (count + 1))) ** 0.5 * rng.uniform(0.3, 0.7)
        for pigment, depth in enumerate(tint):
            lay(density[..., pigment], place, width, depth * fade, 1.0, rng)
        angle += bend / count * 4
        place = as_floats(place + np.array([np.sin(angle), np.cos(angle)]) * length / count)
