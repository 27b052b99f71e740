"""Where a new CSRNet starts: tone curves by parts, whose slopes least squares reads from the photo.

From the identity a network takes hundreds of thousands of steps, as published. Here the base
network's features are laid out as what colours are put right with: each channel's own hinges, and
every channel for every other. Between them and the output nothing is curved, so the output is
linear in the heads' parameters, and the best of them are the solution of one linear system.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..nets.csrnet import CONDITION, Csrnet, make_identity
from .synthesis import Floats

HINGES = (0.06, 0.15, 0.28, 0.42, 0.58, 0.76)  # where a channel's curve may bend
PER_CHANNEL = len(HINGES) + 3  # features: hinges, and red, green and blue to take from
FIRST = 3  # feature of the basis; those before it carry the colours through
TERMS = PER_CHANNEL + 1  # of a channel's curve: its features, and a constant
RIDGE = 1e-4  # of the mean of the system's diagonal


def lay_out(net: Csrnet, seed: int) -> None:
    """Give a new network its features; it returns what it is given until its heads are solved.

    Each feature goes to one channel of the output, and a last one a channel takes their sum back.
    """
    torch.manual_seed(seed)
    make_identity(net)
    with torch.no_grad():
        _draw_condition(net)
        first, second, third = net.conv1, net.conv2, net.conv3
        assert first.bias is not None and second.bias is not None
        for channel in range(3):
            rows = features_of(channel)
            back = FIRST + 3 * PER_CHANNEL + channel
            for layer in (first, second):
                layer.weight[[*rows, back]] = 0
                assert layer.bias is not None
                layer.bias[[*rows, back]] = 0
            for row, hinge in zip(rows, HINGES, strict=False):
                first.weight[row, channel] = 1
                first.bias[row] = -hinge
            for other, row in enumerate(rows[len(HINGES) :]):
                first.weight[row, other] = 1
            for row in rows:
                second.weight[row, row] = 1
                second.weight[back, row] = 1
                third.weight[channel, row] = 1
            third.weight[channel, back] = -1


def features_of(channel: int) -> list[int]:
    """The features that a channel of the output is made of."""
    start = FIRST + channel * PER_CHANNEL
    return list(range(start, start + PER_CHANNEL))


def _draw_condition(net: Csrnet) -> None:
    """Draw convolutions that look at soft colours: their mean tells as much as a histogram."""
    for conv, smooth in ((net.cond_net.conv1, True), (net.cond_net.conv2, False)):
        assert conv.bias is not None
        if smooth:
            colours = torch.randn(CONDITION, 3, 1, 1) / conv.kernel_size[0] ** 2
            conv.weight.copy_(
                colours.expand_as(conv.weight) * 1.5 + 0.03 * torch.randn_like(conv.weight)
            )
        else:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        conv.bias.normal_(std=0.4)
    assert net.cond_net.conv3.bias is not None
    nn.init.kaiming_normal_(net.cond_net.conv3.weight, nonlinearity="relu")
    net.cond_net.conv3.bias.normal_(std=0.4)


class System(NamedTuple):
    """The normal equations of each channel, summed over photos.

    matrix: (3, n, n); wanted: (3, n), n = TERMS·33: each term by each number of the condition.
    """

    matrix: NDArray[np.float64]
    wanted: NDArray[np.float64]


def empty_system() -> System:
    """Equations of no photo."""
    size = TERMS * (CONDITION + 1)
    return System(np.zeros((3, size, size)), np.zeros((3, size)))


def terms(colours: Floats, channel: int) -> NDArray[np.float64]:
    """What a channel is made of: (P, 3) colours to (P, TERMS), a constant last."""
    own = colours[:, channel : channel + 1].astype(np.float64)
    hinges = np.maximum(own - np.array(HINGES), 0)
    return np.concatenate([hinges, colours, np.ones_like(own)], axis=1)


def add_photo(
    system: System, condition: NDArray[np.float32], before: Floats, after: Floats
) -> None:
    """Add a photo's pixels to the equations, in place.

    condition: (32,); before, after: (P, 3) in [0, 1], as they are and as they shall be.
    """
    c = np.append(condition.astype(np.float64), 1.0)
    both = np.outer(c, c)
    for channel in range(3):
        made_of = terms(before, channel)
        missing = (after[:, channel] - before[:, channel]).astype(np.float64)
        system.matrix[channel] += np.kron(made_of.T @ made_of / len(made_of), both)
        system.wanted[channel] += np.kron(made_of.T @ missing / len(made_of), c)


def solve(net: Csrnet, system: System) -> None:
    """Set the heads to what gives the least squared error over the photos of the system."""
    with torch.no_grad():
        for channel in range(3):
            matrix = system.matrix[channel]
            ridge = RIDGE * np.trace(matrix) / len(matrix)
            found = np.linalg.solve(matrix + ridge * np.eye(len(matrix)), system.wanted[channel])
            slopes = torch.from_numpy(found.reshape(TERMS, CONDITION + 1)).float()
            rows = features_of(channel)
            net.cond_scale2.weight[rows] = slopes[:-1, :-1]
            net.cond_scale2.bias[rows] = slopes[:-1, -1]
            net.cond_shift3.weight[channel] = slopes[-1, :-1]
            net.cond_shift3.bias[channel] = slopes[-1, -1]
