"""Bytes to `Photo` and back. Files are known by their content, not by their name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PhotoError
from ..files import TEMP_SUFFIX, opened, write_atomic
from ..metadata import upright
from ..metadata import upright_packet as upright_sidecar
from ..photo import FormatName, Photo, turn_upright
from . import jpeg, png, tiff
from .formats import MAX_PIXELS, EncodeOptions, Header
from .masks import grey_of, is_overlay, write_mask, write_overlay
from .pool import DecodePool
from .sniff import HEAD_BYTES, PHOTO_SUFFIXES, RAW_SUFFIXES, is_ours, kind_of, sniff

__all__ = [
    "MAX_PIXELS",
    "PHOTO_SUFFIXES",
    "RAW_SUFFIXES",
    "TEMP_SUFFIX",
    "DecodePool",
    "EncodeOptions",
    "Header",
    "decode",
    "encode",
    "grey_of",
    "is_ours",
    "is_overlay",
    "make_upright",
    "probe",
    "read_mask",
    "sniff",
    "upright_sidecar",
    "write_atomic",
    "write_mask",
    "write_overlay",
]

_HEADERS = {"jpeg": jpeg.header, "png": png.header, "tiff": tiff.header}
_DECODERS = {"jpeg": jpeg.decode, "png": png.decode, "tiff": tiff.decode}


def probe(path: Path) -> Header:
    """Read a photo's header; raise PhotoError where it is no photo that abpn reads."""
    with opened(path) as file:
        kind = _readable_kind(file, path)
        return _HEADERS[kind](file, path)


def decode(path: Path, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode a JPEG, PNG or TIFF; pixels stay as stored, grey and palette become RGB.

    max_pixels: a larger photo is refused before it is decoded.
    Raises PhotoError for what cannot be read, is damaged, or is not RGB, grey or palette.
    """
    with opened(path) as file:
        kind = _readable_kind(file, path)
        height, width = _HEADERS[kind](file, path).size
        file.seek(0)
        data = file.read()
    if height * width > max_pixels:
        fault = f"{width} x {height} is more than {max_pixels / 1e6:.0f} megapixels"
        raise PhotoError(path, fault, "Scale it down first.")
    return _DECODERS[kind](data, path)


def _readable_kind(file: BinaryIO, path: Path) -> str:
    """Tell the kind of an open file, which stays at its beginning."""
    kind = kind_of(file.read(HEAD_BYTES), str(path))
    file.seek(0)
    if kind is None:
        raise PhotoError(path, "it is not a photo", "Give a JPEG, PNG or TIFF.")
    if kind not in _DECODERS:
        name = "camera raw file" if kind == "raw" else f"{kind.upper()} image"
        fault = f"it is a {name}, which abpn does not read"
        raise PhotoError(path, fault, "Convert it to TIFF or JPEG first.")
    return kind


def encode(
    photo: Photo, target: Path, format: FormatName, options: EncodeOptions
) -> tuple[str, ...]:
    """Write a photo with its metadata; under its final name it is whole or not there.

    format: "tiff" has 16 bits always, "jpeg" 8, "png" those of the photo.
    Returns what the format could not hold, one sentence each.
    Raises TargetError where the file cannot be written, PhotoError where the format cannot hold
    the photo.
    """
    if format == "tiff":
        left_out: list[str] = []
        write_atomic(target, lambda path: left_out.extend(tiff.write(path, photo, options)))
        return tuple(left_out)
    encoded = jpeg.encode(photo, options) if format == "jpeg" else png.encode(photo)

    def fill(path: Path) -> None:
        path.write_bytes(encoded.data)

    write_atomic(target, fill)
    return tuple(encoded.left_out)


def make_upright(photo: Photo) -> Photo:
    """Turn pixels and alpha upright; the metadata says so afterwards."""
    turn = photo.metadata.orientation
    if turn == 1:
        return photo
    pixels = np.ascontiguousarray(turn_upright(photo.pixels, turn))
    alpha = photo.alpha
    if alpha is not None:
        alpha = np.ascontiguousarray(turn_upright(alpha, turn))
    height, width = pixels.shape[:2]
    metadata = upright(photo.metadata, (height, width))
    return replace(photo, pixels=pixels, alpha=alpha, metadata=metadata)


def read_mask(path: Path) -> NDArray[np.float32]:
    """Read a mask from any readable photo: (H, W) float32, black 0 to white 1.

    Raises PhotoError as `decode` does.
    """
    return grey_of(decode(path))
