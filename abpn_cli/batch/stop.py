"""Ctrl-C and SIGTERM: the first asks for a clean stop, the second stops at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STDERR = 2
NOTE = b"\nabpn: stopping; photos in hand are finished first (once more: stop at once)\n"


class Stop:
    """Whether somebody asked the run to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: int = 0

    def asked(self) -> bool:
        """Whether to start no more photos."""
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM, as shells count them; 0 when nobody asked."""
        return 128 + self.signal if self.signal else 0

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember a first signal; turn a second into KeyboardInterrupt."""
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        with suppress(OSError):  # nobody reads stderr
            os.write(STDERR, NOTE)  # printing is not safe in a handler


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Take over Ctrl-C and SIGTERM inside the block (main thread only)."""
    stop = Stop()
    before = {
        number: signal.signal(number, stop.note) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
