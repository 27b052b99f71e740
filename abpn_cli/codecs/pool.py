"""Decoding in child processes: what crashes or hangs there costs one photo."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ..errors import PhotoError
from ..photo import Photo, with_warnings
from .formats import MAX_PIXELS
from .protocol import SIZE, attach, exactly, framed

_PACKAGE_ROOT = Path(__file__).parents[2]
_WORKER_MODULE = f"{__package__}.worker"
_WORDS_BYTES = 4096  # what is read of a decoder's own words


def seconds_allowed(file_bytes: int) -> float:
    """Return how long decoding a file of this size may take before it counts as hung.

    A minute for a busy machine, and a second per megabyte: a hundred times what is usual.
    """
    return 60.0 + file_bytes / 1e6


class DecodePool:
    """A few decoding processes, used from any number of threads.

    workers:    how many processes; each decodes one photo at a time.
    max_pixels: as for `decode`.
    time_limit: seconds allowed for a file of so many bytes.
    """

    def __init__(
        self,
        workers: int,
        max_pixels: int = MAX_PIXELS,
        time_limit: Callable[[int], float] = seconds_allowed,
    ) -> None:
        self._workers = workers
        self._max_pixels = max_pixels
        self._time_limit = time_limit
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()  # None: closed
        self._children: set[_Child] = set()
        self._lock = threading.Lock()
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
        child = self._idle.get()
        if child is not None and not child.alive():  # it died between photos: none is to blame
            child = self._replacement(child)
        if child is None:
            self._idle.put(None)  # for the next one who asks
            raise RuntimeError("the pool is closed")
        healthy = False
        try:
            photo = child.decode(path, self._max_pixels, self._time_limit)
            healthy = True
            return photo
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
                env={**os.environ, "PYTHONPATH": path, "OPENCV_LOG_LEVEL": "OFF"},
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

    def decode(self, path: Path, max_pixels: int, time_limit: Callable[[int], float]) -> Photo:
        """Have the process decode a photo. Raises PhotoError; after a crash, `alive` is false."""
        try:
            seconds = time_limit(path.stat().st_size)
        except OSError:
            seconds = time_limit(0)  # the process will say what is wrong with the file
        request = pickle.dumps((path, max_pixels))
        try:
            self._connection.settimeout(seconds)
            self._connection.sendall(framed(request))
            photo = self._receive(time.monotonic() + seconds)
        except TimeoutError as error:
            self.stop()
            fault = f"decoding took longer than {seconds:.0f} s"
            raise PhotoError(path, fault, "Save it anew with another program.") from error
        except (EOFError, ConnectionError) as error:
            raise PhotoError(
                path, self._last_words(), "Save it anew with another program."
            ) from error
        except PhotoError as error:
            words = self._take_words()
            if not words:
                raise
            raise PhotoError(path, f"{error.fault} ({words})", error.remedy) from error
        words = self._take_words()
        return with_warnings(photo, f"Its decoder says: {words}") if words else photo

    def _receive(self, deadline: float) -> Photo:
        """Read an answer: a photo, or the PhotoError to raise."""
        head, descriptors, _, _ = socket.recv_fds(self._connection, SIZE.size, 1)
        try:
            if len(head) < SIZE.size:
                raise EOFError
            self._connection.settimeout(max(0.001, deadline - time.monotonic()))
            body = exactly(self._connection, SIZE.unpack(head)[0])
            if body is None:
                raise EOFError
            answer = pickle.loads(body)
            if isinstance(answer, PhotoError):
                raise answer
            return attach(answer, descriptors[0])
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
