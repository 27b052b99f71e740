"""Daylight from a window at the upper left, over a height field; and what lies under the cloth."""

from __future__ import annotations

import cv2
import numpy as np

from .frame import Float, Frame, blur, resized, soft_noise

# directions to the window's parts: x right, y down, z up
_WINDOW = ((-0.62, -0.50, 0.60), (-0.45, -0.72, 0.53), (-0.75, -0.22, 0.62))
_KEY = 0.72  # share of the window's light; the room's walls send the rest from everywhere


def irradiance(heights: Float, frame: Frame) -> Float:
    """Light (h, w) that reaches each point of the surface: 1 on a flat table, far from the cloth.

    heights: (h, w) millimetres; frame: the view at the same resolution.
    """
    slope = np.float32(frame.px_per_mm)
    smooth = blur(heights, 0.8)
    gx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8) * slope
    gy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8) * slope
    upright = 1 / np.sqrt(1 + gx * gx + gy * gy)
    key = np.zeros_like(heights)
    for lx, ly, lz in _WINDOW:
        facing = (lz - gx * np.float32(lx) - gy * np.float32(ly)) * upright
        key += np.clip(facing, 0, None) / np.float32(lz * len(_WINDOW))
    key *= _visible(heights, frame)
    fill = _open_sky(heights, frame) * (0.4 + 0.6 * upright)
    return np.asarray(_KEY * key + (1 - _KEY) * fill, np.float32) * _fall_off(frame)


def _visible(heights: Float, frame: Frame) -> Float:
    """Share of the window that is seen, 0..1: how steeply the ground rises towards it."""
    height, width = heights.shape
    small = resized(heights, (height // 2, width // 2))
    scale = frame.px_per_mm / 2
    steepest = np.zeros_like(small)
    for reach in (1.2, 2.0, 3.2, 5.0, 8.0, 13.0, 20.0, 30.0):
        for lx, ly, _ in _WINDOW:
            step = reach * scale / np.hypot(lx, ly)
            move = np.array([[1, 0, -lx * step], [0, 1, -ly * step]], np.float32)
            there = cv2.warpAffine(small, move, small.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
            np.maximum(steepest, (there - small) / np.float32(reach), out=steepest)
    # the window reaches from 20 to 60 degrees above the table
    hidden = np.clip(
        (blur(np.asarray(steepest, np.float32), 0.5 * scale) - 0.30) / (1.6 - 0.30), 0, 1
    )
    return resized(np.asarray(1 - hidden, np.float32), (height, width))


def _open_sky(heights: Float, frame: Frame) -> Float:
    """Share of the room that is seen, 0..1: less in valleys and under edges."""
    closed = np.zeros_like(heights)
    for reach_mm, weight in ((1.5, 0.35), (5.0, 0.5), (18.0, 0.6)):
        below = blur(heights, reach_mm * frame.px_per_mm) - heights
        closed += np.float32(weight / reach_mm) * np.clip(below, 0, None)
    return np.asarray(1 / (1 + 2.2 * closed), np.float32)


def _fall_off(frame: Frame) -> Float:
    """Nearer to the window it is brighter."""
    height, width = frame.size
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    return np.asarray(1 - 0.09 * x - 0.08 * y, np.float32)


def planks(rng: np.random.Generator, frame: Frame) -> tuple[Float, Float]:
    """A wooden floor: albedo (H, W, 3) and heights (H/2, W/2) in millimetres."""
    height, width = frame.size
    albedo = np.empty((height, width, 3), np.float32)
    heights = np.zeros((height // 2, width // 2), np.float32)
    board = 118 * frame.px_per_mm
    top = -float(rng.uniform(0, board))
    while top < height:
        left = -float(rng.uniform(0, 600 * frame.px_per_mm))
        while left < width:
            length = float(rng.uniform(500, 900)) * frame.px_per_mm
            rows = slice(max(round(top), 0), min(round(top + board), height))
            columns = slice(max(round(left), 0), min(round(left + length), width))
            left += length
            size = (rows.stop - rows.start, columns.stop - columns.start)
            if min(size) > 0:
                albedo[rows, columns] = _board(rng, size, frame.px_per_mm)
                _gap(albedo, heights, rows, columns, frame)
        top += board
    return albedo, heights


def _board(rng: np.random.Generator, size: tuple[int, int], px_per_mm: float) -> Float:
    """One board of oak: (h, w, 3)."""
    scale = px_per_mm
    bend = soft_noise(rng, size, (40 * scale, 420 * scale)) * np.float32(9)
    bend += soft_noise(rng, size, (12 * scale, 130 * scale)) * np.float32(1.2)
    y = np.arange(size[0], dtype=np.float32)[:, None] / np.float32(scale)
    rings = np.sin((y * float(rng.uniform(0.25, 0.5)) + bend * 1.2).astype(np.float32))
    rings = rings * (0.5 + 0.5 * soft_noise(rng, size, (22 * scale, 260 * scale)))
    fibres = soft_noise(rng, size, (max(0.5 * scale, 1.3), 45 * scale))
    pores = soft_noise(rng, size, (max(0.4 * scale, 1.2), 9 * scale))
    grain = 0.055 * rings + 0.035 * fibres - 0.10 * np.clip(pores - 1.5, 0, 1)
    tone = np.float32(float(rng.normal(1, 0.13)))
    oak = np.array((0.36, 0.225, 0.125), np.float32) * tone
    warmth = np.array((0.85, 1.0, 1.22), np.float32)  # dark grain is also redder
    return np.asarray(oak * (1 + grain[..., None] * warmth), np.float32)


def _gap(albedo: Float, heights: Float, rows: slice, columns: slice, frame: Frame) -> None:
    """The dark joint at a board's lower and right edge."""
    thin = max(round(0.7 * frame.px_per_mm), 1)
    albedo[max(rows.stop - thin, 0) : rows.stop, columns] *= np.float32(0.35)
    albedo[rows, max(columns.stop - thin, 0) : columns.stop] *= np.float32(0.35)
    heights[
        max(rows.stop // 2 - 2, 0) : rows.stop // 2, columns.start // 2 : columns.stop // 2
    ] = -0.3


def plaster(
    rng: np.random.Generator, frame: Frame, tint: tuple[float, float, float]
) -> tuple[Float, Float]:
    """A painted wall with the roller's fine texture: albedo (H, W, 3), heights (H/2, W/2)."""
    height, width = frame.size
    half = frame.half()
    scale = half.px_per_mm
    heights = soft_noise(rng, half.size, (max(1.3 * scale, 1.5),) * 2) * np.float32(0.02)
    heights += soft_noise(rng, half.size, (6 * scale, 6 * scale)) * np.float32(0.025)
    patches = 1 + 0.012 * soft_noise(rng, frame.size, (60 * frame.px_per_mm,) * 2)
    albedo = np.empty((height, width, 3), np.float32)
    albedo[:] = patches[..., None] * np.array(tint, np.float32)
    return albedo, heights


def lit(albedo: Float, heights: Float, frame: Frame) -> Float:
    """The scene as light that reaches the camera: (H, W, 3), linear sRGB; uses up `albedo`."""
    light = irradiance(heights, frame.half())
    daylight = np.array((1.03, 1.0, 0.95), np.float32)
    room = np.array((0.97, 0.99, 1.06), np.float32)  # shadows see the sky's blue
    wide = resized(light, frame.size)
    for channel in range(3):
        share = np.clip(wide, 0, 1)
        tint = room[channel] + (daylight[channel] - room[channel]) * share
        albedo[..., channel] *= wide * tint
    return albedo
