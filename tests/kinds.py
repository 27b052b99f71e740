"""Small files of every kind that a shoot may hold: good photos, and bad ones.

Each kind is its suffix and a function that writes one, of every seed another.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import imagecodecs
import jpegs
import numpy as np
import tifffile
from donors import block_with, resource, with_chunk, with_segments
from photos import canon_block, srgb_profile, write_dng, write_jpeg, write_png, write_tiff
from PIL import Image
from profiles import WIDE, cmyk_profile
from test_inputs import png_chunk, with_tags

from abpn_cli.metadata.jpeg_carrier import APP13, COM, Segment

try:
    import pillow_heif
except ImportError:  # no wheel for this machine
    pillow_heif = None

SIZE = (48, 72)
CMYK = cmyk_profile()

Write = Callable[[Path, int], object]


def soft(seed: int, dtype: type = np.uint8) -> np.ndarray:
    """(48, 72, 3): soft shapes with grain, of every seed others."""
    rng = np.random.default_rng(seed)
    shapes = cv2.resize(rng.random((4, 5, 3)), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 0.02, shapes.shape)
    return np.rint((shapes + grain).clip(0, 1) * np.iinfo(dtype).max).astype(dtype)


def jpeg(**how: object) -> Write:
    return lambda path, seed: write_jpeg(path, soft(seed), **how)


def like(kind: str) -> Write:
    """One of the JPEGs in `jpegs`; other sizes are other photos."""
    write = jpegs.SOURCES[kind][0]
    return lambda path, seed: write(path, 40 + seed % 31, 50 + seed // 31 % 37)


def edited_jpeg(edit: Callable[[bytes], bytes], **how: object) -> Write:
    def write(path: Path, seed: int) -> None:
        path.write_bytes(edit(write_jpeg(path, soft(seed), **how).read_bytes()))

    return write


def tagged_jpeg(path: Path, seed: int) -> None:
    write_jpeg(path, soft(seed), WIDE["p3 table"], canon_block())
    shop = b"Photoshop 3.0\0" + resource(1028, b"\x1c\x02\x78\x00\x03abc")
    with_segments(path, Segment(APP13, shop), Segment(COM, b"photo %d" % seed))


def rare(bits: int, **how: object) -> Write:
    def write(path: Path, seed: int) -> None:
        values = soft(seed, np.uint16) >> (16 - bits)
        wish = {"bitspersample": bits, "level": 98, "subsampling": "444"} | how
        path.write_bytes(imagecodecs.jpeg8_encode(values, **wish))

    return write


def sampled_410(path: Path, seed: int) -> None:
    values = soft(seed)[:48, :64]
    channels = [np.ascontiguousarray(values[..., 0])]
    channels += [np.ascontiguousarray(values[::2, ::4, n]) for n in (1, 2)]
    jpegs.join_scans(path, channels, b"\x42\x11\x11")


def cmyk(icc: bytes | None) -> Write:
    def write(path: Path, seed: int) -> None:
        Image.fromarray(soft(seed)).convert("CMYK").save(path, "JPEG", icc_profile=icc)

    return write


def png(dtype: type = np.uint8, channels: int = 3) -> Write:
    def write(path: Path, seed: int) -> None:
        values = soft(seed, dtype)
        stored = {1: values[..., 0], 3: values, 4: np.dstack([values, values[..., 1]])}[channels]
        write_png(path, stored, srgb_profile() if channels > 1 else b"")

    return write


def palette(path: Path, seed: int) -> None:
    Image.fromarray(soft(seed)).quantize(16).save(path, "PNG")


def worded_png(path: Path, seed: int) -> None:
    with_chunk(write_png(path, soft(seed)), b"tEXt", b"Author\0somebody")


def tiff(dtype: type = np.uint16, **how: object) -> Write:
    def write(path: Path, seed: int) -> None:
        values = soft(seed, dtype)
        if how.get("planarconfig"):
            values = np.ascontiguousarray(np.moveaxis(values, -1, 0))
        if how.get("photometric"):
            values = np.ascontiguousarray(values[..., 0])
        if how.get("extrasamples"):
            values = np.dstack([values, values[..., 0]])
        write_tiff(path, values, **how)

    return write


def turned_tiff(path: Path, seed: int) -> None:
    tag = (274, 3, 1, 1 + seed % 8, True)
    write_tiff(path, soft(seed, np.uint16), srgb_profile(), extratags=[tag])


def float_tiff(beyond: float = 0.0) -> Write:
    def write(path: Path, seed: int) -> None:
        write_tiff(path, (soft(seed, np.uint16) / 65535 + beyond).astype(np.float32))

    return write


def paged_tiff(path: Path, seed: int) -> None:
    with tifffile.TiffWriter(path) as writer:
        for values in (soft(seed)[::4, ::4], soft(seed), soft(seed)[::-1]):
            reduced = values.shape[0] < SIZE[0]
            writer.write(values, photometric="rgb", subfiletype=int(reduced), metadata=None)


def dng(path: Path, seed: int) -> None:
    write_dng(path, soft(seed, np.uint16), orientation=(1, 3, 6, 8)[seed % 4])


def heic(path: Path, seed: int) -> None:
    made = pillow_heif.from_bytes("RGB", SIZE[::-1], soft(seed).tobytes())
    made.save(path, quality=-1, chroma=444)


def _missing_end(data: bytes) -> bytes:
    return data[:-2]


def _junk_before_tables(data: bytes) -> bytes:
    at = data.index(b"\xff\xdb")
    return data[:at] + b"\0\1\2\3" + data[at:]


GOOD: dict[str, tuple[str, Write]] = {
    **{f"JPEG {kind}": (".jpg", like(kind)) for kind in jpegs.SOURCES},
    "JPEG": (".jpg", jpeg()),
    "JPEG in capitals": (".JPG", jpeg(subsampling=2)),
    "JPEG with tags": (".jpeg", tagged_jpeg),
    "JPEG turned": (".jpg", jpeg(exif=block_with((274, 3, b"\6\0")))),
    "JPEG without its end": (".jpg", edited_jpeg(_missing_end)),
    "JPEG with junk": (".jpg", edited_jpeg(_junk_before_tables)),
    "JPEG of 12 bits": (".jpg", rare(12)),
    "JPEG lossless": (".jpg", rare(16, lossless=True)),
    "JPEG 4:1:0": (".jpg", sampled_410),
    "JPEG CMYK": (".jpg", cmyk(CMYK)),
    "JPEG called TIFF": (".tif", jpeg()),
    "PNG": (".png", png()),
    "PNG of 16 bits": (".png", png(np.uint16)),
    "PNG grey": (".png", png(channels=1)),
    "PNG with alpha": (".png", png(channels=4)),
    "PNG palette": (".png", palette),
    "PNG with words": (".png", worded_png),
    "PNG called JPEG": (".jpg", png()),
    "TIFF of 8 bits": (".tif", tiff(np.uint8)),
    "TIFF big-endian": (".tif", tiff(byteorder=">")),
    "TIFF planar": (".tif", tiff(planarconfig="separate")),
    "TIFF tiled": (".tiff", tiff(tile=(16, 32))),
    "BigTIFF": (".tif", tiff(bigtiff=True)),
    "TIFF MINISWHITE": (".tif", tiff(photometric="miniswhite")),
    "TIFF with alpha": (".tif", tiff(extrasamples=["unassalpha"])),
    "TIFF turned": (".tif", turned_tiff),
    "TIFF float": (".tif", float_tiff()),
    "TIFF of pages": (".tif", paged_tiff),
    **{f"TIFF {way}": (".tif", tiff(compression=way)) for way in ("lzw", "zlib", "zstd", "lzma")},
    "raw": (".dng", dng),
    **({"HEIC": (".heic", heic)} if pillow_heif else {}),
}


def cut(write: Write, share: float = 0.6) -> Write:
    def short(path: Path, seed: int) -> None:
        write(path, seed)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return short


def zeroed(path: Path, seed: int) -> None:
    data = write_jpeg(path, soft(seed)).read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3] + bytes(len(data) // 3))


def flipped(write: Write, share: float = 0.7) -> Write:
    """One wrong bit, where a check sum covers it."""

    def rot(path: Path, seed: int) -> None:
        write(path, seed)
        data = bytearray(path.read_bytes())
        data[int(len(data) * share)] ^= 16
        path.write_bytes(data)

    return rot


def holding(data: bytes) -> Write:
    return lambda path, seed: path.write_bytes(data)


def bomb_png(path: Path, seed: int) -> None:
    head = struct.pack(">IIBBBBB", 40_000, 40_000 + seed, 8, 2, 0, 0, 0)
    body = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", zlib.compress(bytes(10_000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b""))


def bomb_jpeg(data: bytes) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 40_000, 40_000) + data[at + 4 :]


def bomb_tiff(path: Path, seed: int) -> None:
    data = write_tiff(path, soft(seed), compression="zlib").read_bytes()
    path.write_bytes(with_tags(data, {256: 40_000, 257: 40_000}))


def odd_tiff(dtype: type, channels: int, **how: object) -> Write:
    def write(path: Path, seed: int) -> None:
        write_tiff(path, np.full((*SIZE, channels), seed % 100, dtype), **how)

    return write


def tiny(path: Path, seed: int) -> None:
    write_png(path, soft(seed)[:9, :40])


def nowhere(path: Path, seed: int) -> None:
    path.symlink_to(f"nowhere-{seed}.jpg")


def itself(path: Path, seed: int) -> None:
    path.symlink_to(path.name)


def pipe(path: Path, seed: int) -> None:
    os.mkfifo(path)


BAD: dict[str, tuple[str, Write]] = {
    "JPEG cut": (".jpg", cut(jpeg())),
    "JPEG cut, with an end": (".jpg", edited_jpeg(lambda data: data[:-400] + b"\xff\xd9")),
    "JPEG with a tail of zeros": (".jpg", zeroed),
    "JPEG cut between scans": (".jpg", cut(jpeg(progressive=True))),
    "JPEG of 12 bits cut": (".jpg", cut(rare(12))),
    "JPEG CMYK without a profile": (".jpg", cmyk(None)),
    "JPEG bomb": (".jpg", edited_jpeg(bomb_jpeg)),
    "PNG cut": (".png", cut(png())),
    "PNG with a wrong bit": (".png", flipped(png())),
    "PNG bomb": (".png", bomb_png),
    "PNG too small": (".png", tiny),
    "TIFF cut": (".tif", cut(tiff(rowsperstrip=8))),
    "TIFF with a wrong bit": (".tif", flipped(tiff(compression="zlib"), 0.5)),
    "TIFF bomb": (".tif", bomb_tiff),
    "TIFF of signed integers": (".tif", odd_tiff(np.int16, 3)),
    "TIFF of 32 bits": (".tif", odd_tiff(np.uint32, 3)),
    "TIFF of 5 channels": (".tif", odd_tiff(np.uint8, 5, extrasamples=[2, 0])),
    "TIFF Lab": (".tif", odd_tiff(np.uint8, 3, photometric="cielab")),
    "TIFF float beyond 1": (".tif", float_tiff(beyond=0.5)),
    "raw cut": (".dng", cut(dng, 0.3)),
    "nothing": (".jpg", holding(b"")),
    "zeros": (".tif", holding(bytes(5000))),
    "text": (".png", holding(b"words and more words\n")),
    "a web page": (".jpg", holding(b"<!doctype html><html>404</html>")),
    "GIF called JPEG": (".jpg", holding(b"GIF89a" + bytes(100))),
    "a link to nothing": (".jpg", nowhere),
    "a link to itself": (".jpg", itself),
    "a pipe": (".jpg", pipe),
    **({"HEIC cut": (".heic", cut(heic))} if pillow_heif else {}),
}
