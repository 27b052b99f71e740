"""A garment as a pattern maker sees it, laid out on a surface: parts, seams, buttons, wrinkles."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .fabric import Colour, Fabric, lay
from .frame import (
    Bytes,
    Float,
    Frame,
    Pair,
    Points,
    blur,
    evenly,
    fill,
    offset,
    resized,
    share,
    stroke,
)
from .wrinkles import Creases, Ridge, height_field, puckers


@dataclass(frozen=True)
class Part:
    """A piece of cloth. Later parts lie on earlier ones.

    lift:      how high it lies, millimetres above the ground; rim: how round its edge is.
    grain:     direction of its yarns, degrees; about: centre of a band whose yarns run around it.
    stiffness: 0 takes every wrinkle of the garment, 1 takes none.
    shade:     light that reaches it, 1 but for insides.
    """

    outline: Points
    fabric: Fabric
    lift: float = 4.0
    rim: float = 1.6
    grain: float = 0.0
    about: Pair | None = None
    stiffness: float = 0.0
    shade: float = 1.0


@dataclass(frozen=True)
class Seam:
    """A line of stitches: offsets in millimetres from its path, thread None where it is hidden."""

    path: Points
    rows: tuple[float, ...] = (0.0,)
    thread: Colour | None = (0.6, 0.6, 0.6)
    groove: float = 0.35
    pucker: float = 0.25
    stitch_mm: float = 2.6


@dataclass(frozen=True)
class Button:
    """A button with four holes."""

    centre: Pair
    radius: float = 5.6
    colour: Colour = (0.75, 0.73, 0.68)


@dataclass(frozen=True)
class Print:
    """Ink on the cloth: closed outlines of one colour."""

    outlines: tuple[Points, ...]
    colour: Colour


@dataclass(frozen=True)
class Garment:
    """Everything that is laid down, bottom first."""

    parts: tuple[Part, ...]
    seams: tuple[Seam, ...]
    ridges: tuple[Ridge, ...]
    buttons: tuple[Button, ...] = ()
    prints: tuple[Print, ...] = field(default=())
    drape: float = 2.0
    creases: tuple[Creases, ...] = ()


@dataclass(frozen=True)
class Crook:
    """How a real garment strays from its pattern: a few slow waves that move all its points."""

    waves: NDArray[np.float64]  # (n, 2), radians a millimetre
    phases: NDArray[np.float64]  # (n, 2)
    reach: NDArray[np.float64]  # (n,), millimetres

    @classmethod
    def drawn(cls, rng: np.random.Generator, reach_mm: float) -> Crook:
        """A crook of about `reach_mm` millimetres."""
        lengths = np.array([420.0, 300.0, 190.0, 120.0, 80.0, 55.0])
        headings = rng.uniform(0, 2 * np.pi, len(lengths))
        ways = np.stack([np.cos(headings), np.sin(headings)], axis=1)
        phases = rng.uniform(0, 2 * np.pi, (len(lengths), 2))
        reach = reach_mm * np.array([1.0, 0.8, 0.5, 0.3, 0.2, 0.12])
        return cls(ways * (2 * np.pi / lengths)[:, None], phases, reach)

    def __call__(self, points: Points) -> Points:
        """The points where they really lie."""
        at = points @ self.waves.T
        moves = [np.sin(at + self.phases[:, axis]) @ self.reach for axis in (0, 1)]
        return points + np.stack(moves, axis=1)


@dataclass
class Surface:
    """What the camera will see, before it is lit.

    albedo:  (H, W, 3) linear reflectance. heights: (H/2, W/2) millimetres.
    """

    frame: Frame
    albedo: Float
    heights: Float


def put_on(
    surface: Surface,
    garment: Garment,
    rng: np.random.Generator,
    crook_mm: float = 2.5,
    wrinkled: float = 1.0,
) -> None:
    """Lay the garment on the surface, in place.

    crook_mm: how crooked it lies; wrinkled: share of the wrinkles' height that is left, the same
    garment pressed below 1.
    """
    half = surface.frame.half()
    garment = _crooked(garment, Crook.drawn(rng, crook_mm))
    ridges = list(garment.ridges)
    for seam in garment.seams:
        if seam.pucker:
            ridges += puckers(rng, seam.path, 7.0, seam.pucker)
    wrinkles = height_field(rng, half, ridges, garment.creases, garment.drape)
    pull = _pull(surface.frame, wrinkles)
    softness = np.zeros(half.size, np.float32)
    ground = surface.heights.copy()
    surface.heights[:] = 0
    for part in garment.parts:
        _lay_part(surface, part, pull, softness, rng)
    for ink in garment.prints:
        _print_on(surface, ink, pull)
    surface.heights += np.float32(wrinkled) * wrinkles * _rounded(softness, 1.2 * half.px_per_mm)
    # the cloth bridges the joints of what it lies on
    surface.heights += np.where(surface.heights == 0, ground, 0)
    for seam in garment.seams:
        _sew(surface, seam, rng)
    for button in garment.buttons:
        _button(surface, button)


def _crooked(garment: Garment, crook: Crook) -> Garment:
    """The garment with all that is sewn or printed on it moved together."""
    buttons = []
    for button in garment.buttons:
        x, y = crook(np.array([button.centre]))[0]
        buttons.append(replace(button, centre=(float(x), float(y))))
    return replace(
        garment,
        parts=tuple(replace(part, outline=crook(part.outline)) for part in garment.parts),
        seams=tuple(replace(seam, path=crook(seam.path)) for seam in garment.seams),
        buttons=tuple(buttons),
        prints=tuple(
            replace(ink, outlines=tuple(crook(outline) for outline in ink.outlines))
            for ink in garment.prints
        ),
    )


def _pull(frame: Frame, wrinkles: Float) -> tuple[Float, Float]:
    """How far (x, y), in millimetres, wrinkles move the yarns sideways: up a slope they crowd."""
    smooth = blur(wrinkles, 0.6 * frame.px_per_mm)
    reach = np.float32(2.2 * frame.px_per_mm / 2)  # millimetres for a slope of 1
    gy, gx = (np.asarray(slope, np.float32) for slope in np.gradient(smooth))
    return resized(gx * reach, frame.size), resized(gy * reach, frame.size)


def _extent(coverage: Bytes) -> tuple[slice, slice]:
    x, y, width, height = cv2.boundingRect(coverage)
    return slice(y, y + height), slice(x, x + width)


def _lay_part(
    surface: Surface,
    part: Part,
    pull: tuple[Float, Float],
    softness: Float,
    rng: np.random.Generator,
) -> None:
    frame, half = surface.frame, surface.frame.half()
    coverage = fill(frame, part.outline)
    window = _extent(coverage)
    if coverage[window].size == 0:
        return
    x, y = frame.grid(*window)
    x, y = x + pull[0][window], y + pull[1][window]
    if part.about is not None:
        x, y = x - np.float32(part.about[0]), y - np.float32(part.about[1])
        radius = np.hypot(x, y)
        x, y = np.arctan2(y, x) * np.float32(radius.mean()), radius
    else:
        angle = np.deg2rad(part.grain)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        x, y = x * cos + y * sin, y * cos - x * sin
    gain = lay(rng, part.fabric, frame.px_per_mm, x, y)
    cover = share(coverage[window])[..., None]
    cloth = gain[..., None] * (np.array(part.fabric.colour, np.float32) * np.float32(part.shade))
    surface.albedo[window] += cover * (cloth - surface.albedo[window])

    flat = share(fill(half, part.outline))
    softness += flat * (np.float32(1 - part.stiffness) - softness)
    rise = _rounded(flat, part.rim * half.px_per_mm)
    surface.heights += rise * (np.float32(part.lift) - surface.heights)


def _rounded(flat: Float, rim_px: float) -> Float:
    """The piece's thickness as a share 0..1: its edge rises inside its outline, not outside."""
    reach = max(round(rim_px), 1)
    inner = cv2.erode(flat, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2))
    return blur(np.asarray(inner, np.float32), rim_px / 2)


