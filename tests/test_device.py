"""The way on a device, walked on the CPU: it is the untiled network, and what the CPU's way makes.

What only CUDA has is at the end, marked `gpu`: graphs, page-locked buffers, streams, the kernels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from networks import CONFIG, photo_of, save, untrained
from profiles import WIDE
from test_engine import untiled
from test_engine_properties import (
    EXACT,
    LARGEST,
    LARGEST_16_BIT,
    LEAST_PSNR,
    PLENTY,
    small_steps,
    tasks,
)

from abpn_cli.benchmark.plain import forced_mask
from abpn_cli.engine import Retoucher
from abpn_cli.engine.contours import damp_ghosts
from abpn_cli.engine.device import DevicePath
from abpn_cli.engine.device.levels import Sizes
from abpn_cli.engine.device.plan import Rows, fill_padded, open_share, open_tiles
from abpn_cli.engine.device.thumbnail import ghosts
from abpn_cli.engine.gate import Gate, touches
from abpn_cli.engine.pyramid import Canvas, Tile
from abpn_cli.errors import PhotoError
from abpn_cli.photo import Metadata

__all__ = ["small_steps"]  # a fixture
STRIPS = Sizes(strip=30_000, band=9_000)  # px: several strips of several bands


def device_of(path, device="cpu", precision="float32", sizes=STRIPS):
    """A retoucher that goes the device's way, and counts the photos that do."""
    retoucher = Retoucher(path, device, precision)
    retoucher._device_path = DevicePath(retoucher._network, sizes)
    return retoucher


@pytest.fixture(scope="module", params=[Sizes(), STRIPS], ids=["one strip", "strips"])
def on_device(request, checkpoint):
    return device_of(checkpoint, sizes=request.param)


@pytest.fixture(scope="module", params=["float32", "bf16"])
def both(request, small_steps):
    net, path = small_steps
    return net, device_of(path, precision=request.param)


def whole(retoucher, photo, *how):
    """What is rounded, put together: float32 (H, W, 3)."""
    image = np.full(photo.pixels.shape, np.nan, np.float32)
    for tile, part in retoucher.unrounded(photo, *how):
        image[tile.window] = part
    return image


def psnr(apart):
    mean = float(np.square(apart, dtype=np.float64).mean())
    return np.inf if mean == 0 else -10 * np.log10(mean)


@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        ((530, 607), np.uint8), ((517, 1031), np.uint16), ((17, 300), np.uint8),
        ((16, 16), np.uint16), ((17, 2100), np.uint16), ((2100, 171), np.uint8),
    ],
)  # fmt: skip
def test_the_devices_way_equals_the_whole_photo(net, on_device, size, dtype):
    photo = photo_of(*size, dtype)
    expected, gate = untiled(net, photo)
    assert np.abs(whole(on_device, photo) - expected.clip(0, 1)).max() < EXACT
    done, edit = on_device.retouch(photo)
    most = np.iinfo(dtype).max
    assert np.abs(done.pixels - expected * most).max() <= 0.5 + EXACT * most + 0.01
    shut = on_device.gate(photo) == 0
    assert np.array_equal(done.pixels[shut], photo.pixels[shut])
    assert edit.mask_fraction == pytest.approx((gate > 0).mean(), abs=1e-4)
    assert edit.changed_fraction == (done.pixels != photo.pixels).any(-1).mean()


@PLENTY
@given(task=tasks())
def test_any_size_mask_and_strength_keeps_to_the_bars(both, task):
    net, on_device = both
    photo, strength, only, protect, _ = task
    factor = strength * (1 if only is None else only) * (1 if protect is None else 1 - protect)
    expected, gate = untiled(net, photo, factor)
    apart = np.abs(whole(on_device, photo, strength, only, protect) - expected)
    if on_device.precision == "float32":
        assert apart.max() <= EXACT
    assert apart.max() <= min(LARGEST, LARGEST_16_BIT) and psnr(apart) >= LEAST_PSNR
    done, _ = on_device.retouch(photo, strength, only, protect)
    shut = np.broadcast_to(gate * factor == 0, gate.shape)
    assert np.array_equal(done.pixels[shut], photo.pixels[shut])


