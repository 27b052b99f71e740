"""JPEG to Photo, by libjpeg-turbo (simplejpeg; imagecodecs for the rare kinds).

Strict decoding is the rule: a file whose pixels are not all there must not come out grey at the
bottom. What fails strictly is tried again with faults mended that leave the pixels whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import simplejpeg  # type: ignore[import-untyped]

from ..errors import PhotoError
from ..metadata import checked, jpeg_carrier, orientation_of
from ..metadata.jpeg_carrier import Frame, Segment
from ..metadata.segments import behind_the_end
from ..photo import Photo
from . import cmyk, jpeg_rare, profiles
from .formats import RESTORE, DamagedError, Header, Values, as_rgb

_HEADER_BYTES = 1 << 18  # read first; nearly always enough
_MOST_HEADER_BYTES = 1 << 26  # what follows without a scan is no header any more
_BASELINE, _EXTENDED, _PROGRESSIVE, _LOSSLESS = 0xC0, 0xC1, 0xC2, 0xC3
_PROGRESSIVE_ARITHMETIC = 0xCA
_DECODED = (_BASELINE, _EXTENDED, _PROGRESSIVE, 0xC9, _PROGRESSIVE_ARITHMETIC)  # 0xC9: arithmetic
_DQT, _DHT, _DAC = 0xDB, 0xC4, 0xCC
_COLOURS = {1: "RGB", 3: "RGB", 4: "CMYK"}  # what is asked of the decoder, by components


class _Jpeg(NamedTuple):
    """A JPEG taken apart; scan: where its first scan begins."""

    data: bytes
    segments: list[Segment]
    scan: int
    frame: Frame
    source: Path


def header(file: BinaryIO, source: Path) -> Header:
    """Read a JPEG's header. Raises PhotoError."""
    data = file.read(_HEADER_BYTES)
    segments, scan = jpeg_carrier.split(data)
    if scan < 0:  # large previews and profiles come first
        segments, _ = jpeg_carrier.split(data + file.read(_MOST_HEADER_BYTES))
    frame = _frame(segments, source)
    turn = orientation_of(jpeg_carrier.read(segments)[0].exif)
    size = (frame.height, frame.width)
    return Header("jpeg", size, frame.bits, frame.components, turn)


def _frame(segments: list[Segment], source: Path) -> Frame:
    frame = jpeg_carrier.frame_of(segments)
    if frame is None or not frame.height or not frame.width:
        raise PhotoError(source, "the file is cut short or damaged in its header", RESTORE)
    return frame


def decode(data: bytes, source: Path) -> Photo:
    """Decode a JPEG of 8 bits, or of more, which become 16; grey and CMYK become RGB.

    Raises PhotoError, and DamagedError where a part of the pixels is lost.
    """
    jpeg = _taken_apart(data, source)
    values, notes = _whole(jpeg)
    return _photo(jpeg, values, notes)


def salvage(data: bytes, source: Path) -> Photo:
    """Decode what is left of a damaged JPEG; what is lost is grey. Raises PhotoError."""
    jpeg = _taken_apart(data, source)
    try:
        if _is_rare(jpeg.frame):
            return _photo(jpeg, jpeg_rare.lenient(data, jpeg.frame), [])
        colours = _COLOURS[jpeg.frame.components]
        return _photo(jpeg, _decoded(data, colours, strict=False), [])
    except (ValueError, RuntimeError) as error:
        fault = f"nothing is left of it ({str(error).rstrip('.')})"
        raise PhotoError(source, fault, RESTORE) from error


def _taken_apart(data: bytes, source: Path) -> _Jpeg:
    """Split a JPEG; refuse, by name, the kinds that no decoder here reads."""
    segments, scan = jpeg_carrier.split(data)
    frame = _frame(segments, source)
    if frame.components not in _COLOURS:
        kind = f"it has {frame.components} channels"
        raise PhotoError(source, kind, "Convert it to RGB first.")
    if frame.components == 4 and frame.bits != 8:
        raise PhotoError(source, f"it is a {frame.bits}-bit CMYK JPEG", "Convert it to RGB first.")
    if frame.process not in (*_DECODED, _LOSSLESS) or not 2 <= frame.bits <= 16:
        kind = f"it is a JPEG of a kind that no camera writes (process {frame.process - 0xC0})"
        raise PhotoError(source, kind, "Convert it to TIFF first.")
    if scan < 0:
        raise PhotoError(source, "the file is cut short", RESTORE)
    return _Jpeg(data, segments, scan, frame, source)


def _is_rare(frame: Frame) -> bool:
    return frame.bits != 8


def _photo(jpeg: _Jpeg, values: Values, notes: list[str]) -> Photo:
    """Join decoded values with the metadata."""
    metadata, lost = jpeg_carrier.read(jpeg.segments)
    lost += behind_the_end(jpeg.data, jpeg.scan, lost)
    pixels = as_rgb(values)
    if jpeg.frame.components == 4:
        inks = np.invert(values) if _adobe(jpeg.segments) else values
        pixels = cmyk.to_rgb(inks, metadata.icc, jpeg.source)
        metadata = replace(metadata, icc=profiles.srgb())
        notes = [*notes, cmyk.NOTE]
    metadata, broken = checked(metadata, jpeg_carrier.density(jpeg.segments))
    warnings = (*notes, *lost, *broken)
    return Photo(pixels, metadata, format="jpeg", source=jpeg.source, warnings=warnings)


