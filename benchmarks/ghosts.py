"""How far edits spill over the outlines of real garments, with ghosts left and with them damped.

Each photo is retouched both ways and looked at in pixels of its thumbnail, changes averaged over
each. The far side of an outline is what is no cloth by the label map, or blank white on a studio
photo, within 3 px of an outline (luma changes by over 0.06 a px), where cloth within 3 px has
changed by over 2 of 255 and the far side, 5 px from cloth on, has not. There nothing should change:

- spill: mean change of luma, of 255, on the far side; visible: share of it that changed by over 2;
- kept: of the edit in cloth, its energy's share that damping leaves (projected on the edit).

Places are settled without damping, so that both are judged by the same. Photos whose label map
misses the edited garment (over 30 % of the edit lies outside) are left out. It takes the photos of
../shared/data (--data says where they are), which do not come with the source.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import cv2
import numpy as np
from numpy.typing import NDArray

import abpn_cli.engine
from abpn_cli.codecs import decode
from abpn_cli.engine import Retoucher
from abpn_cli.engine.contours import LUMA, Damped, steepness
from abpn_cli.evaluation.garments import cloth_in, sixteen_bits
from abpn_cli.training.gallery import upright_floats
from abpn_cli.training.made_pairs import Labels
from abpn_cli.training.synthesis import Floats, as_floats

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
HELD_OUT = ROOT / "weights" / "recipes" / "cloth_held_out.txt"
SETS = {"flat_cc0": False, "luma": True, "venia": True}  # photographed before blank white?
OUTLINE, REACH, BEYOND = 0.06, 3, 5  # of luma a px; px
CHANGED, OWN = 2 / 255, 0.5 / 255  # of luma: a change that is seen; one of the far side's own
WHITE = 0.95
MISSED = 0.3  # of the edit's energy outside the label map

Bools = NDArray[np.bool_]
TEMPLATE = "{:<10}{:>8}{:>9}{:>9}{:>10}{:>8}"


class Spill(NamedTuple):
    """Of one photo: pixels looked at, sums over them; energies of the edit in cloth."""

    pixels: int
    change: float
    visible: int
    edit: float
    kept: float


def undamped(image: Floats, retouched: Floats, layer: Floats) -> Damped:
    """Leave ghosts as they are."""
    return Damped(layer, 0.0)


def change_of(engine: Retoucher, path: Path, halvings: int) -> Floats:
    """What retouching changes of a photo's luma, (h, w), in pixels of the thumbnail."""
    photo = sixteen_bits(decode(path))
    after, _ = engine.retouch(photo)
    return shrunk(upright_floats(after) @ LUMA - upright_floats(photo) @ LUMA, halvings)


def shrunk(image: Floats, halvings: int) -> Floats:
    """Average (H, W) or (H, W, 3) over squares of 2^halvings px."""
    size = (image.shape[1] >> halvings, image.shape[0] >> halvings)
    return as_floats(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def within(places: Bools, reach: int) -> Bools:
    """Pixels at most `reach` px from a place."""
    side = 2 * reach + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(places.astype(np.uint8), disc) > 0


def far_side(image: Floats, cloth: Floats, studio: bool, change: Floats) -> Bools:
    """Where nothing should change: (h, w); image (h, w, 3), cloth and change (h, w)."""
    blank = (image.min(2) > WHITE) & studio
    inside, outside = (cloth > 0.9) & ~blank, (cloth < 0.1) | blank
    outline = steepness(np.ascontiguousarray(image @ LUMA)) > OUTLINE
    beside = within((np.abs(change) > CHANGED) & inside & within(outline, REACH), REACH)
    beyond = as_floats(outside & ~within(inside, BEYOND))
    box = (4 * BEYOND + 1, 4 * BEYOND + 1)
    own = cv2.blur(np.abs(change) * beyond, box) / np.maximum(cv2.blur(beyond, box), 1e-3)
    found: Bools = outside & within(outline, REACH) & beside & (own < OWN)
    return found


def spills(engine: Retoucher, labels: Labels, path: Path, studio: bool) -> list[Spill]:
    """Figures of a photo, ghosts left and damped; none where its label map misses the garment."""
    whole = upright_floats(decode(path))
    halvings = max(1, int(np.log2(max(whole.shape) / 256)))
    image, cloth = shrunk(whole, halvings), shrunk(cloth_in(labels, path, whole), halvings)
    with mock.patch.object(abpn_cli.engine, "damp_ghosts", undamped):
        left = change_of(engine, path, halvings)
    energy = left**2
    if (energy * (cloth < 0.1)).sum() > MISSED * energy.sum():
        return []
    far = far_side(image, cloth, studio, left)
    inside = (cloth > 0.9) & ~((image.min(2) > WHITE) & studio)
    found = []
    for change in (left, change_of(engine, path, halvings)):
        seen = np.abs(change[far])
        kept = float((change * left)[inside].sum())
        found.append(
            Spill(len(seen), float(seen.sum()), int((seen > CHANGED).sum()),
                  float(energy[inside].sum()), kept)
        )  # fmt: skip
    return found


def photos_of(data: Path, name: str) -> Iterator[Path]:
    """Photos of a set that training never saw."""
    held_out = [line for line in HELD_OUT.read_text("utf-8").split() if f"cloth/{name}/" in line]
    if held_out:
        yield from (data / line for line in held_out)
    else:
        yield from sorted((data / "cloth" / name).glob("*.jpg"))


def main() -> None:
    """A line for each set and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--weights", type=Path, default=ROOT / "weights" / "cloth.safetensors")
    parser.add_argument("--only", default="", help="sets whose name contains this")
    asked = parser.parse_args()
    engine = Retoucher(asked.weights, device="cpu")
    labels = Labels(asked.data / "masks.npz", asked.data)
    sys.stdout.write(TEMPLATE.format("set", "ghosts", "pixels", "spill", "visible", "kept") + "\n")
    for name, studio in SETS.items():
        if asked.only not in name:
            continue
        found = [spills(engine, labels, path, studio) for path in photos_of(asked.data, name)]
        for way, figures in zip(
            ("left", "damped"), zip(*filter(None, found), strict=True), strict=True
        ):
            pixels, change, visible, edit, kept = (sum(c) for c in zip(*figures, strict=True))
            many = max(pixels, 1)
            row = (name, way, pixels, f"{255 * change / many:.2f}", f"{visible / many:.1%}")
            sys.stdout.write(TEMPLATE.format(*row, f"{kept / max(edit, 1e-9):.1%}") + "\n")


if __name__ == "__main__":
    main()
