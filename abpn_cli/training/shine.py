"""Shine on skin: painted, and taken from where it is.

It is light that skin throws back without having let it in, of the lamp's colour, so that skin is
brighter there and whiter. What there is is told by how it stands out from the skin around it, for
hue alone tells little: a cheek's red, a beard's grey and a lamp's yellow shift it as well. Lengths
are px at 1024 px long side, scaled.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from .synthesis import DARK, Floats, as_floats, blur, luminance, masked_blur, scale_of, smoothstep

AROUND = 60.0  # px: sigma of the skin around, against which shine is told
STANDS = (0.08, 0.3)  # log light over that: less models the face, more is shine
PALER = (0.01, 0.08)  # log of green by red over that: shine is whiter than the skin around it
TAKEN = 0.6  # share of what stands out that is taken away


def matted(image: Floats, skin: Floats) -> Floats:
    """Take the shine from a face, most of its modelling kept: (H, W, 3) ratio.

    Each channel goes part of the way to the skin around it, where that is darker and less white.
    """
    scale = scale_of(image)
    plain = as_floats(skin > 0.5)
    logs = as_floats(np.log(np.maximum(image, 0) + DARK))
    soft = blur(logs, 4 * scale)
    around = as_floats(
        np.stack([masked_blur(logs[..., c], plain, AROUND * scale) for c in range(3)], -1)
    )
    over = soft - around
    shine = smoothstep(*STANDS, as_floats(over.mean(2)))
    shine = shine * smoothstep(*PALER, as_floats(over[..., 1] - over[..., 0]))
    share = blur(as_floats(TAKEN * shine), 3 * scale) * skin
    return as_floats(np.exp(-np.clip(over, 0, 0.5) * share[..., None]))


def shone(image: Floats, skin: Floats, rng: Generator) -> Floats:
    """Paint highlights on the lit side of a face, broken up by pores: (H, W, 3) ratio."""
    scale, size = scale_of(image), (image.shape[0], image.shape[1])
    form = blur(luminance(image), 12 * scale)
    inside = skin > 0.5
    if not inside.any():
        return np.ones_like(image)
    places = np.argwhere(inside & (form >= np.quantile(form[inside], 0.6)))
    field = np.zeros(size, np.float32)
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    for _ in range(int(rng.integers(1, 5))):
        row, column = places[int(rng.integers(len(places)))]
        radius, stretch = np.exp(rng.uniform(*np.log((15, 90)))) * scale, rng.uniform(1, 2.5)
        turn = rng.uniform(0, np.pi)
        along = np.cos(turn) * (columns - column) + np.sin(turn) * (rows - row)
        across = np.cos(turn) * (rows - row) - np.sin(turn) * (columns - column)
        far = (along / stretch**0.5) ** 2 + (across * stretch**0.5) ** 2
        bump = np.exp(-far / (2 * radius**2)) * rng.uniform(0.4, 1)
        field = as_floats(np.maximum(field, bump))
    pores = blur(rng.standard_normal(size, np.float32), max(1.2 * scale, 0.5))
    broken = 1 + rng.uniform(0.1, 0.4) * pores / max(float(pores.std()), 1e-3)
    share = np.clip(rng.uniform(0.12, 0.5) * field * broken * skin, 0, 0.9)[..., None]
    lamp = np.float32(1 + rng.uniform(-0.04, 0.04) * np.array([1, 0, -1]))
    return as_floats((image + share * (lamp - image) + 0.01) / (image + 0.01))
