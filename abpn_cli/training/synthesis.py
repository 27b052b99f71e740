"""What pairs are made with: real wrinkles smoothed, where they are, prints, studio backgrounds.

Every function is pure: arrays and a random generator in, arrays out. An edit is a *ratio* field
(H, W) float32, about 1: retouched = original · ratio, the same for the three channels, so that a
crease changes light, never hue. Lengths are given at 1024 px long side and scaled.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]

REFERENCE_SIDE = 1024  # px: the long side at which lengths below are stated
FINE_SIGMA = 2.0  # px: finer is the cloth's own texture and stays
SALIENT_SIGMA = 3.5  # px: where nothing coarser than this stands out, the cloth is smooth already
RANGE_SIGMA = 0.12  # in log luminance: what differs by more is another cloth, a print, a seam
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec. 709, on display-encoded values
SALIENT = (0.003, 0.008)  # relative strength of wrinkles: below is left alone, above goes
COHERENT = (0.1, 0.3)  # wrinkles run in lines; mélange and knit run nowhere
PLAIN = (
    0.7,
    1.5,
)  # strength of wrinkles by that of the cloth's own texture: knit and lace lie below
CALM = 0.02  # relative unevenness under which cloth passes for smooth
DARK = 0.04  # keeps ratios tame in black cloth
STRONGEST = 0.24  # relative amplitude above which a band is drape or print, not a crease


def as_floats(array: ArrayLike) -> Floats:
    """Bring any array to float32 without a copy where it is one."""
    return np.asarray(array, np.float32)


def greatest(image: Floats) -> Floats:
    """Maximum over the channels, (H, W, 3) to (H, W)."""
    return np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])


def least(image: Floats) -> Floats:
    """Minimum over the channels, (H, W, 3) to (H, W)."""
    return np.minimum(np.minimum(image[..., 0], image[..., 1]), image[..., 2])


def scale_of(image: Floats) -> float:
    """How many pixels of this image one pixel at REFERENCE_SIDE is."""
    return float(max(image.shape[:2])) / REFERENCE_SIDE


def blur(image: Floats, sigma: float) -> Floats:
    """Gaussian blur, (H, W) or (H, W, C); a wide one runs on a reduced copy."""
    height, width = image.shape[:2]
    factor = 1
    while sigma / factor > 4 and min(height, width) // (factor * 2) >= 8:
        factor *= 2
    if factor > 1:
        small = cv2.resize(image, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
        return as_floats(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
    return as_floats(cv2.GaussianBlur(image, (0, 0), max(sigma, 0.3)))


def smoothstep(low: float, high: float, x: Floats) -> Floats:
    """0 up to `low`, 1 from `high` on, smooth in between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return as_floats(t * t * (3 - 2 * t))


def luminance(image: Floats) -> Floats:
    """(H, W, 3) display-encoded RGB to (H, W) luma, same range."""
    return as_floats(image @ LUMA)


def masked_blur(values: Floats, mask: Floats, sigma: float) -> Floats:
    """Blur that takes nothing from outside the mask: blur(v·m) / blur(m)."""
    return blur(values * mask, sigma) / (blur(mask, sigma) + np.float32(1e-3))


