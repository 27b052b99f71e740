"""Ctrl-C, SIGTERM and a hang-up: the first asks for a clean stop, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from ..files import discard_unfinished

STDERR = 2
NOTE = b"\nabpn: stopping; photos in hand are finished first (once more: stop at once)\n"
SHOW_CURSOR = b"\x1b[?25h\n"  # the progress bar had hidden it
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def leave_at_once(code: int) -> NoReturn:
    """End the process now, whatever its threads do; no file of it stays half written."""
    discard_unfinished()
    with suppress(OSError):  # nobody reads stderr
        if os.isatty(STDERR):
            os.write(STDERR, SHOW_CURSOR)
    os._exit(code)


class Stop:
    """Whether somebody asked the run to stop, and by which signal.

    leave: ends the process with an exit code; called at the second signal, in another thread.
    """

    def __init__(self, leave: Callable[[int], None] = leave_at_once) -> None:
        self.signal: int = 0
        self._leave = leave

    def asked(self) -> bool:
        """Whether to start no more photos."""
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM, 129 for a hang-up, as shells count; 0 for none."""
        return 128 + self.signal if self.signal else 0

    def leave(self, number: int) -> None:
        """Stop at once; number: the first signal, which may not have been noted yet."""
        self._leave(self.exit_code or 128 + number)

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Remember a first signal."""
        if self.signal:
            return
        self.signal = number
        with suppress(OSError):  # nobody reads stderr
            os.write(STDERR, NOTE)  # printing is not safe in a handler


@contextmanager
def stop_on_signals(leave: Callable[[int], None] = leave_at_once) -> Iterator[Stop]:
    """Take over Ctrl-C, SIGTERM and hang-ups inside the block (main thread only).

    A hang-up that is ignored, as under nohup, stays ignored. The main thread may be deep in a
    computation, where Python runs no handlers: a second signal is therefore heeded by a thread
    that does nothing else. It is also that thread which can wait for whoever reads the reports.
    Once a stop was asked for and the block is left, the process is on its way to its exit code:
    further signals of these kinds are ignored, or one that comes late would replace that code.
    """
    stop = Stop(leave)
    taken = [n for n in SIGNALS if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]
    bell, rope = os.pipe()
    os.set_blocking(rope, False)
    before = {number: signal.signal(number, stop.note) for number in taken}
    rope_before = signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(bell, stop), daemon=True, name="abpn-signals")
    watch.start()
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if stop.asked() else handler)
        signal.set_wakeup_fd(rope_before)
        os.close(rope)  # the watch reads the end, and ends
        watch.join()
        os.close(bell)


def _watch(bell: int, stop: Stop) -> None:
    """Leave at the second of our signals, each of which comes as a byte, its number."""
    first = 0
    while rung := os.read(bell, 1):
        if rung[0] not in SIGNALS:
            continue
        if first:
            stop.leave(first)
        first = first or rung[0]
