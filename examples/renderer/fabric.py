"""Cloth at the scale of its yarns: small tiles of gain that are laid over a part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .frame import Float, blur

_TILE = 1024  # pixels a side
_YARNS = 128  # loops or threads across a tile

Colour = tuple[float, float, float]  # linear RGB, reflectance 0..1
Weave = Callable[[np.random.Generator], Float]


@dataclass(frozen=True)
class Fabric:
    """A cloth: its colour, its weave, the width of one yarn in millimetres, how much it shows."""

    colour: Colour
    weave: Weave
    yarn_mm: float = 0.8
    contrast: float = 0.12


def _wrapped_noise(rng: np.random.Generator, down: float, across: float) -> Float:
    """Noise tile of unit spread that repeats without a seam; blur of (down, across) pixels."""
    noise = rng.standard_normal((_TILE, _TILE)).astype(np.float32)
    tiled = np.pad(noise, 128, mode="wrap")
    soft = cv2.GaussianBlur(tiled, (0, 0), across, sigmaY=down)[128:-128, 128:-128]
    return np.asarray((soft - soft.mean()) / soft.std(), np.float32)


def _unit(tile: Float) -> Float:
    return np.asarray((tile - tile.mean()) / tile.std(), np.float32)


def jersey(rng: np.random.Generator) -> Float:
    """Single jersey: columns of small V-shaped loops."""
    y, x = np.mgrid[0:_TILE, 0:_TILE].astype(np.float32) * np.float32(_YARNS / _TILE)
    x = x + 0.10 * _wrapped_noise(rng, 24, 6)
    y = y + 0.12 * _wrapped_noise(rng, 6, 10)
    within = np.abs((x % 1) - 0.5)  # 0 in the middle of a column, 0.5 between two
    loops = np.sin(2 * np.pi * (1.0 * y - 1.4 * within))
    tile = 0.5 * loops * (0.5 - within) * 2 - 1.2 * (within > 0.40)
    tile = tile + 0.35 * _wrapped_noise(rng, 3, 3) + 0.12 * _wrapped_noise(rng, 14, 3)
    return _unit(tile.astype(np.float32))


def poplin(rng: np.random.Generator) -> Float:
    """Plain weave with uneven yarns, both ways."""
    y, x = np.mgrid[0:_TILE, 0:_TILE].astype(np.float32) * np.float32(_YARNS / _TILE)
    over = np.sin(np.pi * (x + 0.08 * _wrapped_noise(rng, 20, 4)))
    under = np.sin(np.pi * (y + 0.08 * _wrapped_noise(rng, 4, 20)))
    tile = np.abs(over) ** 0.5 * (over * under > 0) + np.abs(under) ** 0.5 * (over * under <= 0)
    slubs = _wrapped_noise(rng, 60, 2.5) + _wrapped_noise(rng, 2.5, 60)
    return _unit((tile * 2 + 0.35 * slubs + 0.25 * _wrapped_noise(rng, 2, 2)).astype(np.float32))


def twill(rng: np.random.Generator) -> Float:
    """Diagonal ribs, as on chinos and jeans."""
    y, x = np.mgrid[0:_TILE, 0:_TILE].astype(np.float32) * np.float32(_YARNS / _TILE)
    ribs = np.sin(2 * np.pi * (0.5 * x + 0.5 * y) + 0.5 * _wrapped_noise(rng, 9, 9))
    yarns = np.sin(2 * np.pi * (x - 0.5 * y)) * 0.4
    tile = ribs + yarns + 0.45 * _wrapped_noise(rng, 26, 2) + 0.3 * _wrapped_noise(rng, 2, 2)
    return _unit(tile.astype(np.float32))


def rib(rng: np.random.Generator) -> Float:
    """Ribbed knit of a neckband: ridges down the tile."""
    x = np.mgrid[0:_TILE, 0:_TILE][1].astype(np.float32) * np.float32(_YARNS / _TILE)
    tile = np.sin(np.pi * x) ** 2 * 2 + 0.3 * _wrapped_noise(rng, 3, 3)
    return _unit(tile.astype(np.float32))


def smooth(rng: np.random.Generator) -> Float:
    """Nothing to see but a little grain: plastic, painted wood, paper."""
    return _wrapped_noise(rng, 1.2, 1.2)


def lay(rng: np.random.Generator, fabric: Fabric, px_per_mm: float, x: Float, y: Float) -> Float:
    """Gain (h, w) of the fabric's yarns, about 1.

    x, y: (h, w), millimetres along and across the grain at each pixel, wrinkles and all.
    """
    tile = fabric.weave(rng)
    scale = np.float32(_TILE / _YARNS / fabric.yarn_mm)  # tile pixels a millimetre
    # yarns finer than the camera's pixels are averaged before they can alias
    tile = blur(tile, max(0.45 * float(scale) / px_per_mm, 0.3))
    # one row and column more, so that bilinear reads at the border see the repeat
    wide = np.pad(tile, ((0, 1), (0, 1)), mode="wrap")
    gain = cv2.remap(wide, x * scale % _TILE, y * scale % _TILE, cv2.INTER_LINEAR)
    return np.asarray(1 + np.float32(fabric.contrast) * gain, np.float32)
