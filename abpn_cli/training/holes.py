"""Holes to learn removal with: free-form strokes, and silhouettes of things, HiFill paper 3.6.

A hole is (side, side) bool, True where the picture is missing, up to MOST_SHARE of it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Hole = NDArray[np.bool_]

MOST_SHARE = 0.25  # of the picture
LEAST_SHARE = 0.003
_OUTLINE = 64  # points of a silhouette's outline
_WAVES = 6  # of its outline: the number of bumps that a thing may have
_TRIES = 20


def hole(side: int, rng: np.random.Generator) -> Hole:
    """Make a hole of either kind, as often the one as the other."""
    make = free_form if rng.random() < 0.5 else silhouette
    for _ in range(_TRIES):
        made = make(side, rng)
        if LEAST_SHARE <= made.mean() <= MOST_SHARE:
            return made
    raise AssertionError("holes of a usual size are the rule")


def free_form(side: int, rng: np.random.Generator) -> Hole:
    """Draw one to three strokes of a thick brush that turns as it goes."""
    drawn = np.zeros((side, side), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        at, heading = rng.uniform(0.1, 0.9, 2) * side, rng.uniform(0, 2 * np.pi)
        width = int(side * rng.uniform(0.02, 0.09))
        for _ in range(int(rng.integers(2, 8))):
            heading += rng.uniform(-1.2, 1.2)
            step = side * rng.uniform(0.03, 0.15) * np.array([np.cos(heading), np.sin(heading)])
            then = (at + step).clip(0, side - 1)
            ends = [(int(x), int(y)) for x, y in (at, then)]
            cv2.line(drawn, ends[0], ends[1], 1, thickness=max(1, width))
            cv2.circle(drawn, ends[1], max(1, width // 2), 1, -1)
            at = then
    return drawn.astype(bool)


def silhouette(side: int, rng: np.random.Generator) -> Hole:
    """Draw a thing: a wavy outline, longer than wide, with one to three limbs at times."""
    drawn = np.zeros((side, side), np.uint8)
    middle = rng.uniform(0.2, 0.8, 2) * side
    size = side * rng.uniform(0.06, 0.25)
    turn = rng.uniform(0, np.pi)
    _fill(drawn, middle, size * np.array([1.0, rng.uniform(0.4, 1.0)]), turn, rng)
    for _ in range(int(rng.integers(0, 4))):
        around = rng.uniform(0, 2 * np.pi)
        there = middle + 0.8 * size * np.array([np.cos(around), np.sin(around)])
        _fill(drawn, there, size * rng.uniform(0.15, 0.5, 2), rng.uniform(0, np.pi), rng)
    return drawn.astype(bool)


def _fill(
    drawn: NDArray[np.uint8],
    middle: NDArray[np.float64],
    radii: NDArray[np.float64],
    turn: float,
    rng: np.random.Generator,
) -> None:
    """Fill a wavy ellipse."""
    angles = np.linspace(0, 2 * np.pi, _OUTLINE, endpoint=False)
    waves = np.arange(2, 2 + _WAVES)
    heights = 0.25 * rng.standard_normal(_WAVES) / waves
    radius = 1 + (heights * np.sin(np.outer(angles, waves) + rng.uniform(0, 6.3, _WAVES))).sum(1)
    points = radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1) * radii
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    outline = np.rint(points @ rotation.T + middle).astype(np.int32)
    cv2.fillPoly(drawn, [outline], 1)
