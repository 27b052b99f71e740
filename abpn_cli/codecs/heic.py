"""HEIC and HEIF to Photo, by libheif (pi-heif): an extra, imported when it is needed.

libheif turns and crops the pixels as the file asks; its EXIF orientation is for other readers
(ISO/IEC 23008-12, annex A.2.1), so the photo is upright and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..errors import PhotoError
from ..metadata import checked, upright
from ..photo import Metadata, Photo
from . import profiles
from .formats import RESTORE, Header, Values, as_rgb, to_full_range

if TYPE_CHECKING:
    from types import ModuleType

_EXIF = b"Exif\0\0"
# Colour description codes of ITU-T H.273
_UNSPECIFIED = 2
_NAMES = {1: "sRGB", 9: "BT.2020", 12: "Display P3"}
_HDR = {16: "PQ", 18: "HLG"}
_CURVES = {
    4: partial(profiles.gamma, 2.2),
    5: partial(profiles.gamma, 2.8),
    8: partial(profiles.gamma, 1.0),
}


def header(file: BinaryIO, source: Path) -> Header:
    """Read a HEIC's header. Raises PhotoError."""
    with _faults_of(source) as heif:
        image, _ = _main_image(heif, file.read())
        width, height = image.size
        channels = (1 if _is_grey(image) else 3) + bool(image.has_alpha)
        return Header("heic", (height, width), int(image.info["bit_depth"]), channels, 1)


def decode(data: bytes, source: Path) -> Photo:
    """Decode a HEIC of 8 bits, or of 10 or 12, which become 16. Raises PhotoError."""
    with _faults_of(source) as heif:
        image, count = _main_image(heif, data)
        nclx = image.info.get("nclx_profile")
        if nclx and nclx["transfer_characteristics"] in _HDR:
            fault = f"it is an HDR photo ({_HDR[nclx['transfer_characteristics']]})"
            raise PhotoError(source, fault, "Convert it to one of standard range first.")
        values = to_full_range(np.asarray(image), int(image.info["bit_depth"]))
    pixels, alpha = _channels(values, source)
    metadata, lost = checked(_metadata(image.info, nclx), None)
    return Photo(
        pixels,
        upright(metadata, pixels.shape[:2]),
        alpha,
        "associated" if image.premultiplied_alpha else "straight",
        format="heic",
        source=source,
        warnings=(*_left_out(image.info, count), *lost),
    )


def _main_image(heif: ModuleType, data: bytes) -> tuple[Any, int]:
    """Open the image a file shows first, not decoded yet; and tell how many there are."""
    heif.options.DECODE_THREADS = 1  # as many processes decode as threads are wanted
    opened = heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    return opened[opened.primary_index], len(opened)


def _is_grey(image: Any) -> bool:
    return str(image.mode)[0] in "LI"


def _channels(values: Values, source: Path) -> tuple[Values, Values | None]:
    """Divide (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) into RGB and alpha."""
    if values.ndim == 2:
        return as_rgb(values), None
    channels = values.shape[2]
    if channels not in (2, 3, 4):
        raise PhotoError(source, f"it has {channels} channels", "Convert it to RGB first.")
    alpha = np.ascontiguousarray(values[..., -1]) if channels in (2, 4) else None
    colours = values[..., 0] if channels == 2 else values[..., :3]
    return np.ascontiguousarray(as_rgb(colours)), alpha


def _metadata(info: Mapping[str, Any], nclx: Mapping[str, Any] | None) -> Metadata:
    block = info.get("exif") or b""
    return Metadata(
        exif=block.removeprefix(_EXIF),
        xmp=info.get("xmp") or b"",
        icc=info.get("icc_profile") or (_profile_of(nclx) if nclx else b""),
    )


def _profile_of(nclx: Mapping[str, Any]) -> bytes:
    """Put the colours that a file describes by numbers into a profile; b"" where it does not."""
    code = nclx["color_primaries"]
    corners = [
        (nclx[f"color_primary_{name}_x"], nclx[f"color_primary_{name}_y"])
        for name in ("red", "green", "blue", "white")
    ]
    if code == _UNSPECIFIED or not all(y > 0 for _, y in corners):
        return b""
    curve = _CURVES.get(nclx["transfer_characteristics"])
    if curve is None:
        if code == 1:
            return profiles.srgb()
        curve = partial(profiles.table, profiles.srgb_curve)
    return profiles.build(_NAMES.get(code, "RGB"), profiles.Primaries(*corners), curve())


def _left_out(info: Mapping[str, Any], count: int) -> list[str]:
    """Tell what of a file stays behind."""
    notes = [f"It holds {count} photos: only the main one was taken."] if count > 1 else []
    if info.get("depth_images") or info.get("aux"):
        notes.append("Its depth or gain map, made for the old pixels, was left out.")
    return notes


@contextmanager
def _faults_of(source: Path) -> Iterator[ModuleType]:
    """Give the library; turn what it raises into a PhotoError."""
    try:
        import pi_heif  # type: ignore[import-untyped]
    except ImportError as error:
        fault = "it is a HEIC photo, and pi-heif is not installed"
        raise PhotoError(source, fault, "Install it: pip install 'abpn[heic]'.") from error
    try:
        yield pi_heif
    except (ValueError, EOFError, SyntaxError, RuntimeError, OSError, LookupError) as error:
        words = " ".join(str(error).split())[:160].rstrip(".")
        cut = "nd of file" in words
        fault = "the file is cut short" if cut else f"the file is damaged ({words})"
        raise PhotoError(source, fault, RESTORE) from error
