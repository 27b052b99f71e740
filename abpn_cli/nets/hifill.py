"""HiFill: fills holes in a square picture and says from where, arXiv 2005.09704.

A coarse network lays down colours at half size, a refining one draws on them. Its attention looks,
for each cell of a grid, which other cells resemble it: by the same table `engine.residuals` brings
detail into the hole at any resolution. Values are in [-1, 1], mask 1 = hole. Follows the public
code where that differs from the paper, for published weights depend on it.

Every convolution pads as TensorFlow's "SAME" does, and enlarging is TensorFlow 1's bilinear rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CELL = 16  # px of the network's picture to one cell of the attention's grid
SIDE_MULTIPLE = 2 * CELL  # sides of the network's picture: three halvings, and a grid of even size
SHARPNESS = 10.0  # of the softmax over cells; in the code, not in the paper
LEAST_LENGTH = 1e-8  # of a key, before it is divided by its length
COARSE_RATES = (1, 1, 1, 2, 2, 2, 2, 2, 4, 4, 4, 4, 8, 8)  # dilations between encoder and decoder
REFINE_RATES = (1, 2, 4, 8, 16)
CRITIC_CHANNELS = (64, 128, 256, 256, 256, 256)
LEAK = 0.2

Order = Literal["rgb", "bgr"]


@dataclass(frozen=True)
class HifillConfig:
    """width: scales every channel count, 1.0 is the paper's; side: px of the square it works on.

    order: of the channels it was trained with; the published weights take BGR.
    """

    width: float = 1.0
    side: int = 512
    order: Order = "rgb"

    def __post_init__(self) -> None:
        """Refuse sizes that the network cannot have. Raises ValueError."""
        if not 0 < self.width <= 4:
            raise ValueError(f"width {self.width} is not in (0, 4]")
        if self.side < 4 * SIDE_MULTIPLE or self.side % SIDE_MULTIPLE:
            raise ValueError(f"side {self.side} is no multiple of {SIDE_MULTIPLE} from 128 on")
        if self.order not in ("rgb", "bgr"):
            raise ValueError(f"channel order '{self.order}' is neither rgb nor bgr")

    def channels(self, published: int) -> int:
        """Scale a channel count of the paper's."""
        return max(1, round(published * self.width))


class Filled(NamedTuple):
    """What the generator returns for a picture (N, 3, S, S).

    coarse, refined: (N, 3, S, S) in [-1, 1], the whole picture, hole and rest alike.
    attention:       (N, G, G), G = (S/16)²: share of each key cell (last axis) in a query cell,
                     row by row of the grid; 0 for cells that touch the hole.
    """

    coarse: Tensor
    refined: Tensor
    attention: Tensor