def _adobe(segments: list[Segment]) -> bool:
    """Tell whether an Adobe program wrote the JPEG: then 255 is no ink, else it is all ink."""
    return any(
        item.marker == jpeg_carrier.APP14 and item.payload.startswith(b"Adobe") for item in segments
    )


def _whole(jpeg: _Jpeg) -> tuple[Values, list[str]]:
    """Decode strictly, mending what can be mended; return values and words about the mending."""
    if _is_rare(jpeg.frame):
        return _rare(jpeg), []
    colours = _COLOURS[jpeg.frame.components]
    try:
        pixels, notes = _mended_pixels(jpeg, lambda data: _decoded(data, colours, strict=True))
    except ValueError as error:
        if "subsampling" in str(error):
            return _rare(jpeg), []
        raise _damaged(jpeg.source, str(error)) from error
    if not _in_one_scan(jpeg):
        _check_scans(jpeg)
    return pixels, notes


def _in_one_scan(jpeg: _Jpeg) -> bool:
    """Tell whether the first scan is to hold all there is: not so where channels come singly."""
    components = jpeg.data[jpeg.scan + 4 : jpeg.scan + 5]
    return jpeg.frame.process not in (_PROGRESSIVE, _PROGRESSIVE_ARITHMETIC) and (
        components == bytes([jpeg.frame.components])
    )


def _damaged(source: Path, fault: str) -> DamagedError:
    if "remature end" in fault:
        return DamagedError(source, "the file is cut short")
    return DamagedError(source, f"the file is damaged ({' '.join(fault.split()).rstrip('.')})")


def _rare(jpeg: _Jpeg) -> Values:
    """Decode what simplejpeg does not read, by a decoder that does not tell of damage."""
    try:
        values = jpeg_rare.lenient(jpeg.data, jpeg.frame)
    except (ValueError, RuntimeError) as error:
        raise _damaged(jpeg.source, str(error)) from error
    _check_scans(jpeg)
    if not jpeg_rare.is_whole(jpeg.data, jpeg.scan, jpeg.frame, values):
        raise DamagedError(jpeg.source, "the file is cut short or damaged")
    return values


def _check_scans(jpeg: _Jpeg) -> None:
    """Refuse a file whose later scans are gone: its photo would be coarse, or without colours."""
    if not jpeg_rare.has_all_scans(jpeg.data, jpeg.scan, jpeg.segments):
        raise DamagedError(jpeg.source, "the file is cut short: some of its scans are missing")


def _mended_pixels(jpeg: _Jpeg, strict: Callable[[bytes], Values]) -> tuple[Values, list[str]]:
    """Decode as it is or mended; ValueError, that of the file as it is, where nothing helps."""
    try:
        return strict(jpeg.data), []
    except ValueError as error:
        for mended, note in _mended(jpeg):
            try:
                return strict(mended), [note]
            except ValueError:
                continue
        raise error


def _decoded(data: bytes, colours: str, *, strict: bool) -> Values:
    """Decode to (H, W, 3) RGB or (H, W, 4) CMYK with the exact DCT and smooth chroma.

    strict: raise ValueError for any fault, not only for those that leave nothing.
    """
    pixels = simplejpeg.decode_jpeg(data, colours, fastdct=False, fastupsample=False, strict=strict)
    return np.asarray(pixels, np.uint8)


def _mended(jpeg: _Jpeg) -> Iterator[tuple[bytes, str]]:
    """Yield the file mended in the ways that leave its pixels whole, each with words for it."""
    data, scan, frame = jpeg.data, jpeg.scan, jpeg.frame
    clean = jpeg_carrier.join(_needed(jpeg.segments, frame)) + data[scan:]
    yield clean, "Its header holds faulty segments; the pixels are whole."
    if not _in_one_scan(jpeg):  # a missing end is harmless only where a cut would show
        return
    end = b"\xff\xd9"
    yield data + end, "Its end marker is missing; the pixels are whole."
    yield clean + end, "Its end marker is missing and its header is faulty; the pixels are whole."


def _needed(segments: list[Segment], frame: Frame) -> list[Segment]:
    """Keep the segments that the pixels need."""
    needed = {_DQT, _DHT, _DAC, jpeg_carrier.DRI, *jpeg_carrier.FRAMES}
    kept = []
    for item in segments:
        if item.marker == jpeg_carrier.APP14 and item.payload.startswith(b"Adobe"):
            transform = item.payload[11:12]
            if frame.components == 3 and transform not in (b"\0", b"\1"):
                item = Segment(item.marker, item.payload[:11].ljust(11, b"\0") + b"\1")
        elif item.marker == jpeg_carrier.APP0:
            if not item.payload.startswith(b"JFIF\0"):
                continue
        elif item.marker not in needed:
            continue
        kept.append(item)
    return kept
