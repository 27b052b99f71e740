"""A crew-neck T-shirt, laid flat and wrinkled as it comes out of a drawer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .fabric import Colour, Fabric, jersey, rib, smooth
from .frame import Pair, Points, joined, mirrored, offset, spline, turned
from .garment import Garment, Part, Print, Seam
from .wrinkles import Creases, Ridge, crumple, fan, storage_crease

_TOP = -326.0  # where the neckline meets the shoulder seams, millimetres from the middle
_NECK = (0.0, -340.0)  # what the neckbands' ribs run around
_SHOULDER = (215.0, -270.0)  # what the right sleeve turns about
_BAND = 19.0  # width of the neckband, millimetres


def tshirt(
    rng: np.random.Generator,
    cloth: Colour,
    thread: Colour,
    sleeves: Pair = (4.0, -6.0),
    prints: Sequence[Print] = (),
) -> Garment:
    """A T-shirt 520 mm wide. sleeves: how far left and right are turned up, degrees."""
    knit = Fabric(cloth, jersey, yarn_mm=0.85, contrast=0.08)
    band = Fabric(cloth, rib, yarn_mm=1.15, contrast=0.13)
    red, green, blue = cloth
    inside = Fabric((0.8 * red, 0.8 * green, 0.8 * blue), jersey, yarn_mm=0.85, contrast=0.07)
    inner, outer = _neckline(79.0, 80.0), _neckline(79.0 + _BAND, 80.0 + _BAND)
    right = turned(_SLEEVE, sleeves[1], _SHOULDER)
    left = turned(mirrored(_SLEEVE), sleeves[0], (-_SHOULDER[0], _SHOULDER[1]))
    back = joined(_BACK_NECK, _BACK_NECK[::-1] + (0.0, _BAND))
    parts = (
        Part(joined(_BACK_NECK, outer[::-1]), inside, lift=1.0, shade=0.9),
        Part(back, replace(band, colour=inside.colour), lift=1.6, about=_NECK, stiffness=0.6),
        Part(_LABEL, Fabric((0.5, 0.49, 0.46), smooth, 1.0, 0.02), lift=1.5, stiffness=0.5),
        Part(right, knit, lift=2.4, grain=28.0),
        Part(left, knit, lift=2.4, grain=-28.0),
        Part(_body(_neckline(79.0 + _BAND / 2, 80.0 + _BAND / 2)), knit, lift=3.0),
        Part(joined(inner, outer[::-1]), band, lift=3.6, about=_NECK, stiffness=0.7),
    )
    ink = Print(_LABEL_WORDS, (0.05, 0.05, 0.06))
    seams = _seams(thread, outer, sleeves)
    return Garment(parts, seams, _wrinkles(rng), prints=(ink, *prints), creases=_CREASES, drape=2.2)


def _neckline(half_width: float, depth: float) -> Points:
    """The front's neckline, from the left shoulder round to the right one."""
    return spline(
        [
            (-half_width, _TOP),
            (-half_width * 0.87, _TOP + depth * 0.50),
            (-half_width * 0.50, _TOP + depth * 0.88),
            (0.0, _TOP + depth),
            (half_width * 0.50, _TOP + depth * 0.88),
            (half_width * 0.87, _TOP + depth * 0.50),
            (half_width, _TOP),
        ]
    )


