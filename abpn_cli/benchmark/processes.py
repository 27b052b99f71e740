"""Processes of our own that measure: each alone with its case, so that its peak memory is its own.

They are this Python running `abpn_cli.benchmark.worker`; requests and answers are lines of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import IO, Any, NamedTuple

from ..errors import AbpnError

_PACKAGE_ROOT = Path(__file__).parents[2]
_WORKER_MODULE = f"{__package__}.worker"


class WorkerLostError(AbpnError):
    """A measuring process ended before it answered."""


class Worker:
    """One measuring process."""

    def __init__(self) -> None:
        """Start it."""
        paths = filter(None, [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", _WORKER_MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            WorkerLostError: the process has ended.
        """
        self.send(request)
        return self.answer()

    def send(self, request: Mapping[str, Any]) -> None:
        """Send a request, and do not wait."""
        try:
            _open(self._process.stdin).write(json.dumps(request).encode() + b"\n")
            _open(self._process.stdin).flush()
        except BrokenPipeError:
            self._lost()

    def answer(self) -> dict[str, Any]:
        """Wait for the answer to what was sent.

        Raises:
            WorkerLostError: the process has ended.
        """
        line = _open(self._process.stdout).readline()
        if not line:
            self._lost()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        _open(self._process.stdin).close()
        self._process.kill()
        self._process.wait()
        _open(self._process.stdout).close()

    def _lost(self) -> None:
        code = self._process.wait()
        raise WorkerLostError(
            f"a measuring process ended with {code}. Where it was killed, memory did not suffice: "
            "leave out the largest of --sizes."
        )


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # both are pipes
    return stream


@contextmanager
def workers(count: int) -> Iterator[list[Worker]]:
    """Start processes, and end them after the block."""
    started: list[Worker] = []
    try:
        for _ in range(count):
            started.append(Worker())
        yield started
    finally:
        for worker in started:
            worker.close()


class Told(NamedTuple):
    """A line of a command's stdout, and when it came, in seconds from the command's start."""

    seconds: float
    line: str


class Ran(NamedTuple):
    """How a command went: its lines, its whole wall time, its exit code and last words."""

    lines: list[Told]
    seconds: float
    code: int
    errors: str


def run_abpn(words: Sequence[str | Path], errors: Path) -> Ran:
    """Run our own command as users do; `errors` is a file that takes its stderr."""
    paths = filter(None, [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH")])
    with errors.open("wb") as stderr:
        start = perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "abpn_cli", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        ) as process:
            lines = [
                Told(perf_counter() - start, line.decode("utf-8", "replace"))
                for line in _open(process.stdout)
            ]
            code = process.wait()
        seconds = perf_counter() - start
    return Ran(lines, seconds, code, errors.read_text("utf-8", "replace"))
