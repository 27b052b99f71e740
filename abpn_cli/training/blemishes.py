"""Blemishes painted on skin, real ones healed: what `face` learns where no retoucher's work is.

Every function is pure. An edit is a *ratio* field (H, W, 3) float32, about 1: retouched =
original · ratio. Blemishes absorb light as skin's own two pigments do (Beer-Lambert), so that one
spot suits every skin tone: ratio = exp(-(melanin · MELANIN + blood · BLOOD)). Lengths are given at
1024 px long side of a face's crop, 1.5 times the face, and scaled.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from ..skin import BLOOD, MELANIN, bends
from .synthesis import DARK, Floats, as_floats, blur, masked_blur, scale_of, smoothstep

BLOB_SIGMAS = (2.2, 3.2, 4.6, 6.6)  # px: half the width of spots that are healed
BLOB = (0.018, 0.05)  # curvature in log light, scale-free: below is skin, above a spot
ROUND = (0.3, 0.5)  # the lesser curvature by the greater: below is a line, which stays
DEEPEST = (0.45, 0.7)  # log light: darker are nostrils, lashes, hair
COLOURED = (
    0.12,
    0.3,
)  # share of the curvature that red light lacks: shadows are grey, pigment is not
SHAPED = (0.05, 0.12)  # rise of log light over 6 px: steeper are a nose's wings, lids, folds
ROUGH = (1.5, 2.2)  # fine contrast by the face's median: above is beard, which stays
CROWDED = (0.12, 0.25)  # share of skin that spots cover: more is stubble or freckles, which stay
RED, GREEN = 0, 1  # red light passes pigment best; in green both pigments show


def inner_skin(skin: Floats, scale: float) -> Floats:
    """Erode and feather a mask of face skin (H, W): brows and lips begin at its rim."""
    reach = 2 * round(11 * scale) + 1
    core = cv2.erode(skin, np.ones((reach, reach), np.uint8), borderValue=0)
    return as_floats(blur(as_floats(core), 4 * scale) * (core > 0.5))


def curvatures(field: Floats, sigma: float) -> tuple[Floats, Floats]:
    """Eigenvalues of the Hessian of a (H, W) field at a scale, times sigma²: (lesser, greater)."""
    lesser, greater = bends(blur(field, sigma))
    return as_floats(lesser * sigma**2), as_floats(greater * sigma**2)


def roughness(log_light: Floats, skin: Floats, scale: float) -> Floats:
    """Fine contrast around each pixel by the median of the skin's: (H, W), about 1."""
    fine = as_floats((blur(log_light, 0.7 * scale) - blur(log_light, 2.2 * scale)) * skin)
    strength = cv2.sqrt(masked_blur(fine * fine, skin, 10 * scale))
    inside = strength[skin > 0.5]
    usual = float(np.median(inside)) if inside.size else 0.0
    return as_floats(strength / max(usual, 1e-3))


def spots_in(image: Floats, skin: Floats) -> Floats:
    """How surely each pixel belongs to a dark or red spot: (H, W) in [0, 1].

    image: (H, W, 3) RGB in [0, 1]; skin: (H, W), as `inner_skin` returns it. Round things only:
    wrinkles are lines; and few: stubble and freckles are many.
    """
    scale = scale_of(image)
    logs = np.log(np.maximum(image, 0) + DARK)
    log_light, tint = as_floats(logs[..., GREEN]), as_floats(logs[..., GREEN] - logs[..., RED])
    plain = as_floats(skin > 0.5)
    found = np.zeros_like(log_light)
    for sigma in BLOB_SIGMAS:
        width = max(sigma * scale, 0.8)
        lesser, greater = curvatures(log_light, width)
        roundness = as_floats(lesser / np.maximum(greater, 1e-6))
        colour = as_floats(sum(curvatures(tint, width)) / np.maximum(lesser + greater, 1e-6))
        spot = smoothstep(*BLOB, lesser) * smoothstep(*ROUND, roundness) * plain
        spot = as_floats(spot * smoothstep(*COLOURED, colour))
        reach = 2 * round(1.3 * width) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        found = np.maximum(found, blur(as_floats(cv2.dilate(spot, disc)), 0.5 * width))
    drop = as_floats(masked_blur(log_light, plain, 14 * scale) - blur(log_light, 1.5 * scale))
    form = blur(log_light, 6 * scale)
    rise = np.hypot(*(cv2.Sobel(form, cv2.CV_32F, *way, ksize=3) for way in ((1, 0), (0, 1)))) / 8
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(6 * scale) + 1,) * 2)
    steep = as_floats(cv2.dilate(as_floats(rise * 6 * scale), around))
    found = found * (1 - smoothstep(*SHAPED, steep))
    found = found * (1 - smoothstep(*ROUGH, roughness(log_light, plain, scale)))
    crowded = masked_blur(as_floats(found > 0.3), plain, 40 * scale)
    found = found * (1 - smoothstep(*DEEPEST, drop)) * (1 - smoothstep(*CROWDED, crowded))
    return as_floats(np.clip(found * skin, 0, 1))


