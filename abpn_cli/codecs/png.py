"""PNG to Photo and back: pixels by OpenCV, chunks by us."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from ..errors import PhotoError
from ..metadata import (
    BrokenExif,
    checked,
    edited,
    exif,
    orientation_of,
    png_carrier,
    segments,
    with_one_packet,
    words,
)
from ..metadata.png_carrier import BrokenPng, Chunk
from ..photo import Photo
from .formats import (
    RESTORE,
    SOFTWARE,
    DamagedError,
    Encoded,
    EncodeOptions,
    Header,
    Values,
    as_rgb,
)

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_HEADER_BYTES = 4 + 4 + 13 + 4  # of the header chunk
_COMPRESSION = 1  # zlib level; higher ones cost seconds and save a few per cent


def header(file: BinaryIO, source: Path) -> Header:
    """Read a PNG's header. Raises PhotoError where the file is cut short inside it."""
    try:
        chunks = png_carrier.skim(file)
    except BrokenPng as error:  # what lies behind the header is for `decode` to tell
        chunks = _header_alone(file)
        if not chunks:
            raise PhotoError(source, str(error), RESTORE) from error
    width, height, bits, kind = _first(chunks, source)
    turn = orientation_of(png_carrier.read(chunks)[0].exif)
    return Header("png", (height, width), bits, _CHANNELS[kind], turn)


def _header_alone(file: BinaryIO) -> list[Chunk]:
    file.seek(len(png_carrier.SIGNATURE))
    raw = file.read(_HEADER_BYTES)
    whole = len(raw) == _HEADER_BYTES and raw.startswith(b"\0\0\0\x0dIHDR")
    return [Chunk(b"IHDR", raw[8:-4], raw)] if whole else []


def _first(chunks: list[Chunk], source: Path) -> tuple[int, int, int, int]:
    """Return width, height, bits and colour type of the header chunk."""
    width, height, bits, kind = struct.unpack_from(">IIBB", chunks[0].data)
    if not width or not height or kind not in _CHANNELS:
        raise PhotoError(source, "its PNG header makes no sense", RESTORE)
    return width, height, bits, kind


def decode(data: bytes, source: Path) -> Photo:
    """Decode a PNG of 8 or 16 bits; grey and palette become RGB.

    Raises PhotoError, and DamagedError where a part of the pixels is lost.
    """
    try:
        chunks, damaged = png_carrier.split(data)
    except BrokenPng as error:
        raise DamagedError(source, str(error)) from error
    _, _, bits, kind = _first(chunks, source)
    stored = np.frombuffer(png_carrier.pixels_only(chunks), np.uint8)
    try:
        pixels = cv2.imdecode(stored, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DamagedError(source, "the file cannot be decoded") from error
    if not isinstance(pixels, np.ndarray):
        raise DamagedError(source, "the file is damaged")
    values: Values = pixels
    rgb, alpha = _channels(values)
    see_through = next((chunk.data for chunk in chunks if chunk.type == b"tRNS"), b"")
    if kind == _GREY and len(see_through) >= 2:
        alpha = _grey_alpha(values, bits, see_through)
    metadata, lost = png_carrier.read(chunks)
    metadata, broken = checked(metadata, png_carrier.density(chunks))
    warnings = (*damaged, *lost, *broken)
    return Photo(rgb, metadata, alpha, format="png", source=source, warnings=warnings)


def _channels(pixels: Values) -> tuple[Values, Values | None]:
    """Turn OpenCV's order, (H, W), BGR or BGRA, into RGB and alpha."""
    if pixels.ndim == 2:
        return as_rgb(pixels), None
    if pixels.shape[2] == 4:
        return np.ascontiguousarray(pixels[..., 2::-1]), np.ascontiguousarray(pixels[..., 3])
    return np.ascontiguousarray(pixels[..., ::-1]), None


def _grey_alpha(pixels: Values, bits: int, see_through: bytes) -> Values:
    """Make the alpha of a grey PNG that names one value as transparent; OpenCV passes it over."""
    (value,) = struct.unpack_from(">H", see_through)
    if bits < 8:
        value *= 255 // ((1 << bits) - 1)
    full = np.iinfo(pixels.dtype).max
    made: Values = np.where(pixels == value, 0, full).astype(pixels.dtype)
    return made


def encode(photo: Photo, options: EncodeOptions) -> Encoded:
    """Encode as PNG of the photo's own depth with its metadata and, where it has one, alpha."""
    left_out = []
    pixels, alpha = photo.pixels, photo.alpha
    if alpha is not None and photo.alpha_is == "other":
        left_out.append("A PNG holds no channel that is not transparency: it was left out.")
        alpha = None
    elif alpha is not None and photo.alpha_is == "associated":
        pixels = _divided(pixels, alpha)
        left_out.append("Its pixels were multiplied by their transparency: divided for the PNG.")
    told = edited(photo.metadata, options.provenance, f"{photo.digest} png")
    metadata, lost = with_one_packet(told)
    lost += segments.no_place(metadata.segments, "a PNG")
    try:
        block = exif.for_png(metadata.exif, SOFTWARE, metadata.orientation)
    except BrokenExif:
        block = exif.for_png(b"", SOFTWARE, metadata.orientation)
        lost.append(words.DAMAGED_EXIF)
    encoded = encode_plain(pixels[..., ::-1] if alpha is None else _bgra(pixels, alpha))
    data = png_carrier.write(encoded, replace(metadata, exif=block), exif.resolution(block))
    return Encoded(data, left_out + lost)


def encode_plain(pixels: Values) -> bytes:
    """Encode (H, W) grey, (H, W, 3) BGR or (H, W, 4) BGRA pixels, 8 or 16 bits, nothing else."""
    settings = [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION]
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(pixels), settings)
    if not done:
        raise RuntimeError("OpenCV did not encode a PNG")
    data: bytes = encoded.tobytes()
    return data


def _bgra(pixels: Values, alpha: Values) -> Values:
    return np.dstack([pixels[..., ::-1], alpha])


def _divided(pixels: Values, alpha: Values) -> Values:
    """Divide pixels by the alpha they were multiplied by."""
    full = np.iinfo(pixels.dtype).max
    weight = np.maximum(alpha, 1).astype(np.float32)[..., None] / np.float32(full)
    straight: Values = np.minimum(np.rint(pixels / weight), full).astype(pixels.dtype)
    return straight
