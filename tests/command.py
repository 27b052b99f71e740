"""The command, run inside this process, which has torch imported already."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from abpn_cli.cli import main


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


def photo_events(text: str) -> dict[str, dict[str, Any]]:
    """The photo events of an `--ndjson` report, by the name of their source."""
    events = [json.loads(line) for line in text.splitlines()]
    return {Path(e["source"]).name: e for e in events if e["event"] == "photo"}
