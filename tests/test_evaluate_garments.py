"""Garments judged on wrinkles of their own: a filter that takes a known share is told as that."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest
from networks import photo_of
from typer.testing import CliRunner

from abpn_cli.cli import app
from abpn_cli.errors import NoPhotoError
from abpn_cli.evaluation import wrinkles
from abpn_cli.evaluation.baselines import bilateral
from abpn_cli.evaluation.garments import (
    LEAST_KEPT,
    LEAST_REMOVED,
    garment_of,
    judge_garments,
    look_away,
    means_of_sets,
    passed,
    sixteen_bits,
)
from abpn_cli.evaluation.methods import by_weights
from abpn_cli.evaluation.wrinkles import DARK, Kept, kept, places_in
from abpn_cli.photo import Edit, Photo
from abpn_cli.training.made_pairs import Labels

SIZE = (512, 512)
ROWS, COLUMNS = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
TONE = np.array([0.55, 0.30, 0.28])
EVERYWHERE = np.ones(SIZE, np.float32)
NAN = float("nan")


def soft(mask):
    """A shape as a lens shows it."""
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.6)


FOLDS = 0.06 * np.sin(2 * np.pi * (0.9 * COLUMNS + 0.45 * ROWS) / 24)  # 48 px at 1024 px
SEAM = -0.35 * soft(np.abs(COLUMNS - 330) < 1.5)
PRINT = -0.5 * soft(np.hypot(ROWS - 120, COLUMNS - 140) < 40)
GRAIN = 0.015 * np.random.default_rng(5).standard_normal(SIZE)


def garment(folds=1.0, seam=1.0, print_=1.0, grain=1.0):
    """A garment of which so much of each is there; light is the exponential of their sum."""
    light = folds * FOLDS + seam * SEAM + print_ * PRINT + grain * GRAIN
    luma = float(TONE @ [0.2126, 0.7152, 0.0722])
    ratio = ((luma + DARK) * np.exp(light) - DARK) / luma  # exact in the logarithm of luma + DARK
    return (ratio[..., None] * TONE).astype(np.float32).clip(0, 1)


BEFORE = garment()
PLACES = places_in(BEFORE, EVERYWHERE)


def test_an_untouched_garment_loses_nothing():
    figures = kept(BEFORE, BEFORE, PLACES)
    assert figures.removed == figures.removed_all == 0
    assert figures.edges == figures.texture == 1
    assert figures.wrinkled > 0.5
    # what the band passes of a sine of 48 px, grain beside
    passes = np.exp(-2 * (np.pi * 2 / 48) ** 2) - np.exp(-2 * (np.pi * 12 / 48) ** 2)
    assert figures.depth == pytest.approx(passes * 0.06 / 2**0.5, rel=0.1)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_filter_that_takes_a_share_of_the_folds_is_told_as_that(share):
    plain, less = (garment(folds, seam=0, print_=0, grain=0) for folds in (1, 1 - share))
    figures = kept(plain, less, places_in(plain, EVERYWHERE))
    assert figures.removed == pytest.approx(1 - (1 - share) ** 2, abs=1e-3)
    assert figures.removed_all == pytest.approx(figures.removed, abs=1e-3)
    assert np.isnan(figures.edges)  # there are none


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_folds_that_go_take_nothing_from_edges_and_texture(share):
    figures = kept(BEFORE, garment(folds=1 - share), PLACES)
    # grain and the print have a part in the band, which stays
    assert 0.94 < figures.removed / (1 - (1 - share) ** 2) < 1
    assert figures.edges == pytest.approx(1, abs=0.015)
    assert figures.texture == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize("left", [0.98, 0.9, 0.5])
def test_edges_that_pale_lose_the_square_of_it(left):
    image = garment(folds=0, grain=0)
    paler = (TONE + left * (image - TONE)).astype(np.float32)
    figures = kept(image, paler, places_in(image, EVERYWHERE))
    assert figures.edges == pytest.approx(left**2, abs=1e-4)


def test_a_print_that_pales_fails_by_the_edges_alone():
    figures = kept(BEFORE, garment(folds=0.5, print_=0.9, seam=0.9), PLACES)
    assert figures.edges < LEAST_KEPT < figures.texture and figures.removed > LEAST_REMOVED
    assert not garment_of(figures).passes


@pytest.mark.parametrize("left", [0.9, 0.5])
def test_texture_that_is_smoothed_loses_the_square_of_it(left):
    figures = kept(BEFORE, garment(grain=left), PLACES)
    assert figures.texture == pytest.approx(left**2, abs=0.01)
    assert abs(figures.removed) < 0.03


def test_a_blur_that_leaves_the_folds_fails_by_edges_and_texture():
    figures = kept(BEFORE, cv2.GaussianBlur(BEFORE, (0, 0), 1.5), PLACES)
    assert figures.edges < 0.5 and figures.texture < 0.2
    assert figures.removed < LEAST_REMOVED


def test_a_bilateral_filter_keeps_the_edges_better_than_a_blur_and_takes_the_texture():
    figures = kept(BEFORE, bilateral(BEFORE), PLACES)
    assert figures.edges > 0.7 and figures.texture < 0.5


def test_edges_are_found_on_the_print_and_the_seam_and_not_on_folds():
    found = PLACES.edges
    assert found[200:480, 327:334].any(axis=1).mean() > 0.9  # all along the seam
    ring = np.abs(np.hypot(ROWS - 120, COLUMNS - 140) - 40) < 2
    assert found[ring].mean() > 0.5
    elsewhere = (np.abs(COLUMNS - 330) > 8) & (np.hypot(ROWS - 120, COLUMNS - 140) > 50)
    assert not found[elsewhere].any()
    assert not PLACES.wrinkles[found].any()


def test_a_print_that_differs_in_colour_alone_is_an_edge():
    inside = soft(np.hypot(ROWS - 250, COLUMNS - 250) < 90)[..., None]
    luma = np.array([0.2126, 0.7152, 0.0722])
    other = np.array([0.30, 0.36, 0.40])
    other *= (TONE @ luma) / (other @ luma)  # as light as the cloth
    image = (TONE * (1 - inside) + other * inside).astype(np.float32)
    edges = places_in(image, EVERYWHERE).edges
    ring = np.abs(np.hypot(ROWS - 250, COLUMNS - 250) - 90) < 1
    assert edges[ring].mean() > 0.9


def test_knit_and_melange_are_no_wrinkles():
    knit = 0.08 * np.sin(2 * np.pi * COLUMNS / 3) * np.sin(2 * np.pi * ROWS / 3)
    rng = np.random.default_rng(8)
    clouds = cv2.GaussianBlur(rng.standard_normal(SIZE).astype(np.float32), (0, 0), 1.8)
    for light in (knit, 0.03 * clouds / clouds.std()):
        image = (TONE * np.exp(light)[..., None]).astype(np.float32)
        places = places_in(image, EVERYWHERE)
        figures = kept(image, image, places)
        assert places.wrinkles.mean() < 0.05 and np.isnan(figures.removed)
        assert not places.edges.any() and np.isnan(figures.edges)
        assert figures.texture == 1


def test_a_photo_twice_the_size_is_judged_alike():
    large, small = (
        [cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) for image in
         (garment(grain=0), garment(0.6, 0.9, 0.9, 0))]
        for side in (1024, 512)
    )  # fmt: skip
    cloths = [np.ones(pair[0].shape[:2], np.float32) for pair in (large, small)]
    a, b = (
        kept(*pair, places_in(pair[0], cloth))
        for pair, cloth in zip((large, small), cloths, strict=True)
    )
    assert a.removed == pytest.approx(b.removed, abs=0.02)
    assert a.edges == pytest.approx(b.edges, abs=0.03)
    assert a.wrinkled == pytest.approx(b.wrinkled, abs=0.05)


def test_only_cloth_away_from_its_rim_is_judged():
    half = np.zeros(SIZE, np.float32)
    half[:, :250] = 1
    places = places_in(BEFORE, half)
    reach = round(wrinkles.RIM / 2)  # half the size at which lengths are stated
    for place in places:
        assert not place[:, 250 - reach :].any()
    assert places.cloth[reach:-reach, reach : 250 - reach - 1].all()
    after = BEFORE.copy()
    after[:, 300:] = 0.5
    assert kept(BEFORE, after, places).removed == pytest.approx(0, abs=1e-4)


def test_black_cloth_and_no_cloth_tell_nothing_and_never_fail():
    for image, cloth in ((BEFORE * 0.05, EVERYWHERE), (BEFORE, 0 * EVERYWHERE)):
        figures = kept(image, image, places_in(image, cloth))
        assert np.isnan(figures.removed) and np.isnan(figures.texture)
        assert garment_of(figures).passes


@pytest.mark.parametrize(
    ("removed", "edges", "texture", "passes"),
    [
        (0.35, 0.95, 0.95, True),
        (0.349, 1, 1, False),
        (0.9, 0.949, 1, False),
        (0.9, 1, 0.949, False),
        (NAN, 1, 1, True),
        (NAN, 0.9, NAN, False),
    ],
)
def test_the_limits_of_a_garment(removed, edges, texture, passes):
    assert garment_of(Kept(0.5, 0.05, removed, 0.1, edges, texture)).passes == passes


def test_sets_pass_by_their_means_over_what_can_be_told():
    rows = [
        garment_of(Kept(0.5, 0.05, removed, 0.1, edges, 1))._replace(set=name, method="net")
        for name, removed, edges in (("a", 0.2, 1), ("a", 0.6, NAN), ("b", 0.9, 0.9))
    ]
    one, two = means_of_sets(rows)
    assert (one.set, one.removed, one.edges, one.passes) == ("a", 0.4, 1, True)
    assert (two.set, two.passes) == ("b", False)
    assert passed(rows, "net") == (1, 3)


class Halver:
    """An engine that halves the folds of `garment`."""

    def retouch(self, photo):
        top = np.iinfo(photo.pixels.dtype).max
        pixels = photo.pixels * (garment(folds=0.5) / BEFORE)
        pixels = np.rint(pixels.clip(0, top)).astype(photo.pixels.dtype)
        return Photo(pixels, photo.metadata), Edit(1, 1, 1, "cpu")

    def gate(self, photo):
        return np.ones(photo.pixels.shape[:2], np.float32)


def test_photos_are_judged_in_16_bits_whatever_their_depth(tmp_path):
    pixels = np.rint(BEFORE * 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels[..., ::-1])
    wide = sixteen_bits(Photo(pixels))
    assert wide.pixels.dtype == np.uint16
    np.testing.assert_array_equal(wide.pixels / 65535, pixels / 255)
    problems = []
    methods = [by_weights("net", Halver())]
    (row,) = judge_garments(
        Labels(None, tmp_path), [tmp_path / "a.png"], methods, look_away, problems.append
    )
    assert not problems and (row.photo, row.set, row.method) == ("a.png", ".", "net")
    expected = kept(BEFORE, garment(folds=0.5), PLACES)
    assert row.removed == pytest.approx(expected.removed, abs=0.01) and row.passes
    assert row.texture == pytest.approx(1, abs=0.005)


@pytest.fixture(scope="module")
def wardrobe(tmp_path_factory):
    """Two sets of garments with label maps, and a photo without one."""
    root = tmp_path_factory.mktemp("wardrobe")
    maps = {}
    for name in ("flat/a.png", "worn/b<c>.png", "worn/bare.png", "worn/unknown.png"):
        (root / name).parent.mkdir(exist_ok=True)
        pixels = np.rint(BEFORE * 255).astype(np.uint8)
        cv2.imwrite(str(root / name), pixels[..., ::-1])
        maps[name] = np.full((128, 128), 0 if "bare" in name else 3, np.uint8)
    del maps["worn/unknown.png"]
    np.savez(root / "masks.npz", **maps)
    return root


def abpn(*words):
    return CliRunner().invoke(app, ["evaluate", "--device", "cpu", *map(str, words)])


def test_the_command_judges_garments_and_reports_them_in_every_form(wardrobe, checkpoint, tmp_path):
    out = tmp_path / "report"
    words = "--garments", "--photos", wardrobe, "--masks", wardrobe / "masks.npz"
    done = abpn(*words, "--weights", checkpoint, "--out", out)
    assert done.exit_code == 0, done.output
    assert "unknown.png: has no label map" in done.stderr
    assert "bare.png: shows too little cloth" in done.stderr
    told = json.loads((out / "evaluation.json").read_text(), parse_constant=pytest.fail)
    found = told["garments"]
    assert [(row["set"], row["photo"]) for row in found["photos"]] == [
        ("flat", "flat/a.png"), ("worn", "worn/b<c>.png"),
    ]  # fmt: skip
    assert [row["set"] for row in found["sets"]] == ["flat", "worn"]
    assert found["passed"] == {"test": sum(row["passes"] for row in found["photos"])}
    for row in found["photos"]:
        line = next(text for text in done.stdout.splitlines() if text.startswith(row["photo"]))
        assert f"{100 * row['removed']:9.1f}" in line
        assert line.endswith("passes" if row["passes"] else "FAILS")
    lines = list(csv.DictReader((out / "garments.csv").read_text().splitlines()))
    assert [line["photo"] for line in lines] == ["flat/a.png", "worn/b<c>.png", "", ""]
    assert float(lines[0]["edges"]) == found["photos"][0]["edges"]
    page = (out / "index.html").read_text("utf-8")
    assert "<h2>Garments</h2>" in page and "b&lt;c&gt;.png" in page and "b<c>" not in page
    assert len(list((out / "sheets").iterdir())) == 2


def test_a_list_says_which_garments_and_every_folder_may_be_judged_in_one_run(
    wardrobe, checkpoint, tmp_path
):
    (tmp_path / "list.txt").write_text("worn/b<c>.png\n")
    fine = tmp_path / "fine" / "sea.png"
    fine.parent.mkdir()
    cv2.imwrite(str(fine), photo_of(64, 64).pixels)
    words = "--garments", "--photos", wardrobe, "--list", tmp_path / "list.txt", "--json", "-"
    words = (*words, "--baselines")
    told = abpn(*words, "--weights", checkpoint, "--nothing-to-do", fine.parent)
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    assert {row["photo"] for row in document["garments"]["photos"]} == {"worn/b<c>.png"}
    methods = [row["method"] for row in document["garments"]["sets"]]
    assert methods == ["test", "median", "bilateral", "guided", "separation:test"]
    assert [row["photo"] for row in document["nothing_to_do"]["photos"]] == ["sea.png"]
    assert document["pairs"] == []


def test_garments_none_of_which_can_be_judged_are_an_error(wardrobe, checkpoint, tmp_path):
    (tmp_path / "list.txt").write_text("worn/unknown.png\nworn/bare.png\n")
    words = "--garments", "--photos", wardrobe, "--masks", wardrobe / "masks.npz"
    done = abpn(*words, "--list", tmp_path / "list.txt", "--weights", checkpoint)
    assert isinstance(done.exception, NoPhotoError)
    assert "Check --masks" in str(done.exception)
