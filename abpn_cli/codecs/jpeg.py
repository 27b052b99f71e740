"""Photo to JPEG, by libjpeg-turbo (simplejpeg)."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import simplejpeg  # type: ignore[import-untyped]

from ..errors import PhotoError
from ..metadata import BrokenExif, edited, exif, jpeg_carrier, png_words, words
from ..photo import Metadata, Photo, Pixels, Provenance
from .formats import SOFTWARE, Encoded, EncodeOptions, to_8_bit

THUMBNAIL_SIDE_PX = 160  # Exif 2.32, section 4.5.3 (JEITA DCF: 160 x 120)
MAX_SIDE_PX = 65500  # libjpeg's limit


def encode(photo: Photo, options: EncodeOptions) -> Encoded:
    """Encode as 8-bit JPEG, 4:4:4, with its metadata. Raises PhotoError where it is too large."""
    height, width = photo.pixels.shape[:2]
    if max(height, width) > MAX_SIDE_PX:
        fault = f"{width} x {height} is more than a JPEG can hold"
        raise PhotoError(photo.source, fault, "Use --format tiff.")
    narrow = replace(photo, pixels=np.ascontiguousarray(to_8_bit(photo.pixels)))
    encoded = _encode(narrow.pixels, options.quality, "444")
    return dressed(encoded, narrow, options.provenance)


def dressed(
    encoded: bytes, photo: Photo, provenance: Provenance, sampled_anew: bool = True
) -> Encoded:
    """Put a photo's metadata, and a thumbnail of it, into the JPEG that shows its pixels.

    photo: with 8 bits; provenance: what a history in its XMP is told; sampled_anew: as of
    `exif.for_jpeg`.
    """
    left_out = []
    if photo.alpha is not None:
        left_out.append("A JPEG holds no transparency: the fourth channel was left out.")
    metadata = edited(photo.metadata, provenance, f"{photo.digest} jpeg")
    metadata, unplaced = png_words.without_chunks(metadata, "a JPEG")
    left_out += unplaced
    thumbnail = _thumbnail(photo.pixels)
    try:
        block, lost = exif.for_jpeg(
            metadata.exif, SOFTWARE, metadata.orientation, thumbnail, sampled_anew
        )
    except BrokenExif:
        block, lost = exif.for_jpeg(b"", SOFTWARE, metadata.orientation, thumbnail)
        lost.append(words.DAMAGED_EXIF)
    data, unfit = jpeg_carrier.write(encoded, replace(metadata, exif=block))
    return Encoded(data, left_out + lost + unfit)


def _encode(pixels: Pixels, quality: int, sampling: str) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality, "RGB", sampling, fastdct=False)
    return encoded


def _thumbnail(pixels: Pixels) -> bytes:
    """Encode a small view of the pixels, turned as they are stored."""
    height, width = pixels.shape[:2]
    scale = min(1.0, THUMBNAIL_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    encoded = _encode(np.ascontiguousarray(small, np.uint8), 85, "420")
    return jpeg_carrier.write(encoded, Metadata())[0]  # Exif forbids JFIF inside
