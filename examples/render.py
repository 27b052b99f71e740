"""Make the photos of `examples/shoot`: python examples/render.py [FOLDER] [--only NAME]."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from renderer.camera import Camera, develop
from renderer.exif import Shot, exif_block, xmp_packet
from renderer.frame import Float, Frame, Points, resized, spline
from renderer.garment import Garment, Print, Surface, put_on
from renderer.light import lit, planks, plaster
from renderer.profiles import DISPLAY_P3, SRGB, WIDE_2_2, ColourSpace
from renderer.shirt import shirt
from renderer.shorts import shorts
from renderer.tshirt import tshirt

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
Ground = Callable[[np.random.Generator, Frame], tuple[Float, Float]]
Dress = Callable[[np.random.Generator], Garment]


@dataclass(frozen=True)
class Picture:
    """One photo of the shoot.

    size: (height, width) upright; finer: how much finer than that it is rendered.
    """

    name: str
    seed: int
    size: tuple[int, int]
    px_per_mm: float
    ground: Ground
    dress: Dress
    space: ColourSpace
    shot: Shot
    camera: Camera = Camera()
    finer: int = 1


def coral_tshirt(rng: np.random.Generator) -> Garment:
    """The shoot's large photo."""
    return tshirt(rng, cloth=(0.50, 0.115, 0.10), thread=(0.58, 0.19, 0.17))


def navy_tshirt(rng: np.random.Generator) -> Garment:
    """A dark one with a print, which retouching must leave alone."""
    prints = (
        Print(_sun((0.0, -66.0), 92.0), (0.80, 0.40, 0.07)),
        Print((_wave(46.0, 0.0), _wave(70.0, 1.7)), (0.62, 0.60, 0.54)),
    )
    return tshirt(rng, (0.030, 0.042, 0.085), (0.05, 0.065, 0.11), (-7.0, 9.0), prints)


def blue_shirt(rng: np.random.Generator) -> Garment:
    """On its hanger."""
    return shirt(rng, cloth=(0.34, 0.46, 0.63), thread=(0.50, 0.58, 0.68))


def chino_shorts(rng: np.random.Generator) -> Garment:
    """Flat, on a studio's grey board."""
    return shorts(rng, cloth=(0.40, 0.30, 0.185), thread=(0.52, 0.42, 0.28))


def _sun(centre: tuple[float, float], radius: float) -> tuple[Points, ...]:
    """A disc in bands that grow thinner downwards."""
    edges = np.array([-1.0, -0.25, -0.17, 0.12, 0.22, 0.42, 0.54, 0.68, 0.81, 0.90]) * radius
    bands = []
    for top, bottom in edges.reshape(-1, 2):
        y = np.linspace(top, bottom, 40)
        x = np.sqrt(np.maximum(radius**2 - y**2, 0))
        right = np.stack([x, y], axis=1) + centre
        left = np.stack([-x, y], axis=1)[::-1] + centre
        bands.append(np.concatenate([right, left]))
    return tuple(bands)


def _wave(y: float, phase: float) -> Points:
    x = np.linspace(-118, 118, 13)
    top = spline([(float(a), float(y + 5 * np.sin(a / 17 + phase))) for a in x])
    return np.concatenate([top, (top + (0.0, 7.0))[::-1]])


def wall(rng: np.random.Generator, frame: Frame) -> tuple[Float, Float]:
    """Off-white."""
    return plaster(rng, frame, (0.60, 0.585, 0.56))


def board(rng: np.random.Generator, frame: Frame) -> tuple[Float, Float]:
    """Blue-grey."""
    return plaster(rng, frame, (0.19, 0.215, 0.24))


def sheet(rng: np.random.Generator, frame: Frame) -> tuple[Float, Float]:
    """Light grey."""
    return plaster(rng, frame, (0.42, 0.42, 0.415))


SHOOT = (
    Picture("coral_tshirt.jpg", 7, (4000, 6000), 4.9, planks, coral_tshirt, SRGB,
            Shot("Coral T-shirt, size M", "2024:05:14 10:21:33")),
    Picture("hanging/blue_shirt.tif", 3, (1120, 820), 1.09, wall, blue_shirt, WIDE_2_2,
            Shot("Blue shirt on a hanger", "2024:05:14 10:48:02"), Camera(noise=0.0035), finer=2),
    Picture("chino_shorts.png", 5, (960, 1280), 1.62, board, chino_shorts, SRGB,
            Shot("Chino shorts", "2024:05:14 11:02:45"), finer=2),
    Picture("portrait/navy_tshirt.jpg", 11, (2000, 1600), 1.92, sheet, navy_tshirt, DISPLAY_P3,
            Shot("Printed T-shirt", "2024:05:14 11:30:10", orientation=6), finer=2),
)  # fmt: skip


