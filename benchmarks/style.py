"""A studio's own style, learnt from sixty pairs: lint taken off cloth, which `cloth` leaves alone.

`make style` lays small pale specks and short fibres on the cloth of photos, trains on the pairs by
`abpn train --pairs … --from weights/cloth.safetensors`, and judges the weights it started from and
those it ends with, by `abpn evaluate`:

- on pairs of photos that were held out, full size: gain in dB over returning the photo untouched;
- on photos with nothing to retouch: PSNR to the input and share of the frame in the mask.

The bar: at least 3 dB inside what the retoucher changed, at most 1 dB less restraint. It takes the
photos of ../shared/data (--data says where they are), which do not come with the source.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from abpn_cli.codecs import decode
from abpn_cli.training.cloth_pairs import CLOTH
from abpn_cli.training.gallery import resize, upright_floats
from abpn_cli.training.made_pairs import Labels
from abpn_cli.training.synthesis import Floats, as_floats, luminance

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "weights" / "recipes"
DATA = ROOT.parent / "shared" / "data"
BASE = ROOT / "weights" / "cloth.safetensors"
LONGEST = 800  # px: photos are shrunk to it, and smaller ones left out
LEAST_CLOTH = 0.08  # share of the frame
PALEST = 0.5  # mean luminance of cloth on which lint shows
MARGIN = 6  # px: lint keeps this far from what is no cloth
SPECKS, FIBRES = (40, 110), (20, 50)  # how many for each 100,000 px of cloth
SHIFT = 4  # cv2's fixed-point bits: lint lies between pixels too
LEAST_GAIN, MOST_LOST = 3.0, 1.0  # dB: the bar
RECIPE = (  # half an hour of a core
    "--batch", "4", "--precision", "bf16", "--rate", "6e-4", "--balance", "0.5",
    "--gate", "0.35", "0.55",
)  # fmt: skip
TEMPLATE = "{:<10}{:>10}{:>10}{:>10}{:>10}{:>12}{:>12}"


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def with_lint(photo: Floats, cloth: Floats, rng: Generator) -> Floats:
    """Lay lint on cloth: (H, W, 3) in [0, 1] and its (H, W) mask of {0, 1} to (H, W, 3)."""
    inner = cv2.erode(cloth, np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8))
    places = np.argwhere(inner > 0)
    cover = np.zeros(cloth.shape, np.float32)
    for kind, (low, high) in ((speck, SPECKS), (fibre, FIBRES)):
        count = round(rng.uniform(low, high) * len(places) / 1e5)
        for row, column in places[rng.integers(len(places), size=count)]:
            one = np.zeros(cloth.shape, np.uint8)
            kind(one, (float(column), float(row)), rng)
            box = cv2.boundingRect(one)
            rows = slice(box[1], box[1] + box[3])
            columns = slice(box[0], box[0] + box[2])
            drawn = one[rows, columns].astype(np.float32) / 255 * np.float32(rng.uniform(0.45, 0.9))
            cover[rows, columns] = np.maximum(cover[rows, columns], drawn)
    soft = as_floats(cv2.GaussianBlur(cover * inner, (0, 0), 0.5))
    pale = rng.uniform(0.8, 0.95) * rng.uniform(0.95, 1.0, 3)
    return as_floats(photo + soft[..., None] * (pale - photo))


def speck(canvas: cv2.typing.MatLike, centre: tuple[float, float], rng: Generator) -> None:
    """Draw a speck, 2 to 5 px across."""
    radii = rng.uniform(1.1, 2.5) * np.array([1.0, rng.uniform(0.6, 1.0)])
    at, axes = ([round(v * 2**SHIFT) for v in pair] for pair in (centre, radii))
    cv2.ellipse(canvas, at, axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA, SHIFT)


def fibre(canvas: cv2.typing.MatLike, centre: tuple[float, float], rng: Generator) -> None:
    """Draw a bent fibre, 8 to 26 px long, 1 or 2 px thick."""
    t = np.linspace(-0.5, 0.5, 12)
    turned = rng.uniform(0, 2 * np.pi) + rng.uniform(-2.5, 2.5) * t
    steps = np.stack([np.cos(turned), np.sin(turned)], 1) * rng.uniform(8, 26) / len(t)
    points = np.asarray(centre) + np.cumsum(steps, 0) - steps.sum(0) / 2
    fixed = np.round(points * 2**SHIFT).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, 255, int(rng.integers(1, 3)), cv2.LINE_AA, SHIFT)


def on_dark_cloth(data: Path, names: Sequence[str]) -> Iterator[tuple[str, Floats, Floats]]:
    """Yield those photos on whose cloth lint shows: name, (H, W, 3), mask of their cloth."""
    labels = Labels(data / "masks.npz", data)
    for name in names:
        cloth = labels(data / name, CLOTH)
        if cloth is None or cloth.mean() < LEAST_CLOTH:
            continue
        photo = upright_floats(decode(data / name))
        share = LONGEST / max(photo.shape[:2])
        if share > 1:
            continue
        size = (round(photo.shape[0] * share), round(photo.shape[1] * share))
        photo = resize(photo, size)
        cloth = as_floats(cv2.resize(cloth, size[::-1], interpolation=cv2.INTER_NEAREST))
        if luminance(photo)[cloth > 0].mean() < PALEST:
            yield name, photo, cloth


def make_pairs(data: Path, names: Sequence[str], count: int, folder: Path) -> tuple[Path, Path]:
    """Write pairs with lint and without into `before` and `after` of a folder; return both."""
    before, after = folder / "before", folder / "after"
    if before.is_dir():
        return before, after
    for each in (before, after):
        each.mkdir(parents=True)
    shuffled = sorted(names, key=lambda name: zlib.crc32(name.encode()))
    for index, (name, photo, cloth) in enumerate(on_dark_cloth(data, shuffled)):
        if index == count:
            break
        linty = with_lint(photo, cloth, np.random.default_rng((7, index)))
        for root, image in ((before, linty), (after, photo)):
            pixels = np.clip(image[..., ::-1] * 255 + 0.5, 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / f"{Path(name).stem}.png"), pixels)
    return before, after


def make_idle(data: Path, names: Sequence[str], folder: Path) -> Path:
    """Write photos that need nothing, at most LONGEST px, into a folder; return it."""
    if folder.is_dir():
        return folder
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        photo = upright_floats(decode(data / name))
        share = min(1.0, LONGEST / max(photo.shape[:2]))
        photo = resize(photo, (round(photo.shape[0] * share), round(photo.shape[1] * share)))
        pixels = np.clip(photo[..., ::-1] * 255 + 0.5, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index:03}.png"), pixels)
    return folder


def abpn(*words: str | Path) -> None:
    """Run `abpn`, told first, to its end; a failure ends the whole."""
    say("\n$ abpn " + " ".join(map(str, words)))
    command = [sys.executable, "-m", "abpn_cli", *map(str, words)]
    done = subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"it ended with {done.returncode}")


def listed(name: str) -> Path:
    """A list of photos among the recipes."""
    return RECIPES / f"{name}.txt"


def judged(weights: Path, pairs: tuple[Path, Path], data: Path, out: Path) -> dict[str, float]:
    """Judge weights on held-out pairs and on photos with nothing to do."""
    file = out / f"{weights.stem}_pairs.json"
    abpn("evaluate", "--pairs", *pairs, "--weights", weights, "--json", file)
    rows: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    rows = [row for row in rows if row["method"] != "untouched"]
    names = ("gain_inside", "gain", "gain_outside", "dice")
    figures = {name: float(np.mean([row[name] for row in rows])) for name in names}
    file = out / f"{weights.stem}_idle.json"
    abpn(
        "evaluate", "--photos", data, "--masks", data / "masks.npz", "--list",
        listed("cloth_held_out"), "--nothing", listed("nothing_held_out"),
        "--weights", weights, "--batches", "24", "--json", file,
    )  # fmt: skip
    idle = json.loads(file.read_text("utf-8"))
    return figures | {"harm": idle["harm"], "harm_gated": idle["harm_gated"]}


def tell(base: dict[str, float], own: dict[str, float], seconds: float) -> bool:
    """Print the table; return whether the bar is met."""
    say("\n" + TEMPLATE.format("", "inside", "whole", "outside", "dice", "nothing dB", "in mask %"))
    for name, row in (("base", base), ("own", own)):
        cells = (row["gain_inside"], row["gain"], row["gain_outside"], row["dice"], row["harm"])
        words = [f"{cell:.2f}" for cell in cells]
        say(TEMPLATE.format(name, *words, f"{100 * row['harm_gated']:.2f}"))
    enough = own["gain_inside"] >= LEAST_GAIN
    restrained = own["harm"] >= base["harm"] - MOST_LOST
    say(f"trained in {seconds / 60:.0f} min")
    say(f"gain of {LEAST_GAIN:g} dB inside: {'met' if enough else 'MISSED'}")
    say(f"at most {MOST_LOST:g} dB of restraint lost: {'met' if restrained else 'MISSED'}")
    return enough and restrained


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the pairs, train, judge; a missed bar is exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the photos to lay lint on")
    parser.add_argument("--out", type=Path, default=Path("out", "style"), help="for all of it")
    parser.add_argument("--steps", type=int, default=2400, help="of training")
    parser.add_argument("options", nargs="*", help="after --: more for abpn train")
    options = parser.parse_args(arguments)
    data, out = options.data.resolve(), options.out.resolve()
    if not (data / "masks.npz").exists():
        raise SystemExit(f"Not there: {data}")
    train, held_out = (
        make_pairs(data, listed(f"cloth_{part}").read_text("utf-8").split(), count, out / part)
        for part, count in (("train", 60), ("held_out", 12))
    )
    idle = make_idle(data, listed("nothing_train").read_text("utf-8").split(), out / "nothing")
    began = time.perf_counter()
    abpn(
        "train", "--pairs", *train, "--from", BASE, "--task", "lint", "--out", out / "run",
        "--nothing", idle, "--steps", str(options.steps), "--no-install", *RECIPE,
        *options.options,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    rows = [judged(file, held_out, data, out) for file in (BASE, out / "run" / "lint.safetensors")]
    if not tell(rows[0], rows[1], seconds):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
