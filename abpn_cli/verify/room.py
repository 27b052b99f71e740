"""Memory for the photos that are looked at side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Room:
    """So many bytes, lent to whoever waits for them; one photo is always let in."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._change = Condition()

    @contextmanager
    def lent(self, wanted: int) -> Iterator[None]:
        """Hold so many bytes while the block lasts; wait for them where others hold too many."""
        with self._change:
            self._change.wait_for(lambda: not self._held or self._held + wanted <= self._limit)
            self._held += wanted
        try:
            yield
        finally:
            with self._change:
                self._held -= wanted
                self._change.notify_all()