def edge_aware_base(log_luma: Floats, cloth: Floats, sigma: float) -> Floats:
    """Drape without creases: a bilateral filter of (H, W) log luminance inside the cloth.

    Done by slices of the range, each a masked Gaussian blur, interpolated between slices; a wide
    one runs on a reduced copy.
    """
    height, width = log_luma.shape
    if sigma > 4 and min(height, width) >= 32:
        half = (width // 2, height // 2)
        small = edge_aware_base(
            as_floats(cv2.resize(log_luma, half, interpolation=cv2.INTER_AREA)),
            as_floats(cv2.resize(cloth, half, interpolation=cv2.INTER_NEAREST)),
            sigma / 2,
        )
        return as_floats(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
    inside = log_luma[cloth > 0.5]
    if not inside.size:
        return log_luma
    low, high = np.quantile(inside, (0.02, 0.98))
    count = int(np.clip(np.ceil((high - low) / (1.5 * RANGE_SIGMA)) + 1, 2, 10))
    centres = np.linspace(low, high, count, dtype=np.float32)
    step = np.float32(centres[1] - centres[0]) or np.float32(1)
    spread = max(np.float32(RANGE_SIGMA), step / np.float32(1.5))
    total, weights = np.zeros_like(log_luma), np.full_like(log_luma, 1e-6)
    for centre in centres:
        near = cv2.exp(as_floats(-0.5 * ((log_luma - centre) / spread) ** 2)) * cloth
        share = np.maximum(1 - np.abs(log_luma - centre) / step, 0)
        total += share * masked_blur(log_luma, as_floats(near), sigma)
        weights += share
    return as_floats(total / weights)


class Bands(NamedTuple):
    """Relative light inside the cloth, (H, W), about ±0.1: finer than drape, coarser than cloth.

    creases: down to FINE_SIGMA; broad: down to SALIENT_SIGMA only; texture: finer than creases.
    """

    creases: Floats
    broad: Floats
    texture: Floats


def mid_bands(luma: Floats, cloth: Floats, coarse: float, scale: float) -> Bands:
    """Split the log luminance inside the cloth; coarse: sigma of the drape in px at 1024."""
    log_luma = as_floats(np.log(np.maximum(luma, 0) + DARK))
    plain = as_floats(cloth > 0.5)
    base = edge_aware_base(log_luma, plain, coarse * scale)
    finest, fine, salient = (
        masked_blur(log_luma, plain, max(least_sigma, sigma * scale))
        for sigma, least_sigma in ((0, 0.6), (FINE_SIGMA, 0.8), (SALIENT_SIGMA, 0.8))
    )
    fields = fine - base, salient - base, finest - fine
    return Bands(*(as_floats(field * plain) for field in fields))


def strength_of(field: Floats, mask: Floats, scale: float) -> Floats:
    """Root mean square of a (H, W) field around each pixel, taken inside the mask."""
    return as_floats(np.sqrt(np.maximum(masked_blur(field * field, mask, 10 * scale), 0)))


def off_edges(image: Floats, cloth: Floats, scale: float) -> Floats:
    """1 on plain cloth, 0 at strong edges: seams, prints, buttons, outlines.

    A crease changes light and never colour, so a step in colour counts from a lower bar. Both bars
    are set by the cloth's own median gradient, so that a knit is not taken for edges.
    """
    smooth = blur(image, max(0.6, 1.2 * scale))
    tones = np.log(np.maximum(smooth, 0) + DARK)
    colour = as_floats(tones - tones.mean(2, keepdims=True))
    reach = 2 * round(2.5 * scale) + 1
    around = np.ones((reach, reach), np.uint8)
    total = np.zeros(cloth.shape, np.float32)
    for view, factor, floor in ((smooth, 7.0, 0.02), (colour, 5.0, 0.02)):
        gradient = steepness(view)
        inside = gradient[cloth > 0.5]
        usual = float(np.median(inside)) if inside.size else 0.0
        total += as_floats(cv2.dilate(gradient, around) / max(factor * usual, floor)) ** 4
    return as_floats(np.minimum(blur(as_floats(np.exp(-total)), 2.0 * scale), 1))


def steepness(image: Floats) -> Floats:
    """Largest gradient of any channel, per pixel: (H, W, 3) to (H, W)."""
    dx = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3)
    dy = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3)
    return as_floats(greatest(as_floats(np.sqrt(dx * dx + dy * dy))) / 8)


