"""The camera's frame over a flat scene in millimetres, and the curves drawn in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Points = NDArray[np.float64]  # (n, 2), x to the right and y down, millimetres from the centre
Pair = tuple[float, float]

_SHIFT = 4  # OpenCV draws in sixteenths of a pixel


@dataclass(frozen=True)
class Frame:
    """What the camera sees: size (height, width) in pixels, and its scale."""

    size: tuple[int, int]
    px_per_mm: float

    def half(self) -> Frame:
        """The same view at half the resolution."""
        return Frame((self.size[0] // 2, self.size[1] // 2), self.px_per_mm / 2)

    def to_px(self, points: Points) -> Points:
        """Millimetres to pixel coordinates (pixel centres at whole numbers)."""
        height, width = self.size
        return points * self.px_per_mm + ((width - 1) / 2, (height - 1) / 2)

    def window(self, centre: Pair, radius_mm: float) -> tuple[slice, slice]:
        """Rows and columns within `radius_mm` of a point, clipped to the frame."""
        x, y = self.to_px(np.array([centre]))[0]
        reach = radius_mm * self.px_per_mm + 2
        height, width = self.size
        rows = slice(int(max(y - reach, 0)), int(min(max(y + reach, 0), height)))
        columns = slice(int(max(x - reach, 0)), int(min(max(x + reach, 0), width)))
        return rows, columns

    def grid(self, rows: slice, columns: slice) -> tuple[Float, Float]:
        """x (1, w) and y (h, 1) in millimetres of a window's pixels."""
        height, width = self.size
        x = (np.arange(columns.start, columns.stop) - (width - 1) / 2) / self.px_per_mm
        y = (np.arange(rows.start, rows.stop) - (height - 1) / 2) / self.px_per_mm
        return x.astype(np.float32)[None, :], y.astype(np.float32)[:, None]


def spline(points: Sequence[Pair], steps: int = 16) -> Points:
    """Catmull-Rom curve through the points, ends included."""
    knots = np.array([points[0], *points, points[-1]], dtype=np.float64)
    if len(points) == 2:
        return np.linspace(knots[1], knots[2], steps)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(knots[:-3], knots[1:-2], knots[2:-1], knots[3:], strict=True):
        pieces.append(
            0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2)
            + 0.5 * (3 * b - a - 3 * c + d) * t**3
        )
    return np.concatenate([*pieces, knots[-2:-1]])


def joined(*curves: Points) -> Points:
    """One outline out of curves that meet in corners."""
    return np.concatenate(curves)


def mirrored(points: Points) -> Points:
    """The same curve on the garment's other side, walked the other way."""
    return points[::-1] * (-1, 1)


def turned(points: Points, degrees: float, about: Pair = (0.0, 0.0)) -> Points:
    """The points turned clockwise (as seen in the photo) about a point."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray((points - about) @ turn + about)


def evenly(points: Points, step_mm: float) -> Points:
    """The curve resampled at equal arc lengths."""
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    where = np.arange(0, lengths[-1], step_mm)
    return np.stack([np.interp(where, lengths, points[:, axis]) for axis in (0, 1)], axis=1)


def offset(points: Points, distance_mm: float) -> Points:
    """The curve moved sideways, to the right of its walking direction where positive."""
    tangent = np.gradient(points, axis=0)
    tangent /= np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)[:, None]
    return points + distance_mm * np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def fill(frame: Frame, outline: Points) -> Bytes:
    """Coverage (H, W) of a closed outline, 0..255, antialiased."""
    canvas = np.zeros(frame.size, np.uint8)
    corners = np.round(frame.to_px(outline) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 255, cv2.LINE_AA, _SHIFT)
    return canvas


def stroke(frame: Frame, curves: Sequence[Points], width_mm: float) -> Bytes:
    """Coverage (H, W) of open curves drawn with a pen, 0..255, antialiased."""
    canvas = np.zeros(frame.size, np.uint8)
    lines = [np.round(frame.to_px(c) * (1 << _SHIFT)).astype(np.int32) for c in curves]
    thickness = max(round(width_mm * frame.px_per_mm), 1)
    cv2.polylines(canvas, lines, False, 255, thickness, cv2.LINE_AA, _SHIFT)
    return canvas


def share(coverage: Bytes) -> Float:
    """Coverage 0..255 as a share 0..1."""
    return coverage.astype(np.float32) / np.float32(255)


def blur(image: Float, sigma_px: float) -> Float:
    """Gaussian blur; wide ones are done on a smaller copy."""
    if sigma_px < 0.3:
        return image
    shrink = 1
    while sigma_px / shrink > 8:
        shrink *= 2
    if shrink == 1:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.float32)
    height, width = image.shape[:2]
    small = (max(width // shrink, 1), max(height // shrink, 1))
    coarse = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), sigma_px / shrink)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR))


def resized(image: Float, size: tuple[int, int]) -> Float:
    """The image (h, w, ...) at another size (height, width)."""
    way = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size[::-1], interpolation=way), np.float32)


def soft_noise(rng: np.random.Generator, size: tuple[int, int], grain: Pair) -> Float:
    """Smooth noise (H, W) of about unit spread; grain: (down, across) size of a blob in pixels."""
    height, width = size
    rows, columns = int(height / grain[0]) + 4, int(width / grain[1]) + 4
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    across = max(round(columns * grain[1]), width)
    down = max(round(rows * grain[0]), height)
    wide = cv2.resize(coarse, (across, down), interpolation=cv2.INTER_CUBIC)
    top, left = (down - height) // 2, (across - width) // 2
    return np.asarray(wide[top : top + height, left : left + width] * 1.3, np.float32)
