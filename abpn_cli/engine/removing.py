"""Things taken out of photos: what a mask marks is filled from what surrounds it.

Every pixel outside the feathered holes comes back as the integer that it was. Windows are filled
from the photo as it is, none from another's filling, so that their order changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import hypot
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from ..cores import Cores
from ..errors import PhotoError
from ..photo import Edit, Notice, Photo, Pixels, turn_back, turn_upright, with_warnings
from . import fitted
from .base import Engine, Worked
from .colour import Image
from .crew import Crew
from .faces import changed_fraction
from .filling import PATCH_RADIUS, Filler, HifillFiller, PatchMatchFiller, mirrored
from .gate import Plane
from .holes import MOST_SHARE, Bools, Paste, Window, boxes, paste, windows
from .memory import PROGRAM_BYTES, check_fits
from .network import choose_device
from .pyramid import Tile

FEATHER = 4  # px
MASK_LEVEL = 0.5  # from here on a mask's grey means removal
NOTHING_MARKED = Notice("Nothing is marked in it: it passes as it is.")
PATCH = np.ones((2 * PATCH_RADIUS + 1, 2 * PATCH_RADIUS + 1), np.uint8)  # what is copied at once
DISC_SHIFT = 4  # binary digits behind the point, of where a spot lies


class Spot(NamedTuple):
    """A disc to remove: its middle in pixels of the upright photo, and its radius."""

    x: float
    y: float
    radius: float


class Wish(NamedTuple):
    """What is removed, and how.

    spots: to go from every photo, besides what its mask marks; feather: px over which a filling
    goes over into the photo; full: one window, the whole photo; force: holes of more than
    MOST_SHARE of their window are filled, too.
    """

    spots: tuple[Spot, ...] = ()
    feather: int = FEATHER
    full: bool = False
    force: bool = False


class Remover(Engine):
    """Removes things, by copies from around them, or by the network of a weights file."""

    def __init__(
        self,
        wish: Wish,
        path: Path | None = None,
        device: str = "auto",
        max_bytes: int = 4 * 2**30,
        cores: Cores | None = None,
    ) -> None:
        """Make ready.

        path: HiFill weights; None: copies by PatchMatch, which run on the CPU.

        Raises:
            UsageError, DeviceError: as `choose_device`; or PyPatchMatch does not run here.
            WeightsError: weights missing, damaged, or of another network.
        """
        where = choose_device(device)
        self._wish = wish
        self._crew = Crew(cores)
        self._max_bytes = max_bytes
        self.device, self.precision = where if path else torch.device("cpu"), "float32"
        self._filler: Filler = (
            PatchMatchFiller() if path is None else HifillFiller(path, where, self._crew)
        )
        self.weight_bytes = self._filler.weight_bytes
        self.spare_bytes = max_bytes - PROGRAM_BYTES

    @property
    def method(self) -> str:
        """What fills the holes, as events name it: "patchmatch" or "hifill"."""
        return self._filler.method

    def worked(
        self,
        photo: Photo,
        strength: float = 1.0,
        only: Plane | None = None,
        protect: Plane | None = None,
    ) -> Worked:
        """Remove what a mask marks, and the spots; alpha and metadata stay as they are.

        strength: how much of the filling shows, all of it from 1 on.
        only:     (H, W) float32 in [0, 1], white = remove, of the upright photo's shape or else of
                  the stored one's (`fitted`); another size is resized, with a warning on the photo
                  returned. protect: the same, white = stays.

        Raises:
            PhotoError: a mask of another shape, a spot outside the photo, a hole that is too large
                for its window, or too much memory needed.
            DeviceError: the device is out of memory.
        """
        hole, warnings = self._hole(photo, only, protect)
        laid = self._windows(hole)
        if not laid:
            edit = Edit(0.0, 0.0, 0, str(self.device))
            return Worked(with_warnings(photo, *warnings, NOTHING_MARKED), edit, lambda: hole)
        self._check(photo, hole, laid)
        pixels = photo.pixels.copy()
        opened = np.zeros(hole.shape, np.bool_)
        fill = partial(self._filled, photo.pixels, hole)
        for start in range(0, len(laid), self._threads):
            for over, filling in self._each(fill, laid[start : start + self._threads]):
                _lay_over(pixels[over.tile.window], filling, over.alpha * min(1.0, strength))
                opened[over.tile.window] |= over.alpha > 0
        edit = Edit(
            float(opened.mean()), changed_fraction(photo, pixels), 0, str(self.device),
            method=self.method, windows=len(laid),
        )  # fmt: skip
        done = with_warnings(replace(photo, pixels=pixels), *warnings)
        return Worked(done, edit, lambda: opened)

    def gate(self, photo: Photo, only: Plane | None = None) -> Plane:
        """Compute where a photo is changed: (H, W) in [0, 1], stored orientation.

        only: as of `worked`; without it the spots alone are removed.

        Raises:
            PhotoError: as `worked`.
        """
        hole, _ = self._hole(photo, only, None)
        gate = np.zeros(hole.shape, np.float32)
        for window in self._windows(hole):
            over = paste(hole, window, self._wish.feather)
            np.maximum(gate[over.tile.window], over.alpha, out=gate[over.tile.window])
        return gate

    def peak_bytes(self, photo: Photo, masks: int = 0) -> int:
        """Most memory that a photo takes, were its holes so large that all of it is looked at."""
        height, width = photo.pixels.shape[:2]
        return self._needed(photo, [height * width])

    @property
    def _threads(self) -> int:
        """How many windows are filled at once: a network takes all cores for one."""
        return 1 if self._filler.square else self._crew.size

    def _windows(self, hole: Bools) -> list[Window]:
        size = (hole.shape[0], hole.shape[1])
        return windows(boxes(hole), size, self._filler.square, self._wish.full)

    def _hole(
        self, photo: Photo, only: Plane | None, protect: Plane | None
    ) -> tuple[Bools, list[str]]:
        """Decide for each pixel, (H, W), whether it is to go; and warnings for the user."""
        only, told = fitted(only, photo, "--mask")
        protect, told_too = fitted(protect, photo, "--protect")
        height, width = photo.pixels.shape[:2]
        hole = np.zeros((height, width), np.bool_) if only is None else only >= MASK_LEVEL
        upright = turn_upright(hole, photo.metadata.orientation)
        if self._wish.spots:
            drawn = _drawn(self._wish.spots, upright.shape, photo.source)
            hole |= turn_back(drawn, photo.metadata.orientation)
        if protect is not None:
            hole &= protect < MASK_LEVEL
        return hole, [each for each in (told, told_too) if each]

    def _check(self, photo: Photo, hole: Bools, laid: Sequence[Window]) -> None:
        """Refuse what cannot be filled well, or at all.

        Raises:
            PhotoError: a hole too large for its window, or too much memory needed.
        """
        size = (hole.shape[0], hole.shape[1])
        needed = self._needed(photo, [window.tile.area for window in laid])
        check_fits(photo.source, size, needed, self._max_bytes)
        for window in laid:
            gone = self._gone(hole, window)
            if not cv2.erode((~gone).view(np.uint8), PATCH, borderValue=0).any():
                raise PhotoError(
                    photo.source,
                    "what is marked, with what its outline is grown by, leaves nothing to fill it "
                    "from",
                    "Mark less, or give a smaller --feather: white is what goes, black is what "
                    "stays.",
                )
            share = float(gone.mean())
            if share > MOST_SHARE and not self._wish.force:
                raise PhotoError(
                    photo.source,
                    f"a hole, its outline grown, takes {share:.0%} of what is around it, more "
                    f"than {MOST_SHARE:.0%}",
                    "Mark less at once, or use --force and look at the result.",
                )

    def _needed(self, photo: Photo, areas: Sequence[int]) -> int:
        """Most memory that windows of so many pixels take, so many at once as there are threads."""
        plane: int = photo.pixels.shape[0] * photo.pixels.shape[1]
        size = photo.pixels.dtype.itemsize
        each = (self._filler.peak_bytes(area) + area * (3 * size + 9) for area in areas)
        greediest = sorted(each, reverse=True)[: self._threads]
        alpha = 0 if photo.alpha is None else photo.alpha.nbytes
        return PROGRAM_BYTES + 2 * photo.pixels.nbytes + alpha + 8 * plane + sum(greediest)

    def _each(
        self, fill: Callable[[Window], tuple[Paste, Image]], several: Sequence[Window]
    ) -> list[tuple[Paste, Image]]:
        """Fill windows: several at once, or one by a network that takes all cores."""
        return list(map(fill, several)) if len(several) == 1 else self._crew.each(fill, several)

    def _gone(self, hole: Bools, window: Window) -> Bools:
        """What is filled of the part of a window that lies in the photo: holes, grown."""
        known = (~hole[_clipped(window.tile, (hole.shape[0], hole.shape[1])).window]).view(np.uint8)
        far = cv2.distanceTransform(known, cv2.DIST_L2, cv2.DIST_MASK_5)
        return np.asarray(far < window.grown + self._wish.feather + 1)

    def _filled(self, pixels: Pixels, hole: Bools, window: Window) -> tuple[Paste, Image]:
        """Fill one window; returns where it shows, and the filling there, (h, w, 3)."""
        over = paste(hole, window, self._wish.feather)
        inside, gone = _cut(pixels, self._gone(hole, window), window.tile)
        tile, top, left = over.tile, window.tile.top, window.tile.left
        box = Tile(tile.top - top, tile.bottom - top, tile.left - left, tile.right - left)
        return over, self._filler.fill(inside, gone, box)


def _lay_over(pixels: Pixels, filling: Image, alpha: Plane) -> None:
    """Mix a filling, in [0, 1], into (h, w, 3) integers; where alpha is 0 they stay as they are."""
    most = np.float32(np.iinfo(pixels.dtype).max)
    share = alpha[..., None]
    mixed = pixels * (1 - share)
    mixed += filling * (share * most)
    np.copyto(pixels, np.rint(mixed).astype(pixels.dtype), where=share > 0)


def _cut(pixels: Pixels, gone: Bools, tile: Tile) -> tuple[Pixels, Bools]:
    """Cut a window; pixels, and its holes, are mirrored where it reaches beyond the photo."""
    inside = _clipped(tile, (pixels.shape[0], pixels.shape[1]))
    part = pixels[inside.window]
    pads = [(0, tile.bottom - inside.bottom), (0, tile.right - inside.right)]
    if any(pad for _, pad in pads):
        return mirrored(part, pads), np.pad(gone, pads, "symmetric")
    return part, gone


def _clipped(tile: Tile, size: tuple[int, int]) -> Tile:
    """The part of a window that lies in the photo."""
    return tile.grown(0, size)


def _drawn(spots: Sequence[Spot], size: tuple[int, ...], source: Path) -> Bools:
    """Draw discs on the upright photo, (H, W).

    Raises:
        PhotoError: one lies outside.
    """
    height, width = size
    drawn = np.zeros((height, width), np.uint8)
    for x, y, radius in spots:
        if not (0 <= x < width and 0 <= y < height):
            raise PhotoError(
                source,
                f"--points {x:g},{y:g},{radius:g} lies outside the photo, {width} x {height}",
                "Count from its upper left corner, as it stands upright.",
            )
        reaching = min(radius, hypot(height, width))  # all of the photo
        at = [round(length * 2**DISC_SHIFT) for length in (x, y, reaching)]
        cv2.circle(drawn, (at[0], at[1]), at[2], 1, -1, cv2.LINE_8, DISC_SHIFT)
    return drawn.astype(np.bool_)
