"""What every training run needs before it starts: a folder, a device, a voice."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import TargetError, UsageError, shown

if TYPE_CHECKING:
    import torch

    from ..training.losses import PerceptualLoss


def check_out(out: Path, photos: Sequence[Path]) -> None:
    """Make the folder of a run before hours are spent.

    photos: folders that are read, which a run does not write into.

    Raises:
        UsageError: the folder lies in one of them.
        TargetError: the folder cannot be made or written to.
    """
    for folder in photos:
        if out.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"--out {shown(out)}: lies among the photos. Choose another folder.")
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


def perceptual_of(
    file: Path | None, weight: float, tell: Callable[[str], None]
) -> PerceptualLoss | None:
    """Load the perceptual backbone; without one the loss is off, and the log says so."""
    from ..training.losses import PerceptualLoss

    if file is None or weight == 0:
        tell("perceptual loss off: weight 0" if file else "perceptual loss off: no --vgg16 given")
        return None
    return PerceptualLoss(file)
