"""Colour spaces, and the ICC profiles (version 2, matrix and curve) that name them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .frame import Float

Matrix = NDArray[np.float64]

_D50 = (0.9642, 1.0, 0.8249)  # the profile connection space's white
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


@dataclass(frozen=True)
class ColourSpace:
    """An RGB space with the white of daylight (D65).

    primaries: xy of red, green, blue. gamma: its curve's power, 0 for sRGB's own curve.
    """

    name: str
    primaries: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    gamma: float = 0.0

    @property
    def to_xyz(self) -> Matrix:
        """Linear RGB to XYZ, relative to D65."""
        columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in self.primaries]).T
        white = _white(0.3127, 0.3290)
        return np.asarray(columns * np.linalg.solve(columns, white))

    @property
    def from_srgb(self) -> Float:
        """Linear sRGB to this space's linear RGB."""
        return np.linalg.solve(self.to_xyz, SRGB.to_xyz).astype(np.float32)

    def encode(self, linear: Float) -> Float:
        """Linear light 0..1 to the values that a file stores, 0..1."""
        if self.gamma:
            return np.asarray(linear ** np.float32(1 / self.gamma), np.float32)
        low = linear * np.float32(12.92)
        high = np.float32(1.055) * linear ** np.float32(1 / 2.4) - np.float32(0.055)
        return np.where(linear <= 0.0031308, low, high)

    def profile(self) -> bytes:
        """The ICC profile's bytes (ICC.1:2001-04, three-component matrix-based)."""
        adapted = _adaptation() @ self.to_xyz
        tags = {
            b"desc": _text_description(self.name),
            b"cprt": b"text\0\0\0\0" + b"No rights reserved (CC0)\0",
            b"wtpt": _xyz(_D50),
            b"rXYZ": _xyz(adapted[:, 0]),
            b"gXYZ": _xyz(adapted[:, 1]),
            b"bXYZ": _xyz(adapted[:, 2]),
            b"rTRC": self._curve(),
            b"gTRC": self._curve(),
            b"bTRC": self._curve(),
        }
        return _assembled(tags)

    def _curve(self) -> bytes:
        if self.gamma:
            return struct.pack(">4s4xIH", b"curv", 1, round(self.gamma * 256))
        stored = np.linspace(0, 1, 1024)
        linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
        values = np.round(linear * 65535).astype(">u2").tobytes()
        return struct.pack(">4s4xI", b"curv", 1024) + values


def _white(x: float, y: float) -> NDArray[np.float64]:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adaptation() -> Matrix:
    """Bradford adaptation from D65 to D50."""
    source, target = _BRADFORD @ _white(0.3127, 0.3290), _BRADFORD @ np.array(_D50)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(target / source) @ _BRADFORD)


def _xyz(values: tuple[float, float, float] | NDArray[np.float64]) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(float(v) * 65536) for v in values))


def _text_description(name: str) -> bytes:
    ascii_name = name.encode("ascii") + b"\0"
    head = struct.pack(">4s4xI", b"desc", len(ascii_name)) + ascii_name
    return head + bytes(4 + 4 + 2 + 1 + 67)  # no Unicode, no Macintosh script name


def _assembled(tags: dict[bytes, bytes]) -> bytes:
    """Header, table and tag data; tags of equal content share it."""
    offset = 128 + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}
    body = b""
    for content in tags.values():
        if content not in places:
            places[content] = offset + len(body)
            body += content + bytes(-len(content) % 4)
    table = struct.pack(">I", len(tags))
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, places[content], len(content))
    head = struct.pack(">I4xI", offset + len(body), 0x02400000) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", *(round(v * 65536) for v in _D50))
    return head.ljust(128, b"\0") + table + body


SRGB = ColourSpace("abpn sRGB", ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)))
DISPLAY_P3 = ColourSpace("abpn Display P3", ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)))
WIDE_2_2 = ColourSpace("abpn wide gamut 2.2", ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), 563 / 256)
