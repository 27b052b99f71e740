"""The training loop: set rate, step, log, validate, save. Resumes exactly after a kill."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from ..weights import Header, read_tensors, save_tensors
from .lessons import Net, NetConfig, Taught, Weights, lesson_of, parameter_groups
from .losses import (
    LossWeights,
    PatchDiscriminator,
    PerceptualLoss,
    adversarial_loss,
    discriminator_loss,
    total_of,
)
from .pairs import Batch, Source

ADAM_BETAS = (0.9, 0.999)
MERIT = "gain"  # the figure of a validation by which the best weights are told


@dataclass(frozen=True)
class Settings:
    """How a run goes; written whole into its checkpoints.

    steps: optimiser steps in all; drop_at: share of them after which the rate is ×0.1 (paper:
    half); every: steps between checkpoints and validations; precision: "float32" or "bf16".
    warm_up: steps over which the rate rises from 0; painter_share: rate of the layers that write
    into the picture, as a share of the others'; average: decay of the running mean of the weights,
    which is what is judged and shipped, 0 for none; average_start: whether that mean starts with
    the weights that the run starts with, and keeps average^steps of them. keep_best: whether the
    weights that validation found to gain most are those of the run, whatever came after (early
    stopping).
    """

    steps: int
    task: str = "cloth"
    rate: float = 5e-4
    drop_at: float = 0.5
    every: int = 500
    seed: int = 0
    precision: str = "float32"
    workers: int = 1
    warm_up: int = 0
    painter_share: float = 1.0
    average: float = 0.0
    average_start: bool = False
    keep_best: bool = False
    weights: Weights = field(default_factory=LossWeights)


class Progress(NamedTuple):
    """One step's report: its number from 1, losses by name (λ not applied), images seen."""

    step: int
    losses: Mapping[str, float]
    images: int


class Kept(NamedTuple):
    """Weights that gained most so far, and what they gained (`validate.Scores.gain`)."""

    step: int
    gain: float
    state: Mapping[str, Tensor]


class _Steps(Dataset[Batch]):
    """A source as a torch dataset: item i is the batch of step `first + i·stride`."""

    def __init__(self, source: Source, first: int, last: int, offset: int) -> None:
        self.source, self.first, self.last, self.offset = source, first, last, offset

    def __len__(self) -> int:
        return max(0, self.last - self.first)

    def __getitem__(self, index: int) -> Batch:
        return self.source.batch(self.offset + self.first + index)


def learning_rate(step: int, settings: Settings) -> float:
    """Rate of a step: constant after the warm-up, ×0.1 after `drop_at` of the run (paper 5.1)."""
    risen = min(1.0, (step + 1) / (settings.warm_up + 1))
    return settings.rate * risen * (1.0 if step < settings.drop_at * settings.steps else 0.1)


