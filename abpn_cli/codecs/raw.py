"""Camera raw files to Photo, by LibRaw (rawpy): an extra, imported when it is needed.

Developed as the camera would have, without its taste: its own white balance, no automatic
brightness, 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple

import numpy as np

from ..errors import PhotoError
from ..metadata import checked, exif
from ..photo import Photo
from . import profiles
from .chatter import caught
from .formats import RESTORE, DamagedError, Header, Values, as_rgb
from .raw_metadata import of_raw

if TYPE_CHECKING:
    import rawpy

Space = Literal["srgb", "prophoto"]

_ORIENTATION_OF_FLIP = {0: 1, 3: 3, 5: 8, 6: 6}  # LibRaw's code for a turn to that of EXIF
_SRGB_COLOURS, _UNCALIBRATED = 1, 0xFFFF  # EXIF ColorSpace
_DAMAGE = ("corrupt", "end of file", "error")  # in what LibRaw says on stderr


class _Look(NamedTuple):
    """How a colour space is asked for and told: LibRaw's name and curve, profile, EXIF tag."""

    name: str
    gamma: tuple[float, float]
    profile: Callable[[], bytes]
    exif_colours: int


_LOOKS: dict[Space, _Look] = {
    "srgb": _Look("sRGB", (2.4, 12.92), profiles.srgb, _SRGB_COLOURS),
    "prophoto": _Look("ProPhoto", (1.8, 0.0), profiles.prophoto, _UNCALIBRATED),
}


def header(file: BinaryIO, source: Path) -> Header:
    """Read a raw file's header: the size of what is developed from it. Raises PhotoError."""
    with _opened(file, source) as (raw, _):
        sizes = raw.sizes
        turn = _ORIENTATION_OF_FLIP.get(sizes.flip, 1)
        return Header("raw", (sizes.height, sizes.width), 16, 3, turn)


def decode(data: bytes, source: Path, space: Space) -> Photo:
    """Develop a raw file; pixels stay as the sensor lies. Raises PhotoError and DamagedError."""
    photo, heard = _developed(data, source, space)
    if any(word in line for line in heard for word in _DAMAGE):
        raise DamagedError(source, f"the file is damaged ({'; '.join(heard)})")
    return photo


def salvage(data: bytes, source: Path, space: Space) -> Photo:
    """Develop what is left of a damaged raw file. Raises PhotoError."""
    return _developed(data, source, space)[0]


def _developed(data: bytes, source: Path, space: Space) -> tuple[Photo, list[str]]:
    """Develop; return the photo and what LibRaw said meanwhile."""
    look = _LOOKS[space]
    with _opened(BytesIO(data), source) as (raw, heard):
        import rawpy

        turn = _ORIENTATION_OF_FLIP.get(raw.sizes.flip, 1)
        pixels: Values = raw.postprocess(
            use_camera_wb=True,
            no_auto_bright=True,
            adjust_maximum_thr=0.0,  # white is the sensor's, in every photo of a shoot alike
            output_bps=16,
            user_flip=0,
            output_color=rawpy.ColorSpace[look.name],
            gamma=look.gamma,
        )
        preview = _preview(raw)
    if pixels.shape[2] == 1:  # a sensor without colour filters
        pixels = as_rgb(pixels[..., 0])
    if pixels.shape[2] != 3 or pixels.dtype != np.uint16:
        kind = f"it develops into {pixels.shape[-1]} channels"
        raise PhotoError(source, kind, "Convert it to TIFF first.")
    found, lost = of_raw(data, preview)
    metadata, broken = checked(replace(found, icc=look.profile()), None)
    block = exif.with_colour_space(metadata.exif, look.exif_colours)
    metadata = replace(metadata, exif=exif.with_size(block, pixels.shape[:2]), orientation=turn)
    warnings = (*lost, *broken)
    return Photo(pixels, metadata, format="raw", source=source, warnings=warnings), heard


def _preview(raw: rawpy.RawPy) -> bytes:
    """Return the JPEG that the camera put into the file, b"" where there is none."""
    import rawpy

    try:
        thumbnail = raw.extract_thumb()
    except rawpy.LibRawError:
        return b""
    return thumbnail.data if isinstance(thumbnail.data, bytes) else b""


@contextmanager
def _opened(file: BinaryIO, source: Path) -> Iterator[tuple[Any, list[str]]]:
    """Open a raw file; what LibRaw raises becomes a PhotoError, what it says is in the list."""
    try:
        import rawpy
    except ImportError as error:
        fault = "it is a camera raw file, and rawpy is not installed"
        raise PhotoError(source, fault, "Install it: pip install 'abpn[raw]'.") from error
    heard: list[str] = []
    try:
        with caught() as heard, rawpy.imread(file) as raw:
            yield raw, heard
    except (rawpy.LibRawFileUnsupportedError, rawpy.NotSupportedError) as error:
        fault = "LibRaw does not know this kind of raw file"
        raise PhotoError(source, fault, "Convert it to DNG or TIFF first.") from error
    except (rawpy.LibRawIOError, rawpy.LibRawDataError) as error:
        raise PhotoError(source, "the file is cut short or damaged", RESTORE) from error
    except rawpy.LibRawError as error:
        words = error.args[0].decode("utf-8", "replace") if error.args else "no reason given"
        raise PhotoError(source, f"LibRaw cannot read it ({words})", RESTORE) from error