def _print_on(surface: Surface, ink: Print, pull: tuple[Float, Float]) -> None:
    """Ink takes the cloth's yarns: it is laid as a colour times what shades the cloth already."""
    frame = surface.frame
    coverage = np.zeros(frame.size, np.uint8)
    for outline in ink.outlines:
        np.maximum(coverage, fill(frame, outline), out=coverage)
    rows, columns = _extent(coverage)
    reach = int(6 * frame.px_per_mm)
    window = (
        slice(max(rows.start - reach, 0), min(rows.stop + reach, frame.size[0])),
        slice(max(columns.start - reach, 0), min(columns.stop + reach, frame.size[1])),
    )
    height, width = coverage[window].shape
    x = np.arange(width, dtype=np.float32)[None, :] + pull[0][window] * frame.px_per_mm
    y = np.arange(height, dtype=np.float32)[:, None] + pull[1][window] * frame.px_per_mm
    moved = cv2.remap(coverage[window], x, y, cv2.INTER_LINEAR)
    cover = np.float32(0.93) * share(np.asarray(moved, np.uint8))[..., None]
    cloth = surface.albedo[window]
    light = cloth.mean(axis=2, keepdims=True)
    yarns = 1 + 0.5 * (light / np.maximum(blur(light[..., 0], 4)[..., None], 1e-3) - 1)
    cloth += cover * (np.array(ink.colour, np.float32) * yarns - cloth)


