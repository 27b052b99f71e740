"""A look: one map from colour to colour, applied to pixels in a photo's own colour space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import fsum
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..nets.csrnet import Step, apply_steps
from ..photo import Pixels
from .blending import Laid, counted, laid_over, to_integers
from .colour import AsIs, ColourSpace, Image
from .crew import Crew
from .gate import Plane
from .native import Kernel, look_laid_out

CHUNK = 2048  # colours at once by torch: their 64 features stay in a core's cache
BAND_PIXELS = 2**17  # of the rows that a thread takes at once
COLOURS = 2**24  # that 8-bit pixels can have
MANY_PIXELS = 2**20  # 8-bit photos from here on hold each of their colours many times

Conditions = tuple[NDArray[np.float32], ...]  # (32,) of each style
FoldedNet = tuple[Step, Step, Step]


class LookMap(Protocol):
    """A look as a function of colours: the styles' folded networks, mixed."""

    def colours(self, before: Image) -> Image:
        """(P, 3) sRGB in [0, 1] to (P, 3), clamped; NaN where the networks return it."""


class KernelMap:
    """In a kernel."""

    def __init__(self, steps: Sequence[FoldedNet], shares: Sequence[float], kernel: Kernel) -> None:
        """Lay out what each style's network is for a photo, and its share of the mix."""
        self.kernel = kernel
        self.looks = np.stack(
            [look_laid_out(each, share) for each, share in zip(steps, shares, strict=True)]
        )

    def colours(self, before: Image) -> Image:
        """Do what `LookMap` says."""
        return self.kernel.map_colours(self.looks, before)


class TorchMap:
    """By torch, on a device."""

    def __init__(
        self, steps: Sequence[FoldedNet], shares: Sequence[float], device: torch.device
    ) -> None:
        """Take what each style's network is for a photo, and its share of the mix."""
        self._steps, self._shares, self._device = list(steps), list(shares), device

    @torch.inference_mode()
    def colours(self, before: Image) -> Image:
        """Do what `LookMap` says."""
        after = np.empty_like(before)
        for start in range(0, len(before), CHUNK):
            part = torch.from_numpy(before[start : start + CHUNK].T).to(self._device)
            mixed = apply_steps(self._steps[0], part).clamp_(0, 1)
            if len(self._steps) > 1:
                mixed *= self._shares[0]
            for steps, share in zip(self._steps[1:], self._shares[1:], strict=True):
                mixed += apply_steps(steps, part).clamp_(0, 1) * share
            after[start : start + CHUNK] = mixed.cpu().numpy().T
        return after


class Landed:
    """A look in a photo's own colour space."""

    def __init__(self, map_: LookMap, space: ColourSpace) -> None:
        self.map, self.space = map_, space

    def graded(self, band: Pixels, factor: np.float32 | Plane) -> Laid | None:
        """Grade (h, w, 3) integers; None where the network returns no numbers.

        factor: how much of the edit lands, a number above 0 or (h, w); where it is 0 integers stay.
        """
        seen = self.space.to_network(band)
        inside = seen.clip(0, 1)  # the networks know no colours outside sRGB
        edit = self.map.colours(inside.reshape(-1, 3)).reshape(inside.shape) - inside
        if not np.isfinite(edit).all():
            return None
        plane = factor if isinstance(factor, np.ndarray) else None
        edit *= factor if plane is None else plane[..., None]
        after = to_integers(self.space.land(band, seen, seen + edit), band.dtype)
        return counted(after if plane is None else laid_over(band, after, plane > 0), band)


class InKernel(Landed):
    """A look of sRGB photos, from integers to integers in a kernel."""

    def __init__(self, map_: KernelMap) -> None:
        super().__init__(map_, AsIs())
        self._kernel, self._looks = map_.kernel, map_.looks

    def graded(self, band: Pixels, factor: np.float32 | Plane) -> Laid | None:
        """Do the same; sums in another order round otherwise, by 1 of 65535."""
        found = self._kernel.grade(self._looks, band, factor)
        return None if found is None else Laid(*found)


