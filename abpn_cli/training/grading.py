"""Training CSRNet on a studio's pairs, or on photos put wrong, by small copies of them.

A pixel's colour alone decides what becomes of it, so a step looks at a few thousand pixels of a
photo, not at all of them. Everything follows from (seed, step): a resumed run sees the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import cos, pi
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UsageError, WeightsError, shown
from ..nets.csrnet import BASE, Csrnet, CsrnetConfig, apply_steps, copy_size
from ..weights import Header, load, read_tensors, save, save_tensors, write_card
from . import tones
from .damage import damaged, draw_damage
from .gallery import Gallery, resize
from .pairs import Pair, digest_of
from .synthesis import Floats
from .train import commit

LONG_SIDE = 500  # px of the copies that conditions are read from
SMALL_SIDES = (80, 128)  # px: of most copies that a run sees, which take a twentieth of the time
PIXELS = 1024  # of a photo that a step looks at
JUDGED_PIXELS = 20_000  # of a held-out photo
HEAD_START = 1500  # drawn pairs by which a new network's heads are solved, at most
DRAWS = 8  # of each photo for that
UNTOUCHED = 0.3  # share of made pairs whose photo is left as it is: restraint is learnt from them
LEAST_CROP = 0.6  # of a photo's sides: what a crop keeps
ADAM_BETAS = (0.9, 0.99)  # as published
CHECKPOINT = "checkpoint.safetensors"

_PHOTOS = Gallery(LONG_SIDE)  # of this process


class Coloured(NamedTuple):
    """A small photo and how its colours shall become, (h, w, 3) float32 in [0, 1]."""

    photo: Floats
    wanted: Floats


class ColourSource(Protocol):
    """Anything that draws coloured pairs; `identity` says from what, for a run that goes on."""

    @property
    def identity(self) -> str:
        """Digest of what and how."""

    @property
    def count(self) -> int:
        """How many photos, or pairs of them, it draws from."""

    def draw(self, rng: Generator, side: int) -> Coloured:
        """Draw a pair, its long side `side` px at most."""


@dataclass(frozen=True)
class Settings:
    """How a run goes; written into its checkpoints.

    steps: optimiser steps in all; batch: photos a step; whole: share of the photos whose copies are
    of LONG_SIDE, as they will be, the others' of SMALL_SIDES; rate: of Adam at first, falling along
    a cosine to a fiftieth; average: decay of the running mean of the weights, which is what is
    kept; freeze_base: whether the base network stays as it is, and the condition alone learns.
    """

    steps: int
    rate: float = 3e-4
    whole: float = 0.04
    batch: int = 8
    seed: int = 0
    every: int = 500
    average: float = 0.998
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


class Damaged:
    """Clean photos put wrong at random; some are left as they are."""

    def __init__(self, photos: Sequence[Path], root: Path) -> None:
        """photos: files under `root`, of which at least one."""
        self.photos = list(photos)
        self._names = [photo.relative_to(root).as_posix() for photo in photos]

    @property
    def identity(self) -> str:
        """Digest of the photos' names."""
        return digest_of(self._names, UNTOUCHED)

    @property
    def count(self) -> int:
        """How many photos there are."""
        return len(self.photos)

    def draw(self, rng: Generator, side: int) -> Coloured:
        """Draw a photo, crop it, and put it wrong."""
        photo = _PHOTOS.pixels(self.photos[int(rng.integers(len(self.photos)))])
        photo = _shrunk(_crop(photo, rng), side)
        if rng.random() < 0.5:
            photo = photo[:, ::-1]
        clean = photo.astype(np.float32) / np.float32(255)
        if rng.random() < UNTOUCHED:
            return Coloured(clean, clean)
        return Coloured(damaged(photo, draw_damage(rng)), clean)


class StudioColours:
    """A studio's before and after, whole and in crops."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        """pairs: of photos of one frame, at least one."""
        self.pairs = list(pairs)

    @property
    def identity(self) -> str:
        """Digest of the photos' names."""
        return digest_of([path.name for pair in self.pairs for path in pair])

    @property
    def count(self) -> int:
        """How many pairs there are."""
        return len(self.pairs)

    def draw(self, rng: Generator, side: int) -> Coloured:
        """Draw a pair and crop both alike."""
        pair = self.pairs[int(rng.integers(len(self.pairs)))]
        both = np.concatenate([_PHOTOS.pixels(path) for path in pair], axis=2)
        both = _shrunk(_crop(both, rng), side).astype(np.float32) / np.float32(255)
        return Coloured(both[..., :3], both[..., 3:])


