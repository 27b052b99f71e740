"""The thumbnail's part on the device: LRL, unblend, ghost contours; as CUDA graphs where it is one.

All of it is small: some hundred operations on a quarter of a megapixel, of which launching each
would take longer than doing it. So they are recorded once per thumbnail size, and replayed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ...nets.abpn import smoothstep
from ...nets.bpl import blend, down, reflect_index, unblend, upsample
from ...nets.lrl import LRL_MULTIPLE, MASK_STRIDE, LocalRetouch
from ...photo import turn_back, turn_upright
from ..contours import (
    APART,
    AROUND,
    BLANK,
    CONTOUR,
    KEPT,
    LUMA,
    MIXED,
    REACH,
    SHOWS,
    SLICES,
    SUPPORT,
    WHITE,
)
from ..pyramid import padded_length, reflected

SHAPES = 4  # thumbnail sizes whose graphs are kept: a shoot has one or two
WARM_UP = 3  # runs before a graph is recorded, in which libraries choose and allocate
SCHARR = ((-3.0, 0.0, 3.0), (-10.0, 0.0, 10.0), (-3.0, 0.0, 3.0))

Function = Callable[..., tuple[Tensor, ...]]


class Graphed:
    """A function of tensors; on CUDA recorded per shape of its inputs, then replayed."""

    def __init__(self, function: Function, device: torch.device) -> None:
        """Record nothing yet.

        function: must not look at values on the host, nor keep what it made before.
        """
        self._function = function
        self._on_cuda = device.type == "cuda"
        self._recorded: OrderedDict[tuple[torch.Size, ...], _Recorded] = OrderedDict()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute; the outputs are the caller's own."""
        if not self._on_cuda:
            return self._function(*inputs)
        shapes = tuple(each.shape for each in inputs)
        recorded = self._recorded.get(shapes)
        if recorded is None:
            recorded = self._recorded[shapes] = _Recorded(self._function, inputs)
            if len(self._recorded) > SHAPES:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end(shapes)
        return recorded(inputs)


