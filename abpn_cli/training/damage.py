"""Colours put wrong as cameras and hands do it: exposure, white balance, tone curves, saturation.

All but saturation is one curve a channel, so a damage is three tables of 256 entries and a mix with
grey: what it takes from a clean photo, grading has to give back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .synthesis import Floats

Curve = NDArray[np.float64]  # (256,), values in [0, 1] of an 8-bit scale

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, of encoded values
STOPS = (-3.0, 1.6)  # exposure; more up would burn out what no grading brings back
WARMTH = 0.6  # most, of the logarithm of red against blue in linear light, each way
TINT = 0.2  # most, of the logarithm of green in linear light
SCALE = np.linspace(0.0, 1.0, 256)


class Damage(NamedTuple):
    """One way of putting colours wrong.

    curves: (3, 256), what each 8-bit value of red, green, blue becomes, in [0, 1]; saturation: what
    a colour's distance from its grey is multiplied by, afterwards.
    """

    curves: NDArray[np.float32]
    saturation: float


def to_light(values: Curve) -> Curve:
    """Encoded sRGB to linear light, IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def from_light(light: Curve) -> Curve:
    """Linear light to encoded sRGB, clipped to [0, 1]."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def draw_damage(rng: Generator) -> Damage:
    """Draw a damage, from slight to severe; each of its parts is there or not."""
    severity = rng.uniform(0.6, 1.0)
    light = to_light(SCALE)[None] * _gains(rng, severity)[:, None]
    curves = from_light(_shoulder(light) if rng.random() < 0.5 else light)
    if rng.random() < 0.7:
        curves = draw_curve(rng, severity)[(curves * 255).round().astype(np.intp)]
    saturation = float(np.exp(severity * rng.uniform(-1.0, 0.45))) if rng.random() < 0.55 else 1.0
    return Damage(np.asarray(curves.clip(0, 1), np.float32), saturation)


def _gains(rng: Generator, severity: float) -> NDArray[np.float64]:
    """Draw what linear red, green, blue are multiplied by: exposure and white balance."""
    stops = severity * rng.uniform(*STOPS) if rng.random() < 0.9 else 0.0
    warmth, tint = 0.0, 0.0
    if rng.random() < 0.8:
        warmth, tint = severity * rng.uniform(-WARMTH, WARMTH), severity * rng.uniform(-TINT, TINT)
    gains: NDArray[np.float64] = 2**stops * np.exp(np.array([warmth, tint, -warmth]))
    return gains


def _shoulder(light: Curve) -> Curve:
    """Roll light above 0.7 off as film does, so that it nears 1 and is not cut."""
    over = np.maximum(light - 0.7, 0)
    return np.minimum(light, 0.7) + 0.3 * over / (over + 0.3)


def draw_curve(rng: Generator, severity: float) -> Curve:
    """Draw a tone curve, (256,) to (256,) in [0, 1]: one of five kinds, all of them rising."""
    kind = int(rng.integers(5))
    if kind == 0:  # middle tones up or down
        return np.asarray(SCALE ** np.exp(severity * rng.uniform(-0.6, 0.6)))
    if kind == 1:  # contrast about a middle of its own
        middle, gain = rng.uniform(0.3, 0.7), np.exp(severity * rng.uniform(-0.7, 0.5))
        return np.asarray((middle + (SCALE - middle) * gain).clip(0, 1))
    if kind == 2:  # faded: black lifted, white lowered
        low, high = severity * rng.uniform(0, 0.18), 1 - severity * rng.uniform(0, 0.2)
        return np.asarray(low + (high - low) * SCALE)
    if kind == 3:  # an S, or one undone
        s = SCALE * SCALE * (3 - 2 * SCALE)
        return np.asarray((SCALE + severity * rng.uniform(-0.6, 0.9) * (s - SCALE)).clip(0, 1))
    knots = np.linspace(0, 1, 6)  # straight pieces, as a hand draws them
    slopes = np.exp(severity * rng.uniform(-0.8, 0.8, 5))
    heights = np.concatenate([[0.0], np.cumsum(slopes)]) / slopes.sum()
    return np.asarray(np.interp(SCALE, knots, heights))


def damaged(photo: NDArray[np.uint8], damage: Damage) -> Floats:
    """Put a photo's colours wrong: (H, W, 3) uint8 to float32 in [0, 1], on an 8-bit scale."""
    image = np.stack([damage.curves[c][photo[..., c]] for c in range(3)], axis=2)
    if damage.saturation != 1:
        grey = (image @ LUMA)[..., None]
        image = (grey + (image - grey) * np.float32(damage.saturation)).clip(0, 1)
    return np.asarray(np.rint(image * 255) / 255, np.float32)
