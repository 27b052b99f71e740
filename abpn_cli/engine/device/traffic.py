"""Copies between host and device, and how long things take there.

On CUDA a copy goes through page-locked buffers, two of each kind, on a stream of its own: while one
is under way the host fills or empties the other, and the device computes on. Without CUDA all of it
is plain copying.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import clock

TURNS = 2  # buffers of each kind


class Traffic:
    """The way to a device and back, for one photo at a time."""

    def __init__(self, device: torch.device) -> None:
        """Take nothing yet."""
        self.device = device
        self._on_cuda = device.type == "cuda"
        self._copies = _stream(device) if self._on_cuda else None
        self._buffers: dict[tuple[str, int], Tensor] = {}
        self._busy: dict[tuple[str, int], torch.cuda.Event] = {}
        self._turn = 0
        self._timed: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    def begin(self) -> None:
        """Let copies wait for all that is being computed, whose memory they may be given."""
        if self._copies is not None:
            self._copies.wait_stream(torch.cuda.current_stream(self.device))

    def up(self, fill: Callable[[NDArray[np.generic]], None], target: Tensor) -> None:
        """Fill a tensor of the device; `fill` writes its values into an array of its shape.

        What is computed from now on sees them. 16-bit integers are int16 here and there.
        """
        if self._copies is None:
            fill(target.numpy())
            return
        self._turn = (self._turn + 1) % TURNS
        key = ("up", self._turn)
        buffer = self._buffer(key, target)
        fill(buffer.numpy())
        with torch.cuda.stream(self._copies), self.timed("transfers"):
            target.copy_(buffer, non_blocking=True)
        self._done(key)
        torch.cuda.current_stream(self.device).wait_event(self._busy[key])

    def down(self, source: Tensor, turn: int) -> Callable[[], NDArray[np.generic]]:
        """Begin to fetch a tensor of the device; what comes back waits for it and returns it.

        The array is good until the next `down` of that turn, and `source` not to be written to
        before `settled(turn)`.
        """
        if self._copies is None:
            return source.numpy
        key = ("down", turn)
        buffer = self._buffer(key, source)
        self._copies.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._copies), self.timed("transfers"):
            buffer.copy_(source, non_blocking=True)
        source.record_stream(self._copies)  # not to be given away before it is read
        self._done(key)

        def fetched() -> NDArray[np.generic]:
            self._busy[key].synchronize()
            return buffer.numpy()

        return fetched

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count the block as this stage, by the device's own clock, without making it wait."""
        if not self._on_cuda:
            with clock.stage(name):
                yield
            return
        if not clock.is_running():
            yield
            return
        start, end = _event(), _event()
        start.record()
        yield
        end.record()
        self._timed.append((name, start, end))

    def settle(self) -> None:
        """Wait until all is done, and count what was timed."""
        if not self._on_cuda:
            return
        torch.cuda.synchronize(self.device)
        timed, self._timed = self._timed, []
        for name, start, end in timed:
            clock.count(name, start.elapsed_time(end) / 1000)

    def _buffer(self, key: tuple[str, int], like: Tensor) -> Tensor:
        """A page-locked buffer of a tensor's shape and type that no copy is using."""
        if key in self._busy:
            self._busy[key].synchronize()
        needed = like.numel() * like.element_size()
        held = self._buffers.get(key)
        if held is None or held.numel() < needed:
            held = torch.empty(needed, dtype=torch.uint8, pin_memory=True)
            self._buffers[key] = held
        return held[:needed].view(like.dtype).view(like.shape)

    def _done(self, key: tuple[str, int]) -> None:
        event = self._busy[key] = _event()
        assert self._copies is not None
        event.record(self._copies)


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