class _Recorded:
    """A CUDA graph, with the places it reads from and writes to."""

    def __init__(self, function: Function, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(each.clone() for each in inputs)
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                function(*self._inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads may go on using CUDA meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = function(*self._inputs)

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for place, each in zip(self._inputs, inputs, strict=True):
            place.copy_(each)
        self._graph.replay()
        return tuple(each.clone() for each in self._outputs)


class Thumbnail:
    """What happens to I_l."""

    def __init__(
        self,
        paint: Callable[[Tensor], LocalRetouch],
        in_light: Callable[[Tensor, Tensor], Tensor],
        terms: Tensor,
        device: torch.device,
    ) -> None:
        """Take what the network is made of.

        paint: (1, 3, h, w) upright to R_l and M; in_light: I_l and R_l to what of R_l is kept;
        terms: (6,), j and k.
        """
        j, k = terms.to(device).chunk(2)
        self._paint = Graphed(paint, device)
        self._in_light = in_light
        self._layer = Graphed(partial(_layer, j, k), device)

    def paint(self, image: Tensor, orientation: int) -> tuple[Tensor, Tensor]:
        """Run the LRL on the upright view of I_l, (h, w, 3) [D15].

        Returns R_l, (h, w, 3), and M, (ceil(h/4), ceil(w/4)), of the stored orientation.
        """
        size = (image.shape[0], image.shape[1])
        there, back, mask_back = _turns(size, orientation, image.device)
        upright = image.flatten(0, 1)[there.flatten()].reshape(*there.shape, 3)
        seen = upright.permute(2, 0, 1)[None]
        retouched, mask = self._paint(seen)
        flat = self._in_light(seen, retouched)[0].permute(1, 2, 0).flatten(0, 1)
        return flat[back.flatten()].reshape(*size, 3), mask.flatten()[mask_back]

    def mask_of_half(self, image: Tensor, orientation: int) -> Tensor:
        """Find M, of the size and orientation of `paint`'s, by the half of I_l, (h, w, 3)."""
        half = down(image.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
        _, mask = self.paint(half, orientation)
        height, width = (-(-length // MASK_STRIDE) for length in image.shape[:2])
        return upsample(mask[None, None])[0, 0, :height, :width]

    def layer(self, image: Tensor, retouched: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Find B_l, (h, w, 3), damped along ghost contours, and the share of it that was.

        image, retouched: I_l and R_l; grid: the gate on M's grid.
        """
        layer, share = self._layer(image, retouched, grid)
        return layer, share


@lru_cache(maxsize=8)
def _turns(
    size: tuple[int, int], orientation: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Which pixel of I_l stands where in the padded upright view; which of R_l's, of M's, return.

    Each (h, w) int64, of what is made; places are counted along rows.
    """
    height, width = size
    rows, columns = (reflected(n, padded_length(n, LRL_MULTIPLE)) for n in size)
    there = turn_upright(rows[:, None] * width + columns, orientation)
    places = np.arange(there.size).reshape(there.shape)
    back = turn_back(places, orientation)[:height, :width]
    cells = tuple(n // MASK_STRIDE for n in there.shape)
    mask_places = turn_back(np.arange(cells[0] * cells[1]).reshape(cells), orientation)
    mask_back = mask_places[: -(-height // MASK_STRIDE), : -(-width // MASK_STRIDE)]
    return _places(there, device), _places(back, device), _places(mask_back, device)


def _places(array: NDArray[np.integer[Any]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(array, np.int64)).to(device)


def _layer(
    j: Tensor, k: Tensor, image: Tensor, retouched: Tensor, grid: Tensor
) -> tuple[Tensor, Tensor]:
    layer = unblend(image, retouched, j, k)
    gate = F.interpolate(
        grid[None, None], scale_factor=MASK_STRIDE, mode="bilinear", align_corners=False
    )[0, 0, : image.shape[0], : image.shape[1], None]
    damp = ghosts(image, blend(image, layer * gate, j, k))
    return layer * (1 - damp)[..., None], (damp > 0.5).float().mean()


def ghosts(image: Tensor, retouched: Tensor) -> Tensor:
    """How far a layer is to be taken back, (h, w) in [0, 1]: as `contours.damp_ghosts`."""
    before, after = (part @ _luma(image.device) for part in (image, retouched))
    edit = (after - before).abs()
    white = smoothstep(*WHITE, image.amin(2))
    blank = white * smoothstep(*BLANK, _means_around(white[None])[0])
    shows = smoothstep(*SHOWS, (retouched - image).abs().amax(2))
    return shows * torch.maximum(_spilt(before, after, edit), blank)


def _spilt(before: Tensor, after: Tensor, edit: Tensor) -> Tensor:
    """How surely the edit of each pixel comes from beyond an outline; all (h, w)."""
    contour = _steepness(before)
    kept = smoothstep(*KEPT, _steepness(after) / contour.clamp(min=1e-6))
    outline = smoothstep(*CONTOUR, contour) * kept
    outline = F.max_pool2d(outline[None, None], 2 * REACH + 1, 1, REACH)[0, 0]
    slices = torch.arange(SLICES + 1, device=before.device)[:, None, None]
    member = (1 - (before.clamp(0, 1) * SLICES - slices).abs()).clamp(min=0)
    alike = (member * _means_around(member)).sum(0)
    own = (member * _means_around(member * edit)).sum(0)
    unlike = 1 - alike
    others = (_means_around(edit[None])[0] - own).clamp(min=0) / unlike.clamp(min=1e-3)
    own = own / alike.clamp(min=1e-3)
    support = smoothstep(*SUPPORT, own / others.clamp(min=1e-6))
    spilt = outline * smoothstep(*APART, unlike) * smoothstep(*SHOWS, others) * (1 - support)
    mixed = 1 - smoothstep(*MIXED, alike)
    return torch.maximum(spilt, mixed * F.max_pool2d(spilt[None, None], 3, 1, 1)[0, 0])


def _steepness(plane: Tensor) -> Tensor:
    """Length of the gradient of (h, w), per pixel."""
    gradients = F.conv2d(_bordered(plane, 1)[None, None], _scharr(plane.device))[0]
    return gradients.square().sum(0).sqrt()


def _means_around(planes: Tensor) -> Tensor:
    """Means over AROUND px on each side of (n, h, w)."""
    side = 2 * AROUND + 1
    columns = F.avg_pool2d(_bordered(planes, AROUND)[:, None], (side, 1), 1)
    return F.avg_pool2d(columns, (1, side), 1)[:, 0]


def _bordered(planes: Tensor, margin: int) -> Tensor:
    """(…, h, w) with a border, reflect-101, as often as needed."""
    for axis in (-2, -1):
        planes = planes.index_select(axis, _border(planes.shape[axis], margin, planes.device))
    return planes


# Made once, for nothing may come from the host while a graph is recorded.


@lru_cache(maxsize=32)
def _border(size: int, margin: int, device: torch.device) -> Tensor:
    return reflect_index(-margin, size + margin, size).to(device)


@lru_cache(maxsize=4)
def _luma(device: torch.device) -> Tensor:
    return torch.from_numpy(LUMA).to(device)


@lru_cache(maxsize=4)
def _scharr(device: torch.device) -> Tensor:
    across = torch.tensor(SCHARR, device=device) / 32
    return torch.stack([across, across.T])[:, None]
