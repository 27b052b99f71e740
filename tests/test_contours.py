"""Ghost contours: the edit is taken back where it runs over an outline that stays."""

from __future__ import annotations

import cv2
import numpy as np
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