def test_it_tells_what_the_cpus_way_tells(retoucher, on_device):
    photo = photo_of(1030, 1100, metadata=Metadata(orientation=6))
    expected, told = (each.worked(photo) for each in (retoucher, on_device))
    assert np.array_equal(expected.opened(), told.opened())
    for name in ("mask_fraction", "levels", "device", "precision"):
        assert getattr(told.edit, name) == getattr(expected.edit, name)
    for name in ("changed_fraction", "largest_layer", "damped_fraction"):
        assert getattr(told.edit, name) == pytest.approx(getattr(expected.edit, name), rel=1e-2)
    assert told.photo.metadata == photo.metadata


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_network_sees_the_photo_upright_on_the_device_too(retoucher, on_device, orientation):
    photo = photo_of(300, 420, np.uint16, metadata=Metadata(orientation=orientation))
    apart = np.abs(whole(on_device, photo) - whole(retoucher, photo))
    assert apart.max() < EXACT


@pytest.mark.parametrize("orientation", [1, 6])
def test_detail_finds_by_the_usual_thumbnail_on_the_device_too(checkpoint, orientation):
    photo = photo_of(1030, 1101, np.uint16, metadata=Metadata(orientation=orientation))
    expected = Retoucher(checkpoint, "cpu", detail=True)
    on_device = Retoucher(checkpoint, "cpu", detail=True)
    on_device._device_path = DevicePath(on_device._network, STRIPS)
    assert np.abs(on_device.gate(photo) - expected.gate(photo)).max() < EXACT
    assert np.abs(whole(on_device, photo) - whole(expected, photo)).max() < EXACT


def test_light_only_is_kept_on_the_device(tmp_path):
    net = untrained(replace(CONFIG, light_only=True))
    path = save(net, tmp_path / "light.safetensors")
    photo = photo_of(300, 420, np.uint16)
    apart = np.abs(whole(device_of(path), photo) - untiled(net, photo)[0])
    assert apart.max() < EXACT


def test_refining_modules_of_their_own_are_found_by_level(tmp_path):
    net = untrained(replace(CONFIG, refine_shared=False, levels=3))
    path = save(net, tmp_path / "own.safetensors")
    photo = photo_of(2100, 70, np.uint16)
    result = whole(device_of(path), photo)
    assert np.abs(result - untiled(net, photo)[0].clip(0, 1)).max() < EXACT


def test_fp16_is_nearer_than_the_bars_ask(small_steps):
    net, path = small_steps
    retoucher = device_of(path)
    retoucher._network.precision = "fp16"  # which the CPU refuses as too slow
    retoucher._device_path = DevicePath(retoucher._network, STRIPS)
    photo = photo_of(300, 420, np.uint16)
    apart = np.abs(whole(retoucher, photo) - untiled(net, photo)[0])
    assert 0 < apart.max() <= LARGEST_16_BIT / 4 and psnr(apart) > 90


def test_tiles_that_are_shut_are_not_computed(checkpoint, monkeypatch):
    retoucher = device_of(checkpoint, sizes=Sizes(strip=2**25, band=64 * 1100))
    steps = retoucher._device_path._steps
    monkeypatch.setattr(type(steps), "tile", (64, 128))
    seen = []
    refined = steps._refined

    def counted(level, base, coarse, layer, tile):
        seen.append((level, tile))
        return refined(level, base, coarse, layer, tile)

    monkeypatch.setattr(steps, "_refined", counted)
    monkeypatch.setattr(retoucher, "_gate", lambda photo, mask: Gate(
        forced_mask(mask.shape, 0.01), 16, photo.pixels.shape[:2]
    ))  # fmt: skip
    photo = photo_of(1100, 1100)
    done, edit = retoucher.retouch(photo)
    assert 0 < edit.mask_fraction < 0.03
    assert 0 < sum(level == 0 for level, _ in seen) <= 12 < 9 * 18
    assert 0 < sum(level == 1 for level, _ in seen) <= 9
    shut = ~retoucher.worked(photo).opened()
    assert np.array_equal(done.pixels[shut], photo.pixels[shut])
    assert edit.changed_fraction > 0


