"""LPTN and ASAP-Net on photos: tiles equal the untiled network, and what is barred stays."""

from __future__ import annotations

from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import torch
from networks import photo_of
from profiles import WIDE

from abpn_cli import weights
from abpn_cli.engine.colour import colour_space
from abpn_cli.engine.pyramid import pad
from abpn_cli.engine.tasks import Means, make_engine
from abpn_cli.errors import PhotoError, UsageError, WeightsError
from abpn_cli.nets.asapnet import (
    AsapNet,
    AsapNetConfig,
    layers_of,
    perceptron,
    position_code,
)
from abpn_cli.nets.lptn import Lptn, LptnConfig
from abpn_cli.photo import Metadata, Photo, turn_back, turn_upright

ASAP = AsapNetConfig(reduction=16, width=6, most=12, depth=1, pixel_width=8)
CONFIGS = {
    "lptn": LptnConfig(),
    "lptn-paper": LptnConfig("paper", 4),
    "lptn-one-band": LptnConfig(bands=1),
    "asapnet": ASAP,
    "asapnet-residual": replace(ASAP, residual=True),
    "asapnet-blended": replace(ASAP, blend_cells=True),
}
PLAIN = ["lptn", "lptn-paper", "asapnet", "asapnet-residual"]
SIZES = [(304, 552), (531, 270), (17, 40)]
SIZED = [*((name, size) for name in PLAIN for size in SIZES), ("lptn-one-band", (40, 300))]
TOLERANCE = 2e-5
AMPLIFIED = 2e-4  # ASAP-Net's instance norms, untaught, enlarge what is rounded before them


