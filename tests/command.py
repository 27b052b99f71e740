"""The command: inside this process, which has torch imported already, or as users start it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
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
        env=ENVIRONMENT,
        stdout=keywords.pop("stdout", subprocess.PIPE),
        stderr=keywords.pop("stderr", subprocess.PIPE),
        text=True,
        **keywords,
    )


def real_abpn(*words: str | Path, cwd: Path, seconds: float = 120) -> tuple[int, str, str]:
    """Run the command as users do; return (exit code, stdout, stderr)."""
    with start(*words, cwd=cwd) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, out, err


def children(process: int) -> list[int]:
    """The numbers of a process's children (Linux)."""
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(number) for number in listed.split()]


def command_of(process: int) -> bytes:
    """The command line of a process, b"" where it has gone (Linux)."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def photo_events(text: str) -> dict[str, dict[str, Any]]:
    """The photo events of an `--ndjson` report, by the name of their source."""
    events = [json.loads(line) for line in text.splitlines()]
    return {Path(e["source"]).name: e for e in events if e["event"] == "photo"}
