"""A training run to weights with a card: presets, resume, validation, export, installing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import distributed as dist

from ..errors import UsageError, WeightsError, shown
from ..files import target_error, write_atomic
from ..nets.abpn import Abpn, AbpnConfig
from ..nets.asapnet import AsapNet
from ..weights import card_path, load, read_tensors, save, user_folder, write_card
from .data import Data, PhotoSet, held_out_batches, held_out_pairs
from .lessons import Net, NetConfig
from .pairs import Batch
from .train import Progress, Trainer, commit
from .validate import Scores, score

PRESETS: Mapping[str, AbpnConfig] = {
    "shipped": AbpnConfig(
        refine_shared=True, lrl_residual=True, init="published", train_k=False, refine_zero=True
    ),
    "paper": AbpnConfig(),
}


class Manner(NamedTuple):
    """How a preset trains where the command does not say.

    mse, adversarial: weights of two losses; gate: (low, high); peak: as `AbpnConfig.gate_peak`;
    the others as in `Settings`.
    """

    mse: float
    adversarial: float
    rate: float
    painter_share: float
    warm_up: int
    average: float
    drop_at: float
    gate: tuple[float, float]
    peak: float = 0.0


MANNERS: Mapping[str, Manner] = {
    # docs/experiments.md: what the shipped weights were trained with
    "shipped": Manner(1000.0, 0.0, 5e-4, 0.15, 50, 0.99, 0.75, (0.4, 0.6)),
    "paper": Manner(1.0, 0.1, 5e-4, 1.0, 0, 0.0, 0.5, (0.1, 0.3)),
}
WIDTH = 0.5  # of a network that starts from nothing
STYLE_PEAKS = (0.95, 0.97, 0.98, 0.99, 0.995)  # gate peaks of a studio's style, least first
MOST_LOST = 0.5  # dB of restraint that a style may lose against the weights it started from
RATE_FROM = 2e-4  # of weights that know something already
LATE = ("gate_", "light_only")  # of a network's make: has no part in training, is set at its end
SHARED_LEVELS = (1, 2, 3)  # halvings a shared refining module is trained for
CHECKPOINT = "checkpoint.safetensors"


def config_of(preset: str, width: float, task: str) -> AbpnConfig:
    """The network of a run: a row of PRESETS at a width; a face task starts at face's j."""
    return replace(PRESETS[preset], width=width, style="face" if task == "face" else "cloth")


class Make(NamedTuple):
    """What a run starts with.

    config: of the network, its gate left at the default: it has no part in training, and a
    finished run may get another; manner: how it trains where the command does not say; base: the
    network it goes on from, or None.
    """

    config: NetConfig
    manner: Manner
    base: Net | None = None


def make_of(start: Path | None, preset: str | None, width: float | None, task: str) -> Make:
    """Settle a run's network and manner; what a file to go on from says of itself need not be told.

    preset, width: as given, None where the file, or else the default, decides.

    Raises:
        UsageError: they contradict the file; names both.
        WeightsError: the file is missing, damaged or of another network.
    """
    if start is None:
        name = preset or "shipped"
        return Make(config_of(name, WIDTH if width is None else width, task), MANNERS[name])
    base = start_from(start)
    config = base.config
    # a residual LRL is how `shipped` starts from the identity
    own = "shipped" if config.lrl_residual else "paper"
    for option, given, found in (("--preset", preset, own), ("--width", width, config.width)):
        if given is not None and given != found:
            raise UsageError(
                f"{option} {given} contradicts --from {shown(start)}, which has {found}. "
                f"Leave {option} out, or start without --from."
            )
    gate = (config.gate_low, config.gate_high)
    manner = MANNERS[own]._replace(rate=RATE_FROM, gate=gate, peak=config.gate_peak)
    bare = AbpnConfig()
    late = {name: getattr(bare, name) for name in asdict(bare) if name.startswith(LATE)}
    return Make(replace(config, **late), manner, base)


def levels_of(config: NetConfig) -> tuple[int, ...]:
    """Halvings to train with: one refining module serves any number, several serve their own.

    Rivals have none, and see the same pairs.
    """
    if isinstance(config, AbpnConfig) and not config.refine_shared:
        return (config.levels,)
    return SHARED_LEVELS


