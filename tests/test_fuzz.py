"""The fuzzer, for as long as the suite has time; `make fuzz` runs it longer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "fuzz" / "parsers.py"
CASES = 60  # per parser: a few seconds in all, and the same ones every time
LIGHT = ("jpeg", "png", "tiff", "exif", "xmp", "photoshop", "icc", "sniff", "stream", "raw")
WHOLE = ("probe", "decode", "retouch", "salvage", "develop", "heic")


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("targets", "cases"), [(LIGHT, 4 * CASES), (WHOLE, CASES)], ids=["ours", "whole"]
)
def test_no_damage_crashes_hangs_or_fills_the_memory(targets: tuple[str, ...], cases: int) -> None:
    done = fuzz("--cases", str(cases), "--targets", *targets)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.startswith(f"{cases * len(targets)} cases, 0 failed")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise KeyError('planted')", "KeyError: 'planted'"),
        ("list(iter(int, 1))", "MemoryError"),
        ("exec('while True: pass')", "Hang"),
    ],
)
def test_the_fuzzer_finds_a_fault_that_is_planted(fault: str, words: str) -> None:
    code = (
        f"import sys, runpy; sys.path[:0] = [{str(SCRIPT.parent)!r}]\n"
        "import parsers, signal\n"
        "parsers.SECONDS_PER_CASE = 1; parsers.MEMORY_BYTES = 1 << 25\n"
        "def run(data):\n"
        f"    {fault}\n"
        "if 'iter' not in " + repr(fault) + ": parsers.MEMORY_BYTES = 1 << 29\n"
        "else: parsers.SECONDS_PER_CASE = 60\n"
        "parsers.limit_memory(); signal.signal(signal.SIGPROF, parsers.on_alarm)\n"
        "target = parsers.Target((b'seed',), run, (ValueError,))\n"
        "sys.stdout.write(parsers.run_case('planted', target, 1))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert words in done.stdout, done.stdout + done.stderr
