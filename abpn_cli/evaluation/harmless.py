"""Do no harm: photos with nothing to retouch must come back as they were, or very nearly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..codecs import decode
from ..errors import PhotoError, shown
from ..photo import Photo
from ..training.gallery import upright_floats
from .measures import psnr
from .methods import Engine

LEAST_PSNR = 50.0  # dB to the input, of every photo
MOST_GATED = 0.01  # of a photo's pixels in the mask


class Verdict(NamedTuple):
    """What weights did to a photo that needs nothing.

    psnr:    to the input, in dB; `inf` where no pixel changed.
    gated:   share of pixels whose gate is above 0.
    changed: share of pixels that changed.
    passes:  psnr >= LEAST_PSNR and gated < MOST_GATED.
    """

    photo: str
    method: str
    psnr: float
    gated: float
    changed: float
    passes: bool


LookAtHarm = Callable[[Verdict, Photo, Photo], None]
"""Shown the verdict, the photo and what became of it."""


def look_away(verdict: Verdict, before: Photo, after: Photo) -> None:
    """Nobody looks."""


def do_no_harm(
    root: Path,
    photos: Iterable[Path],
    engines: Sequence[tuple[str, Engine]],
    look: LookAtHarm,
    left_out: Callable[[str], None],
) -> Iterator[Verdict]:
    """Yield a verdict for each photo and each engine.

    root: verdicts name photos by their path inside it; left_out: told of photos that cannot be
    judged.
    """
    for path in photos:
        try:
            photo = decode(path)
            for name, engine in engines:
                after, edit = engine.retouch(photo)
                verdict = verdict_on(photo, after, edit.mask_fraction)
                named = verdict._replace(photo=shown(path.relative_to(root)), method=name)
                look(named, photo, after)
                yield named
        except PhotoError as error:
            left_out(str(error))


def verdict_on(before: Photo, after: Photo, gated: float) -> Verdict:
    """Compare a photo with what became of it; gated: share of it in the mask."""
    error = np.square(upright_floats(after) - upright_floats(before))
    kept = psnr(error)
    changed = float((after.pixels != before.pixels).any(axis=2).mean())
    passes = kept >= LEAST_PSNR and gated < MOST_GATED
    return Verdict("", "", kept, gated, changed, passes)


def passed(verdicts: Sequence[Verdict], method: str) -> tuple[int, int]:
    """How many photos passed, of how many judged."""
    own = [verdict.passes for verdict in verdicts if verdict.method == method]
    return sum(own), len(own)
