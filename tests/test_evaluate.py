"""Judging weights on before and after photos: rows, means, protocols, what cannot be judged."""

import json

import cv2
import numpy as np
import pytest
from networks import photo_of
from skimage.metrics import peak_signal_noise_ratio
from typer.testing import CliRunner

from abpn_cli.cli import app
from abpn_cli.codecs import EncodeOptions, encode
from abpn_cli.errors import DeviceError, NoPhotoError, TargetError, UsageError
from abpn_cli.evaluation.cases import PAPER_SIDE, paper, read_case
from abpn_cli.evaluation.judge import Judge, Row, evaluate_pairs, means
from abpn_cli.evaluation.methods import by_filter, by_weights, methods_of, names_of
from abpn_cli.photo import Metadata, Photo, turn_back, turn_upright
from abpn_cli.training.pairs import Pair

INF, NAN = float("inf"), float("nan")


def darkened(pixels):
    """A retoucher's version: the upper half 10 levels darker."""
    after = pixels.astype(int)
    after[: len(after) // 2] -= 10
    return after.clip(0, 255).astype(np.uint8)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels[..., ::-1])
    return path


def test_the_untouched_row_is_the_psnr_of_scikit_image(tmp_path):
    before = photo_of(64, 96).pixels
    after = darkened(before)
    pair = Pair(write(tmp_path / "a.png", before), write(tmp_path / "b.png", after))
    (row,) = evaluate_pairs([pair], [], Judge())
    assert row.method == "untouched"
    assert row.whole == pytest.approx(peak_signal_noise_ratio(after, before), abs=1e-3)
    changed = np.abs(before.astype(int) - after).max(2) > 2
    inside = peak_signal_noise_ratio(after[changed], before[changed])
    assert row.inside == pytest.approx(inside, abs=1e-3)
    assert row.outside > row.inside


def test_a_photo_stored_on_its_side_is_judged_upright(tmp_path):
    upright = photo_of(64, 96).pixels
    stored = Photo(np.ascontiguousarray(turn_back(upright, 6)), Metadata(orientation=6))
    encode(stored, tmp_path / "a.tif", "tiff", EncodeOptions())
    pair = Pair(tmp_path / "a.tif", write(tmp_path / "b.png", upright))
    (row,) = evaluate_pairs([pair], [], Judge())
    assert row.whole > 90  # 16-bit and 8-bit values of one photo


def test_means_leave_out_what_is_not_finite_and_milliseconds_are_the_median():
    rows = [
        Row("a.png", "net", 42, 33, INF, gain=2, gain_outside=-INF, milliseconds=900),
        Row("a.png", "net", 40, 31, 50, gain=1, gain_outside=-2, milliseconds=10),
        Row("b.png", "net", 41, 32, 52, gain=0, gain_outside=NAN, milliseconds=20),
        Row("b.png", "untouched", 41, 32, 52),
    ]
    net, untouched = means(rows)
    assert (net.method, net.whole, net.inside, net.outside) == ("net", 41, 32, 51)
    assert (net.gain, net.gain_outside, net.milliseconds) == (1, -2, 20)
    assert untouched.method == "untouched" and np.isnan(untouched.gain)