def coherence(field: Floats, mask: Floats, sigma: float) -> Floats:
    """How much a (H, W) field runs in one direction around each pixel, 0..1 (structure tensor)."""
    dx = as_floats(cv2.Sobel(field, cv2.CV_32F, 1, 0, ksize=3))
    dy = as_floats(cv2.Sobel(field, cv2.CV_32F, 0, 1, ksize=3))
    xx, yy, xy = (masked_blur(a * b, mask, sigma) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    return as_floats(np.sqrt((xx - yy) ** 2 + 4 * xy * xy) / (xx + yy + 1e-9))


def inner_cloth(cloth: Floats, scale: float) -> Floats:
    """Erode and feather a machine-made cloth mask: it is wrong at its rim."""
    reach = 2 * round(12 * scale) + 1
    core = as_floats(cv2.erode(cloth, np.ones((reach, reach), np.uint8), borderValue=0))
    return as_floats(np.minimum(blur(core, 5 * scale), core.max() if core.size else 0))


class Smoothed(NamedTuple):
    """An imitation of a retoucher's target.

    ratio: (H, W), what the photo is multiplied by; left: (H, W), what stays, by
    `unevenness`.
    """

    ratio: Floats
    left: Floats


def smoothed(image: Floats, cloth: Floats, amount: float, coarse: float) -> Smoothed:
    """Lower the real wrinkles of a photo.

    image:  (H, W, 3) RGB in [0, 1]; cloth: (H, W) in [0, 1], as `inner_cloth` returns it.
    amount: share of the mid-band removed; coarse: its wide sigma in px at 1024.
    Backs off at strong edges, where the amplitude says drape or print, where the cloth's own
    texture is as strong (knit, lace, denim), and on smooth cloth.
    """
    scale = scale_of(image)
    luma = luminance(image)
    keep = off_edges(image, cloth, scale)
    plain = as_floats(cloth * keep)
    bands = mid_bands(luma, cloth, coarse, scale)
    energy = strength_of(bands.broad, plain, scale)
    texture = strength_of(bands.texture, plain, scale)
    wrinkled = (
        smoothstep(*SALIENT, energy)
        * smoothstep(*COHERENT, coherence(bands.broad, plain, 10 * scale))
        * smoothstep(*PLAIN, as_floats(energy / (texture + 0.002)))
    )
    moderate = 1 / (1 + (np.abs(bands.creases) / STRONGEST) ** 4)
    dim = smoothstep(0.02, 0.10, luma)  # in black cloth the band is noise
    weight = amount * cloth * smoothstep(0.2, 0.7, keep) * wrinkled * moderate * dim
    ratio = as_floats(np.clip(np.exp(-weight * bands.creases), 0.7, 1.4))
    return Smoothed(ratio, unevenness(as_floats(luma * ratio), cloth, coarse))


def unevenness(luma: Floats, cloth: Floats, coarse: float) -> Floats:
    """Relative strength of all that is finer than drape: folds, seams and prints alike; (H, W)."""
    scale = max(luma.shape) / REFERENCE_SIDE
    inside = as_floats(cloth > 0.5)
    log_luma = as_floats(np.log(np.maximum(luma, 0) + DARK))
    salient, drape = (
        masked_blur(log_luma, inside, max(0.8, s * scale)) for s in (SALIENT_SIGMA, coarse)
    )
    return strength_of(as_floats((salient - drape) * inside), inside, scale)


def wrinkle_patch(image: Floats, cloth: Floats) -> Floats | None:
    """Cut the relative mid-band out of the middle of a plain garment, or None if it is not plain.

    image: (H, W, 3); cloth: (H, W) as `inner_cloth` returns it.
    """
    ys, xs = np.nonzero(cloth > 0.9)
    if len(ys) < 5000:
        return None
    top, bottom = np.quantile(ys, (0.2, 0.8)).astype(int)
    left, right = np.quantile(xs, (0.2, 0.8)).astype(int)
    window = (slice(top, bottom), slice(left, right))
    if min(bottom - top, right - left) < 64 or cloth[window].min() < 0.5:
        return None
    scale = scale_of(image)
    keep = off_edges(image, cloth, scale)[window]
    if keep.mean() < 0.85:
        return None
    band = mid_bands(luminance(image), cloth, 14, scale).creases[window]
    return normalised(band * keep)


def normalised(field: Floats) -> Floats:
    """Shift and scale a field to mean 0 and standard deviation 1, tails cut at ±3.5."""
    spread = float(field.std())
    if spread < 1e-6:
        return np.zeros_like(field)
    return as_floats(np.clip((field - field.mean()) / spread, -3.5, 3.5))


def patches(size: tuple[int, int], share: float, rng: Generator) -> Floats:
    """Soft random islands that cover about `share` of a (H, W) field, in [0, 1]."""
    cells = int(rng.integers(3, 7))
    grid = as_floats(rng.random((cells, cells)))
    noise = as_floats(cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC))
    bar = float(np.quantile(noise, 1 - share))
    return smoothstep(bar - 0.08, bar + 0.08, noise)


def tonal_print(size: tuple[int, int], rng: Generator) -> Floats:
    """Soft tone-on-tone print or dye, part of the cloth and no crease: a (H, W, 3) ratio field."""
    scale = max(size) / REFERENCE_SIDE
    cell = rng.uniform(30, 160) * scale
    grid = as_floats(rng.random((int(size[0] / cell) + 3, int(size[1] / cell) + 3)))
    noise = cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)
    bar, soft = rng.uniform(0.45, 0.7), rng.uniform(0.02, 0.15)
    motifs = smoothstep(bar - soft, bar + soft, as_floats(noise))
    tone = rng.uniform(-0.3, 0.2) + rng.uniform(-0.06, 0.06, 3)
    return as_floats(1 + motifs[..., None] * tone)


def bleached(image: Floats, cloth: Floats, depth: float) -> Floats:
    """White clothes: cloth almost without colour, its tones `depth` times as far from white."""
    pale = 0.3 * image + 0.7 * luminance(image)[..., None]
    return as_floats(image + cloth[..., None] * (1 - depth * (1 - pale) - image))


def studio_sweep(size: tuple[int, int], rng: Generator) -> Floats:
    """Blank studio background, paper white to grey, with soft shadows cast on it: (H, W)."""
    height, width = size
    floor = np.linspace(rng.uniform(-0.1, 0.02), 0, height, dtype=np.float32)
    sweep = np.broadcast_to(rng.uniform(0.8, 1.05) + floor[:, None], size).astype(np.float32)
    for _ in range(int(rng.integers(0, 5))):
        shadow = np.zeros(size, np.float32)
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = rng.uniform((0.05, 0.01), (0.5, 0.12)) * max(size)
        cv2.ellipse(
            shadow, centre, (int(axes[0]), int(axes[1])), rng.uniform(-40, 40), 0, 360, 1.0, -1
        )
        sweep *= 1 - rng.uniform(0.03, 0.3) * blur(shadow, rng.uniform(0.2, 1) * float(axes[1]))
    return as_floats(np.clip(sweep, 0, 1))
