"""ICC profiles of ours, for pixels that come without one: built from numbers, byte by byte.

Matrix/TRC display profiles of ICC.1:2001-04 (version 2), which every reader knows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_D50 = (0.9642, 1.0, 0.8249)  # the profile connection space, ICC.1 annex A
_D65, _ROMM_WHITE = (0.3127, 0.3290), (0.3457, 0.3585)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_TABLE_ENTRIES = 1024

Chromaticity = tuple[float, float]


class Primaries(NamedTuple):
    """CIE xy of the primaries and the white of an RGB space."""

    red: Chromaticity
    green: Chromaticity
    blue: Chromaticity
    white: Chromaticity = _D65


SRGB = Primaries((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))  # IEC 61966-2-1
DISPLAY_P3 = Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))  # SMPTE EG 432-1
BT2020 = Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
ROMM = Primaries((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), _ROMM_WHITE)  # ISO 22028-2


def srgb_curve(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn stored sRGB values in [0, 1] into light (IEC 61966-2-1)."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@cache
def srgb() -> bytes:
    """Return an sRGB profile."""
    return build("sRGB", SRGB, table(srgb_curve))


@cache
def prophoto() -> bytes:
    """Return a ProPhoto RGB (ROMM) profile, gamma 1.8."""
    return build("ProPhoto RGB", ROMM, gamma(1.8))


def gamma(value: float) -> bytes:
    """Return a curve that is a pure power."""
    return struct.pack(">4sIIH", b"curv", 0, 1, round(value * 256))


def table(curve: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> bytes:
    """Return a curve by its values."""
    light = np.rint(65535 * curve(np.linspace(0, 1, _TABLE_ENTRIES))).astype(">u2")
    return struct.pack(">4sII", b"curv", 0, _TABLE_ENTRIES) + light.tobytes()


def build(name: str, primaries: Primaries, curve: bytes) -> bytes:
    """Build a profile from primaries, adapted to D50 by Bradford, and one curve for all three."""
    columns = _colorants(primaries).T
    tags = [
        (b"desc", _description(name)),
        (b"cprt", b"text\0\0\0\0" + b"No copyright, use freely\0"),
        (b"wtpt", _xyz(_D50)),
        *zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, columns), strict=True),
        *((tag, curve) for tag in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    directory, values, places = b"", b"", dict[bytes, int]()
    start = 128 + 4 + 12 * len(tags)
    for tag, value in tags:
        if value not in places:  # the three curves are one
            places[value] = start + len(values)
            values += value + b"\0" * (-len(value) % 4)
        directory += struct.pack(">4sII", tag, places[value], len(value))
    body = struct.pack(">I", len(tags)) + directory + values
    return _header(128 + len(body)) + body


def _header(size: int) -> bytes:
    """Return a profile's header; its date is fixed, so that the same name is the same bytes."""
    header = bytearray(128)
    struct.pack_into(">I4xI", header, 0, size, 0x02400000)
    header[12:24] = b"mntrRGB XYZ "
    struct.pack_into(">6H", header, 24, 2024, 1, 1, 0, 0, 0)
    header[36:40] = b"acsp"
    header[68:80] = _xyz(_D50)[8:]
    return bytes(header)


def _colorants(primaries: Primaries) -> NDArray[np.float64]:
    """Return XYZ of red, green and blue as columns, white being D50."""
    *corners, white = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in primaries)
    columns = np.stack(corners, axis=1)
    columns = columns * np.linalg.solve(columns, white)
    ratio = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ white)
    adapted: NDArray[np.float64] = np.linalg.solve(_BRADFORD, ratio[:, None] * _BRADFORD) @ columns
    return adapted


def _xyz(values: NDArray[np.float64] | tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def _description(name: str) -> bytes:
    """Return a textDescriptionType (ICC.1:2001-04, 6.5.17), its localized parts empty."""
    text = name.encode("ascii") + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)
