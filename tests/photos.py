"""Photos with metadata, made for the tests, and what an independent reader says about them."""

from __future__ import annotations

import functools
import io
import json
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

SHARED = Path(__file__).parents[2] / "shared"

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None,
    reason="EXIFTOOL IS MISSING: metadata goes unchecked (apt install libimage-exiftool-perl)",
)

# Tags that are the writer's, and groups that are about the file and its encoding.
WRITERS = frozenset(
    """SubfileType OldSubfileType ImageWidth ImageHeight BitsPerSample Compression
    PhotometricInterpretation FillOrder StripOffsets SamplesPerPixel RowsPerStrip
    StripByteCounts PlanarConfiguration Predictor SampleFormat ExtraSamples ThumbnailOffset
    ThumbnailLength ThumbnailImage YCbCrSubSampling YCbCrPositioning YCbCrCoefficients
    ReferenceBlackWhite TransferFunction Software Orientation""".split()  # noqa: SIM905
)
ENCODING = frozenset(
    {"SourceFile", "ExifTool", "System", "File", "Composite", "JFIF", "IFD1", "PNG"}
)


def pattern(height: int, width: int, dtype: type = np.uint8) -> np.ndarray:
    """(height, width, 3) RGB: smooth colours with some texture, the same at every call."""
    y, x = np.mgrid[0:height, 0:width]
    full = np.iinfo(dtype).max
    channels = [
        0.5 + 0.4 * np.sin(x / 17.0 + y / 29.0),
        0.5 + 0.4 * np.cos(y / 13.0),
        (x + y) / (height + width) + 0.05 * np.sin(x * 1.7),
    ]
    return (np.clip(np.stack(channels, axis=-1), 0, 1) * full).round().astype(dtype)


@functools.cache  # it holds the time it was made at
def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile_for(space: bytes) -> bytes:
    """A profile that is no more than a header for that colour space and an empty tag table."""
    head = bytearray(132)
    struct.pack_into(">I", head, 0, len(head))
    head[16:20], head[36:40] = space.ljust(4), b"acsp"
    return bytes(head)


def write_jpeg(
    path: Path, pixels: np.ndarray, icc: bytes = b"", exif: bytes = b"", **how: object
) -> Path:
    extra: dict[str, object] = {"icc_profile": icc} if icc else {}
    if exif:
        extra["exif"] = b"Exif\0\0" + exif
    settings = {"quality": 95, "subsampling": 0} | extra | how
    Image.fromarray(pixels).save(path, "JPEG", **settings)  # type: ignore[arg-type]
    return path


def write_png(path: Path, pixels: np.ndarray, icc: bytes = b"") -> Path:
    """Write (H, W), RGB or RGBA, 8 or 16 bits."""
    order = {2: ..., 3: np.s_[..., ::-1]}[pixels.ndim] if pixels.shape[-1] != 4 else [2, 1, 0, 3]
    stored = pixels[..., order] if isinstance(order, list) else pixels[order]
    data = cv2.imencode(".png", np.ascontiguousarray(stored))[1].tobytes()
    if icc:
        body = b"iCCP" + b"x\0\0" + zlib.compress(icc)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        data = data[:33] + chunk + data[33:]
    path.write_bytes(data)
    return path


def write_tiff(path: Path, pixels: np.ndarray, icc: bytes = b"", **how: object) -> Path:
    settings: dict[str, object] = {"photometric": "rgb", "metadata": None, "software": False}
    settings |= {"iccprofile": icc or None} | how
    tifffile.imwrite(path, pixels, **settings)  # type: ignore[arg-type]
    return path


def canon_block(order: str = "<") -> bytes:
    """EXIF as a Canon writes it: a MakerNote whose offsets count from the start of the block."""

    def directory(at: int, entries: list[tuple[int, int, int, bytes]], following: int = 0) -> bytes:
        values = at + 2 + 12 * len(entries) + 4
        head, tail = struct.pack(order + "H", len(entries)), b""
        for tag, kind, count, data in entries:
            head += struct.pack(order + "HHI", tag, kind, count)
            if len(data) <= 4:
                head += data.ljust(4, b"\0")
            else:
                head += struct.pack(order + "I", values + len(tail))
                tail += data + b"\0" * (len(data) % 2)
        return head + struct.pack(order + "I", following) + tail

    def text(tag: int, words: str) -> tuple[int, int, int, bytes]:
        data = words.encode() + b"\0"
        return tag, 2, len(data), data

    def number(tag: int, value: int, kind: int = 4) -> tuple[int, int, int, bytes]:
        return tag, kind, 1, struct.pack(order + ("I" if kind == 4 else "H"), value)

    main_at, exif_at, note_at = 8, 200, 400
    note = directory(
        note_at,
        [
            text(0x0006, "Canon EOS 5D Mark III"),
            text(0x0007, "Firmware Version 1.2.3"),
            text(0x0009, "Owner of the camera"),
        ],
    )
    interop_at = note_at + len(note) + len(note) % 2
    interop = directory(interop_at, [text(1, "R98"), (2, 7, 4, b"0100")])
    thumb_at = interop_at + len(interop) + len(interop) % 2
    thumbnail = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(thumbnail, "JPEG")
    small = thumbnail.getvalue()
    rational = struct.pack(order + "II", 240, 1)
    second = directory(
        thumb_at,
        [number(259, 6, 3), (282, 5, 1, rational), (283, 5, 1, rational), number(296, 2, 3)]
        + [number(513, thumb_at + 200), number(514, len(small))],
    )
    main = directory(
        main_at,
        [text(271, "Canon"), text(272, "Canon EOS 5D Mark III"), number(274, 1, 3)]
        + [(282, 5, 1, rational), (283, 5, 1, rational), number(296, 2, 3)]
        + [text(305, "Adobe Photoshop Lightroom Classic"), number(34665, exif_at)],
        following=thumb_at,
    )
    exif = directory(
        exif_at,
        [(33434, 5, 1, struct.pack(order + "II", 1, 125)), number(34855, 400, 3)]
        + [(36864, 7, 4, b"0230"), (37500, 7, len(note), struct.pack(order + "I", note_at))]
        + [number(40962, 64), number(40963, 48), number(40965, interop_at)],
    )
    block = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", main_at))
    for at, part in ((main_at, main), (exif_at, exif), (note_at, note), (interop_at, interop)):
        block += b"\0" * (at - len(block)) + part
    block += b"\0" * (thumb_at - len(block)) + second
    return bytes(block + b"\0" * (thumb_at + 200 - len(block)) + small)


