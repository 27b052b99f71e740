"""Chino shorts, laid flat: waistband, fly, slant pockets, belt loops."""

from __future__ import annotations

import numpy as np

from .fabric import Colour, Fabric, twill
from .frame import Points, joined, mirrored, offset, spline
from .garment import Button, Garment, Part, Seam
from .wrinkles import Creases, Ridge, crumple, fan, storage_crease

_WAIST = spline(
    [(-212.0, -262.0), (-110.0, -252.0), (0.0, -248.0), (110.0, -252.0), (212.0, -262.0)]
)
_BELOW = spline(
    [(-216.0, -222.0), (-110.0, -212.0), (0.0, -208.0), (110.0, -212.0), (216.0, -222.0)]
)
_BACK = spline(
    [(-212.0, -262.0), (-110.0, -272.0), (0.0, -276.0), (110.0, -272.0), (212.0, -262.0)]
)
_SIDE = spline([(216.0, -224.0), (252.0, -110.0), (278.0, 40.0), (298.0, 246.0)])
_HEM = spline([(298.0, 246.0), (170.0, 258.0), (34.0, 252.0)])
_INSEAM = spline([(34.0, 252.0), (22.0, 150.0), (0.0, 34.0)])
_POCKET = spline([(128.0, -214.0), (190.0, -160.0), (248.0, -104.0)])
_FLY = spline([(36.0, -208.0), (36.0, -130.0), (30.0, -86.0), (0.0, -52.0)])


def shorts(rng: np.random.Generator, cloth: Colour, thread: Colour) -> Garment:
    """Shorts 600 mm wide at the hem."""
    chino = Fabric(cloth, twill, yarn_mm=0.55, contrast=0.07)
    red, green, blue = cloth
    inside = Fabric((red * 0.7, green * 0.7, blue * 0.72), twill, yarn_mm=0.55, contrast=0.05)
    # cloth reaches under what is sewn over it, so that no gap opens at a seam
    top = np.array([(0.0, -226.0), (216.0, -236.0)])
    leg = joined(top, _SIDE, _HEM, _INSEAM)
    under = joined(np.array([(-9.0, 20.0), (-9.0, -226.0)]), leg)
    band = joined(_WAIST, _BELOW[::-1])
    parts = [
        Part(joined(_BACK, _WAIST[::-1] + (0.0, 6.0)), inside, lift=1.5, shade=0.8),
        Part(under, chino, lift=2.6, grain=2.0),
        Part(mirrored(leg), chino, lift=3.0, grain=-2.0),
        Part(band, chino, lift=3.8, grain=90.0, stiffness=0.75),
    ]
    parts += [Part(_loop(x), chino, lift=4.8, rim=1.0, stiffness=0.9) for x in (-118.0, 118.0)]
    buttons = (Button((9.0, -230.0), 7.0, (0.30, 0.22, 0.14)),)
    return Garment(
        tuple(parts), _seams(thread), _wrinkles(rng), buttons, creases=_CREASES, drape=1.6
    )


_CREASES = (
    Creases(70.0, 190.0, 52.0, 2.2),
    Creases(-24.0, 130.0, 34.0, 1.4),
    Creases(35.0, 60.0, 17.0, 0.7),
)


def _loop(x: float) -> Points:
    return np.array([(x - 5, -262.0), (x + 5, -262.0), (x + 5, -204.0), (x - 5, -204.0)])


def _seams(thread: Colour) -> tuple[Seam, ...]:
    hem = offset(_HEM, 26.0)
    both = [
        Seam(hem, (0.0,), thread, groove=0.5, pucker=0.35),
        Seam(_POCKET, (2.0, 7.0), thread, groove=0.9, pucker=0.25),
        Seam(offset(_SIDE, 6.0), (0.0,), thread, groove=0.4, pucker=0.3),
    ]
    mirror = [
        Seam(mirrored(seam.path), seam.rows, thread, seam.groove, seam.pucker) for seam in both
    ]
    middle = [
        Seam(np.array([(0.0, -208.0), (0.0, -80.0), (0.0, 34.0)]), (3.0,), thread, 0.8, 0.3),
        Seam(_FLY, (0.0, 4.0), thread, groove=0.4, pucker=0.2),
        Seam(offset(_WAIST, 3.0), (0.0,), thread, groove=0.2, pucker=0.0),
        Seam(offset(_BELOW, -3.0), (0.0,), thread, groove=0.2, pucker=0.25),
    ]
    return tuple(both + mirror + middle)


def _wrinkles(rng: np.random.Generator) -> tuple[Ridge, ...]:
    ridges: list[Ridge] = []
    # whiskers from the crotch, and what sitting leaves across the hips
    ridges += fan(rng, (4.0, 20.0), (-50.0, 25.0), 7, (70.0, 230.0), 2.4)
    ridges += fan(rng, (-4.0, 20.0), (155.0, 230.0), 7, (70.0, 230.0), 2.4)
    ridges += crumple(rng, (-285.0, -180.0, -20.0, 240.0), 110, 0.9)
    ridges += crumple(rng, (20.0, -180.0, 285.0, 240.0), 110, 0.9)
    ridges += storage_crease(rng, np.array([(165.0, -150.0), (170.0, 250.0)]), 0.9)
    ridges += storage_crease(rng, np.array([(-162.0, -150.0), (-170.0, 250.0)]), 0.9)
    return tuple(ridges)
