"""JPEG to Photo and back, by libjpeg-turbo (simplejpeg).

Strict decoding is the rule: a file whose pixels are not all there must not come out grey at the
bottom. What fails strictly is tried again with faults mended that leave the pixels whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import cv2
import imagecodecs
import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ..errors import PhotoError
from ..metadata import BrokenExif, checked, edited, exif, jpeg_carrier, orientation_of
from ..metadata.jpeg_carrier import Frame, Segment
from ..photo import Metadata, Photo
from .formats import RESTORE, SOFTWARE, Encoded, EncodeOptions, Header, to_8_bit

THUMBNAIL_SIDE_PX = 160  # Exif 2.32, section 4.5.3 (JEITA DCF: 160 x 120)
MAX_SIDE_PX = 65500  # libjpeg's limit
_HEADER_BYTES = 1 << 18  # read first; nearly always enough
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_DECODED = (_BASELINE, _EXTENDED, _PROGRESSIVE, 0xC9, 0xCA)  # the last two: arithmetic coding
_DQT, _DHT, _DAC = 0xDB, 0xC4, 0xCC


def header(file: BinaryIO, source: Path) -> Header:
    """Read a JPEG's header. Raises PhotoError."""
    data = file.read(_HEADER_BYTES)
    segments, scan = jpeg_carrier.split(data)
    if scan < 0:  # large previews and profiles come first
        segments, _ = jpeg_carrier.split(data + file.read())
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
    """Decode a JPEG; grey becomes RGB. Raises PhotoError for what is damaged or no RGB."""
    segments, scan = jpeg_carrier.split(data)
    frame = _frame(segments, source)
    if frame.components == 4:
        raise PhotoError(source, "it is a CMYK photo", "Convert it to RGB first.")
    if frame.components not in (1, 3):
        kind = f"it has {frame.components} channels"
        raise PhotoError(source, kind, "Convert it to RGB first.")
    if frame.bits != 8 or frame.process not in _DECODED:
        kind = "lossless" if frame.bits == 8 else f"{frame.bits}-bit"
        raise PhotoError(source, f"it is a {kind} JPEG", "Convert it to TIFF first.")
    if scan < 0:
        raise PhotoError(source, "the file is cut short", RESTORE)
    pixels, notes = _pixels(data, segments, scan, frame, source)
    metadata, lost = jpeg_carrier.read(segments)
    metadata, broken = checked(metadata, jpeg_carrier.density(segments))
    warnings = (*notes, *lost, *broken)
    return Photo(pixels, metadata, format="jpeg", source=source, warnings=warnings)


def _pixels(
    data: bytes, segments: list[Segment], scan: int, frame: Frame, source: Path
) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode strictly, mending what can be mended; return pixels and words about the mending."""
    try:
        return _strict(data), []
    except ValueError as error:
        fault = str(error)
    for mended, note in _mended(data, segments, scan, frame):
        try:
            return _strict(mended), [note]
        except ValueError:
            continue
    if "subsampling" in fault and data.find(b"\xff\xd9", scan) > 0:
        try:
            pixels = imagecodecs.jpeg8_decode(data, outcolorspace="RGB")
        except (ValueError, RuntimeError) as error:
            raise PhotoError(source, "the file is damaged", RESTORE) from error
        note = "Its chroma sampling is unusual: damage inside it would go unnoticed."
        return np.asarray(pixels, np.uint8), [note]
    if "remature end" in fault:
        raise PhotoError(source, "the file is cut short", RESTORE)
    raise PhotoError(source, f"the file is damaged ({fault.rstrip('.')})", RESTORE)


def _strict(data: bytes) -> NDArray[np.uint8]:
    """Decode to (H, W, 3) RGB with the exact DCT and smooth chroma; ValueError for any fault."""
    pixels = simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False, strict=True)
    return np.asarray(pixels, np.uint8)


def _mended(
    data: bytes, segments: list[Segment], scan: int, frame: Frame
) -> Iterator[tuple[bytes, str]]:
    """Yield the file mended in the ways that leave its pixels whole, each with words for it."""
    clean = jpeg_carrier.join(_needed(segments, frame)) + data[scan:]
    yield clean, "Its header holds faulty segments; the pixels are whole."
    # A missing end is harmless only where a cut inside the pixels would show: not in a
    # progressive file, whose later scans could be gone, nor where channels come one by one.
    interleaved = data[scan + 4 : scan + 5] == bytes([frame.components])
    if frame.process == _PROGRESSIVE or not interleaved:
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


def encode(photo: Photo, options: EncodeOptions) -> Encoded:
    """Encode as 8-bit JPEG, 4:4:4, with its metadata. Raises PhotoError where it is too large."""
    height, width = photo.pixels.shape[:2]
    if max(height, width) > MAX_SIDE_PX:
        fault = f"{width} x {height} is more than a JPEG can hold"
        raise PhotoError(photo.source, fault, "Use --format tiff.")
    pixels = np.ascontiguousarray(to_8_bit(photo.pixels))
    encoded = _encode(pixels, options.quality, "444")
    left_out = []
    if photo.alpha is not None:
        left_out.append("A JPEG holds no transparency: the fourth channel was left out.")
    metadata = edited(photo.metadata, SOFTWARE)
    thumbnail = _thumbnail(pixels)
    try:
        block, lost = exif.for_jpeg(metadata.exif, SOFTWARE, metadata.orientation, thumbnail)
    except BrokenExif:
        block, lost = exif.for_jpeg(b"", SOFTWARE, metadata.orientation, thumbnail)
        lost.append("Its EXIF is damaged and was left out.")
    data, unfit = jpeg_carrier.write(encoded, replace(metadata, exif=block))
    return Encoded(data, left_out + lost + unfit)


def _encode(pixels: NDArray[np.uint8], quality: int, sampling: str) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality, "RGB", sampling, fastdct=False)
    return encoded


def _thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a small view of the pixels, turned as they are stored."""
    height, width = pixels.shape[:2]
    scale = min(1.0, THUMBNAIL_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    encoded = _encode(np.ascontiguousarray(small, np.uint8), 85, "420")
    return jpeg_carrier.write(encoded, Metadata())[0]  # Exif forbids JFIF inside
