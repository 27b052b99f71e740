"""Photos in wrong light, and the README's picture of `abpn grade`.

python examples/graded.py                     makes the photos of `wrong_light/` from `shoot/`
python examples/graded.py --picture DONE FILE puts them above what `abpn grade` left in DONE
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from abpn_cli.training.damage import SCALE, from_light, to_light

HERE = Path(__file__).parent
FOLDER = HERE / "wrong_light"
HEIGHT = 800  # px of the photos
SPOILT = {  # photo of the shoot: stops, and what linear red, green and blue are multiplied by
    "portrait/navy_tshirt.jpg": (-1.7, (1.25, 1.0, 0.7)),
    "coral_tshirt.jpg": (-0.8, (0.7, 1.0, 1.3)),
    "chino_shorts.png": (0.7, (1.0, 1.0, 1.0)),
}
GAP = 8  # px of white between them
QUALITY = 90  # of the JPEGs


def read(path: Path) -> NDArray[np.uint8]:
    """Read a photo, upright, in BGR, HEIGHT px high."""
    pixels = np.asarray(cv2.imread(str(path)), np.uint8)
    width = round(pixels.shape[1] * HEIGHT / pixels.shape[0])
    return np.asarray(cv2.resize(pixels, (width, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def spoil() -> None:
    """Make the photos: exposed wrongly, under lamps of other colours."""
    FOLDER.mkdir(exist_ok=True)
    for name, (stops, gains) in SPOILT.items():
        pixels = read(HERE / "shoot" / name)
        for channel, gain in zip((2, 1, 0), gains, strict=True):
            curve = from_light(to_light(SCALE) * 2**stops * gain)
            pixels[..., channel] = np.rint(255 * curve)[pixels[..., channel]]
        write(FOLDER / f"{Path(name).stem}.jpg", pixels)


def write(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a JPEG."""
    cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def picture(done: Path, target: Path) -> None:
    """Put photos and what became of them one above the other, half as large."""
    rows = []
    for folder in (FOLDER, done):
        photos = [read(folder / f"{Path(name).stem}.jpg") for name in SPOILT]
        white = np.full((HEIGHT, GAP, 3), 255, np.uint8)
        row = np.concatenate([part for photo in photos for part in (photo, white)][:-1], axis=1)
        rows += [row, np.full((GAP, row.shape[1], 3), 255, np.uint8)]
    sheet = np.concatenate(rows[:-1])
    half = (sheet.shape[1] // 2, sheet.shape[0] // 2)
    write(target, np.asarray(cv2.resize(sheet, half, interpolation=cv2.INTER_AREA), np.uint8))


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", nargs=2, type=Path, metavar=("DONE", "FILE"))
    given = parser.parse_args()
    if given.picture:
        picture(*given.picture)
    else:
        spoil()


if __name__ == "__main__":
    main()
