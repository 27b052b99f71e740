"""`face` on portraits that it never saw: blemishes by kind, shine, and skin colour by its tone.

Part of `make evaluate`. It takes the portraits and label maps of ../shared/data (--data says where
they are), which do not come with the source.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import log10
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.random import Generator
from skimage.color import rgb2lab

from abpn_cli.codecs import decode
from abpn_cli.engine.tasks import Means, make_engine
from abpn_cli.nets.abpn import Abpn
from abpn_cli.training.blemishes import blemished, healed
from abpn_cli.training.data import read_list
from abpn_cli.training.face_pairs import (
    HEALERS,
    SKIN,
    Blemish,
    FacePairs,
    FaceRecipe,
    Healer,
)
from abpn_cli.training.gallery import upright_floats
from abpn_cli.training.made_pairs import Labels
from abpn_cli.training.pairs import CHANGED, Shape, stack
from abpn_cli.training.shine import matted
from abpn_cli.training.sores import acne, domed, patched, scarred
from abpn_cli.training.synthesis import Floats
from abpn_cli.training.validate import retouch
from abpn_cli.weights import load

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
HELD_OUT = ROOT / "weights" / "recipes" / "face_held_out.txt"


def unblemished(size: tuple[int, int], skin: Floats, rng: Generator) -> Floats:
    """Paint nothing: (H, W, 3) ratio of 1."""
    return np.ones((*size, 3), np.float32)


PAINTED = FaceRecipe(nothing=0, clean=0, real=0, on_healed=1, transplanted=0, shiny=0)
REAL = replace(PAINTED, real=1)
KINDS: dict[str, tuple[FaceRecipe, Blemish, Sequence[Healer]]] = {
    "painted": (PAINTED, blemished, HEALERS),
    "large": (PAINTED, domed, HEALERS),
    "acne": (PAINTED, acne, HEALERS),
    "scars": (PAINTED, scarred, HEALERS),
    "soft patches": (PAINTED, patched, HEALERS),
    "shine": (replace(PAINTED, shiny=1), unblemished, (healed, matted)),
    "transplanted": (replace(PAINTED, transplanted=1), unblemished, HEALERS),
    "real spots": (REAL, unblemished, HEALERS),
    "real shine": (REAL, unblemished, (matted,)),
    "none left": (replace(PAINTED, clean=1), unblemished, HEALERS),
}
TONES = {"light": (41.0, 200.0), "medium": (10.0, 41.0), "dark": (-200.0, 10.0)}  # ITA in degrees
BATCHES = 4


class Gains(NamedTuple):
    """dB gained over the untouched portrait inside M_gt, and whole; PSNR of the result to it."""

    inside: float
    whole: float
    moved: float


class Skin(NamedTuple):
    """One portrait: tone as ITA in degrees, ΔE of its mean skin, share of the skin changed."""

    tone: float
    moved: float
    changed: float


def gains(net: Abpn, pairs: FacePairs) -> Gains:
    """Judge one kind of pairs, errors pooled."""
    rng, sums = np.random.default_rng(3), np.zeros(5)
    for _ in range(BATCHES):
        batch = stack([pairs.sample(Shape(1, (256, 256), 256), rng) for _ in range(4)], 1)
        result, _, _ = retouch(net, batch.crop, 1)
        errors = [
            (image - batch.crop_target).square().mean(1, keepdim=True)
            for image in (batch.crop, result)
        ]
        differs = (batch.crop - batch.crop_target).abs().amax(1, keepdim=True)
        inside = (differs > CHANGED).float()
        moved = (batch.crop - result).square().mean(1, keepdim=True)
        parts = [part for error in errors for part in (error * inside, error)]
        sums += [float(part.sum()) for part in (*parts, moved)]
    mean = sums[4] / (BATCHES * moved.numel())
    return Gains(decibels(sums[0], sums[2]), decibels(sums[1], sums[3]), decibels(1, mean))


def decibels(before: float, after: float) -> float:
    """How much less an error has become; 0 where there was none, 100 where none is left."""
    return 10 * log10(before / max(after, before * 1e-10)) if before else 0.0


def skins(weights: Path, faces: list[Path], labels: Labels) -> Iterator[Skin]:
    """Retouch portraits at full size and yield what became of their skin."""
    engine = make_engine({"face": weights}, Means())
    for path in faces:
        photo, mask = decode(path), labels(path, SKIN)
        if mask is None:
            continue
        done, _ = engine.retouch(photo)
        before, after = upright_floats(photo), upright_floats(done)
        skin = cv2.resize(mask, before.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0.5
        if skin.sum() < 100:
            continue
        means = [rgb2lab(image[skin][None])[0].mean(0) for image in (before, after)]
        tone = np.degrees(np.arctan2(means[0][0] - 50, means[0][2]))
        changed = (np.abs(before - after).max(2)[skin] > CHANGED).mean()
        yield Skin(float(tone), float(np.linalg.norm(means[0] - means[1])), float(changed))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--weights", type=Path, default=ROOT / "weights" / "face.safetensors")
    options = parser.parse_args()
    labels = Labels(options.data / "masks.npz", options.data)
    held_out = read_list(options.data, HELD_OUT)
    net = load(options.weights, torch.device("cpu")).net
    assert isinstance(net, Abpn)
    for name, (recipe, paint, healers) in KINDS.items():
        pairs = FacePairs(held_out[::4], [], labels, [paint], recipe, 4, 5, healers=healers)
        inside, whole, moved = gains(net, pairs)
        words = f"{inside:+7.2f} dB inside{whole:+7.2f} dB whole, {moved:.1f} dB to the input"
        sys.stdout.write(f"{name:<14}{words}\n")
    london = sorted((options.data / "portraits" / "london_ccby").glob("*.jpg"))[::4]
    seen = [path for path in held_out if "usgov_staff" in path.parts] + london
    found = list(skins(options.weights, seen, labels))
    for name, (low, high) in TONES.items():
        group = np.array([skin[1:] for skin in found if low < skin.tone <= high])
        if len(group):
            mean, most, changed = group[:, 0].mean(), group[:, 0].max(), group[:, 1].mean()
            words = f"mean skin moves by dE {mean:.3f}, at most {most:.3f}; {changed:.2%} changed"
            sys.stdout.write(f"{name:<8}{len(group):3} portraits, {words}\n")


if __name__ == "__main__":
    main()
