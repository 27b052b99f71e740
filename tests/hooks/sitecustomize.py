"""Holds up a process of abpn's where a test says so; Python reads this as it starts.

In the folder $ABPN_TEST_HOLD a file called `decode` holds decoders before they decode, one called
`flush` whoever writes a photo before its file is flushed; the words in it are names of files, and
none means all. Who is held says so by a file of their own, and goes on when the first is removed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

PLACE = os.environ.get("ABPN_TEST_HOLD")


def hold(kind: str, path: Path) -> None:
    gate = Path(PLACE or "", kind)
    try:
        names = gate.read_text().split()
    except FileNotFoundError:
        return
    if names and not any(name in path.name for name in names):
        return
    gate.with_name(f"{kind} {os.getpid()} {path.name}").touch()
    parent = os.getppid()
    while gate.exists() and os.getppid() == parent:  # nobody is left behind for ever
        time.sleep(0.01)


def hold_decoders() -> None:
    from abpn_cli import codecs

    decode = codecs.decode

    def held(path: Path, *words: object) -> object:
        hold("decode", path)
        return decode(path, *words)  # type: ignore[arg-type]

    codecs.decode = held  # type: ignore[assignment]


def hold_writers() -> None:
    from abpn_cli import files

    flush = files._flush

    def held(path: Path) -> None:
        hold("flush", path)
        flush(path)

    files._flush = held


if PLACE:
    if "abpn_cli.codecs.worker" in sys.orig_argv:
        hold_decoders()
    else:
        hold_writers()
