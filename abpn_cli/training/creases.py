"""Creases to paint on smooth cloth, each generator independent of the others.

A generator is a pure function: (height, width) and a random generator in, a (H, W) float32 field
of relative light out, mean 0, standard deviation about 1. Lengths are given at 1024 px long side.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .synthesis import REFERENCE_SIDE, Floats, as_floats, blur, normalised

DRAPE_SIGMA = 30.0  # px: light that changes over more than this is drape, which retouchers keep


class Bank(NamedTuple):
    """Relative mid-band luminance of real wrinkles, each (h, w) float32, about 0."""

    patches: list[Floats]


def ridged_noise(size: tuple[int, int], rng: Generator) -> Floats:
    """Crease shading from ridged, stretched noise lit from one side: (H, W), std about 1."""
    height, width = size
    side = int(np.hypot(height, width)) + 8
    scale = max(size) / REFERENCE_SIDE
    relief = np.zeros((side, side), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        length = rng.uniform(40, 260) * scale
        across = length / rng.uniform(1.5, 6)
        grid = rng.random((int(side / across) + 3, int(side / length) + 3)).astype(np.float32)
        noise = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        ridge = 1 - np.abs(2 * noise - 1)
        relief += rng.uniform(0.4, 1) * across * np.maximum(ridge, 0) ** rng.uniform(1.5, 5)
    relief = blur(relief, rng.uniform(0.8, 2.5) * scale)
    light = rng.uniform(0, 2 * np.pi)
    dx = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3)
    dy = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3)
    shading = np.cos(light) * dx + np.sin(light) * dy
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(0, 360), 1)
    turned = cv2.warpAffine(shading, turn, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    top, left = (side - height) // 2, (side - width) // 2
    return normalised(as_floats(turned[top : top + height, left : left + width]))


def tension_folds(size: tuple[int, int], rng: Generator) -> Floats:
    """Crease shading from single folds drawn as curves that fan out of a few pulled points.

    (H, W), std about 1. Shares nothing with `ridged_noise`: kept for validation.
    """
    height, width = size
    scale = max(size) / REFERENCE_SIDE
    shading = np.zeros(size, np.float32)
    for _ in range(int(rng.integers(4, 10))):
        anchor = rng.uniform(0, 1, 2) * (width, height)
        main = rng.uniform(0, 2 * np.pi)
        for _ in range(int(rng.integers(3, 9))):
            angle = main + rng.normal(0, 0.5)
            points = _curve(anchor, angle, rng.uniform(80, 420) * scale, rng)
            shading += _fold(size, points, rng.uniform(2, 9) * scale, rng)
    return normalised(shading)


def _curve(start: NDArray[np.float64], angle: float, length: float, rng: Generator) -> Floats:
    steps = 24
    turns = np.cumsum(rng.normal(0, 0.09, steps)) + angle
    moves = np.stack([np.cos(turns), np.sin(turns)], 1) * (length / steps)
    return as_floats(start + rng.normal(0, 0.05 * length, 2) + np.cumsum(moves, 0))


def _fold(size: tuple[int, int], points: Floats, sigma: float, rng: Generator) -> Floats:
    line = np.zeros(size, np.float32)
    for index, (a, b) in enumerate(zip(points[:-1], points[1:], strict=True)):
        strength = float(np.sin(np.pi * (index + 1) / len(points)))  # fades at both ends
        ends = [tuple(int(round(float(v) * 16)) for v in p) for p in (a, b)]
        thick = max(1, round(sigma * 0.8))
        cv2.line(line, ends[0], ends[1], strength, thick, cv2.LINE_8, shift=4)
    soft = blur(line, sigma)
    lit, dark = rng.uniform(0.6, 1.2), rng.uniform(0, 0.5)
    normal = float(np.arctan2(*(points[-1] - points[0])[::-1])) + np.pi / 2
    shift = np.array([[1, 0, np.cos(normal) * sigma], [0, 1, np.sin(normal) * sigma]], np.float32)
    moved = cv2.warpAffine(soft, shift, size[::-1])
    return (rng.uniform(0.5, 1) * (lit * moved - (lit + dark) * soft)).astype(np.float32)


def draped_cloth(size: tuple[int, int], rng: Generator) -> Floats:
    """Crease shading of a height field under light: buckled waves, facets, or both.

    (H, W), std about 1. Unlike `ridged_noise`, which shades by the slope, this one turns normals
    to one or two lamps, near or far, and keeps the sharp lines along which cloth was folded.
    """
    height, width = size
    scale = max(size) / REFERENCE_SIDE
    field = np.zeros(size, np.float32)
    kinds = rng.integers(1, 4)  # bits: waves, facets
    if kinds & 1:
        field += _buckled(size, scale, rng)
    if kinds & 2:
        field += _folded(size, scale, rng)
    field = blur(field, rng.uniform(0.8, 3.0) * scale)
    axes = ((1, 0), (0, 1))
    slopes = [as_floats(cv2.Sobel(field, cv2.CV_32F, *axis, ksize=3)) / 8 for axis in axes]
    steep = rng.uniform(0.15, 0.6) / max(1e-6, float(np.quantile(np.hypot(*slopes), 0.9)))
    east, south = (as_floats(slope * steep) for slope in slopes)
    upright = 1 / np.sqrt(1 + east * east + south * south)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    light = np.zeros(size, np.float32)
    for share in (1.0, rng.uniform(0, 0.5)):
        turn, rise = rng.uniform(0, 2 * np.pi), np.tan(rng.uniform(0.4, 1.1))
        reach = max(size) * rng.uniform(0.8, 4)  # of the lamp, from the middle
        x = np.cos(turn) * reach - (columns - width / 2)
        y = np.sin(turn) * reach - (rows - height / 2)
        z = rise * reach
        facing = (z - east * x - south * y) * upright / np.sqrt(x * x + y * y + z * z)
        light += share * np.maximum(facing, 0)
    return normalised(as_floats(light / (blur(light, DRAPE_SIGMA * scale) + 1e-3)))


def _buckled(size: tuple[int, int], scale: float, rng: Generator) -> Floats:
    """Waves of compressed cloth, bent and fading in and out: heights (H, W) in px."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    relief = np.zeros(size, np.float32)
    for _ in range(int(rng.integers(1, 5))):
        turn, length = rng.uniform(0, np.pi), rng.uniform(30, 200) * scale
        bend = length * rng.uniform(0.3, 1.5) * _clouds(size, rng.uniform(80, 400) * scale, rng)
        across = columns * np.cos(turn) + rows * np.sin(turn) + bend
        wave = np.cos(2 * np.pi * across / length + rng.uniform(0, 2 * np.pi))
        wave = 1 - np.abs(wave) ** rng.uniform(0.6, 1.6) if rng.random() < 0.5 else wave
        fade = _clouds(size, rng.uniform(60, 300) * scale, rng) - rng.uniform(0, 0.4)
        relief += rng.uniform(0.1, 0.3) * length * as_floats(wave * np.maximum(fade, 0))
    return relief


