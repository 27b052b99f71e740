"""How far colours are apart: PSNR, and the distance of CIE 1976."""

from __future__ import annotations

import cv2
import numpy as np

from .synthesis import Floats


def psnr(one: Floats, other: Floats) -> float:
    """PSNR of images in [0, 1], in dB, 60 at most."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return float(min(60.0, -10 * np.log10(max(error, 1e-12))))


def lab_distance(one: Floats, other: Floats) -> Floats:
    """CIE 1976 distance of (P, 3) sRGB colours in [0, 1], white D65: (P,)."""
    labs = [
        cv2.cvtColor(np.ascontiguousarray(image[None], np.float32), cv2.COLOR_RGB2Lab)[0]
        for image in (one, other)
    ]
    return np.asarray(np.linalg.norm(labs[0] - labs[1], axis=1), np.float32)
