"""JPEG to JPEG: only what the edit touched is encoded again, all else stays the source's own."""

from __future__ import annotations

from hashlib import sha256
from math import prod

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ..errors import PhotoError
from ..files import opened
from ..photo import Photo
from . import coefficients, dct, jpeg
from .formats import Encoded, EncodeOptions
from .jpeg_stream import Layout, Stream, UnkeepableError, stripped


def encode(photo: Photo, options: EncodeOptions) -> Encoded:
    """Encode a photo that was read from a JPEG, with its metadata, keeping what is untouched.

    In every MCU whose pixels differ from the source's, coefficients are changed by what the
    pixels changed, quantised with the source's tables; all other coefficients, the tables and the
    sampling are the source's. Where that cannot be done the whole photo is encoded, and a warning
    says so; a photo that is from no JPEG is encoded as `jpeg.encode` does.

    Holds 16 bytes a pixel beside the photo at 4:4:4, 10 at 4:2:0, 4 where nothing was touched.
    Raises PhotoError where the source is not the file any more that was decoded.
    """
    if photo.format != "jpeg" or not photo.digest:
        return jpeg.encode(photo, options)
    try:
        encoded = _kept(_source_of(photo), photo.pixels, options.keeping_bytes)
    except UnkeepableError as reason:
        whole = jpeg.encode(photo, options)
        note = f"All of it was encoded again, at quality {options.quality}: {reason}."
        return Encoded(whole.data, [*whole.left_out, note])
    return jpeg.dressed(encoded, photo, options.provenance, sampled_anew=False)


def _source_of(photo: Photo) -> bytes:
    """Read the source again. Raises PhotoError where it is gone or has changed."""
    with opened(photo.source) as file:
        data = file.read()
    if sha256(data).hexdigest() != photo.digest:
        raise PhotoError(photo.source, "it changed while it was being processed", "Run again.")
    return data


def keeping_bytes(layout: Layout) -> int:
    """Most memory that keeping what is untouched holds, two copies of the photo included.

    Per pixel and copy 3 bytes, and 3 for the source decoded anew; 4 a coefficient; 1 to spare.
    """
    height, width = layout.size
    coefficients_ = sum(64 * prod(layout.blocks(item)) for item in layout.components)
    return height * width * (2 * 3 + 3 + 1) + 4 * coefficients_


def _kept(data: bytes, pixels: NDArray[np.generic], most: int | None) -> bytes:
    """Return the source as a bare JPEG that shows the pixels, (H, W, 3) uint8."""
    stream = stripped(data)
    if pixels.dtype != np.uint8 or pixels.shape != (*stream.layout.size, 3):
        raise UnkeepableError("it was turned or has more than 8 bits")
    after = pixels.astype(np.uint8, copy=False)
    before = _decoded(stream)  # first: what decodes strictly is safe to hand to libjpeg
    rows = dct.rows_that_differ(before, after, stream.layout)
    if not rows:
        return stream.data
    needed = keeping_bytes(stream.layout)
    if most is not None and needed > most:
        raise UnkeepableError(
            f"keeping the rest takes {needed / 2**30:.1f} GiB of memory, "
            f"{max(most, 0) / 2**30:.1f} GiB are left of --max-memory"
        )
    held = coefficients.read(stream)
    dct.repaint(held, rows, before, after)
    del before  # libjpeg needs the room
    return coefficients.write(held, stream)


def _decoded(stream: Stream) -> NDArray[np.uint8]:
    """Decode as `codecs.decode` did. Raises UnkeepableError for any fault."""
    try:
        pixels = simplejpeg.decode_jpeg(
            stream.data, "RGB", fastdct=False, fastupsample=False, strict=True
        )
    except ValueError as error:
        raise UnkeepableError("it is damaged") from error
    return np.asarray(pixels, np.uint8)
