"""ICC profiles of the matrix/TRC kind, read from their bytes: three curves and a 3x3 matrix.

Field layouts are those of ICC.1:2022 (profile version 4.4), section 10; version 2 profiles are laid
out alike. Nothing here knows about the network.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from .native import kernels

Samples = NDArray[np.float32]  # any shape, encoded or linear values, 1.0 = full

HEADER_BYTES = 128
MAX_TAGS = 1000  # profiles hold ten to thirty; more means the count is not a count
MIN_END_SLOPE = 1e-3  # a table that ends flat could not be inverted above its end
INVERSE_STEPS = 2**18  # a look-up is off by a quarter of a 16-bit step at most
TABLE_TAGS = frozenset({b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1", b"D2B2"})
COLORANTS = (b"rXYZ", b"gXYZ", b"bXYZ")
CURVES = (b"rTRC", b"gTRC", b"bTRC")
# How many parameters each parametric function type takes (ICC.1:2022 table 68).
PARAMETER_COUNTS = (1, 3, 4, 5, 7)


class ProfileError(ValueError):
    """A profile that cannot be used; the message says why, in words that follow "which is"."""


class Curve(Protocol):
    """A tone curve, odd-symmetric below 0, continued above 1; both ways elementwise."""

    def decode(self, encoded: Samples) -> Samples:
        """Encoded values to linear light."""

    def encode(self, linear: Samples) -> Samples:
        """Linear light to encoded values: the inverse of `decode`."""


class Profile(NamedTuple):
    """matrix: (3, 3) float64, linear RGB to XYZ relative to D50; curves: of red, green, blue."""

    matrix: NDArray[np.float64]
    curves: tuple[Curve, Curve, Curve]


@dataclass(frozen=True)
class Power:
    """A parametric curve: Y = (a·X + b)^g + e from X = d on, Y = c·X + f below it.

    All five function types of ICC.1:2022 section 10.18 are of this form. Both ways in a kernel of
    engine/native where there is one, for NumPy takes a power of one number after the other.
    """

    g: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 0.0
    f: float = 0.0

    def decode(self, encoded: Samples) -> Samples:
        """Encoded values to linear light."""
        for kernel in kernels()[:1]:
            return kernel.bend(self._decoding, encoded)
        size = np.abs(encoded, order="C")
        linear = _line(size, self.a, self.b)
        linear = np.power(linear, np.float32(self.g), out=linear) + np.float32(self.e)
        if self.d > 0:
            _overwrite(linear, _line(size, self.c, self.f), size < self.d)
        return np.copysign(linear, encoded)

    def encode(self, linear: Samples) -> Samples:
        """Linear light to encoded values."""
        for kernel in kernels()[:1]:
            return kernel.bend(self._encoding, linear)
        size = np.abs(linear, order="C")
        above = _line(size, 1.0, -self.e)
        above = np.power(above, np.float32(1 / self.g), out=above)
        encoded = _line(above, 1 / self.a, -self.b / self.a)
        if self.d > 0:
            _overwrite(encoded, _line(size, *self._start), size < self._knee())
        return np.copysign(encoded, linear)

    @cached_property
    def _decoding(self) -> Samples:
        """`decode` as the kernel's `struct curve` has it."""
        line = (self.c, self.f, self.d if self.d > 0 else 0.0)
        return np.array([self.a, self.b, self.g, 1, self.e, -np.inf, *line], np.float32)

    @cached_property
    def _encoding(self) -> Samples:
        """`encode` as the kernel's `struct curve` has it."""
        power = (1.0, -self.e, 1 / self.g, 1 / self.a, -self.b / self.a, 0.0)
        knee = self._knee() if self.d > 0 else 0.0
        return np.array([*power, *self._start, knee], np.float32)

    @property
    def _start(self) -> tuple[float, float]:
        """The line that encodes what lies below the knee: slope, and value at 0."""
        # A flat start has no inverse; its end is as good as any.
        return (1 / self.c, -self.f / self.c) if self.c > 0 else (0.0, self.d)

    def _knee(self) -> float:
        """Linear light at X = d, where the power begins."""
        return float((self.a * self.d + self.b) ** self.g + self.e)


@dataclass(frozen=True)
class Table:
    """A curve through samples at equal steps of X, straight in between and above its end.

    linear: (n,) float64, not falling, n >= 2, last > first.
    """

    linear: NDArray[np.float64]

    def decode(self, encoded: Samples) -> Samples:
        """Encoded values to linear light."""
        size = np.abs(encoded, order="C")
        linear = np.interp(size, np.linspace(0, 1, self.linear.size), self.linear)
        linear += np.maximum(size - 1, 0) * self._end_slope()
        return np.copysign(linear, encoded).astype(np.float32)

    def encode(self, linear: Samples) -> Samples:
        """Linear light to encoded values."""
        size = np.abs(linear, order="C")
        last = np.float32(self.linear[-1])
        root = np.sqrt(np.minimum(size, last) / last) * np.float32(INVERSE_STEPS)
        encoded = self._inverse.take(np.rint(root).astype(np.int32))
        encoded += np.maximum(size - last, 0) / np.float32(self._end_slope())
        return np.copysign(encoded, linear)

    @cached_property
    def _inverse(self) -> Samples:
        """X at equal steps of the root of Y, where tone curves are nearly straight."""
        linear = np.linspace(0, 1, INVERSE_STEPS + 1) ** 2 * self.linear[-1]
        steps = np.linspace(0, 1, self.linear.size)
        inverse: Samples = np.interp(linear, self.linear, steps).astype(np.float32)
        return inverse

    def _end_slope(self) -> float:
        step = float(self.linear[-1] - self.linear[-2]) * (self.linear.size - 1)
        return max(step, MIN_END_SLOPE)


