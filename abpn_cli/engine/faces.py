"""Retouching the faces of a photo: each one by itself, at the scale the network knows.

Every face gets a patch of 1.5 times its side, retouched as a photo of its own: same canvas, same
colour space, same depth, turned so that the face stands upright. The patch's weight, 0 where there
is no skin, multiplies the gate, so that pixels outside all patches, and those under a gate of 0,
come back as the integers they were. Faces are retouched from the photo as it was and their changes
added up: the outcome does not depend on their order. A photo without a face comes back as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..photo import Edit, Photo, turn_upright, with_warnings
from . import Retoucher, fitted
from .base import Engine, Worked
from .complexion import skin_share
from .detector import DETECTOR_BYTES, Face, find_faces
from .gate import Plane
from .memory import MASK_BYTES_PER_PIXEL, PROGRAM_BYTES, check_fits
from .moles import Mole, find_moles, shut_at
from .patches import Patch, groups, grown_together, patches, weight
from .pyramid import Tile

PATCH_BYTES_PER_PIXEL = 24  # weights while it is worked on; its changes when they are added up


class _Part(NamedTuple):
    """A face's patch, ready to be retouched.

    photo: the patch as a photo of its own; weight: (h, w) of it, moles taken out; moles: those.
    """

    photo: Photo
    weight: Plane
    moles: tuple[Mole, ...]


class FaceRetoucher(Engine):
    """Retouches the faces of photos with one set of weights; does what `Retoucher` does."""

    def __init__(
        self,
        retoucher: Retoucher,
        keep_moles: bool = True,
        find: Callable[[Photo], Sequence[Face]] = find_faces,
    ) -> None:
        """Take a retoucher whose network learnt faces.

        keep_moles: leave moles alone; find: finds the faces of a photo, in any order.
        """
        self.device, self.precision = retoucher.device, retoucher.precision
        self.weight_bytes, self.spare_bytes = retoucher.weight_bytes, retoucher.spare_bytes
        self._retoucher = retoucher
        self._keep_moles = keep_moles
        self._find = find

    @property
    def max_bytes(self) -> int:
        """What one photo may take, program and network included."""
        return self._retoucher.max_bytes

    def worked(
        self,
        photo: Photo,
        strength: float = 1.0,
        only: Plane | None = None,
        protect: Plane | None = None,
    ) -> Worked:
        """Do what `retouch` does, and tell where the photo was open to change.

        Raises:
            PhotoError, DeviceError, WeightsError: as `retouch`.
        """
        only, only_warning = fitted(only, photo, "--only")
        protect, protect_warning = fitted(protect, photo, "--protect")
        warnings = [warning for warning in (only_warning, protect_warning) if warning]
        found = self._groups(photo, sum(mask is not None for mask in (only, protect)))
        pixels = photo.pixels.copy() if found else photo.pixels
        opened = np.zeros(photo.pixels.shape[:2], np.bool_)
        edits: list[Edit] = []
        kept: list[Mole] = []
        for group in found:
            done = []
            for patch, part in self._parts(photo, group):
                window = patch.tile.window
                allowed = part.weight if only is None else part.weight * only[window]
                barred = None if protect is None else protect[window]
                # a mask is given as its photo is seen
                bounds = [_as_seen(mask, patch.orientation) for mask in (allowed, barred)]
                worked = self._retoucher.worked(part.photo, strength, *bounds)
                reached = worked.opened()
                kept += _kept(part.moles, reached, patch.tile)
                opened[window] |= reached & (part.weight > 0)
                done.append(worked.photo.pixels)
                edits.append(_as_share(worked.edit, patch.tile, opened.size))
                warnings += [each for each in worked.photo.warnings if each not in warnings]
            grown_together(photo.pixels, pixels, group, done)
        edit = replace(
            _summed(edits, str(self.device)),
            precision=self.precision if edits else "",
            mask_fraction=float(opened.mean()),
            changed_fraction=changed_fraction(photo, pixels),
            moles_kept=len(_apart(kept)),
        )
        return Worked(with_warnings(replace(photo, pixels=pixels), *warnings), edit, lambda: opened)

    def gate(self, photo: Photo) -> Plane:
        """Compute where faces would be changed, moles left out: (H, W) in [0, 1].

        Raises:
            PhotoError, DeviceError, WeightsError: as `retouch`.
        """
        gate = np.zeros(photo.pixels.shape[:2], np.float32)
        for group in self._groups(photo, masks=1):
            for patch, part in self._parts(photo, group):
                gate[patch.tile.window] += self._retoucher.gate(part.photo) * part.weight
        return gate.clip(0, 1)

    def peak_bytes(self, photo: Photo, masks: int = 0) -> int:
        """Most memory that a photo takes whose largest face fills it."""
        height, width = photo.pixels.shape[:2]
        whole = Patch(Tile(0, height, 0, width), photo.metadata.orientation, 0.0, 0.0)
        return self._needed(photo, [[whole]], masks)

    def _groups(self, photo: Photo, masks: int) -> list[list[Patch]]:
        """Find the faces, and cut patches around them, where memory allows it."""
        size = (photo.pixels.shape[0], photo.pixels.shape[1])
        check_fits(photo.source, size, self._needed(photo, [], masks), self.max_bytes)
        found = groups(patches(self._find(photo), size))
        check_fits(photo.source, size, self._needed(photo, found, masks), self.max_bytes)
        return found

    def _needed(self, photo: Photo, found: Iterable[Sequence[Patch]], masks: int) -> int:
        """Most memory that it takes to find faces, and then to retouch these, a group at a time."""
        pixels = photo.pixels.shape[0] * photo.pixels.shape[1]
        alpha = 0 if photo.alpha is None else int(photo.alpha.nbytes)
        held: int = 2 * photo.pixels.nbytes + alpha + pixels * (1 + MASK_BYTES_PER_PIXEL * masks)
        least = PROGRAM_BYTES + 2 * self.weight_bytes + DETECTOR_BYTES
        most: int = max([least, *(self._group_bytes(photo, group) for group in found)])
        return held + most

    def _group_bytes(self, photo: Photo, group: Sequence[Patch]) -> int:
        parts = [_cut(photo, patch) for patch in group]
        largest: int = max(part.pixels.shape[0] * part.pixels.shape[1] for part in parts)
        return (
            sum(int(part.pixels.nbytes) for part in parts)
            + max(self._retoucher.peak_bytes(part, masks=1) for part in parts)
            + largest * PATCH_BYTES_PER_PIXEL
        )

    def _parts(self, photo: Photo, group: Sequence[Patch]) -> Iterable[tuple[Patch, _Part]]:
        """Make each patch of a group ready, when its turn comes."""
        size = (photo.pixels.shape[0], photo.pixels.shape[1])
        for patch in group:
            part = _cut(photo, patch)
            share = weight(patch, group, size) * skin_share(part)
            moles = find_moles(part, patch.face_width) if self._keep_moles else ()
            if moles:
                share *= 1 - shut_at(moles, (share.shape[0], share.shape[1]))
            yield patch, _Part(part, share, moles)


def _as_seen(mask: Plane | None, orientation: int) -> Plane | None:
    return None if mask is None else np.ascontiguousarray(turn_upright(mask, orientation))


def _cut(photo: Photo, patch: Patch) -> Photo:
    """A patch as a photo of its own, turned so that its face stands upright; pixels are a view."""
    metadata = replace(photo.metadata, orientation=patch.orientation)
    return replace(
        photo, pixels=photo.pixels[patch.tile.window], metadata=metadata, alpha=None, warnings=()
    )


def _kept(moles: Iterable[Mole], reached: NDArray[np.bool_], tile: Tile) -> list[Mole]:
    """Those moles that the network would have reached, in the photo's own places."""
    return [
        Mole(mole.row + tile.top, mole.column + tile.left, mole.radius)
        for mole in moles
        if reached[round(mole.row), round(mole.column)]
    ]