DONATED = [
    "-EXIF:Make=Testcam",
    "-EXIF:Model=Model Ä 1",
    "-EXIF:Artist=A. Photographer",
    "-EXIF:Copyright=(c) Studio",
    "-EXIF:ImageDescription=A coat on a stand",
    "-EXIF:ModifyDate=2024:05:06 07:08:09",
    "-EXIF:DateTimeOriginal=2024:05:06 07:08:09",
    "-EXIF:SubSecTimeOriginal=37",
    "-EXIF:ExposureTime=1/160",
    "-EXIF:FNumber=7.1",
    "-EXIF:ISO=100",
    "-EXIF:FocalLength=85",
    "-EXIF:LensModel=85mm f/1.8",
    "-EXIF:ColorSpace=1",
    "-EXIF:UserComment=lit from the left",
    "-EXIF:XResolution=300",
    "-EXIF:YResolution=300",
    "-EXIF:ResolutionUnit=inches",
    "-EXIF:Software=Capture 1.0",
    "-EXIF:SerialNumber=12345",
    "-GPS:GPSLatitude=52.5200081",
    "-GPS:GPSLatitudeRef=N",
    "-GPS:GPSLongitude=13.4049540",
    "-GPS:GPSLongitudeRef=E",
    "-GPS:GPSAltitude=34.5",
    "-GPS:GPSAltitudeRef=0",
    "-GPS:GPSDateStamp=2024:05:06",
    "-GPS:GPSTimeStamp=07:08:09",
    "-IPTC:Caption-Abstract=A coat on a stand",
    "-IPTC:By-line=A. Photographer",
    "-IPTC:Keywords=coat",
    "-IPTC:Keywords=wool",
    "-IPTC:City=Berlin",
    "-IPTC:CopyrightNotice=(c) Studio",
    "-XMP-dc:Title=Coat",
    "-XMP-dc:Subject=coat",
    "-XMP-xmp:Rating=4",
    "-XMP-photoshop:City=Berlin",
    "-XMP-xmpRights:Marked=True",
]


def donate(path: Path, *more: str) -> Path:
    """Have exiftool write EXIF, GPS, IPTC and XMP into a photo."""
    command = ["exiftool", "-q", "-overwrite_original", "-m", "-n", *DONATED, *more, str(path)]
    subprocess.run([word.replace("=inches", "=2") for word in command], check=True)
    return path


def tags_of(path: Path) -> dict[str, object]:
    """What exiftool reads: "Group:Tag" to value, the encoding's own groups left out."""
    command = ["exiftool", "-G1", "-n", "-j", "-b", "-struct", str(path)]
    done = subprocess.run(command, check=True, capture_output=True)
    tags = json.loads(done.stdout)[0]
    return {
        name: value
        for name, value in tags.items()
        if name.partition(":")[0] not in ENCODING and name.partition(":")[2] not in WRITERS
    }


def icc_of(path: Path) -> bytes:
    return subprocess.run(
        ["exiftool", "-icc_profile", "-b", str(path)], check=True, capture_output=True
    ).stdout


def write_dng(path: Path, rgb: np.ndarray, orientation: int = 1, **how: object) -> Path:
    """Write a raw file: (H, W, 3) uint16 linear RGB seen through a Bayer filter, sRGB primaries."""
    cfa = rgb[..., 1].copy()
    cfa[0::2, 0::2] = rgb[0::2, 0::2, 0]
    cfa[1::2, 1::2] = rgb[1::2, 1::2, 2]
    srgb_of_xyz = (3.2405, -1.5371, -0.4985, -0.9693, 1.8760, 0.0416, 0.0556, -0.2040, 1.0572)
    matrix = tuple(part for value in srgb_of_xyz for part in (round(value * 10000), 10000))
    tags = [
        (271, 2, 0, "Testcam", True),
        (272, 2, 0, "Testcam One", True),
        (274, 3, 1, orientation, True),
        (306, 2, 0, "2024:05:06 07:08:09", True),
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, bytes([0, 1, 1, 2]), True),
        (50706, 1, 4, bytes([1, 4, 0, 0]), True),
        (50707, 1, 4, bytes([1, 1, 0, 0]), True),
        (50708, 2, 0, "Testcam One", True),
        (50714, 3, 1, 0, True),  # black and white level
        (50717, 3, 1, 65535, True),
        (50721, 10, 9, matrix, True),
        (50728, 5, 3, (1, 1) * 3, True),  # as shot neutral: white light
        (50778, 3, 1, 21, True),  # D65
    ]
    settings: dict[str, object] = {"photometric": "cfa", "metadata": None, "software": False}
    settings |= {"extratags": tags, "rowsperstrip": 16} | how
    tifffile.imwrite(path, cfa, **settings)  # type: ignore[arg-type]
    return path
