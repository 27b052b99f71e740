"""CMYK to RGB: through the profile the file carries, or not at all."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np

from ..errors import PhotoError
from . import profiles
from .formats import Values

NOTE = "It was CMYK: its own profile made it sRGB."
_REMEDY = "Convert it to RGB first."
_RELATIVE_COLORIMETRIC = 1
_BLACK_POINT_COMPENSATION = 0x2000
_BAND_ROWS = 256


def to_rgb(inks: Values, profile: bytes, source: Path) -> Values:
    """Turn inks into sRGB: relative colorimetric, black point compensated (ICC.1:2022, 6.3).

    inks: (H, W, 4) uint8 or uint16, 0 no ink; profile: the ICC profile they are meant for.
    Returns (H, W, 3) of the same type. Raises PhotoError where the profile is missing or unfit:
    without one, colours could only be guessed.
    """
    if not profile:
        raise PhotoError(source, "it is a CMYK photo without a profile", _REMEDY)
    if profile[16:20] != b"CMYK":
        raise PhotoError(source, "it is a CMYK photo whose profile is not for CMYK", _REMEDY)
    rgb: Values = np.empty((*inks.shape[:2], 3), inks.dtype)
    try:
        for start in range(0, len(inks), _BAND_ROWS):  # the transform wants its rows in one piece
            rows = slice(start, start + _BAND_ROWS)
            rgb[rows] = imagecodecs.cms_transform(
                np.ascontiguousarray(inks[rows]),
                profile,
                profiles.srgb(),
                colorspace="cmyk",
                outcolorspace="rgb",
                intent=_RELATIVE_COLORIMETRIC,
                flags=_BLACK_POINT_COMPENSATION,
            )
    except (RuntimeError, ValueError) as error:
        fault = "it is a CMYK photo whose profile is damaged"
        raise PhotoError(source, fault, _REMEDY) from error
    return rgb
