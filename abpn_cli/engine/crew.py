"""Several tiles at once, one thread each.

One thread to a tile scales better than many threads inside each convolution: nobody waits at the
end of every small operation, least of all when decoders share the machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import TypeVar

import cv2
import torch

from ..cores import Cores

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MOST_THREADS = 8  # each holds a tile's worth of feature maps; more gain little
AHEAD = 4  # outcomes per thread, under way or waiting to be taken: enough that none ever idles


class Crew:
    """A few threads in which torch keeps to itself."""

    def __init__(self, cores: Cores | None = None) -> None:
        """Start as many threads as there are cores, up to MOST_THREADS.

        cores: whose each holds one while it works; without, as many as torch may use.
        """
        allowed = torch.get_num_threads()
        self._cores = cores or Cores(allowed)
        self.size = min(self._cores.count, MOST_THREADS)
        cv2.setNumThreads(1)  # its own threads would come on top
        ready = Barrier(self.size)

        def keep_to_one() -> None:
            torch.get_num_threads()  # a thread's first use of torch would overrule what follows
            torch.set_num_threads(1)  # holds for this thread, and for those that start later
            ready.wait()

        self._pool = ThreadPoolExecutor(self.size, "abpn-tile")
        for started in [self._pool.submit(keep_to_one) for _ in range(self.size)]:
            started.result()
        torch.set_num_threads(allowed)  # so that the others keep what they had

    def each(self, work: Callable[[Item], Outcome], items: Iterable[Item]) -> list[Outcome]:
        """Do work(item) for all items, several at once; outcomes in order, first error raised."""
        return list(self.in_turn(work, items))

    def in_turn(self, work: Callable[[Item], Outcome], items: Iterable[Item]) -> Iterator[Outcome]:
        """Do as `each`, and yield outcomes as they are taken: no more than AHEAD a thread wait.

        The caller's core is lent meanwhile: it is to do little with an outcome.
        """

        def with_a_core(item: Item) -> Outcome:
            with self._cores.one():
                return work(item)

        begun: deque[Future[Outcome]] = deque()
        try:
            with self._cores.lent():
                for item in items:
                    begun.append(self._pool.submit(with_a_core, item))
                    if len(begun) >= AHEAD * self.size:
                        yield begun.popleft().result()
                while begun:
                    yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()  # nothing to cancel unless one of them failed

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within the block, let torch use all cores that are free for what this thread asks."""
        allowed = torch.get_num_threads()
        with self._cores.more(min(allowed, self._cores.count)) as threads:
            torch.set_num_threads(threads)
            try:
                yield
            finally:
                torch.set_num_threads(allowed)
