"""Things taken out of photos: what a mask marks is filled from what surrounds it.

Every pixel outside the feathered holes comes back as the integer that it was. Windows are filled
from the photo as it is, none from another's filling, so that their order changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..cores import Cores
from ..errors import PhotoError
from ..photo import Edit, Photo, Pixels, turn_back, turn_upright, with_warnings
from . import fitted
from .base import Worked
from .crew import Crew
from .filling import Filler, HifillFiller, PatchMatchFiller
from .gate import Plane
from .holes import MOST_SHARE, Bools, Paste, Window, boxes, paste, windows
from .memory import PROGRAM_BYTES, check_fits
from .network import choose_device
from .pyramid import Tile

FEATHER = 4  # px
NOTHING_MARKED = "Nothing in it is marked for removal: it passes as it is."
MASK_LEVEL = 0.5  # from here on a mask's grey means removal


class Spot(NamedTuple):
    """A disc to remove: its middle in pixels of the upright photo, from its corner; its radius."""

    x: float
    y: float
    radius: float


class Wish(NamedTuple):
    """How things are removed.

    feather: px over which a filling goes over into the photo; full: one window, the whole photo;
    force: whether holes of more than MOST_SHARE of their window are filled.
    """

    feather: int = FEATHER
    full: bool = False
    force: bool = False


class Remover:
    """Removes things, by copies from around them, or by the network of a weights file."""

    def __init__(
        self,
        path: Path | None = None,
        device: str = "auto",
        max_bytes: int = 4 * 2**30,
        cores: Cores | None = None,
    ) -> None:
        """Make ready.

        path: HiFill weights; None: copies by PatchMatch, on the CPU always.

        Raises:
            UsageError, DeviceError: as `choose_device`; or PyPatchMatch has no library here.
            WeightsError: weights missing, damaged, or of another network.
        """
        self.device = choose_device(device) if path is not None else torch.device("cpu")
        self._crew = Crew(cores)
        self._max_bytes = max_bytes
        self._filler: Filler = (
            PatchMatchFiller() if path is None else HifillFiller(path, self.device, self._crew)
        )

    @property
    def method(self) -> str:
        """What fills the holes, as events name it: "patchmatch" or "hifill"."""
        return self._filler.method

    @property
    def spare_bytes(self) -> int:
        """What the program itself leaves of the memory allowed."""
        return self._max_bytes - PROGRAM_BYTES

    def removed(
        self,
        photo: Photo,
        mask: Plane | None,
        spots: Sequence[Spot] = (),
        wish: Wish = Wish(),  # noqa: B008 (frozen)
    ) -> Worked:
        """Remove what a mask marks, and the spots; alpha and metadata stay as they are.

        mask: (H, W) float32 in [0, 1], stored orientation, white = remove; one of the upright
        photo's shape is turned, one of another size resized, with a warning on the photo returned.

        Raises:
            PhotoError: a mask of another shape, a spot outside the photo, a hole that is too large
                for its window, or too much memory needed.
            DeviceError: the device is out of memory.
        """
        mask, told = fitted(mask, photo, "--mask")
        hole = self._hole(photo, mask, spots)
        del mask
        found = boxes(hole)
        photo = with_warnings(photo, *filter(None, (told, "" if found else NOTHING_MARKED)))
        if not found:
            edit = Edit(0.0, 0.0, 0, str(self.device))
            return Worked(photo, edit, lambda: hole)
        size = (hole.shape[0], hole.shape[1])
        laid = windows(found, size, self._filler.square, wish.full)
        self._check(photo, hole, laid, wish)
        pixels = photo.pixels.copy()
        opened = np.zeros(size, np.bool_)
        threads = self._crew.size if self._filler.method == "patchmatch" else 1
        for start in range(0, len(laid), threads):
            batch = laid[start : start + threads]
            tasks = [(window, paste(hole, window, wish.feather)) for window in batch]
            work = lambda task: self._filled(photo.pixels, hole, *task, wish)  # noqa: E731
            done = self._crew.each(work, tasks) if threads > 1 else list(map(work, tasks))
            for (_, laid_over), part in zip(tasks, done, strict=True):
                seen = laid_over.alpha > 0
                pixels[laid_over.tile.window][seen] = part[seen]
                opened[laid_over.tile.window] |= seen
        changed = float((pixels != photo.pixels).any(2).mean())
        edit = Edit(
            float(opened.mean()), changed, 0, str(self.device),
            method=self.method, holes=len(found),
        )  # fmt: skip
        return Worked(replace(photo, pixels=pixels), edit, lambda: opened)
