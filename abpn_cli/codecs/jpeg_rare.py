"""JPEGs that only a lenient decoder reads: over 8 bits, lossless, of odd sampling.

That decoder (imagecodecs) keeps silent about missing and broken data, so it is asked more than
once. In a scan that is whole, bits put behind its end are not looked at, and the last ones of its
own matter. Where the former change pixels the scan was cut short, and where the latter do not it
went out of step before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import imagecodecs
import numpy as np

from ..metadata import jpeg_carrier
from ..metadata.jpeg_carrier import Frame, Segment
from .formats import Values, to_full_range

_SOS = b"\xff\xda"
_END_OF_SCAN = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")  # any marker but a restart
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_STRAY = bytes(0xFE ^ (37 * step & 0x7F) for step in range(16))  # no 0xFF; zeros are what it fills
_MAX_SCANS = 256
_SEQUENTIAL = (0xC0, 0xC1, 0xC3)
_PROGRESSIVE = (0xC2, 0xCA)
_LAST_COEFFICIENT = 63


class _Scan(NamedTuple):
    """Where the entropy-coded data of a scan lies."""

    start: int
    end: int


def lenient(data: bytes, frame: Frame) -> Values:
    """Decode to (H, W) or (H, W, 3) uint8, or uint16 of full range where it has over 8 bits.

    Raises ValueError or RuntimeError where not even a part can be decoded.
    """
    colours = "RGB" if frame.components == 3 else None
    values = np.asarray(imagecodecs.jpeg8_decode(data, outcolorspace=colours))
    return to_full_range(values, frame.bits)


def is_whole(data: bytes, first: int, frame: Frame, values: Values) -> bool:
    """Tell whether values decoded by `lenient` are all there.

    first: where the first scan's marker lies.
    """
    scans = list(_scans(data, first))
    if not scans or len(scans) > _MAX_SCANS:
        return False
    longer = bytearray(data)
    for scan in reversed(scans):
        longer[scan.end : scan.end] = _stray(data, scan)
    if not _same(bytes(longer), frame, values):
        return False
    if frame.process not in _SEQUENTIAL:
        return True
    for scan in scans:
        length = min(len(_STRAY), (scan.end - scan.start) // 2)
        other = data[: scan.end - length] + _STRAY[:length] + data[scan.end :]
        if _same(other, frame, values):
            return False
    return True


def _same(data: bytes, frame: Frame, values: Values) -> bool:
    try:
        return np.array_equal(lenient(data, frame), values)
    except (ValueError, RuntimeError):
        return False


def _scans(data: bytes, first: int) -> Iterator[_Scan]:
    """Find the scans: behind each marker and its header, to the next marker but a restart."""
    position = first
    while position >= 0:
        start = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        found = _END_OF_SCAN.search(data, start)
        end = found.start() if found else len(data)
        yield _Scan(start, end)
        position = _next_scan(data, end)


def _next_scan(data: bytes, position: int) -> int:
    """Return where the next scan's marker lies, stepping over segments; -1 where there is none."""
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == _SOS[1]:
            return position
        if marker == jpeg_carrier.EOI:
            return -1
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        position += 2 + max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
    return -1


def _stray(data: bytes, scan: _Scan) -> bytes:
    """Return what to put behind a scan: also a further restart interval, where it has such."""
    restarts = [found.start() for found in _RESTART.finditer(data, scan.start, scan.end)]
    if not restarts:
        return _STRAY
    following = 0xD0 + (data[restarts[-1] + 1] + 1) % 8
    return _STRAY + bytes([0xFF, following]) + _STRAY


def has_all_scans(data: bytes, first: int, segments: list[Segment]) -> bool:
    """Tell whether every coefficient of every component comes with all its bits.

    A progressive file sends them in several scans, others may send channel by channel (ITU-T T.81,
    G.1.1.1): where one is cut off at a scan's end nothing else shows it.
    """
    components = _components(segments)
    process = next(item.marker for item in segments if item.marker in jpeg_carrier.FRAMES)
    low_bits = {number: [255] * (_LAST_COEFFICIENT + 1) for number in components}
    position, count = first, 0
    while position >= 0 and count <= _MAX_SCANS:
        size = int.from_bytes(data[position + 2 : position + 4], "big")
        head = data[position + 4 : position + 2 + size]
        if len(head) < 4 or len(head) < 4 + 2 * head[0]:
            return False
        low, high = (head[-3], head[-2]) if process in _PROGRESSIVE else (0, _LAST_COEFFICIENT)
        bits = head[-1] & 15 if process in _PROGRESSIVE else 0
        for number in head[1 : 1 + 2 * head[0] : 2]:
            if number in low_bits and high <= _LAST_COEFFICIENT:
                low_bits[number][low : high + 1] = [bits] * (high + 1 - low)
        found = _END_OF_SCAN.search(data, position + 2 + size)
        position = _next_scan(data, found.start()) if found else -1
        count += 1
    return not any(any(bits) for bits in low_bits.values())


def _components(segments: list[Segment]) -> list[int]:
    """Return the numbers of the components that the frame header names."""
    payload = next(item.payload for item in segments if item.marker in jpeg_carrier.FRAMES)
    return list(payload[6 : 6 + 3 * payload[5] : 3])
