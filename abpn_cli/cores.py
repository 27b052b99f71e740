"""One budget of threads for all of a run: whoever computes holds a core of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Semaphore, local


def available() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a container or taskset may have left us fewer
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Cores:
    """So many threads of a run compute at the same time, whatever stage they belong to.

    Decoders, tiles and encoders overlap, and each stage alone could fill the machine: together they
    would take turns on it, and wait for each other inside every convolution. A thread that waits
    for a process, as for one that decodes, holds a core in its place.
    """

    def __init__(self, count: int) -> None:
        """count: how many, 1 or more."""
        self.count = count
        self._free = Semaphore(count)
        self._mine = local()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a core within the block, after waiting for one; blocks of a thread do not nest."""
        with self._free:
            self._mine.held = True
            try:
                yield
            finally:
                self._mine.held = False

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let others have this thread's core, if it holds one, within the block: it only waits."""
        if not getattr(self._mine, "held", False):
            yield
            return
        self._mine.held = False
        self._free.release()
        try:
            yield
        finally:
            self._free.acquire()
            self._mine.held = True

    @contextmanager
    def more(self, most: int) -> Iterator[int]:
        """Take those that are free, too, within the block, without waiting.

        most: how many threads would be of use, this one included.
        Returns how many may compute, this one included.
        """
        taken = 0
        while taken < most - 1 and self._free.acquire(blocking=False):
            taken += 1
        try:
            yield 1 + taken
        finally:
            for _ in range(taken):
                self._free.release()
