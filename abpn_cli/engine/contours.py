"""Ghost contours: where an edit runs over an outline that stays, a blend layer leaves a halo.

The layer only re-colours in place, and it is coarser than the photo, so that an edit that ends at
an outline spills over it (the paper's section 6 admits it). It shows at thumbnail size already: a
strong gradient of the edit along a strong contour of the photo which the edit does not remove. A
spot or a crease that is retouched away loses its contour, and is left alone here.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from .colour import Image
from .gate import Plane, smoothstep

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec. 709
CONTOUR = (0.05, 0.12)  # per thumbnail px: gradient of an outline, of a photo in [0, 1]
KEPT = (0.6, 0.9)  # share of it that is left in the retouched thumbnail
GHOST = (0.005, 0.012)  # per thumbnail px: gradient of the edit that shows beside an outline
REACH = 2  # thumbnail px around it that are damped


class Damped(NamedTuple):
    """A blend layer (h, w, 3) without ghosts; share: of the thumbnail's pixels damped by half."""

    layer: Image
    share: float


def damp_ghosts(image: Image, retouched: Image, layer: Image) -> Damped:
    """Take the blend layer back along outlines that the edit runs over.

    image, retouched: (h, w, 3) thumbnails in [0, 1]; layer: (h, w, 3), what turns one into the
    other. Where there is no ghost the layer comes back as it was.
    """
    before, after = (np.ascontiguousarray(part @ LUMA) for part in (image, retouched))
    contour = steepness(before)
    kept = np.asarray(steepness(after) / np.maximum(contour, 1e-6), np.float32)
    edit = steepness(after - before)
    bars = ((CONTOUR, contour), (KEPT, kept), (GHOST, edit))
    ghost = np.prod([smoothstep(*bar, plane) for bar, plane in bars], axis=0)
    if not ghost.any():
        return Damped(layer, 0.0)
    side = 2 * REACH + 1
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    damp = cv2.GaussianBlur(cv2.dilate(ghost, around), (0, 0), REACH / 2)
    damped = (layer * (1 - damp)[..., None]).astype(np.float32)
    return Damped(damped, float((damp > 0.5).mean()))


def steepness(plane: Plane) -> Plane:
    """Length of the gradient of (h, w), per pixel."""
    dx = cv2.Scharr(plane, cv2.CV_32F, 1, 0, scale=1 / 32)
    dy = cv2.Scharr(plane, cv2.CV_32F, 0, 1, scale=1 / 32)
    return np.asarray(cv2.magnitude(dx, dy), np.float32)
