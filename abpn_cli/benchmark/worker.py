"""A process that measures one case: requests come as lines of JSON, answers go out as such."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..photo import Photo

Request = dict[str, Any]
Answer = dict[str, Any]
SEED = 1


def main() -> None:
    """Answer requests until there are no more."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    case = _Nothing()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        do = request.pop("do")
        if do in CASES:
            case = CASES[do](request)
            _forget_device_peak()
            answer: Answer = {"resident": _status("VmRSS")}
        else:
            answer = getattr(case, f"do_{do}")(**request)
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()


class _Nothing:
    """Before any case: what can be asked for without one."""

    def do_machine(self, device: str, precision: str) -> Answer:
        """Measure the machine."""
        from ..engine import choose_device
        from .floor import measure_machine

        return measure_machine(choose_device(device), precision)._asdict()

    def do_memory(self) -> Answer:
        """Tell the most memory that this process held, and of the device since the case began."""
        import torch

        device = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
        return {"peak": _status("VmHWM"), "device_peak": device}


class _Plain(_Nothing):
    """The plain network."""

    def __init__(self, request: Request) -> None:
        from ..engine import choose_device
        from .plain import image_of, load_plain, made_pixels

        self.device = choose_device(request["device"])
        self.net = load_plain(Path(request["weights"]), self.device)
        self.pixels = made_pixels(request["height"], request["width"], SEED)
        self.image = image_of(self.pixels, self.device)

    def do_run(self) -> Answer:
        """Pass once."""
        import torch

        from .floor import synchronise

        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            synchronise(self.device)
            start, at_work = perf_counter(), process_time()
            self.net(self.image)
            synchronise(self.device)
        return {"seconds": perf_counter() - start, "cpu_seconds": process_time() - at_work}


class _Oracle(_Nothing):
    """The untiled result."""

    def __init__(self, request: Request) -> None:
        from ..engine import choose_device
        from .plain import load_plain, made_pixels

        self.net = load_plain(Path(request["weights"]), choose_device("cpu"))
        self.pixels = made_pixels(request["height"], request["width"], SEED)

    def do_write(self, path: str, share: float) -> Answer:
        """Write what the result with such a mask must be."""
        from .plain import oracle

        oracle(self.net, self.pixels, share).tofile(path)
        return {}


class _Ours(_Nothing):
    """The engine."""

    def __init__(self, request: Request) -> None:
        from .ours import ForcedRetoucher

        self.retoucher = ForcedRetoucher(
            Path(request["weights"]), request["device"], request["precision"], request["share"]
        )
        self._size = request["height"], request["width"]
        self.photo = self._made()

    def _made(self) -> Photo:
        from ..photo import Photo
        from .plain import made_pixels

        return Photo(made_pixels(*self._size, SEED))

    def do_run(self) -> Answer:
        """Retouch once, integers to integers, in the photo's own memory as the command does."""
        import torch

        from ..engine.clock import Clock, running

        clock = Clock()
        with running(clock):
            start, at_work = perf_counter(), process_time()
            edit = self.retoucher.overwritten(self.photo)[1]  # the photo itself is not kept
            seconds, cpu_seconds = perf_counter() - start, process_time() - at_work
        del self.photo  # first, so that there are never two
        self.photo = self._made()
        return {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "stages": clock.seconds,
            # A device tells its own time, whatever the threads here do.
            "threads": 1 if self.retoucher.device.type == "cuda" else torch.get_num_threads(),
            "edit": asdict(edit),
        }

    def do_compare(self, path: str) -> Answer:
        """Tell how far the result is from the one in a file."""
        import numpy as np

        from .ours import distance

        expected = np.memmap(path, np.float32, "r", shape=self.photo.pixels.shape)
        return distance(self.retoucher, self.photo, expected)._asdict()


class _Codecs(_Nothing):
    """Decoding and encoding alone, with the libraries that the command has."""

    def __init__(self, request: Request) -> None:
        import cv2

        from .. import codecs

        cv2.setNumThreads(1)  # there are as many processes as cores
        codecs.PHOTO_SUFFIXES  # noqa: B018 (imported now, not while it is timed)

    def do_codec(self, source: str, target: str, format: str) -> Answer:
        """Read a photo and write it."""
        from ..codecs import EncodeOptions, decode, encode

        photo = decode(Path(source))
        encode(photo, Path(target), format, EncodeOptions(jpeg="reencode"))  # type: ignore[arg-type]
        return {"megapixels": photo.pixels.shape[0] * photo.pixels.shape[1] / 1e6}


CASES: dict[str, Callable[[Request], _Nothing]] = {
    "plain": _Plain,
    "oracle": _Oracle,
    "ours": _Ours,
    "codecs": _Codecs,
}


def _forget_device_peak() -> None:
    """Let loading, in which weights lie there twice, not count as what a photo takes."""
    import torch

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.reset_peak_memory_stats()


def _status(field: str) -> int | None:
    """Bytes that Linux tells of this process, None elsewhere."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return int(status.read_text().split(f"{field}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()
