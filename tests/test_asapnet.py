"""ASAP-Net against golden numbers, its parts against plainer ways of doing the same.

The golden numbers were computed with the authors' code, which is non-commercial, from our own
inputs and weights: they are read where they lie and are no part of this repository.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from seeded import seeded
from torch.nn import functional as F

from abpn_cli.nets import NETS
from abpn_cli.nets.asapnet import (
    AsapNet,
    AsapNetConfig,
    in_cells,
    layers_of,
    out_of_cells,
    perceptron,
    position_code,
    tent,
)

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "asapnet"
TOLERANCE = 2e-5
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden tensors here")
SMALL = AsapNetConfig(reduction=4, learned=4, width=16, most=32, depth=2, pixel_width=16)
CASES = {
    "A_rgb_64x64_S4_rpad": SMALL,
    "B_rgb_256x256_S16_bil": AsapNetConfig(
        reduction=16, learned=4, width=16, most=32, depth=2, pixel_width=16, pixel_layers=3
    ),
    "C_rgb_64x128_zero_pad": AsapNetConfig(
        reduction=4, learned=4, width=8, most=16, depth=1, pixel_width=8, padding="zeros"
    ),
}


def known(case):
    """A network of a golden case: its tensors stand in the order of ours, under other names."""
    net = AsapNet(CASES[case])
    told = json.loads((GOLDEN / "seeded_weights.json").read_text())[case]
    last = list(told)[-2]
    state = {}
    for (name, tensor), (theirs, row) in zip(net.state_dict().items(), told.items(), strict=True):
        assert list(tensor.shape) == row["shape"]
        made = seeded(f"asap/{case}/{theirs}", tensor.shape, 0.25 if theirs == last else 1.0)
        state[name] = 1 + 4 * made if name.endswith("norm.weight") else made
        assert float(state[name].abs().sum()) == pytest.approx(row["abs_sum"], rel=1e-4)
    net.load_state_dict(state)
    return net.eval()


def golden(case, *names):
    with np.load(GOLDEN / "asapnet.npz") as file:
        return [torch.from_numpy(file[f"{case}/{name}"]) for name in names]


@needs_golden
@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
def test_asapnet_does_what_the_published_one_does(case):
    image, out, parameters, code = golden(case, "in", "out", "lr_params_0", "coords_0")
    net = known(case)
    side = net.config.reduction
    assert (net.cells(image)[0, :, :4, :4] - parameters).abs().max() < TOLERANCE
    tiled = position_code(side, side).repeat(1, 32 // side, 32 // side)
    assert (tiled - code).abs().max() < TOLERANCE
    assert (net(image) - out).abs().max() < TOLERANCE


@needs_golden
def test_the_fixed_reduction_is_the_published_filter():
    image, low = golden("B_rgb_256x256_S16_bil", "in", "lowres")
    assert (tent(image, 4) - low).abs().max() < TOLERANCE


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (AsapNetConfig(channels=35, edges=True, reduction=16), 83_201_411),  # Cityscapes 256x512
        (AsapNetConfig(channels=12, edges=True, reduction=32), 81_941_763),  # facades 512
        (AsapNetConfig(reduction=32), 81_345_603),
        (AsapNetConfig(reduction=64), 81_608_003),
    ],
)
def test_it_has_the_parameters_of_the_published_network(config, parameters):
    with torch.device("meta"):
        net = AsapNet(config)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_labels_and_edges_become_a_photo_of_their_size():
    config = AsapNetConfig(5, True, reduction=16, width=4, most=8, depth=1, pixel_width=8)
    net = AsapNet(config).eval()
    assert config.pixel_widths[0] == 5 + 16  # the edges are the stream's alone
    with torch.inference_mode():
        made = net(torch.rand(2, 5, 32, 64), torch.rand(2, 1, 32, 64))
    assert made.shape == (2, 3, 32, 64) and made.abs().max() <= 1


def test_the_tent_filter_is_a_convolution_with_1_3_5_3_1():
    image = torch.rand(1, 2, 24, 32)
    for factor in (2, 4):
        line = torch.tensor([*range(1, 2 * factor, 2), *range(2 * factor - 1, 0, -2)]).float()
        kernel = (line[:, None] * line / line.sum() ** 2).expand(2, 1, -1, -1)
        padded = F.pad(image, (factor // 2,) * 4, mode="reflect")
        plain = F.conv2d(padded, kernel, stride=factor, groups=2)
        assert (tent(image, factor) - plain).abs().max() < 1e-6
    assert torch.equal(tent(image, 1), image)
    assert tent(torch.ones(1, 1, 30, 60), 5).sub(1).abs().max() < 1e-6  # odd factors too


def test_each_cell_has_a_perceptron_of_its_own():
    torch.manual_seed(2)
    widths, cells = (5, 7, 3), torch.randn(4, 5 * 7 + 7 + 7 * 3 + 3)
    features = torch.randn(4, 6, 5)
    found = perceptron(layers_of(cells, widths), features)
    for cell in range(4):
        biases, rest = cells[cell][:7], cells[cell][7:]
        hidden = [
            sum(features[cell, :, i] * rest[i * 7 + o] for i in range(5)) + biases[o]
            for o in range(7)
        ]
        hidden = F.leaky_relu(torch.stack(hidden, 1), 0.01)
        biases, rest = rest[35:38], rest[38:]
        wanted = torch.tanh(hidden @ rest.reshape(7, 3) + biases)
        assert (found[cell] - wanted).abs().max() < 1e-5


def test_cells_come_back_to_where_they_were():
    image = torch.rand(2, 3, 12, 20)
    cells = in_cells(image, 4)
    assert torch.equal(cells[1].reshape(4, 4, 3), image[0, :, :4, 4:8].permute(1, 2, 0))
    assert torch.equal(out_of_cells(cells, (12, 20), 4), image)


def test_a_larger_cell_has_the_code_of_the_one_trained_for_stretched():
    fine, coarse = position_code(64, 16), position_code(16, 16)
    assert fine.shape == (16, 64, 64)
    assert (fine[:, ::4, ::4] - coarse).abs().max() < 1e-5


def test_a_residual_network_starts_with_the_photo():
    config = AsapNetConfig(reduction=16, width=4, most=8, depth=1, pixel_width=8, residual=True)
    image = torch.rand(1, 3, 70, 50)
    with torch.inference_mode():
        assert (AsapNet(config).repainted(image) - image).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("height", "side"), [(16, 16), (256, 16), (257, 32), (1024, 64), (1100, 80)]
)
def test_a_photo_has_sixteen_rows_of_cells(height, side):
    with torch.device("meta"):
        assert AsapNet(AsapNetConfig()).side_for(height) == side


def test_it_is_a_row_of_the_table_and_refuses_what_it_does_not_know():
    config = {"reduction": 16, "width": 4, "most": 8, "depth": 1, "pixel_width": 8}
    assert isinstance(NETS["asapnet"](config), AsapNet)
    for wrong in (
        {"reduction": 48}, {"learned": 128}, {"width": 0}, {"padding": "wrap"},
        {"channels": 12, "residual": True}, {"layers": 3},
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError)):
            NETS["asapnet"](config | wrong)
