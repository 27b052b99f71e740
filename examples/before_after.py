"""Make the README's picture: python examples/before_after.py DONE TARGET.

DONE is what `abpn retouch examples/shoot --out DONE --task cloth --save-mask` left.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

SHOOT = Path(__file__).parent / "shoot"
WIDTH = 1200  # px of the whole picture
GAP = 12  # px of white between panels
CROPS = ((1480, 2600), (2050, 3050))  # px: top-left corners in the photo, shown at 100 %


def panels(photo: Pixels, retouched: Pixels, mask: Pixels) -> Pixels:
    """Photo, mask and result in a row; below them crops at 100 %, before beside after."""
    width = (WIDTH - 2 * GAP) // 3
    red = photo.copy()
    red[..., :2] = red[..., :2] * (1 - 0.6 * mask[..., None] / 255)
    row = [small(image, width) for image in (photo, red, retouched)]
    side = (WIDTH - GAP) // 2
    rows = [beside(row)]
    for top, left in CROPS:
        window = (slice(top, top + side * 2 // 3), slice(left, left + side))
        rows.append(beside([photo[window], retouched[window]]))
    white = np.full((GAP, WIDTH, 3), 255, np.uint8)
    stacked = [part for row in rows for part in (row, white)][:-1]
    return np.concatenate(stacked)


def small(image: Pixels, width: int) -> Pixels:
    """Scale to a width."""
    height = round(image.shape[0] * width / image.shape[1])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def beside(images: list[Pixels]) -> Pixels:
    """Put images of one height next to each other, white between them, WIDTH wide."""
    white = np.full((images[0].shape[0], GAP, 3), 255, np.uint8)
    row = np.concatenate([part for image in images for part in (image, white)][:-1], axis=1)
    rest = np.full((row.shape[0], WIDTH - row.shape[1], 3), 255, np.uint8)
    return np.concatenate([row, rest], axis=1)


def main() -> None:
    """Read the shoot's large photo, its result and its mask; write the picture."""
    done, target = (Path(word) for word in sys.argv[1:3])
    photo, retouched = (
        np.asarray(cv2.imread(str(folder / "coral_tshirt.jpg")), np.uint8)
        for folder in (SHOOT, done)
    )
    mask = cv2.imread(str(done / "coral_tshirt_mask.png"), cv2.IMREAD_GRAYSCALE)
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), panels(photo, retouched, np.asarray(mask, np.uint8)))


if __name__ == "__main__":
    main()
