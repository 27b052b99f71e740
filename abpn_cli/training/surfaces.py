"""Made-up surfaces that no retoucher would touch though they are lined like creased cloth.

Wood, stone, cobbles, facades, printed sheets and smooth things, as pure functions: (height, width)
and a random generator in, (H, W, 3) float32 RGB in [0, 1] out. They stand for photos with nothing
to retouch, and lie behind garments.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .synthesis import Floats, as_floats, blur


def surface(size: tuple[int, int], rng: Generator) -> Floats:
    """Draw one of the surfaces, turned by a quarter half of the time."""
    makers = (wood, stone, cobbles, facade, sheet, things)
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


def facade(size: tuple[int, int], rng: Generator) -> Floats:
    """Front of a building, slats, blinds or tiles: a lattice with ledges, seen from aside."""
    side = max(size)
    pitch = rng.uniform(0.02, 0.2, 2) * side
    rows, columns = np.mgrid[0 : 2 * size[0], 0 : 2 * size[1]].astype(np.float32)
    down, across = rows / pitch[0] % 1, columns / pitch[1] % 1
    slatted = rng.random() < 0.35  # ledges alone, no windows
    light = 1 + rng.uniform(0, 0.4) * (down - 0.5) * rng.choice((-1.0, 1.0))
    light *= np.where(down < rng.uniform(0.03, 0.2), rng.uniform(0.4, 1.2), 1.0)
    if not slatted:
        deep = rng.uniform(0.15, 0.4, 2)
        inside = (np.abs(down - 0.5) < deep[0]) & (np.abs(across - 0.5) < deep[1])
        numbers = (rows // pitch[0] * 97 + columns // pitch[1]).astype(np.int64) % 61
        light = np.where(inside, rng.uniform(0.2, 1.1, 61)[numbers] * (0.8 + 0.4 * down), light)
    light *= 1 + 0.08 * noise((2 * size[0], 2 * size[1]), 0.4, rng)
    image = coloured(as_floats(light), _mineral(rng), rng)
    height, width = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = corners + as_floats(rng.uniform(0, 0.6, (4, 2)) * (width, height))
    view = cv2.getPerspectiveTransform(seen, corners)
    turned = cv2.warpPerspective(
        image, view, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101
    )
    return as_floats(np.clip(turned, 0, 1))


def sheet(size: tuple[int, int], rng: Generator) -> Floats:
    """Paper, a board or a screen with writing, lines and pale patches on it: a page, a map."""
    height, width = size
    side = max(size)
    paper = rng.uniform(0.55, 0.95)
    light = paper * (1 + rng.uniform(0, 0.12) * noise(size, rng.uniform(0.4, 1.2), rng))
    image = coloured(as_floats(light), 1 - rng.uniform(0, 0.12, 3), rng)
    for _ in range(int(rng.integers(0, 7))):
        corner, end = (rng.uniform(-0.1, 1.1, 2) * (width, height) for _ in range(2))
        ink = tuple(float(v) for v in rng.uniform(0.3, 0.95, 3))
        cv2.rectangle(image, _point(corner), _point(end), ink, -1, cv2.LINE_AA)
    for _ in range(int(rng.integers(10, 70))):
        ink = tuple(float(v) for v in rng.uniform(0, 0.8) * rng.uniform(0.5, 1, 3))
        thick = max(1, round(rng.uniform(0.0005, 0.005) * side))
        at = rng.uniform(0, 1, 2) * (width, height)
        if rng.random() < 0.5:
            word = "".join(chr(int(c)) for c in rng.integers(97, 123, int(rng.integers(3, 20))))
            big = rng.uniform(0.0006, 0.003) * side
            cv2.putText(image, word, _point(at), 0, big, ink, thick, cv2.LINE_AA)
        else:
            bends = np.cumsum(rng.normal(0, 0.04 * side, (int(rng.integers(2, 14)), 2)), 0) + at
            cv2.polylines(image, [bends.astype(np.int32)], False, ink, thick, cv2.LINE_AA)
    return as_floats(np.clip(image, 0, 1))


def things(size: tuple[int, int], rng: Generator) -> Floats:
    """Smooth things before a plain wall: rounded, shaded to their rims, some of them shining."""
    height, width = size
    wall = 0.5 + rng.uniform(-0.35, 0.45) + 0.1 * noise(size, rng.uniform(0.5, 1.5), rng)
    image = coloured(as_floats(wall), 1 - rng.uniform(0, 0.4, 3), rng)
    for _ in range(int(rng.integers(1, 9))):
        shape = np.zeros(size, np.uint8)
        middle = rng.uniform(0, 1, 2) * (width, height)
        reach = rng.uniform(0.05, 0.35) * max(size)
        turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        round_ = 1 + rng.uniform(0, 0.5) * np.cos(
            int(rng.integers(1, 6)) * turns + rng.uniform(0, 6)
        )
        arms = reach * round_ * rng.uniform((0.3,), (1.0,))
        rim = middle + arms[:, None] * np.stack([np.cos(turns), np.sin(turns)], 1)
        cv2.fillPoly(shape, [rim.astype(np.int32)], 1)
        deep = cv2.distanceTransform(shape, cv2.DIST_L2, 5) / max(1.0, reach)
        swell = np.sqrt(np.minimum(deep, 0.6)) + 0.03 * noise(size, 0.1, rng) * (deep > 0)
        light = lit(blur(as_floats(swell), 0.03 * reach), rng.uniform(0.2, 0.8), rng)
        shine = np.maximum(light - rng.uniform(1.1, 1.6), 0) * rng.uniform(0, 2)
        thing = coloured(light, rng.uniform(0.1, 0.9) * rng.uniform(0.3, 1, 3), rng)
        inside = blur(as_floats(shape), 0.002 * max(size))[..., None]
        image = image * (1 - inside) + np.clip(thing + shine[..., None], 0, 1) * inside
    return as_floats(np.clip(image, 0, 1))


def _point(at: NDArray[np.float64]) -> tuple[int, int]:
    return int(at[0]), int(at[1])


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
