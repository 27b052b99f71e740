"""Wrinkles as heights in millimetres: folds under tension, storage creases, crumples, puckers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from .frame import Float, Frame, Pair, Points, evenly, soft_noise


@dataclass(frozen=True)
class Ridge:
    """One wrinkle: a bent ridge with a steep and a gentle side.

    centre: its middle, millimetres; degrees: its direction, 0 along x, 90 down.
    length, width, height: millimetres; bend: how far its ends hang, as a share of its length.
    skew: gentle side's width over the steep side's; sharpness: 0 round back, 1 a crisp edge.
    sway: how far it swings from side to side, as a share of its length.
    """

    centre: Pair
    degrees: float
    length: float
    width: float
    height: float
    bend: float = 0.0
    skew: float = 1.8
    sharpness: float = 0.6
    sway: float = 0.035


def add_ridge(heights: Float, frame: Frame, ridge: Ridge) -> None:
    """Add one wrinkle to the height field in place."""
    reach = ridge.length * (0.75 + abs(ridge.bend)) + 4 * ridge.width
    rows, columns = frame.window(ridge.centre, reach)
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return
    x, y = frame.grid(rows, columns)
    angle = np.deg2rad(ridge.degrees)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y = x - np.float32(ridge.centre[0]), y - np.float32(ridge.centre[1])
    along = (x * cos + y * sin) * np.float32(2 / ridge.length)  # -1..1 over its length
    across = y * cos - x * sin - np.float32(ridge.bend * ridge.length) * along**2
    across -= np.float32(ridge.sway * ridge.length) * np.sin(along * 5 + ridge.degrees)
    # it widens and sinks towards its ends, later on one side than on the other
    fade = np.clip(1 - along * along * np.where(along > 0, 0.8, 1.3), 0, 1)
    side = np.where(across > 0, np.float32(1), np.float32(ridge.skew))
    distance = across / (side * np.float32(ridge.width) * (1.5 - 0.5 * fade))
    edge = np.sqrt(distance * distance + np.float32((1 - ridge.sharpness) ** 2 + 0.02))
    heights[rows, columns] += np.float32(ridge.height) * fade * fade * np.exp(-1.6 * edge)


def fan(
    rng: np.random.Generator, origin: Pair, degrees: Pair, count: int, length: Pair, height: float
) -> list[Ridge]:
    """Tension folds that leave one point (an armpit, a button) within an angle."""
    ridges = []
    for heading in np.linspace(*degrees, count) + rng.normal(0, 5, count):
        reach = float(rng.uniform(*length))
        start = float(rng.uniform(0.02, 0.25)) * reach
        angle = np.deg2rad(heading)
        middle = start + reach / 2
        centre = (origin[0] + middle * np.cos(angle), origin[1] + middle * np.sin(angle))
        ridges.append(
            Ridge(
                centre=(float(centre[0]), float(centre[1])),
                degrees=float(heading),
                length=reach,
                width=float(rng.uniform(0.035, 0.06)) * reach + 1.5,
                height=height * float(rng.uniform(0.6, 1.3)),
                bend=float(rng.normal(0, 0.08)),
                skew=float(rng.choice([0.5, 2.0])),
                sharpness=float(rng.uniform(0.3, 0.75)),
            )
        )
    return ridges


def crumple(
    rng: np.random.Generator, box: tuple[float, float, float, float], count: int, height: float
) -> list[Ridge]:
    """Many small wrinkles over a box (left, top, right, bottom), gathered in patches.

    Neighbours run about the same way: the cloth was pressed together from one side.
    """
    left, top, right, bottom = box
    patches = rng.uniform((left, top), (right, bottom), (max(count // 9, 2), 2))
    headings = rng.normal(0, 40, len(patches)) + rng.choice([0, 90, 35, -35], len(patches))
    ridges = []
    for number in rng.integers(0, len(patches), count):
        spread = rng.normal(0, 0.09, 2) * (right - left, bottom - top)
        length = float(np.clip(rng.lognormal(3.5, 0.55), 10, 160))
        ridges.append(
            Ridge(
                centre=(
                    float(patches[number][0] + spread[0]),
                    float(patches[number][1] + spread[1]),
                ),
                degrees=float(headings[number] + rng.normal(0, 22)),
                length=length,
                width=0.8 + 0.045 * length * float(rng.uniform(0.6, 1.5)),
                height=height * float(rng.normal(1, 0.35)) * (0.25 + length / 70),
                bend=float(rng.normal(0, 0.12)),
                skew=float(rng.choice([0.45, 1.0, 2.2])),
                sharpness=float(rng.uniform(0.2, 0.9)),
            )
        )
    return ridges


def storage_crease(rng: np.random.Generator, path: Points, height: float) -> list[Ridge]:
    """The line a folded garment keeps: crisp, nearly straight, in places ironed out by wear."""
    ridges = []
    stops = evenly(path, 30.0)
    for start, end in zip(stops[:-1], stops[1:], strict=True):
        middle = (start + end) / 2 + rng.normal(0, 0.4, 2)
        heading = np.degrees(np.arctan2(*(end - start)[::-1]))
        ridges.append(
            Ridge(
                centre=(float(middle[0]), float(middle[1])),
                degrees=float(heading + rng.normal(0, 1.5)),
                length=58.0,
                width=2.6,
                height=height * float(rng.uniform(0.3, 1.2)),
                skew=1.3,
                sharpness=0.9,
                sway=0.0,
            )
        )
    return ridges


def puckers(rng: np.random.Generator, seam: Points, spacing: float, height: float) -> list[Ridge]:
    """Short wrinkles across a seam, where its thread draws the cloth together."""
    stops = evenly(seam, spacing)
    ridges = []
    for start, end in zip(stops[:-1], stops[1:], strict=True):
        heading = np.degrees(np.arctan2(*(end - start)[::-1])) + 90
        length = float(rng.uniform(9, 26))
        middle = start + rng.normal(0, 2, 2)
        ridges.append(
            Ridge(
                centre=(float(middle[0]), float(middle[1])),
                degrees=float(heading + rng.normal(0, 18)),
                length=length,
                width=float(rng.uniform(1.2, 2.4)),
                height=height * float(rng.normal(0.8, 0.4)),
                skew=1.0,
                sharpness=0.3,
            )
        )
    return ridges


@dataclass(frozen=True)
class Creases:
    """A net of joined creases over the whole garment, stronger in some places than in others.

    degrees: the way most of them run; length, width, height: of one crease, millimetres.
    """

    degrees: float
    length: float
    width: float
    height: float


def _crease_net(rng: np.random.Generator, frame: Frame, creases: Creases) -> Float:
    """Heights (H, W), millimetres: the ridges stand where smooth noise changes its sign."""
    scale, size = frame.px_per_mm, frame.size
    rows, columns = slice(0, size[0]), slice(0, size[1])
    x, y = frame.grid(rows, columns)
    bend = np.float32(creases.width * 0.6)
    reach = (2.4 * creases.width * scale,) * 2
    x = x + bend * soft_noise(rng, size, reach)
    y = y + bend * soft_noise(rng, size, reach)
    # the way they run turns by some degrees from place to place
    angle = np.deg2rad(creases.degrees) + 0.09 * soft_noise(rng, size, (150 * scale,) * 2)
    cos, sin = np.cos(angle), np.sin(angle)
    u = (x * cos + y * sin) / np.float32(creases.length) + 32
    v = (y * cos - x * sin) / np.float32(creases.width) + 64
    grid = rng.standard_normal((128, 64)).astype(np.float32)
    wave = cv2.remap(
        grid, u.astype(np.float32), v.astype(np.float32), cv2.INTER_CUBIC, None, cv2.BORDER_WRAP
    )
    ridged = 1.0 - np.sqrt(wave * wave + np.float32(0.012))
    patches = np.clip(soft_noise(rng, size, (70 * scale, 70 * scale)) * 0.6 + 0.55, 0, 1.3)
    return np.asarray(np.float32(creases.height) * ridged * patches, np.float32)


def height_field(
    rng: np.random.Generator,
    frame: Frame,
    ridges: Iterable[Ridge],
    nets: Iterable[Creases],
    drape: float,
) -> Float:
    """All wrinkles on a gently waved cloth: (H, W), millimetres.

    drape: height of the large, soft waves, which are the garment's own and no wrinkles.
    """
    scale = frame.px_per_mm
    heights = soft_noise(rng, frame.size, (90 * scale, 75 * scale)) * np.float32(drape)
    heights += soft_noise(rng, frame.size, (28 * scale, 24 * scale)) * np.float32(drape * 0.16)
    for net in nets:
        heights += _crease_net(rng, frame, net)
    for ridge in ridges:
        add_ridge(heights, frame, ridge)
    heights += soft_noise(rng, frame.size, (5 * scale, 5 * scale)) * np.float32(0.02)
    return heights