def test_strength_0_computes_no_tile_and_tells_the_mask(on_device, monkeypatch):
    monkeypatch.setattr(on_device._device_path._steps, "_refined", None)
    photo = photo_of(530, 607)
    done, edit = on_device.retouch(photo, strength=0.0)
    assert np.array_equal(done.pixels, photo.pixels)
    assert edit.mask_fraction == (on_device.gate(photo) > 0).mean() > 0
    assert (edit.changed_fraction, edit.largest_layer) == (0, 0)


def test_photos_in_another_colour_space_go_the_cpus_way(retoucher, on_device):
    photo = photo_of(300, 420, metadata=Metadata(icc=WIDE["adobe gamma v2"]))
    done, expected = on_device.retouch(photo)[0], retoucher.retouch(photo)[0]
    assert np.array_equal(done.pixels, expected.pixels)
    assert not DevicePath.takes(on_device._canvas(photo)[0])


def test_a_network_that_returns_no_numbers_is_an_error_of_the_photo(tmp_path):
    net = untrained()
    with torch.no_grad():
        net.refine(0).phi2.bias[0] = float("nan")
    broken = device_of(save(net, tmp_path / "broken.safetensors"))
    with pytest.raises(PhotoError, match="no numbers"):
        broken.retouch(photo_of(300, 420))
    with torch.no_grad():
        net.lrl.retouch_branch.painter.feature.weight[:] = float("inf")
    broken = device_of(save(net, tmp_path / "more.safetensors"))
    with pytest.raises(PhotoError, match="no numbers"):
        broken.gate(photo_of(300, 420))


def test_pixels_may_lie_in_memory_in_any_order_and_are_not_written_to(on_device):
    photo = photo_of(300, 200)
    turned = np.ascontiguousarray(photo.pixels[::-1].swapaxes(0, 1)).swapaxes(0, 1)[::-1]
    turned.setflags(write=False)
    done, _ = on_device.retouch(replace(photo, pixels=turned))
    assert np.array_equal(done.pixels, on_device.retouch(photo)[0].pixels)
    assert done.pixels.flags.writeable and np.array_equal(turned, photo.pixels)


