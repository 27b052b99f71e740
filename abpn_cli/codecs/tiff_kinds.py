"""Which TIFFs are photos, and their values as integers of 8 or 16 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PhotoError
from .formats import Values, to_full_range

MINISWHITE, _MINISBLACK, _RGB, PALETTE, SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
COLOURS = {MINISWHITE: 1, _MINISBLACK: 1, _RGB: 3, PALETTE: 1, SEPARATED: 4, _YCBCR: 3}
_JPEG_COMPRESSIONS = (6, 7)
_INTEGER, _FLOAT, _UNDEFINED = 1, 3, 4  # SampleFormat
_FORMATS = {2: "signed-integer", 5: "complex", 6: "complex"}
_DEPTHS = {_INTEGER: range(2, 17), _UNDEFINED: range(2, 17), _FLOAT: (16, 24, 32, 64)}
_KINDS = {"CIELAB": "a Lab", "ICCLAB": "a Lab", "CFA": "a raw", "LINEAR_RAW": "a raw"}
_INK_SET, _CMYK = 332, 1
_BIGGEST_TILE = 1 << 24  # pixels; a larger one than its photo is no tile but an attack
_BAND_ROWS = 256


def check_kind(page: Any, source: Path) -> None:
    """Refuse, by name, what is no photo whose values can become RGB. Raises PhotoError."""
    kind = _strange(page)
    if kind:
        remedy = "Convert it to 8- or 16-bit RGB first."
        if kind == "a raw":
            remedy = "Rename it to .dng if it is one, or convert it to RGB first."
        raise PhotoError(source, f"it is {kind} TIFF", remedy)
    if page.samplesperpixel - COLOURS[int(page.photometric)] not in (0, 1):
        fault = f"it has {page.samplesperpixel} channels"
        raise PhotoError(source, fault, "Save it with RGB and at most one alpha channel.")


def _strange(page: Any) -> str:
    """Name what makes a page no photo, "" where it is one."""
    photometric = int(page.photometric)
    if photometric not in COLOURS:
        name = getattr(page.photometric, "name", str(photometric))
        return _KINDS.get(name, f"a {name}")
    if photometric == _YCBCR and int(page.compression) not in _JPEG_COMPRESSIONS:
        return "an uncompressed YCbCr"
    if photometric == SEPARATED and page.tags.valueof(_INK_SET, _CMYK) != _CMYK:
        return "a many-ink"
    depths = _DEPTHS.get(page.sampleformat)
    if depths is None:
        return f"a {_FORMATS.get(page.sampleformat, 'strange')}"
    if page.bitspersample not in depths and photometric != PALETTE:
        return f"a {page.bitspersample}-bit"
    if page.imagedepth > 1:
        return "a three-dimensional"
    tile = page.tilelength * page.tilewidth if page.is_tiled else 0
    if tile > max(_BIGGEST_TILE, 4 * page.imagelength * page.imagewidth):
        return "an absurdly tiled"
    return ""


def integers(page: Any, stored: Values, source: Path) -> Values:
    """Return a page's values as uint8 or uint16 of full range, a palette's indices as they are.

    Raises PhotoError where they are numbers of another kind, or beyond [0, 1].
    """
    if int(page.photometric) == PALETTE:
        return stored.astype(np.uint8) if stored.dtype == bool else stored
    if stored.dtype.kind == "f":
        return _from_unit_range(stored, source)
    if stored.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise PhotoError(source, f"its pixels are {stored.dtype}", "Save it with 8 or 16 bits.")
    return to_full_range(stored, page.bitspersample)


def _from_unit_range(stored: Values, source: Path) -> Values:
    """Return floating-point values in [0, 1] as uint16; nothing is clipped unasked."""
    values = np.empty(stored.shape, np.uint16)
    for start in range(0, len(stored), _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        band = stored[rows].astype(np.float64)
        if not ((band >= 0) & (band <= 1)).all():  # NaN is neither
            fault = "it is a floating-point TIFF with values beyond 0 to 1"
            raise PhotoError(source, fault, "Convert it to 16-bit RGB first.")
        values[rows] = np.rint(band * 65535)
    return values
