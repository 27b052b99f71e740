"""The grading engine: exact where nothing is asked, and everywhere what the network says."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from networks import photo_of
from networks import save as save_abpn
from profiles import ADOBE, profile
from styles import save_style, style_net

from abpn_cli.engine import grading, looks
from abpn_cli.engine.colour import colour_space
from abpn_cli.engine.cube import SIDE, cube_text
from abpn_cli.engine.grading import Grader, Style
from abpn_cli.engine.looks import mean_look
from abpn_cli.errors import PhotoError, WeightsError
from abpn_cli.nets.csrnet import CsrnetConfig
from abpn_cli.photo import Metadata, turn_back


@pytest.fixture(scope="module")
def styles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("styles")
    return [save_style(folder / f"{seed}.safetensors", seed) for seed in (5, 6)]


@pytest.fixture(scope="module", params=["kernel", "torch"])
def grader(styles, request):
    """By either way; where no kernel was built both are torch's."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "torch":
            patch.setattr(grading, "choose_kernel", lambda device, precision: None)
        return Grader([Style(styles[0])], device="cpu")


def plain(photo, net, condition):
    """What the network makes of a photo, by the plainest way: (H, W, 3) in [0, 1]."""
    top = np.iinfo(photo.pixels.dtype).max
    image = torch.from_numpy(photo.pixels.astype(np.float32).transpose(2, 0, 1)[None] / top)
    with torch.inference_mode():
        out = net.graded(image, torch.from_numpy(condition)[None]).clamp(0, 1)
    return out[0].numpy().transpose(1, 2, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(40, 61), (5, 300)])
def test_every_pixel_is_what_the_network_says(grader, dtype, size):
    photo = photo_of(*size, dtype=dtype)
    done, edit = grader.retouch(photo)
    wanted = plain(photo, style_net(5), grader.conditions(photo)[0]) * np.iinfo(dtype).max
    assert done.pixels.dtype == dtype
    assert np.abs(done.pixels - wanted).max() <= 0.5 + np.iinfo(dtype).max * 1e-5
    assert edit.changed_fraction > 0.9 and edit.mask_fraction == 1
    assert (photo.pixels == photo_of(*size, dtype=dtype).pixels).all(), "the source was changed"


def test_a_condition_is_read_from_the_whole_photo_at_its_own_size_where_that_is_small(grader):
    photo = photo_of(41, 63)
    image = torch.from_numpy(photo.pixels.astype(np.float32).transpose(2, 0, 1)[None] / 255)
    with torch.inference_mode():
        wanted = style_net(5).condition(image)[0].numpy()
    assert np.allclose(grader.conditions(photo)[0], wanted, atol=1e-6)


def test_a_large_photo_is_judged_by_a_small_copy_of_it(grader):
    photo = photo_of(900, 1200)
    copy = replace(photo, pixels=cv2.resize(photo.pixels, (500, 375), interpolation=cv2.INTER_AREA))
    assert np.allclose(grader.conditions(photo)[0], grader.conditions(copy)[0])