class Trainer:
    """Owns the network, the optimisers and the step; saves and resumes them together."""

    def __init__(
        self,
        config: NetConfig,
        settings: Settings,
        source: Source,
        device: torch.device,
        perceptual: PerceptualLoss | None = None,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.config, self.settings, self.source, self.device = config, settings, source, device
        self.lesson = lesson_of(config)
        self.net: Net = self.lesson.make(config)
        if start is not None:
            self.net.load_state_dict(dict(start))
        self.net.to(device)
        for parameter in self.net.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.to(memory_format=torch.channels_last)
        perceptual = perceptual.to(device) if perceptual else None
        model = self.lesson.losses(self.net, settings.weights, perceptual, settings.precision)
        self.model: nn.Module = DistributedDataParallel(model) if dist.is_initialized() else model
        groups = parameter_groups(self.net, settings.painter_share)
        self.adam = torch.optim.Adam(groups, settings.rate, ADAM_BETAS, fused=True)
        self.average = deepcopy(self.net).eval() if settings.average > 0 else None
        self.critic: PatchDiscriminator | None = None
        if settings.weights.adversarial > 0:
            self.critic = PatchDiscriminator().to(device)
            self.critic_adam = torch.optim.Adam(self.critic.parameters(), settings.rate, ADAM_BETAS)
        self.step = 0
        self.metrics: dict[str, float] = {}
        self.kept: Kept | None = None

    def run(self, report: Callable[[Progress], None], validate: Callable[[Net], dict[str, float]],
            checkpoint: Path) -> None:  # fmt: skip
        """Train from the step at hand to the last, saving every `every` steps and at the end."""
        for batch in self._batches():
            for group in self._groups():
                group["lr"] = group.get("share", 1.0) * learning_rate(self.step, self.settings)
            losses = self._step(batch)
            self.step += 1
            self._update_average()
            report(Progress(self.step, losses, len(batch.thumbnail)))
            if self.step % self.settings.every == 0 or self.step == self.settings.steps:
                self.net.eval()
                self.metrics = validate(self.latest)
                self._keep()
                self.net.train()
                self.save(checkpoint)

    @property
    def latest(self) -> Net:
        """The network to judge: the running mean where there is one."""
        return self.net if self.average is None else self.average

    @torch.no_grad()
    def outcome(self) -> Net:
        """The network to ship: as validation liked it best where that is kept, else the latest."""
        net = deepcopy(self.latest)
        if self.kept is not None:
            net.load_state_dict(self.kept.state)
        return net

    def _keep(self) -> None:
        if not self.settings.keep_best:
            return
        gain = self.metrics[MERIT]
        if self.kept is None or gain > self.kept.gain:
            state = {name: t.detach().clone() for name, t in self.latest.state_dict().items()}
            self.kept = Kept(self.step, gain, state)

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        decay = self.settings.average
        if not self.settings.average_start:
            # at first the mean of few steps, lest it stay near the random start
            decay = min(decay, self.step / (self.step + 10))
        pairs = zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True)
        for mean, new in pairs:
            if mean.is_floating_point():
                mean.lerp_(new, 1 - decay)
            else:
                mean.copy_(new)

    def _groups(self) -> list[dict[str, Any]]:
        """Parameter groups of both optimisers."""
        critic = self.critic_adam.param_groups if self.critic is not None else []
        return [*self.adam.param_groups, *critic]

    def _batches(self) -> Iterator[Batch]:
        rank = dist.get_rank() if dist.is_initialized() else 0
        steps = _Steps(self.source, self.step, self.settings.steps, rank * self.settings.steps)
        loader = DataLoader(
            steps, batch_size=None, num_workers=self.settings.workers,
            multiprocessing_context="spawn" if self.settings.workers else None,
            prefetch_factor=4 if self.settings.workers else None,
        )  # fmt: skip
        self.net.train()
        yield from loader

    def _step(self, batch: Batch) -> dict[str, float]:
        moved = self._moved(batch)
        weights = self.settings.weights
        taught: Taught = self.model(moved)
        parts = taught.parts
        if self.critic is not None:
            parts["discriminator"] = self._teach_critic(self.critic, taught)
            parts["adversarial"] = adversarial_loss(self.critic(taught.seen, taught.result))
        weighed = [
            getattr(weights, name) * loss for name, loss in parts.items() if hasattr(weights, name)
        ]
        total = total_of(weighed, self.step)
        self.adam.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        self.adam.step()
        return {name: float(loss.detach()) for name, loss in parts.items()}

    def _moved(self, batch: Batch) -> Batch:
        layout = torch.channels_last  # measured: 2x the speed of NCHW here on a CPU
        a, b, c, d = (x.to(self.device, memory_format=layout) for x in batch[:4])
        return Batch(a, b, c, d, batch.corners, batch.levels)

    def _teach_critic(self, critic: PatchDiscriminator, taught: Taught) -> Tensor:
        _, seen, target, result = taught
        loss = discriminator_loss(critic(seen, target), critic(seen, result.detach()))
        self.critic_adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if dist.is_initialized():  # DDP wraps the network alone
            for gradient in [p.grad for p in critic.parameters() if p.grad is not None]:
                dist.all_reduce(gradient)
                gradient /= dist.get_world_size()
        self.critic_adam.step()
        return loss.detach()

    def header(self) -> Header:
        """What this run's checkpoint says of itself."""
        training = {
            "step": self.step,
            "settings": asdict(self.settings),
            "data": self.source.identity,
            "metrics": self.metrics,
            "commit": commit(),
        }
        if self.kept is not None:
            training["kept"] = {"step": self.kept.step, MERIT: self.kept.gain}
        return Header(self.lesson.name, asdict(self.config), self.settings.task, training=training)

    def save(self, path: Path) -> None:
        """Write network, optimisers and step as one safetensors file, whole or not at all."""
        if dist.is_initialized() and dist.get_rank() != 0:
            return
        tensors = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        tensors |= _adam_tensors("adam", self.adam)
        if self.average is not None:
            tensors |= {f"average.{n}": t for n, t in self.average.state_dict().items()}
        if self.kept is not None:
            tensors |= {f"kept.{n}": t for n, t in self.kept.state.items()}
        if self.critic is not None:
            tensors |= {f"critic.{n}": t for n, t in self.critic.state_dict().items()}
            tensors |= _adam_tensors("critic_adam", self.critic_adam)
        tensors["random"] = torch.get_rng_state()
        save_tensors(path, {n: t.contiguous().cpu() for n, t in tensors.items()}, self.header())

    def resume(self, path: Path) -> Header:
        """Go on where a checkpoint stopped; return what it says of itself.

        Raises:
            WeightsError: the file is damaged or of another network.
        """
        header, tensors = read_tensors(path)
        self.net.load_state_dict(_under("net", tensors))
        _load_adam(self.adam, _under("adam", tensors))
        if self.average is not None:
            self.average.load_state_dict(_under("average", tensors))
        if self.critic is not None:
            self.critic.load_state_dict(_under("critic", tensors))
            _load_adam(self.critic_adam, _under("critic_adam", tensors))
        if "kept" in header.training:
            kept = header.training["kept"]
            self.kept = Kept(int(kept["step"]), float(kept[MERIT]), _under("kept", tensors))
        torch.set_rng_state(tensors["random"])
        self.step = int(header.training["step"])
        self.metrics = dict(header.training["metrics"])
        return header


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def _adam_tensors(prefix: str, adam: torch.optim.Adam) -> dict[str, Tensor]:
    state = adam.state_dict()["state"]
    return {f"{prefix}.{i}.{key}": value for i, row in state.items() for key, value in row.items()}


def _load_adam(adam: torch.optim.Adam, tensors: Mapping[str, Tensor]) -> None:
    parameters = [p for group in adam.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".")
        if tensor.dim() == 4:
            # Files hold NCHW; the fused kernel walks moments and weights by raw memory order.
            tensor = torch.empty_like(parameters[int(index)]).copy_(tensor)
        state.setdefault(int(index), {})[key] = tensor
    adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})


def commit() -> str:
    """The commit this code stands at, "-dirty" behind it when files differ; "" outside git."""
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def join_group() -> torch.device | None:
    """Join the other processes when `torchrun` started us; return this one's device."""
    if "LOCAL_RANK" not in os.environ:
        return None
    cuda = torch.cuda.is_available()
    dist.init_process_group("nccl" if cuda else "gloo")
    return torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
