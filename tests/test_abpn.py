"""The whole network: parameter counts, shapes, sizes, identity, gradients."""

from dataclasses import replace

import pytest
import torch

from abpn_cli.nets.abpn import (
    LUMA,
    Abpn,
    AbpnConfig,
    choose_levels,
    gate_grid,
    in_light,
    smoothstep,
)
from abpn_cli.nets.bpl import blend, unblend
from abpn_cli.nets.lrl import LocalAttentiveModule, LocalRetouchingLayer, resize_mask

LRL_PARAMETERS = 41_477_919
TINY = AbpnConfig(width=1 / 16, refine_shared=True)
SHIPPED = AbpnConfig(
    width=1 / 16, refine_shared=True, lrl_residual=True, init="published", train_k=False,
    refine_zero=True,
)  # fmt: skip


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def paper():
    with torch.device("meta"):
        return LocalRetouchingLayer(1.0, "bilinear", residual=False)


def test_the_lrl_has_the_papers_parameters_branch_by_branch(paper):
    assert count(paper.encoder) == 6_272_576
    assert count(paper.mask_branch) == 11_652_993
    assert count(paper.retouch_branch) == 23_552_350
    assert count(paper) == LRL_PARAMETERS


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_the_network_counts_one_refining_module_a_level_and_six_coefficients(levels):
    net = Abpn(AbpnConfig(width=1 / 16, levels=levels))
    assert count(net) - count(net.lrl) == 1315 * levels + 6
    assert count(Abpn(TINY)) - count(Abpn(TINY).lrl) == 1315 + 6


def test_every_block_has_the_shape_of_supplement_table_1(paper):
    shapes = {}

    def watch(name):
        return lambda _module, inputs, output: shapes.update({name: (inputs, output)})

    blocks = {f"F{i + 1}": m for i, m in enumerate(paper.encoder.steps)}
    blocks |= {f"mask{i + 1}": m for i, m in enumerate(paper.mask_branch.steps)}
    blocks |= {"head": paper.mask_branch.head}
    blocks |= {f"lam{i + 1}": m.feature for i, m in enumerate(paper.retouch_branch.lams)}
    handles = [m.register_forward_hook(watch(n)) for n, m in blocks.items()]
    with torch.device("meta"):
        retouched, mask = paper(torch.empty(1, 3, 256, 256))
    for handle in handles:
        handle.remove()
    found = {n: (tuple(i[0].shape[1:]), tuple(o.shape[1:])) for n, (i, o) in shapes.items()}
    assert found == {
        "F1": ((3, 256, 256), (64, 128, 128)),
        "F2": ((64, 128, 128), (128, 64, 64)),
        "F3": ((128, 64, 64), (256, 32, 32)),
        "F4": ((256, 32, 32), (512, 16, 16)),
        "F5": ((512, 16, 16), (512, 8, 8)),
        "F6": ((512, 8, 8), (512, 4, 4)),
        "mask1": ((1024, 8, 8), (512, 8, 8)),
        "mask2": ((1024, 16, 16), (512, 16, 16)),
        "mask3": ((768, 32, 32), (256, 32, 32)),
        "mask4": ((384, 64, 64), (128, 64, 64)),
        "head": ((128, 64, 64), (1, 64, 64)),
        "lam1": ((1025, 8, 8), (512, 8, 8)),
        "lam2": ((1025, 16, 16), (512, 16, 16)),
        "lam3": ((769, 32, 32), (256, 32, 32)),
        "lam4": ((385, 64, 64), (128, 64, 64)),
        "lam5": ((193, 128, 128), (64, 128, 128)),
        "lam6": ((68, 256, 256), (3, 256, 256)),
    }
    assert retouched.shape == (1, 3, 256, 256)
    assert mask.shape == (1, 1, 64, 64)


@pytest.mark.parametrize(
    ("long_side", "levels"),
    [(16, 1), (300, 1), (512, 1), (1023, 1), (1024, 2), (2048, 3), (4096, 4), (6000, 4),
     (8191, 4), (8192, 5), (14204, 5)],
)  # fmt: skip
def test_the_number_of_levels_keeps_the_thumbnail_under_512(long_side, levels):
    assert choose_levels((long_side, 16)) == choose_levels((16, long_side)) == levels


@pytest.mark.parametrize("size", [(16, 16), (37, 301), (129, 64), (333, 517)])
def test_odd_sizes_come_back_in_their_own_size(size):
    net = Abpn(TINY).eval()
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        retouched = net(image)
    assert retouched.results[0].shape == image.shape
    assert retouched.blend_layers[0].shape == image.shape
    assert 0 <= retouched.mask.min() <= retouched.mask.max() <= 1


def test_more_than_the_paper_has_levels_where_the_refining_module_is_shared():
    image = torch.rand(1, 3, 512, 512)
    assert len(Abpn(TINY).eval()(image, 3).results) == 4
    with pytest.raises(ValueError, match="no refining module for level 2"):
        Abpn(AbpnConfig(width=1 / 16, levels=2)).eval()(image, 3)


def test_the_shipped_recipe_starts_from_the_identity_bit_for_bit():
    image = torch.rand(1, 3, 128, 192)
    with torch.no_grad():
        retouched = Abpn(SHIPPED).eval()(image, 1)
    assert torch.equal(retouched.results[0], image)