PRESSED = 0.12  # share of its wrinkles that a pressed garment keeps
PAIRS = tuple(
    Picture(f"{dress.__name__}_{seed}.png", seed, size, px_per_mm, ground, dress, SRGB,
            Shot(f"{dress.__name__} {seed}", "2024:05:14 12:00:00"), finer=2)
    for first, (dress, ground, size, px_per_mm) in enumerate((
        (coral_tshirt, planks, (1200, 1600), 1.9),
        (navy_tshirt, sheet, (1200, 1600), 1.9),
        (blue_shirt, wall, (1536, 1152), 1.5),
        (chino_shorts, board, (1200, 1600), 1.9),
    ))
    for seed in (100 + first, 104 + first, 108 + first)
)  # fmt: skip


def photograph(picture: Picture, top: int, wrinkled: float = 1.0) -> Pixels:
    """Pixels (H, W, 3), upright, in the picture's colour space; top: 255 or 65535.

    wrinkled: share of the wrinkles that are left, all else the same.
    """
    rng = np.random.default_rng(picture.seed)
    height, width = picture.size
    fine = (height * picture.finer, width * picture.finer)
    frame = Frame(fine, picture.px_per_mm * picture.finer)
    albedo, heights = picture.ground(rng, frame)
    surface = Surface(frame, albedo, heights)
    put_on(surface, picture.dress(rng), rng, wrinkled=wrinkled)
    scene = lit(surface.albedo, surface.heights, frame)
    if picture.finer > 1:
        scene = resized(scene, picture.size)
    return develop(scene, picture.camera, picture.space, top, rng)


def save(picture: Picture, folder: Path) -> Path:
    """Render a picture and write it with its profile and tags; returns the file."""
    target = folder / picture.name
    target.parent.mkdir(parents=True, exist_ok=True)
    top = 65535 if target.suffix == ".tif" else 255
    upright = photograph(picture, top)
    pixels = _turned(upright) if picture.shot.orientation == 6 else upright
    profile = picture.space.profile()
    exif = exif_block(picture.shot, (pixels.shape[0], pixels.shape[1]))
    if target.suffix == ".tif":
        _save_tiff(target, pixels, profile, picture.shot)
    elif target.suffix == ".png":
        Image.fromarray(pixels).save(target, icc_profile=profile, exif=exif, optimize=True)
    else:
        Image.fromarray(pixels).save(
            target, quality=91, subsampling=0, icc_profile=profile, exif=exif,
            xmp=xmp_packet(picture.shot),
        )  # fmt: skip
    return target


def save_pair(picture: Picture, folder: Path) -> None:
    """Render a garment as it lies and the same one pressed: FOLDER/before, FOLDER/after."""
    for part, wrinkled in (("before", 1.0), ("after", PRESSED)):
        target = folder / part / picture.name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(picture, 255, wrinkled)).save(target)
        print(target)


def _turned(pixels: NDArray[Any]) -> NDArray[Any]:
    """What a camera on its side stores: orientation 6 turns it clockwise to stand upright."""
    return np.ascontiguousarray(pixels.swapaxes(0, 1)[::-1])


def _save_tiff(target: Path, pixels: Pixels, profile: bytes, shot: Shot) -> None:
    ascii_tags = ((270, shot.title), (271, "abpn"), (272, "render"), (315, "The abpn authors"))
    tifffile.imwrite(
        target, pixels, photometric="rgb", compression="zlib", predictor=True, rowsperstrip=64,
        iccprofile=profile, software="abpn examples", datetime=shot.taken, metadata=None,
        resolution=(300, 300), resolutionunit="INCH",
        extratags=[
            *((code, 2, 0, text, True) for code, text in ascii_tags),
            (700, 1, None, xmp_packet(shot), True),
        ],
    )  # fmt: skip


def main() -> None:
    """Render the whole shoot, or the pictures whose names contain a word."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "shoot")
    parser.add_argument(
        "--pairs", action="store_true", help="wrinkled and pressed garments to FOLDER"
    )
    parser.add_argument("--only", default="", help="render the pictures whose name contains this")
    arguments = parser.parse_args()
    if arguments.pairs:
        for picture in PAIRS:
            save_pair(picture, arguments.folder)
        return
    for picture in SHOOT:
        if arguments.only in picture.name:
            target = save(picture, arguments.folder)
            print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