def test_the_condition_may_be_read_from_the_photo_itself_as_published(tmp_path):
    path = save_style(tmp_path / "full.safetensors", config=CsrnetConfig(None))
    photo = photo_of(300, 701)
    image = torch.from_numpy(photo.pixels.astype(np.float32).transpose(2, 0, 1)[None] / 255)
    with torch.inference_mode():
        wanted = style_net(5).condition(image)[0].numpy()
    assert np.allclose(Grader([Style(path)], device="cpu").conditions(photo)[0], wanted, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("icc", [b"", profile(ADOBE)], ids=["srgb", "adobe"])
def test_where_nothing_is_asked_every_bit_stays(grader, dtype, icc):
    photo = photo_of(50, 70, dtype=dtype, metadata=Metadata(icc=icc))
    assert (grader.retouch(photo, strength=0)[0].pixels == photo.pixels).all()
    only = np.zeros((50, 70), np.float32)
    only[:, 35:] = 1
    done, edit = grader.retouch(photo, only=only)
    assert (done.pixels[:, :35] == photo.pixels[:, :35]).all()
    assert (done.pixels[:, 35:] != photo.pixels[:, 35:]).any()
    assert edit.mask_fraction == 0.5
    opposite, _ = grader.retouch(photo, protect=1 - only)
    assert (opposite.pixels == done.pixels).all()


def test_strength_mixes_the_two_photos(grader):
    photo = photo_of(32, 48, dtype=np.uint16)
    whole = grader.retouch(photo)[0].pixels.astype(np.float64)
    some = grader.retouch(photo, strength=0.3)[0].pixels
    assert np.abs(some - (0.7 * photo.pixels + 0.3 * whole)).max() <= 2


def test_a_grey_mask_is_strength_pixel_by_pixel(grader):
    photo = photo_of(32, 48)
    half = np.full((32, 48), 0.5, np.float32)
    masked, by_strength = (
        grader.retouch(photo, only=half)[0],
        grader.retouch(photo, strength=0.5)[0],
    )
    assert np.abs(masked.pixels.astype(int) - by_strength.pixels).max() <= 1


def test_a_mix_of_styles_is_the_mix_of_their_photos(styles):
    photo = photo_of(30, 44, dtype=np.uint16)
    parts = [Grader([Style(s)], device="cpu").retouch(photo)[0].pixels for s in styles]
    mixed = Grader([Style(styles[0], 0.6), Style(styles[1], 0.4)], device="cpu").retouch(photo)[0]
    assert np.abs(mixed.pixels - (0.6 * parts[0] + 0.4 * parts[1])).max() <= 2


def test_a_table_of_colours_gives_what_the_network_gives(grader, monkeypatch):
    photo = photo_of(80, 90)
    direct = grader.retouch(photo)[0].pixels
    monkeypatch.setattr(looks, "MANY_PIXELS", 1)
    by_table, edit = grader.retouch(photo)
    apart = np.abs(direct.astype(int) - by_table.pixels)
    assert apart.max() <= 1 and (apart > 0).mean() < 1e-3  # sums in another order round otherwise
    assert edit.changed_fraction > 0.9


def test_alpha_and_metadata_stay(grader):
    alpha = np.arange(30 * 40, dtype=np.uint8).reshape(30, 40)
    metadata = Metadata(icc=profile(ADOBE), xmp=b"<x/>", orientation=6)
    photo = photo_of(30, 40, metadata=metadata, alpha=alpha)
    done, _ = grader.retouch(photo)
    assert (done.alpha == alpha).all() and done.metadata == metadata


def test_a_photo_on_its_side_is_graded_as_it_is_upright(grader):
    upright = photo_of(60, 40)
    lying = turn_back(upright.pixels, 6)
    turned = replace(upright, pixels=np.ascontiguousarray(lying), metadata=Metadata(orientation=6))
    done = grader.retouch(turned)[0].pixels
    assert (done == turn_back(grader.retouch(upright)[0].pixels, 6)).all()


def test_a_wide_gamut_photo_comes_out_as_its_srgb_copy_would(grader):
    icc = profile(ADOBE)
    photo = photo_of(40, 50, dtype=np.uint16, metadata=Metadata(icc=icc))
    photo.pixels[:] = photo.pixels // 6 + 25000  # well inside sRGB
    space, _ = colour_space(icc)
    seen = space.to_network(photo.pixels)
    assert seen.min() >= 0 and seen.max() <= 1
    copy = photo_of(40, 50, dtype=np.uint16)
    copy.pixels[:] = np.rint(seen * 65535).astype(np.uint16)
    wanted = grader.retouch(copy)[0].pixels / 65535
    found = space.to_network(grader.retouch(photo)[0].pixels)
    inside = (wanted > 0.001) & (wanted < 0.999) & (found > 0.001) & (found < 0.999)
    assert np.abs(found - wanted)[inside.all(2)].mean() < 1e-3


def test_one_look_for_all_depends_on_no_order(grader):
    photos = [photo_of(40 + 10 * i, 70 - 5 * i) for i in range(6)]
    conditions = [grader.conditions(photo) for photo in photos]
    look = mean_look(conditions)
    assert all((a == b).all() for a, b in zip(look, mean_look(conditions[::-1]), strict=True))
    locked = grader.locked(look)
    photo = photo_of(33, 44)
    wanted = plain(photo, style_net(5), look[0]) * 255
    assert np.abs(locked.retouch(photo)[0].pixels - wanted).max() <= 0.51
    assert (grader.retouch(photo)[0].pixels != locked.retouch(photo)[0].pixels).any()


def parsed(text):
    """A `.cube` as (n, n, n, 3), indexed blue, green, red."""
    lines = text.splitlines()
    (side,) = [int(line.split()[1]) for line in lines if line.startswith("LUT_3D_SIZE")]
    rows = [line.split() for line in lines if line[0].isdigit()]
    return np.array(rows, np.float64).reshape(side, side, side, 3)


def trilinear(table, colours):
    """(P, 3) in [0, 1] through a table indexed blue, green, red."""
    side = len(table)
    place = colours * (side - 1)
    low = np.minimum(place.astype(int), side - 2)
    share = place - low
    total = np.zeros_like(colours)
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, share, 1 - share), axis=1)
        r, g, b = (low + corner).T
        total += weight[:, None] * table[b, g, r]
    return total


