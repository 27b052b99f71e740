"""Which engine does a task, and several tasks on one photo.

Each task works on the photo as it was, and their changes are added up, as those of several faces
are: cloth and faces hardly overlap. So it does not matter which of two comes first, and the mask of
a task is the same whatever is done beside it: what none of them opens comes back as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..cores import Cores
from ..errors import UsageError, WeightsError
from ..photo import Edit, Photo, Pixels
from ..weights import header_of
from . import Retoucher
from .asapnet import AsapNetEngine
from .base import Engine, Worked
from .faces import FaceRetoucher, changed_fraction
from .gate import Plane
from .lptn import LptnEngine
from .memory import check_fits

FACE = "face"  # the task that is done face by face
BAND = 256  # rows that are added up at once


class Means(NamedTuple):
    """With what, and within what, an engine works; the fields are those of `Retoucher`."""

    device: str = "auto"
    precision: str = "auto"
    max_bytes: int = 4 * 2**30
    detail: bool = False
    keep_moles: bool = True
    cores: Cores | None = None


def make_engine(files: Mapping[str, Path], means: Means) -> Engine:
    """Load the weights of each task, and join what does them.

    files: task to weights file; the task may be "", then the weights know it. What was tuned
    further from weights for faces works on faces, whatever its name. A file says of which network
    it holds the weights.

    Raises:
        UsageError, DeviceError, WeightsError: as `Retoucher`; or there is no task at all.
    """
    if not files:
        raise UsageError("--task is missing. Name one, as in --task cloth.")
    engines = [_engine(task, path, means) for task, path in files.items()]
    return engines[0] if len(engines) == 1 else Together(engines, means.max_bytes)


def _engine(task: str, path: Path, means: Means) -> Engine:
    net = header_of(path).net
    if net not in ENGINES:
        raise WeightsError(
            path,
            f"holds a '{net}' network; what retouches here is {', '.join(ENGINES)}",
            "Choose weights of one of these, or upgrade abpn.",
        )
    return ENGINES[net](task, path, means)


def _abpn(task: str, path: Path, means: Means) -> Engine:
    retoucher = Retoucher(
        path, means.device, means.precision, means.max_bytes, means.detail, means.cores
    )
    if FACE in (task, retoucher.task, retoucher.style):
        # Spots are smaller than creases: a face's thumbnail is a large one, as in training.
        return FaceRetoucher(retoucher.in_detail(), means.keep_moles)
    return retoucher


def _lptn(task: str, path: Path, means: Means) -> Engine:
    return LptnEngine(
        path, means.device, means.precision, means.max_bytes, means.detail, means.cores
    )


def _asapnet(task: str, path: Path, means: Means) -> Engine:
    return AsapNetEngine(
        path, means.device, means.precision, means.max_bytes, means.detail, means.cores
    )


# Which engine goes with the network that a weights file names.
ENGINES: Mapping[str, Callable[[str, Path, Means], Engine]] = {
    "abpn": _abpn,
    "asapnet": _asapnet,
    "lptn": _lptn,
}


class Together(Engine):
    """Several engines on one photo; does what each of them does."""

    def __init__(self, engines: Sequence[Engine], max_bytes: int) -> None:
        """Join engines, at least one, that work on the same device."""
        self.device, self.precision = engines[0].device, engines[0].precision
        self.weight_bytes = sum(engine.weight_bytes for engine in engines)
        self.spare_bytes = engines[0].spare_bytes
        self._engines = list(engines)
        self._max_bytes = max_bytes

    def worked(
        self,
        photo: Photo,
        strength: float = 1.0,
        only: Plane | None = None,
        protect: Plane | None = None,
    ) -> Worked:
        """Do what `retouch` does, and tell where the photo was open to change.

        Raises:
            PhotoError, DeviceError, WeightsError: as the engines.
        """
        self._check(photo, sum(mask is not None for mask in (only, protect)))
        pixels = photo.pixels.copy()
        opened = np.zeros(pixels.shape[:2], np.bool_)
        warnings = photo.warnings
        edits: list[Edit] = []
        for engine in self._engines:
            worked = engine.worked(photo, strength, only, protect)
            opened |= worked.opened()
            _add_change(pixels, photo.pixels, worked.photo.pixels)
            warnings += tuple(each for each in worked.photo.warnings if each not in warnings)
            edits.append(worked.edit)
        edit = replace(
            _joined(edits),
            mask_fraction=float(opened.mean()),
            changed_fraction=changed_fraction(photo, pixels),
        )
        return Worked(replace(photo, pixels=pixels, warnings=warnings), edit, lambda: opened)

    def gate(self, photo: Photo) -> Plane:
        """Compute where any task would change a photo: (H, W) in [0, 1], the greatest of them.

        Raises:
            PhotoError, DeviceError, WeightsError: as the engines.
        """
        self._check(photo, masks=1)
        gate = self._engines[0].gate(photo)
        for engine in self._engines[1:]:
            np.maximum(gate, engine.gate(photo), out=gate)
        return gate

    def peak_bytes(self, photo: Photo, masks: int = 0) -> int:
        """Most memory that a photo takes: the greediest task, and what the others leave behind."""
        planes: int = photo.pixels.shape[0] * photo.pixels.shape[1] * 2  # what is open, twice
        greediest = max(engine.peak_bytes(photo, masks) for engine in self._engines)
        return greediest + self.weight_bytes + int(photo.pixels.nbytes) + planes

    def _check(self, photo: Photo, masks: int) -> None:
        size = (photo.pixels.shape[0], photo.pixels.shape[1])
        check_fits(photo.source, size, self.peak_bytes(photo, masks), self._max_bytes)


def _add_change(pixels: Pixels, before: Pixels, after: Pixels) -> None:
    """Add to (H, W, 3) `pixels`, in place, what turned `before` into `after`.

    The sum is clamped to what the type holds.
    """
    if after is before:
        return
    most = np.iinfo(pixels.dtype).max
    for top in range(0, len(pixels), BAND):
        rows = slice(top, top + BAND)
        total = after[rows].astype(np.int32)
        total -= before[rows]
        total += pixels[rows]
        pixels[rows] = total.clip(0, most)


def _joined(edits: Sequence[Edit]) -> Edit:
    """What several tasks did to a photo; shares of pixels are not known yet."""
    counted = [edit for edit in edits if edit.faces is not None]
    return replace(
        edits[0],
        levels=max(edit.levels for edit in edits),
        largest_layer=max(edit.largest_layer for edit in edits),
        damped_fraction=min(1.0, sum(edit.damped_fraction for edit in edits)),
        precision=max(edit.precision for edit in edits),  # the same, or "" where nothing ran
        faces=counted[0].faces if counted else None,
        moles_kept=counted[0].moles_kept if counted else None,
    )
