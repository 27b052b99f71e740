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
import math
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from abpn_cli import weights
from abpn_cli.engine import Engine
from abpn_cli.engine.tasks import Means, make_engine
from abpn_cli.evaluation.baselines import FILTERS
from abpn_cli.evaluation.cases import PROTOCOLS
from abpn_cli.evaluation.judge import UNTOUCHED, Judge, Row, evaluate_pairs, means
from abpn_cli.evaluation.methods import by_filter, by_weights
from abpn_cli.nets.abpn import Abpn
from abpn_cli.nets.lptn import LptnConfig
from abpn_cli.photo import Photo
from abpn_cli.training.backbones import Lpips
from abpn_cli.training.cloth_pairs import ClothPairs, Crease, Recipe, wrinkle_bank
from abpn_cli.training.creases import (
    Transplant,
    crumple,
    draped_cloth,
    ridged_noise,
    ripples,
    strokes,
)
from abpn_cli.training.data import PhotoSet, held_out_pairs, read_list
from abpn_cli.training.lessons import NetConfig, Weights
from abpn_cli.training.losses import LossWeights, PixelWeights
from abpn_cli.training.made_pairs import Labels
from abpn_cli.training.pairs import Batch, Shape, match_pairs, stack
from abpn_cli.training.reuse import Reused
from abpn_cli.training.rivals import ASAP_WIDTH, asapnet
from abpn_cli.training.session import config_of
from abpn_cli.training.train import Settings, Trainer
from abpn_cli.training.validate import score

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "weights" / "recipes"
DATA = ROOT.parent / "shared" / "data"
SHAPE = Shape(2, (256, 256), 64)  # thumbnails of 256 px, crops of 256 px at four times their scale
LPIPS = Path("models", "alexnet_lpips_fp16.safetensors")
SHIPPED = "cloth, as shipped"
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
    plan = folder / f"{name}_plan.json"  # a NAME.json would be the card of the weights
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


def engine_of(file: Path) -> Engine:
    """Weights as `abpn retouch` would use them, on the CPU."""
    return make_engine({"": file}, Means("cpu", "auto"))


def entrants(folder: Path) -> dict[str, Path]:
    """The weights of every row."""
    files = {name: folder / f"{name}.safetensors" for name in ENTRANTS}
    return {**files, SHIPPED: ROOT / "weights" / "cloth.safetensors"}


def rendered(folder: Path) -> Path:
    """Garments rendered wrinkled and pressed, `before` and `after`."""
    if not (folder / "before").is_dir():
        words = [sys.executable, str(ROOT / "examples" / "render.py"), str(folder), "--pairs"]
        subprocess.run(words, check=True)
    return folder


