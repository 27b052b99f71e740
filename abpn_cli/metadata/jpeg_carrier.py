"""Metadata in the segments of a JPEG (ITU-T T.81, annex B; Exif 2.32, section 4.7)."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from ..photo import Metadata
from . import icc, photoshop, xmp
from .exif import Resolution
from .segments import sorted_out

SOI, EOI, SOS, DRI, APP0, APP1, APP2, APP11, APP13, APP14, COM = (
    *(0xD8, 0xD9, 0xDA, 0xDD, 0xE0, 0xE1, 0xE2, 0xEB, 0xED, 0xEE, 0xFE),
)
FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
MAX_PAYLOAD = 65533

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_ICC = b"ICC_PROFILE\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_TIFF_HEADS = (b"II*\0", b"MM\0*")
_EXTENDED_CHUNK = MAX_PAYLOAD - len(_EXTENDED_XMP) - 40
_ICC_CHUNK = 65519
MAX_SEGMENTS = 20_000  # before the first scan: more is noise, and takes memory
# Where a segment may begin: not a stuffed byte, nor a marker that has no length.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_UNNAMED = "Its extended XMP is not named by its main packet and was left out."


class Segment(NamedTuple):
    """A marker and what follows its length."""

    marker: int
    payload: bytes


class Frame(NamedTuple):
    """What the frame header says; process is its marker (0xC0 baseline, 0xC2 progressive)."""

    process: int
    bits: int
    height: int
    width: int
    components: int


def split(data: bytes) -> tuple[list[Segment], int]:
    """Take the segments before the first scan; return them and where the first SOS marker lies.

    Junk between segments is stepped over. The offset is -1 where the file ends before a scan.
    """
    segments: list[Segment] = []
    position = 2
    while len(segments) < MAX_SEGMENTS:
        found = _MARKER.search(data, position)
        if found is None or found[0][1] == EOI:
            return segments, -1
        position, marker = found.start(), found[0][1]
        if marker == SOS:
            return segments, position
        size = int.from_bytes(data[position + 2 : position + 4], "big")
        end = position + 2 + size
        if size < 2 or end > len(data):
            return segments, -1
        segments.append(Segment(marker, data[position + 4 : end]))
        position = end
    return segments, -1


def join(segments: list[Segment]) -> bytes:
    """Write segments behind the marker that begins a JPEG."""
    return b"\xff\xd8" + b"".join(_segment(item.marker, item.payload) for item in segments)


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def frame_of(segments: list[Segment]) -> Frame | None:
    """Return the frame header, None where there is none."""
    for marker, payload in segments:
        if marker in FRAMES and len(payload) >= 6:
            return Frame(marker, *struct.unpack_from(">BHHB", payload))
    return None


def read(segments: list[Segment]) -> tuple[Metadata, list[str]]:
    """Collect the metadata of a JPEG; orientation is left at 1.

    What becomes of the other segments stands in `segments`. Returns the metadata and what could
    not be read or kept, one sentence each.
    """
    packet = b""
    comments, shop = [], []
    for marker, payload in segments:
        if marker == APP1 and payload.startswith(_XMP) and not packet:
            packet = payload[len(_XMP) :]
        elif marker == APP13 and payload.startswith(_PHOTOSHOP):
            shop.append(payload[len(_PHOTOSHOP) :])
        elif marker == COM:
            comments.append(payload)
    blocks = b"".join(shop)
    extended, lost = _read_extended(segments, xmp.extended_guid(packet))
    profile, broken = _read_icc(segments)
    damaged = photoshop.fault(blocks)
    others, left_out = sorted_out(segments)
    metadata = Metadata(
        exif=_read_exif(segments),
        xmp=packet,
        extended_xmp=extended,
        iptc=photoshop.iptc_of(blocks),
        photoshop=blocks,
        icc=profile,
        comment=comments[0] if comments else b"",
        more_comments=tuple(comments[1:]),
        segments=others,
    )
    return metadata, [*lost, *broken, *filter(None, [damaged]), *left_out]


def _read_exif(segments: list[Segment]) -> bytes:
    """Return the EXIF block, put together where it goes on in the segments that follow.

    A block too large for one segment goes on in the next ones, which begin as the first does but
    for its TIFF header (as ExifTool writes it).
    """
    parts: list[bytes] = []
    for marker, payload in segments:
        if marker == APP1 and payload.startswith(_EXIF):
            part = payload[len(_EXIF) :]
            if parts and part.startswith(_TIFF_HEADS):
                break
            parts.append(part)
        elif parts:
            break
    return b"".join(parts)


def _read_extended(segments: list[Segment], guid: bytes) -> tuple[bytes, list[str]]:
    """Put the pieces of the extended XMP packet together that the main packet names."""
    pieces: dict[int, bytes] = {}
    total = 0
    head = _EXTENDED_XMP + guid
    for marker, payload in segments:
        if marker == APP1 and payload.startswith(head) and len(payload) >= len(head) + 8:
            total, offset = struct.unpack_from(">II", payload, len(head))
            pieces.setdefault(offset, payload[len(head) + 8 :])
    if not guid:
        return b"", [_UNNAMED] if pieces else []
    end = 0
    for offset in sorted(pieces):
        if offset != end:
            break
        end += len(pieces[offset])
    whole = b"".join(pieces[offset] for offset in sorted(pieces))
    if not whole or end != len(whole) or end != total:
        return b"", ["Its extended XMP is incomplete and was left out."]
    if xmp.guid_of(whole) != guid.upper():
        return whole, ["Its extended XMP does not match its checksum; it is carried as it is."]
    return whole, []


def _read_icc(segments: list[Segment]) -> tuple[bytes, list[str]]:
    """Put the chunks of the ICC profile together (ICC.1:2022, annex B.4)."""
    chunks: dict[int, bytes] = {}
    totals = set()
    for marker, payload in segments:
        if marker == APP2 and payload.startswith(_ICC) and len(payload) > len(_ICC) + 2:
            number, total = payload[len(_ICC) : len(_ICC) + 2]
            totals.add(total)
            chunks.setdefault(number, payload[len(_ICC) + 2 :])
    profile = b"".join(chunks[number] for number in sorted(chunks))
    if sorted(chunks) == list(range(1, len(chunks) + 1)) and totals <= {len(chunks)}:
        return profile, []
    if len(profile) == int.from_bytes(profile[:4], "big") and not icc.fault(profile):
        return profile, ["The parts of its ICC profile are miscounted; the profile is whole."]
    return b"", ["Its ICC profile is incomplete and was left out."]


def density(segments: list[Segment]) -> Resolution | None:
    """Return the resolution a JFIF header states, None where it states only a ratio."""
    for marker, payload in segments:
        if marker == APP0 and payload.startswith(b"JFIF\0") and len(payload) >= 12:
            unit, x, y = struct.unpack_from(">BHH", payload, 7)
            return Resolution((x, 1), (y, 1), unit + 1) if unit in (1, 2) and x and y else None
    return None


def write(encoded: bytes, metadata: Metadata) -> tuple[bytes, list[str]]:
    """Put metadata into a freshly encoded JPEG; return it and what was left out.

    metadata: EXIF as `exif.for_jpeg` made it. The encoder's JFIF header goes: EXIF says more.
    """
    segments, scan = split(encoded)
    own = [item for item in segments if item.marker != APP0]
    parts, left_out = _xmp_segments(metadata.xmp, metadata.extended_xmp)
    if metadata.exif:
        parts.insert(0, Segment(APP1, _EXIF + metadata.exif))
    blocks = photoshop.with_iptc(metadata.photoshop, metadata.iptc)
    step = MAX_PAYLOAD - len(_PHOTOSHOP)
    for start in range(0, len(blocks), step):
        parts.append(Segment(APP13, _PHOTOSHOP + blocks[start : start + step]))
    chunks = [
        metadata.icc[start : start + _ICC_CHUNK]
        for start in range(0, len(metadata.icc), _ICC_CHUNK)
    ]
    if len(chunks) > 255:
        left_out.append("Its ICC profile is too large for a JPEG and was left out.")
        chunks = []
    for number, chunk in enumerate(chunks, 1):
        parts.append(Segment(APP2, _ICC + bytes([number, len(chunks)]) + chunk))
    parts += [Segment(marker, payload) for marker, payload in metadata.segments]
    if metadata.comment:
        comments = (metadata.comment, *metadata.more_comments)
        parts += [Segment(COM, comment[:MAX_PAYLOAD]) for comment in comments]
    return join(parts + own) + encoded[scan:], left_out


def _xmp_segments(packet: bytes, extended: bytes) -> tuple[list[Segment], list[str]]:
    """Lay XMP into segments, divided where it is too large for one."""
    if len(packet) > xmp.JPEG_LIMIT:
        packet = xmp.without_padding(packet)
    if len(packet) > xmp.JPEG_LIMIT:
        parts = xmp.divided(packet, extended)
        if parts is None:
            return [], ["Its XMP is too large for a JPEG and was left out."]
        packet, extended = parts
    laid = [Segment(APP1, _XMP + packet)] if packet else []
    guid = xmp.extended_guid(packet)
    for start in range(0, len(extended) if guid else 0, _EXTENDED_CHUNK):
        head = _EXTENDED_XMP + guid + struct.pack(">II", len(extended), start)
        laid.append(Segment(APP1, head + extended[start : start + _EXTENDED_CHUNK]))
    return laid, []
