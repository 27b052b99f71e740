"""How much of a garment's wrinkles goes, and how much of its seams, prints and knit stays.

There is no retoucher's photo to compare with: a photo and its result are held against each other,
in places found in the photo alone, so that no method can choose where it is judged. Places are
found by other means than those by which training makes its pairs (`training.synthesis.smoothed`).
Pure functions of upright (H, W, 3) float32 RGB pictures in [0, 1]. Lengths are those at 1024 px
long side and grow with the picture; light is relative: the logarithm of luma.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import NamedTuple

import cv2
import numpy as np

from ..training.synthesis import Floats, as_floats, blur, luminance, masked_blur, scale_of
from .measures import Bools

RIM = 12.0  # px: cloth so near its outline is left out, machine-made masks are wrong there
DARK = 0.04  # added to luma: keeps ratios tame in black cloth
DIM = 0.06  # of luma: in darker cloth relative light is noise
BAND = (2.0, 12.0)  # px, sigma: finer is the cloth's own texture, coarser its drape
YARN = 1.5  # px, sigma: finer is knit, weave, mélange
AROUND = 14.0  # px, sigma: a window in which strength and direction of a wrinkle are taken
VISIBLE = 0.010  # relative, root mean square: a wrinkle that the eye finds
DIRECTED = 0.40  # coherence of the structure tensor, 0..1: wrinkles run, mélange and noise do not
STRONGEST = 0.25  # relative: more is a print, a pocket's shadow, another cloth

FINE = 0.8  # px, sigma at which edges are looked for
BROAD = 3.2  # px, sigma at which a sharp edge has lost most of its slope, and a fold has not
SHARP = 2.0  # slope at FINE by that at BROAD: a step has about 4, a soft fold about 1
CONTRAST = (5.0, 0.03)  # slope of light per px: above the cloth's median so many times, and this
COLOUR = (5.0, 1.2)  # the same of colour, in CIE a*b* per px: shading changes light, not colour
LONG = 14.0  # px: an edge is at least so long; yarns and noise are shorter
BESIDE = 5.0  # px: so near an edge, light is taken for the edge's own

LEAST_CLOTH = 2000  # pixels: less of it says nothing
LEAST_WRINKLED = 0.05  # of the cloth
LEAST_EDGE = 100  # pixels


class Places(NamedTuple):
    """Where a photo is judged, each (H, W).

    cloth: away from its outline; wrinkles: light that stands out and runs in one direction; edges:
    sharp steps and lines: seams, buttons, prints, pockets; weave: cloth away from edges, and not so
    dark that its light is noise.
    """

    cloth: Bools
    wrinkles: Bools
    edges: Bools
    weave: Bools


class Kept(NamedTuple):
    """What became of a garment; nan where it has too little of a kind to tell.

    wrinkled: share of the cloth that is; depth: root mean square of the wrinkles' relative light.
    removed:  share of the mid-band's energy gone where it is wrinkled.
    removed_all: the same over all cloth away from edges, wrinkled or not.
    edges:    share of the gradient energy left on edges.
    texture:  share of the energy left in what is finer than YARN, away from edges.
    """

    wrinkled: float
    depth: float
    removed: float
    removed_all: float
    edges: float
    texture: float


def places_in(image: Floats, cloth: Floats) -> Places:
    """Find what is to be judged in a photo.

    image: (H, W, 3); cloth: (H, W) in [0, 1], where there is cloth.
    """
    scale = scale_of(image)
    reach = 2 * round(RIM * scale) + 1
    core = cv2.erode(as_floats(cloth > 0.5), np.ones((reach, reach), np.uint8), borderValue=0)
    inside: Bools = core > 0.5
    edges = edges_in(image, inside)
    side = 2 * round(BESIDE * scale) + 1
    beside = cv2.dilate(edges.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    weave: Bools = inside & ~beside & (blur(luminance(image), BAND[0] * scale) > DIM)
    band = mid_band(image, weave)
    strength, direction = run_of(band, weave, AROUND * scale)
    yarn, _ = run_of(fine_band(image, weave), weave, AROUND * scale)
    moderate = np.abs(band) < STRONGEST
    stands_out = (strength > VISIBLE) & (strength > yarn)
    wrinkles: Bools = weave & moderate & stands_out & (direction > DIRECTED)
    return Places(inside, wrinkles, edges, weave)


def edges_in(image: Floats, inside: Bools) -> Bools:
    """Find seams, buttons, prints and pockets inside the cloth: (H, W).

    An edge is thin, by its slope at two scales, and stands out from the cloth's own weave; or it
    divides two colours. Specks shorter than LONG are none.
    """
    if not inside.any():
        return np.zeros_like(inside)
    scale = scale_of(image)
    light = light_of(image)
    slope = _slope(blur(light, max(FINE * scale, 0.5))) * scale
    broad = _slope(blur(light, BROAD * scale)) * scale
    tall = slope > max(CONTRAST[0] * float(np.median(slope[inside])), CONTRAST[1])
    lab = cv2.cvtColor(blur(image, max(1.5 * scale, 0.5)).clip(0, 1), cv2.COLOR_RGB2LAB)
    hue = np.hypot(*(_slope(np.ascontiguousarray(lab[..., c])) for c in (1, 2))) * scale
    coloured = hue > max(COLOUR[0] * float(np.median(hue[inside])), COLOUR[1])
    found = inside & ((tall & (slope > SHARP * broad)) | coloured)
    return _long(found, LONG * scale)


def mid_band(image: Floats, inside: Bools) -> Floats:
    """Relative light between the scales of BAND, taken from inside alone: (H, W), about ±0.1."""
    scale = scale_of(image)
    light, mask = light_of(image), as_floats(inside)
    fine, coarse = (masked_blur(light, mask, max(sigma * scale, 0.6)) for sigma in BAND)
    return as_floats((fine - coarse) * mask)


def fine_band(image: Floats, inside: Bools) -> Floats:
    """Relative light finer than YARN, (H, W): what is coarser is taken away twice, to be sure."""
    sigma = max(YARN * scale_of(image), 0.5)
    rest, mask = light_of(image), as_floats(inside)
    for _ in range(2):
        rest = as_floats((rest - masked_blur(rest, mask, sigma)) * mask)
    return rest


def run_of(field: Floats, inside: Bools, sigma: float) -> tuple[Floats, Floats]:
    """Strength (root mean square) and direction (coherence, 0..1) of a (H, W) field around."""
    mask = as_floats(inside)
    dx, dy = _gradient(field)
    power, xx, yy, xy = (
        masked_blur(as_floats(a * b), mask, sigma)
        for a, b in ((field, field), (dx, dx), (dy, dy), (dx, dy))
    )
    coherence = np.sqrt((xx - yy) ** 2 + 4 * xy * xy) / (xx + yy + np.float32(1e-9))
    return as_floats(np.sqrt(np.maximum(power, 0))), as_floats(coherence)


def kept(before: Floats, after: Floats, places: Places) -> Kept:
    """Compare a photo and its result, (H, W, 3) each, in places found in the photo."""
    _, wrinkles, edges, weave = places
    areas = [int(place.sum()) for place in places]
    wrinkled = areas[1] / areas[0] if areas[0] else nan
    bands, fine = ([of(i, weave) ** 2 for i in (before, after)] for of in (mid_band, fine_band))
    slopes = [gradient_energy(image) for image in (before, after)]
    told = areas[1] >= max(LEAST_WRINKLED * areas[0], LEAST_CLOTH)
    return Kept(
        wrinkled,
        float(np.sqrt(_sum(bands[0], wrinkles) / areas[1])) if told else nan,
        1 - _left(bands, wrinkles) if told else nan,
        1 - _left(bands, weave) if areas[3] >= LEAST_CLOTH else nan,
        _left(slopes, edges) if areas[2] >= LEAST_EDGE else nan,
        _left(fine, weave) if areas[3] >= LEAST_CLOTH else nan,
    )


def light_of(image: Floats) -> Floats:
    """Logarithm of luma, (H, W): differences are relative."""
    return as_floats(np.log(np.maximum(luminance(image), 0) + np.float32(DARK)))


def _gradient(plane: Floats) -> tuple[Floats, Floats]:
    """Scharr's derivatives per pixel."""
    ways = ((1, 0), (0, 1))
    dx, dy = (cv2.Scharr(plane, cv2.CV_32F, *way, scale=1 / 32) for way in ways)
    return as_floats(dx), as_floats(dy)


def _slope(plane: Floats) -> Floats:
    return as_floats(cv2.magnitude(*_gradient(plane)))


def gradient_energy(image: Floats) -> Floats:
    """Squared gradient of display values, the channels added: (H, W)."""
    total = np.zeros(image.shape[:2], np.float32)
    for channel in range(3):
        dx, dy = _gradient(np.ascontiguousarray(image[..., channel]))
        total += dx * dx + dy * dy
    return total


def _long(found: Bools, length: float) -> Bools:
    """Leave out connected pieces that span less than `length` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8))
    spans = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    fit = spans >= length
    fit[0] = False  # what is no edge
    long: Bools = fit[labels]
    return long


def _left(energies: Sequence[Floats], where: Bools) -> float:
    """Energy of the second by that of the first, both (H, W); nan where the first has none."""
    was, now = (_sum(energy, where) for energy in energies)
    return now / was if was else nan


def _sum(field: Floats, where: Bools) -> float:
    return float(field[where].sum(dtype=np.float64))
