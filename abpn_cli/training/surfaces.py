"""Made-up surfaces that no retoucher would touch though they are lined like creased cloth.

Wood, stone and cobbles, as pure functions: (height, width) and a random generator in, (H, W, 3)
float32 RGB in [0, 1] out. They stand for photos with nothing to retouch, and lie behind garments.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from .synthesis import Floats, as_floats, blur


def surface(size: tuple[int, int], rng: Generator) -> Floats:
    """Draw one of the surfaces, turned by a quarter half of the time."""
    makers = (wood, stone, cobbles)
    make = makers[int(rng.integers(len(makers)))]
    if rng.random() < 0.5:
        return np.ascontiguousarray(make(size[::-1], rng).transpose(1, 0, 2))
    return make(size, rng)


def wood(size: tuple[int, int], rng: Generator) -> Floats:
    """Planks with grain that runs along them."""
    height, width = size
    side = max(size)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / side
    plank = np.floor(rows * rng.uniform(2, 14) + rng.random())
    numbers = plank.astype(np.int64) - int(plank.min())
    count = int(numbers.max()) + 1
    tone = as_floats(rng.uniform(0.75, 1.1, count)[numbers])
    shift = as_floats(rng.uniform(0, 9, count)[numbers])
    bend = noise(size, rng.uniform(0.3, 1.2), rng)
    rings = rows * rng.uniform(8, 40) + shift + bend * rng.uniform(0.3, 2.5)
    grain = 0.5 + 0.5 * np.sin(2 * np.pi * rings)
    fibre = cv2.resize(
        as_floats(rng.random((height, max(4, width // 40)))), (width, height),
        interpolation=cv2.INTER_LINEAR,
    )  # fmt: skip
    light = tone * (1 - rng.uniform(0.05, 0.35) * grain**2 - rng.uniform(0.02, 0.2) * fibre)
    edges = np.abs(np.diff(plank, axis=0, append=plank[-1:])) > 0
    light = light * (1 - 0.6 * blur(as_floats(edges), 0.002 * side))
    return coloured(as_floats(light), _wooden(rng), rng)


def stone(size: tuple[int, int], rng: Generator) -> Floats:
    """Rock face or plaster: relief of many sizes under raking light."""
    relief = np.zeros(size, np.float32)
    rough = rng.uniform(0.45, 0.75)
    cell, weight = rng.uniform(0.15, 0.5), 1.0
    sharp = rng.random() < 0.6
    while cell * max(size) > 3:
        layer = noise(size, cell, rng)
        relief += weight * (np.abs(layer) if sharp else layer)
        cell, weight = cell / 2, weight * rough
    light = lit(relief, rng.uniform(0.1, 0.5), rng)
    return coloured(light, _mineral(rng), rng)


def cobbles(size: tuple[int, int], rng: Generator) -> Floats:
    """Rounded stones in joints, in rows or wild: cobbles, bricks, pebbles, scales."""
    side = max(size)
    pitch = rng.uniform(0.03, 0.16) * side
    stretch = rng.uniform(1, 2.5)
    wild = rng.uniform(0.05, 0.5)
    seeds = np.ones(size, np.uint8)
    for row in np.arange(0, size[0] + pitch, pitch):
        offset = rng.uniform(0, pitch * stretch)
        for column in np.arange(-offset, size[1] + pitch, pitch * stretch):
            y, x = (round(v + pitch * wild * rng.normal()) for v in (row, column))
            if 0 <= y < size[0] and 0 <= x < size[1]:
                seeds[y, x] = 0
    _, owner = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    joints = np.zeros(size, np.uint8)
    joints[1:] |= (owner[1:] != owner[:-1]).astype(np.uint8)
    joints[:, 1:] |= (owner[:, 1:] != owner[:, :-1]).astype(np.uint8)
    far = as_floats(cv2.distanceTransform(1 - joints, cv2.DIST_L2, 3) / pitch)
    relief = np.sqrt(np.minimum(far, rng.uniform(0.1, 0.4)))
    tone = as_floats(rng.uniform(0.6, 1.1, int(owner.max()) + 1)[owner])
    relief = blur(as_floats(relief), rng.uniform(0.005, 0.06) * pitch)
    light = lit(relief, rng.uniform(0.3, 1.2), rng)
    joint = 1 - rng.uniform(0.3, 0.8) * np.exp(-far / 0.03)
    return coloured(as_floats(light * tone * joint), _mineral(rng), rng)


def noise(size: tuple[int, int], cell: float, rng: Generator) -> Floats:
    """Smooth noise in about ±1; cell: px over which it changes, as a share of the long side."""
    step = max(2.0, cell * max(size))
    grid = as_floats(rng.uniform(-1, 1, (int(size[0] / step) + 3, int(size[1] / step) + 3)))
    return as_floats(cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC))


def lit(relief: Floats, strength: float, rng: Generator) -> Floats:
    """Light on a relief (H, W) from one side, about 1."""
    turn = rng.uniform(0, 2 * np.pi)
    slope = np.cos(turn) * cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3) + np.sin(turn) * cv2.Sobel(
        relief, cv2.CV_32F, 0, 1, ksize=3
    )
    spread = max(1e-6, float(np.std(slope)))
    return as_floats(np.clip(1 + strength * 0.5 * slope / spread, 0.1, 2))


def _wooden(rng: Generator) -> Floats:
    """Brown, from oak to walnut, now and then painted."""
    light = rng.uniform(0.3, 0.9)
    return as_floats(light * np.array([1.0, rng.uniform(0.68, 0.95), rng.uniform(0.4, 0.9)]))


def _mineral(rng: Generator) -> Floats:
    """Grey with a cast, now and then as red as brick."""
    warm = rng.uniform(0.4, 0.7) if rng.random() < 0.2 else rng.uniform(0.88, 1.05)
    return as_floats(rng.uniform(0.3, 0.9) * np.array([1.0, (1 + warm) / 2, warm]))


def coloured(light: Floats, colour: object, rng: Generator) -> Floats:
    """Give (H, W) light a colour, uneven as real surfaces are, and fine grain."""
    hue = 1 + 0.05 * noise((light.shape[0], light.shape[1]), 0.3, rng)
    image = light[..., None] * np.asarray(colour, np.float32)
    image[..., 0] *= hue
    image += (
        np.float32(rng.uniform(0, 0.03)) * rng.standard_normal(light.shape, np.float32)[..., None]
    )
    return as_floats(np.clip(image, 0, 1))
