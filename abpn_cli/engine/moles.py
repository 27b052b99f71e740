"""Moles, which are a person's own: found before the network sees them, and kept from it.

The network removes spots of all kinds. A mole is told from a blemish by what it is: dark; brown,
for melanin absorbs red light too, which blood lets pass; sharp; compact; and large enough to be
known by. The maths is a scale-space of log light, in which a spot is a place bent in all directions
(`skin.bends`). What is found that is no mole, a pupil or a nostril, is kept as well: it is not for
the network either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from ..photo import Photo
from ..skin import bends
from .colour import Image
from .copies import small_copy
from .gate import Plane, smoothstep

SEEN_SIDE = 1024  # px: long side of the copy of a face's crop in which moles are looked for
DARK = 0.04  # added to light before its logarithm
SIGMAS = (1.1, 1.6, 2.2, 3.2, 4.5, 6.4, 9.0)  # px: scales of spots of 3 to 25 px across
BENT = 0.05  # bend times sigma²: a Gaussian spot of depth d has d/4 at its own scale
ROUND = 0.4  # the lesser bend by the greater: below is a line
LEAST_DIAMETER = 0.006  # of the face's width: less is a freckle
DEEP = 0.28  # log of green light lost: freckles and healing spots lose 0.1 to 0.25
BROWN = 0.36  # red light lost by green light lost: melanin 0.6, black 1, blood 0.12
EVEN = 0.45  # spread of the skin around it by its depth: more is a brow, a lash, a rim
ALONE = 0.5  # what its darkest tenth loses by its depth: more is the end of a line, a crease
SHARP = 0.8  # steepest rise by depth over radius: 0.86 for a Gaussian spot, more with an edge
SKIN = 0.6  # log of green light by which a mole's surroundings may differ from the face's middle
CROWD, CROWDED = 50.0, 4  # px, and spots within it besides: more are stubble, lashes or hair
SHUT, OPEN = 1.35, 2.0  # radii: the gate is shut within the one, as it was beyond the other


class Mole(NamedTuple):
    """A mole, in pixels of the image it was found in: middle and radius."""

    row: float
    column: float
    radius: float


def find_moles(photo: Photo, face_width: float) -> tuple[Mole, ...]:
    """Find the moles in a photo that is a face and some of what is around it, from top to bottom.

    face_width: in px of the photo.
    """
    height, width = photo.pixels.shape[:2]
    seen = small_copy(photo, SEEN_SIDE).clip(0, None)
    down, across = height / seen.shape[0], width / seen.shape[1]
    logs = np.log(seen + np.float32(DARK))
    least = max(LEAST_DIAMETER / 2 * face_width / down, 1.0)
    moles: list[Mole] = []
    for spot in _spots(np.array(logs[..., 1], np.float32)):
        known = any(_apart(spot, mole) < mole.radius for mole in moles)
        if spot.radius >= least and not known and _is_mole(logs, spot):
            moles.append(spot)
    return tuple(
        sorted(
            Mole(
                (each.row + 0.5) * down - 0.5,
                (each.column + 0.5) * across - 0.5,
                each.radius * down,
            )
            for each in moles
            if sum(_apart(each, other) < CROWD for other in moles) <= CROWDED + 1
        )
    )


def shut_at(moles: tuple[Mole, ...], size: tuple[int, int]) -> Plane:
    """How much the gate is shut for moles: (H, W), 1 on each, softly 0 around it."""
    shut = np.zeros(size, np.float32)
    for mole in moles:
        window, distance = _around(size, mole, OPEN)
        rim = 1 - smoothstep(SHUT, OPEN, distance / np.float32(mole.radius))
        shut[window] = np.maximum(shut[window], rim)
    return shut


def _spots(light: Plane) -> Iterator[Mole]:
    """Yield places bent in all directions, of their own scale, the most bent first."""
    lessers, rounds = [], []
    for sigma in SIGMAS:
        lesser, greater = bends(np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), np.float32))
        lessers.append(lesser * np.float32(sigma**2))
        rounds.append(lesser > ROUND * greater)
    bent = np.stack(lessers)
    nearby = np.stack([cv2.dilate(each, np.ones((3, 3), np.uint8)) for each in bent])
    edge = np.zeros_like(nearby[:1])
    nearby = np.maximum(
        nearby, np.maximum(np.concatenate([edge, nearby[:-1]]), np.concatenate([nearby[1:], edge]))
    )
    skin = np.abs(cv2.GaussianBlur(light, (0, 0), SIGMAS[-1]) - _usual(light)) < SKIN
    peaks = np.argwhere((bent >= nearby) & (bent > BENT) & np.stack(rounds) & skin)
    order = np.argsort(-bent[tuple(peaks.T)], kind="stable")
    for scale, row, column in peaks[order]:
        yield Mole(float(row), float(column), SIGMAS[scale] * 2**0.5)


def _usual(light: Plane) -> float:
    """Log light of the skin: the median of the middle ninth of a face's crop."""
    height, width = light.shape
    return float(np.median(light[height // 3 : -(height // 3), width // 3 : -(width // 3)]))


def _apart(one: Mole, other: Mole) -> float:
    return float(np.hypot(one.row - other.row, one.column - other.column))


def _is_mole(logs: Image, spot: Mole) -> bool:
    """Whether a spot in log light (H, W, 3) is deep, brown, sharp, and lies in even skin."""
    window, distance = _around((logs.shape[0], logs.shape[1]), spot, 3.0)
    near = logs[window]
    middle = near[distance <= max(0.6 * spot.radius, 0.75)]
    around = near[(distance >= 1.6 * spot.radius) & (distance <= 2.8 * spot.radius)]
    if not len(middle) or len(around) < 8:
        return False
    lost = np.median(around, axis=0) - np.median(middle, axis=0)  # of R, G, B
    if lost[1] < DEEP or lost[0] < BROWN * lost[1]:
        return False
    darkest = float(np.median(around[:, 1]) - np.percentile(around[:, 1], 10))
    if darkest > ALONE * lost[1] or float(around[:, 1].std()) > EVEN * lost[1]:
        return False
    rise = np.hypot(*np.gradient(near[..., 1]))[distance <= 1.6 * spot.radius]
    return bool(np.percentile(rise, 90) * spot.radius >= SHARP * lost[1])


def _around(size: tuple[int, int], spot: Mole, radii: float) -> tuple[tuple[slice, slice], Plane]:
    """A window of so many radii around a spot, and each of its pixels' distance from the middle."""
    reach = spot.radius * radii + 1
    rows, columns = (
        np.arange(max(0, int(middle - reach)), min(length, int(middle + reach) + 1))
        for middle, length in ((spot.row, size[0]), (spot.column, size[1]))
    )
    distance = np.hypot((rows - spot.row)[:, None], (columns - spot.column)[None])
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return window, distance.astype(np.float32)
