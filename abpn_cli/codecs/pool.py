"""Decoding in child processes: what crashes or hangs there costs one photo."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from ..errors import PhotoError
from ..photo import Photo, with_warnings
from .formats import DecodeOptions, Header
from .headers import BY_LIBRARY, probe
from .plain import UnpackError, packed, unpacked
from .protocol import SIZE, Reply, Request, attach, exactly, framed
from .sniff import sniff

_PACKAGE_ROOT = Path(__file__).parents[2]
_WORKER_MODULE = f"{__package__}.worker"
_WORDS_BYTES = 4096  # what is read of a decoder's own words
# One thread each, for there are as many processes as threads are wanted.
_QUIET_AND_SINGLE = {"OPENCV_LOG_LEVEL": "OFF", "OMP_NUM_THREADS": "1"}
_SAVE_ANEW = "Save it anew with another program."

Answer = TypeVar("Answer")


def seconds_allowed(file_bytes: int) -> float:
    """Return how long decoding a file of this size may take before it counts as hung.

    A minute for a busy machine, and a second per megabyte: a hundred times what is usual.
    """
    return 60.0 + file_bytes / 1e6


class DecodePool:
    """A few decoding processes, used from any number of threads.

    workers:    how many processes; each decodes one photo at a time.
    options:    as for `decode`.
    time_limit: seconds allowed for a file of so many bytes.
    """

    def __init__(
        self,
        workers: int,
        options: DecodeOptions = DecodeOptions(),  # noqa: B008 (frozen)
        time_limit: Callable[[int], float] = seconds_allowed,
    ) -> None:
        self._workers = workers
        self._options = options
        self._time_limit = time_limit
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()  # None: closed
        self._children: set[_Child] = set()
        self._lock = threading.Lock()
        self._probing = threading.Lock()
        self._prober: _Child | None = None
        self._closed = False

    def __enter__(self) -> DecodePool:
        """Start the processes; they get ready while the caller goes on."""
        for _ in range(self._workers):
            self._idle.put(self._started())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the processes, whatever they are doing; who waits for one gets a RuntimeError."""
        with self._lock:
            self._closed = True
            for child in self._children:
                child.stop()
            self._children.clear()
        with contextlib.suppress(queue.Empty):
            while (idle := self._idle.get_nowait()) is not None:
                idle.end()
        self._idle.put(None)
        if self._prober is not None:
            self._prober.end()

    def pids(self) -> list[int]:
        """Return the numbers of the processes that run now."""
        with self._lock:
            return [child.pid for child in self._children]

    def decode(self, path: Path) -> Photo:
        """Decode a photo in one of the processes, as `codecs.decode` does; any thread may ask.

        The pixels are shared memory, writable, freed with the last array that looks at them.
        What the decoder wrote on stderr becomes a warning. Raises PhotoError, also where the
        process died or took too long: it is then replaced.
        """
        return self._with_child(lambda child: child.decode(path, self._options, self._time_limit))

    def decode_whole(self, path: Path) -> Photo:
        """Decode as `decode` does, but never accept damage: half a mask protects nothing."""
        strict = replace(self._options, accept_damaged=False)
        return self._with_child(lambda child: child.decode(path, strict, self._time_limit))

    def probe(self, path: Path) -> Header:
        """Read a photo's header as `codecs.probe` does, C libraries in a process of their own.

        It is not one of those that decode: nobody has to wait for them. Raises PhotoError as
        `decode` does.
        """
        if sniff(path) not in BY_LIBRARY:
            return probe(path)
        with self._probing:
            child = self._prober
            if child is None or not child.alive():
                child = self._prober = self._replacement(child) if child else self._started()
            if child is None:
                raise RuntimeError("the pool is closed")
            return child.probe(path, self._time_limit)

    def _with_child(self, work: Callable[[_Child], Answer]) -> Answer:
        """Have the next idle process do some work; one that is unwell afterwards is replaced."""
        child = self._idle.get()
        if child is not None and not child.alive():  # it died between photos: none is to blame
            child = self._replacement(child)
        if child is None:
            self._idle.put(None)  # for the next one who asks
            raise RuntimeError("the pool is closed")
        healthy = False
        try:
            answer = work(child)
            healthy = True
            return answer
        except PhotoError:
            healthy = child.alive()
            raise
        finally:
            # not healthy: dead, hung, or left in mid-answer by an interrupt
            healthy = healthy and not self._closed
            self._idle.put(child if healthy else self._replacement(child))

    def _replacement(self, child: _Child) -> _Child | None:
        """End a process and start another, unless the pool has been closed."""
        child.end()
        with self._lock:
            self._children.discard(child)
        return self._started()

    def _started(self) -> _Child | None:
        with self._lock:
            if self._closed:
                return None
            child = _Child()
            self._children.add(child)
            return child