def healed(image: Floats, skin: Floats) -> Floats:
    """Heal the real spots of a face: (H, W, 3) ratio.

    What is coarser than pores is filled in from the clean skin around; pores stay.
    """
    scale = scale_of(image)
    spots = spots_in(image, skin)
    clean = as_floats((skin > 0.5) * (1 - smoothstep(0.02, 0.25, spots)))
    ratio = np.ones_like(image)
    for channel in range(3):
        log_light = as_floats(np.log(np.maximum(image[..., channel], 0) + DARK))
        around = masked_blur(log_light, clean, 7 * scale)
        far = masked_blur(log_light, clean, 18 * scale)
        near = smoothstep(0.02, 0.1, blur(clean, 7 * scale))
        filled = near * around + (1 - near) * far
        own = blur(log_light, 1.2 * scale)
        ratio[..., channel] = np.exp(spots * (filled - own))
    known = smoothstep(0.005, 0.03, blur(clean, 18 * scale))[..., None]
    return as_floats(np.clip(1 + (ratio - 1) * known, 0.7, 1.8))


def blemished(size: tuple[int, int], skin: Floats, rng: Generator) -> Floats:
    """Paint spots, clusters of them and scars on the skin: (H, W, 3) ratio.

    No wide patches of redness: beside what a face has of its own (nose, cheeks, ears, lips), they
    could be told by nothing, and a face would go pale.
    size: (H, W); skin: (H, W), as `inner_skin` returns it.
    """
    places = np.argwhere(skin > 0.5)
    density = np.zeros((*size, 2), np.float32)  # of melanin and of blood
    if not len(places):
        return np.ones((*size, 3), np.float32)
    scale = max(size) / 1024

    def somewhere() -> Floats:
        return as_floats(places[int(rng.integers(len(places)))])

    for _ in range(int(rng.integers(2, 14))):
        _spot(density, somewhere(), _radius(rng) * scale, rng)
    for _ in range(int(rng.integers(0, 3))):
        centre, spread = somewhere(), rng.uniform(15, 60) * scale
        for _ in range(int(rng.integers(4, 18))):
            place = as_floats(centre + rng.normal(0, spread, 2))
            _spot(density, place, min(_radius(rng), 6.0) * scale, rng)
    for _ in range(int(rng.integers(0, 3))):
        _scar(density, somewhere(), scale, rng)
    return pigmented(density * skin[..., None])


def freckled(size: tuple[int, int], skin: Floats, rng: Generator) -> Floats:
    """Paint freckles, many small brown dots, which are the person's own: (H, W, 3) ratio."""
    places = np.argwhere(skin > 0.5)
    density = np.zeros((*size, 2), np.float32)
    if not len(places):
        return np.ones((*size, 3), np.float32)
    scale = max(size) / 1024
    strength = rng.uniform(0.04, 0.2)
    for _ in range(int(rng.integers(60, 260))):
        place = as_floats(places[int(rng.integers(len(places)))])
        radius = rng.uniform(1.0, 3.0) * scale
        lay(density[..., 0], place, radius, strength * rng.uniform(0.4, 1.2), 0.8, rng)
    return pigmented(density * skin[..., None])