def _line(values: Samples, slope: float, start: float) -> Samples:
    """Return slope · values + start, not below 0."""
    line: Samples = values * np.float32(slope)
    line += np.float32(start)
    np.maximum(line, 0, out=line)
    return line


def _overwrite(values: Samples, others: Samples, where: NDArray[np.bool_]) -> None:
    """Overwrite `values` in place, all C-contiguous; a hundred times as fast as np.where."""
    cv2.copyTo(others.reshape(1, -1), where.reshape(1, -1).view(np.uint8), values.reshape(1, -1))


def read_profile(icc: bytes) -> Profile:
    """Read the curves and the matrix of an RGB profile.

    Raises:
        ProfileError: not RGB, built on lookup tables, or broken.
    """
    if len(icc) < HEADER_BYTES + 4 or icc[36:40] != b"acsp":
        raise ProfileError("broken: it has no profile header")
    space = icc[16:20]
    if space != b"RGB ":
        name = space.decode("ascii", "replace").strip()
        raise ProfileError(f"made for {name} values, not for RGB")
    tags = _tags(icc)
    if TABLE_TAGS & tags.keys() or icc[20:24] != b"XYZ ":
        raise ProfileError("built on lookup tables")
    missing = [tag.decode() for tag in (*COLORANTS, *CURVES) if tag not in tags]
    if missing:
        raise ProfileError(f"broken: it has no {missing[0]} tag")
    try:
        matrix = np.stack([_colorant(tags[tag]) for tag in COLORANTS], axis=1)
        # Equal tags become one object: the whole image then takes one pass.
        made = {data: _curve(data) for data in {tags[tag] for tag in CURVES}}
        red, green, blue = (made[tags[tag]] for tag in CURVES)
    except struct.error as error:
        raise ProfileError("broken: it ends in the middle of a tag") from error
    if abs(np.linalg.det(matrix)) < 1e-6:
        raise ProfileError("broken: its primaries do not span a colour space")
    return Profile(matrix, (red, green, blue))


def _tags(icc: bytes) -> Mapping[bytes, bytes]:
    (count,) = struct.unpack_from(">I", icc, HEADER_BYTES)
    if count > MAX_TAGS or HEADER_BYTES + 4 + 12 * count > len(icc):
        raise ProfileError("broken: its tag table is longer than the profile")
    tags = {}
    for index in range(count):
        name, offset, size = struct.unpack_from(">4sII", icc, HEADER_BYTES + 4 + 12 * index)
        tags[name] = icc[offset : offset + size]
    return tags


def _colorant(tag: bytes) -> NDArray[np.float64]:
    """XYZType (10.31): one s15Fixed16 triple."""
    if tag[:4] != b"XYZ ":
        raise ProfileError("broken: a primary is not an XYZ value")
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _curve(tag: bytes) -> Curve:
    if tag[:4] == b"curv":
        return _sampled_curve(tag)
    if tag[:4] == b"para":
        return _parametric_curve(tag)
    raise ProfileError("broken: a tone curve is of an unknown type")


def _sampled_curve(tag: bytes) -> Curve:
    """Read a curveType (10.6): no entry = identity, one = gamma as u8Fixed8, more = a table."""
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return Power(1.0)
    entries = struct.unpack_from(f">{count}H", tag, 12) if 12 + 2 * count <= len(tag) else ()
    if not entries:
        raise ProfileError("broken: a tone curve is cut short")
    if count == 1:
        return _power([entries[0] / 256])
    linear = np.maximum.accumulate(np.array(entries) / 65535)
    if linear[-1] <= linear[0]:
        raise ProfileError("broken: a tone curve does not rise")
    return Table(linear)


def _parametric_curve(tag: bytes) -> Curve:
    """Read a parametricCurveType (10.18): s15Fixed16 parameters g a b c d e f."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    if kind >= len(PARAMETER_COUNTS):
        raise ProfileError("broken: a tone curve is of an unknown type")
    values = [v / 65536 for v in struct.unpack_from(f">{PARAMETER_COUNTS[kind]}i", tag, 12)]
    if kind in (1, 2) and values[1] > 0:  # they give the knee as -b/a, and type 2 one offset
        offset = values[3] if kind == 2 else 0.0
        values = [*values[:3], 0.0, -values[2] / values[1], offset, offset]
    return _power(values)


def _power(values: list[float]) -> Power:
    curve = Power(*values)
    start = curve.a * max(curve.d, 0) + curve.b
    if curve.g <= 0 or curve.a <= 0 or curve.c < 0 or start < -1e-4:
        raise ProfileError("broken: a tone curve does not rise")
    return curve