class _Child:
    """One decoding process and our end of its socket."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._connection = ours
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        path = os.pathsep.join(filter(None, [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _WORKER_MODULE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._words,
                stderr=self._words,
                env={**os.environ, **_QUIET_AND_SINGLE, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for the parent alone, which ends us
            )
        self.pid = self._process.pid

    def alive(self) -> bool:
        """Tell whether the process can take another photo."""
        return self._process.poll() is None and self._connection.fileno() >= 0

    def stop(self) -> None:
        """End the process at once, from any thread: whoever waits for its answer is told."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End the process and let go of what it used."""
        self.stop()
        self._connection.close()
        self._words.close()

    def decode(
        self, path: Path, options: DecodeOptions, time_limit: Callable[[int], float]
    ) -> Photo:
        """Have the process decode a photo. Raises PhotoError; after a crash, `alive` is false."""
        photo, words = self._ask(Request(path, options), time_limit)
        assert isinstance(photo, Photo)
        return with_warnings(photo, f"Its decoder says: {words}") if words else photo

    def probe(self, path: Path, time_limit: Callable[[int], float]) -> Header:
        """Have the process read a header. Raises PhotoError as `decode` does."""
        header, _ = self._ask(Request(path, DecodeOptions(), header_only=True), time_limit)
        assert isinstance(header, Header)
        return header

    def _ask(
        self, request: Request, time_limit: Callable[[int], float]
    ) -> tuple[Photo | Header, str]:
        """Put a request; return the answer and what the decoder wrote meanwhile."""
        path = request.path
        try:
            seconds = time_limit(path.stat().st_size)
        except OSError:
            seconds = time_limit(0)  # the process will say what is wrong with the file
        try:
            self._connection.settimeout(seconds)
            self._connection.sendall(framed(packed(tuple(request))))
            return self._receive(time.monotonic() + seconds), self._take_words()
        except TimeoutError as error:
            self.stop()
            fault = f"decoding took longer than {seconds:.0f} s"
            raise PhotoError(path, fault, _SAVE_ANEW) from error
        except (EOFError, ConnectionError) as error:
            raise PhotoError(path, self._last_words(), _SAVE_ANEW) from error
        except UnpackError as error:
            self.stop()
            raise PhotoError(path, "its decoder answered nonsense", _SAVE_ANEW) from error
        except PhotoError as error:
            words = self._take_words()
            if not words:
                raise
            raise type(error)(path, f"{error.fault} ({words})", error.remedy) from error

    def _receive(self, deadline: float) -> Photo | Header:
        """Read an answer: a photo, a header, or the PhotoError to raise."""
        head, descriptors, _, _ = socket.recv_fds(self._connection, SIZE.size, 1)
        try:
            if len(head) < SIZE.size:
                raise EOFError
            self._connection.settimeout(max(0.001, deadline - time.monotonic()))
            body = exactly(self._connection, SIZE.unpack(head)[0])
            if body is None:
                raise EOFError
            answer: PhotoError | Header | tuple[Any, ...] = unpacked(body)
            if isinstance(answer, PhotoError):
                raise answer
            if not isinstance(answer, tuple):
                return answer
            if len(answer) != len(Reply._fields) or not descriptors:
                raise UnpackError("a photo without its pixels")
            return attach(Reply(*answer), descriptors[0])
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _last_words(self) -> str:
        """Say how the process died."""
        status = self._process.wait()
        words = self._take_words().rpartition("; ")[2]
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"its decoder died ({how}{': ' if words else ''}{words})"

    def _take_words(self) -> str:
        """Return what the process has written since the last call, on one line."""
        self._words.seek(0)
        text = self._words.read().decode("utf-8", "replace")
        self._words.seek(0)  # the process writes at the same position: the file is shared
        self._words.truncate()
        lines = [line.strip() for line in text[-_WORDS_BYTES:].splitlines() if line.strip()]
        return "; ".join(lines)[-300:]
