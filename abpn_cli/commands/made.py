"""What outputs are made with, so that another day can tell whether that has changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import WeightsError
from .options import Precision

if TYPE_CHECKING:
    from .shoot import Settings

DEVICES = ("cpu", "cuda")  # any of which `--device auto` may mean
PRECISIONS = ("float32", "bf16")  # any of which `--precision auto` may mean


class Means(NamedTuple):
    """Where the network runs, and in which numbers."""

    device: str
    precision: str


def possible_means(settings: Settings) -> list[Means]:
    """Say with what an output may have been made to be up to date, without asking for a device.

    With `--device auto` the outputs of every device are, with `--precision auto` those of every
    precision: a shoot need not be done again where its graphics card is not there today, or on
    another processor.
    """
    kinds = DEVICES if settings.device == "auto" else (settings.device.partition(":")[0],)
    auto = settings.precision is Precision.AUTO
    precisions = PRECISIONS if auto else (settings.precision.value,)
    return [Means(kind, precision) for kind in kinds for precision in precisions]


def hash_of_weights(files: Mapping[str, Path]) -> str:
    """Return the hash that stands for the weights of a run.

    Raises:
        WeightsError: one cannot be read.
    """
    from ..weights import hash_of

    try:
        return hash_of(files.values())
    except OSError as error:
        raise WeightsError(
            error.filename or next(iter(files.values())),
            f"cannot be read ({error.strerror})",
            "Check the file and its permissions.",
        ) from error


def by_faces(files: Mapping[str, Path]) -> list[bool]:
    """Tell of each weights file whether it works face by face; files: by task.

    Raises:
        WeightsError: one is damaged.
    """
    from ..weights import header_of, is_by_faces

    return [is_by_faces(task, header_of(path)) for task, path in files.items()]


def choices_of(settings: Settings, files: Mapping[str, Path]) -> dict[str, Any]:
    """Say what of the options of every verb changes what the network makes, and no more.

    Not what only decides whether a photo is done at all: with --accept-damaged for the three that
    failed, the others need not be done again. Not what the tasks at hand do not heed: faces are
    always looked at closely, and moles only there.

    Raises:
        WeightsError: a weights file is damaged.
    """
    asks = settings.detail or not settings.keep_moles
    faces = by_faces(files) if asks else []
    return {
        "detail": settings.detail and not all(faces),
        "raw_space": settings.raw_space.value,
        # told only where it is not as ever, so that older outputs are still what they were
        **({} if settings.keep_moles or not any(faces) else {"keep_moles": False}),
    }