def test_r_abm_then_abm_returns_the_painted_thumbnail():
    torch.manual_seed(1)  # a draw of j whose gain nears 0 would run into the layer's limit
    net = Abpn(TINY).eval()
    thumbnail = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        painted = 0.5 * torch.tanh(net.lrl(thumbnail).retouched) + 0.5
        layer = unblend(thumbnail, painted, net.j, net.k)
        assert (blend(thumbnail, layer, net.j, net.k) - painted).abs().max() <= 1e-6


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    net = Abpn(AbpnConfig(width=1 / 16, levels=2))
    retouched = net(torch.rand(2, 3, 256, 256), 2)
    loss = sum(r.square().mean() for r in retouched.results) + retouched.mask.mean()
    loss.backward()
    still = [n for n, p in net.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert still == []


def test_k_stays_fixed_where_the_recipe_says_so():
    assert not Abpn(SHIPPED).k.requires_grad
    assert Abpn(AbpnConfig(width=1 / 16)).k.requires_grad


def test_width_scales_the_lrl_alone():
    half = Abpn(AbpnConfig(width=0.5, refine_shared=True))
    assert count(half.refine(0)) == 1315
    assert 10_000_000 < count(half.lrl) < 11_000_000


def test_the_mask_is_averaged_when_it_shrinks_and_interpolated_when_it_grows():
    mask = torch.rand(1, 1, 64, 64)
    assert resize_mask(mask, (8, 8))[0, 0, 0, 0] == pytest.approx(float(mask[..., :8, :8].mean()))
    assert resize_mask(mask, (64, 64)) is mask
    assert resize_mask(torch.ones(1, 1, 4, 4), (16, 16)).min() == 1


def test_smoothstep_is_exactly_zero_and_one_outside_its_band():
    values = smoothstep(0.1, 0.3, torch.tensor([0.0, 0.1, 0.2, 0.3, 1.0]))
    assert values.tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    assert values[1] == 0
    assert values[3] == 1


@pytest.mark.gpu
def test_the_network_on_cuda_equals_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    net, image = Abpn(TINY).eval(), torch.rand(1, 3, 256, 384)
    with torch.no_grad():
        expected = net(image).results[0]
        found = net.cuda()(image.cuda()).results[0].cpu()
    assert (found - expected).abs().max() <= 1e-3


def test_a_patch_of_the_gate_opens_only_where_the_mask_is_sure_somewhere_in_it() -> None:
    mask = torch.zeros(1, 1, 12, 30)
    mask[..., 2:10, 2:8] = 0.6  # never sure
    mask[..., 2:10, 12:18] = 0.6
    mask[..., 5, 17] = 0.95  # sure in one cell
    mask[..., 2:10, 22:28] = 0.6
    mask[..., 9, 27] = 0.85  # half sure
    plain = gate_grid(mask, AbpnConfig(width=1 / 32, gate_low=0.4, gate_high=0.6))
    assert (plain[..., 2:10, 2:8] == 1).all()
    asked = gate_grid(mask, AbpnConfig(width=1 / 32, gate_low=0.4, gate_high=0.6, gate_peak=0.9))
    assert not asked[..., :, :9].any()
    assert torch.equal(asked[..., 12:18], plain[..., 12:18])
    assert torch.allclose(asked[..., 22:28], plain[..., 22:28] / 2, atol=1e-6)


def test_an_edit_in_light_alone_keeps_the_hue_of_every_pixel():
    torch.manual_seed(0)
    thumbnail = torch.rand(2, 3, 64, 64) * 0.8 + 0.1
    wanted = thumbnail * (1 + 0.2 * torch.randn(2, 1, 64, 64).clamp(-1, 1))
    coloured = wanted + 0.05 * torch.randn(2, 3, 1, 1)
    luma = torch.tensor(LUMA)[:, None, None]
    kept = in_light(thumbnail, coloured)
    ratio = kept / thumbnail
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), atol=1e-5)
    target, got = ((image * luma).sum(1) for image in (coloured, kept))
    assert (target - got).abs().max() < 0.02
    assert torch.equal(in_light(thumbnail, thumbnail), thumbnail)


def test_a_network_of_light_only_retouches_no_hue():
    config = AbpnConfig(width=0.05, refine_shared=True, init="published", refine_zero=True)
    torch.manual_seed(1)
    free = Abpn(config).eval()
    bound = Abpn(replace(config, light_only=True)).eval()
    bound.load_state_dict(free.state_dict())
    thumbnail = torch.rand(1, 3, 64, 64) * 0.8 + 0.1
    one, other = free.retouch_thumbnail(thumbnail), bound.retouch_thumbnail(thumbnail)
    assert torch.equal(one.mask, other.mask)
    assert torch.equal(other.retouched, in_light(thumbnail, one.retouched))
    assert not torch.allclose(one.retouched, other.retouched, atol=1e-2)


def test_a_mask_does_not_bring_its_neighbours_out_of_channels_last():
    module = LocalAttentiveModule(4 + 2 + 1, 3)
    seen = []
    module.feature.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    features, skip = torch.rand(2, 4, 8, 6), torch.rand(2, 2, 8, 6)
    mask = torch.rand(2, 1, 16, 12)
    plain = module(features, skip, mask)
    rows = {"memory_format": torch.channels_last}
    laid = module(features.contiguous(**rows), skip.contiguous(**rows), mask)
    assert seen[1].is_contiguous(**rows)
    torch.testing.assert_close(laid, plain, rtol=0, atol=1e-6)