@pytest.mark.parametrize("size", [(64, 96), (1, 200), (40, 3)])
def test_ghosts_are_found_as_on_the_cpu(size):
    rng = np.random.default_rng(4)
    image = photo_of(*size).pixels.astype(np.float32) / 255
    middle = size[1] // 2
    image[:, middle:] = 0.3 * image[:, middle:] + 0.7  # an outline
    image[: size[0] // 3, middle:] = 1  # blank white
    edit = rng.normal(0, 0.05, (*size, 1))
    edit[:, middle + 2 :] = 0  # spilt by so much
    retouched = (image + edit).astype(np.float32)
    layer = np.ones((*size, 3), np.float32)
    expected = damp_ghosts(image, retouched, layer)
    damp = ghosts(torch.from_numpy(image), torch.from_numpy(retouched)).numpy()
    assert np.abs((1 - damp) - expected.layer[..., 0]).max() < 1e-4
    assert size[0] == 1 or expected.share > 0


@pytest.mark.parametrize("size", [(17, 5), (32, 48), (5, 33)])
def test_rows_go_up_padded_as_the_canvas_pads(size):
    photo = photo_of(*size, np.uint16)
    canvas = Canvas(photo.pixels, None, 16)
    height, width = canvas.size
    expected = canvas._integers(Tile(0, height, 0, width))
    for rows in (Rows(0, height), Rows(2, 9), Rows(height - 3, height)):
        into = np.zeros((rows.many, width, 3), np.int16)
        fill_padded(photo.pixels, rows, canvas.size, into)
        assert np.array_equal(into.view(np.uint16), expected[rows.first : rows.last])


def test_tiles_and_shares_are_those_of_the_gate():
    rng = np.random.default_rng(1)
    grid = (rng.random((9, 12)) * (rng.random((9, 12)) > 0.9)).astype(np.float32)
    gate = Gate(grid, 16, (139, 187))
    assert open_share(gate) == gate.opened().mean()
    for margin, tile in [(0, (32, 48)), (1, (64, 20))]:
        found = open_tiles(grid > 0, 16, Rows(10, 139), 187, tile, margin).tolist()
        expected = [
            [top, left]
            for top in range(10, 139, tile[0])
            for left in range(0, 187, tile[1])
            if touches(
                grid > 0, 16,
                Tile(top, min(top + tile[0], 139), left, min(left + tile[1], 187)), margin,
            )
        ]  # fmt: skip
        assert found == expected and len(found) > 0


# What only CUDA has.

CUDA = pytest.mark.gpu


@pytest.fixture
def needs_cuda():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@CUDA
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
@pytest.mark.parametrize("size", [(530, 607), (2100, 2063), (17, 2100)])
def test_cuda_keeps_to_the_bars(needs_cuda, small_steps, size, precision, dtype):
    net, path = small_steps
    photo = photo_of(*size, dtype)
    expected, _ = untiled(net, photo)
    for sizes in (Sizes(), Sizes(strip=1_000_000, band=200_000)):
        on_cuda = device_of(path, "cuda", precision, sizes)
        for _ in range(3):  # recorded, then replayed
            apart = np.abs(whole(on_cuda, photo) - expected.clip(0, 1))
            assert apart.max() <= min(LARGEST, LARGEST_16_BIT) and psnr(apart) >= LEAST_PSNR
            done, edit = on_cuda.retouch(photo)
            shut = on_cuda.gate(photo) == 0
            assert np.array_equal(done.pixels[shut], photo.pixels[shut])
            assert (edit.device, edit.precision) == ("cuda:0", precision)


@CUDA
def test_cuda_keeps_a_photos_shapes_and_masks_apart(needs_cuda, small_steps):
    net, path = small_steps
    on_cuda = device_of(path, "cuda", "fp16", Sizes())
    rng = np.random.default_rng(0)
    for size in [(530, 607), (700, 900), (530, 607), (64, 64), (1030, 1100), (530, 607)]:
        photo = photo_of(*size, np.uint16)
        only, protect = rng.random((2, *size), dtype=np.float32)
        expected, _ = untiled(net, photo, 0.8 * only * (1 - protect))
        apart = np.abs(whole(on_cuda, photo, 0.8, only, protect) - expected)
        assert apart.max() <= LARGEST_16_BIT


@CUDA
def test_cuda_takes_less_than_a_gibibyte_for_16_megapixels(needs_cuda, small_steps):
    on_cuda = device_of(small_steps[1], "cuda", "fp16", Sizes())
    photo = photo_of(4096, 4096)
    on_cuda.retouch(photo)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    on_cuda.retouch(photo)
    assert torch.cuda.max_memory_allocated() <= 2**30


@CUDA
def test_cuda_counts_copies_and_its_own_stages(needs_cuda, small_steps):
    from abpn_cli.engine.clock import Clock, running

    on_cuda = device_of(small_steps[1], "cuda", "fp16", Sizes())
    clock = Clock()
    with running(clock):
        on_cuda.retouch(photo_of(1030, 1100))
    assert set(clock.seconds) == {"thumbnail", "lrl", "refine", "blend", "transfers"}
    assert all(seconds > 0 for seconds in clock.seconds.values())