def judge_held_out(file: Path, photos: PhotoSet, count: int, device: torch.device) -> Scores:
    """Score weights on `count` batches of painted faults and, where there are, idle photos.

    Raises:
        WeightsError: missing, damaged or of another network.
    """
    net = load(file, device).net
    if not isinstance(net, Net) or (isinstance(net, AsapNet) and net.config.channels != 3):
        raise WeightsError(file, "is of no network that retouches", "Give weights of a task.")
    painted = score(net, held_out_batches(held_out_pairs(photos), count, seed=1))
    if not photos.nothing:
        return painted
    idle = score(net, held_out_batches(held_out_pairs(photos, nothing=True), max(1, count // 2), 2))
    return painted._replace(harm=idle.harm, harm_gated=idle.gated)


class Run(NamedTuple):
    """Where a run's files lie, and what its weights get at the end.

    gate: (low, high) of the gate; boost: what the thumbnail's edit is multiplied by; peaks: values
    of `AbpnConfig.gate_peak` to choose from, least first, see `settled_peak`; light_only: as
    `AbpnConfig.light_only`. None has a part in training: a finished run is given others by the same
    command.
    """

    folder: Path
    gate: tuple[float, float] = (AbpnConfig.gate_low, AbpnConfig.gate_high)
    boost: float = 1.0
    peaks: tuple[float, ...] = (AbpnConfig.gate_peak,)
    light_only: bool = False

    @property
    def checkpoint(self) -> Path:
        """What `resume` goes on from."""
        return self.folder / CHECKPOINT

    def weights(self, task: str) -> Path:
        """The finished weights."""
        return self.folder / f"{task}.safetensors"


class Finished(NamedTuple):
    """What came of a run: its weights, how they and those it started from are judged.

    base: None where a run starts from nothing.
    """

    weights: Path
    scores: Scores
    base: Scores | None


def train(
    trainer: Trainer,
    data: Data,
    run: Run,
    card: Mapping[str, Any],
    report: Callable[[Progress], None],
    judged: Callable[[int, Scores], None],
    base: Net | None = None,
) -> Finished:
    """Resume if there is a checkpoint, train to the end, write weights and their card.

    base: the network that the run starts from, to be judged beside what comes of it, each with
    its own gate. Of several processes the first alone writes.

    Raises:
        UsageError: the checkpoint there belongs to a run with other settings.
    """
    if run.checkpoint.exists():
        resume(trainer, run.checkpoint)
    batches = data.validation()

    def validate(net: Net) -> dict[str, float]:
        scores = score(net, batches)
        judged(trainer.step, scores)
        return scores._asdict()

    before = None
    if base is not None:
        before = score(base.to(trainer.device), batches)
        judged(0, before)
    if isinstance(trainer.config, AbpnConfig) and isinstance(trainer.latest, Abpn):
        low, high = run.gate
        trainer.latest.config = replace(
            trainer.config, gate_low=low, gate_high=high, gate_peak=run.peaks[0],
            light_only=run.light_only,
        )  # fmt: skip
    trainer.run(report, validate, run.checkpoint)
    weights = run.weights(trainer.settings.task)
    if dist.is_initialized() and dist.get_rank() != 0:
        return Finished(weights, Scores(**trainer.metrics), before)
    net = trainer.outcome()
    if isinstance(net, Abpn):
        net = finished(net, run.boost)
        before_it = base if isinstance(base, Abpn) else None
        peak = settled_peak(net, before_it, data.fine(), run.peaks)
        net.config = replace(net.config, gate_peak=peak)
    trainer.metrics = validate(net)  # a finished run may be given another gate or boost
    after = Scores(**trainer.metrics)
    words = {**card, "data": data.about}
    if isinstance(net, Abpn):
        words["boost"] = run.boost
    if before is not None:
        words["base"] = {"metrics": before._asdict(), "gain": gain_over(before, after)}
    return Finished(export(trainer, net, run, words), after, before)


def settled_peak(
    net: Abpn, base: Abpn | None, fine: Sequence[Batch], peaks: Sequence[float]
) -> float:
    """The least peak at which photos with nothing to do are left alone nearly as by the base.

    fine: batches of such photos, none of them trained on. A style loses MOST_LOST at most, on the
    mean of their PSNR to the input, or gets the last peak. Nothing to compare with: the first.
    """
    if base is None or not fine or len(peaks) == 1:
        return peaks[0]
    wanted = score(base, fine).harm - MOST_LOST
    gated = deepcopy(net)
    for peak in peaks:
        gated.config = replace(net.config, gate_peak=peak)
        if score(gated, fine).harm >= wanted:
            break
    return peak


def gain_over(base: Scores, own: Scores) -> dict[str, float]:
    """What weights gain over those they started from, in dB, by part of the photo."""
    return {
        "inside": own.in_gain - base.in_gain,
        "outside": own.out_gain - base.out_gain,
        "harm": own.harm - base.harm,
    }


def install(weights: Path) -> Path:
    """Put weights and their card where `--task NAME` finds them; return the file there.

    Raises:
        TargetError: the user's folder cannot be written.
    """
    there = user_folder() / weights.name
    # a card beside other weights would call them damaged, none does not
    try:
        card_path(there).unlink(missing_ok=True)
    except OSError as error:
        raise target_error(there, error) from error
    for source, target in ((weights, there), (card_path(weights), card_path(there))):
        write_atomic(target, partial(_copy, source))
    return there


def _copy(source: Path, part: Path) -> None:
    shutil.copyfile(source, part)


def resume(trainer: Trainer, checkpoint: Path) -> None:
    """Take a run up again; its settings must be those of the checkpoint.

    Raises:
        UsageError: they are not.
        WeightsError: the file is damaged.
    """
    wanted = trainer.header()
    found, _ = read_tensors(checkpoint)  # looked at before any of it is taken over
    config = asdict(type(trainer.config)()) | dict(
        found.config
    )  # an older one lacks what came since
    same = replace(found, config=config, digest="", training={}) == replace(wanted, training={})
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


def export(trainer: Trainer, net: Net, run: Run, card: Mapping[str, Any]) -> Path:
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
            **({"kept": training["kept"]} if "kept" in training else {}),
            "settings": training["settings"],
            "commit": commit(),
            "date": datetime.now(UTC).date().isoformat(),
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


def start_from(file: Path) -> Abpn:
    """Weights to fine-tune, as a network that says of what make it is.

    Raises:
        WeightsError: missing, damaged or of another network.
    """
    net = load(file, torch.device("cpu")).net
    if not isinstance(net, Abpn):
        raise WeightsError(file, "is not an ABPN", "Give weights of a retouching task.")
    return net


def processes() -> int:
    """How many processes `torchrun` started for this run; 1 without it."""
    return dist.get_world_size() if dist.is_initialized() else 1


def leave_group() -> None:
    """Part from the other processes, where there are any."""
    if dist.is_initialized():
        dist.destroy_process_group()
