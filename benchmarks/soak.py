"""A long run, watched from outside: memory stays flat, nothing is leaked.

`make soak` has `abpn retouch` do 500 photos, small ones and, one in fifty, one of 24 megapixels.
What the command and its decoding processes hold is read from /proc twenty times a second: memory
(what they share counted once; libraries, which other programs share as well, not at all), file
descriptors, threads. After the first fifty photos none of it may grow; memory has 5 % for noise.
Exit code 1 where it does.

The photos are those of examples/shoot, scaled and mirrored, in each of the three formats.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

SHOOT = Path(__file__).parents[1] / "examples" / "shoot"
SMALL = (640, 480)  # (width, height)
BLOCK = 50  # photos; each block has one big photo, in its middle
EVERY_SECONDS = 0.05
SLACK = 0.05  # of memory
MORE = 1  # descriptors or threads that may happen to be there: a leak is one a photo
FORMATS = (".jpg", ".tif", ".png")

Pixels = NDArray[np.uint8]


class Held(NamedTuple):
    """What the command and its children hold at one moment."""

    bytes: int
    descriptors: int
    threads: int


@dataclass
class Watch:
    """Samples by the block of photos in which they were taken."""

    samples: dict[int, list[Held]] = field(default_factory=dict)
    done: int = 0

    def take(self, process: int) -> None:
        """Add a sample; a process that ends meanwhile counts as nothing."""
        held = Held(*map(sum, zip(*map(held_by, family(process)), strict=True)))
        if held.bytes:
            self.samples.setdefault(self.done // BLOCK, []).append(held)


def family(process: int) -> Iterator[int]:
    """Yield a process and all that it started."""
    yield process
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in children:
            yield from family(int(child))


def held_by(process: int) -> Held:
    """Read what one process holds."""
    place = Path("/proc", str(process))
    try:
        rollup = (place / "smaps_rollup").read_text()
        status = (place / "status").read_text()
        descriptors = len(list((place / "fd").iterdir()))
    except OSError:  # it has ended
        return Held(0, 0, 0)
    kilobytes = number(rollup, "Pss_Anon:") + number(rollup, "Pss_Shmem:")
    return Held(kilobytes << 10, descriptors, number(status, "Threads:"))


def number(text: str, label: str) -> int:
    """Find the number behind a label at the start of a line; 0 where it is not there."""
    lines = (line.split() for line in text.splitlines() if line.startswith(label))
    return next((int(words[1]) for words in lines), 0)


def make_shoot(folder: Path, photos: int) -> None:
    """Write the photos; every fiftieth is big."""
    sources = [read(path) for path in sorted(SHOOT.rglob("*")) if path.suffix in FORMATS]
    big = max(sources, key=lambda pixels: pixels.size)
    folder.mkdir()
    for index, (pixels, suffix) in enumerate(zip(cycle(sources), cycle(FORMATS), strict=False)):
        if index == photos:
            return
        if index % BLOCK == BLOCK // 2:
            made = big
        else:
            made = cv2.resize(pixels, SMALL, interpolation=cv2.INTER_AREA).astype(np.uint8)
        made = np.ascontiguousarray(made[:, ::-1] if index % 2 else made)
        write(folder / f"{index:05}{suffix if made.size < big.size else '.jpg'}", made)


def read(path: Path) -> Pixels:
    """Read a photo as 8-bit BGR."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if pixels is None:
        raise SystemExit(f"{path}: cannot be read")
    return pixels.astype(np.uint8)


def write(path: Path, pixels: Pixels) -> None:
    """Write 8-bit BGR pixels; a TIFF has 16 bits."""
    if path.suffix == ".tif":
        wide = pixels[..., ::-1].astype(np.uint16) * 257
        tifffile.imwrite(path, wide, photometric="rgb", compression="zlib", metadata=None)
    else:
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())


def watch_run(words: list[str]) -> tuple[Watch, float]:
    """Run the command to its end; return what was seen and the seconds it took."""
    watch = Watch()
    start = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        ended = threading.Event()
        watcher = threading.Thread(target=keep_watching, args=(watch, process.pid, ended))
        watcher.start()
        assert process.stdout is not None  # it was asked for
        for line in process.stdout:
            event = json.loads(line)
            watch.done += event["event"] == "photo"
            if event["event"] == "summary":
                ended.set()  # what comes now is the end
                failed = event["failed"]
        ended.set()
        watcher.join()
    if process.returncode or failed:
        raise SystemExit(f"the run ended with {process.returncode}, {failed} photos failed")
    return watch, time.perf_counter() - start


def keep_watching(watch: Watch, process: int, ended: threading.Event) -> None:
    """Take samples until told to end."""
    while not ended.wait(EVERY_SECONDS):
        watch.take(process)


def judge(watch: Watch) -> bool:
    """Print a line for each measure; return whether none has grown."""
    whole = range(1, watch.done // BLOCK)
    blocks = [watch.samples[number] for number in whole if number in watch.samples]
    if len(blocks) < 4:
        raise SystemExit(f"too few photos to judge by: give at least {5 * BLOCK}")
    say(f"{len(blocks)} blocks of {BLOCK} photos after the first {BLOCK}:")
    fine = True
    for index, name in enumerate(("memory in MiB", "file descriptors", "threads")):
        scale = 2**20 if index == 0 else 1
        values = [[held[index] / scale for held in block] for block in blocks]
        for kind, value in (("least", low), ("most", max)):
            series = [value(block) for block in values]
            slack = SLACK * series[0] if index == 0 else MORE
            fine &= flat(f"{name}, {kind}", series, slack)
    return fine


def low(values: list[float]) -> float:
    """Return what a block holds at its quietest, a tenth of it aside: what a leak must lift."""
    return sorted(values)[len(values) // 10]


def flat(name: str, series: list[float], slack: float) -> bool:
    """Tell whether the last half of a series is more than the first half by no more than the slack.

    Their medians are compared: how many photos happen to meet in one moment is chance.
    """
    half = len(series) // 2
    first, last = median(series[:half]), median(series[half:])
    fine = last - first <= slack
    figures = " ".join(f"{value:.0f}" for value in series)
    say(f"  {name:<24} {figures}   {last / first - 1:+.1%} {'flat' if fine else 'GROWS'}")
    return fine


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Make the photos, run, judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--task", default="cloth")
    parser.add_argument("--max-memory", default="4G")
    options = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        raise SystemExit("this takes Linux: there is no /proc/PID/smaps_rollup here")
    with tempfile.TemporaryDirectory(prefix="abpn-soak-") as folder:
        shoot, out = Path(folder, "in"), Path(folder, "out")
        make_shoot(shoot, options.photos)
        command = [sys.executable, "-m", "abpn_cli", "retouch", str(shoot), "-o", str(out)]
        command += ["--task", options.task, "--max-memory", options.max_memory, "--ndjson"]
        watch, seconds = watch_run(command)
    say(f"{options.photos} photos in {seconds:.0f} s, {options.photos / seconds:.2f} a second")
    if not judge(watch):
        raise SystemExit("something grows")


if __name__ == "__main__":
    main()
