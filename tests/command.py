"""The command: inside this process, which has torch imported already, or as users start it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from abpn_cli.cli import main

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}


def abpn(*words: str | Path, cwd: Path) -> tuple[int, str, str]:
    """Run `abpn` with these words; return (exit code, stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["abpn", *map(os.fspath, words)])
        with pytest.raises(SystemExit) as end:
            main()
    code = end.value.code or 0
    assert isinstance(code, int), code
    return code, out.getvalue(), err.getvalue()


def start(*words: str | Path, cwd: Path, **keywords: Any) -> subprocess.Popen[str]:
    """Start the command as users do, in a process of its own; keywords are those of `Popen`."""
    return subprocess.Popen(
        [sys.executable, "-m", "abpn_cli", *map(os.fspath, words)],
        cwd=cwd,
        env=keywords.pop("env", ENVIRONMENT),
        stdout=keywords.pop("stdout", subprocess.PIPE),
        stderr=keywords.pop("stderr", subprocess.PIPE),
        text=True,
        **keywords,
    )


def real_abpn(*words: str | Path, cwd: Path, seconds: float = 300) -> tuple[int, str, str]:
    """Run the command as users do; return (exit code, stdout, stderr)."""
    with start(*words, cwd=cwd) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, out, err


def wait_until(come: Callable[[], object], seconds: float = 300) -> None:
    """Wait until something has come true."""
    end = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


class Hold:
    """Holds up commands where a test says so, as `hooks/sitecustomize.py` tells.

    folder: for the files by which both sides talk; environment: of the commands.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        hooks = Path(__file__).with_name("hooks")
        path = os.pathsep.join([str(hooks), ENVIRONMENT["PYTHONPATH"]])
        self.environment = {**ENVIRONMENT, "PYTHONPATH": path, "ABPN_TEST_HOLD": str(folder)}

    def at(self, kind: str, *names: str) -> None:
        """Hold at `decode` or `flush` whatever has one of these in its name; all for none."""
        (self._folder / kind).write_text(" ".join(names))

    def reached(self, kind: str) -> list[int]:
        """Wait until somebody is held there; return the numbers of the processes."""
        wait_until(lambda: any(self._folder.glob(f"{kind} *")))
        return [int(file.name.split()[1]) for file in self._folder.glob(f"{kind} *")]

    def go(self, kind: str) -> None:
        """Hold nobody there any more."""
        (self._folder / kind).unlink(missing_ok=True)
        for file in self._folder.glob(f"{kind} *"):
            file.unlink()


def catches(process: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal (Linux)."""
    return _has_bit(process, "SigCgt", number)


def send(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to a run that goes on, and wait until it is taken: what is sent next is next.

    Of two that wait together the kernel would hand out the one of the lower number first.
    """
    wait_until(lambda: catches(process.pid, number))
    assert process.poll() is None, "the run has ended before its signal"
    process.send_signal(number)
    wait_until(lambda: not _has_bit(process.pid, "ShdPnd", number))


def _has_bit(process: int, field: str, number: signal.Signals) -> bool:
    """Look a signal up in a process's status; False where the process has gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(field):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def children(process: int) -> list[int]:
    """The numbers of a process's children (Linux)."""
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(number) for number in listed.split()]


def photo_events(text: str) -> dict[str, dict[str, Any]]:
    """The photo events of an `--ndjson` report, by the name of their source."""
    events = [json.loads(line) for line in text.splitlines()]
    return {Path(e["source"]).name: e for e in events if e["event"] == "photo"}
