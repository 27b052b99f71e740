"""ABPN, the whole network, paper 4.1: LRL on the thumbnail, BPL up to the full-size photo."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bpl import (
    RefiningModule,
    blend,
    laplacian_pyramid,
    pad_to_multiple,
    unblend,
    upsample,
)
from .lrl import LRL_MULTIPLE, MASK_STRIDE, LocalRetouch, LocalRetouchingLayer, UpMode

MIN_SIDE = 16  # px: the smallest photo the network takes
THUMBNAIL_SIDE = 256  # px: the long side of a thumbnail lies in [256, 512) [D16]

LUMA = (0.2126, 0.7152, 0.0722)  # Rec. 709, on display-encoded values
LEAST_LIGHT = 0.02  # added to light before it is divided by
PEAK_FALL = 0.1  # of M: below the peak asked for, over which a patch of the gate fades out

# Supplement Table 2: coefficients the authors' networks converged to.
PUBLISHED_J = {"cloth": (0.19, 0.31, -0.24), "face": (0.16, 0.21, -0.20)}
PUBLISHED_K = (0.0, 1.0, 0.0)


@dataclass(frozen=True)
class AbpnConfig:
    """What an ABPN is made of; lies in every checkpoint.

    width:         scales the LRL's channels; 1.0 = paper. The refining module stays 16 wide.
    levels:        refining modules held when they are not shared, paper: l = 2 [D12].
    refine_shared: one refining module for all levels: valid for every l [D12].
    lrl_residual:  R_l = I_l + last LAM, zero at the start [D8].
    lrl_up:        enlarging inside the LRL [D3].
    init:          j, k drawn from Gaussians, or the `published` values of `style` [D10].
    style:         whose published values: "cloth" or "face".
    train_k:       k is learnt (paper); otherwise it stays as initialised, so that an empty layer
                   returns the photo bit for bit when `init` is "published".
    refine_zero:   φ2 starts at zero: refining starts as plain upsampling.
    gate_low, gate_high: the gate g = smoothstep(gate_low, gate_high, M) that makes "untouched"
                   exact; used by the engine, not by `forward`.
    gate_peak:     a patch of the gate counts only where M rises to this in it; 0 for every patch.
                   Sure of nothing in a patch is sure of nothing to do.
    light_only:    an edit changes light and keeps hue (`in_light`), as creases do; used where
                   photos are retouched, not in training.
    """

    width: float = 1.0
    levels: int = 2
    refine_shared: bool = False
    lrl_residual: bool = False
    lrl_up: UpMode = "bilinear"
    init: Literal["gaussian", "published"] = "gaussian"
    style: Literal["cloth", "face"] = "cloth"
    train_k: bool = True
    refine_zero: bool = False
    gate_low: float = 0.1
    gate_high: float = 0.3
    gate_peak: float = 0.0
    light_only: bool = False

    def __post_init__(self) -> None:
        """Refuse what no network can be made of.

        Raises:
            ValueError: names the key.
        """
        if not 0 <= self.gate_low < self.gate_high <= 1:
            raise ValueError(f"gate_low {self.gate_low}, gate_high {self.gate_high}")
        if not 0 <= self.gate_peak <= 1:
            raise ValueError(f"gate_peak {self.gate_peak}")
        if self.width <= 0 or self.levels < 1:
            raise ValueError(f"width {self.width}, levels {self.levels}")


class Retouched(NamedTuple):
    """All that ABPN computes for a batch; index 0 is full size, index l the thumbnail.

    results:      R_0 (clamped to [0, 1]) .. R_l (straight from the LRL), unclamped in between.
    blend_layers: B_0..B_l.
    mask:         M, (N, 1, ceil(h/4), ceil(w/4)) of the thumbnail.
    """

    results: list[Tensor]
    blend_layers: list[Tensor]
    mask: Tensor


def choose_levels(size: tuple[int, int]) -> int:
    """Number of halvings l for a photo of `size` (height, width) [D16]: 512 px 1, 4096 px 4."""
    return max(1, int(log2(max(size) / THUMBNAIL_SIDE)))


def smoothstep(low: float, high: float, x: Tensor) -> Tensor:
    """0 up to `low`, 1 from `high` on, 3t² - 2t³ in between; float32."""
    t = ((x.float() - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def gate_grid(mask: Tensor, config: AbpnConfig) -> Tensor:
    """The gate on M's grid: (N, 1, h, w) in [0, 1] to the same.

    Two bars, as in Canny's hysteresis: a patch of M above gate_low is open where M rises to
    gate_peak in it, and shut where M stays PEAK_FALL below; in between by halves, so that a last
    bit of M never opens or shuts a whole patch.
    """
    gate = smoothstep(config.gate_low, config.gate_high, mask)
    if config.gate_peak == 0:
        return gate
    peak = mask * (gate > 0)
    while True:  # the highest M of each patch spreads over the patch
        spread = F.max_pool2d(peak, 3, 1, 1) * (gate > 0)
        if torch.equal(spread, peak):
            break
        peak = spread
    return gate * smoothstep(config.gate_peak - PEAK_FALL, config.gate_peak, peak)


def in_light(thumbnail: Tensor, retouched: Tensor) -> Tensor:
    """What of an edit changes light: all channels by the ratio of R_l's luma to I_l's.

    thumbnail, retouched: I_l and R_l, (N, 3, h, w). Returns R_l of the same hue as I_l, unclamped.
    """
    weights = torch.tensor(LUMA, dtype=thumbnail.dtype, device=thumbnail.device)[:, None, None]
    before, after = ((image * weights).sum(1, keepdim=True) for image in (thumbnail, retouched))
    return thumbnail * ((after + LEAST_LIGHT) / (before + LEAST_LIGHT).clamp(min=LEAST_LIGHT))


class Abpn(nn.Module):
    """Adaptive Blend Pyramid Network: 41,477,919 + 1,315·l + 6 parameters at width 1."""

    def __init__(self, config: AbpnConfig) -> None:
        super().__init__()
        self.config = config
        self.lrl = LocalRetouchingLayer(config.width, config.lrl_up, config.lrl_residual)
        count = 1 if config.refine_shared else config.levels
        self.refining = nn.ModuleList(RefiningModule() for _ in range(count))
        self.j = nn.Parameter(torch.empty(3))
        self.k = nn.Parameter(torch.empty(3), requires_grad=config.train_k)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # [D11]
                nn.init.kaiming_normal_(module.weight, mode="fan_in")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.config.init == "published":
            self.j.copy_(torch.tensor(PUBLISHED_J[self.config.style]))
            self.k.copy_(torch.tensor(PUBLISHED_K))
        else:
            self.j.copy_(torch.tensor([0.5, 0.0, 0.0]) + 0.1 * torch.randn(3))
            self.k.copy_(torch.tensor([0.0, 1.0, 0.0]) + 0.01 * torch.randn(3))
        if self.config.lrl_residual:
            nn.init.zeros_(self.lrl.retouch_branch.painter.feature.weight)
        if self.config.refine_zero:
            for level in range(len(self.refining)):
                nn.init.zeros_(self.refine(level).phi2.weight)

    def refine(self, level: int) -> RefiningModule:
        """Return the refining module of `level`, 0 being full size.

        Raises:
            ValueError: the network holds no module for that level (refine_shared is false).
        """
        if self.config.refine_shared:
            level = 0
        if level >= len(self.refining):
            raise ValueError(f"no refining module for level {level}: it holds {len(self.refining)}")
        module = self.refining[level]
        assert isinstance(module, RefiningModule)
        return module

    def retouch_thumbnail(self, thumbnail: Tensor) -> LocalRetouch:
        """LRL with padding [D15]: any (N, 3, h, w) to R_l of that size and M of ceil(h/4).

        With `light_only`, R_l is what of it changes light.
        """
        height, width = thumbnail.shape[-2:]
        retouched, mask = self.lrl(pad_to_multiple(thumbnail, LRL_MULTIPLE))
        rows, columns = -(-height // MASK_STRIDE), -(-width // MASK_STRIDE)
        retouched = retouched[..., :height, :width]
        if self.config.light_only:
            retouched = in_light(thumbnail, retouched)
        return LocalRetouch(retouched, mask[..., :rows, :columns])

    def refine_layers(self, layer: Tensor, high_freqs: list[Tensor]) -> list[Tensor]:
        """B_l and H_0..H_{l-1} to B_0..B_l: enlarge and refine level by level, paper 4.3."""
        layers = [layer]
        for level in reversed(range(len(high_freqs))):
            layers.insert(0, self.refine(level)(upsample(layers[0]), high_freqs[level]))
        return layers

    def blend_results(self, images: list[Tensor], layers: list[Tensor]) -> list[Tensor]:
        """Blend I_i with B_i, i < l, to R_0 (clamped to [0, 1]) .. R_{l-1}."""
        pairs = zip(images[:-1], layers[:-1], strict=True)
        results = [blend(image, layer, self.j, self.k) for image, layer in pairs]
        results[0] = results[0].clamp(0, 1)
        return results

    def forward(self, image: Tensor, levels: int | None = None) -> Retouched:
        """Retouch a batch of photos, upright, without the gate.

        image:  (N, 3, H, W) float32 RGB in [0, 1], any size from MIN_SIDE on: padded to a
                multiple of 2^l, thumbnail to LRL_MULTIPLE, by reflection [D15].
        levels: l >= 1; by default `choose_levels`.
        Returns R_0 and B_0 in the photo's size; the other levels keep the padding.
        """
        height, width = image.shape[-2:]
        levels = choose_levels((height, width)) if levels is None else levels
        pyramid = laplacian_pyramid(pad_to_multiple(image, 2**levels), levels)
        thumbnail = pyramid.images[-1]
        retouched, mask = self.retouch_thumbnail(thumbnail)
        layer = unblend(thumbnail, retouched, self.j, self.k)
        layers = self.refine_layers(layer, pyramid.high_freqs)
        results = [*self.blend_results(pyramid.images, layers), retouched]
        results[0] = results[0][..., :height, :width]
        layers[0] = layers[0][..., :height, :width]
        return Retouched(results, layers, mask)