def _crop(photo: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """Cut a random part of (h, w, C), half the time."""
    if rng.random() < 0.5:
        return photo
    size = np.array(photo.shape[:2])
    kept = np.maximum((size * rng.uniform(LEAST_CROP, 1, 2)).astype(int), 1)
    top, left = (int(rng.integers(room + 1)) for room in size - kept)
    return photo[top : top + kept[0], left : left + kept[1]]


def _shrunk(photo: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Bring (h, w, C) to a long side of `side` px at most, by area."""
    size = copy_size((photo.shape[0], photo.shape[1]), side)
    if size == photo.shape[:2]:
        return photo
    how = cv2.INTER_AREA if size[0] <= photo.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(photo, size[::-1], interpolation=how), np.uint8)


def tensor_of(image: Floats) -> Tensor:
    """(h, w, 3) to (1, 3, h, w)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]


def new_net(seed: int = 0) -> Csrnet:
    """A network that returns what it is given, its features laid out for `head_start`."""
    net = Csrnet(CsrnetConfig(LONG_SIDE))
    tones.lay_out(net, seed)
    return net


@torch.no_grad()
def head_start(net: Csrnet, source: ColourSource, seed: int) -> None:
    """Solve a new network's heads over drawn pairs; training goes on from there."""
    system = tones.empty_system()
    for index in range(min(HEAD_START, DRAWS * source.count)):
        rng = np.random.default_rng((seed, index))
        photo, wanted = source.draw(rng, int(rng.integers(*SMALL_SIDES)))
        places = rng.integers(photo.shape[0] * photo.shape[1], size=PIXELS)
        condition = net.condition(tensor_of(photo))[0].numpy()
        before, after = (image.reshape(-1, 3)[places] for image in (photo, wanted))
        tones.add_photo(system, condition, before, after)
    tones.solve(net, system)


class GradeTrainer:
    """Owns the network, its mean and the optimiser; saves and resumes them together."""

    def __init__(self, settings: Settings, source: ColourSource, start: Csrnet | None) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.source = settings, source
        self.new = start is None  # and so its heads are still to be solved
        self.net = new_net(settings.seed) if start is None else deepcopy(start)
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
        if self.new and self.step == 0:
            head_start(self.net, self.source, self.settings.seed)
            self.average.load_state_dict(self.net.state_dict())
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
        self.adam.zero_grad(set_to_none=True)
        total = 0.0
        for _ in range(self.settings.batch):
            whole = rng.random() < self.settings.whole
            side = LONG_SIDE if whole else int(rng.integers(SMALL_SIDES[0], SMALL_SIDES[1] + 1))
            photo, wanted = self.source.draw(rng, side)
            steps = self.net.steps(self.net.condition(tensor_of(photo))[0])
            places = rng.integers(photo.shape[0] * photo.shape[1], size=PIXELS)
            before, after = (
                torch.from_numpy(np.ascontiguousarray(image.reshape(-1, 3)[places].T))
                for image in (photo, wanted)
            )
            loss = (apply_steps(steps, before) - after).abs().mean() / self.settings.batch
            torch.autograd.backward(loss)
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.learnt, 1.0)
        self.adam.step()
        if not np.isfinite(total):
            raise UsageError(
                f"step {self.step + 1}: the loss is no number. Run again with a lower --rate."
            )
        return total

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


def rate_at(step: int, settings: Settings) -> float:
    """Rate of a step: risen over the first 20, then along a cosine to a fiftieth."""
    falling = 0.02 + 0.98 * (1 + cos(pi * step / settings.steps)) / 2
    return settings.rate * falling * min(1.0, (step + 1) / 20)


def damaged_pairs(photos: Sequence[Path], seed: int) -> list[Coloured]:
    """Two pairs of each photo, whole at LONG_SIDE: put wrong, and left as it is."""
    pairs = []
    for index, path in enumerate(photos):
        photo = _shrunk(_PHOTOS.pixels(path), LONG_SIDE)
        clean = photo.astype(np.float32) / np.float32(255)
        damage = draw_damage(np.random.default_rng((seed, index)))
        pairs += [Coloured(damaged(photo, damage), clean), Coloured(clean, clean)]
    return pairs


def studio_pairs(pairs: Sequence[Pair]) -> list[Coloured]:
    """A studio's pairs, whole at LONG_SIDE."""
    small = [[_PHOTOS.image(path) for path in pair] for pair in pairs]
    return [Coloured(before, resize(after, before.shape[:2])) for before, after in small]


@torch.no_grad()
def judge(net: Csrnet, pairs: Sequence[Coloured]) -> Verdict:
    """Grade held-out pairs, clamped and on an 8-bit scale, as they would be delivered."""
    befores: list[float] = []
    afters: list[float] = []
    harms: list[float] = []
    for photo, wanted in pairs:
        steps = net.steps(net.condition(tensor_of(photo))[0])
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


def psnr(one: Floats, other: Floats) -> float:
    """PSNR of images in [0, 1], in dB, 60 at most."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return float(min(60.0, -10 * np.log10(max(error, 1e-12))))


def lab_distance(one: Floats, other: Floats) -> Floats:
    """CIE 1976 distance of (P, 3) sRGB colours in [0, 1], white D65: (P,)."""
    labs = [
        cv2.cvtColor(np.ascontiguousarray(image[None], np.float32), cv2.COLOR_RGB2Lab)[0]
        for image in (one, other)
    ]
    return np.asarray(np.linalg.norm(labs[0] - labs[1], axis=1), np.float32)
