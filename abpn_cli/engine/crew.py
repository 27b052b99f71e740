"""Several tiles at once, one thread each.

One thread to a tile scales better than many threads inside each convolution: nobody waits at the
end of every small operation, least of all when decoders share the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import torch

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MOST_THREADS = 8  # each holds a tile's worth of feature maps; more gain little


class Crew:
    """A few threads in which torch keeps to itself."""

    def __init__(self) -> None:
        """Start as many threads as torch may use, up to MOST_THREADS."""
        allowed = torch.get_num_threads()
        self.size = min(allowed, MOST_THREADS)
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
        futures = [self._pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()  # nothing to cancel unless one of them failed