def _apart(moles: Iterable[Mole]) -> list[Mole]:
    """Count what two patches both hold once."""
    apart: list[Mole] = []
    for mole in sorted(moles):
        if all(
            np.hypot(mole.row - each.row, mole.column - each.column) > mole.radius for each in apart
        ):
            apart.append(mole)
    return apart


def _as_share(edit: Edit, tile: Tile, pixels: int) -> Edit:
    """An edit of a patch, its damped share told of the whole photo."""
    area = (tile.bottom - tile.top) * (tile.right - tile.left)
    return replace(edit, damped_fraction=edit.damped_fraction * area / pixels)


def _summed(edits: Sequence[Edit], device: str) -> Edit:
    """What was done to a photo by editing each of its faces; shares of pixels are not known yet."""
    return Edit(
        0.0,
        0.0,
        max((edit.levels for edit in edits), default=0),
        device,
        max((edit.largest_layer for edit in edits), default=0.0),
        min(1.0, sum(edit.damped_fraction for edit in edits)),
        faces=len(edits),
    )


def changed_fraction(photo: Photo, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> float:
    """Share of a photo's pixels that differ from its (H, W, 3) successors."""
    if pixels is photo.pixels:
        return 0.0
    changed = sum(
        int((before != after).any(axis=-1).sum())
        for before, after in zip(photo.pixels, pixels, strict=True)
    )
    return float(changed / (pixels.shape[0] * pixels.shape[1]))
