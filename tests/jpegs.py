"""JPEGs of every kind, and a retouch of them, made for the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import jpeglib
import numpy as np
import simplejpeg
from photos import pattern, write_jpeg

from abpn_cli.codecs import decode
from abpn_cli.metadata import jpeg_carrier
from abpn_cli.photo import Photo


def textured(height: int, width: int) -> np.ndarray:
    grain = np.random.default_rng(height * 1009 + width).normal(0, 6, (height, width, 3))
    return np.clip(pattern(height, width) + grain, 0, 255).round().astype(np.uint8)


def by_simplejpeg(sampling: str) -> Callable[[Path, int, int], None]:
    def write(path: Path, height: int, width: int) -> None:
        pixels = textured(height, width)
        path.write_bytes(simplejpeg.encode_jpeg(pixels, 88, "RGB", sampling))

    return write


def by_pillow(**how: object) -> Callable[[Path, int, int], None]:
    def write(path: Path, height: int, width: int) -> None:
        write_jpeg(path, textured(height, width), quality=88, **how)

    return write


def grey(path: Path, height: int, width: int) -> None:
    write_jpeg(path, textured(height, width)[..., 0], quality=88)


def by_jpeglib(steps: int, *flags: str) -> Callable[[Path, int, int], None]:
    """Large steps need a table of 16 bits; ARITH_CODE codes without Huffman."""

    def write(path: Path, height: int, width: int) -> None:
        table = np.full((2, 8, 8), steps, np.uint16)
        table[:, :3, :3] = 7
        with jpeglib.version("turbo210"):
            image = jpeglib.from_spatial(textured(height, width))
            image.samp_factor = [[2, 2], [1, 1], [1, 1]]
            image.write_spatial(str(path), qt=table, flags=list(flags))

    return write


def a_scan_each(path: Path, height: int, width: int) -> None:
    """Put a sequential JPEG together from three grey ones, a scan for each channel."""
    wide, half = textured(height, width), (-(-height // 2), -(-width // 2))
    channels = [wide[..., 0], textured(*half)[..., 1], textured(*half)[..., 2]]
    join_scans(path, channels, b"\x22\x11\x11")


def join_scans(path: Path, channels: list[np.ndarray], factors: bytes) -> None:
    scans = []
    for number, channel in enumerate(channels, 1):
        data = write_jpeg(path, channel).read_bytes()
        segments, scan = jpeg_carrier.split(data)
        scans.append(b"\xff\xda\0\x08\1" + bytes([number]) + b"\0\0\x3f\0" + data[scan + 10 : -2])
        if number == 1:
            tables = [item for item in segments if item.marker in (0xDB, 0xC4)]
    height, width = channels[0].shape
    frame = b"\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\3"
    frame += b"".join(bytes([number, factor, 0]) for number, factor in enumerate(factors, 1))
    head = jpeg_carrier.join([*tables, jpeg_carrier.Segment(0xC0, frame)])
    path.write_bytes(head + b"".join(scans) + b"\xff\xd9")


SOURCES: dict[str, tuple[Callable[[Path, int, int], None], tuple[int, int]]] = {
    "4:4:4": (by_simplejpeg("444"), (8, 8)),  # and the (height, width) of an MCU
    "4:2:2": (by_simplejpeg("422"), (8, 16)),
    "4:2:0": (by_simplejpeg("420"), (16, 16)),
    "4:4:0": (by_simplejpeg("440"), (16, 8)),
    "4:1:1": (by_simplejpeg("411"), (8, 32)),
    "grey": (grey, (8, 8)),
    "progressive": (by_pillow(progressive=True, subsampling=2), (16, 16)),
    "restart intervals": (by_pillow(restart_marker_blocks=3, subsampling=2), (16, 16)),
    "own Huffman tables": (by_pillow(optimize=True), (8, 8)),
    "a scan each": (a_scan_each, (16, 16)),
    "16-bit steps": (by_jpeglib(300), (16, 16)),
    "arithmetic coding": (by_jpeglib(20, "ARITH_CODE"), (16, 16)),
}


def source(path: Path, kind: str, size: tuple[int, int] = (75, 109)) -> Photo:
    SOURCES[kind][0](path, *size)
    return decode(path)


def retouched(photo: Photo) -> Photo:
    """A smoothed patch with a hard edge, off the grid, and one lone pixel in the last corner."""
    pixels = photo.pixels.copy()
    height, width = pixels.shape[:2]
    patch = np.s_[height // 3 : height // 2 + 2, width // 4 + 1 : width // 2]
    pixels[patch] = np.clip(cv2.GaussianBlur(pixels[patch], (0, 0), 2) * 0.9 + 9, 0, 255)
    pixels[-1, -1] = 255 - pixels[-1, -1]
    return replace(photo, pixels=pixels)