def folds(data: Path, folder: Path, count: int) -> Path:
    """Held-out photos of 1024 px with tension folds painted on, `before` and `after`, 16 bits."""
    cloth, nothing = (read_list(data, RECIPES / f"{n}_held_out.txt") for n in ("cloth", "nothing"))
    made = held_out_pairs(PhotoSet(data, cloth, nothing, data / "masks.npz"))
    rng = np.random.default_rng(11)
    for part in ("before", "after"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        sample = made.sample(Shape(1, (512, 512), 512), rng)
        for part, image in (("before", sample.crop), ("after", sample.crop_target)):
            pixels = np.rint(image.clip(0, 1) * 65535).astype(np.uint16)
            cv2.imwrite(str(folder / part / f"{index:02}.png"), pixels[..., ::-1])
    return folder


def judged(pairs: Path, folder: Path, data: Path, protocol: str) -> list[Row]:
    """Means of every row over the pairs of a folder."""
    engines = [(name, engine_of(file)) for name, file in entrants(folder).items()]
    methods = [by_weights(name, engine) for name, engine in engines]
    methods += [by_filter(name, smooth) for name, smooth in FILTERS.items()]
    backbone = data / LPIPS
    judge = Judge(Lpips(backbone) if backbone.exists() else None)
    matched = match_pairs(pairs / "before", pairs / "after")
    return means(list(evaluate_pairs(matched.pairs, methods, judge, PROTOCOLS[protocol])))


def quality_table(rows: Sequence[Row]) -> str:
    """Rows in the order of the paper's Table 1, as Markdown; the best of a column is bold."""
    columns = (
        ("LPIPS", "lpips", 4, -1), ("PSNR", "whole", 2, 1), ("SSIM", "ssim", 4, 1),
        ("gain, dB", "gain", 2, 1), ("gain inside", "gain_inside", 2, 1),
        ("gain outside", "gain_outside", 2, 1),
    )  # fmt: skip
    lines = ["| | " + " | ".join(head for head, *_ in columns) + " |", "|---" * 7 + "|"]
    best = {
        field: max(
            (getattr(row, field) * sign for row in rows if row.method != UNTOUCHED), default=0
        )
        for _, field, _, sign in columns
    }
    for row in rows:
        cells = []
        for _, field, decimals, sign in columns:
            value = getattr(row, field)
            text = "–" if math.isnan(value) else f"{value:.{decimals}f}"
            first = value * sign == best[field] and row.method != UNTOUCHED
            cells.append(f"**{text}**" if first else text)
        lines.append(f"| {row.method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measure(file: Path, side: int, pairs: Path) -> dict[str, float]:
    """Milliseconds, wall and CPU, and memory of one photo: the least of two runs.

    The photo is the first rendered garment, enlarged; the process is to do nothing else.
    """
    engine = engine_of(file)
    picture = cv2.imread(str(sorted((pairs / "before").iterdir())[0]))
    assert picture is not None
    pixels = cv2.resize(picture[..., ::-1], (side, side), interpolation=cv2.INTER_CUBIC)
    photo = Photo(np.ascontiguousarray(pixels, np.uint8))
    runs = []
    for _ in range(2):
        begun, spent = time.perf_counter(), time.process_time()
        _, edit = engine.retouch(photo)
        runs.append((time.perf_counter() - begun, time.process_time() - spent))
    peak = _peak_bytes() / 2**20
    wall, cpu = (1000 * min(column) for column in zip(*runs, strict=True))
    return {"wall": wall, "cpu": cpu, "peak": peak, "mask": edit.mask_fraction}


def _peak_bytes() -> int:
    """Most memory that this process has had; getrusage would tell the parent's where it had more.

    Raises:
        OSError: not on Linux.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def timed(folder: Path, pairs: Path) -> str:
    """Seconds and memory of every row, each in a process of its own, as Markdown."""
    lines = ["| | mask | 1024², ms | CPU ms | peak, MiB | 4096², ms | CPU ms | peak, MiB |"]
    lines.append("|---" * 8 + "|")
    for name, file in entrants(folder).items():
        cells = []
        for side in (1024, 4096):
            words = [sys.executable, __file__, "--measure", str(file), str(side), str(pairs)]
            told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            found = json.loads(told)
            cells += [f"{found[key]:.0f}" for key in ("wall", "cpu", "peak")]
        lines.append(f"| {name} | {found['mask']:.0%} | " + " | ".join(cells) + " |")
        say(lines[-1])
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is not there, judge and time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the photos to learn from")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "rivals", help="for all of it")
    parser.add_argument("--seconds", type=float, default=240.0, help="CPU time of each network")
    parser.add_argument("--pairs", type=Path, help="garments rendered before, not to do it again")
    parser.add_argument("--folds", type=int, default=16, help="held-out photos to judge by")
    parser.add_argument("--train", choices=sorted(ENTRANTS), help="train this one, and no more")
    parser.add_argument("--time", action="store_true", help="seconds and memory, and no more")
    parser.add_argument("--measure", nargs=3, metavar=("FILE", "SIDE", "PAIRS"), help="of one row")
    options = parser.parse_args(arguments)
    if options.measure:
        file, side, pairs = options.measure
        say(json.dumps(measure(Path(file), int(side), Path(pairs))))
        return
    for name in [options.train] if options.train else [] if options.time else sorted(ENTRANTS):
        learn(name, options.data, options.out, options.seconds)
    if options.train:
        return
    garments = rendered(options.pairs or options.out / "rendered")
    if not options.time:
        say("\nRendered garments, the paper's protocol (1024 x 1024)\n")
        say(quality_table(judged(garments, options.out, options.data, "paper")))
        painted = folds(options.data, options.out / "folds", options.folds)
        say(f"\nTension folds on {options.folds} held-out photos, 1024 x 1024\n")
        say(quality_table(judged(painted, options.out, options.data, "full")))
    say("\nSeconds and memory\n")
    timed(options.out, garments)


if __name__ == "__main__":
    main()