class Tabled(Landed):
    """A look whose every colour at hand has been worked out."""

    def __init__(self, map_: LookMap, space: ColourSpace, table: NDArray[np.uint32]) -> None:
        super().__init__(map_, space)
        self._table = table

    def graded(self, band: Pixels, factor: np.float32 | Plane) -> Laid | None:
        """Look (h, w, 3) 8-bit colours up; the factor is in the table."""
        found = self._table[packed(band)]
        if (found == COLOURS).any():
            return None
        parts = found[..., None] >> np.array([16, 8, 0], np.uint32)
        return counted((parts & np.uint32(255)).astype(np.uint8), band)


def landed(map_: LookMap, space: ColourSpace) -> Landed:
    """Bring a look to a photo's colour space, by the fastest way."""
    if isinstance(map_, KernelMap) and isinstance(space, AsIs):
        return InKernel(map_)
    return Landed(map_, space)


def tabled(crew: Crew, pixels: Pixels, strength: np.float32, colours: Landed) -> Tabled:
    """Grade each colour that 8-bit pixels have once, where all of them are graded alike."""
    there = np.zeros(COLOURS, np.bool_)

    def mark(rows: slice) -> None:
        there[packed(pixels[rows])] = True

    crew.each(mark, bands(pixels))
    found = np.flatnonzero(there).astype(np.uint32)
    table = np.zeros(COLOURS, np.uint32)

    def fill(start: int) -> None:
        some = found[start : start + BAND_PIXELS]
        before = np.stack([some >> 16, some >> 8 & 255, some & 255], axis=1).astype(np.uint8)
        after = colours.graded(before[None], strength)
        table[some] = COLOURS if after is None else packed(after.pixels)[0]

    crew.each(fill, range(0, len(found), BAND_PIXELS))
    return Tabled(colours.map, colours.space, table)


class Reach(NamedTuple):
    """How much of the edit lands where: strength · only · (1 - protect); masks (H, W) in [0, 1]."""

    strength: np.float32
    only: Plane | None
    protect: Plane | None

    @property
    def is_even(self) -> bool:
        """Whether it is the same everywhere."""
        return self.only is None and self.protect is None

    def at(self, rows: slice, width: int) -> np.float32 | Plane:
        """The factor of some rows: a number, or (h, width)."""
        if self.is_even:
            return self.strength
        factor = np.full((rows.stop - rows.start, width), self.strength, np.float32)
        if self.only is not None:
            factor *= self.only[rows]
        if self.protect is not None:
            factor *= 1 - self.protect[rows]
        return factor

    def opened(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Where it is above 0, of a photo's (height, width): (H, W)."""
        factor = self.at(slice(0, size[0]), size[1])
        return np.broadcast_to(np.asarray(factor > 0), size).copy()


def mean_look(looks: Sequence[Conditions]) -> Conditions:
    """The mean of the conditions of several photos, the same in whatever order they come."""
    return tuple(
        np.array([fsum(column) / len(looks) for column in zip(*each, strict=True)], np.float32)
        for each in zip(*looks, strict=True)
    )


def is_tabled(pixels: Pixels) -> bool:
    """Whether a photo, (H, W, 3), has far fewer colours than pixels."""
    return pixels.dtype == np.uint8 and pixels.shape[0] * pixels.shape[1] >= MANY_PIXELS


def bands(pixels: Pixels) -> Iterator[slice]:
    """Rows of (H, W, 3), as many at a time as hold BAND_PIXELS, one at least."""
    height, width = pixels.shape[:2]
    step = max(1, BAND_PIXELS // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def packed(pixels: Pixels) -> NDArray[np.uint32]:
    """(h, w, 3) 8-bit colours as numbers below COLOURS: (h, w)."""
    wide = pixels.astype(np.uint32)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], np.uint32)
