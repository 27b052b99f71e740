"""A small grid of choices for training `cloth`: equal steps on equal pairs, one thing changed each.

All networks learn from scratch side by side, each step on the same batch (but those whose share of
photos with nothing to do differs), and are judged alike on held-out photos, creases painted by a
generator that none has seen: the mean of the weights, whole edits without a gate, so that no choice
hangs on where the gate would lie.

Thumbnails are 192 px, but for one choice, so that all runs together take some minutes on two cores:
it tells which way a choice points in the beginning, no more. It takes the photos of ../shared/data
(--data says where they are), which do not come with the source.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from abpn_cli.nets.abpn import Abpn
from abpn_cli.training.cloth_pairs import ClothPairs, Crease, Recipe, wrinkle_bank
from abpn_cli.training.creases import (
    Transplant,
    crumple,
    draped_cloth,
    ridged_noise,
    ripples,
    strokes,
    tension_folds,
)
from abpn_cli.training.data import PAINTED, read_list
from abpn_cli.training.losses import LossWeights, PerceptualLoss
from abpn_cli.training.made_pairs import Labels
from abpn_cli.training.pairs import CHANGED, Batch, Shape, stack
from abpn_cli.training.reuse import Reused
from abpn_cli.training.session import config_of
from abpn_cli.training.train import Settings, Trainer, learning_rate

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "weights" / "recipes"
DATA = ROOT.parent / "shared" / "data"
SIDE, CROPS = 192, 4  # px of the thumbnail; crops are a quarter as long
BATCHES = 10  # of four photos, to judge by
PATCHES = 40  # wrinkles to transplant
ORDINARY = LossWeights(mse=1000, perceptual=0, adversarial=0, dice=1, tv=0.1)
TEMPLATE = "{:<26}{:>9}{:>9}{:>9}{:>9}{:>9}{:>11}"


@dataclass(frozen=True)
class Choice:
    """What a run does otherwise than the first one.

    idle: share of pairs with nothing to do; side: px of the thumbnail, in training and judging;
    config: keys of the network.
    """

    name: str
    width: float = 0.25
    weights: LossWeights = ORDINARY
    idle: float = 0.27
    side: int = SIDE
    config: Mapping[str, Any] = field(default_factory=dict)


CHOICES = (
    Choice("as shipped"),
    Choice("no residual head", config={"lrl_residual": False}),
    Choice("TV 0", weights=replace(ORDINARY, tv=0.0)),
    Choice("TV 1", weights=replace(ORDINARY, tv=1.0)),
    Choice("perceptual 0.1", weights=replace(ORDINARY, perceptual=0.1)),
    Choice("balance 0.5", weights=replace(ORDINARY, mse=3000.0, balance=0.5)),
    Choice("GAN 0.1", weights=replace(ORDINARY, adversarial=0.1)),
    Choice("nothing to do 5 %", idle=0.05),
    Choice("nothing to do 50 %", idle=0.5),
    Choice("width 0.5", width=0.5),
    Choice("thumbnail twice as large", side=2 * SIDE),
)
FULL = Choice("width 1", width=1.0)  # six times as dear as all of them: asked for by --full


class Small(ClothPairs):
    """Pairs of one small shape; side: px of the thumbnail."""

    side = SIDE

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`."""
        shape = Shape(2, (self.side, self.side), self.side // CROPS)
        rng = np.random.default_rng((self.seed, step))
        return stack([self.sample(shape, rng) for _ in range(self.batch_size)], shape.levels)


def trainer(choice: Choice, steps: int, precision: str, source: Small, vgg16: Path) -> Trainer:
    """Set a run up."""
    settings = Settings(
        steps=steps, every=steps, precision=precision, warm_up=30, painter_share=0.15,
        average=0.98, drop_at=0.8, weights=choice.weights,
    )  # fmt: skip
    config = replace(config_of("shipped", choice.width, "cloth"), **choice.config)
    perceptual = PerceptualLoss(vgg16) if choice.weights.perceptual else None
    return Trainer(config, settings, source, torch.device("cpu"), perceptual)


def step(run: Trainer, batch: Batch) -> None:
    """One step of a run, as `Trainer.run` takes it."""
    run.net.train()
    for group in run._groups():
        group["lr"] = group.get("share", 1.0) * learning_rate(run.step, run.settings)
    run._step(batch)
    run.step += 1
    run._update_average()


@torch.no_grad()
def judged(net: Abpn, batches: Sequence[Batch]) -> dict[str, float]:
    """Gain in dB inside M_gt, over the frame, cosine of our change and the true one, dice."""
    inside_gain, cosines, before, after, overlap, size = [], [], 0.0, 0.0, 0.0, 0.0
    for batch in batches:
        found = net(batch.crop, batch.levels)
        true, ours = batch.crop_target - batch.crop, found.results[0] - batch.crop
        inside = (true.abs().amax(1, keepdim=True) > CHANGED).float()
        was, now = ((e.square().mean(1, keepdim=True)) for e in (true, true - ours))
        told = inside.sum((1, 2, 3)) > 20
        ratio = (was * inside).sum((1, 2, 3))[told] / (now * inside).sum((1, 2, 3))[told]
        inside_gain += (10 * torch.log10(ratio)).tolist()
        dots = (true * ours).sum((1, 2, 3))
        lengths = true.square().sum((1, 2, 3)) * ours.square().sum((1, 2, 3))
        cosines += (dots / lengths.sqrt().clamp(min=1e-9))[told].tolist()
        before, after = before + float(was.sum()), after + float(now.sum())
        target = torch.nn.functional.adaptive_max_pool2d(inside, found.mask.shape[2:])
        overlap += 2 * float((found.mask * target).sum())
        size += float(found.mask.square().sum() + target.square().sum())
    return {
        "inside": sum(inside_gain) / len(inside_gain),
        "whole": 10 * math.log10(before / after),
        "cosine": sum(cosines) / len(cosines),
        "dice": overlap / size,
    }


@torch.no_grad()
def restraint(net: Abpn, batches: Sequence[Batch]) -> float:
    """PSNR to the input in dB on photos with nothing to do, errors pooled, without a gate."""
    errors = [float((net(b.crop, b.levels).results[0] - b.crop).square().mean()) for b in batches]
    return -10 * math.log10(max(sum(errors) / len(errors), 1e-10))


def kind_of(choice: Choice) -> tuple[float, int]:
    """Tell choices apart that do not learn from the same pairs."""
    return choice.idle, choice.side


def whole(made: ClothPairs, side: int) -> list[Batch]:
    """Batches of four to judge by; their crops are whole photos."""
    shape = Shape(2, (side, side), side)
    return [
        stack(
            [made.sample(shape, np.random.default_rng((index, number))) for number in range(4)], 2
        )
        for index in range(BATCHES)
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the grid; a line for each choice, and a JSON file of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "choices.json")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--precision", default="bf16", help="float32 where the CPU has no bf16")
    parser.add_argument("--full", action="store_true", help="the paper's width too")
    asked = parser.parse_args(argv)
    choices = (*CHOICES, FULL) if asked.full else CHOICES
    cv2.setNumThreads(1)
    labels = Labels(asked.data / "masks.npz", asked.data)
    lists = ("cloth_train", "nothing_train", "cloth_held_out", "nothing_held_out")
    cloth, nothing, held, idle = (read_list(asked.data, RECIPES / f"{n}.txt") for n in lists)
    creases: list[Crease] = [ridged_noise, draped_cloth]
    creases += [strokes, crumple, ripples]
    creases.append(Transplant(wrinkle_bank(cloth, labels, PATCHES)))

    def source(choice: Choice) -> Small:
        recipe = Recipe(nothing=choice.idle * 0.74, surfaces=choice.idle * 0.26)
        small = Small(cloth, nothing, labels, creases, recipe, 6, 0)
        small.side = choice.side
        return small

    sources = {kind_of(choice): Reused(source(choice), 3) for choice in choices}
    judges = ClothPairs(held, idle, labels, [tension_folds], PAINTED, 4, 1)
    fine = ClothPairs(held, idle, labels, [tension_folds], Recipe(nothing=1, surfaces=0), 4, 2)
    tests, still = (
        {side: whole(made, side) for side in {choice.side for choice in choices}}
        for made in (judges, fine)
    )
    vgg16 = asked.data / "models" / "vgg16_lpips_fp16.safetensors"
    runs = [(c, trainer(c, asked.steps, asked.precision, source(c), vgg16)) for c in choices]
    spent = dict.fromkeys((c.name for c in choices), 0.0)
    sys.stderr.write("pairs to judge by are made\n")
    for number in range(asked.steps):
        made = {kind: each.batch(number) for kind, each in sources.items()}
        for choice, run in runs:
            begun = time.process_time()
            step(run, made[kind_of(choice)])
            spent[choice.name] += time.process_time() - begun
        if number % 25 == 24:
            sys.stderr.write(f"step {number + 1}/{asked.steps}\n")
    head = ("choice", "inside", "whole", "cosine", "dice", "idle", "CPU s/step")
    sys.stdout.write(TEMPLATE.format(*head) + "\n")
    rows = []
    for choice, run in runs:
        latest = run.latest.eval()
        assert isinstance(latest, Abpn)
        row = judged(latest, tests[choice.side])
        row |= {
            "idle": restraint(latest, still[choice.side]),
            "seconds": spent[choice.name] / asked.steps,
        }
        rows.append({"choice": choice.name, **row})
        figures = [f"{value:.2f}" for value in row.values()]
        sys.stdout.write(TEMPLATE.format(choice.name, *figures) + "\n")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
