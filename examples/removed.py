"""Make the README's picture of `abpn remove`: python examples/removed.py DONE TARGET.

DONE is what the command in the README left; the picture shows a part at 100 %, before and after.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

SHIRT = "navy_tshirt.jpg"
PART = (slice(400, 1100), slice(503, 1097))  # px: rows and columns of the photo
GAP = 12  # px of white between them
QUALITY = 88  # of the JPEG


def main() -> None:
    """Read the photo and what became of it; write the picture."""
    done, target = (Path(word) for word in sys.argv[1:3])
    before, after = (
        np.asarray(cv2.imread(str(folder / SHIRT)), np.uint8)
        for folder in (Path(__file__).parent / "shoot" / "portrait", done)
    )
    white = np.full((before[PART].shape[0], GAP, 3), 255, np.uint8)
    picture = np.concatenate([before[PART], white, after[PART]], axis=1)
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    main()
