"""Patches of a photo that are worked on by themselves, and how they grow together again.

A patch is a face with some of what is around it. Its weight is 1 on the face and falls smoothly to
0 at the patch's rim, so that no seam shows; where patches overlap, the weights are divided by their
sum wherever that is more than 1. All of it follows from the set of faces, not from their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..photo import Pixels
from .detector import Face
from .gate import Plane, smoothstep
from .pyramid import Tile

AROUND = 1.5  # side of a patch by the face's: the network learnt faces with so much around them
RIM = (AROUND - 1) / 2  # of the face's side: what lies between it and the patch's rim


class Patch(NamedTuple):
    """A part of the photo around a face: where, how it is turned upright, how large the face is.

    rim: px over which the weight falls; face_width: px, of the face as it stands.
    """

    tile: Tile
    orientation: int
    rim: float
    face_width: float


def patches(faces: Iterable[Face], size: tuple[int, int]) -> list[Patch]:
    """Cut a square around each face, clipped at a photo of `size` (height, width).

    Corners are even, but where the photo's own are not.
    """
    return sorted(_patch(face, size) for face in faces)


def _patch(face: Face, size: tuple[int, int]) -> Patch:
    reach = AROUND / 2 * face.side
    (top, bottom), (left, right) = (
        (max(0, 2 * floor((middle - reach) / 2)), min(length, 2 * ceil((middle + reach) / 2)))
        for middle, length in (
            ((face.top + face.bottom) / 2, size[0]),
            ((face.left + face.right) / 2, size[1]),
        )
    )
    lies = face.orientation in (5, 6, 7, 8)
    width = face.bottom - face.top if lies else face.right - face.left
    return Patch(Tile(top, bottom, left, right), face.orientation, RIM * face.side, width)


def groups(cut: Sequence[Patch]) -> list[list[Patch]]:
    """Put patches together that overlap, directly or by others between them."""
    found: list[list[Patch]] = []
    for patch in cut:
        near = [group for group in found if any(_overlap(patch, other) for other in group)]
        found = [group for group in found if group not in near]
        found.append(sorted([patch, *(each for group in near for each in group)]))
    return sorted(found)


def _overlap(one: Patch, other: Patch) -> bool:
    return _common(one.tile, other.tile) is not None


def _common(one: Tile, other: Tile) -> Tile | None:
    common = Tile(
        max(one.top, other.top),
        min(one.bottom, other.bottom),
        max(one.left, other.left),
        min(one.right, other.right),
    )
    return common if common.top < common.bottom and common.left < common.right else None


def feather(patch: Patch, tile: Tile, size: tuple[int, int]) -> Plane:
    """The weight of a patch over a rectangle of it: (h, w), 0 along its rim, 1 on the face.

    At the photo's own border, where nothing follows, it does not fall.
    """
    outer = patch.tile
    rows, columns = (
        _ramp(np.arange(start, stop), first, last, length, patch.rim)
        for start, stop, first, last, length in (
            (tile.top, tile.bottom, outer.top, outer.bottom, size[0]),
            (tile.left, tile.right, outer.left, outer.right, size[1]),
        )
    )
    return rows[:, None] * columns[None]


def _ramp(at: NDArray[np.intp], first: int, last: int, length: int, rim: float) -> Plane:
    from_rim = np.full(len(at), np.inf, np.float32)
    if first > 0:
        from_rim = np.minimum(from_rim, (at - first).astype(np.float32))
    if last < length:
        from_rim = np.minimum(from_rim, (last - 1 - at).astype(np.float32))
    return smoothstep(0.0, rim, from_rim)


def weight(patch: Patch, group: Sequence[Patch], size: tuple[int, int]) -> Plane:
    """The weight of a patch among those that it overlaps: (h, w) of it; all sum up to 1 at most."""
    own = feather(patch, patch.tile, size)
    total = np.zeros_like(own)
    for other in group:
        common = _common(patch.tile, other.tile)
        if common is not None:
            total[common.within(patch.tile)] += feather(other, common, size)
    return np.asarray(own / np.maximum(total, 1), np.float32)


def grown_together(
    before: Pixels, pixels: Pixels, group: Sequence[Patch], done: Sequence[Pixels]
) -> None:
    """Write what became of a group's patches into `pixels`: the sum of their changes.

    before: (H, W, 3), the photo; pixels: the same, written to; done: (h, w, 3) of each patch, of
    the same type.
    """
    most = np.iinfo(before.dtype).max
    for patch in group:
        tile = patch.tile
        total = before[tile.window].astype(np.int32)
        for other, after in zip(group, done, strict=True):
            common = _common(tile, other.tile)
            if common is not None:
                change = after[common.within(other.tile)].astype(np.int32)
                change -= before[common.window]
                total[common.within(tile)] += change
        pixels[tile.window] = total.clip(0, most)
