"""From light to a picture: lens, sensor, tone curve, colour space."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .frame import Float, blur
from .profiles import ColourSpace

_STRIP = 512  # rows developed at a time, so that 24 megapixels stay small
_MARGIN = 8  # rows beyond the strip that the lens and the sharpening look at


@dataclass(frozen=True)
class Camera:
    """exposure: factor on the light; blur_px: the lens; noise: of the sensor, at mid grey."""

    exposure: float = 1.3
    blur_px: float = 0.7
    noise: float = 0.008
    vignette: float = 0.16
    sharpening: float = 0.5


def develop(
    scene: Float,
    camera: Camera,
    space: ColourSpace,
    top: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Photograph a scene (H, W, 3), linear sRGB: pixels (H, W, 3) in the colour space.

    top: the largest value, 255 for uint8 or 65535 for uint16.
    """
    height, width = scene.shape[:2]
    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    pixels = np.empty(scene.shape, np.uint8 if top == 255 else np.uint16)
    for start in range(0, height, _STRIP):
        stop = min(start + _STRIP, height)
        first, last = max(start - _MARGIN, 0), min(stop + _MARGIN, height)
        strip = scene[first:last] * _vignette(first, last, (height, width), camera)[..., None]
        strip = blur(strip, camera.blur_px)
        strip = _sensed(strip, camera, rng)
        strip += np.float32(camera.sharpening) * (strip - blur(strip, 1.1))
        strip = _tone(np.clip(strip, 0, None))[start - first : stop - first]
        values = space.encode(np.clip(strip @ space.from_srgb.T, 0, 1))
        pixels[start:stop] = np.round(values * np.float32(top))
    return pixels


def _vignette(first: int, last: int, size: tuple[int, int], camera: Camera) -> Float:
    height, width = size
    corner = np.float32((height**2 + width**2) / 4)
    y = np.arange(first, last, dtype=np.float32)[:, None] - np.float32(height / 2)
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(width / 2)
    fade = 1 - np.float32(camera.vignette) * (x * x + y * y) / corner
    return np.asarray(np.float32(camera.exposure) * fade, np.float32)


def _sensed(light: Float, camera: Camera, rng: np.random.Generator) -> Float:
    """Photon and read noise, slightly smeared as by a Bayer filter's interpolation."""
    noise = rng.standard_normal(light.shape, dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.55) * np.float32(1.6)
    grey = noise.mean(axis=2, keepdims=True)
    noise = grey * np.float32(1.2) + (noise - grey) * np.float32(0.55)
    spread = np.float32(camera.noise) * np.sqrt(np.clip(light, 0, None) / 0.18 + 0.03)
    return np.asarray(light + noise * spread, np.float32)


def _tone(light: Float) -> Float:
    """A camera's curve: highlights roll off, shadows are a little deeper; 0.18 stays."""
    rolled = light * (1 + light / 2.2) / (1 + light)
    contrast = rolled ** np.float32(1.12)
    return np.asarray(contrast * np.float32(0.18 / _MID), np.float32)


_MID = (0.18 * (1 + 0.18 / 2.2) / 1.18) ** 1.12
