"""The network sees sRGB; its edit lands in the photo's own colour space.

A photo's integers x become s = toSRGB(x), float32 and not clipped. The network retouches s, and the
edit goes back as x + fromSRGB(retouched) - fromSRGB(s), so that what it leaves alone comes back
exactly, whatever the profile. Profiles as good as sRGB need no change and get none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..photo import Pixels
from .icc import Curve, Power, Profile, ProfileError, read_profile

Image = NDArray[np.float32]  # (H, W, 3), RGB

# IEC 61966-2-1: encoded = 12.92·linear below the knee, then 1.055·linear^(1/2.4) - 0.055.
SRGB_CURVE = Power(g=2.4, a=1 / 1.055, b=0.055 / 1.055, c=1 / 12.92, d=0.04045)
# The sRGB primaries in XYZ relative to D50 (Bradford), rounded as profiles hold them.
SRGB_TO_XYZ = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
SAME_AS_SRGB = 1 / 255  # a profile whose colours all lie so near needs no conversion


class ColourSpace(Protocol):
    """How a photo's values relate to the sRGB the network sees."""

    def to_network(self, pixels: Pixels) -> Image:
        """Integers (H, W, 3) to sRGB, float32, not clipped: [0, 1] is sRGB's own gamut."""

    def land(self, pixels: Pixels, seen: Image, retouched: Image) -> Image:
        """Bring an edit home: (H, W, 3) float32 in the photo's own values, clamped to [0, 1].

        seen: what `to_network` made of the pixels; retouched: the network's version, not clamped.
        """


@dataclass(frozen=True)
class AsIs:
    """The network reads the values as they are: sRGB, or the best that can be done."""

    def to_network(self, pixels: Pixels) -> Image:
        """Integers to [0, 1]."""
        return unit(pixels)

    def land(self, pixels: Pixels, seen: Image, retouched: Image) -> Image:
        """Clamp: what the network sees is what the photo holds."""
        return retouched.clip(0, 1)


@dataclass(frozen=True)
class MatrixSpace:
    """A wide-gamut or otherwise different RGB space: curve, matrix, curve."""

    profile: Profile

    def to_network(self, pixels: Pixels) -> Image:
        """Integers to unclipped sRGB."""
        linear = look_up(self._decoding[pixels.dtype.itemsize - 1], pixels)
        return SRGB_CURVE.encode(mixed(linear, self._to_srgb))

    def land(self, pixels: Pixels, seen: Image, retouched: Image) -> Image:
        """Add the difference that the edit makes in the photo's own values."""
        edit = self._from_srgb(retouched) - self._from_srgb(seen)
        return (unit(pixels) + edit).clip(0, 1)

    def _from_srgb(self, image: Image) -> Image:
        linear = mixed(SRGB_CURVE.decode(image), self._to_profile)
        red, green, blue = self.profile.curves
        if red is green is blue:
            return red.encode(linear)
        return np.stack([c.encode(linear[..., i]) for i, c in enumerate((red, green, blue))], 2)

    @cached_property
    def _to_srgb(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.inv(SRGB_TO_XYZ) @ self.profile.matrix, np.float64)

    @cached_property
    def _to_profile(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.inv(self._to_srgb), np.float64)

    @cached_property
    def _decoding(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Tables of linear light for 8-bit and 16-bit values, each (levels, 3)."""
        eight, sixteen = (decoding_table(self.profile.curves, bits) for bits in (8, 16))
        return eight, sixteen


@lru_cache(maxsize=8)  # a shoot comes with one profile, or a few
def colour_space(icc: bytes) -> tuple[ColourSpace, str]:
    """Choose how a photo with this ICC profile is seen.

    Returns the space, and a warning for the user or "". No profile means sRGB.
    """
    if not icc:
        return AsIs(), ""
    try:
        profile = read_profile(icc)
    except ProfileError as error:
        return AsIs(), (
            f"Its ICC profile is {error}, so the network reads the values as if they were sRGB."
        )
    space = MatrixSpace(profile)
    return (AsIs() if is_srgb(space) else space), ""


def is_srgb(space: MatrixSpace) -> bool:
    """Tell sRGB by what it does to colours, not by its name, of which there are dozens."""
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    colours = np.concatenate([greys, np.array(list(product(steps, repeat=3)))])[None]
    return bool(np.abs(space.to_network(colours) - unit(colours)).max() <= SAME_AS_SRGB)


def decoding_table(curves: tuple[Curve, Curve, Curve], bits: int) -> NDArray[np.float32]:
    """Linear light of every integer: (2**bits, 3) float32."""
    values = np.linspace(0, 1, 2**bits, dtype=np.float32)
    return np.stack([curve.decode(values) for curve in curves], axis=1)


def look_up(table: NDArray[np.float32], pixels: Pixels) -> Image:
    """Replace each integer of (H, W, 3) by its channel's entry in (levels, 3)."""
    if pixels.dtype == np.uint8:
        return np.asarray(cv2.LUT(pixels, table[None]), np.float32)
    return np.stack([table[:, c].take(pixels[..., c]) for c in range(3)], axis=2)


def mixed(image: Image, matrix: NDArray[np.float64]) -> Image:
    """Multiply every pixel of (H, W, 3) by a (3, 3) matrix."""
    return np.asarray(cv2.transform(image, matrix), np.float32)


def unit(pixels: Pixels) -> Image:
    """Integers to float32 in [0, 1]."""
    scale = np.float32(1 / np.iinfo(pixels.dtype).max)
    return np.multiply(pixels, scale, dtype=np.float32)
