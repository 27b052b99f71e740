"""What is left of a damaged TIFF: the strips and tiles that can still be decoded."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PhotoError
from ..photo import Photo
from .formats import RESTORE, Values
from .tiff_read import faults_of, photo_of


def salvage(data: bytes, source: Path) -> Photo:
    """Decode what is left of a TIFF; what is lost is black. Raises PhotoError."""
    return photo_of(data, source, _left)


def _left(page: Any, data: bytes, source: Path) -> Values:
    values: Values = np.zeros(page.shaped, page.dtype)
    spans = zip(page.dataoffsets, page.databytecounts, strict=False)
    found = 0
    for index, (start, size) in enumerate(list(spans)[: prod(page.chunked)]):
        piece = data[start : start + size]
        if page.compression == 1:
            piece = piece.ljust(size, b"\0")
        try:
            with faults_of(source, PhotoError, RESTORE):
                found += _place(page, piece, index, values)
        except PhotoError:
            continue  # this piece is lost
    if not found:
        raise PhotoError(source, "nothing is left of its pixels", RESTORE)
    left: Values = values.reshape(page.shape)
    return left


def _place(page: Any, piece: bytes, index: int, values: Values) -> int:
    """Decode a piece into its place; return how many values it has."""
    more = {}
    if page.jpegtables is not None or page.jpegheader is not None:
        more = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
    segment, (plane, depth, row, column, _), shape = page.decode(piece, index, **more)
    if segment is None:
        return 0
    place = values[
        plane, depth : depth + shape[0], row : row + shape[1], column : column + shape[2]
    ]
    place[...] = segment[: place.shape[0], : place.shape[1], : place.shape[2]]
    return int(place.size)