def test_a_cube_gives_what_the_network_gives(grader):
    photo = photo_of(120, 160)
    look = grader.conditions(photo)
    table = parsed(cube_text("abpn test", grader.lattice(look, SIDE)))
    assert table.shape == (65, 65, 65, 3) and table.min() >= 0 and table.max() <= 1
    colours = np.random.default_rng(0).random((20_000, 3))
    colours = np.concatenate([colours, photo.pixels.reshape(-1, 3) / 255])
    image = torch.from_numpy(colours.T.astype(np.float32)[None, :, None])
    with torch.inference_mode():
        wanted = style_net(5).graded(image, torch.from_numpy(look[0])[None]).clamp(0, 1)
    apart = np.abs(trilinear(table, colours) - wanted[0, :, 0].numpy().T)
    assert apart.mean() < 0.3 / 255 and apart.max() < 4 / 255


def test_a_cube_has_the_head_that_editors_read():
    lines = cube_text("a 'b'", np.zeros((2, 2, 2, 3), np.float32)).splitlines()
    assert lines[0] == "TITLE \"a 'b'\"" and "LUT_3D_SIZE 2" in lines
    assert {"DOMAIN_MIN 0.0 0.0 0.0", "DOMAIN_MAX 1.0 1.0 1.0"} <= set(lines)
    assert lines[-8:] == ["0.000000 0.000000 0.000000"] * 8


def test_red_changes_fastest_in_a_cube():
    points = np.stack(np.meshgrid([0, 1.0], [0, 1.0], [0, 1.0], indexing="ij"), -1)[..., ::-1]
    rows = cube_text("x", points.astype(np.float32)).splitlines()[-8:]
    assert rows[:3] == ["0.000000 0.000000 0.000000", "1.000000 0.000000 0.000000",
                        "0.000000 1.000000 0.000000"]  # fmt: skip


def test_too_small_a_photo_and_too_large_a_one_say_so(grader, styles):
    with pytest.raises(PhotoError, match="too few"):
        grader.retouch(photo_of(4, 50))
    tight = Grader([Style(styles[0])], device="cpu", max_bytes=2**20)
    with pytest.raises(PhotoError, match="GiB of memory"):
        tight.retouch(photo_of(50, 50))


def test_a_network_that_returns_no_numbers_costs_the_photo(tmp_path):
    path = save_style(tmp_path / "nan.safetensors")
    grader = Grader([Style(path)], device="cpu")
    with torch.no_grad():
        grader._nets[0].conv2.bias[5] = float("nan")
    with pytest.raises(PhotoError, match="no numbers"):
        grader.retouch(photo_of(20, 20))


def test_weights_that_retouch_do_not_grade(net, tmp_path):
    path = save_abpn(net, tmp_path / "retouches.safetensors")
    with pytest.raises(WeightsError, match="holds a 'abpn' network"):
        Grader([Style(path)], device="cpu")
