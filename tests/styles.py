"""Styles that never learnt, but change colours by what a photo shows."""

from __future__ import annotations

from dataclasses import asdict

import torch

from abpn_cli import weights
from abpn_cli.nets.csrnet import Csrnet, CsrnetConfig, make_identity


def style_net(seed=5, config=None):
    """A network that warms, bends and brightens, more or less as the photo has it."""
    torch.manual_seed(seed)
    net = Csrnet(config or CsrnetConfig()).eval()
    make_identity(net)
    with torch.no_grad():
        net.conv3.weight.add_(torch.randn(3, 64, 1, 1) * 0.02)
        for layer in (net.cond_scale1, net.cond_scale2, net.cond_shift1, net.cond_shift2):
            layer.weight.normal_(std=0.25)
        net.cond_shift3.bias.normal_(std=0.03)
    return net


def save_style(path, seed=5, config=None):
    net = style_net(seed, config)
    path.parent.mkdir(parents=True, exist_ok=True)
    weights.save(path, net, weights.Header("csrnet", asdict(net.config), path.stem))
    return path
