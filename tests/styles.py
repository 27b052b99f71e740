"""Styles that never learnt, but change colours by what a photo shows."""

from __future__ import annotations

from dataclasses import asdict

import torch

from abpn_cli import weights
from abpn_cli.nets.csrnet import Csrnet, CsrnetConfig


@torch.no_grad()
def make_identity(net):
    """Let it return what it is given: three features carry the colour, nothing scales or shifts."""
    for name, parameter in net.named_parameters():
        if name.startswith("cond_s"):
            torch.nn.init.zeros_(parameter)
        elif name.startswith("cond_net"):
            if name.endswith("bias"):
                torch.nn.init.zeros_(parameter)
            else:
                torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        else:
            parameter[:3] = 0
    for conv in (net.conv1, net.conv2, net.conv3):
        for channel in range(3):
            conv.weight[channel, channel] = 1
    return net


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
