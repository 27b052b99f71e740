"""Training HiFill: L1 and WGAN-GP on photos with made holes, paper 3.5-3.6.

A step teaches the critic a few times and the generator once, each on photos of its own. What they
see follows from (seed, step): a resumed run sees the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn

from ..errors import UsageError, WeightsError, shown
from ..nets.hifill import Critic, Filled, GatedConv, Hifill, HifillConfig
from ..weights import Header, load, read_tensors, save, save_tensors, write_card
from .gallery import Gallery
from .holes import hole
from .losses import total_of
from .pairs import digest_of
from .train import commit

CHECKPOINT = "checkpoint.safetensors"
LONGEST = 2048  # px: photos are kept no larger
LARGEST_CROP = 2.0  # of the network's side: what a crop shows at most, shrunk
ADAM_BETAS = (0.5, 0.9)  # as published, and what follows, too
INIT_STD = 0.05
GATED_GAIN = 2.8  # of features: ELU and a gate at a half keep about 0.36 of a normal draw
HANDED_ON_NOISE = 0.3  # of that, where a layer starts by handing on what it got
JUDGED_SEED = 10**6  # of the holes that a validation looks at

_PHOTOS = Gallery(LONGEST)  # of this process


@dataclass(frozen=True)
class Settings:
    """How a run goes; written into its checkpoints. Weights of losses as the published code has.

    steps: of the generator; batch: photos a step; critic_steps: of the critic before each; hole,
    context: of L1 in and around the hole; coarse: of the first stage beside the second;
    adversarial: of the critic's word, 0 for none; penalty: on its gradient; precision: of the
    generator's convolutions, "float32" or "bf16".
    """

    steps: int
    rate: float = 1e-4
    batch: int = 4
    seed: int = 0
    every: int = 500
    critic_steps: int = 3
    hole: float = 1.2
    context: float = 1.2
    coarse: float = 1.2
    adversarial: float = 1e-3
    penalty: float = 10.0
    precision: str = "float32"

    def with_adversarial(self, weight: float) -> Settings:
        """The same with another weight of the critic's word."""
        return replace(self, adversarial=weight)


class Holed(NamedTuple):
    """Pictures (N, 3, S, S) in [-1, 1], RGB, whole, and their masks (N, 1, S, S), 1 in the hole."""

    pictures: Tensor
    masks: Tensor


class Verdict(NamedTuple):
    """How weights do on held-out photos: mean |difference| in the hole, in per cent of the range.

    telea: that of OpenCV's inpainting on the same holes.
    """

    l1: float
    telea: float