def test_gains_are_over_the_photo_itself_where_two_photos_bear_one_name(tmp_path):
    pairs, expected = [], []
    for folder, shift in (("x", 10), ("y", 30)):
        before = photo_of(64, 96).pixels
        after = (before // 2 + 20).astype(np.uint8)
        now = (after + shift).astype(np.uint8)  # what the "filter" makes: off by `shift`
        pairs.append(
            Pair(write(tmp_path / folder / "a.png", before), write(tmp_path / "t.png", after))
        )
        was = peak_signal_noise_ratio(after, before)
        expected.append(peak_signal_noise_ratio(after, now) - was)
        method = by_filter("shifted", lambda image, shift=shift: np.float32(
            np.rint(image * 255) // 2 + 20 + shift) / 255)  # fmt: skip
        _, row = evaluate_pairs(pairs[-1:], [method], Judge())
        assert row.gain == pytest.approx(expected[-1], abs=1e-3)
    assert expected[0] > expected[1]


def test_a_method_that_does_the_retouchers_work_gains_all_and_points_the_same_way(tmp_path):
    before = photo_of(64, 96).pixels
    after = darkened(before)
    pair = Pair(write(tmp_path / "a.png", before), write(tmp_path / "b.png", after))
    true = after.astype(np.float32) / 255

    def half(image):
        return (image + true) / 2

    _, exact, timid = evaluate_pairs(
        [pair], [by_filter("exact", lambda _: true), by_filter("timid", half)], Judge()
    )
    assert exact.gain == INF and exact.inside == INF and exact.ssim == pytest.approx(1)
    assert exact.cosine == pytest.approx(1, abs=1e-4)
    assert exact.strength == pytest.approx(1, abs=1e-4)
    assert timid.gain == pytest.approx(6.02, abs=0.2)  # half the error
    assert timid.strength == pytest.approx(2, rel=0.05)
    assert np.isnan(exact.iou) and exact.milliseconds >= 0


def test_the_papers_protocol_pads_to_a_square_and_padding_alone_lifts_the_figures(tmp_path):
    before = np.full((400, 600, 3), 120, np.uint8)
    pair = Pair(write(tmp_path / "a.png", before), write(tmp_path / "b.png", before - 8))
    case = read_case(pair, paper)
    assert case.photo.pixels.shape == (PAPER_SIDE, PAPER_SIDE, 3)
    assert case.photo.pixels.dtype == np.uint16
    assert not case.changed[0].any() and case.changed[512].all()
    (full,), (padded,) = (
        list(evaluate_pairs([pair], [], Judge(), *protocol)) for protocol in ([], [paper])
    )
    assert padded.whole - full.whole == pytest.approx(10 * np.log10(1.5), abs=0.05)
    assert padded.inside == pytest.approx(full.inside, abs=0.05)


def test_weights_are_judged_upright_with_the_gate_they_would_use(retoucher):
    upright = photo_of(64, 96)
    stored = Photo(np.ascontiguousarray(turn_back(upright.pixels, 6)), Metadata(orientation=6))
    attempt = by_weights("net", retoucher).attempt(stored)
    assert attempt.result.shape == (64, 96, 3) and attempt.gate.shape == (64, 96)
    done, edit = retoucher.retouch(stored)
    expected = turn_upright(done.pixels, 6).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(attempt.result, expected)
    assert np.count_nonzero(attempt.gate) / attempt.gate.size == pytest.approx(edit.mask_fraction)
    assert attempt.seconds > 0


def test_classical_rows_stand_beside_the_weights_and_separation_takes_their_mask(retoucher):
    methods = methods_of([("a", retoucher), ("b", retoucher)], baselines=True)
    assert [method.name for method in methods] == [
        "a", "b", "median", "bilateral", "guided", "separation:a", "separation:b",
    ]  # fmt: skip
    photo = photo_of(64, 96)
    attempt = methods[-1].attempt(photo)
    np.testing.assert_array_equal(attempt.gate, retoucher.gate(photo))
    before = photo.pixels.astype(np.float32) / 255
    closed = attempt.gate == 0
    assert closed.any() and not closed.all()
    np.testing.assert_array_equal(attempt.result[closed], before[closed])
    assert np.abs(attempt.result - before)[~closed].max() > 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_filters_result_has_the_steps_of_the_photos_own_depth(dtype):
    top = np.iinfo(dtype).max
    photo = photo_of(32, 32, dtype)
    result = by_filter("odd", lambda image: image + np.float32(1 / 3e5)).attempt(photo).result
    steps = result.astype(np.float64) * top
    np.testing.assert_allclose(steps, np.rint(steps), atol=0.005)
    shifted = by_filter("odd", lambda image: image * 3 - 1).attempt(photo).result
    assert shifted.min() == 0 and shifted.max() == 1


def test_weights_of_one_name_are_told_apart():
    assert names_of(["cloth", "face", "cloth", "cloth"]) == ["cloth", "face", "cloth-2", "cloth-3"]


def test_a_pair_that_a_method_cannot_do_is_left_out_whole(tmp_path, retoucher):
    good = photo_of(64, 96).pixels
    tiny = photo_of(12, 96).pixels  # too small for the network
    pairs = [
        Pair(write(tmp_path / f"{name}.png", p), write(tmp_path / f"{name}2.png", darkened(p)))
        for name, p in (("tiny", tiny), ("good", good))
    ]
    problems = []
    methods = [by_weights("net", retoucher)]
    rows = list(evaluate_pairs(pairs, methods, Judge(), left_out=problems.append))
    assert [(row.photo, row.method) for row in rows] == [
        ("good.png", "untouched"), ("good.png", "net"),
    ]  # fmt: skip
    assert len(problems) == 1 and "96 x 12 pixels are too few" in problems[0]


def test_the_command_tells_a_row_for_the_untouched_photo_and_one_for_the_weights(
    tmp_path, checkpoint
):
    before = photo_of(64, 96).pixels
    write(tmp_path / "b" / "x.png", before)
    write(tmp_path / "a" / "x.png", darkened(before))
    write(tmp_path / "a" / "lonely.png", before)
    folders = ["--pairs", str(tmp_path / "b"), str(tmp_path / "a")]
    words = ["evaluate", *folders, "--weights", str(checkpoint), "--device", "cpu"]
    result = CliRunner().invoke(app, [*words, "--json", "-"])
    assert result.exit_code == 0
    assert "left out: lonely: no partner" in result.stderr
    rows = json.loads(result.stdout, parse_constant=pytest.fail)  # Infinity is no JSON
    assert [row["method"] for row in rows] == ["untouched", "test"]
    assert rows[0]["outside"] is None  # where nothing differs
    assert rows[0]["gain"] is None and rows[1]["gain"] == rows[1]["whole"] - rows[0]["whole"]
    assert "gain in dB" in CliRunner().invoke(app, words).stdout


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        ("--photos gone", UsageError, "--photos gone: is not a folder"),
        ("--pairs gone empty", UsageError, "--pairs gone: is not a folder"),
        ("--pairs empty empty", NoPhotoError, "No pair of photos"),
        ("--photos empty", NoPhotoError, "No photo under empty"),
        ("--photos empty --masks gone.npz", UsageError, "--masks gone.npz: cannot be read"),
        ("--photos empty --batches 0", UsageError, "--batches 0: is out of range"),
        ("--photos empty --device cuda", DeviceError, "Use --device cpu"),
        ("--photos empty --pairs empty empty", UsageError, "or else --photos"),
        ("", UsageError, "Give --pairs BEFORE AFTER, --nothing-to-do DIR"),
        ("--nothing-to-do gone", UsageError, "--nothing-to-do gone: is not a folder"),
        ("--nothing-to-do empty", NoPhotoError, "No photo under empty"),
        ("--nothing-to-do empty --baselines", UsageError, "Give --pairs too"),
        ("--nothing-to-do empty --protocol paper", UsageError, "Give --pairs too"),
        ("--garments", UsageError, "--garments is about --photos"),
        ("--garments --pairs empty empty", UsageError, "--garments is about --photos"),
        ("--garments --photos empty", NoPhotoError, "No photo under empty"),
        ("--garments --photos empty --masks gone.npz", UsageError, "gone.npz: cannot be read"),
        ("--nothing-to-do empty --out empty/report", UsageError, "lies in empty, whose photos"),
        ("--pairs empty empty --out ./empty", UsageError, "lies in empty, whose photos"),
        ("--pairs empty empty --task cloth,face", UsageError, "here one task is meant"),
        ("--photos empty --task ../face", UsageError, "is not the name of a task"),
        ("--photos empty --json empty", TargetError, "Give --json a file"),
        ("--photos empty --out report", UsageError, "--photos takes no --out"),
        ("--photos empty --weights b.safetensors", UsageError, "one --weights alone"),
    ],
)
def test_what_cannot_be_judged_is_told(tmp_path, monkeypatch, checkpoint, words, error, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "empty").mkdir()
    command = ["evaluate", "--weights", str(checkpoint), *words.split()]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, error)
    assert told in str(result.exception) and "\n" not in str(result.exception)


@pytest.mark.parametrize("place", ["notes.txt", "notes.txt/report"])
def test_a_report_that_cannot_be_written_is_told_before_anything_is_judged(
    tmp_path, monkeypatch, checkpoint, place
):
    def judging(*words):
        raise AssertionError("a network was loaded")

    monkeypatch.setattr("abpn_cli.engine.tasks.make_engine", judging)
    (tmp_path / "notes.txt").write_text("mine")
    write(tmp_path / "in" / "x.png", photo_of(64, 96).pixels)
    words = ["evaluate", "--nothing-to-do", str(tmp_path / "in"), "--weights", str(checkpoint)]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / place)])
    assert isinstance(result.exception, TargetError)
    assert "notes.txt is not a folder" in str(result.exception)
    assert (tmp_path / "notes.txt").read_text() == "mine"
