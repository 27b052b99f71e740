"""What a JPEG's pixels are made of: its layout, and the file without all that is not pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import NamedTuple

import simplejpeg  # type: ignore[import-untyped]

from ..metadata import jpeg_carrier
from ..metadata.jpeg_carrier import DRI, EOI, FRAMES, SOS, Segment

_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_ARITHMETIC, _ARITHMETIC_PROGRESSIVE = 0xC9, 0xCA
_PROCESSES = (_BASELINE, _EXTENDED, _PROGRESSIVE, _ARITHMETIC, _ARITHMETIC_PROGRESSIVE)
_DQT, _DHT, _DAC = 0xDB, 0xC4, 0xCC
_TABLES = (_DQT, _DHT, _DAC, DRI)
_NEXT_MARKER = re.compile(rb"\xff+([^\0\xd0-\xd7\xff])", re.DOTALL)  # not stuffed, no restart
_MOST_BLOCKS = 10  # of one interleaved MCU: T.81, B.2.3


class UnkeepableError(Exception):
    """A JPEG whose coefficients cannot be kept; the text says why, as in "it is ..."."""


class Component(NamedTuple):
    """One channel: its vertical and horizontal sampling factors, and its quantisation table."""

    v: int
    h: int
    table: int


@dataclass(frozen=True)
class Layout:
    """How a JPEG's blocks lie: MCUs of `mcu` pixels, each with v x h blocks of each component.

    size: (height, width) in pixels; components: one (grey) or three (YCbCr).
    """

    size: tuple[int, int]
    components: tuple[Component, ...]

    @cached_property
    def most(self) -> tuple[int, int]:
        """The largest vertical and horizontal sampling factors."""
        return max(c.v for c in self.components), max(c.h for c in self.components)

    @cached_property
    def mcu(self) -> tuple[int, int]:
        """An MCU's (height, width) in pixels."""
        return 8 * self.most[0], 8 * self.most[1]

    @cached_property
    def mcus(self) -> tuple[int, int]:
        """How many MCUs there are (down, across); the last ones may stick out of the photo."""
        return -(-self.size[0] // self.mcu[0]), -(-self.size[1] // self.mcu[1])

    def blocks(self, component: Component) -> tuple[int, int]:
        """Count the blocks (down, across) that hold pixels of a component (T.81, A.2.4)."""
        (height, width), (mcu_height, mcu_width) = self.size, self.mcu
        return -(-height * component.v // mcu_height), -(-width * component.h // mcu_width)


class Stream(NamedTuple):
    """A JPEG of tables, frame and scans alone; its components are numbered 1, 2, 3."""

    layout: Layout
    data: bytes


def stripped(data: bytes) -> Stream:
    """Take a file down to what its pixels need, mending a missing end where that is harmless.

    The channels are renumbered because 1, 2, 3 means YCbCr to every reader even without a JFIF
    header, which EXIF replaces. Raises UnkeepableError for what is not 8-bit grey or YCbCr, or has
    no coefficients that could be kept.
    """
    segments, scan = jpeg_carrier.split(data)
    frame = next((item for item in segments if item.marker in FRAMES), None)
    if frame is None or scan < 0:
        raise UnkeepableError("it is damaged")
    if frame.marker not in _PROCESSES or frame.payload[:1] != b"\x08":
        raise UnkeepableError("it is a lossless JPEG or has more than 8 bits")
    numbers, layout = _frame(frame.payload)
    _check_colours(data, len(layout.components))
    head = [
        Segment(item.marker, _renumbered(item.payload, 6, 3, numbers)) if item is frame else item
        for item in segments
        if item is frame or item.marker in _TABLES
    ]
    progressive = frame.marker in (_PROGRESSIVE, _ARITHMETIC_PROGRESSIVE)
    interleaved = data[scan + 4 : scan + 5] == bytes([len(numbers)])
    body = _scans(data, scan, numbers, mend=interleaved and not progressive)
    return Stream(layout, jpeg_carrier.join(head) + body)


def with_tables_of(source: Stream, encoded: bytes) -> bytes:
    """Return a sequential JPEG, stripped, whose quantisation tables are those of a source.

    encoded: of the source's layout, its coefficients quantised with the source's tables.
    """
    segments, scan = jpeg_carrier.split(encoded)
    tables = [item for item in jpeg_carrier.split(source.data)[0] if item.marker == _DQT]
    # a table begins with its precision, 16 bits where it is not 0, and its number: T.81, B.2.4.1
    fine = all(len(item.payload) % 65 == 0 and item.payload[0] < 16 for item in tables)
    changed = tables.copy()
    for marker, payload in segments:
        if marker in FRAMES:
            frame = bytearray(payload)
            frame[8::3] = [component.table for component in source.layout.components]
            changed.append(Segment(_BASELINE if fine else _EXTENDED, bytes(frame)))
        elif marker == _DHT:
            changed.append(Segment(marker, payload))
    return stripped(jpeg_carrier.join(changed) + encoded[scan:]).data


def _frame(payload: bytes) -> tuple[bytes, Layout]:
    """Read a frame header: the numbers of its components, and the layout (T.81, B.2.2)."""
    height, width = int.from_bytes(payload[1:3], "big"), int.from_bytes(payload[3:5], "big")
    count = payload[5] if len(payload) > 5 else 0
    if count not in (1, 3):
        raise UnkeepableError(f"it has {count} channels")
    if len(payload) < 6 + 3 * count or not height or not width:
        raise UnkeepableError("it is damaged")
    listed = [payload[6 + 3 * number : 9 + 3 * number] for number in range(count)]
    factors = [(sampling >> 4, sampling & 15) for _, sampling, _ in listed]
    if not all(1 <= factor <= 4 for pair in factors for factor in pair):
        raise UnkeepableError("it is damaged")
    # libjpeg writes all channels in one scan, where only the ratios count
    across, down = gcd(*(h for h, _ in factors)), gcd(*(v for _, v in factors))
    components = tuple(
        Component(v // down, h // across, table)
        for (h, v), (_, _, table) in zip(factors, listed, strict=True)
    )
    layout = Layout((height, width), components)
    odd = any(layout.most[0] % c.v or layout.most[1] % c.h for c in components)
    if odd or sum(c.v * c.h for c in components) > _MOST_BLOCKS:
        raise UnkeepableError("its chroma sampling is unusual")
    return bytes(number for number, _, _ in listed), layout


def _check_colours(data: bytes, channels: int) -> None:
    """Refuse channels that are neither grey nor YCbCr."""
    try:
        colours = simplejpeg.decode_jpeg_header(data, strict=False)[2]
    except (ValueError, KeyError) as error:  # KeyError: a sampling that it has no name for
        raise UnkeepableError("its chroma sampling is unusual") from error
    if colours != ("Gray" if channels == 1 else "YCbCr"):
        raise UnkeepableError(f"its channels are {colours}")


def _renumbered(payload: bytes, start: int, step: int, numbers: bytes) -> bytes:
    """Give the components listed in a payload, one every `step` bytes, the numbers 1, 2, 3."""
    changed = bytearray(payload)
    count = payload[start - 1] if len(payload) >= start else 0
    if len(payload) < start + step * count:
        raise UnkeepableError("it is damaged")
    for at in range(start, start + step * count, step):
        if payload[at] not in numbers:
            raise UnkeepableError("it is damaged")
        changed[at] = numbers.index(payload[at]) + 1
    return bytes(changed)


def _scans(data: bytes, position: int, numbers: bytes, mend: bool) -> bytes:
    """Return the scans and the tables between them, to the end of the image and no further.

    position: of the first scan; mend: an end marker that is missing may be put there.
    """
    parts: list[bytes] = []
    while (found := _NEXT_MARKER.search(data, position)) and found[1][0] != EOI:
        marker, start = found[1][0], found.end()
        end = start + int.from_bytes(data[start : start + 2], "big")
        if end < start + 2 or end > len(data):
            break
        payload = data[start + 2 : end]
        if marker == _DQT and parts:
            raise UnkeepableError("its quantisation changes between scans")
        position = end
        if marker == SOS:
            payload = _renumbered(payload, 1, 2, numbers)
            following = _NEXT_MARKER.search(data, end)
            position = following.start() if following else len(data)
        if marker == SOS or marker in _TABLES:
            parts += [jpeg_carrier.join([Segment(marker, payload)])[2:], data[end:position]]
    else:
        if found or mend:
            return b"".join(parts) + bytes([0xFF, EOI])
    raise UnkeepableError("it is damaged")
