"""Things taken out of photos by either method: what changes, what must not, what is refused."""

from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import torch
from networks import photo_of

from abpn_cli import weights
from abpn_cli.engine import filling
from abpn_cli.engine.removing import NOTHING_MARKED, Remover, Spot, Wish
from abpn_cli.errors import PhotoError, UsageError, WeightsError
from abpn_cli.nets.hifill import Hifill, HifillConfig
from abpn_cli.photo import Metadata, Photo, turn_back, turn_upright

TINY = HifillConfig(width=1 / 16, side=128)


def weave(height, width, dtype=np.uint8):
    """A woven cloth: a pattern that repeats, shaded softly, with grain of every digit."""
    y, x = np.mgrid[0:height, 0:width]
    threads = 0.08 * np.sin(x * np.pi / 4) * np.sin(y * np.pi / 4)
    shade = 0.45 + 0.1 * np.sin(x / 190) + 0.1 * y / height
    grain = 0.004 * np.random.default_rng(5).standard_normal((height, width))
    grey = (threads + shade + grain)[..., None] * np.array([1.0, 0.8, 0.6])
    return np.rint(grey.clip(0, 1) * np.iinfo(dtype).max).astype(dtype)


def with_sticker(pixels, top=90, left=110, side=20):
    """The same with a bright square on it; and the mask that marks it."""
    spoilt, mask = pixels.copy(), np.zeros(pixels.shape[:2], np.float32)
    spoilt[top : top + side, left : left + side] = np.iinfo(pixels.dtype).max
    mask[top : top + side, left : left + side] = 1
    return spoilt, mask


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """The weights of a small HiFill that never learnt."""
    torch.manual_seed(4)
    path = tmp_path_factory.mktemp("weights") / "fill.safetensors"
    weights.save(path, Hifill(TINY), weights.Header("hifill", asdict(TINY), "remove"))
    return path


@pytest.fixture(params=["patchmatch", "hifill"])
def weights_file(request, network):
    return network if request.param == "hifill" else None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_outside_the_feathered_hole_every_integer_stays(weights_file, dtype):
    spoilt, mask = with_sticker(weave(200, 240, dtype))
    photo = Photo(spoilt, alpha=spoilt[..., 0].copy())
    worked = Remover(Wish(), weights_file).worked(photo, only=mask)
    opened, done = worked.opened(), worked.photo
    changed = (done.pixels != spoilt).any(2)
    assert not (changed & ~opened).any()
    near = cv2.dilate(mask, np.ones((17, 17))) > 0  # grown by 2, feathered by 4
    assert not (opened & ~near).any() and opened[mask > 0].all()
    assert done.pixels.dtype == dtype and done.alpha is photo.alpha
    assert np.array_equal(spoilt, with_sticker(weave(200, 240, dtype))[0]), "the source is kept"
    assert worked.edit.method == ("patchmatch" if weights_file is None else "hifill")
    assert worked.edit.mask_fraction == opened.mean() and worked.edit.windows == 1


