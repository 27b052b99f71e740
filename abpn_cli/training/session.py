"""A training run to weights with a card: presets, resume, validation, export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import distributed as dist

from ..errors import UsageError, WeightsError, shown
from ..nets.abpn import Abpn, AbpnConfig
from ..weights import load, read_tensors, save, write_card
from .data import Data, PhotoSet, held_out_batches, held_out_pairs
from .train import Progress, Trainer, commit
from .validate import Scores, score

PRESETS: Mapping[str, AbpnConfig] = {
    "shipped": AbpnConfig(
        refine_shared=True, lrl_residual=True, init="published", train_k=False, refine_zero=True
    ),
    "paper": AbpnConfig(),
}
SHARED_LEVELS = (1, 2, 3)  # halvings a shared refining module is trained for
CHECKPOINT = "checkpoint.safetensors"


def config_of(preset: str, width: float, task: str) -> AbpnConfig:
    """The network of a run: a row of PRESETS at a width; a face task starts at face's j."""
    return replace(PRESETS[preset], width=width, style="face" if task == "face" else "cloth")


def levels_of(config: AbpnConfig) -> tuple[int, ...]:
    """Halvings to train with: one refining module serves any number, several serve their own."""
    return SHARED_LEVELS if config.refine_shared else (config.levels,)


def judge_held_out(file: Path, photos: PhotoSet, count: int, device: torch.device) -> Scores:
    """Score weights on `count` batches of painted faults and, where there are, idle photos.

    Raises:
        WeightsError: missing, damaged or of another network.
    """
    net = load(file, device).net
    if not isinstance(net, Abpn):
        raise WeightsError(file, "is not an ABPN", "Give weights of a retouching task.")
    painted = score(net, held_out_batches(held_out_pairs(photos), count, seed=1))
    if not photos.nothing:
        return painted
    idle = score(net, held_out_batches(held_out_pairs(photos, nothing=True), max(1, count // 2), 2))
    return painted._replace(harm=idle.harm, harm_gated=idle.gated)


class Run(NamedTuple):
    """Where a run's files lie, and what its weights get at the end.

    gate: (low, high) of the gate; boost: what the thumbnail's edit is multiplied by. Neither has
    a part in training: a finished run is given others by the same command.
    """

    folder: Path
    gate: tuple[float, float] = (AbpnConfig.gate_low, AbpnConfig.gate_high)
    boost: float = 1.0

    @property
    def checkpoint(self) -> Path:
        """What `resume` goes on from."""
        return self.folder / CHECKPOINT

    def weights(self, task: str) -> Path:
        """The finished weights."""
        return self.folder / f"{task}.safetensors"


def train(
    trainer: Trainer,
    data: Data,
    run: Run,
    card: Mapping[str, Any],
    report: Callable[[Progress], None],
    judged: Callable[[int, Scores], None],
) -> Path:
    """Resume if there is a checkpoint, train to the end, write weights and their card.

    Of several processes the first alone writes.

    Raises:
        UsageError: the checkpoint there belongs to a run with other settings.
    """
    if run.checkpoint.exists():
        resume(trainer, run.checkpoint)
    batches = data.validation()

    def validate(net: Abpn) -> dict[str, float]:
        scores = score(net, batches)
        judged(trainer.step, scores)
        return scores._asdict()

    low, high = run.gate
    trainer.best.config = replace(trainer.config, gate_low=low, gate_high=high)
    trainer.run(report, validate, run.checkpoint)
    if dist.is_initialized() and dist.get_rank() != 0:
        return run.weights(trainer.settings.task)
    net = finished(trainer.best, run.boost)
    trainer.metrics = validate(net)  # a finished run may be given another gate or boost
    return export(trainer, net, run, {**card, "boost": run.boost, "data": data.about})


def resume(trainer: Trainer, checkpoint: Path) -> None:
    """Take a run up again; its settings must be those of the checkpoint.

    Raises:
        UsageError: they are not.
        WeightsError: the file is damaged.
    """
    wanted = trainer.header()
    found, _ = read_tensors(checkpoint)  # looked at before any of it is taken over
    same = replace(found, digest="", training={}) == replace(wanted, training={})
    data = found.training.get("data", wanted.training["data"])
    if data != wanted.training["data"]:
        raise UsageError(
            f"{shown(checkpoint)}: was made from other photos, or cut otherwise. "
            "Give the same options, or another --out."
        )
    if not same or found.training.get("settings") != wanted.training["settings"]:
        raise UsageError(
            f"{shown(checkpoint)}: was made with other settings. "
            "Give the same options, or another --out."
        )
    trainer.resume(checkpoint)


@torch.no_grad()
def finished(net: Abpn, boost: float) -> Abpn:
    """A copy ready to ship, the edit of its residual LRL multiplied by `boost`.

    Squared error makes a network hold back where it is not sure; a boost over 1 gives that back.

    Raises:
        UsageError: there is no residual to boost.
    """
    ready = deepcopy(net).eval()
    if boost != 1:
        if not net.config.lrl_residual:
            raise UsageError("--boost: the network paints whole thumbnails, not edits. Leave it.")
        for parameter in ready.lrl.retouch_branch.painter.feature.parameters():
            parameter.mul_(boost)
    return ready


def export(trainer: Trainer, net: Abpn, run: Run, card: Mapping[str, Any]) -> Path:
    """Write the network alone, float16, with its card; return the file."""
    path = run.weights(trainer.settings.task)
    header = replace(trainer.header(), config=asdict(net.config))
    save(path, net, header, half=True)
    training = dict(header.training)
    write_card(
        path,
        {
            "task": header.task,
            "net": header.net,
            "config": dict(header.config),
            **card,
            "metrics": training["metrics"],
            "steps": training["step"],
            "settings": training["settings"],
            "commit": commit(),
        },
    )
    return path


def origin_of(file: Path) -> dict[str, Any]:
    """What a file to go on from says of itself, for the card of what comes of it.

    Raises:
        WeightsError: missing or damaged.
    """
    header, _ = read_tensors(file)
    return {"file": file.name, "digest": header.digest, **header.training}


def start_from(file: Path, config: AbpnConfig) -> Mapping[str, torch.Tensor]:
    """Weights to fine-tune; they must be of the same make.

    Raises:
        WeightsError: missing or damaged.
        UsageError: of another configuration.
    """
    net, header = load(file, torch.device("cpu"))
    wanted = asdict(config)
    names = sorted(wanted.keys() | header.config.keys())
    other = [
        name
        for name in names
        if not name.startswith("gate_") and header.config.get(name) != wanted.get(name)
    ]
    if other:
        words = ", ".join(
            f"{name} {header.config.get(name)} and not {wanted.get(name)}" for name in other
        )
        raise UsageError(
            f"--from {shown(file)}: has {words}. Give --preset and --width as it was made with."
        )
    return net.state_dict()


def processes() -> int:
    """How many processes `torchrun` started for this run; 1 without it."""
    return dist.get_world_size() if dist.is_initialized() else 1


def leave_group() -> None:
    """Part from the other processes, where there are any."""
    if dist.is_initialized():
        dist.destroy_process_group()
