"""A small network that never learnt, and photos for it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch

from abpn_cli import weights
from abpn_cli.nets.abpn import Abpn, AbpnConfig
from abpn_cli.photo import Photo

CONFIG = AbpnConfig(
    width=1 / 16,
    refine_shared=True,
    lrl_residual=True,
    init="published",
    train_k=False,
    gate_low=0.44,  # a network that never learnt has M about 0.45
    gate_high=0.52,
)


def untrained(config=CONFIG):
    """A small network whose random weights change the photo."""
    torch.manual_seed(3)
    net = Abpn(config).eval()
    torch.nn.init.normal_(net.lrl.retouch_branch.painter.feature.weight, std=0.02)
    return net


def save(net, path):
    weights.save(path, net, weights.Header("abpn", asdict(net.config), "test"))
    return path


def photo_of(height, width, dtype=np.uint8, **fields):
    """Soft shapes with grain on top."""
    rng = np.random.default_rng(height * 10007 + width)
    shapes = cv2.resize(rng.random((7, 9, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 0.02, (height, width, 3))
    most = np.iinfo(dtype).max
    pixels = np.rint((shapes + grain).clip(0, 1) * most).astype(dtype)
    return Photo(pixels, source=Path("coat.png"), **fields)