def test_the_sticker_is_gone_and_the_weave_goes_on():
    cloth = weave(200, 240)
    spoilt, mask = with_sticker(cloth)
    done, _ = Remover(Wish()).retouch(Photo(spoilt), only=mask)
    error = np.abs(done.pixels.astype(int) - cloth)[mask > 0]
    smooth = cv2.inpaint(spoilt, (mask > 0).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    blurred = np.abs(smooth.astype(int) - cloth)[mask > 0]
    assert error.mean() < 6 and error.mean() < 0.6 * blurred.mean()


def test_sixteen_bits_are_filled_with_sixteen():
    spoilt, mask = with_sticker(weave(200, 240, np.uint16))
    done, _ = Remover(Wish()).retouch(Photo(spoilt), only=mask)
    filled = done.pixels[mask > 0]
    assert len(np.unique(filled % 257)) > 100, "digits below the eighth are used"


def test_a_large_hole_is_filled_small_with_detail_from_around_it(monkeypatch):
    monkeypatch.setattr(filling, "WORK_AREA", 120**2)
    cloth = weave(300, 301)
    spoilt, mask = with_sticker(cloth, 100, 100, 90)
    done, edit = Remover(Wish()).retouch(Photo(spoilt), only=mask)
    inner = (slice(110, 180), slice(110, 180))
    fine = [p[inner].astype(float) - cv2.GaussianBlur(p[inner].astype(float), (0, 0), 2)
            for p in (cloth, done.pixels)]  # fmt: skip
    assert 0.6 < fine[1].std() / fine[0].std() < 1.3, "as much of the weave as elsewhere"
    assert np.abs(done.pixels[inner].mean((0, 1)) - cloth[inner].mean((0, 1))).max() < 8


def test_the_same_photo_comes_out_the_same(weights_file):
    spoilt, mask = with_sticker(weave(180, 190))
    one, other = (
        Remover(Wish(), weights_file).retouch(Photo(spoilt), only=mask)[0] for _ in range(2)
    )
    assert np.array_equal(one.pixels, other.pixels)


def test_an_empty_mask_lets_the_photo_pass():
    photo = photo_of(90, 120)
    done, edit = Remover(Wish()).retouch(photo, only=np.zeros((90, 120), np.float32))
    assert done.pixels is photo.pixels and done.warnings == (NOTHING_MARKED,)
    assert edit.mask_fraction == 0 and edit.method == "" and edit.windows is None


def test_faint_grey_is_no_mask():
    photo = photo_of(90, 120)
    done, edit = Remover(Wish()).retouch(photo, only=np.full((90, 120), 0.49, np.float32))
    assert done.pixels is photo.pixels


def test_a_hole_too_large_is_refused_with_advice_unless_forced(weights_file):
    photo = photo_of(128, 128)
    mask = np.zeros((128, 128), np.float32)
    mask[25:105, 22:107] = 1
    with pytest.raises(PhotoError, match=r"5[24]% of what is around it.*--force"):
        Remover(Wish(), weights_file).retouch(photo, only=mask)
    done, _ = Remover(Wish(force=True), weights_file).retouch(photo, only=mask)
    assert (done.pixels != photo.pixels).any()


def test_a_mask_of_everything_is_refused_even_if_forced(weights_file):
    photo = photo_of(300, 300)
    with pytest.raises(PhotoError, match="nothing to fill it from"):
        Remover(Wish(force=True), weights_file).retouch(photo, only=np.ones((300, 300), np.float32))


@pytest.mark.parametrize("force", [False, True])
def test_specks_that_leave_no_patch_to_copy_are_refused(force):
    photo, specks = Photo(weave(160, 160)), np.zeros((160, 160), np.float32)
    specks[4::8, 4::8] = 1  # 1.6 % of it, and all of it once their outlines have grown
    with pytest.raises(PhotoError, match="nothing to fill it from"):
        Remover(Wish(force=force)).retouch(photo, only=specks)


def test_a_feather_that_leaves_no_patch_to_copy_is_refused():
    with pytest.raises(PhotoError, match="smaller --feather"):
        Remover(Wish((Spot(80, 60, 36),), feather=64)).retouch(Photo(weave(120, 160)))


def test_the_outline_of_a_thin_line_grows_by_a_few_pixels_in_a_large_window():
    wire = np.zeros((600, 4000), np.float32)
    wire[300:303, 100:3900] = 1
    gate = Remover(Wish(feather=0)).gate(Photo(weave(600, 4000)), wire)
    assert np.flatnonzero(gate.any(1)).size <= 3 + 2 * 8


@pytest.mark.parametrize("radius", [1e9, 1e300])
def test_a_disc_of_any_radius_is_refused_in_words(radius):
    with pytest.raises(PhotoError, match="nothing to fill it from"):
        Remover(Wish((Spot(80, 60, radius),), force=True)).retouch(Photo(weave(120, 160)))


def test_a_mask_of_another_size_is_resized_with_a_warning_and_of_another_shape_refused():
    spoilt, mask = with_sticker(weave(200, 240))
    small = cv2.resize(mask, (120, 100), interpolation=cv2.INTER_AREA)
    done, _ = Remover(Wish()).retouch(Photo(spoilt), only=small)
    assert len(done.warnings) == 1 and "120 x 100" in done.warnings[0]
    assert (done.pixels[mask > 0] != spoilt[mask > 0]).any(1).mean() > 0.95
    with pytest.raises(PhotoError, match="not the shape of the photo"):
        Remover(Wish()).retouch(Photo(spoilt), only=mask[:, :200])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_spots_and_masks_are_those_of_the_upright_photo(orientation):
    upright = weave(140, 170)
    mask = np.zeros((140, 170), np.float32)
    cv2.circle(mask, (60, 100), 9, 1, -1)
    stored = np.ascontiguousarray(turn_back(upright, orientation))
    photo = Photo(stored, Metadata(orientation=orientation))
    by_mask = Remover(Wish()).worked(photo, only=np.ascontiguousarray(mask)).opened()
    by_spot = Remover(Wish(spots=(Spot(60, 100, 9),))).worked(photo).opened()
    for opened in (by_mask, by_spot):
        seen = turn_upright(opened, orientation)
        rows, columns = np.nonzero(seen)
        assert abs(rows.mean() - 100) < 1 and abs(columns.mean() - 60) < 1


def test_a_spot_outside_the_photo_is_told():
    with pytest.raises(PhotoError, match="120,5,3 lies outside the photo, 120 x 90"):
        Remover(Wish(spots=(Spot(120, 5, 3),))).retouch(photo_of(90, 120))


def test_the_whole_photo_may_be_looked_at():
    pixels = weave(240, 700)
    spots = (Spot(40, 50, 6), Spot(660, 200, 6))
    worked = Remover(Wish(spots=spots, full=True)).worked(Photo(pixels))
    assert worked.edit.windows == 1
    changed = (worked.photo.pixels != pixels).any(2)
    assert changed[50, 40] and changed[200, 660] and not changed[:, 100:600].any()


def test_what_is_protected_stays():
    spoilt, mask = with_sticker(weave(200, 240))
    protect = np.zeros_like(mask)
    protect[:, :120] = 1  # half of the sticker
    done, _ = Remover(Wish()).retouch(Photo(spoilt), only=mask, protect=protect)
    assert np.array_equal(done.pixels[:, :110], spoilt[:, :110])
    assert (done.pixels[95:105, 126:129] != spoilt[95:105, 126:129]).any(2).all()


def test_the_gate_is_open_where_the_photo_may_change(weights_file):
    spoilt, mask = with_sticker(weave(200, 240))
    remover = Remover(Wish(spots=(Spot(50, 160, 8),)), weights_file)
    gate = remover.gate(Photo(spoilt), mask)
    assert np.array_equal(gate > 0, remover.worked(Photo(spoilt), only=mask).opened())


def test_a_photo_smaller_than_a_window_is_filled(weights_file):
    photo = photo_of(60, 80)
    done, edit = Remover(Wish(spots=(Spot(30, 20, 5),)), weights_file).retouch(photo)
    assert edit.windows == 1 and (done.pixels[18:23, 28:33] != photo.pixels[18:23, 28:33]).any()


def test_many_spots_are_filled_apart():
    pixels = weave(300, 1100)
    spots = (Spot(60, 70, 6), Spot(1040, 250, 6))
    worked = Remover(Wish(spots=spots)).worked(Photo(pixels))
    assert worked.edit.windows == 2
    for x, y, _ in spots:
        assert worked.opened()[int(y), int(x)]


def test_memory_that_is_not_allowed_is_not_taken():
    with pytest.raises(PhotoError, match="GiB are allowed"):
        Remover(Wish(spots=(Spot(9, 9, 3),)), max_bytes=2**20).retouch(photo_of(90, 120))


def test_weights_of_another_network_are_refused(checkpoint):
    with pytest.raises(WeightsError, match="Choose weights of a HiFill"):
        Remover(Wish(), checkpoint)


def test_an_unknown_device_is_refused():
    with pytest.raises(UsageError, match="unknown device"):
        Remover(Wish(), device="abacus")


def test_channels_reach_the_network_in_the_order_it_was_trained_with(network, tmp_path):
    loaded = weights.load(network, torch.device("cpu"))
    config = replace(TINY, order="bgr")
    path = tmp_path / "bgr.safetensors"
    weights.save(path, loaded.net, weights.Header("hifill", asdict(config), "remove"))
    spoilt, mask = with_sticker(weave(180, 190))
    one, _ = Remover(Wish(), network).retouch(Photo(spoilt), only=mask)
    turned = np.ascontiguousarray(spoilt[..., ::-1])
    other, _ = Remover(Wish(), path).retouch(Photo(turned), only=mask)
    assert np.array_equal(one.pixels, other.pixels[..., ::-1])
