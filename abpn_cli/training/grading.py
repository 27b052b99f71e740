"""Training CSRNet on pairs of small copies: a studio's, or photos put wrong.

A pixel's colour alone decides what becomes of it, so a step looks at some hundred pixels of a
photo, not at all of them. Everything follows from (seed, step): a resumed run sees the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import cos, pi, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from ..errors import UsageError, WeightsError, shown
from ..nets.csrnet import BASE, Csrnet, CsrnetConfig, apply_steps, copy_size
from ..weights import Header, load, read_tensors, save, save_tensors, write_card
from .colour_pairs import LONG_SIDE, Coloured, ColourSource
from .distances import lab_distance, psnr
from .gallery import resize
from .synthesis import Floats
from .train import commit

RIM = 0.07  # share of a large copy's features that the zeros around it reach
PIXELS = 512  # of a photo that a step looks at
JUDGED_PIXELS = 20_000  # of a held-out photo
WARM_UP = 50  # steps over which the rate rises
ADAM_BETAS = (0.9, 0.99)  # as published
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Settings:
    """How a run goes; written into its checkpoints.

    steps: optimiser steps in all; batch: photos a step; side: px of the square copies that are
    learnt from, None for copies as large as those in use; rate: of Adam at first, falling along a
    cosine to a fiftieth; average: decay of the running mean of the weights, which is what is kept;
    freeze_base: whether the base network stays as it is, and the condition alone learns.
    """

    steps: int
    rate: float = 2e-3
    batch: int = 8
    side: int | None = None
    seed: int = 0
    every: int = 500
    average: float = 0.995
    freeze_base: bool = False


class Verdict(NamedTuple):
    """How weights do on held-out pairs, means over photos.

    before, after: PSNR in dB of the photo as it is, and graded, against what is wanted; gain: the
    mean of their differences, over pairs that differ; harm: CIE 1976 distance from the photo where
    nothing is wanted, None where there is no such pair.
    """

    before: float
    after: float
    gain: float
    harm: float | None


def tensor_of(image: Floats) -> Tensor:
    """(h, w, 3) to (1, 3, h, w)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]


class GradeTrainer:
    """Owns the network, its mean and the optimiser; saves and resumes them together."""

    def __init__(self, settings: Settings, source: ColourSource, start: Csrnet | None) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.source = settings, source
        self.net = Csrnet(CsrnetConfig(LONG_SIDE)) if start is None else deepcopy(start)
        self.side = settings.side or side_of(self.net.config)
        self.net.train()
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(not (settings.freeze_base and name.startswith(BASE)))
        self.learnt = [p for p in self.net.parameters() if p.requires_grad]
        self.adam = torch.optim.Adam(self.learnt, settings.rate, ADAM_BETAS)
        self.average = deepcopy(self.net).eval()
        self.step = 0

    def run(
        self,
        report: Callable[[int, Mapping[str, float], int], None],
        judged: Callable[[int, Csrnet], None],
        checkpoint: Path,
    ) -> None:
        """Train from the step at hand to the last; report: step, losses by name, photos seen."""
        while self.step < self.settings.steps:
            for group in self.adam.param_groups:
                group["lr"] = rate_at(self.step, self.settings)
            loss = self._learn(np.random.default_rng((self.settings.seed, self.step)))
            self.step += 1
            self._update_average()
            report(self.step, {"l1": loss}, self.settings.batch)
            if self.step % self.settings.every == 0 or self.step == self.settings.steps:
                judged(self.step, self.average)
                self.save(checkpoint)

    def _learn(self, rng: Generator) -> float:
        """Take one step; return its mean loss, L1 as published."""
        drawn = [self.source.draw(rng, self.side) for _ in range(self.settings.batch)]
        photos, wanted = (
            torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
            for images in zip(*drawn, strict=True)
        )
        places = rng.integers(photos[0, 0].numel(), size=PIXELS)
        before, after = (images.flatten(2)[..., places] for images in (photos, wanted))
        steps = self.net.steps(self._condition(photos))  # in channels_last, as they lie there
        loss = (apply_steps(steps, before) - after).abs().mean()
        if not torch.isfinite(loss):
            raise UsageError(
                f"step {self.step + 1}: the loss is no number. Run again with a lower --rate."
            )
        self.adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.learnt, 1.0)
        self.adam.step()
        return float(loss.detach())

    def _condition(self, copies: Tensor) -> Tensor:
        small = self.side < side_of(self.net.config)
        return condition_of(self.net, copies) if small else self.net.condition(copies)

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.settings.average, self.step / (self.step + 10))
        for mean, new in zip(self.average.parameters(), self.net.parameters(), strict=True):
            mean.lerp_(new, 1 - decay)

    def header(self, task: str = "") -> Header:
        """What this run's files say of themselves."""
        told = {
            "step": self.step, "settings": asdict(self.settings), "data": self.source.identity,
        }  # fmt: skip
        return Header("csrnet", asdict(self.net.config), task, training=told)

    def save(self, path: Path) -> None:
        """Write network, mean and optimiser, whole or not at all."""
        tensors = {f"net.{name}": t for name, t in self.net.state_dict().items()}
        tensors |= {f"average.{name}": t for name, t in self.average.state_dict().items()}
        for index, row in self.adam.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{key}": value for key, value in row.items()}
        save_tensors(path, tensors, self.header())

    def resume(self, path: Path) -> None:
        """Go on where a checkpoint stopped.

        Raises:
            UsageError: it was made with other settings, or from other photos.
            WeightsError: it is damaged.
        """
        header, tensors = read_tensors(path)
        told, own = header.training, self.header().training
        if (told.get("settings"), told.get("data")) != (own["settings"], own["data"]):
            raise UsageError(
                f"{shown(path)}: was made with other settings, or from other photos. "
                "Give the same options, or another --out."
            )
        parts: dict[str, dict[str, Tensor]] = {"net": {}, "average": {}}
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part == "adam":
                index, _, key = rest.partition(".")
                moments.setdefault(int(index), {})[key] = tensor
            else:
                parts[part][rest] = tensor
        self.net.load_state_dict(parts["net"])
        self.average.load_state_dict(parts["average"])
        groups = self.adam.state_dict()["param_groups"]
        self.adam.load_state_dict({"state": moments, "param_groups": groups})
        self.step = int(told["step"])


