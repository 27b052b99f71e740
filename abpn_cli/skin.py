"""What skin does to light: shared by those who paint blemishes and those who look for them.

Two pigments absorb light in skin (Beer-Lambert): a spot is log light lost, melanin · MELANIN +
blood · BLOOD, whatever the tone of the skin around it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]  # (H, W)

MELANIN = np.array([0.45, 0.75, 1.0], np.float32)  # absorption in R, G, B, display-encoded
BLOOD = np.array([0.12, 1.0, 0.8], np.float32)


def bends(field: Field) -> tuple[Field, Field]:
    """Eigenvalues of the Hessian of a smooth (H, W) field, per px²: (lesser, greater).

    Both are positive in the middle of a dark spot; in a dark line the lesser is about 0.
    """
    xx, yy, xy = (
        np.asarray(cv2.Sobel(field, cv2.CV_32F, *orders, ksize=3), np.float32) / 4
        for orders in ((2, 0), (0, 2), (1, 1))
    )
    mean, half = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    return np.asarray(mean - half, np.float32), np.asarray(mean + half, np.float32)