def _sew(surface: Surface, seam: Seam, rng: np.random.Generator) -> None:
    frame, half = surface.frame, surface.frame.half()
    groove = share(stroke(half, [seam.path], 1.0))
    surface.heights -= np.float32(seam.groove) * blur(groove, 1.1 * half.px_per_mm) * 2
    if seam.thread is None:
        return
    dashes: list[Points] = []
    for row in seam.rows:
        line = evenly(offset(seam.path, row), seam.stitch_mm / 4)
        line = line + rng.normal(0, 0.03, line.shape)
        dashes += [line[start : start + 4] for start in range(0, len(line) - 4, 4)]
    # three points of every four: the fourth is where the thread dives under
    thread = stroke(frame, [dash[:3] for dash in dashes], 0.45)
    reach = cv2.dilate(thread, np.ones((7, 7), np.uint8))
    window = _extent(np.asarray(reach, np.uint8))
    if thread[window].size == 0:
        return
    shift = max(round(0.25 * frame.px_per_mm), 1)
    shadow = np.roll(thread, (shift, shift), (0, 1))[window]
    albedo = surface.albedo[window]
    albedo *= 1 - np.float32(0.35) * share(shadow)[..., None]
    cover = np.float32(0.85) * share(thread[window])[..., None]
    albedo += cover * (np.array(seam.thread, np.float32) - albedo)


def _button(surface: Surface, button: Button) -> None:
    frame, half = surface.frame, surface.frame.half()
    centre = np.array(button.centre)
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    disc = fill(frame, centre + circle * button.radius)
    window = _extent(disc)
    if disc[window].size == 0:
        return
    albedo = surface.albedo[window]
    colour = np.array(button.colour, np.float32)
    albedo += share(disc[window])[..., None] * (colour - albedo)
    hole = button.radius * 0.28
    for dx, dy in ((-hole, -hole), (hole, -hole), (-hole, hole), (hole, hole)):
        dark = fill(frame, centre + (dx, dy) + circle * button.radius * 0.13)
        albedo *= 1 - np.float32(0.8) * share(dark[window])[..., None]
    threads = [np.array([centre + (-hole, y), centre + (hole, y)]) for y in (-hole, hole)]
    cover = share(stroke(frame, threads, 0.7)[window])[..., None]
    albedo += np.float32(0.9) * cover * (colour * np.float32(0.9) - albedo)
    raised = share(fill(half, centre + circle * button.radius))
    bowl = share(fill(half, centre + circle * button.radius * 0.7))
    reach = 0.45 * half.px_per_mm
    surface.heights += np.float32(1.7) * blur(raised, reach) - np.float32(0.5) * blur(bowl, reach)
