"""Small photos, shoots of them, and what lies in a folder when a run has ended."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
from photos import pattern, write_png

from abpn_cli.batch.journal import JOURNAL_NAME


def picture(height=96, width=128, dtype=np.uint8):
    small = np.random.default_rng(3).random((6, 8, 3))
    smooth = np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    return np.rint(smooth * np.iinfo(dtype).max).astype(dtype)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix.lower(), pixels)
    assert done
    path.write_bytes(data.tobytes())
    return path


def load(path):
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, path
    return pixels


def grain(height, width, seed, dtype=np.uint8):
    """Noise, which compresses badly and so takes its time to be written."""
    noise = np.random.default_rng(seed).integers(0, 40, (height, width, 3), dtype)
    return pattern(height, width, dtype) // 2 + noise


def many(folder, count, height=300, width=400):
    (folder / "in").mkdir()
    first = write_png(folder / "in" / "00.png", grain(height, width, 0))
    for index in range(1, count):
        shutil.copy(first, folder / "in" / f"{index:02}.png")
    return folder


def files(folder):
    """The files of a folder by name, the journal aside."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != JOURNAL_NAME)
    return sorted(str(p.relative_to(folder)) for p in found)


def snapshot(folder):
    """The files of a folder with bytes and time, the journal aside."""
    paths = (folder / name for name in files(folder))
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in paths}


def tree(folder):
    """Every file by name, with its bytes; the journal aside."""
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if path.name != JOURNAL_NAME
    }


def leftovers(folder):
    return [path for path in folder.rglob(".*") if path.name != JOURNAL_NAME]