class Base(NamedTuple):
    """A style to go on from; about: what its file says of it, for the card of what comes of it."""

    net: Csrnet
    about: Mapping[str, Any]


def style_from(file: Path) -> Base:
    """Load a style to go on from.

    Raises:
        WeightsError: missing, damaged, or weights that do not grade.
    """
    net, header = load(file, torch.device("cpu"))
    if not isinstance(net, Csrnet):
        raise WeightsError(file, "is no style", "Give weights that `abpn grade` uses.")
    return Base(net, {"file": file.name, "digest": header.digest, **header.training})


def export(trainer: GradeTrainer, folder: Path, style: str, card: Mapping[str, Any]) -> Path:
    """Write the mean of the weights as a style, with its card; return the file."""
    path = folder / f"{style}.safetensors"
    header = trainer.header(style)
    save(path, trainer.average, header)
    told = {"task": style, "net": header.net, "config": dict(header.config), **card}
    training = {"steps": trainer.step, "settings": asdict(trainer.settings), "commit": commit()}
    write_card(path, {**told, **training, "date": datetime.now(UTC).date().isoformat()})
    return path


def side_of(config: CsrnetConfig) -> int:
    """Side of square copies, in px, as large as those of 4:3 that conditions are read from in use.

    What a network has learnt on smaller ones is to be finished on these: conditions hang on how
    much of the photo a pixel holds.
    """
    return int((config.condition_long_side or LONG_SIDE) * sqrt(3 / 4))


def condition_of(net: Csrnet, copies: Tensor) -> Tensor:
    """Read from small copies, (N, 3, h, w), what the condition of large ones might be: (N, 32).

    The zeros that each convolution adds around an image reach the outermost features alone. Those
    are a third of a small copy's, and weigh here what they do in one of LONG_SIDE.
    """
    features = net.cond_net.features(copies)
    inner = features[..., 1:-1, 1:-1]
    count = features[0, 0].numel() - inner[0, 0].numel()
    rim = (features.sum((2, 3)) - inner.sum((2, 3))) / count
    return (1 - RIM) * inner.mean((2, 3)) + RIM * rim


def rate_at(step: int, settings: Settings) -> float:
    """Rate of a step: risen over WARM_UP, then along a cosine to a fiftieth."""
    falling = 0.02 + 0.98 * (1 + cos(pi * step / settings.steps)) / 2
    return settings.rate * falling * min(1.0, (step + 1) / WARM_UP)


@torch.no_grad()
def judge(net: Csrnet, pairs: Sequence[Coloured]) -> Verdict:
    """Grade held-out pairs, clamped and on an 8-bit scale, as they would be delivered."""
    befores: list[float] = []
    afters: list[float] = []
    harms: list[float] = []
    for photo, wanted in pairs:
        size = copy_size((photo.shape[0], photo.shape[1]), net.config.condition_long_side)
        steps = net.steps(net.condition(tensor_of(resize(photo, size)))[0])
        rng = np.random.default_rng(len(befores) + len(harms))
        places = rng.choice(photo.shape[0] * photo.shape[1], JUDGED_PIXELS)
        seen, right = (image.reshape(-1, 3)[places] for image in (photo, wanted))
        done = apply_steps(steps, torch.from_numpy(np.ascontiguousarray(seen.T))).numpy().T
        done = np.rint(done.clip(0, 1) * 255) / np.float32(255)
        if photo is wanted or np.array_equal(photo, wanted):
            harms.append(float(lab_distance(done, seen).mean()))
        else:
            befores.append(psnr(seen, right))
            afters.append(psnr(done, right))
    gains = [after - before for before, after in zip(befores, afters, strict=True)]
    harm = float(np.mean(harms)) if harms else None
    means = [float(np.mean(values)) if values else 0.0 for values in (befores, afters, gains)]
    return Verdict(means[0], means[1], means[2], harm)
