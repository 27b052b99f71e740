"""Judging what ships: gain over returning the photo untouched, whole, inside and outside M_gt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf, log10
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..codecs import decode
from ..engine import Retoucher
from ..errors import PhotoError
from .backbones import Lpips
from .gallery import resize, upright_floats
from .pairs import CHANGED, Pair
from .synthesis import Floats

LPIPS_SIDE = 1024  # px: long side at which LPIPS looks, as the paper's protocol does


class Row(NamedTuple):
    """PSNR in dB of one result against the retoucher's photo; `inf` where nothing differs.

    inside, outside: over M_gt, the pixels the retoucher changed by more than 2/255, and the rest;
    nan where that part is empty.
    lpips: how different the two look, at LPIPS_SIDE; nan without a backbone.
    """

    photo: str
    method: str
    whole: float
    inside: float
    outside: float
    lpips: float


def psnr(error: NDArray[np.float32]) -> float:
    """PSNR in dB of squared errors of values in [0, 1]; nan for none."""
    if not error.size:
        return float("nan")
    mean = float(error.mean(dtype=np.float64))
    return inf if mean == 0 else -10 * log10(mean)


class Judge:
    """Compares a result with the retoucher's photo.

    lpips: the measure to use beside PSNR, or None.
    """

    def __init__(self, lpips: Lpips | None = None) -> None:
        self.lpips = lpips

    def row(
        self, photo: str, method: str, result: Floats, target: Floats, changed: NDArray[np.bool_]
    ) -> Row:
        """Judge a result: result and target (H, W, 3) in [0, 1], changed (H, W), M_gt."""
        error = np.square(result - target)
        parts = psnr(error), psnr(error[changed]), psnr(error[~changed])
        return Row(photo, method, *parts, self._distance(result, target))

    def _distance(self, result: Floats, target: Floats) -> float:
        if self.lpips is None:
            return float("nan")
        share = min(1.0, LPIPS_SIDE / max(result.shape[:2]))
        size = (round(result.shape[0] * share), round(result.shape[1] * share))
        a, b = (
            torch.from_numpy(resize(image, size).transpose(2, 0, 1).copy())[None]
            for image in (result, target)
        )
        return float(self.lpips(a, b))


def evaluate_pairs(
    pairs: Iterable[Pair], engines: Sequence[tuple[str, Retoucher]], judge: Judge
) -> Iterator[Row]:
    """Yield a row for the untouched photo and one for each engine, pair by pair.

    Raises:
        PhotoError: a photo cannot be read or the sizes of a pair differ.
    """
    for pair in pairs:
        original = decode(pair.original)
        before, target = (
            upright_floats(original),
            upright_floats(decode(pair.retouched)),
        )  # both upright
        if before.shape != target.shape:
            raise PhotoError(
                pair.retouched, "differs in size from its original", "Export both at one size."
            )
        changed = np.abs(before - target).max(axis=2) > CHANGED
        name = pair.original.name
        yield judge.row(name, "untouched", before, target, changed)
        for method, engine in engines:
            result, _ = engine.retouch(original)
            yield judge.row(name, method, upright_floats(result), target, changed)


def gains(rows: Sequence[Row], method: str) -> tuple[float, float, float]:
    """Mean dB gained over the untouched photo: whole, inside, outside; pairs of inf left out."""
    # By order, not by name: two folders of a shoot may hold photos of one name.
    untouched = [r for r in rows if r.method == "untouched"]
    judged = [r for r in rows if r.method == method]
    found = []
    for part in ("whole", "inside", "outside"):
        both = zip(judged, untouched, strict=True)
        differences = [getattr(after, part) - getattr(before, part) for after, before in both]
        finite = [d for d in differences if np.isfinite(d)]
        found.append(float(np.mean(finite)) if finite else float("nan"))
    return found[0], found[1], found[2]
