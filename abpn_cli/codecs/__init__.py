"""Bytes to `Photo` and back. Files are known by their content, not by their name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import PhotoError
from ..files import TEMP_SUFFIX, not_asked, opened, write_atomic
from ..metadata import upright
from ..metadata import upright_packet as upright_sidecar
from ..photo import FormatName, Photo, turn_upright, with_warnings
from . import (
    heic,
    jpeg,
    jpeg_keep,
    jpeg_read,
    png,
    png_salvage,
    raw,
    tiff,
    tiff_read,
    tiff_salvage,
)
from .formats import (
    MAX_PIXELS,
    DamagedError,
    DecodeOptions,
    Encoded,
    EncodeOptions,
    Header,
    useful_threads,
)
from .headers import probe, read_header
from .masks import (
    Stamp,
    grey_of,
    is_overlay,
    read_stamp,
    read_stamped,
    write_mask,
    write_overlay,
)
from .pool import DecodePool
from .sniff import PHOTO_SUFFIXES, RAW_SUFFIXES, sniff

__all__ = [
    "MAX_PIXELS",
    "PHOTO_SUFFIXES",
    "RAW_SUFFIXES",
    "TEMP_SUFFIX",
    "DamagedError",
    "DecodeOptions",
    "DecodePool",
    "EncodeOptions",
    "Header",
    "Stamp",
    "decode",
    "encode",
    "grey_of",
    "is_overlay",
    "make_upright",
    "probe",
    "read_mask",
    "read_stamp",
    "read_stamped",
    "sniff",
    "upright_sidecar",
    "useful_threads",
    "write_atomic",
    "write_mask",
    "write_overlay",
]

_Decoder = Callable[[bytes, Path], Photo]


class _Reader(NamedTuple):
    """How a format is decoded, and what can be done where that finds damage."""

    decode: _Decoder
    salvage: _Decoder | None


def _reader(kind: str, options: DecodeOptions) -> _Reader:
    if kind == "raw":
        return _Reader(
            partial(raw.decode, space=options.raw_space),
            partial(raw.salvage, space=options.raw_space),
        )
    return {
        "jpeg": _Reader(jpeg_read.decode, jpeg_read.salvage),
        "png": _Reader(png.decode, png_salvage.salvage),
        "tiff": _Reader(tiff_read.decode, tiff_salvage.salvage),
        "heic": _Reader(heic.decode, None),
    }[kind]


def decode(path: Path, options: DecodeOptions = DecodeOptions()) -> Photo:  # noqa: B008 (frozen)
    """Decode a photo; pixels stay as stored, everything becomes RGB of 8 or 16 bits.

    Raises PhotoError for what cannot be read, is too large, is damaged (unless that is accepted),
    or is of a kind that cannot be RGB.
    """
    with opened(path) as file:
        kind, header = read_header(file, path)
        _check_size(header.size, options.max_pixels, path)
        file.seek(0)
        data = file.read()
    read, salvage = _reader(kind, options)
    try:
        photo = read(data, path)
    except DamagedError as error:
        if not options.accept_damaged or salvage is None:
            raise
        photo = with_warnings(salvage(data, path), f"Damage accepted: {error.fault}.")
    return replace(photo, digest=sha256(data).hexdigest())


def _check_size(size: tuple[int, int], max_pixels: int, path: Path) -> None:
    """Refuse a photo by its header, before memory is taken for it."""
    height, width = size
    if height * width > max_pixels:
        fault = f"{width} x {height} is more than {max_pixels / 1e6:g} megapixels"
        raise PhotoError(path, fault, "Scale it down first, or raise --max-pixels.")


def encode(
    photo: Photo,
    target: Path,
    format: FormatName,
    options: EncodeOptions,
    ready: Callable[[Path], None] = not_asked,
) -> tuple[str, ...]:
    """Write a photo with its metadata; under its final name it is whole or not there.

    format: "tiff" has 16 bits always, "jpeg" 8, "png" those of the photo.
    ready:  as of `write_atomic`.
    Returns what the format could not hold, one sentence each.
    Raises TargetError where the file cannot be written, PhotoError where the format cannot hold
    the photo.
    """
    if format == "tiff":
        left_out: list[str] = []
        write_atomic(target, lambda path: left_out.extend(tiff.write(path, photo, options)), ready)
        return tuple(left_out)
    encoded = _encoded(photo, format, options)

    def fill(path: Path) -> None:
        path.write_bytes(encoded.data)

    write_atomic(target, fill, ready)
    return tuple(encoded.left_out)


def _encoded(photo: Photo, format: FormatName, options: EncodeOptions) -> Encoded:
    if format == "png":
        return png.encode(photo, options)
    if options.jpeg == "keep-untouched":
        return jpeg_keep.encode(photo, options)
    return jpeg.encode(photo, options)


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

    It is turned upright by its own orientation tag. Raises PhotoError as `decode` does.
    """
    return grey_of(decode(path))
