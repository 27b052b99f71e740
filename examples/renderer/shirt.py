"""A buttoned shirt on a wooden hanger, in front of a wall."""

from __future__ import annotations

import numpy as np

from .fabric import Colour, Fabric, poplin, smooth
from .frame import Points, joined, mirrored, offset, spline
from .garment import Button, Garment, Part, Seam
from .wrinkles import Creases, Ridge, crumple, fan, storage_crease

_SHOULDER = spline([(64.0, -352.0), (150.0, -330.0), (226.0, -296.0)])
_ARMHOLE = spline([(226.0, -296.0), (210.0, -230.0), (222.0, -150.0), (240.0, -96.0)])
_SIDE = spline([(240.0, -96.0), (228.0, 40.0), (232.0, 220.0), (242.0, 372.0)])
_HEM = spline([(242.0, 372.0), (200.0, 396.0), (110.0, 424.0), (0.0, 430.0)])
_LEAF = joined(
    spline([(4.0, -336.0), (30.0, -352.0), (66.0, -384.0)]),
    spline([(66.0, -384.0), (92.0, -356.0), (104.0, -330.0)]),
    spline([(104.0, -330.0), (86.0, -286.0), (74.0, -258.0)]),
    spline([(74.0, -258.0), (40.0, -292.0), (4.0, -330.0)]),
)
_SLEEVE = joined(
    spline([(180.0, -306.0), (230.0, -288.0), (266.0, -214.0), (300.0, -20.0), (318.0, 232.0)]),
    spline([(318.0, 232.0), (284.0, 240.0), (246.0, 238.0)]),
    spline([(246.0, 238.0), (236.0, 60.0), (226.0, -100.0), (200.0, -200.0)]),
)
_CUFF = joined(
    spline([(320.0, 228.0), (324.0, 296.0)]),
    spline([(324.0, 296.0), (286.0, 303.0), (244.0, 300.0)]),
    spline([(244.0, 300.0), (243.0, 234.0)]),
    spline([(243.0, 234.0), (284.0, 238.0), (320.0, 228.0)]),
)
_POCKET = np.array(
    [(62.0, -150.0), (158.0, -150.0), (159.0, -56.0), (111.0, -36.0), (63.0, -56.0), (62.0, -150.0)]
)
_PLACKET = 17.0  # half its width


def shirt(rng: np.random.Generator, cloth: Colour, thread: Colour) -> Garment:
    """A shirt 480 mm wide; wearer's left side, with the buttonholes, lies on top."""
    fine = Fabric(cloth, poplin, yarn_mm=0.5, contrast=0.04)
    red, green, blue = cloth
    inside = Fabric((red * 0.75, green * 0.75, blue * 0.77), poplin, yarn_mm=0.5, contrast=0.04)
    neck = spline([(-64.0, -352.0), (-30.0, -322.0), (0.0, -306.0)])
    front = joined(
        np.array([(-6.0, 430.0), (-6.0, -306.0)]), mirrored(neck), _SHOULDER, _ARMHOLE, _SIDE, _HEM
    )
    placket = _box(-_PLACKET, -318.0, _PLACKET, 429.0)
    wood = Fabric((0.32, 0.17, 0.075), smooth, 1.0, 0.03)
    steel = Fabric((0.42, 0.43, 0.45), smooth, 1.0, 0.01)
    parts = (
        Part(_hook(), steel, lift=4.0, rim=1.2, stiffness=1.0),
        Part(_hanger(), wood, lift=5.0, rim=4.0, stiffness=1.0),
        Part(_yoke(), inside, lift=3.0, shade=0.8, stiffness=0.4),
        Part(_SLEEVE, fine, lift=4.5, rim=2.2, grain=-5.0),
        Part(mirrored(_SLEEVE), fine, lift=4.5, rim=2.2, grain=5.0),
        Part(_CUFF, fine, lift=5.6, rim=1.6, stiffness=0.6),
        Part(mirrored(_CUFF), fine, lift=5.6, rim=1.6, stiffness=0.6),
        Part(front, fine, lift=6.0, rim=2.2),
        Part(mirrored(front), fine, lift=6.2, rim=2.0),
        Part(placket, fine, lift=7.2, rim=1.2, stiffness=0.35),
        Part(_POCKET, fine, lift=6.9, rim=1.0, stiffness=0.1),
        Part(_band(), fine, lift=8.0, rim=1.6, stiffness=0.8),
        Part(_LEAF, fine, lift=9.2, rim=1.8, grain=40.0, stiffness=0.75),
        Part(mirrored(_LEAF), fine, lift=9.2, rim=1.8, grain=-40.0, stiffness=0.75),
    )
    buttons = [Button((0.0, -322.0), 5.2)]
    buttons += [Button((0.0, float(y)), 5.6) for y in np.arange(-250.0, 360.0, 86.0)]
    buttons += [Button((x, 268.0), 5.0) for x in (-312.0, 312.0)]
    return Garment(
        parts, _seams(thread), _wrinkles(rng), tuple(buttons), creases=_CREASES, drape=3.0
    )


