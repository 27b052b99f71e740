"""The engine: tiles equal the untiled network, and untouched pixels stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import CONFIG, photo_of, save, untrained
from profiles import WIDE
from torch.nn import functional as F

from abpn_cli.engine import Retoucher
from abpn_cli.engine.blocks import Sides
from abpn_cli.engine.colour import colour_space
from abpn_cli.engine.contours import damp_ghosts
from abpn_cli.engine.finish import unrounded
from abpn_cli.engine.gate import fit_mask
from abpn_cli.engine.network import Painted
from abpn_cli.engine.pyramid import Tile, tiles
from abpn_cli.nets.abpn import choose_levels, gate_grid
from abpn_cli.nets.bpl import blend, down, laplacian_pyramid, pad_to_multiple, unblend, upsample
from abpn_cli.photo import Metadata, Photo, turn_back, turn_upright


def to_tensor(image):
    return torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1)[None]


def to_array(tensor):
    return tensor[0].permute(1, 2, 0).numpy()


@torch.inference_mode()
def untiled(net, photo, factor=1.0, levels=None, finds_smaller=False):
    """The network on the whole photo at once: float32 (H, W, 3), and the gate (H, W).

    factor: what the gate is multiplied by: strength · only · (1 - protect); finds_smaller: M is
    that of half the thumbnail.
    """
    height, width = photo.pixels.shape[:2]
    levels = levels or choose_levels((height, width))
    space, _ = colour_space(photo.metadata.icc)
    seen = space.to_network(photo.pixels)
    pyramid = laplacian_pyramid(pad_to_multiple(to_tensor(seen), 2**levels), levels)
    thumbnail = pyramid.images[-1]
    painted, mask = net.retouch_thumbnail(thumbnail)
    if finds_smaller:
        found = upsample(net.retouch_thumbnail(down(thumbnail))[1])
        mask = found[..., : mask.shape[2], : mask.shape[3]]
    gate = gate_grid(mask, net.config)
    seen_gate = F.interpolate(gate, scale_factor=4, mode="bilinear", align_corners=False)
    layer = unblend(thumbnail, painted, net.j, net.k)
    seen_gate = seen_gate[..., : layer.shape[2], : layer.shape[3]]
    edited = blend(thumbnail, layer * seen_gate, net.j, net.k)
    layer, _ = damp_ghosts(*map(to_array, (thumbnail, edited, layer)))
    layers = net.refine_layers(to_tensor(layer), pyramid.high_freqs)
    gate = F.interpolate(gate, scale_factor=4 * 2**levels, mode="bilinear", align_corners=False)
    gate = gate[0, 0, :height, :width].numpy()
    layer = layers[0][..., :height, :width] * torch.from_numpy(gate * np.float32(factor))
    result = to_array(blend(to_tensor(seen), layer, net.j, net.k))
    return space.land(photo.pixels, seen, result), gate


def sketched(retoucher, photo, let_go=0, strength=1.0, only=None, protect=None):
    """The edit at thumbnail size; let_go: how many of the levels held are not to be."""
    sketch = retoucher._sketch(photo, retoucher._order(photo, strength, only, protect)[0])
    return sketch._replace(held=sketch.held[let_go:])


def joined(retoucher, sketch, sides):
    """The same as `untiled` through the engine, before rounding, in blocks and tiles."""
    result = np.empty(sketch.canvas.pixels.shape, np.float32)
    for tile, image in unrounded(retoucher._network, retoucher._crew, sketch, sides):
        result[tile.window] = image
    return result


def tiled(retoucher, photo, side, *how):
    return joined(retoucher, sketched(retoucher, photo, 0, *how), Sides(2 * side, side))


def rounded(image, dtype):
    return np.rint(image * np.iinfo(dtype).max).astype(dtype)


SIZES = [(512, 512), (530, 607), (517, 1031), (1100, 1030), (17, 300), (16, 16), (40, 700)]


@pytest.mark.parametrize("side", [128, 512])
@pytest.mark.parametrize(
    ("size", "dtype"),
    [*zip(SIZES, [np.uint8, np.uint16] * 4, strict=False), ((17, 300), np.uint16)],
)
def test_tiles_equal_the_whole_photo(net, retoucher, size, dtype, side):
    photo = photo_of(*size, dtype)
    expected, gate = untiled(net, photo)
    assert gate.max() > 0
    assert np.abs(tiled(retoucher, photo, side) - expected).max() < 1e-6


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiles_equal_the_whole_photo_in_a_wide_gamut(net, retoucher, dtype):
    photo = photo_of(530, 607, dtype, metadata=Metadata(icc=WIDE["adobe gamma v2"]))
    expected, _ = untiled(net, photo)
    assert np.abs(expected - untiled(net, replace(photo, metadata=Metadata()))[0]).max() > 0.01
    steps = np.abs(tiled(retoucher, photo, 512) - expected)
    assert (steps > 2e-6).mean() < 1e-3
    assert steps.max() < 1e-4  # near black a gamma magnifies float32's last digit


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_photo_returned_is_the_untiled_result_rounded_to_nearest(net, retoucher, dtype):
    photo = photo_of(530, 607, dtype)
    expected, gate = untiled(net, photo)
    done, edit = retoucher.retouch(photo)
    steps = np.abs(done.pixels.astype(int) - rounded(expected, dtype))
    assert done.pixels.dtype == dtype
    assert steps.max() <= 1  # 1e-6 may fall on either side of a half
    assert (steps > 0).mean() < (1e-3 if dtype == np.uint8 else 0.1)
    assert edit.levels == 1
    assert edit.device == "cpu"
    assert edit.mask_fraction == pytest.approx((gate > 0).mean(), abs=1e-4)
    assert edit.changed_fraction == (done.pixels != photo.pixels).any(-1).mean()
    assert 0 < edit.largest_layer < 10


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("icc", [False, True])
def test_pixels_whose_gate_is_0_are_bit_exact(retoucher, dtype, icc):
    photo = photo_of(600, 601, dtype, metadata=Metadata(icc=WIDE["adobe gamma v2"] if icc else b""))
    done, _ = retoucher.retouch(photo)
    shut = retoucher.gate(photo) == 0
    assert 0.1 < shut.mean() < 0.9
    assert np.array_equal(done.pixels[shut], photo.pixels[shut])
    assert (done.pixels[~shut] != photo.pixels[~shut]).any(-1).mean() > 0.5


def test_pixels_whose_gate_is_0_are_bit_exact_for_coefficients_that_are_no_identity(tmp_path):
    net = untrained(replace(CONFIG, init="gaussian"))
    photo = photo_of(600, 601)
    retoucher = Retoucher(save(net, tmp_path / "gaussian.safetensors"), device="cpu")
    done, _ = retoucher.retouch(photo)
    shut = retoucher.gate(photo) == 0
    assert shut.any()
    assert np.array_equal(done.pixels[shut], photo.pixels[shut])


@pytest.mark.parametrize("size", SIZES)
def test_the_gate_is_bilinear_from_the_mask_at_the_photos_own_size(net, retoucher, size):
    photo = photo_of(*size)
    _, expected = untiled(net, photo)
    gate = retoucher.gate(photo)
    assert gate.shape == size
    assert np.abs(gate - expected).max() < 1e-4  # the mask hangs on the thumbnail's last digit


def test_the_gate_does_not_run_the_blend_pyramid(retoucher, monkeypatch):
    monkeypatch.setattr(retoucher._network, "refine", None)
    monkeypatch.setattr(retoucher._network, "unblend", None)
    monkeypatch.setattr("abpn_cli.engine.finish", None)
    assert retoucher.gate(photo_of(300, 200)).shape == (300, 200)


def test_a_gate_tile_is_cut_from_the_whole_to_the_bit(retoucher):
    sketch = sketched(retoucher, photo_of(530, 607))
    gate = sketch.reach.gate
    whole = gate.at(Tile(0, 530, 0, 607))
    for tile in tiles((530, 607), 96):
        assert np.array_equal(gate.at(tile), whole[tile.window])


def painted_upright_corner(thumbnail):
    """A painter that darkens the top left quarter of what it sees, and marks it as the target."""
    height, width = thumbnail.shape[:2]
    retouched, mask = thumbnail.copy(), np.zeros((height // 4, width // 4), np.float32)
    retouched[: height // 2, : width // 2] *= 0.5
    mask[: height // 8, : width // 8] = 1
    return Painted(retouched, mask)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_network_sees_the_photo_upright(retoucher, monkeypatch, orientation):
    upright = photo_of(256, 512).pixels + 1
    stored = np.ascontiguousarray(turn_back(upright, orientation))
    monkeypatch.setattr(retoucher._network, "paint", painted_upright_corner)
    photo = Photo(stored, Metadata(orientation=orientation))
    done, _ = retoucher.retouch(photo)
    assert done.pixels.shape == stored.shape
    assert done.metadata == photo.metadata
    change = turn_upright(done.pixels.astype(int) - stored, orientation).mean(-1)
    assert change[:120, :240].mean() < -20
    assert (change[140:] == 0).all()
    assert (change[:, 276:] == 0).all()


def test_strength_0_returns_the_photo(retoucher):
    photo = photo_of(530, 607)
    done, edit = retoucher.retouch(photo, strength=0.0)
    assert np.array_equal(done.pixels, photo.pixels)
    assert edit.changed_fraction == 0
    assert edit.largest_layer == 0
    assert edit.mask_fraction > 0


@pytest.mark.parametrize("strength", [0.5, 1.5])
def test_strength_scales_the_edit(net, retoucher, strength):
    photo = photo_of(530, 607, np.uint16)
    expected, _ = untiled(net, photo, strength)
    assert np.abs(tiled(retoucher, photo, 512, strength) - expected).max() < 1e-6
    done, once = (retoucher.retouch(photo, strength=s)[1] for s in (strength, 1.0))
    assert done.largest_layer == pytest.approx(strength * once.largest_layer, rel=1e-5)


def test_only_and_protect_scale_the_edit(net, retoucher):
    photo = photo_of(530, 607, np.uint16)
    rng = np.random.default_rng(0)
    only, protect = rng.random((2, 530, 607), dtype=np.float32)
    expected, _ = untiled(net, photo, 0.8 * only * (1 - protect))
    result = tiled(retoucher, photo, 512, 0.8, only, protect)
    assert np.abs(result - expected).max() < 1e-6


def test_only_black_and_protected_pixels_are_bit_exact(retoucher):
    photo = photo_of(530, 607)
    whole, _ = retoucher.retouch(photo)
    only, protect = np.zeros((2, 530, 607), np.float32)
    only[100:400] = 1
    protect[:, :300] = 1
    done, _ = retoucher.retouch(photo, only=only, protect=protect)
    free = (only > 0) & (protect < 1)
    assert np.array_equal(done.pixels[~free], photo.pixels[~free])
    assert np.array_equal(done.pixels[free], whole.pixels[free])


def test_a_mask_of_another_size_is_resized_with_a_warning(retoucher):
    photo = photo_of(530, 600)
    protect = np.zeros((53, 60), np.float32)
    protect[:, :30] = 1
    done, _ = retoucher.retouch(photo, protect=protect)
    assert done.warnings == ("Its --protect mask is 60 x 53, the photo 600 x 530: resized.",)
    assert np.array_equal(done.pixels[:, :290], photo.pixels[:, :290])
    assert (done.pixels[:, 310:] != photo.pixels[:, 310:]).any()


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("size", [(300, 400), (320, 320)], ids=["oblong", "square"])
def test_a_mask_drawn_on_the_upright_photo_is_turned_with_it(retoucher, orientation, size):
    photo = photo_of(*size, metadata=Metadata(orientation=orientation))
    upright = np.zeros(size[::-1] if orientation > 4 else size, np.float32)
    upright[:120, :90] = 1  # top left, as it is looked at
    done, _ = retoucher.retouch(photo, only=upright)
    assert done.warnings == ()
    changed = turn_upright((done.pixels != photo.pixels).any(axis=-1), orientation)
    assert changed[:120, :90].any()
    assert not changed[120:].any() and not changed[:, 90:].any()


@pytest.mark.parametrize("size", [(31, 47), (301, 199)])
def test_black_and_white_stay_exact_when_a_mask_is_resized(size):
    mask = np.zeros((100, 90), np.float32)
    mask[:, 45:] = 1
    fitted = fit_mask(mask, size)
    assert fitted.shape == size
    assert (fitted[:, : size[1] // 2 - 2] == 0).all()
    assert (fitted[:, size[1] // 2 + 3 :] == 1).all()


@pytest.fixture(params=[1, 2, 3])
def first_held(request, monkeypatch):
    """The finest level that is held, of a photo of three levels."""
    monkeypatch.setattr("abpn_cli.engine.pyramid.first_held", lambda size, levels: request.param)
    return request.param


def test_leaving_out_untouched_tiles_does_not_move_a_pixel(tmp_path, monkeypatch, first_held):
    net = untrained(replace(CONFIG, gate_low=0.01, gate_high=0.02))  # open everywhere
    retoucher = Retoucher(save(net, tmp_path / "open.safetensors"), device="cpu")
    photo = photo_of(2100, 2060)
    whole, edit = retoucher.retouch(photo)
    assert edit.levels == 3
    only = np.zeros((2100, 2060), np.float32)
    only[1018:1024, 1018:1024] = 1  # where four tiles meet, at level 0 and at level 1
    only[5:9, 2050:] = 1
    done, _ = retoucher.retouch(photo, only=only)
    assert (done.pixels != photo.pixels).any(-1).sum() > 50
    assert np.array_equal(done.pixels[only > 0], whole.pixels[only > 0])

    calls = []
    refine = retoucher._network.refine

    def counted(level, layer, high_freq):
        calls.append(level)
        return refine(level, layer, high_freq)

    monkeypatch.setattr(retoucher._network, "refine", counted)
    only[:] = 0
    only[100, 100] = 1
    retoucher.retouch(photo, only=only)
    assert sorted(calls) == [0, 1, 2]


def test_a_gate_that_leans_over_a_tiles_border_is_followed(retoucher, monkeypatch):
    def painted(thumbnail):
        mask = np.zeros((thumbnail.shape[0] // 4, thumbnail.shape[1] // 4), np.float32)
        mask[63, 63] = 1  # pixels 504 to 511; the gate is open four pixels farther
        return Painted(thumbnail * np.float32(0.5), mask)

    monkeypatch.setattr(retoucher._network, "paint", painted)
    photo = photo_of(600, 600)
    done, edit = retoucher.retouch(photo)
    gate = retoucher.gate(photo)
    assert (gate[:516, :516] > 0).sum() == (gate > 0).sum() == 16 * 16
    assert edit.mask_fraction == (gate > 0).mean()
    assert (done.pixels[512:514, 512:514] != photo.pixels[512:514, 512:514]).any()


def test_alpha_and_metadata_pass_through_and_the_source_is_not_written_to(retoucher):
    alpha = np.full((300, 200), 77, np.uint8)
    metadata = Metadata(exif=b"II*\0", orientation=6, icc=WIDE["adobe gamma v2"])
    photo = photo_of(300, 200, alpha=alpha, metadata=metadata)
    before = photo.pixels.copy()
    photo.pixels.setflags(write=False)
    done, _ = retoucher.retouch(photo)
    assert np.array_equal(photo.pixels, before)
    assert done.alpha is alpha
    assert done.metadata == photo.metadata
    assert done.warnings == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_photo_overwritten_is_the_photo_retouched(retoucher, dtype):
    photo = photo_of(530, 1207, dtype, metadata=Metadata(icc=WIDE["adobe gamma v2"]))
    spent = replace(photo, pixels=photo.pixels.copy())
    expected, told = retoucher.retouch(photo, 0.8)
    done, edit = retoucher.overwritten(spent, 0.8)
    assert done.pixels is spent.pixels
    assert np.array_equal(done.pixels, expected.pixels)
    assert edit == told


def test_a_photo_that_cannot_be_written_to_is_retouched_in_a_copy(retoucher):
    photo = photo_of(300, 200)
    before = photo.pixels.copy()
    photo.pixels.setflags(write=False)
    done, edit = retoucher.overwritten(photo)
    assert edit.changed_fraction > 0
    assert np.array_equal(photo.pixels, before)
    assert np.array_equal(done.pixels, retoucher.retouch(photo)[0].pixels)


def test_pixels_may_lie_in_memory_in_any_order(retoucher):
    photo = photo_of(300, 200, metadata=Metadata(icc=WIDE["adobe gamma v2"]))
    turned = np.ascontiguousarray(photo.pixels[::-1].swapaxes(0, 1)).swapaxes(0, 1)[::-1]
    assert not turned.flags.c_contiguous
    done, edit = retoucher.retouch(replace(photo, pixels=turned))
    assert edit.changed_fraction > 0.1
    steps = done.pixels.astype(int) - retoucher.retouch(photo)[0].pixels
    assert np.abs(steps).max() <= 1


def test_a_profile_that_cannot_be_used_is_told_on_the_photo(retoucher):
    photo = photo_of(64, 64, metadata=Metadata(icc=b"nonsense" * 40))
    done, _ = retoucher.retouch(photo)
    assert len(done.warnings) == 1
    assert "ICC profile is broken" in done.warnings[0]


def test_detail_takes_one_level_less_and_never_none(net, checkpoint):
    retoucher = Retoucher(checkpoint, device="cpu", detail=True)
    photo = photo_of(1030, 1100)
    expected, gate = untiled(net, photo, levels=1, finds_smaller=True)
    assert np.abs(tiled(retoucher, photo, 512) - expected).max() < 1e-6
    assert np.abs(retoucher.gate(photo) - gate).max() < 1e-4
    assert np.abs(gate - untiled(net, photo, levels=1)[1]).max() > 0.01, "M of the usual thumbnail"
    twin, expected = retoucher.in_detail(), untiled(net, photo, levels=1)[0]
    assert np.abs(tiled(twin, photo, 512) - expected).max() < 1e-6, "faces: M of the larger one"
    assert retoucher.retouch(photo_of(300, 200))[1].levels == 1


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_cuda_equals_the_cpu(retoucher, checkpoint, precision):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    photo = photo_of(530, 607, np.uint16)
    on_cuda = Retoucher(checkpoint, device="cuda", precision=precision)
    done, expected = on_cuda.retouch(photo)[0].pixels, retoucher.retouch(photo)[0].pixels
    shut = on_cuda.gate(photo) == 0
    assert np.array_equal(done[shut], photo.pixels[shut])
    off = np.abs(done.astype(int) - expected)
    assert off.mean() < 65535 * (1e-5 if precision == "float32" else 0.003)


def test_bf16_convolutions_leave_16_bit_pixels_16_bit(retoucher, checkpoint):
    photo = photo_of(530, 607, np.uint16)
    half = Retoucher(checkpoint, device="cpu", precision="bf16")
    done, exact = half.retouch(photo)[0].pixels, retoucher.retouch(photo)[0].pixels
    shut = half.gate(photo) == 0
    assert half.precision == "bf16"
    assert np.array_equal(done[shut], photo.pixels[shut])
    assert np.abs(done.astype(int) - exact).mean() < 65535 * 0.003
    assert np.unique(done[~shut] % 256).size == 256
