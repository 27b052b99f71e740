"""What fills a hole best: python -m benchmarks.holes PHOTOS [--crops 10] [--weights FILE …].

Crops of 512 px of a folder's photos, a made hole in each, by turns a silhouette and strokes; filled
by every method that is installed here: OpenCV's, PyPatchMatch, scikit-image's, opencv-contrib's;
and as `abpn remove` fills it, by default and with each --weights. --list names the photos by their
path under the folder; those smaller than a crop are left out.
Prints L1 in per cent of the range and MS-SSIM over the pixels of the hole, and CPU seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from patchmatch import patch_match

from abpn_cli.engine.removing import Remover, Wish
from abpn_cli.photo import Photo
from abpn_cli.training.holes import free_form, silhouette

Picture = NDArray[np.uint8]  # (SIDE, SIDE, 3) RGB
Mask = NDArray[np.uint8]  # (SIDE, SIDE), 1 in the hole
Method = Callable[[Picture, Mask], Picture]

SIDE = 512
SEED = 7
SHARES = (0.01, 0.12)  # of a crop that a hole may be
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of MS-SSIM, Wang et al. 2003
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
LEAST = 1e-3  # of a scale's mean, lest a power of a negative be taken


class Score(NamedTuple):
    """How a filling did: L1 in per cent, MS-SSIM, CPU seconds."""

    l1: float
    ms_ssim: float
    seconds: float


def crops(photos: Sequence[Path], count: int) -> Iterator[tuple[Picture, Mask]]:
    """Draw crops and holes, the same at every call."""
    rng = np.random.default_rng(SEED)
    for number in range(count):
        photo = cv2.imread(str(photos[(number * 5 + 2) % len(photos)]))
        assert photo is not None
        height, width = photo.shape[:2]
        if min(height, width) < SIDE:
            continue
        top = rng.integers(0, height - SIDE + 1)
        left = rng.integers(0, width - SIDE + 1)
        crop = photo[top : top + SIDE, left : left + SIDE, ::-1]
        make = free_form if number % 2 else silhouette
        hole = make(SIDE, rng)
        while not SHARES[0] < hole.mean() < SHARES[1]:
            hole = make(SIDE, rng)
        yield np.ascontiguousarray(crop, np.uint8), hole.astype(np.uint8)


def methods() -> dict[str, Method]:
    """Return what is installed here, by name."""
    known: dict[str, Method] = {
        "telea": lambda p, m: np.asarray(cv2.inpaint(p, m, 3, cv2.INPAINT_TELEA), np.uint8),
        "navier-stokes": lambda p, m: np.asarray(cv2.inpaint(p, m, 3, cv2.INPAINT_NS), np.uint8),
    }
    for radius in (2, 3, 5):
        known[f"patchmatch {radius}"] = partial(patch_match.inpaint, patch_size=radius)
    if find_spec("skimage"):
        known["biharmonic"] = _biharmonic
    xphoto: Any = getattr(cv2, "xphoto", None)  # opencv-contrib's
    if xphoto is not None:
        known["shift map"] = partial(_xphoto, xphoto, xphoto.INPAINT_SHIFTMAP, lab=True)
        known["fsr fast"] = partial(_xphoto, xphoto, xphoto.INPAINT_FSR_FAST, lab=False)
    return known


def as_removed(weights: Path | None) -> Method:
    """Fill as `abpn remove` does, by a network's weights or without."""
    remover = Remover(Wish(force=True), weights, "cpu")

    def fill(picture: Picture, mask: Mask) -> Picture:
        done, _ = remover.retouch(Photo(picture), only=mask.astype(np.float32))
        return np.asarray(done.pixels, np.uint8)

    return fill


def _biharmonic(picture: Picture, mask: Mask) -> Picture:
    from skimage.restoration import inpaint_biharmonic

    filled = inpaint_biharmonic(picture, mask.astype(bool), channel_axis=-1)
    return np.asarray(np.rint(filled * 255).clip(0, 255), np.uint8)


def _xphoto(room: Any, how: int, picture: Picture, mask: Mask, lab: bool) -> Picture:
    """Fill by opencv-contrib, whose masks are 0 in the hole."""
    seen = cv2.cvtColor(picture, cv2.COLOR_RGB2Lab) if lab else picture.copy()
    filled = np.zeros_like(picture)
    room.inpaint(seen, (1 - mask) * 255, filled, how)
    return np.asarray(cv2.cvtColor(filled, cv2.COLOR_Lab2RGB) if lab else filled, np.uint8)


def score(filled: Picture, wanted: Picture, mask: Mask, seconds: float) -> Score:
    """Judge a filling inside the hole alone."""
    inside = mask > 0
    apart = np.abs(filled[inside].astype(float) - wanted[inside])
    return Score(float(apart.mean() / 2.55), ms_ssim(filled, wanted, mask), seconds)


def ms_ssim(one: Picture, other: Picture, mask: Mask) -> float:
    """MS-SSIM of two pictures' greys, each scale's mean over the hole."""
    a, b = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float32) for p in (one, other))
    weight = mask.astype(np.float32)
    product = 1.0
    for scale, power in enumerate(SCALES):
        mean_a, mean_b, aa, bb, ab = (
            cv2.GaussianBlur(x, (11, 11), 1.5) for x in (a, b, a * a, b * b, a * b)
        )
        spread = aa - mean_a * mean_a + bb - mean_b * mean_b
        alike = (2 * (ab - mean_a * mean_b) + C2) / (spread + C2)
        if scale == len(SCALES) - 1:
            alike = alike * (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
        mean = float((alike * weight).sum() / weight.sum())
        product *= max(LEAST, mean) ** power
        size = (a.shape[1] // 2, a.shape[0] // 2)
        a, b, weight = (
            np.asarray(cv2.resize(x, size, interpolation=cv2.INTER_AREA), np.float32)
            for x in (a, b, weight)
        )
    return product


def main() -> None:
    """Print a table, one line a method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--crops", type=int, default=10)
    parser.add_argument("--list", type=Path, help="of photos, a path a line")
    parser.add_argument("--methods", help="names, separated by commas")
    parser.add_argument("--weights", type=Path, action="append", default=[], help="of a HiFill")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    patch_match.set_random_seed(0)
    known = methods() | {"abpn remove": as_removed(None)}
    known |= {file.stem: as_removed(file) for file in asked.weights}
    names = asked.methods.split(",") if asked.methods else list(known)
    named = asked.list.read_text("utf-8").split() if asked.list else []
    photos = [asked.photos / name for name in named] or sorted(asked.photos.glob("*.jpg"))
    drawn = list(crops(photos, asked.crops))
    for name in names:
        scores = []
        for picture, mask in drawn:
            spoilt = np.where(mask[..., None] > 0, 0, picture).astype(np.uint8)
            start = time.process_time()
            filled = known[name](spoilt, mask)
            taken = time.process_time() - start
            whole = np.where(mask[..., None] > 0, filled, picture).astype(np.uint8)
            scores.append(score(whole, picture, mask, taken))
        mean = Score(*np.mean(scores, axis=0))
        told = f"L1 {mean.l1:.2f} %  MS-SSIM {mean.ms_ssim:.3f}  {mean.seconds:.2f} s"
        sys.stdout.write(f"{name:16} {told}\n")


if __name__ == "__main__":
    main()
