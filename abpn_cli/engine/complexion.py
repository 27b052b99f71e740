"""Where the skin of a face's crop is: of the face's own colour, and joined to its middle.

The network knows faces and little of what is behind them: a blurred car or a reddish wall beside a
cheek has spots too. Skin is told by its hue, which light and shade leave alone: log light of red
and of blue against green, as far from the middle of this very face as its own parts are. A mole or
a sore spot has another hue, and is too small to matter here.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..photo import Photo
from .colour import Image
from .copies import small_copy
from .gate import Plane, smoothstep

SEEN_SIDE = 160  # px: long side of the copy that is looked at
DARK = 0.06  # added to light before its logarithm: hue means little in the dark
SPOT = 0.055  # of the side: what is smaller is a spot on the skin, not another thing
SOFT = 0.01  # of the side: sigma by which hue is smoothed
SPREADS = 5.0  # median deviations from the face's middle up to which a hue is the face's own
LEAST, MOST = 0.14, 0.35  # in log light, what those come to at least and at most
FADE = 1.35  # times that, where nothing is left


def skin_share(photo: Photo) -> Plane:
    """How much of each pixel of a face's crop is that face's skin: (H, W) in [0, 1].

    photo: a face in its middle, with some of what is around it. Monochrome photos have no hue:
    all of it counts as skin.
    """
    height, width = photo.pixels.shape[:2]
    seen = small_copy(photo, SEEN_SIDE).clip(0, None)
    far = _distance(seen)
    reach = max(3, round(SPOT * max(far.shape)) | 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    own = np.asarray(cv2.morphologyEx((far < 1).astype(np.uint8), cv2.MORPH_CLOSE, disc), np.uint8)
    joined = cv2.dilate(_joined(own), np.ones((3, 3), np.uint8))
    share = np.maximum(1 - smoothstep(1, FADE, far), own) * joined
    large = cv2.resize(share.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.float32)


def _distance(seen: Image) -> Plane:
    """How far each pixel's hue is from the middle's: (h, w), 1 where it is no longer its own."""
    logs = np.log(seen + np.float32(DARK))
    hue = np.stack([logs[..., 0] - logs[..., 1], logs[..., 2] - logs[..., 1]], -1)
    # after the logarithm, lest a bright wall outshine the rim of a dark face
    hue = np.asarray(cv2.GaussianBlur(hue, (0, 0), SOFT * max(seen.shape[:2])), np.float32)
    middle = _middle(hue).reshape(-1, 2)
    usual = np.median(middle, axis=0)
    spread = np.median(np.abs(middle - usual), axis=0)
    bars = np.clip(SPREADS * spread, LEAST, MOST)
    return np.asarray(np.hypot(*np.moveaxis((hue - usual) / bars, -1, 0)), np.float32)


def _middle(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The middle ninth of a face's crop."""
    height, width = values.shape[:2]
    return values[height // 3 : -(height // 3), width // 3 : -(width // 3)]


def _joined(own: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Those parts of a {0, 1} mask that reach into the middle."""
    _, names = cv2.connectedComponents(own, connectivity=4)
    inside = np.unique(_middle(names.astype(np.float32))).astype(int)
    return np.isin(names, inside[inside > 0]).astype(np.uint8)
