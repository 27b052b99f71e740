"""Faces, drawn so that the detector knows them for faces, and networks that change them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from networks import CONFIG, photo_of

from abpn_cli.engine.detector import Face
from abpn_cli.photo import Photo, turn_back

# What the network of the tests opens: nearly all of a face's patch, so that edits show.
OPEN = replace(CONFIG, gate_low=0.2, gate_high=0.5)
SKIN = (224, 180, 150)


def draw(canvas: np.ndarray, middle: tuple[float, float], height: float, skin=SKIN) -> np.ndarray:
    """Draw a head with its shoulders on (H, W, 3) uint8; height: of the face, brow to chin."""
    scale = height / 200
    hair, shade = (70, 45, 30), tuple(int(0.93 * value) for value in skin)

    def place(x: float, y: float) -> tuple[int, int]:
        return round(middle[1] + x * scale), round(middle[0] + y * scale)

    def oval(x, y, wide, tall, colour, start=0, stop=360, line=-1):
        axes = max(1, round(wide * scale)), max(1, round(tall * scale))
        cv2.ellipse(canvas, place(x, y), axes, 0, start, stop, colour, line, cv2.LINE_AA)

    oval(0, 190, 170, 90, (60, 70, 110))  # shoulders
    cv2.rectangle(canvas, place(-35, 60), place(35, 130), shade, -1)
    oval(0, -20, 86, 108, hair)
    oval(0, 0, 75, 100, skin)
    oval(0, -70, 70, 38, hair)
    for side in (-1, 1):
        oval(side * 78, 5, 10, 20, shade)
        oval(side * 32, -12, 15, 8, (245, 240, 235))
        oval(side * 32, -12, 7, 7, (60, 40, 30))
        oval(side * 32, -12, 3, 3, (10, 10, 10))
        oval(side * 32, -30, 22, 8, (80, 55, 40), 200, 340, max(2, round(6 * scale)))
        oval(side * 8, 33, 5, 3, (150, 100, 85))
    oval(0, 15, 9, 24, tuple(min(255, value + 9) for value in skin))
    oval(0, 30, 14, 8, shade)
    oval(0, 58, 28, 9, (180, 85, 85))
    oval(0, 80, 22, 8, shade)
    return canvas


def skin_of(height: int, width: int, dtype: type = np.uint8, **fields: object) -> Photo:
    """Soft shapes with grain, all of one skin's hue."""
    photo = photo_of(height, width, dtype, **fields)
    most = np.iinfo(dtype).max
    light = (0.3 + 0.7 * photo.pixels[..., :1] / most) * most
    pixels = np.rint(light * np.array(SKIN) / 255).astype(dtype)
    return replace(photo, pixels=pixels)


def portrait(
    size: tuple[int, int] = (420, 400),
    faces: tuple[tuple[float, float, float], ...] = ((190, 200, 200),),
    dtype: type = np.uint8,
    **fields: object,
) -> Photo:
    """A photo of drawn faces, each (row, column, height), with some grain."""
    canvas = np.full((*size, 3), (150, 165, 180), np.uint8)
    for row, column, height in faces:
        draw(canvas, (row, column), height)
    softness = max(0.3, 0.0075 * min((height for *_, height in faces), default=0))
    image = cv2.GaussianBlur(canvas, (0, 0), softness) / 255
    image += np.random.default_rng(7).normal(0, 0.006, image.shape)
    most = np.iinfo(dtype).max
    pixels = np.rint(image.clip(0, 1) * most).astype(dtype)
    return Photo(pixels, source=Path("portrait.png"), **fields)  # type: ignore[arg-type]


def stored(photo: Photo, orientation: int) -> Photo:
    """The same picture, stored turned, with the tag that turns it upright."""
    pixels = np.ascontiguousarray(turn_back(photo.pixels, orientation))
    return replace(photo, pixels=pixels, metadata=replace(photo.metadata, orientation=orientation))


def box(row: float, column: float, height: float, orientation: int = 1) -> Face:
    """The box that a detector would put around a face of `height`."""
    tall, wide = height / 2, 0.375 * height
    return Face(row - tall, column - wide, row + tall, column + wide, orientation, 0.9)