_CREASES = (
    Creases(84.0, 330.0, 62.0, 3.2),
    Creases(62.0, 170.0, 38.0, 2.0),
    Creases(-40.0, 120.0, 30.0, 1.3),
    Creases(8.0, 60.0, 16.0, 0.6),
)


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _yoke() -> Points:
    """What is seen of the back, inside the collar."""
    top = spline([(-66.0, -384.0), (-30.0, -398.0), (0.0, -401.0), (30.0, -398.0), (66.0, -384.0)])
    low = spline([(70.0, -350.0), (30.0, -318.0), (0.0, -300.0), (-30.0, -318.0), (-70.0, -350.0)])
    return joined(top, low)


def _band() -> Points:
    """The collar's stand, closed by its button."""
    top = spline([(-34.0, -350.0), (0.0, -332.0), (34.0, -350.0)])
    low = spline([(40.0, -330.0), (0.0, -308.0), (-40.0, -330.0)])
    return joined(top, low)


def _hanger() -> Points:
    top = spline([(-190.0, -296.0), (-90.0, -336.0), (-24.0, -374.0), (0.0, -382.0)])
    whole = joined(top, mirrored(top))
    return joined(whole, (whole + (0.0, 26.0))[::-1])


def _hook() -> Points:
    wire = spline(
        [(0.0, -380.0), (0.0, -430.0), (14.0, -446.0), (27.0, -464.0), (14.0, -486.0),
         (-10.0, -486.0), (-22.0, -466.0)]
    )  # fmt: skip
    return joined(offset(wire, 2.4), offset(wire, -2.4)[::-1])


def _seams(thread: Colour) -> tuple[Seam, ...]:
    one_side = [
        Seam(_ARMHOLE, (5.0,), thread, groove=0.9, pucker=0.45),
        Seam(offset(_HEM, 7.0), (0.0,), thread, groove=0.4, pucker=0.35),
        Seam(offset(_LEAF[36:-1], 5.0), (0.0,), thread, groove=0.25, pucker=0.0),
        Seam(spline([(248.0, 240.0), (284.0, 243.0), (316.0, 234.0)]), (0.0,), thread, 0.8, 1.2),
    ]
    mirror = [
        Seam(
            mirrored(seam.path), tuple(-row for row in seam.rows), thread, seam.groove, seam.pucker
        )
        for seam in one_side
    ]
    middle = [
        Seam(np.array([(x, -306.0), (x, 60.0), (x, 426.0)]), (0.0,), thread, 0.3, 0.25)
        for x in (-_PLACKET + 4, _PLACKET - 4)
    ]
    pocket = Seam(offset(_POCKET[1:], 2.5), (0.0,), thread, groove=0.3, pucker=0.2)
    return (*one_side, *mirror, *middle, pocket)


def _wrinkles(rng: np.random.Generator) -> tuple[Ridge, ...]:
    ridges: list[Ridge] = []
    ridges += fan(rng, (218.0, -130.0), (95.0, 150.0), 5, (120.0, 330.0), 3.4)
    ridges += fan(rng, (-218.0, -130.0), (30.0, 85.0), 5, (120.0, 330.0), 3.4)
    for side in (-1.0, 1.0):  # elbows
        ridges += fan(rng, (side * 236.0, 20.0), _towards(side), 6, (50.0, 120.0), 3.0)
        edges = sorted((side * 240.0, side * 315.0))
        ridges += crumple(rng, (edges[0], -200.0, edges[1], 220.0), 60, 1.4)
    ridges += crumple(rng, (-225.0, -260.0, 225.0, 400.0), 240, 1.15)
    ridges += storage_crease(rng, np.array([(-236.0, 40.0), (236.0, 46.0)]), 1.0)
    ridges += storage_crease(rng, np.array([(-118.0, -330.0), (-122.0, 420.0)]), 0.8)
    ridges += storage_crease(rng, np.array([(118.0, -20.0), (122.0, 420.0)]), 0.8)
    return tuple(ridges)


def _towards(side: float) -> tuple[float, float]:
    """Headings of folds that start inside an elbow and leave it outwards."""
    return (-55.0, 60.0) if side > 0 else (120.0, 235.0)
