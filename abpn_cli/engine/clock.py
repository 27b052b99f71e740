"""Where the time goes: seconds by stage, counted only while somebody measures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import perf_counter


class Clock:
    """Seconds by stage, those of threads that work at the same time added up."""

    def __init__(self) -> None:
        """Start at 0."""
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = Lock()

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds; any thread may."""
        with self._lock:
            self._seconds[stage] += seconds

    @property
    def seconds(self) -> dict[str, float]:
        """What was counted so far."""
        with self._lock:
            return dict(self._seconds)


_running: list[Clock] = []  # at most one: while there is none, nothing is counted


@contextmanager
def running(clock: Clock) -> Iterator[None]:
    """Count the stages of all that is done within the block, in every thread."""
    _running.append(clock)
    try:
        yield
    finally:
        _running.remove(clock)


def is_running() -> bool:
    """Whether somebody measures."""
    return bool(_running)


def count(name: str, seconds: float) -> None:
    """Count seconds that something else has measured, as a device does its own."""
    if _running:
        _running[-1].add(name, seconds)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the block as this stage; stages do not nest."""
    if not _running:
        yield
        return
    start = perf_counter()
    try:
        yield
    finally:
        _running[-1].add(name, perf_counter() - start)
