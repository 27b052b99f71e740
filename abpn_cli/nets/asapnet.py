"""ASAP-Net: a small image decides, cell by cell, the weights of a perceptron for each pixel.

Rott Shaham et al., CVPR 2021 (arXiv 2012.02992), written from our specification alone (asapnet.md);
code and weights of the authors are non-commercial, and nothing of them is in here. Images are
(N, C, H, W) in [-1, 1]: RGB, or one-hot labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2, pi
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bpl import reflect_index

Padding = Literal["reflect", "zeros"]

ROWS = 16  # cells from top to bottom of a photo
LEAK = 0.01  # slope of every leaky ReLU between the layers of the perceptron
OUTPUTS = 3
MIN_SIDE = 16  # px: a photo has at least a pixel a row of cells


@dataclass(frozen=True)
class AsapNetConfig:
    """What an ASAP-Net is made of; lies in every checkpoint.

    channels:    C of the input; edges: one more channel, which the low-resolution stream alone
                 sees.
    reduction:   S, pixels to a side of a cell at the size trained for, a power of two.
    learned:     S2, how much of S the stream's strides do; a tent filter does S / S2 before it.
    width, most, depth: of the stream: its first channels, its last, and its layers of stride 1
                 at the end. The paper's are 64, 1024 and 7.
    pixel_width, pixel_layers: of the perceptron.
    padding:     of the stream.
    residual:    predicts what to add to an RGB input, and starts at nothing: not in the paper.
    blend_cells: mix the outcomes of the four nearest cells, so that no seams show: not in the
                 paper. Used where photos are retouched, not by `forward`.
    """

    channels: int = 3
    edges: bool = False
    reduction: int = 64
    learned: int = 16
    width: int = 64
    most: int = 1024
    depth: int = 7
    pixel_width: int = 64
    pixel_layers: int = 5
    padding: Padding = "reflect"
    residual: bool = False
    blend_cells: bool = False

    def __post_init__(self) -> None:
        """Refuse what no network can be made of.

        Raises:
            ValueError: names the key.
        """
        for name in ("reduction", "learned"):
            value = getattr(self, name)
            if value < 2 or value & (value - 1):
                raise ValueError(f"{name} {value}")
        if self.learned > self.reduction:
            raise ValueError(f"learned {self.learned}, reduction {self.reduction}")
        if min(self.width, self.most, self.pixel_width) < 1 or min(self.depth, 1) < 0:
            raise ValueError(f"width {self.width}, most {self.most}, depth {self.depth}")
        if self.pixel_layers < 2 or self.padding not in ("reflect", "zeros"):
            raise ValueError(f"pixel_layers {self.pixel_layers}, padding {self.padding}")
        if self.residual and self.channels != OUTPUTS:
            raise ValueError("residual: takes RGB")

    @property
    def code_channels(self) -> int:
        """How many channels say where in its cell a pixel lies."""
        return 4 * int(log2(self.reduction))

    @property
    def pixel_widths(self) -> tuple[int, ...]:
        """Inputs and outputs of the perceptron's layers."""
        hidden = (self.pixel_width,) * (self.pixel_layers - 1)
        return (self.channels + self.code_channels, *hidden, OUTPUTS)

    @property
    def cell_parameters(self) -> int:
        """Weights and biases of one cell's perceptron, C_total."""
        return sum(i * o + o for i, o in pairwise(self.pixel_widths))


class Layer(NamedTuple):
    """One layer of every cell's perceptron: (K, n_in, n_out) and (K, 1, n_out), K cells."""

    weight: Tensor
    bias: Tensor


def tent_taps(factor: int) -> Tensor:
    """1, 3, 5 .. 5, 3, 1, as many as 2·factor, of sum 1; a single 1 for a factor of 1."""
    if factor == 1:
        return torch.ones(1)
    rising = torch.arange(1.0, 2 * factor, 2)
    return torch.cat([rising, rising.flip(0)]) / (2 * rising.sum())


def tent(image: Tensor, factor: int) -> Tensor:
    """Reduce (N, C, H, W) by a whole `factor`: taps 1, 3, 5 .. 5, 3, 1 along both axes.

    Reflected (101) at the borders; an odd factor sees half a pixel more at the top and left.
    """
    if factor == 1:
        return image
    taps = tent_taps(factor).to(image)
    for axis in (2, 3):
        size = image.shape[axis]
        before = factor // 2
        index = reflect_index(-before, size + factor - before, size).to(image.device)
        windows = image.index_select(axis, index).unfold(axis, 2 * factor, factor)
        image = (windows * taps).sum(-1)
    return image


def position_code(side: int, reduction: int, device: torch.device | None = None) -> Tensor:
    """Where in a cell a pixel lies: (4·log2 S, side, side), S = `reduction`.

    For each period f = S, S/2 .. 2: cos and sin of 2πu/f and of 2πv/f, u along the row. A cell of
    another `side` than S is measured in the pixels of one of S.
    """
    place = torch.arange(side, device=device, dtype=torch.float32) * (reduction / side)
    channels = []
    period = reduction
    while period >= 2:
        angle = 2 * pi * (place % period) / period
        for wave in (angle.cos(), angle.sin()):
            channels.append(wave[None].expand(side, side))
        for wave in (angle.cos(), angle.sin()):
            channels.append(wave[:, None].expand(side, side))
        period //= 2
    return torch.stack(channels)


