"""`abpn info`: what a photo is, and what abpn would do with it."""

from __future__ import annotations

import logging
import struct
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import PhotoError, shown
from . import options
from .output import tell_error, write_json, write_stdout

if TYPE_CHECKING:
    from ..photo import Photo

CAMERA_TAGS = ("Image Make", "Image Model", "EXIF LensModel")
EXPOSURE_TAGS = (  # tag, and how its value reads
    ("EXIF ExposureTime", "{} s"),
    ("EXIF FNumber", "f/{}"),
    ("EXIF ISOSpeedRatings", "ISO {}"),
    ("EXIF FocalLength", "{} mm"),
    ("EXIF DateTimeOriginal", "{}"),
)
# What exifread raises on damaged blocks, found by feeding it thousands of them.
EXIF_FAULTS = (LookupError, TypeError, ValueError, struct.error)
TURNS = {
    1: "upright as stored",
    2: "mirrored",
    3: "upright after a half turn",
    4: "upside down and mirrored",
    5: "upright after a quarter turn clockwise, mirrored",
    6: "upright after a quarter turn clockwise",
    7: "upright after a quarter turn counter-clockwise, mirrored",
    8: "upright after a quarter turn counter-clockwise",
}


@dataclass(frozen=True)
class Facts:
    """What `abpn info` tells of one photo; sizes in pixels."""

    source: str
    format: str
    width: int
    height: int
    megapixels: float
    bits: int
    alpha: bool
    orientation: int
    camera: str
    exposure: str
    profile: str
    output_format: str
    levels: int
    thumbnail_width: int
    thumbnail_height: int
    warnings: tuple[str, ...]


def info(
    photos: options.Photos,
    detail: options.Detail = False,
    json: options.JsonFile = None,
) -> None:
    """Tell what photos are, and what abpn would do with them.

    Example: abpn info shoot/portrait.jpg
    """
    from .. import codecs
    from ..batch.sources import find_sources

    told: list[Facts] = []
    failed = False
    sources = find_sources(photos, codecs.sniff, codecs.PHOTO_SUFFIXES)
    with codecs.DecodePool(1) as pool:  # a decoder that crashes, or mutters, costs its photo
        for source in sources:
            try:
                facts = _look(pool.decode(source.path), source.path, detail)
            except PhotoError as error:
                tell_error(error)
                failed = True
                continue
            if json is None:
                write_stdout("\n".join(_lines(facts)) + "\n")
            else:
                told.append(facts)
    if json is not None:
        write_json(json, [asdict(facts) for facts in told])
    if failed:
        raise typer.Exit(PhotoError.exit_code)


def _look(photo: Photo, path: Path, detail: bool) -> Facts:
    from ..batch.plan import same_format
    from ..batch.sources import Source
    from ..engine.outlook import outlook

    height, width = photo.pixels.shape[:2]
    bits = photo.pixels.dtype.itemsize * 8
    camera, exposure = _camera(photo.metadata.exif)
    levels, thumbnail, refused = outlook((height, width), detail)
    return Facts(
        source=shown(path),
        format=photo.format,
        width=width,
        height=height,
        megapixels=round(height * width / 1e6, 2),
        bits=bits,
        alpha=photo.alpha is not None,
        orientation=photo.metadata.orientation,
        camera=camera,
        exposure=exposure,
        profile=_profile_name(photo.metadata.icc),
        output_format=same_format(Source(path, path, photo.format), lambda _: bits),
        levels=levels,
        thumbnail_width=thumbnail[1],
        thumbnail_height=thumbnail[0],
        warnings=photo.warnings + ((refused,) if refused else ()),
    )


def _camera(exif: bytes) -> tuple[str, str]:
    """Read camera and exposure from an EXIF block, "" where it does not say."""
    import exifread

    if not exif:
        return "", ""
    logging.getLogger("exifread").setLevel(logging.CRITICAL)  # its doubts are not ours to print
    try:
        tags = exifread.process_file(BytesIO(exif), details=False, extract_thumbnail=False)
    except EXIF_FAULTS:
        return "not readable: damaged EXIF", ""
    camera = [str(tags[tag]).strip() for tag in CAMERA_TAGS if tag in tags]
    exposure = [text.format(_number(tags[tag])) for tag, text in EXPOSURE_TAGS if tag in tags]
    return " ".join(filter(None, camera)), ", ".join(exposure)


def _number(value: object) -> str:
    """Write an EXIF value as photographers do: 28/10 is 2.8, 1/200 stays."""
    top, slash, bottom = str(value).partition("/")
    if slash and top.isdigit() and bottom.isdigit() and int(top) >= int(bottom) > 0:
        return f"{int(top) / int(bottom):g}"
    return str(value)


def _profile_name(icc: bytes) -> str:
    """Return how an ICC profile calls itself."""
    from PIL import ImageCms

    if not icc:
        return "none, taken as sRGB"
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(icc))).strip()
    except (ImageCms.PyCMSError, OSError):
        return "damaged"


def _lines(facts: Facts) -> list[str]:
    """Write the facts for people."""
    from ..report.lines import one_line, plural

    kept = ", alpha" if facts.alpha else ""
    rows = [
        ("format", f"{facts.format.upper()}, {facts.bits} bits{kept}"),
        ("size", f"{facts.width} x {facts.height} px, {facts.megapixels:.1f} MP"),
        ("orientation", f"{facts.orientation} ({TURNS[facts.orientation]})"),
        ("camera", facts.camera or "not said"),
        ("exposure", facts.exposure or "not said"),
        ("profile", facts.profile),
        ("output", f"{facts.output_format.upper()} (--format same)"),
        (
            "network",
            f"{plural(facts.levels, 'level')}, thumbnail "
            f"{facts.thumbnail_width} x {facts.thumbnail_height} px",
        ),
        *(("warning", warning) for warning in facts.warnings),
    ]
    return [one_line(facts.source), *(f"  {label:<12} {one_line(text)}" for label, text in rows)]
