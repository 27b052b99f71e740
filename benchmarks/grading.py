"""How good a style is, and how fast: python benchmarks/grading.py --photos DIR --list FILE.

Photos of the list are put wrong as in training, by seeds of their own, and graded; and graded as
they are, which should change little. Speed is that of a made 24-megapixel photo, decoded.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from abpn_cli.engine.grading import Grader, Style
from abpn_cli.photo import Photo, Pixels
from abpn_cli.training.colour_pairs import damaged_pairs
from abpn_cli.training.data import read_list
from abpn_cli.training.grading import judge, style_from
from abpn_cli.weights import GRADE, find

SIZE = (4000, 6000)  # (height, width) of the photo that is timed
SEED = 1000  # of the damages: none that training has drawn


def quality(style: Path, photos: Sequence[Path]) -> None:
    """Tell what a style gains on photos put wrong, and what it does to those that are right."""
    verdict = judge(style_from(style).net, damaged_pairs(photos, SEED))
    sys.stdout.write(
        f"{len(photos)} photos: put wrong {verdict.before:.2f} dB, graded {verdict.after:.2f} dB, "
        f"gain {verdict.gain:+.2f} dB; left as they are: {verdict.harm:.2f} CIE76 from themselves\n"
    )


def speed(style: Path, repeats: int) -> None:
    """Tell the seconds of one photo of SIZE, wall and CPU, the least of some runs."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 60000, SIZE[1])[None, :, None] + rng.normal(0, 800, (*SIZE, 3))
    deep: Pixels = ramp.clip(0, 65535).astype(np.uint16)
    grader = Grader([Style(style)], device="cpu")
    for name, pixels in (("16 bits", deep), ("8 bits", (deep >> 8).astype(np.uint8))):
        walls, cpus = [], []
        for _ in range(repeats):
            wall, cpu = time.perf_counter(), time.process_time()
            grader.retouch(Photo(pixels))
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        sys.stdout.write(f"24 megapixels, {name}: {min(walls):.2f} s, {min(cpus):.2f} s of CPU\n")


def main() -> None:
    """Read the command line and tell both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--style", default="auto")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--list", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    style = find(given.style, GRADE)
    if given.photos and given.list:
        quality(style, read_list(given.photos, given.list))
    speed(style, given.repeats)


if __name__ == "__main__":
    main()
