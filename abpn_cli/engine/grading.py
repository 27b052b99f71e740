"""CSRNet on a photo: one map from colour to colour, found on a small copy, applied to every pixel.

What the network returns is clamped to sRGB and mixed with the photo in encoded sRGB, by the
strength and the user's masks; the difference lands in the photo's own colour space. A pixel whose
factor is 0 comes back as the integers it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from .. import weights
from ..cores import Cores
from ..errors import PhotoError, WeightsError
from ..nets.csrnet import MIN_SIDE, Csrnet, copy_size
from ..photo import Edit, Photo, Pixels, turn_upright, with_warnings
from . import fitted
from .base import Engine, Worked
from .clock import stage
from .colour import Image, colour_space
from .crew import AHEAD, Crew
from .finish import no_numbers
from .gate import Plane
from .looks import (
    BAND_PIXELS,
    COLOURS,
    Conditions,
    KernelMap,
    Landed,
    LookMap,
    Reach,
    TorchMap,
    bands,
    is_tabled,
    landed,
    tabled,
)
from .memory import MASK_BYTES_PER_PIXEL, MIB, PROGRAM_BYTES, check_fits
from .network import choose_device, choose_kernel

BAND_BYTES = 16 * MIB  # of one thread: float32 images of a band, in a wide colour space
TABLE_BYTES = 5 * COLOURS  # which colours there are, and what becomes of each


class Style(NamedTuple):
    """One style of a mix: its weights file, and its share of the mix, which add up to 1."""

    path: Path
    share: float = 1.0


class Grader(Engine):
    """Grades photos by one style, or a mix of them."""

    def __init__(
        self,
        styles: Sequence[Style],
        device: str = "auto",
        max_bytes: int = 4 * 2**30,
        cores: Cores | None = None,
    ) -> None:
        """Load the styles, of which there is at least one.

        device: as of `Retoucher`; max_bytes: what one photo may take, program included; cores:
        whose threads this is to share.

        Raises:
            UsageError, DeviceError: the device is unknown, or not there.
            WeightsError: missing, damaged, or of a network that does not grade.
        """
        self.device, self.precision = choose_device(device), "float32"
        self._kernel = choose_kernel(self.device, self.precision)
        self._nets = [_load(style.path, self.device) for style in styles]
        self.weight_bytes = sum(
            p.numel() * p.element_size() for net in self._nets for p in net.parameters()
        )
        self.spare_bytes = max_bytes - PROGRAM_BYTES - self.weight_bytes
        self._shares = [style.share for style in styles]
        self._crew = Crew(cores)
        self._max_bytes = max_bytes
        self._look: Conditions | None = None

    def locked(self, look: Conditions) -> Grader:
        """An engine that gives every photo the same look, whatever it shows."""
        other = copy(self)
        other._look = look
        return other

    def conditions(self, photo: Photo) -> Conditions:
        """Read what each style makes of a whole photo.

        Raises:
            PhotoError: too small, too big for the memory allowed, or the network fails on it.
        """
        self._check(photo, 0, 0)
        with stage("condition"), self._crew.together(), torch.inference_mode():
            found = tuple(
                net.condition(torch.from_numpy(self._copy(photo, net)).to(self.device))[0]
                .cpu()
                .numpy()
                for net in self._nets
            )
        if not all(np.isfinite(each).all() for each in found):
            raise no_numbers(photo.source)
        return found

    def look_of(self, photo: Photo) -> Conditions:
        """Return the look that is locked, or else the photo's own conditions.

        Raises:
            PhotoError: as `conditions`.
        """
        return self.conditions(photo) if self._look is None else self._look

    def lattice(self, look: Conditions, side: int, strength: float = 1.0) -> Image:
        """What a look makes of a lattice of sRGB colours, in [0, 1].

        side: points along each axis. Returns (side, side, side, 3), indexed blue, green, red.
        """
        points = np.linspace(0, 1, side, dtype=np.float32)
        blue, green, red = np.meshgrid(points, points, points, indexing="ij")
        before = np.stack([red, green, blue], axis=3).reshape(-1, 3)
        after = before + np.float32(strength) * (self._map(look).colours(before) - before)
        return after.clip(0, 1).reshape(side, side, side, 3)

    def worked(
        self,
        photo: Photo,
        strength: float = 1.0,
        only: Plane | None = None,
        protect: Plane | None = None,
    ) -> Worked:
        """Grade a photo; arguments as of `Engine.retouch`, strength in [0, 1].

        Raises:
            PhotoError: as `retouch`.
        """
        return self._worked(photo, strength, only, protect, photo.pixels.copy, 1)

    def overwritten(
        self,
        photo: Photo,
        strength: float = 1.0,
        only: Plane | None = None,
        protect: Plane | None = None,
    ) -> tuple[Photo, Edit]:
        """Do what `retouch` does, in the photo's own pixels if they can be written to.

        Raises:
            PhotoError: as `retouch`; then the pixels may be changed in part.
        """
        own = photo.pixels.flags.writeable
        target = (lambda: photo.pixels) if own else photo.pixels.copy
        worked = self._worked(photo, strength, only, protect, target, 0 if own else 1)
        return worked.photo, worked.edit

    def gate(self, photo: Photo) -> Plane:
        """Grading may change every pixel: (H, W) of ones.

        Raises:
            PhotoError: as `retouch`.
        """
        self._check(photo, 1, 0)
        return np.ones(photo.pixels.shape[:2], np.float32)

    def peak_bytes(self, photo: Photo, masks: int = 0, results: int = 1) -> int:
        """Most memory that a photo takes, program, networks and so many user's masks included.

        results: photos made besides the one given, 0 or 1.
        """
        height, width = photo.pixels.shape[:2]
        alpha = 0 if photo.alpha is None else int(photo.alpha.nbytes)
        features = 0  # of the largest map, 32 channels at half a side, and room beside it
        for net in self._nets:
            copied = copy_size((height, width), net.config.condition_long_side)
            features = max(features, copied[0] * copied[1] * 16 * 4)
        table = TABLE_BYTES if is_tabled(photo.pixels) else 0
        waiting = AHEAD * self._crew.size * BAND_PIXELS * 3 * photo.pixels.itemsize
        return (
            PROGRAM_BYTES
            + 2 * self.weight_bytes
            + (1 + results) * int(photo.pixels.nbytes)
            + alpha
            + max(features, self._crew.size * BAND_BYTES + int(waiting) + table)
            + int(height * width) * MASK_BYTES_PER_PIXEL * masks
        )

    def _check(self, photo: Photo, masks: int, results: int) -> None:
        height, width = photo.pixels.shape[:2]
        if min(height, width) < MIN_SIDE:
            raise PhotoError(
                photo.source,
                f"{width} x {height} pixels are too few",
                f"Both sides must have at least {MIN_SIDE} pixels.",
            )
        needed = self.peak_bytes(photo, masks, results)
        check_fits(photo.source, (height, width), needed, self._max_bytes)

    def _copy(self, photo: Photo, net: Csrnet) -> Image:
        """The upright copy a condition is read from: (1, 3, h, w), sRGB in [0, 1]."""
        height, width = photo.pixels.shape[:2]
        size = copy_size((height, width), net.config.condition_long_side)
        small = photo.pixels
        if size != (height, width):
            resized: Any = cv2.resize(small, size[::-1], interpolation=cv2.INTER_AREA)
            small = resized
        space, _ = colour_space(photo.metadata.icc)
        seen = turn_upright(space.to_network(small), photo.metadata.orientation)
        return np.ascontiguousarray(seen.clip(0, 1).transpose(2, 0, 1), np.float32)[None]

    @torch.inference_mode()
    def _map(self, look: Conditions) -> LookMap:
        steps = [
            net.steps(torch.from_numpy(c).to(self.device))
            for net, c in zip(self._nets, look, strict=True)
        ]
        if self._kernel is not None:
            return KernelMap(steps, self._shares, self._kernel)
        return TorchMap(steps, self._shares, self.device)

    def _worked(
        self,
        photo: Photo,
        strength: float,
        only: Plane | None,
        protect: Plane | None,
        target: Callable[[], Pixels],
        results: int,
    ) -> Worked:
        """Grade; target: makes the integers that are written over."""
        self._check(photo, sum(mask is not None for mask in (only, protect)), results)
        only, only_warning = fitted(only, photo, "--only")
        protect, protect_warning = fitted(protect, photo, "--protect")
        space, colour_warning = colour_space(photo.metadata.icc)
        reach = Reach(np.float32(strength), only, protect)
        pixels, opened, changed = photo.pixels, 0, 0
        if strength > 0:
            colour_map = landed(self._map(self.look_of(photo)), space)
            pixels = target()
            with stage("grade"):
                opened, changed = self._grade(photo.source, pixels, reach, colour_map)
        count = pixels.shape[0] * pixels.shape[1]
        edit = Edit(opened / count, changed / count, 0, str(self.device), precision=self.precision)
        told = tuple(filter(None, (colour_warning, only_warning, protect_warning)))
        done = with_warnings(replace(photo, pixels=pixels), *told)
        size = (pixels.shape[0], pixels.shape[1])
        return Worked(done, edit, lambda: reach.opened(size))

    def _grade(
        self, source: Path, pixels: Pixels, reach: Reach, colours: Landed
    ) -> tuple[int, int]:
        """Write over (H, W, 3) band by band; return how many pixels were open, how many changed."""
        if reach.is_even and is_tabled(pixels):
            colours = tabled(self._crew, pixels, reach.strength, colours)

        def work(rows: slice) -> tuple[int, int]:
            band = pixels[rows]
            factor = reach.at(rows, band.shape[1])
            laid = colours.graded(band, factor)
            if laid is None:
                raise no_numbers(source)
            band[:] = laid.pixels
            opened = np.broadcast_to(factor, band.shape[:2]) > 0
            return int(np.count_nonzero(opened)), laid.changed

        counts = self._crew.each(work, bands(pixels))
        return sum(c[0] for c in counts), sum(c[1] for c in counts)


def _load(path: Path, device: torch.device) -> Csrnet:
    loaded = weights.load(path, device)
    if not isinstance(loaded.net, Csrnet):
        raise WeightsError(
            path,
            f"holds a '{loaded.header.net}' network, which retouches and does not grade",
            "Give it to `abpn retouch --weights`; `abpn weights` lists the styles.",
        )
    return loaded.net
