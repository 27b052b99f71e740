"""The five losses, against hand-made values and independent implementations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from abpn_cli.errors import WeightsError
from abpn_cli.training.backbones import Lpips
from abpn_cli.training.losses import (
    PatchDiscriminator,
    PerceptualLoss,
    adversarial_loss,
    balanced,
    dice_loss,
    discriminator_loss,
    multi_scale_mse,
    tv_loss,
)
from abpn_cli.training.pairs import target_mask

MODELS = Path(__file__).parents[2] / "shared" / "data" / "models"


def test_mse_is_a_mean_per_level_summed_over_levels():
    results = [torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 4, 4), 0.3)]
    targets = [torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 4, 4)]
    assert float(multi_scale_mse(results, targets)) == pytest.approx(0.25 + 0.09)


def test_unbalanced_errors_count_by_their_size_alone():
    assert balanced(torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8), 0) is None


def test_balanced_errors_of_a_photo_count_less_the_more_there_is_to_do_in_it():
    original = torch.full((3, 3, 8, 8), 0.5)
    retouched = original.clone()
    retouched[1] += 0.01  # 20 times USUAL
    retouched[2] += 0.1  # 2,000 times
    idle, faint, strong = balanced(original, retouched, 0.5).tolist()
    assert idle == 1
    assert faint == pytest.approx(21**-0.5, rel=1e-4)
    assert strong == pytest.approx(2001**-0.5, rel=1e-4)
    evenly = balanced(original, retouched, 1) * (original - retouched).square().mean((1, 2, 3))
    assert float(evenly[2] / evenly[1]) == pytest.approx(1, abs=0.06)  # as decibels have it


def test_shares_multiply_the_errors_of_their_photo_on_every_level():
    results = [torch.rand(2, 3, 8, 8), torch.rand(2, 3, 4, 4)]
    targets = [torch.rand(2, 3, 8, 8), torch.rand(2, 3, 4, 4)]
    shares = torch.tensor([1.0, 0.25])
    alone = [
        float(multi_scale_mse([r[i : i + 1] for r in results], [t[i : i + 1] for t in targets]))
        for i in range(2)
    ]
    together = float(multi_scale_mse(results, targets, shares))
    assert together == pytest.approx((alone[0] + 0.25 * alone[1]) / 2, rel=1e-5)
    plain = float(multi_scale_mse(results, targets))
    assert float(multi_scale_mse(results, targets, torch.ones(2))) == pytest.approx(plain, rel=1e-6)


def test_dice_is_zero_for_a_perfect_mask_and_near_one_for_an_opposite_one():
    target = (torch.rand(2, 1, 64, 64) > 0.5).float()
    assert float(dice_loss(target, target)) == pytest.approx(0, abs=1e-6)
    assert float(dice_loss(1 - target, target)) > 0.999


def test_dice_follows_the_v_net_formula():
    mask, target = torch.rand(1, 1, 8, 8), (torch.rand(1, 1, 8, 8) > 0.5).float()
    p, g = mask.numpy(), target.numpy()
    expected = 1 - (2 * (p * g).sum() + 1) / ((p**2).sum() + (g**2).sum() + 1)
    assert float(dice_loss(mask, target)) == pytest.approx(float(expected), rel=1e-5)


def test_an_empty_target_and_an_empty_mask_cost_nothing():
    empty = torch.zeros(1, 1, 8, 8)
    assert float(dice_loss(empty, empty)) == 0


def test_tv_is_the_mean_squared_difference_of_neighbours_over_all_layers():
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 3, 8, 8)
    assert float(tv_loss([ramp, 2 * ramp])) == pytest.approx(1 + 4)
    assert float(tv_loss([torch.ones(1, 3, 8, 8)])) == 0


def test_the_target_mask_marks_changes_above_two_levels_and_pools_them():
    original = torch.zeros(1, 3, 16, 16)
    retouched = original.clone()
    retouched[0, 1, 5, 9] = 2.5 / 255
    retouched[0, :, 0, 0] = 1.9 / 255
    mask = target_mask(original, retouched)
    assert mask.shape == (1, 1, 4, 4)
    assert mask.nonzero().tolist() == [[0, 0, 1, 2]]


def test_the_discriminator_judges_70_pixel_patches():
    critic = PatchDiscriminator().eval()
    image = torch.rand(1, 3, 256, 256, requires_grad=True)
    logits = critic(image, image)
    assert logits.shape == (1, 1, 30, 30)
    logits[0, 0, 15, 15].backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70


def test_adversarial_losses_are_cross_entropies():
    real, fake = torch.full((1, 1, 4, 4), 3.0), torch.full((1, 1, 4, 4), -2.0)
    assert float(adversarial_loss(fake)) == pytest.approx(np.log1p(np.exp(2)), rel=1e-5)
    expected = (np.log1p(np.exp(-3)) + np.log1p(np.exp(-2))) / 2
    assert float(discriminator_loss(real, fake)) == pytest.approx(expected, rel=1e-5)


def made_up_vgg(path):
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128),
              12: (256, 256), 14: (256, 256)}  # fmt: skip
    draw = torch.Generator().manual_seed(0)
    tensors = {}
    for index, (outputs, inputs) in shapes.items():
        weight = torch.randn(outputs, inputs, 3, 3, generator=draw)
        tensors[f"features.{index}.weight"] = weight / (3 * inputs**0.5)
        tensors[f"features.{index}.bias"] = torch.zeros(outputs)
    save_file(tensors, path)


def test_the_perceptual_loss_is_zero_on_equal_thumbnails_and_has_gradients(tmp_path):
    made_up_vgg(tmp_path / "vgg.safetensors")
    loss = PerceptualLoss(tmp_path / "vgg.safetensors")
    result = torch.rand(1, 3, 64, 64, requires_grad=True)
    assert float(loss(result, result.detach()).detach()) == 0
    loss(result, torch.rand(1, 3, 64, 64)).backward()
    assert result.grad.abs().max() > 0
    assert all(not p.requires_grad for p in loss.parameters())


@pytest.mark.skipif(not MODELS.is_dir(), reason="the shared backbones are not here")
@pytest.mark.parametrize("kind", ["alexnet", "vgg16"])
def test_lpips_is_zero_on_equal_pictures_and_grows_with_what_is_seen(kind):
    lpips = Lpips(MODELS / f"{kind}_lpips_fp16.safetensors")
    draw = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 3, 8, 8, generator=draw), size=(128, 128), mode="bicubic"
    ).clamp(0, 1)
    noise = torch.randn(1, 3, 128, 128, generator=draw)
    distances = [float(lpips(smooth, smooth + s * noise)) for s in (0, 0.02, 0.05, 0.2)]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert distances[3] > 2 * distances[1] > 0
    assert float(lpips(smooth + 0.05 * noise, smooth)) == pytest.approx(distances[2])


@pytest.mark.skipif(not MODELS.is_dir(), reason="the shared backbones are not here")
def test_the_perceptual_loss_reads_the_shared_backbone():
    loss = PerceptualLoss(MODELS / "vgg16_lpips_fp16.safetensors")
    a = torch.rand(1, 3, 64, 64)
    near, far = a + 0.01 * torch.rand_like(a), torch.rand_like(a)
    assert 0 < float(loss(near, a)) < float(loss(far, a))


def test_a_file_that_is_no_backbone_is_named(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "no.safetensors")
    with pytest.raises(WeightsError, match=r"no\.safetensors: is no VGG-16: features\.0 missing"):
        PerceptualLoss(tmp_path / "no.safetensors")