def _folded(size: tuple[int, int], scale: float, rng: Generator) -> Floats:
    """Cloth that was folded or crumpled: flat between sharp lines, heights (H, W) in px."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    relief = np.zeros(size, np.float32)
    for _ in range(int(rng.integers(4, 16))):
        turn = rng.uniform(0, np.pi)
        at = rng.uniform(0, 1, 2) * size
        bend = rng.uniform(2, 20) * scale * _clouds(size, rng.uniform(60, 250) * scale, rng)
        away = (columns - at[1]) * np.cos(turn) + (rows - at[0]) * np.sin(turn) + bend
        along = (rows - at[0]) * np.cos(turn) - (columns - at[1]) * np.sin(turn)
        end = np.exp(-((along / (rng.uniform(60, 500) * scale)) ** 2))  # no fold is endless
        wide = rng.uniform(20, 120) * scale
        relief += (
            rng.choice((-1.0, 1.0))
            * rng.uniform(0.2, 1)
            * as_floats(end * wide * np.exp(-np.abs(away) / wide))
        )
    return relief


def _clouds(size: tuple[int, int], cell: float, rng: Generator) -> Floats:
    """Smooth noise about 0, in about ±1, that changes over `cell` px: (H, W)."""
    grid = as_floats(rng.uniform(-1, 1, (int(size[0] / cell) + 3, int(size[1] / cell) + 3)))
    return as_floats(cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC))


def strokes(size: tuple[int, int], rng: Generator) -> Floats:
    """Crease shading from scattered lines, straight or winding, each kind with its own profile.

    (H, W), std about 1. A profile mixes a ridge, its lit flank and the dark beside it, at several
    widths: what a fold is does not hang on one way to draw it.
    """
    scale = max(size) / REFERENCE_SIDE
    shading = np.zeros(size, np.float32)
    for _ in range(int(rng.integers(1, 5))):
        lines = np.zeros(size, np.float32)
        run, winding = rng.uniform(0, np.pi), rng.uniform(0, 0.25)
        aligned = rng.uniform(0.05, 1.5)  # of the lines' directions, standard deviation in radians
        for _ in range(int(rng.integers(3, 28))):
            turns = run + rng.normal(0, aligned) + np.cumsum(rng.normal(0, winding, 16))
            step = rng.uniform(2, 28) * scale
            points = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1) * step, 0)
            points += rng.uniform(0, 1, 2) * size[::-1] - points[len(points) // 2]
            cv2.polylines(
                lines, [np.round(points * 16).astype(np.int32)], False, rng.uniform(0.3, 1),
                max(1, round(rng.uniform(0.5, 3) * scale)), cv2.LINE_8, 4,
            )  # fmt: skip
        wide = rng.uniform(1.5, 10) * scale
        soft, broad = blur(lines, wide), blur(lines, wide * rng.uniform(1.5, 4))
        light = rng.uniform(0, 2 * np.pi)
        dx, dy = (cv2.Sobel(soft, cv2.CV_32F, *axis, ksize=3) for axis in ((1, 0), (0, 1)))
        flank = (np.cos(light) * dx + np.sin(light) * dy) * wide / 8
        mixed = rng.normal(0, 1) * soft + rng.normal(0, 0.7) * broad + rng.normal(0, 1.5) * flank
        shading += rng.uniform(0.3, 1) * normalised(as_floats(mixed - blur(mixed, 4 * wide)))
    return normalised(shading)


def crumple(size: tuple[int, int], rng: Generator) -> Floats:
    """Crease shading of cloth that lay crushed: facets between ridges of many directions.

    (H, W), std about 1. Heights are the distance to the second nearest of scattered points less
    that to the nearest, at two scales, worn soft and lit from one side.
    """
    scale = max(size) / REFERENCE_SIDE
    height = np.zeros(size, np.float32)
    stretch = rng.uniform(1, 3)
    tall = (size[0], max(8, round(size[1] / stretch)))
    for pitch, share in ((rng.uniform(60, 220), 1.0), (rng.uniform(25, 70), rng.uniform(0, 0.5))):
        count = max(4, round(tall[0] * tall[1] / (pitch * scale) ** 2))
        seeds = np.ones(tall, np.uint8)
        seeds[rng.integers(tall[0], size=count), rng.integers(tall[1], size=count)] = 0
        away, owner = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5)
        tilts = rng.normal(0, 0.5, (int(owner.max()) + 1, 2))[owner]
        rows, columns = np.mgrid[0 : tall[0], 0 : tall[1]].astype(np.float32)
        facets = as_floats(away + 0.5 * (np.sin(tilts[..., 0]) * rows + tilts[..., 1] * columns))
        height += share * cv2.resize(
            as_floats(away + 0.15 * (facets - blur(facets, pitch * scale))), size[::-1]
        )
    height = blur(height, rng.uniform(1.5, 5) * scale)
    light = rng.uniform(0, 2 * np.pi)
    dx, dy = (cv2.Sobel(height, cv2.CV_32F, *axis, ksize=3) for axis in ((1, 0), (0, 1)))
    shading = as_floats(np.cos(light) * dx + np.sin(light) * dy)
    return normalised(as_floats(shading - blur(shading, DRAPE_SIGMA * scale)))


def ripples(size: tuple[int, int], rng: Generator) -> Floats:
    """Crease shading of short trains of waves that come and go: gathered or stretched cloth.

    (H, W), std about 1. Each train is a windowed wave (Gabor) of its own length and direction, near
    to those of its neighbours.
    """
    scale = max(size) / REFERENCE_SIDE
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    shading = np.zeros(size, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        middle = rng.uniform(0, 1, 2) * size
        turn, length = rng.uniform(0, np.pi), rng.uniform(14, 90) * scale
        for _ in range(int(rng.integers(2, 7))):
            at = middle + rng.normal(0, 90 * scale, 2)
            angle = turn + rng.normal(0, 0.3)
            away, along = (
                (columns - at[1]) * np.cos(a) + (rows - at[0]) * np.sin(a)
                for a in (angle, angle + np.pi / 2)
            )
            away += along * along * rng.normal(0, 0.0015 / scale)
            wave = length * rng.uniform(0.7, 1.4)
            window = np.exp(
                -((away / (wave * rng.uniform(0.5, 2))) ** 2)
                - (along / (wave * rng.uniform(1, 6))) ** 2
            )
            shading += (
                rng.uniform(0.3, 1) * window * np.cos(2 * np.pi * away / wave + rng.uniform(0, 6))
            )
    return normalised(as_floats(shading))


class Transplant:
    """Lays real wrinkles of other garments, turned and scaled; a crease generator like the rest."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    def __call__(self, size: tuple[int, int], rng: Generator) -> Floats:
        """(height, width) to a (H, W) field, std about 1."""
        patch = self.bank.patches[int(rng.integers(len(self.bank.patches)))]
        height, width = size
        zoom = rng.uniform(0.6, 1.5) * max(size) / max(patch.shape)
        middle = (patch.shape[1] / 2, patch.shape[0] / 2)
        turn = cv2.getRotationMatrix2D(middle, rng.uniform(0, 360), zoom)
        turn[:, 2] += np.array([width, height]) / 2 - np.array(middle)
        laid = cv2.warpAffine(
            patch, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        return normalised(laid.astype(np.float32))
