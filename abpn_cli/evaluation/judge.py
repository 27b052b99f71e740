"""Judging what ships: every method on every pair, beside returning the photo untouched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isfinite, nan
from statistics import fmean, median
from typing import NamedTuple

import numpy as np

from ..errors import PhotoError
from ..training.backbones import Lpips
from ..training.pairs import Pair
from .cases import Case, Protocol, full_size, read_case
from .measures import Parts, change_of, lpips_parts, overlap, psnr_parts, ssim_parts
from .methods import Attempt, Method

UNTOUCHED = "untouched"
MEAN = "mean"  # stands in place of a photo's name
OPEN = 0.5  # a gate above it counts as "here"


class Row(NamedTuple):
    """How near one result comes to the retoucher's photo; nan where a figure has no meaning.

    whole, inside, outside: PSNR in dB; `inf` where nothing differs. Inside is M_gt, the pixels the
                  retoucher changed by more than 2/255.
    lpips…:       how different the two look; nan without a backbone.
    ssim…:        mean SSIM.
    gain…:        dB of PSNR over the untouched photo; nan where both are without error.
    cosine, strength: as of `measures.Change`.
    iou, dice:    of the gate above OPEN with M_gt.
    gated:        share of pixels whose gate is above 0.
    milliseconds: of retouching, decoding and encoding apart.
    """

    photo: str
    method: str
    whole: float
    inside: float
    outside: float
    lpips: float = nan
    lpips_inside: float = nan
    lpips_outside: float = nan
    ssim: float = nan
    ssim_inside: float = nan
    ssim_outside: float = nan
    gain: float = nan
    gain_inside: float = nan
    gain_outside: float = nan
    cosine: float = nan
    strength: float = nan
    iou: float = nan
    dice: float = nan
    gated: float = nan
    milliseconds: float = nan


Look = Callable[[Case, Method, Attempt], None]
"""Shown every attempt while its pixels are at hand."""


def look_away(case: Case, method: Method, attempt: Attempt) -> None:
    """Nobody looks."""


def say_nothing(problem: str) -> None:
    """Nobody is told."""


class Judge:
    """Compares results with the retoucher's photos.

    lpips: the measure to use beside PSNR and SSIM, or None.
    """

    def __init__(self, lpips: Lpips | None = None) -> None:
        self.lpips = lpips

    def untouched(self, case: Case) -> Row:
        """Judge the photo as it is."""
        return self._row(case, UNTOUCHED, Attempt(case.before, None, nan))

    def row(self, case: Case, method: str, attempt: Attempt, untouched: Row) -> Row:
        """Judge an attempt beside the photo as it is."""
        row = self._row(case, method, attempt)
        change = change_of(case.before, attempt.result, case.target)
        row = row._replace(
            gain=row.whole - untouched.whole,
            gain_inside=row.inside - untouched.inside,
            gain_outside=row.outside - untouched.outside,
            cosine=change.cosine,
            strength=change.strength,
            milliseconds=attempt.seconds * 1000,
        )
        if attempt.gate is None:
            return row
        found = overlap(attempt.gate > OPEN, case.changed)
        gated = float(np.count_nonzero(attempt.gate) / attempt.gate.size)
        return row._replace(iou=found.iou, dice=found.dice, gated=gated)

    def _row(self, case: Case, method: str, attempt: Attempt) -> Row:
        pictures = attempt.result, case.target, case.changed
        looks = lpips_parts(self.lpips, *pictures) if self.lpips else Parts(nan, nan, nan)
        return Row(case.name, method, *psnr_parts(*pictures), *looks, *ssim_parts(*pictures))


def evaluate_pairs(
    pairs: Iterable[Pair],
    methods: Sequence[Method],
    judge: Judge,
    protocol: Protocol = full_size,
    look: Look = look_away,
    left_out: Callable[[str], None] = say_nothing,
) -> Iterator[Row]:
    """Yield a row for the untouched photo and one for each method, pair by pair.

    left_out: told of pairs that cannot be judged; such a pair has no row at all.
    """
    for pair in pairs:
        try:
            yield from list(_rows_of(read_case(pair, protocol), methods, judge, look))
        except PhotoError as error:
            left_out(str(error))


def _rows_of(case: Case, methods: Sequence[Method], judge: Judge, look: Look) -> Iterator[Row]:
    untouched = judge.untouched(case)
    yield untouched
    for method in methods:
        attempt = method.attempt(case.photo)
        yield judge.row(case, method.name, attempt, untouched)
        look(case, method, attempt)


def means(rows: Sequence[Row]) -> list[Row]:
    """One row for each method: means over the photos where a figure is finite.

    Milliseconds are the median: the first photo warms the machine up.
    """
    found = []
    for method in dict.fromkeys(row.method for row in rows):
        columns = list(zip(*(row[2:] for row in rows if row.method == method), strict=True))
        figures = [middle(column, fmean) for column in columns[:-1]]
        found.append(Row._make([MEAN, method, *figures, middle(columns[-1], median)]))
    return found


def middle(values: Iterable[float], kind: Callable[[list[float]], float]) -> float:
    """Apply a mean or median to those values that are finite; nan where none is."""
    finite = [value for value in values if isfinite(value)]
    return kind(finite) if finite else nan