_WIDE = 79.0 + _BAND
_BACK_NECK = spline(
    [(-_WIDE, _TOP), (-60.0, _TOP + 10), (0.0, _TOP + 15), (60.0, _TOP + 10), (_WIDE, _TOP)]
)
_LABEL: Points = np.array([(-15.0, -290.0), (15.0, -291.0), (15.5, -268.0), (-14.5, -267.0)])
_LABEL_WORDS = tuple(
    np.array([(left, top), (right, top), (right, top + 1.6), (left, top + 1.6)])
    for left, right, top in ((-9.0, 9.0, -285.5), (-6.0, 6.0, -281.0), (-2.0, 2.2, -275.0))
)
_CREASES = (
    Creases(-28.0, 170.0, 62.0, 3.6),
    Creases(48.0, 150.0, 44.0, 2.7),
    Creases(-62.0, 80.0, 22.0, 1.1),
    Creases(12.0, 60.0, 17.0, 0.75),
)
_ARMHOLE = spline([(226.0, -296.0), (212.0, -240.0), (214.0, -180.0), (258.0, -122.0)])
_CUFF = spline([(392.0, -148.0), (352.0, -112.0), (302.0, -76.0)])
# the sleeve reaches under the body, so that no gap opens when it is turned
_SLEEVE = joined(
    spline([(170.0, -302.0), (212.0, -299.0), (262.0, -282.0), (330.0, -226.0), (392.0, -148.0)]),
    _CUFF,
    spline([(302.0, -76.0), (282.0, -92.0), (246.0, -122.0), (180.0, -150.0)]),
)


def _body(neck: Points) -> Points:
    """The front: neck, shoulder, armhole, side, hem, and the other side."""
    shoulder = spline([(_WIDE, _TOP), (150.0, -313.0), (226.0, -296.0)])
    side = spline([(258.0, -122.0), (254.0, -40.0), (249.0, 80.0), (254.0, 220.0), (262.0, 336.0)])
    hem = spline([(262.0, 336.0), (150.0, 345.0), (0.0, 341.0), (-130.0, 346.0), (-262.0, 336.0)])
    right = joined(shoulder, _ARMHOLE, side)
    return joined(neck, right, hem, mirrored(right))


def _seams(thread: Colour, neck: Points, sleeves: Pair) -> tuple[Seam, ...]:
    cuff = offset(_CUFF, 17.0)
    right = turned(cuff, sleeves[1], _SHOULDER)
    left = turned(mirrored(cuff), sleeves[0], (-_SHOULDER[0], _SHOULDER[1]))
    hem = spline([(258.0, 318.0), (150.0, 327.0), (0.0, 323.0), (-130.0, 328.0), (-258.0, 318.0)])
    return (
        Seam(_ARMHOLE, thread=None, groove=0.7, pucker=0.35),
        Seam(mirrored(_ARMHOLE), thread=None, groove=0.7, pucker=0.35),
        Seam(hem, rows=(0.0, 5.5), thread=thread, groove=0.5, pucker=0.3),
        Seam(right, rows=(0.0, 5.0), thread=thread, groove=0.4, pucker=0.2),
        Seam(left, rows=(0.0, 5.0), thread=thread, groove=0.4, pucker=0.2),
        Seam(offset(neck, 3.0), rows=(0.0,), thread=thread, groove=0.5, pucker=0.2),
    )


def _wrinkles(rng: np.random.Generator) -> tuple[Ridge, ...]:
    ridges: list[Ridge] = []
    ridges += fan(rng, (236.0, -120.0), (110.0, 200.0), 7, (90.0, 300.0), 3.0)
    ridges += fan(rng, (-236.0, -120.0), (-20.0, 75.0), 7, (90.0, 300.0), 3.0)
    ridges += fan(rng, (250.0, -150.0), (-40.0, 40.0), 4, (60.0, 130.0), 2.2)
    ridges += fan(rng, (-250.0, -150.0), (140.0, 220.0), 4, (60.0, 130.0), 2.2)
    ridges += crumple(rng, (-250.0, -230.0, 250.0, 330.0), 260, 1.4)
    ridges += crumple(rng, (-380.0, -290.0, -220.0, -90.0), 34, 1.2)
    ridges += crumple(rng, (220.0, -290.0, 380.0, -90.0), 34, 1.2)
    ridges += storage_crease(rng, np.array([(-250.0, 62.0), (252.0, 54.0)]), 1.0)
    ridges += storage_crease(rng, np.array([(96.0, -300.0), (104.0, 336.0)]), 0.7)
    return tuple(ridges)
