"""Judging what ships: gain over returning the photo untouched, whole, inside and outside M_gt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf, log10
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..codecs import decode
from ..engine import Retoucher
from ..errors import PhotoError
from .pairs import CHANGED, Pair, as_floats


class Row(NamedTuple):
    """PSNR in dB of one result against the retoucher's photo; `inf` where nothing differs.

    inside, outside: over M_gt, the pixels the retoucher changed by more than 2/255, and the rest;
    nan where that part is empty.
    """

    photo: str
    method: str
    whole: float
    inside: float
    outside: float


def psnr(error: NDArray[np.float32]) -> float:
    """PSNR in dB of squared errors of values in [0, 1]; nan for none."""
    if not error.size:
        return float("nan")
    mean = float(error.mean(dtype=np.float64))
    return inf if mean == 0 else -10 * log10(mean)


def row(
    photo: str, method: str, result: NDArray[np.float32], target: NDArray[np.float32],
    changed: NDArray[np.bool_],
) -> Row:  # fmt: skip
    """Compare a result with the retoucher's photo, all (H, W, 3); changed: (H, W), M_gt."""
    error = np.square(result - target)
    return Row(photo, method, psnr(error), psnr(error[changed]), psnr(error[~changed]))


def evaluate_pairs(
    pairs: Iterable[Pair], engines: Sequence[tuple[str, Retoucher]]
) -> Iterator[Row]:
    """Yield a row for the untouched photo and one for each engine, pair by pair.

    Raises:
        PhotoError: a photo cannot be read or the sizes of a pair differ.
    """
    for pair in pairs:
        original = decode(pair.original)
        before, target = as_floats(original), as_floats(decode(pair.retouched))  # both upright
        if before.shape != target.shape:
            raise PhotoError(
                pair.retouched, "differs in size from its original", "Export both at one size."
            )
        changed = np.abs(before - target).max(axis=2) > CHANGED
        name = pair.original.name
        yield row(name, "untouched", before, target, changed)
        for method, engine in engines:
            result, _ = engine.retouch(original)
            yield row(name, method, as_floats(result), target, changed)


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
