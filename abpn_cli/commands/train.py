"""`abpn train`: weights from a studio's before and after photos, or from photos alone."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import TargetError, UsageError
from . import options

if TYPE_CHECKING:
    import torch

    from ..training.data import Data, PhotoSet
    from ..training.losses import PerceptualLoss


class Preset(StrEnum):
    """Makes of the network: `shipped` starts from the identity, `paper` is as published."""

    SHIPPED = "shipped"
    PAPER = "paper"


RATE = 5e-4  # the paper's
PAINTER_SHARES = {Preset.SHIPPED: 0.15, Preset.PAPER: 1.0}  # see training.train.parameter_groups


class TrainPrecision(StrEnum):
    """Number format of the convolutions while training."""

    FLOAT32 = "float32"
    BF16 = "bf16"


def train(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of this run.")],
    pairs: options.PairFolders = None,
    photos: options.PhotoFolder = None,
    masks: options.LabelMaps = None,
    list_: options.ClothList = None,
    nothing: options.NothingList = None,
    held_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Which of --photos to validate on.")
    ] = None,
    task: Annotated[str, typer.Option(help="What the weights retouch; names the file.")] = "cloth",
    preset: Annotated[Preset, typer.Option(help="The make of the network.")] = Preset.SHIPPED,
    width: Annotated[float, typer.Option(help="Width of the LRL; 1 is the paper's.")] = 0.5,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Weights to go on from.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the photos.")] = 200,
    steps: Annotated[int | None, typer.Option(help="Steps in all, in place of --epochs.")] = None,
    batch: Annotated[int, typer.Option(help="Photos a step.")] = 8,
    rate: Annotated[float, typer.Option(help="Learning rate of Adam.")] = RATE,
    painter_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the rate for the layers that write into the picture. "
            "[default: 1 for paper, 0.15 for shipped]"
        ),
    ] = None,
    warm_up: Annotated[int, typer.Option(help="Steps over which the rate rises from 0.")] = 0,
    average: Annotated[
        float, typer.Option(help="Decay of the mean of weights that is judged; 0 for none.")
    ] = 0.0,
    drop_at: Annotated[
        float, typer.Option(help="Share of the run after which rate is x0.1.")
    ] = 0.5,
    gate: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="Mask values from which a pixel is touched, wholly."),
    ] = (0.1, 0.3),
    boost: Annotated[
        float, typer.Option(help="What the finished weights' edit is multiplied by.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of weights and pairs.")] = 0,
    every: Annotated[int, typer.Option(help="Steps between checkpoints and validations.")] = 500,
    vgg16: Annotated[
        Path | None, typer.Option(metavar="FILE", help="VGG-16 backbone for the perceptual loss.")
    ] = None,
    mse_weight: Annotated[float, typer.Option(help="Weight of the multi-scale MSE.")] = 1.0,
    perceptual_weight: Annotated[float, typer.Option(help="Weight of the perceptual loss.")] = 0.1,
    adversarial_weight: Annotated[
        float, typer.Option(help="Weight of the adversarial loss.")
    ] = 0.1,
    dice_weight: Annotated[float, typer.Option(help="Weight of the mask's dice loss.")] = 1.0,
    tv_weight: Annotated[float, typer.Option(help="Weight of the layers' smoothness.")] = 0.1,
    device: options.Device = "auto",
    precision: Annotated[
        TrainPrecision, typer.Option(help="Number format of the convolutions.")
    ] = TrainPrecision.FLOAT32,
    workers: Annotated[int, typer.Option(help="Processes that make pairs.")] = 1,
    licence: Annotated[str, typer.Option(help="Licence and data note for the card.")] = "",
) -> None:
    """Train weights, from before and after photos (--pairs) or photos alone (--photos).

    Give the same command again to go on where a killed run stopped. The weights and their card
    end up in the run's folder; `abpn retouch --weights FILE` tries them.
    """
    from ..report.training import training_log
    from ..training.losses import LossWeights
    from ..training.session import (
        Run,
        config_of,
        leave_group,
        levels_of,
        origin_of,
        processes,
        start_from,
    )
    from ..training.session import train as run_training
    from ..training.train import Settings, Trainer

    share = PAINTER_SHARES[preset] if painter_share is None else painter_share
    lambdas = LossWeights(mse_weight, perceptual_weight, adversarial_weight, dice_weight, tv_weight)
    for option, value, low, high in (
        ("--width", width, 1 / 64, 4), ("--drop-at", drop_at, 0, 1), ("--rate", rate, 1e-12, 1),
        ("--boost", boost, 0, 4), ("--painter-share", share, 1e-6, 1),
        ("--warm-up", warm_up, 0, 1e9), ("--average", average, 0, 0.99999),
        ("--epochs", epochs, 1, 1e9), ("--steps", 1 if steps is None else steps, 1, 1e9),
        ("--batch", batch, 1, 1e9), ("--every", every, 1, 1e9), ("--workers", workers, 0, 1e3),
        ("--seed", seed, 0, 2**63 - 1),
        *((f"--{name}-weight", value, 0, 1e9) for name, value in asdict(lambdas).items()),
    ):  # fmt: skip
        options.check_range(option, value, low, high)
    if not 0 <= gate[0] < gate[1] <= 1:
        raise UsageError(f"--gate {gate[0]:g} {gate[1]:g}: give two numbers, 0 <= LOW < HIGH <= 1.")
    check_run(out, task)
    config = config_of(preset.value, width, task)
    where = device_of(device)
    tell = teller()
    data = data_of(
        pairs, photos, masks, (list_, nothing, held_out), task, levels_of(config), batch, seed, tell
    )
    backbone = perceptual_of(vgg16, perceptual_weight, tell)
    settings = Settings(
        steps=steps or epochs * max(1, data.photos // (batch * processes())),
        task=task, rate=rate, drop_at=drop_at, every=every, seed=seed,
        precision=precision.value, workers=workers, warm_up=warm_up, painter_share=share,
        average=average,
        weights=lambdas if backbone else replace(lambdas, perceptual=0.0),
    )  # fmt: skip
    first = start_from(start, config) if start else None
    trainer = Trainer(config, settings, data.source, where, backbone, first)
    card: dict[str, object] = {"command": shlex.join(["abpn", *sys.argv[1:]]), "licence": licence}
    if start is not None:
        card["from"] = origin_of(start)
    with training_log(settings.steps) as log:
        path = run_training(
            trainer, data, Run(out, gate, boost), card,
            lambda at: log.step(at.step, at.losses, at.images * processes()),
            lambda step, scores: log.judged(step, scores._asdict()),
        )  # fmt: skip
    leave_group()
    tell(f"weights: {path}")


def check_run(out: Path, task: str) -> None:
    """Make the folder of a run before hours are spent; `task` is to name a file in it.

    Raises:
        UsageError: the task cannot name a file.
        TargetError: the folder cannot be made or written to.
    """
    if not task or Path(task).name != task:
        raise UsageError(f"--task '{task}': cannot name a file. Leave out slashes.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(
            out, f"cannot be made a folder ({error.strerror})", "Choose another --out."
        ) from error
    if not os.access(out, os.W_OK):
        raise TargetError(out, "no permission to write here", "Choose another --out.")


def device_of(name: str) -> torch.device:
    """The device to train on, this process's own where `torchrun` started several.

    Raises:
        UsageError: an unknown device, or not the one that `torchrun` hands out.
        DeviceError: CUDA asked for and not there.
    """
    from ..engine import choose_device
    from ..training.train import join_group

    chosen = choose_device(name)
    given = join_group()
    if given is not None and name not in ("auto", given.type):
        raise UsageError(
            f"--device {name}: torchrun hands out {given.type} here. Leave the option out."
        )
    return given or chosen


def teller() -> Callable[[str], None]:
    """Say something on stderr, in the first process only."""
    from ..report.training import is_first_process

    return (lambda text: typer.echo(text, err=True)) if is_first_process() else (lambda text: None)


def data_of(
    pairs: tuple[Path, Path] | None,
    photos: Path | None,
    masks: Path | None,
    lists: tuple[Path | None, Path | None, Path | None],
    task: str,
    levels: tuple[int, ...],
    batch: int,
    seed: int,
    tell: Callable[[str], None],
) -> Data:
    """Settle what to train on.

    Raises:
        UsageError: neither or both of --pairs and --photos, or a path that is not there.
    """
    from ..training.data import photo_data, studio_data
    from ..training.pairs import match_pairs

    if (pairs is None) == (photos is None):
        raise UsageError("Give either --pairs BEFORE AFTER or --photos DIR.")
    if pairs is not None:
        for folder in pairs:
            options.check_folder("--pairs", folder)
        matched = match_pairs(*pairs)
        for problem in matched.problems:
            tell(f"left out: {problem}")
        return studio_data(matched, levels, batch, seed)
    assert photos is not None
    options.check_folder("--photos", photos)
    train, held_out = photo_sets(photos, masks, lists, task, tell)
    return photo_data(train, held_out, levels, batch, seed)


def photo_sets(
    photos: Path,
    masks: Path | None,
    lists: tuple[Path | None, Path | None, Path | None],
    task: str,
    tell: Callable[[str], None],
) -> tuple[PhotoSet, PhotoSet]:
    """Photos to train on and photos held out; without lists, a tenth is held out by name.

    Photos that cannot be read, and portraits whose skin is not known, are told and left out.

    Raises:
        UsageError: a list or the masks cannot be used.
    """
    from ..training.data import (
        FACE,
        PhotoSet,
        check_masks,
        photos_under,
        read_list,
        readable,
        split_by_name,
        with_skin,
    )

    cloth_list, nothing_list, held_out_list = lists
    if masks is not None:
        check_masks(masks)
    cloth = read_list(photos, cloth_list) if cloth_list else photos_under(photos)
    nothing = read_list(photos, nothing_list) if nothing_list else []
    kept = read_list(photos, held_out_list) if held_out_list else split_by_name(cloth)
    used = set(kept)
    parts = []
    for paths in ([path for path in cloth if path not in used], nothing, kept):
        good, problems = readable(paths)
        parts.append(good)
        for problem in problems:
            tell(f"left out: {problem}")
    sets = [PhotoSet(photos, parts[at], parts[1], masks, task) for at in (0, 2)]
    if task == FACE:
        for at, photo_set in enumerate(sets):
            sets[at], problems = with_skin(photo_set)
            for problem in problems:
                tell(f"left out: {problem}")
    return sets[0], sets[1]


def perceptual_of(
    file: Path | None, weight: float, tell: Callable[[str], None]
) -> PerceptualLoss | None:
    """Load the perceptual backbone; without one the loss is off, and the log says so."""
    from ..training.losses import PerceptualLoss

    if file is None or weight == 0:
        tell("perceptual loss off: weight 0" if file else "perceptual loss off: no --vgg16 given")
        return None
    return PerceptualLoss(file)