class Holes:
    """Photos, cropped at random, with a hole in each."""

    def __init__(self, photos: Sequence[Path], root: Path, side: int) -> None:
        """photos: files under `root`, of which at least one; side: px of the pictures."""
        self.photos = list(photos)
        self.side = side
        self._names = [photo.relative_to(root).as_posix() for photo in photos]

    @property
    def identity(self) -> str:
        """Digest of the photos' names and the size."""
        return digest_of(self._names, self.side)

    def batch(self, count: int, rng: Generator) -> Holed:
        """Draw so many pictures and holes."""
        drawn = [self._picture(rng) for _ in range(count)]
        masks = [hole(self.side, rng)[None].astype(np.float32) for _ in range(count)]
        return Holed(torch.from_numpy(np.stack(drawn)), torch.from_numpy(np.stack(masks)))

    def _picture(self, rng: Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        photo = _PHOTOS.pixels(self.photos[int(rng.integers(len(self.photos)))])
        shorter = min(photo.shape[:2])
        kept = int(min(shorter, self.side * rng.uniform(1, LARGEST_CROP)))
        top, left = (int(rng.integers(room - kept + 1)) for room in photo.shape[:2])
        crop = photo[top : top + kept, left : left + kept]
        way = cv2.INTER_AREA if kept > self.side else cv2.INTER_CUBIC
        crop = np.asarray(cv2.resize(crop, (self.side, self.side), interpolation=way))
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        return np.ascontiguousarray(crop.transpose(2, 0, 1), np.float32) / np.float32(127.5) - 1


def pasted_in(filled: Tensor, seen: Holed) -> Tensor:
    """The picture with its hole filled, (N, 3, S, S)."""
    return filled * seen.masks + seen.pictures * (1 - seen.masks)


def l1_losses(made: Tensor, seen: Holed) -> tuple[Tensor, Tensor]:
    """Mean |difference| of a filled picture in the hole and around it, over all channels."""
    apart = (made - seen.pictures).abs().mean(1, keepdim=True)
    known = 1 - seen.masks
    return (
        (apart * seen.masks).sum() / seen.masks.sum().clamp_min(1),
        (apart * known).sum() / known.sum().clamp_min(1),
    )


def generator_losses(filled: Filled, seen: Holed, settings: Settings) -> dict[str, Tensor]:
    """L1 of both stages, weights applied."""
    losses: dict[str, Tensor] = {}
    for stage, share in (("coarse", settings.coarse), ("refined", 1.0)):
        inside, outside = l1_losses(getattr(filled, stage), seen)
        losses[f"{stage}_hole"] = share * settings.hole * inside
        losses[f"{stage}_context"] = share * settings.context * outside
    return losses


def critic_loss(
    critic: nn.Module, real: Tensor, made: Tensor, penalty: float, rng: Generator
) -> Tensor:
    """Wasserstein distance with a penalty on the gradient between real and made, WGAN-GP eq. (3).

    real, made: (N, 3, S, S); made is not taught.
    """
    share = torch.from_numpy(rng.random((len(real), 1, 1, 1), np.float32)).to(real.device)
    between = (real * share + made.detach() * (1 - share)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    steepness = gradient.flatten(1).norm(dim=1)
    distance = critic(made.detach()).mean() - critic(real).mean()
    loss: Tensor = distance + penalty * (steepness - 1).square().mean()
    return loss


def initialise(net: nn.Module) -> None:
    """Draw weights: truncated normal, biases 0, as the published code does; but for gated features.

    A gate starts at a half, and 26 of them in a row would leave nothing of the picture: features
    are drawn so wide that what passes a gate is as large as what came in. Where a layer could hand
    on what it got, it starts near to that: the coarse network then learns some three times as fast.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            _draw_weights(module, INIT_STD)
    for module in net.modules():
        if isinstance(module, GatedConv):
            feature = module.feature
            std = GATED_GAIN / feature.weight[0].numel() ** 0.5
            hands_on = feature.in_channels == feature.out_channels and feature.stride == (1, 1)
            _draw_weights(feature, HANDED_ON_NOISE * std if hands_on else std)
            if hands_on:
                _add_identity(feature.weight)


@torch.no_grad()
def _add_identity(weight: Tensor) -> None:
    """Let (C, C, k, k) pass twice what it gets, of which a gate at a half leaves the once."""
    middle = weight.shape[-1] // 2
    weight[:, :, middle, middle] += 2 * torch.eye(len(weight))


def _draw_weights(layer: nn.Conv2d | nn.Linear, std: float) -> None:
    nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class RemovalTrainer:
    """Owns generator, critic and their optimisers; saves and resumes them together."""

    def __init__(
        self,
        config: HifillConfig,
        settings: Settings,
        source: Holes,
        device: torch.device,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        """start: weights of a generator to go on from."""
        torch.manual_seed(settings.seed)
        self.config, self.settings, self.source, self.device = config, settings, source, device
        self.net, self.critic = Hifill(config), Critic(config)
        for each in (self.net, self.critic):
            initialise(each)
        if start is not None:
            self.net.load_state_dict(dict(start))
        self.net.to(device).train()
        self.critic.to(device).train()
        self.adam = torch.optim.Adam(self.net.parameters(), settings.rate, ADAM_BETAS)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), settings.rate, ADAM_BETAS)
        self.step = 0

    def run(
        self,
        report: Callable[[int, Mapping[str, float], int], None],
        judged: Callable[[int, Hifill], None],
        checkpoint: Path,
    ) -> None:
        """Train from the step at hand to the last; report: step, losses by name, photos seen."""
        while self.step < self.settings.steps:
            losses = self._learn(np.random.default_rng((self.settings.seed, self.step)))
            self.step += 1
            report(self.step, losses, self.settings.batch)
            if self.step % self.settings.every == 0 or self.step == self.settings.steps:
                judged(self.step, self.net)
                self.save(checkpoint)

    def _learn(self, rng: Generator) -> dict[str, float]:
        told: dict[str, float] = {}
        if self.settings.adversarial > 0:
            for _ in range(self.settings.critic_steps):
                told["critic"] = self._teach_critic(rng)
        seen = self._draw(rng)
        filled = self._filled(seen)
        losses = generator_losses(filled, seen, self.settings)
        if self.settings.adversarial > 0:
            score = self.critic(pasted_in(filled.refined, seen)).mean()
            losses["adversarial"] = -self.settings.adversarial * score
        total = total_of(losses.values(), self.step)
        self.adam.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        self.adam.step()
        return told | {name: float(loss.detach()) for name, loss in losses.items()}

    def _teach_critic(self, rng: Generator) -> float:
        seen = self._draw(rng)
        with torch.no_grad():
            made = pasted_in(self._filled(seen).refined, seen)
        loss = critic_loss(self.critic, seen.pictures, made, self.settings.penalty, rng)
        self.critic_adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.critic_adam.step()
        return float(loss.detach())

    def _filled(self, seen: Holed) -> Filled:
        """Fill by the generator, in float32 whatever it computes in."""
        half = self.settings.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            filled = self.net(*seen)
        return Filled(*(tensor.float() for tensor in filled))

    def _draw(self, rng: Generator) -> Holed:
        pictures, masks = self.source.batch(self.settings.batch, rng)
        return Holed(pictures.to(self.device), masks.to(self.device))

    def header(self, task: str = "") -> Header:
        """What this run's files say of themselves."""
        told = {
            "step": self.step, "settings": asdict(self.settings), "data": self.source.identity,
        }  # fmt: skip
        return Header("hifill", asdict(self.config), task, training=told)

    def save(self, path: Path) -> None:
        """Write both networks and optimisers, whole or not at all."""
        tensors: dict[str, Tensor] = {}
        for prefix, net, adam in self._parts():
            tensors |= {f"{prefix}.{name}": t for name, t in net.state_dict().items()}
            for index, row in adam.state_dict()["state"].items():
                tensors |= {f"{prefix}_adam.{index}.{key}": value for key, value in row.items()}
        save_tensors(path, {n: t.contiguous().cpu() for n, t in tensors.items()}, self.header())

    def resume(self, path: Path) -> None:
        """Go on where a checkpoint stopped.

        Raises:
            UsageError: it was made with other settings, or from other photos.
            WeightsError: it is damaged, or of another network.
        """
        header, tensors = read_tensors(path)
        told, own = header.training, self.header().training
        if header.net != "hifill":
            raise WeightsError(path, f"is of a '{header.net}' network", "Choose another --out.")
        same = dict(header.config) == asdict(self.config)
        if not same or any(told.get(key) != own[key] for key in ("settings", "data")):
            raise UsageError(
                f"{shown(path)}: was made with other settings, or from other photos. "
                "Give the same options, or another --out."
            )
        for prefix, net, adam in self._parts():
            net.load_state_dict(_under(prefix, tensors))
            moments: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _under(f"{prefix}_adam", tensors).items():
                index, _, key = name.partition(".")
                moments.setdefault(int(index), {})[key] = tensor
            groups = adam.state_dict()["param_groups"]
            adam.load_state_dict({"state": moments, "param_groups": groups})
        self.step = int(told["step"])

    def _parts(self) -> Iterator[tuple[str, nn.Module, torch.optim.Adam]]:
        yield "net", self.net, self.adam
        yield "critic", self.critic, self.critic_adam


def export(trainer: RemovalTrainer, folder: Path, name: str, card: Mapping[str, Any]) -> Path:
    """Write the generator as weights for `abpn remove`, with their card; return the file."""
    path = folder / f"{name}.safetensors"
    header = trainer.header(name)
    save(path, trainer.net, header)
    told = {"task": name, "net": header.net, "config": dict(header.config), **card}
    training = {"steps": trainer.step, "settings": asdict(trainer.settings), "commit": commit()}
    write_card(path, {**told, **training, "date": datetime.now(UTC).date().isoformat()})
    return path


def start_from(file: Path) -> Hifill:
    """Weights to go on from, as a network that says of what make it is.

    Raises:
        WeightsError: missing, damaged or of another network.
    """
    net = load(file, torch.device("cpu")).net
    if not isinstance(net, Hifill):
        raise WeightsError(file, "is not a HiFill", "Give weights of `abpn remove`.")
    return net


def config_of(width: float | None, side: int | None, base: Hifill | None) -> HifillConfig:
    """Settle a network's make, the published one where nothing is given: None.

    Raises:
        UsageError: it cannot be, or contradicts the weights to go on from.
    """
    if base is None:
        try:
            return HifillConfig(1.0 if width is None else width, 512 if side is None else side)
        except ValueError as error:
            raise UsageError(f"--width, --side: {error}.") from error
    own = base.config
    for option, given, found in (("--width", width, own.width), ("--side", side, own.side)):
        if given is not None and given != found:
            raise UsageError(f"{option} {given} contradicts --from, which has {found}.")
    return own


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


@torch.no_grad()
def judge(net: Hifill, source: Holes, batches: int, batch: int = 4) -> Verdict:
    """Fill so many batches of held-out photos, and compare with OpenCV's Telea on the same."""
    device = next(net.parameters()).device
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(batches):
        seen = source.batch(batch, np.random.default_rng((JUDGED_SEED, number)))
        filled = net(seen.pictures.to(device), seen.masks.to(device)).refined.cpu()
        for made, picture, mask in zip(filled, *seen, strict=True):
            where = mask[0].numpy() > 0
            wanted = picture.permute(1, 2, 0).numpy()
            ours.append(_l1(made.permute(1, 2, 0).numpy(), wanted, where))
            eight = np.rint((wanted + 1) * 127.5).astype(np.uint8)
            plain = cv2.inpaint(eight, where.astype(np.uint8), 3, cv2.INPAINT_TELEA)
            theirs.append(_l1(plain / np.float32(127.5) - 1, wanted, where))
    return Verdict(float(np.mean(ours)), float(np.mean(theirs)))


def _l1(
    made: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    wanted: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> float:
    return float(np.abs(made - wanted)[where].mean() * 50)  # of a range of 2, in per cent