def blotched(size: tuple[int, int], skin: Floats, rng: Generator) -> Floats:
    """Paint blotches cut out of noise, of any warm tint: (H, W, 3) ratio.

    Shares nothing with `blemished`: kept for validation.
    """
    height, width = size
    scale = max(size) / 1024
    field = np.zeros(size, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        cell = rng.uniform(2.5, 18) * scale
        grid = rng.standard_normal((int(height / cell) + 3, int(width / cell) + 3), np.float32)
        noise = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        bar = rng.uniform(1.9, 2.6)
        parts = smoothstep(bar, bar + 0.5, as_floats(noise)) * np.float32(rng.uniform(0.4, 1))
        field = as_floats(np.maximum(field, parts))
    tint = rng.uniform((0.0, 0.5, 0.4), (0.4, 1.0, 1.0)).astype(np.float32)
    depth = np.float32(rng.uniform(0.08, 0.35))
    return as_floats(1 - depth * tint * (field * skin)[..., None])


def pigmented(density: Floats) -> Floats:
    """Densities (H, W, 2) of melanin and blood to the ratio (H, W, 3) that they leave of light."""
    return as_floats(np.exp(-(density[..., :1] * MELANIN + density[..., 1:] * BLOOD)))


def _radius(rng: Generator) -> float:
    """Most spots are small: 1.5 to 12 px at 1024, even on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(1.5), np.log(12))))


def _spot(density: Floats, place: Floats, radius: float, rng: Generator) -> None:
    """Add a spot, red or brown, some with a red ring and a bright tip."""
    depth = rng.uniform(0.08, 0.45)
    blood = rng.uniform(0, 1) ** 0.6  # more of them red than brown
    lay(density[..., 0], place, radius, depth * (1 - blood), rng.uniform(0.5, 1), rng)
    lay(density[..., 1], place, radius, depth * blood, rng.uniform(0.5, 1), rng)
    if rng.random() < 0.3:
        halo = radius * rng.uniform(1.4, 2.2)
        lay(density[..., 1], place, halo, rng.uniform(0.02, 0.08), 1.0, rng)
    if rng.random() < 0.2:
        tip = as_floats(place + rng.normal(0, 0.3, 2) * radius)
        lay(density[..., 1], tip, radius * 0.45, -rng.uniform(0.05, 0.3), 0.8, rng)


def _scar(density: Floats, place: Floats, scale: float, rng: Generator) -> None:
    """Add a short curved line, paler or darker than the skin."""
    angle, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.25)
    length, width = rng.uniform(10, 50) * scale, max(rng.uniform(1.2, 3.5) * scale, 0.7)
    melanin, blood = rng.uniform(-0.15, 0.15), rng.uniform(-0.12, 0.25)
    count = max(3, int(length / width))
    for index in range(count):
        fade = float(np.sin(np.pi * (index + 1) / (count + 1))) / 2
        lay(density[..., 0], place, width, melanin * fade, 1.0, rng)
        lay(density[..., 1], place, width, blood * fade, 1.0, rng)
        angle += bend / count * 4
        place = as_floats(place + np.array([np.sin(angle), np.cos(angle)]) * length / count)


def lay(
    field: Floats, place: Floats, radius: float, depth: float, softness: float, rng: Generator
) -> None:
    """Add an uneven disc to a (H, W) field, in place; softness: share of the radius that fades."""
    reach = int(np.ceil(2.2 * radius)) + 2
    top, left = (int(v) - reach for v in place)
    rows = np.arange(max(top, 0), min(top + 2 * reach + 1, field.shape[0]))
    columns = np.arange(max(left, 0), min(left + 2 * reach + 1, field.shape[1]))
    if not len(rows) or not len(columns):
        return
    dy, dx = (rows - place[0])[:, None], (columns - place[1])[None, :]
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1, 1.5)
    along = (np.cos(turn) * dx + np.sin(turn) * dy) / stretch
    across = (np.cos(turn) * dy - np.sin(turn) * dx) * stretch**0.5
    angle = np.arctan2(across, along)
    uneven = sum(
        rng.normal(0, 0.08) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5)
    )
    far = np.sqrt(along**2 + across**2) / max(radius, 0.5) * (1 + np.clip(uneven, -0.4, 0.4))
    disc = 1 - smoothstep(1 - 0.8 * softness, 1 + 1.1 * softness, as_floats(far))
    field[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += np.float32(depth) * disc
