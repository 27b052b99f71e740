"""Ghost contours: where an edit runs over an outline that stays, a blend layer leaves a halo.

The layer only re-colours in place, and it is coarser than the photo, so that an edit that ends at
an outline spills over it (the paper's section 6 admits it). It shows at thumbnail size already: an
edit beside a strong contour of the photo which the edit does not remove, where what is of like
light nearby has next to no edit, and what lies beyond the contour has. Blank white has no crease
either, so that an edit on it has spilt too. A spot or a crease that is retouched away loses its
contour, and is left alone here.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from .colour import Image
from .gate import Plane, smoothstep

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec. 709
SHOWS = (0.25 / 255, 1 / 255)  # change of a channel, or of luma, that is seen on an even ground
CONTOUR = (0.03, 0.08)  # per thumbnail px: gradient of an outline, of a photo in [0, 1]
KEPT = (0.6, 0.9)  # share of it that is left in the retouched thumbnail
REACH = 3  # thumbnail px from an outline at which an edit can have spilt over it
SLICES = 8  # of light, in [0, 1]: pixels one slice apart are unlike
AROUND = 6  # thumbnail px: the neighbourhood that is sorted into like and unlike
APART = (0.1, 0.25)  # share of it that is unlike, for a pixel to have another side
MIXED = (0.1, 0.3)  # share that is alike, of pixels that an outline runs through
SUPPORT = (0.35, 0.7)  # mean edit of what is alike to that of what is not: spilt, and its own
WHITE = (0.95, 0.98)  # the least channel of blank white
BLANK = (0.08, 0.16)  # share of a neighbourhood that is: more than a speck or a glint


class Damped(NamedTuple):
    """A blend layer (h, w, 3) without ghosts; share: of the thumbnail's pixels damped by half."""

    layer: Image
    share: float


def damp_ghosts(image: Image, retouched: Image, layer: Image) -> Damped:
    """Take the blend layer back where the edit has spilt over an outline.

    image, retouched: (h, w, 3) thumbnails in [0, 1]; layer: (h, w, 3), what turns one into the
    other. Where there is no ghost the layer comes back as it was.
    """
    before, after = (np.ascontiguousarray(part @ LUMA) for part in (image, retouched))
    edit = np.abs(after - before)
    red, green, blue = cv2.split(cv2.absdiff(retouched, image))
    shows = smoothstep(*SHOWS, np.maximum(np.maximum(red, green), blue))
    if not shows.any():
        return Damped(layer, 0.0)
    damp = shows * np.maximum(_spilt(before, after, edit), _blank(image))
    if not damp.any():
        return Damped(layer, 0.0)
    damped = (layer * (1 - damp)[..., None]).astype(np.float32)
    return Damped(damped, float((damp > 0.5).mean()))


def _spilt(before: Plane, after: Plane, edit: Plane) -> Plane:
    """How surely the edit of each pixel comes from beyond an outline; all (h, w)."""
    contour = steepness(before)
    share = steepness(after) / np.maximum(contour, np.float32(1e-6))
    kept = smoothstep(*KEPT, np.asarray(share, np.float32))
    near = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)
    outline = cv2.dilate(smoothstep(*CONTOUR, contour) * kept, near)
    if not outline.any():
        return np.zeros_like(before)
    alike, own = np.zeros_like(before), np.zeros_like(before)
    slices = before.clip(0, 1) * np.float32(SLICES)
    for number in range(SLICES + 1):
        member = np.maximum(1 - np.abs(slices - np.float32(number)), 0)
        alike += member * _mean_around(member)
        own += member * _mean_around(member * edit)
    unlike = 1 - alike
    others = np.maximum(_mean_around(edit) - own, 0) / np.maximum(unlike, np.float32(1e-3))
    own /= np.maximum(alike, np.float32(1e-3))
    support = smoothstep(*SUPPORT, own / np.maximum(others, np.float32(1e-6)))
    spilt = outline * smoothstep(*APART, unlike) * smoothstep(*SHOWS, others) * (1 - support)
    mixed = 1 - smoothstep(*MIXED, alike)
    beside = cv2.dilate(spilt, np.ones((3, 3), np.uint8))
    return np.asarray(np.maximum(spilt, mixed * beside), np.float32)


def _blank(image: Image) -> Plane:
    """How surely each pixel of (h, w, 3) lies on blank white."""
    red, green, blue = cv2.split(image)
    white = smoothstep(*WHITE, np.minimum(np.minimum(red, green), blue))
    return white * smoothstep(*BLANK, _mean_around(white))


def _mean_around(plane: Plane) -> Plane:
    side = 2 * AROUND + 1
    return np.asarray(cv2.blur(plane, (side, side)), np.float32)  # its border is reflect-101


def steepness(plane: Plane) -> Plane:
    """Length of the gradient of (h, w), per pixel."""
    dx = cv2.Scharr(plane, cv2.CV_32F, 1, 0, scale=1 / 32)
    dy = cv2.Scharr(plane, cv2.CV_32F, 0, 1, scale=1 / 32)
    return np.asarray(cv2.magnitude(dx, dy), np.float32)
