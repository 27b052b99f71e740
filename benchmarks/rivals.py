"""The paper's Table 1 on our pairs: ABPN, LPTN and ASAP-Net, learnt from scratch at equal cost.

Each network learns from the same made pairs of cloth, in the same order, as many steps as fit into
the same CPU time of one thread; making the pairs is not counted. All are judged on pairs that none
has seen: garments rendered wrinkled and pressed (examples/render.py), and held-out photos with
tension folds painted on, a generator that training does not use. The untouched photo, classical
filters and the shipped weights, which learnt far longer, stand beside them.

ASAP-Net learns at a reduced width, for 81 million parameters learn nothing in minutes. The photos
to learn from (--data) do not come with the source. Give the same command again to go on after a
kill; --train NET does one network's part of the work, --time the seconds and memory alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from abpn_cli import weights
from abpn_cli.nets.abpn import Abpn
from abpn_cli.nets.lptn import LptnConfig
from abpn_cli.training.cloth_pairs import ClothPairs, Crease, Recipe, wrinkle_bank
from abpn_cli.training.creases import (
    Transplant,
    crumple,
    draped_cloth,
    ridged_noise,
    ripples,
    strokes,
)
from abpn_cli.training.data import read_list
from abpn_cli.training.lessons import NetConfig, Weights
from abpn_cli.training.losses import LossWeights, PixelWeights
from abpn_cli.training.made_pairs import Labels
from abpn_cli.training.pairs import Batch, Shape, stack
from abpn_cli.training.reuse import Reused
from abpn_cli.training.rivals import ASAP_WIDTH, asapnet
from abpn_cli.training.session import config_of
from abpn_cli.training.train import Settings, Trainer
from abpn_cli.training.validate import score

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "weights" / "recipes"
DATA = ROOT.parent / "shared" / "data"
SHAPE = Shape(2, (256, 256), 64)  # thumbnails of 256 px, crops of 256 px at four times their scale
BATCH, USES = 4, 7
GATES = ((0.0, 1e-6), (0.2, 0.4), (0.4, 0.6))  # of ABPN: whole edits, and two bars of the mask


@dataclass(frozen=True)
class Entrant:
    """A network of the table and how it learns; share: of ABPN's `painter_share`."""

    config: NetConfig
    losses: Weights
    rate: float
    share: float = 1.0


ENTRANTS: Mapping[str, Entrant] = {
    "abpn": Entrant(
        config_of("shipped", 0.25, "cloth"), LossWeights(1000, 0, 0, 1, 0.1), 5e-4, 0.15
    ),
    "lptn": Entrant(LptnConfig(), PixelWeights(mse=1000), 1e-3),
    "asapnet": Entrant(
        asapnet(ASAP_WIDTH),
        PixelWeights(l1=1),
        2e-4,
    ),
}


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Timed:
    """Pairs of one shape, and the CPU seconds that making them took."""

    def __init__(self, pairs: ClothPairs) -> None:
        self.pairs = pairs
        self.seconds = 0.0

    @property
    def identity(self) -> str:
        """Digest of the pairs."""
        return self.pairs.identity

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`."""
        begun = time.process_time()
        rng = np.random.default_rng((self.pairs.seed, step))
        made = stack([self.pairs.sample(SHAPE, rng) for _ in range(BATCH)], SHAPE.levels)
        self.seconds += time.process_time() - begun
        return made


def pairs_of(data: Path, seed: int) -> Timed:
    """Pairs to learn from, of photos that the shipped weights learnt from too."""
    labels = Labels(data / "masks.npz", data)
    cloth, nothing = (read_list(data, RECIPES / f"{n}_train.txt") for n in ("cloth", "nothing"))
    creases: list[Crease] = [ridged_noise, draped_cloth, strokes, crumple, ripples]
    creases.append(Transplant(wrinkle_bank(cloth, labels, 40)))
    return Timed(ClothPairs(cloth, nothing, labels, creases, Recipe(), BATCH, seed))


def seconds_a_step(entrant: Entrant, batch: Batch) -> float:
    """CPU seconds that a network's step takes, the least of three: others share the machine."""
    trainer = Trainer(
        entrant.config, Settings(steps=3, weights=entrant.losses), _One(batch), torch.device("cpu")
    )
    trainer.net.train()
    taken = []
    for _ in range(4):
        begun = time.process_time()
        trainer._step(batch)
        taken.append(time.process_time() - begun)
    return min(taken[1:])


class _One:
    """A source of one batch."""

    identity = "one"

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def batch(self, step: int) -> Batch:
        """Return it."""
        return self._batch


def learn(name: str, data: Path, folder: Path, seconds: float) -> Path:
    """Train one network, or go on where it stopped; return its weights."""
    done = folder / f"{name}.safetensors"
    if done.exists():
        return done
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    entrant, source = ENTRANTS[name], pairs_of(data, 0)
    plan = folder / f"{name}.json"
    if not plan.exists():
        each = seconds_a_step(entrant, source.batch(0))
        plan.write_text(json.dumps({"steps": int(seconds / each), "seconds a step": each}))
    steps = int(json.loads(plan.read_text())["steps"])
    settings = Settings(
        steps=steps, every=40, warm_up=min(50, steps // 4), painter_share=entrant.share,
        average=0.98, drop_at=0.75, rate=entrant.rate, weights=entrant.losses, workers=0,
    )  # fmt: skip
    trainer = Trainer(entrant.config, settings, Reused(source, USES), torch.device("cpu"))
    checkpoint = folder / f"{name}_checkpoint.safetensors"
    if checkpoint.exists():
        trainer.resume(checkpoint)
    begun, made = time.process_time(), source.seconds

    def report(at: object) -> None:
        if trainer.step % 20 == 0:
            spent = time.process_time() - begun - (source.seconds - made)
            say(f"{name}: step {trainer.step}/{steps}, {spent:.0f} CPU s of learning; {at}")

    trainer.run(report, lambda net: {}, checkpoint)
    net = trainer.outcome()
    if isinstance(net, Abpn):
        settle(net, pairs_of(data, 5))
    header = replace(trainer.header(), config=asdict(net.config))
    weights.save(done, net, header)
    checkpoint.unlink()
    return done


def settle(net: Abpn, pairs: Timed) -> None:
    """Give ABPN the gate under which it gains most on other pairs of the photos it learnt from."""
    whole = Shape(2, SHAPE.thumbnail, SHAPE.thumbnail[0])
    rng = np.random.default_rng(5)
    batches = [stack([pairs.pairs.sample(whole, rng)], 2) for _ in range(12)]
    gains = {}
    for low, high in GATES:
        net.config = replace(net.config, gate_low=low, gate_high=high, light_only=True)
        gains[low, high] = score(net, batches).gain
        say(f"abpn: gate {low:g} {high:g} gains {gains[low, high]:.2f} dB")
    low, high = max(gains, key=lambda gate: gains[gate])
    net.config = replace(net.config, gate_low=low, gate_high=high)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is not there, judge and time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the photos to learn from")
    parser.add_argument("--out", type=Path, default=Path("out", "rivals"), help="for all of it")
    parser.add_argument("--seconds", type=float, default=240.0, help="CPU time of each network")
    parser.add_argument("--train", choices=sorted(ENTRANTS), help="train this one, and no more")
    options = parser.parse_args(arguments)
    if options.train:
        learn(options.train, options.data, options.out, options.seconds)


if __name__ == "__main__":
    main()