def layers_of(parameters: Tensor, widths: Sequence[int]) -> list[Layer]:
    """Cut (K, C_total) into layers: of each its biases, then its weights, input by input."""
    pairs = list(pairwise(widths))
    parts = torch.split(parameters, [size for i, o in pairs for size in (o, i * o)], 1)
    return [
        Layer(weight.reshape(-1, i, o), bias[:, None])
        for (i, o), bias, weight in zip(pairs, parts[::2], parts[1::2], strict=True)
    ]


def perceptron(layers: Sequence[Layer], features: Tensor) -> Tensor:
    """Run each cell's perceptron on its pixels: (K, pixels, n_in) to (K, pixels, 3), in (-1, 1)."""
    for layer in layers[:-1]:
        features = torch.baddbmm(layer.bias, features, layer.weight)
        features = F.leaky_relu(features, LEAK, inplace=True)
    return torch.tanh(torch.baddbmm(layers[-1].bias, features, layers[-1].weight))


def in_cells(image: Tensor, side: int) -> Tensor:
    """(N, C, r·side, c·side) to (N·r·c, side², C): the pixels of each cell."""
    count, channels, height, width = image.shape
    cut = image.reshape(count, channels, height // side, side, width // side, side)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, channels)


def out_of_cells(cells: Tensor, size: tuple[int, int], side: int) -> Tensor:
    """Undo `in_cells`: (N·r·c, side², C) to (N, C, height, width) of `size`."""
    rows, columns = size[0] // side, size[1] // side
    cut = cells.reshape(-1, rows, columns, side, side, cells.shape[-1])
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(-1, cells.shape[-1], *size)


class Step(nn.Module):
    """Convolution without bias, instance norm with its own scale and shift, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int, padding: Padding) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, 3, stride, padding=1, bias=False, padding_mode=padding
        )
        self.norm = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, ceil(h/stride), ceil(w/stride))."""
        return F.relu(self.norm(self.conv(x)))


class LowResolutionStream(nn.Module):
    """Sees the reduced image whole, and gives each cell the parameters of its perceptron."""

    def __init__(self, config: AsapNetConfig) -> None:
        super().__init__()
        strided = int(log2(config.learned))
        channels = [config.channels + config.edges, *[config.width] * strided]
        channels += [config.most] * (1 + config.depth)
        strides = [1, *[2] * strided, *[1] * config.depth]
        self.steps = nn.Sequential(
            *(
                Step(i, o, stride, config.padding)
                for (i, o), stride in zip(pairwise(channels), strides, strict=True)
            )
        )
        self.head = nn.Conv2d(config.most, config.cell_parameters, 1)

    def forward(self, reduced: Tensor) -> Tensor:
        """(N, C, r·S2, c·S2) to (N, C_total, r, c)."""
        found: Tensor = self.head(self.steps(reduced))
        return found


class AsapNet(nn.Module):
    """Spatially-adaptive pixelwise network: 81,608,003 parameters for RGB at 1024 px."""

    def __init__(self, config: AsapNetConfig) -> None:
        super().__init__()
        self.config = config
        self.low_res = LowResolutionStream(config)
        if config.residual:
            self._start_at_nothing()

    @torch.no_grad()
    def _start_at_nothing(self) -> None:
        """Make every cell's last layer 0."""
        last = (self.config.pixel_width + 1) * OUTPUTS
        head = self.low_res.head
        head.weight[-last:] = 0
        assert head.bias is not None
        head.bias[-last:] = 0

    def cells(self, image: Tensor, edges: Tensor | None = None, side: int | None = None) -> Tensor:
        """Each cell's parameters: (N, C, r·side, c·side) to (N, C_total, r, c).

        side: of a cell, a multiple of `learned`; by default S. edges: (N, 1, H, W), where the
        network takes them.
        """
        seen = image if edges is None else torch.cat([image, edges], 1)
        found: Tensor = self.low_res(
            tent(seen, (side or self.config.reduction) // self.config.learned)
        )
        return found

    def forward(
        self, image: Tensor, edges: Tensor | None = None, side: int | None = None
    ) -> Tensor:
        """(N, C, H, W) in [-1, 1] to RGB of that size, sides multiples of `side`, by default S."""
        side = side or self.config.reduction
        parameters = self.cells(image, edges, side).permute(0, 2, 3, 1).flatten(0, 2)
        code = position_code(side, self.config.reduction, image.device).flatten(1).T
        pixels = in_cells(image, side)
        features = torch.cat([pixels, code.expand(len(pixels), -1, -1)], 2)
        result = perceptron(layers_of(parameters, self.config.pixel_widths), features)
        if self.config.residual:
            result = pixels + result
        return out_of_cells(result, (image.shape[2], image.shape[3]), side)

    def side_for(self, height: int) -> int:
        """Pixels to a side of a cell in a photo so high: ROWS cells, a multiple of `learned`.

        With S a power of two this is the paper's rule; multiples in between pad less.
        """
        step = self.config.learned
        return -(-height // (ROWS * step)) * step

    def repainted(self, image: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in [0, 1] to the same, not clamped; padded to whole cells meanwhile."""
        height, width = image.shape[2:]
        side = self.side_for(height)
        rows = reflect_index(0, ROWS * side, height).to(image.device)
        columns = reflect_index(0, -(-width // side) * side, width).to(image.device)
        padded = image.index_select(2, rows).index_select(3, columns)
        result: Tensor = self(2 * padded - 1, side=side)
        return (result[..., :height, :width] + 1) / 2