def make_net(config):
    torch.manual_seed(4)
    net = (Lptn if isinstance(config, LptnConfig) else AsapNet)(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() == 4:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return net


def save(net, path):
    name = "lptn" if isinstance(net, Lptn) else "asapnet"
    weights.save(path, net, weights.Header(name, asdict(net.config), "test"))
    return path


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """Networks that never learnt, each with its engine."""
    folder = tmp_path_factory.mktemp("rivals")
    made = {}
    for name, config in CONFIGS.items():
        net = make_net(config)
        path = save(net, folder / f"{name}.safetensors")
        made[name] = net, make_engine({"": path}, Means("cpu", "auto"))
    return made


@torch.inference_mode()
def untiled(net, photo):
    """The network on the whole upright photo at once, in the photo's own values, turned back."""
    space, _ = colour_space(photo.metadata.icc)
    pixels = np.ascontiguousarray(turn_upright(photo.pixels, photo.metadata.orientation))
    height, width = pixels.shape[:2]
    seen = space.to_network(pixels)
    whole = seen
    if isinstance(net, Lptn):
        multiple = 2**net.config.bands
        whole = pad(seen, (-(-height // multiple) * multiple, -(-width // multiple) * multiple))
    tensor = torch.from_numpy(np.ascontiguousarray(whole)).permute(2, 0, 1)[None]
    painted = net.repainted(tensor)[0].permute(1, 2, 0).numpy()[:height, :width]
    return turn_back(space.land(pixels, seen, painted), photo.metadata.orientation)


def near(net):
    return TOLERANCE if isinstance(net, Lptn) else AMPLIFIED


@pytest.mark.parametrize(("name", "size"), SIZED)
def test_tiles_equal_the_untiled_network(engines, name, size):
    net, engine = engines[name]
    photo = photo_of(*size, np.uint16)
    done, edit = engine.retouch(photo)
    wanted = untiled(net, photo)
    assert np.abs(done.pixels / 65535 - wanted).max() < near(net)
    assert edit.mask_fraction == 1
    assert edit.changed_fraction == (done.pixels != photo.pixels).any(2).mean() > 0.5


@pytest.mark.parametrize("name", ["lptn", "asapnet"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_photo_on_its_side_is_seen_upright(engines, name, orientation):
    net, engine = engines[name]
    metadata = Metadata(orientation=orientation, icc=WIDE["adobe gamma v2"])
    photo = photo_of(75, 110, np.uint16, metadata=metadata)
    done, _ = engine.retouch(photo)
    assert done.metadata == metadata
    assert np.abs(done.pixels / 65535 - untiled(net, photo)).max() < 4 * near(net)


@pytest.mark.parametrize("name", ["lptn", "lptn-paper", "asapnet", "asapnet-blended"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_barred_comes_back_to_the_bit(engines, name, dtype):
    _, engine = engines[name]
    alpha = np.full((90, 330), 7, dtype)
    photo = photo_of(90, 330, dtype, alpha=alpha, metadata=Metadata(orientation=6))
    only, protect = np.zeros((2, 90, 330), np.float32)
    only[20:80, 30:300] = 1
    protect[40:60, 200:250] = 1
    protect[60:70, 200:250] = 0.5
    worked = engine.worked(photo, 1.0, only, protect)
    barred = (only == 0) | (protect == 1)
    before, after = photo.pixels, worked.photo.pixels
    assert np.array_equal(after[barred], before[barred])
    assert (after[~barred] != before[~barred]).any(1).mean() > 0.5
    assert np.array_equal(worked.opened(), ~barred)
    assert worked.edit.mask_fraction == (~barred).mean()
    assert np.array_equal(worked.photo.alpha, alpha) and worked.photo.metadata == photo.metadata


@pytest.mark.parametrize("name", ["lptn", "asapnet-blended"])
def test_strength_scales_the_edit_and_none_is_none(engines, name):
    _, engine = engines[name]
    photo = photo_of(96, 128, np.uint16)
    none, edit = engine.retouch(photo, 0.0)
    assert np.array_equal(none.pixels, photo.pixels) and edit.changed_fraction == 0
    half, full = (engine.retouch(photo, s)[0].pixels.astype(int) for s in (0.5, 1.0))
    inner = (full > 0) & (full < 65535)  # where nothing was clamped
    middle = (photo.pixels + full) / 2
    assert np.abs(half - middle)[inner].max() <= 1.5


def test_such_a_network_has_no_mask(engines):
    for net, engine in engines.values():
        photo = photo_of(64, 80)
        assert np.array_equal(engine.gate(photo), np.ones((64, 80)))
        assert engine.precision == "float32" and engine.weight_bytes == sum(
            p.numel() * 4 for p in net.parameters()
        )


@pytest.mark.parametrize(("height", "width"), [(300, 420), (70, 50), (1100, 90)])
@torch.inference_mode()
def test_blended_cells_are_the_mean_of_the_four_nearest(engines, height, width):
    net, engine = engines["asapnet-blended"]
    photo = photo_of(height, width, np.uint16)
    side = net.side_for(height)
    seen = torch.from_numpy(photo.pixels / np.float32(65535))
    rows, columns = 16 * side, -(-width // side) * side
    padded = torch.from_numpy(np.ascontiguousarray(pad(seen.numpy(), (rows, columns))))
    image = 2 * padded.permute(2, 0, 1)[None] - 1
    cells = net.cells(image, side=side)[0]
    code = position_code(side, net.config.reduction)
    rng = np.random.default_rng(0)
    done = engine.retouch(photo)[0].pixels / 65535
    for y, x in zip(rng.integers(0, height, 40), rng.integers(0, width, 40), strict=True):
        features = torch.cat([image[0, :, y, x], code[:, y % side, x % side]])[None, None]
        wanted = torch.zeros(3)
        for r, down in _near(y, side, cells.shape[1]):
            for c, right in _near(x, side, cells.shape[2]):
                layers = layers_of(cells[:, r, c][None], net.config.pixel_widths)
                wanted += down * right * perceptron(layers, features)[0, 0]
        assert np.abs(done[y, x] - ((wanted + 1) / 2).numpy()).max() < AMPLIFIED


def _near(place, side, count):
    """The two cells whose centres a pixel lies between, with their shares."""
    at = (place + 0.5) / side - 0.5
    first = int(np.floor(at))
    share = at - first
    return [(min(max(first + i, 0), count - 1), share if i else 1 - share) for i in (0, 1)]


def test_blending_takes_the_seams_away(engines):
    soft = cv2.GaussianBlur(photo_of(512, 512, np.uint16).pixels, (0, 0), 8)
    photo = Photo(soft)
    steps = {}
    for name in ("asapnet", "asapnet-blended"):
        done = engines[name][1].retouch(photo)[0].pixels.astype(int)
        across = np.abs(np.diff(done, axis=0)).mean((1, 2))
        steps[name] = across[31::32].mean() / np.median(across)
    assert steps["asapnet"] > 2 > 1.5 > steps["asapnet-blended"]


def test_a_photo_larger_than_memory_allows_is_refused(engines, tmp_path):
    for name in ("lptn", "asapnet"):
        path = save(engines[name][0], tmp_path / f"{name}.safetensors")
        engine = make_engine({"": path}, Means("cpu", max_bytes=500 * 2**20))
        with pytest.raises(PhotoError, match="--max-memory"):
            engine.retouch(Photo(np.zeros((8000, 9000, 3), np.uint8)))
        with pytest.raises(PhotoError, match="too few"):
            engine.retouch(photo_of(8, 90))


def test_what_makes_no_sense_is_refused(engines, tmp_path):
    path = save(engines["lptn"][0], tmp_path / "look.safetensors")
    with pytest.raises(UsageError, match="--detail"):
        make_engine({"": path}, Means("cpu", detail=True))
    labels = AsapNet(AsapNetConfig(5, True, reduction=16, width=4, most=4, depth=0, pixel_width=4))
    with pytest.raises(WeightsError, match="RGB"):
        make_engine({"": save(labels, tmp_path / "labels.safetensors")}, Means("cpu"))
    header = weights.Header("unheard", {}, "test")
    weights.save(tmp_path / "new.safetensors", engines["lptn"][0], header)
    with pytest.raises(WeightsError, match="'unheard'.*abpn, asapnet, lptn"):
        make_engine({"": tmp_path / "new.safetensors"}, Means("cpu"))


def test_weights_that_return_no_numbers_fail_the_photo(engines, tmp_path):
    net = make_net(CONFIGS["lptn"])
    with torch.no_grad():
        net.trans_low.model[12].bias.fill_(float("nan"))
    engine = make_engine({"": save(net, tmp_path / "nan.safetensors")}, Means("cpu"))
    with pytest.raises(PhotoError, match="no numbers"):
        engine.retouch(photo_of(40, 40))


def test_two_tasks_may_be_of_different_networks(engines, checkpoint, tmp_path):
    look = save(engines["asapnet-residual"][0], tmp_path / "look.safetensors")
    engine = make_engine({"cloth": checkpoint, "look": look}, Means("cpu"))
    done, edit = engine.retouch(photo_of(64, 96))
    assert edit.mask_fraction == 1 and done.pixels.shape == (64, 96, 3)
