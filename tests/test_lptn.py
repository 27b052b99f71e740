"""LPTN against the published network's own numbers, and its pyramid against itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from seeded import seeded

from abpn_cli.nets import NETS
from abpn_cli.nets.lptn import Bands, Lptn, LptnConfig, nearest, put_together, take_apart

ODD = Path(__file__).parent / "data" / "lptn_odd.npz"  # github.com/csjliang/LPTN, Apache-2.0
GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "lptn" / "lptn.npz"
TOLERANCE = 1e-5
needs_golden = pytest.mark.skipif(not GOLDEN.is_file(), reason="no golden tensors here")


def known(variant):
    """The network with every tensor made from its own name, as the golden numbers were."""
    net = Lptn(LptnConfig(variant))
    net.load_state_dict({n: seeded(f"lptn/{n}", t.shape) for n, t in net.state_dict().items()})
    return net.eval()


def count(net):
    return sum(p.numel() for p in net.parameters())


@torch.inference_mode()
def furthest_from(file, parity, variant):
    """The largest difference from the published network's numbers, of its low image and result."""
    with np.load(file) as golden:
        image = torch.from_numpy(golden[f"in_{parity}"])
        low = torch.from_numpy(golden[f"{variant}/{parity}/low"])
        out = torch.from_numpy(golden[f"{variant}/{parity}/out"])
    net = known(variant)
    found = net.trans_low(take_apart(image, 3).low), net(image)
    return [(mine - theirs).abs().max() for mine, theirs in zip(found, (low, out), strict=True)]


@pytest.mark.parametrize(
    ("variant", "bands", "parameters"),
    [("repo", 3, 617_567), ("paper", 3, 616_215), ("repo", 4, 617_682), ("paper", 5, 616_313)],
)
def test_it_has_the_parameters_of_the_published_network(variant, bands, parameters):
    assert count(Lptn(LptnConfig(variant, bands))) == parameters


@pytest.mark.parametrize("variant", ["repo", "paper"])
def test_lptn_does_what_the_published_one_does_at_odd_sizes(variant):
    assert max(furthest_from(ODD, "odd", variant)) < TOLERANCE


@needs_golden
@pytest.mark.parametrize("variant", ["repo", "paper"])
def test_lptn_does_what_the_published_one_does_at_even_sizes(variant):
    assert max(furthest_from(GOLDEN, "even", variant)) < TOLERANCE


@needs_golden
@pytest.mark.parametrize("parity", ["even", "odd"])
def test_its_bands_are_those_of_the_published_network(parity):
    with np.load(GOLDEN) as golden:
        image = torch.from_numpy(golden[f"in_{parity}"])
        wanted = [torch.from_numpy(golden[f"pyr/{parity}/{i}"]) for i in range(4)]
    highs, low = take_apart(image, 3)
    for found, band in zip([*highs, low], wanted, strict=True):
        assert (found - band).abs().max() < TOLERANCE


@pytest.mark.parametrize("size", [(16, 16), (37, 53), (64, 17)])
@pytest.mark.parametrize("bands", [1, 2, 4])
def test_bands_rebuild_the_photo(size, bands):
    torch.manual_seed(1)
    image = torch.rand(2, 3, *size)
    assert (put_together(take_apart(image, bands)) - image).abs().max() < 1e-6


def test_a_photo_taken_apart_has_no_more_bands_than_asked_for():
    highs, low = take_apart(torch.rand(1, 3, 40, 24), 3)
    assert isinstance(take_apart(torch.rand(1, 3, 16, 16), 1), Bands)
    assert [tuple(h.shape[2:]) for h in highs] == [(40, 24), (20, 12), (10, 6)]
    assert tuple(low.shape[2:]) == (5, 3)


def test_the_nearest_pixel_is_told_in_integers():
    line = torch.arange(9000.0)[None, None, None]
    assert torch.equal(nearest(line, (1, 17999))[0, 0, 0], torch.arange(17999) * 9000 // 17999)
    assert torch.equal(nearest(line, (1, 18000))[0, 0, 0], torch.arange(18000.0) // 2)


@pytest.mark.parametrize("variant", ["repo", "paper"])
@torch.inference_mode()
def test_any_number_of_bands_gives_a_photo_of_the_same_size(variant):
    for bands in (1, 2, 5):
        net = Lptn(LptnConfig(variant, bands)).eval()
        assert net(torch.rand(1, 3, 47, 33)).shape == (1, 3, 47, 33)


def test_it_is_a_row_of_the_table_and_refuses_what_it_does_not_know():
    net = NETS["lptn"]({"variant": "paper", "bands": 4})
    assert isinstance(net, Lptn) and net.config == LptnConfig("paper", 4)
    for wrong in ({"variant": "third"}, {"bands": 0}, {"layers": 3}):
        with pytest.raises((ValueError, TypeError)):
            NETS["lptn"](wrong)
