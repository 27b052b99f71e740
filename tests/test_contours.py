"""Ghost contours: the edit is taken back where it runs over an outline that stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from abpn_cli.engine.contours import damp_ghosts
from abpn_cli.nets.bpl import blend, unblend

J, K = torch.tensor([0.19, 0.31, -0.24]), torch.tensor([0.0, 1.0, 0.0])


def layer_of(image, retouched):
    return unblend(torch.from_numpy(image), torch.from_numpy(retouched), J, K).numpy()


def outline():
    """Grey cloth to the left of a white background, the edge a pixel soft."""
    image = np.full((64, 80, 3), 0.35, np.float32)
    image[:, 40:], image[:, 39] = 0.95, 0.65
    return image


def soft_bump(height, width, row, column, radius, depth):
    rows, columns = np.mgrid[:height, :width]
    far = np.hypot(rows - row, columns - column) / radius
    return (depth * np.exp(-(far**2)))[..., None].astype(np.float32)


def test_an_edit_that_spills_over_an_outline_is_taken_back_there_and_nowhere_else():
    image = outline()
    edit = np.zeros_like(image)
    edit[:, 12:40] = -0.06
    edit = cv2.GaussianBlur(edit, (0, 0), 1.5)  # coarser than the photo: half of it lands beyond
    retouched = image + edit
    layer = layer_of(image, retouched)
    damped, share = damp_ghosts(image, retouched, layer)
    halo = blend(torch.from_numpy(image), torch.from_numpy(damped), J, K).numpy() - image
    assert np.abs(edit[:, 40:]).max() > 5 / 255
    assert np.abs(halo[:, 40:]).max() < 2 / 255
    assert np.array_equal(damped[:, :30], layer[:, :30])
    assert 0.02 < share < 0.2


def test_an_edit_on_its_own_side_of_an_outline_stays_right_up_to_it():
    image = outline()
    edit = np.zeros_like(image)
    edit[:, 12:39], edit[:, 39:42] = -0.06, -0.03  # the outline lies at 39; three pixels spilt
    layer = layer_of(image, image + edit)
    damped, share = damp_ghosts(image, image + edit, layer)
    assert np.abs(damped[:, 12:38] / layer[:, 12:38] - 1).max() < 0.02
    assert np.abs(damped[:, 40:42] / layer[:, 40:42]).max() < 0.1
    assert 0.02 < share < 0.06


@pytest.mark.parametrize("gap", [3, 6, 12])
def test_a_white_gap_between_white_clothes_stays_white(gap):
    image = np.full((64, 80, 3), 0.9, np.float32)  # too like white to make an outline
    image[:, 40 : 40 + gap] = 1
    edit = np.full_like(image, -0.04)
    layer = layer_of(image, image + edit)
    damped, _ = damp_ghosts(image, image + edit, layer)
    assert np.abs(damped[8:-8, 40 : 40 + gap] / layer[8:-8, 40 : 40 + gap]).max() < 0.02
    assert np.array_equal(damped[:, :40], layer[:, :40])


def test_a_white_speck_may_be_retouched_away():
    cloth = np.full((64, 80, 3), 0.4, np.float32)
    speckled = cloth.copy()
    speckled[30:33, 40:43] = 1
    layer = layer_of(speckled, cloth)
    assert damp_ghosts(speckled, cloth, layer).share == 0


def test_an_edit_inside_an_outline_is_left_alone():
    image = outline()
    retouched = image + soft_bump(64, 80, 32, 18, 6, 0.08)
    layer = layer_of(image, retouched)
    damped, share = damp_ghosts(image, retouched, layer)
    assert share == 0
    assert damped is layer


def test_a_spot_that_is_healed_loses_its_own_outline_and_is_no_ghost():
    skin = np.full((64, 80, 3), 0.7, np.float32)
    spotted = skin - soft_bump(64, 80, 30, 40, 3, 0.4)
    layer = layer_of(spotted, skin)
    assert damp_ghosts(spotted, skin, layer).share == 0