def same_padding(features: Tensor, size: int, stride: int, rate: int = 1) -> Tensor:
    """Pad (N, C, h, w) with zeros as "SAME" does: the smaller half at the top and left."""
    pads: list[int] = []
    for length in (features.shape[-1], features.shape[-2]):
        covered = (-(-length // stride) - 1) * stride + (size - 1) * rate + 1
        total = max(0, covered - length)
        pads += [total // 2, total - total // 2]
    return F.pad(features, pads)


def doubled(features: Tensor) -> Tensor:
    """Enlarge (N, C, h, w) to twice the size: out[2i] = in[i], out[2i+1] halfway to in[i+1]."""
    for axis in (2, 3):
        last = features.shape[axis] - 1
        after = torch.cat([features.narrow(axis, 1, last), features.narrow(axis, last, 1)], axis)
        pairs = torch.stack([features, (features + after) / 2], axis + 1)
        features = pairs.flatten(axis, axis + 1)
    return features


class GatedConv(nn.Module):
    """ELU(conv) times a sigmoid gate, paper 3.4: one gate for all channels, or one for each.

    A shared gate (LWGC_sc, coarse network) is a convolution of the feature's own size, rate and
    stride with one channel; else (LWGC_pw, refining network) it is 1x1.
    """

    def __init__(
        self, inputs: int, outputs: int, shared: bool, size: int = 3, stride: int = 1, rate: int = 1
    ) -> None:
        super().__init__()
        self.size, self.stride, self.rate = size, stride, rate
        self.feature = nn.Conv2d(inputs, outputs, size, stride, dilation=rate)
        self.gate = (
            nn.Conv2d(inputs, 1, size, stride, dilation=rate)
            if shared
            else nn.Conv2d(inputs, outputs, 1, stride)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h / stride, w / stride), rounded up."""
        padded = same_padding(features, self.size, self.stride, self.rate)
        shared = self.gate.kernel_size == self.feature.kernel_size
        gate = torch.sigmoid(self.gate(padded if shared else features))
        gated: Tensor = F.elu(self.feature(padded)) * gate
        return gated


class CoarseNet(nn.Module):
    """Fills the picture at half size, paper 3.3: 811,489 parameters at width 1."""

    def __init__(self, config: HifillConfig) -> None:
        super().__init__()
        few, many = config.channels(32), config.channels(64)
        same = [GatedConv(many, many, True) for _ in range(3)]
        self.encoder = nn.Sequential(
            GatedConv(4, few, True, size=5, stride=2),
            GatedConv(few, few, True),
            GatedConv(few, many, True, stride=2),
            *same,
        )
        self.dilated = nn.Sequential(*(GatedConv(many, many, True, rate=r) for r in COARSE_RATES))
        self.decoder = nn.ModuleList(
            [
                nn.Sequential(*(GatedConv(many, many, True) for _ in range(3))),
                nn.Sequential(GatedConv(many, few, True), GatedConv(few, few, True)),
                GatedConv(few, 3, True),
            ]
        )

    def forward(self, joined: Tensor) -> Tensor:
        """(N, 4, S/2, S/2), picture without the hole and mask, to (N, 3, S/2, S/2) in [-1, 1]."""
        features = self.decoder[0](self.dilated(self.encoder(joined)))
        for step in self.decoder[1:]:
            features = step(doubled(features))
        return torch.clamp(features, -1, 1)


class Transfer(nn.Module):
    """Paste features by attention, then smooth what was pasted, paper 3.2."""

    def __init__(self, channels: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.smooth = nn.Sequential(*(GatedConv(channels, channels, False, rate=r) for r in rates))

    def forward(self, attention: Tensor, features: Tensor) -> Tensor:
        """Attention (N, G, G) and features (N, C, h, w) to (N, C, h, w)."""
        smooth: Tensor = self.smooth(pasted(attention, features))
        return smooth


class RefineNet(nn.Module):
    """Draws on the coarse picture at full size, paper 3.3: 1,911,302 parameters at width 1."""

    def __init__(self, config: HifillConfig) -> None:
        super().__init__()
        few, some, many = (config.channels(count) for count in (32, 64, 128))
        inputs = (4, few, some)
        self.encoder = nn.ModuleList(
            nn.Sequential(GatedConv(i, o, False, stride=2), GatedConv(o, o, False))
            for i, o in zip(inputs, (few, some, many), strict=True)
        )
        self.dilated = nn.Sequential(*(GatedConv(many, many, False, rate=r) for r in REFINE_RATES))
        self.transfer_64 = Transfer(many, (1,))
        self.join_64 = GatedConv(2 * many, many, False)
        self.up_128 = nn.Sequential(GatedConv(many, some, False), GatedConv(some, some, False))
        self.transfer_128 = Transfer(some, (1, 2))
        self.up_256 = nn.Sequential(GatedConv(2 * some, few, False), GatedConv(few, few, False))
        self.transfer_256 = Transfer(few, (1, 2))
        self.painter = GatedConv(2 * few, 3, False)

    def forward(self, joined: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Refine (N, 4, S, S), picture with the coarse hole and mask; mask (N, 1, S, S).

        Returns the picture, (N, 3, S, S) in [-1, 1], and the attention, (N, G, G). Sizes in names
        are those at S = 512.
        """
        large, middle, small = (features for features in self._encoded(joined))
        small = self.dilated(small)
        attention = attention_of(small, mask)
        features = self.join_64(torch.cat([small, self.transfer_64(attention, small)], 1))
        features = self.up_128(doubled(features))
        features = torch.cat([self.transfer_128(attention, middle), features], 1)
        features = self.up_256(doubled(features))
        features = torch.cat([self.transfer_256(attention, large), features], 1)
        return self.painter(doubled(features)).clamp(-1, 1), attention

    def _encoded(self, features: Tensor) -> list[Tensor]:
        steps = []
        for step in self.encoder:
            features = step(features)
            steps.append(features)
        return steps


class Hifill(nn.Module):
    """The generator: 2,722,791 parameters at width 1."""

    def __init__(self, config: HifillConfig) -> None:
        super().__init__()
        self.config = config
        self.coarse = CoarseNet(config)
        self.refine = RefineNet(config)

    def forward(self, picture: Tensor, mask: Tensor) -> Filled:
        """Fill the hole of a picture.

        picture: (N, 3, S, S) in [-1, 1], channels in the order of the config; what it holds under
                 the mask is not looked at. S is a multiple of SIDE_MULTIPLE.
        mask:    (N, 1, S, S), 1 in the hole, 0 elsewhere.
        """
        known = picture * (1 - mask)
        half = torch.cat([known, mask], 1)[..., ::2, ::2]  # what its bilinear halving comes to
        coarse = doubled(self.coarse(half))
        laid = coarse * mask + known
        refined, attention = self.refine(torch.cat([laid, mask], 1), mask)
        return Filled(coarse, refined, attention)


def attention_of(features: Tensor, mask: Tensor) -> Tensor:
    """Compare 3x3 patches of every two cells, paper 3.2 eq. (1)-(2), as the code has it.

    features: (N, C, S/8, S/8); mask: (N, 1, S, S).
    Returns (N, G, G), query by key; a row sums to 1 at most: keys that touch the hole get 0.
    """
    cells = features[..., ::2, ::2]
    height, width = cells.shape[-2:]
    queries = F.unfold(cells, 3, padding=1)  # (N, 9C, G)
    keys = queries / queries.norm(dim=1, keepdim=True).clamp_min(LEAST_LENGTH)
    alike = _fused(queries.transpose(1, 2) @ keys, (height, width))
    context = 1 - F.max_pool2d(F.max_pool2d(mask, CELL), 3, 1, padding=1).flatten(1)[:, None]
    return torch.softmax(SHARPNESS * alike * context, 2) * context


def _fused(alike: Tensor, grid: tuple[int, int]) -> Tensor:
    """Add what neighbours say of their neighbours: first along rows of both grids, then columns.

    alike: (N, G, G) over cells of the grid (height, width), row by row.
    """
    for size in (grid, grid[::-1]):
        diagonal = F.pad(alike, (1, 1, 1, 1))
        alike = diagonal[:, :-2, :-2] + alike + diagonal[:, 2:, 2:]
        by_cell = alike.view(-1, *size, *size)
        alike = by_cell.transpose(1, 2).transpose(3, 4).flatten(3, 4).flatten(1, 2)
    return alike


def pasted(attention: Tensor, features: Tensor) -> Tensor:
    """Build every cell's patch anew from all patches, by the attention's shares; overlaps add up.

    attention: (N, G, G); features: (N, C, h, w), h and w multiples of the grid's sides.
    """
    height, width = features.shape[-2:]
    stride = round((height * width / attention.shape[-1]) ** 0.5)
    size = 3 if stride == 2 else 2 * stride
    padded = same_padding(features, size, stride)
    patches = F.unfold(padded, size, stride=stride)  # (N, C·size², G)
    made = F.fold(patches @ attention.transpose(1, 2), padded.shape[-2:], size, stride=stride)
    first = (size - stride) // 2
    return made[..., first : first + height, first : first + width]


class Critic(nn.Module):
    """Scores pictures for WGAN-GP, paper 3.5: 5,961,601 parameters at width 1 and side 512."""

    def __init__(self, config: HifillConfig) -> None:
        super().__init__()
        channels = [config.channels(count) for count in CRITIC_CHANNELS]
        self.steps = nn.ModuleList(
            nn.Conv2d(i, o, 5, 2) for i, o in zip((3, *channels[:-1]), channels, strict=True)
        )
        small = -(-config.side // 2 ** len(channels))
        self.score = nn.Linear(channels[-1] * small**2, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """(N, 3, S, S) in [-1, 1] to (N,), higher for what looks real."""
        features = picture
        for step in self.steps:
            features = F.leaky_relu(step(same_padding(features, 5, 2)), LEAK)
        scores: Tensor = self.score(features.flatten(1))[:, 0]
        return scores
