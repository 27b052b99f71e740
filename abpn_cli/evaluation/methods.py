"""What is judged: weights, and classical filters beside them. A method takes a photo to an attempt.

Every method is timed alike and its result has the depth of the photo, as a delivered file would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np

from ..photo import Edit, Photo, turn_upright
from ..training.gallery import upright_floats
from ..training.synthesis import Floats, as_floats
from .baselines import FILTERS, Filter, separation


class Engine(Protocol):
    """Anything that retouches photos and tells where."""

    def retouch(self, photo: Photo) -> tuple[Photo, Edit]:
        """Retouch a photo; pixels it leaves alone stay as they are."""

    def gate(self, photo: Photo) -> Floats:
        """Tell where it would: (H, W) in [0, 1], stored orientation."""


class Attempt(NamedTuple):
    """What a method made of a photo.

    result: upright, (H, W, 3) float32 in [0, 1]; gate: upright, (H, W) in [0, 1], or None for a
    method that works everywhere; seconds: wall time of the work itself.
    """

    result: Floats
    gate: Floats | None
    seconds: float


class Method(NamedTuple):
    """A way to retouch, with its name in the tables; seen: whether it stands on contact sheets."""

    name: str
    attempt: Callable[[Photo], Attempt]
    seen: bool = False


def by_weights(name: str, engine: Engine) -> Method:
    """Weights as they would be used."""

    def attempt(photo: Photo) -> Attempt:
        start = perf_counter()
        done, _ = engine.retouch(photo)
        seconds = perf_counter() - start
        return Attempt(upright_floats(done), _upright_gate(engine, photo), seconds)

    return Method(name, attempt, seen=True)


def by_filter(name: str, smooth: Filter) -> Method:
    """Apply a filter everywhere."""

    def attempt(photo: Photo) -> Attempt:
        image = upright_floats(photo)
        start = perf_counter()
        result = smooth(image)
        seconds = perf_counter() - start
        return Attempt(_rounded(result, photo), None, seconds)

    return Method(name, attempt)


def by_separation(name: str, engine: Engine) -> Method:
    """Apply frequency separation where an engine's gate is open: where by network, what by rule."""

    def attempt(photo: Photo) -> Attempt:
        image = upright_floats(photo)
        start = perf_counter()
        gate = _upright_gate(engine, photo)
        result = separation(image, gate)
        seconds = perf_counter() - start
        return Attempt(_rounded(result, photo), gate, seconds)

    return Method(name, attempt)


def methods_of(engines: Sequence[tuple[str, Engine]], baselines: bool) -> list[Method]:
    """Every row of the table but the untouched photo's."""
    methods = [by_weights(name, engine) for name, engine in engines]
    if baselines:
        methods += [by_filter(name, smooth) for name, smooth in FILTERS.items()]
        methods += [by_separation(f"separation:{name}", engine) for name, engine in engines]
    return methods


def names_of(stems: Iterable[str]) -> list[str]:
    """Names for weights by the stems of their files; those met before get a number."""
    names: list[str] = []
    for stem in stems:
        name, number = stem, 1
        while name in names:
            number += 1
            name = f"{stem}-{number}"
        names.append(name)
    return names


def _upright_gate(engine: Engine, photo: Photo) -> Floats:
    return np.ascontiguousarray(turn_upright(engine.gate(photo), photo.metadata.orientation))


def _rounded(image: Floats, photo: Photo) -> Floats:
    """Round to the steps of the photo's own depth."""
    top = np.float32(np.iinfo(photo.pixels.dtype).max)
    return as_floats(np.rint(image.clip(0, 1) * top) / top)
