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

from ..nets.csrnet import CONDITION, ConditionNetwork, Csrnet, make_identity
from .synthesis import Floats

HINGES = (0.06, 0.15, 0.28, 0.42, 0.58, 0.76)  # where a channel's curve may bend
LEVELS = (0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9)  # of a channel that the condition tells apart
GREYS = (0.02, 0.1, 0.22, 0.38, 0.52, 0.68, 0.95)  # of their mean
DRAWN = 0.002  # deviation of what is not laid out
PER_CHANNEL = len(HINGES) + 3  # features: hinges, and red, green and blue to take from
FIRST = 3  # feature of the basis; those before it carry the colours through
TERMS = PER_CHANNEL + 1  # of a channel's curve: its features, and a constant
REACH = 16.0  # a slope may fall by so much before ReLU cuts it off: 1 + its scale stays above 0
RIDGE = 1e-4  # of the mean of the system's diagonal


def lay_out(net: Csrnet, seed: int) -> None:
    """Give a new network its features; it returns what it is given until its heads are solved.

    Each feature goes to one channel of the output, and a last one a channel takes their sum back.
    """
    torch.manual_seed(seed)
    make_identity(net)
    with torch.no_grad():
        _lay_out_condition(net.cond_net)
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
                third.weight[channel, row] = REACH
            third.weight[channel, back] = -REACH


def features_of(channel: int) -> list[int]:
    """The features that a channel of the output is made of."""
    start = FIRST + channel * PER_CHANNEL
    return list(range(start, start + PER_CHANNEL))


def _lay_out_condition(net: ConditionNetwork) -> None:
    """Let the condition tell how much of a photo is how light, and which colours it leans to.

    The first layer blurs, and takes each channel above each of LEVELS, differences of channels, and
    grey above GREYS; the two others pass that on, and what they will learn is drawn small.
    """
    first = net.conv1
    wanted = [(channel, level) for channel in range(3) for level in LEVELS]
    rows = torch.zeros(CONDITION, 3)
    bias = torch.zeros(CONDITION)
    for row, (channel, level) in enumerate(wanted):
        rows[row, channel], bias[row] = 1, -level
    leaning = ((1, -1, 0), (-1, 1, 0), (0, -1, 1), (0, 1, -1))
    for row, colour in enumerate(leaning, start=len(wanted)):
        rows[row] = torch.tensor(colour)
    for row, level in enumerate(GREYS, start=len(wanted) + len(leaning)):
        rows[row], bias[row] = 1 / 3, -level
    assert first.bias is not None
    first.bias.copy_(bias)
    shape = first.weight.shape
    first.weight.copy_((rows / (shape[2] * shape[3]))[:, :, None, None].expand(shape))
    first.weight.add_(torch.randn(shape) * DRAWN)
    for conv in (net.conv2, net.conv3):
        assert conv.bias is not None
        conv.bias.zero_()
        conv.weight.normal_(std=DRAWN)
        for row in range(CONDITION):
            conv.weight[row, row, 1, 1] += 1


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
            net.cond_scale2.weight[rows] = slopes[:-1, :-1] / REACH
            net.cond_scale2.bias[rows] = slopes[:-1, -1] / REACH
            net.cond_shift3.weight[channel] = slopes[-1, :-1]
            net.cond_shift3.bias[channel] = slopes[-1, -1]
