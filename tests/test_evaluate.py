"""Judging weights on before and after photos: rows, gains, and what cannot be judged."""

import json

import cv2
import numpy as np
import pytest
from networks import photo_of
from skimage.metrics import peak_signal_noise_ratio
from typer.testing import CliRunner

from abpn_cli.cli import app
from abpn_cli.codecs import EncodeOptions, encode
from abpn_cli.errors import DeviceError, NoPhotoError, UsageError
from abpn_cli.photo import Metadata, Photo, turn_back
from abpn_cli.training.evaluate import Judge, Row, evaluate_pairs, gains
from abpn_cli.training.pairs import Pair

INF = float("inf")


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


def test_gains_pair_rows_by_order_where_two_photos_bear_one_name():
    rows = [
        Row("a.png", "untouched", 40, 30, INF, 0.2), Row("a.png", "net", 42, 33, 50, 0.1),
        Row("a.png", "untouched", 20, 10, 60, 0.2), Row("a.png", "net", 21, 11, 58, 0.1),
    ]  # fmt: skip
    assert gains(rows, "net") == (pytest.approx(1.5), pytest.approx(2.0), pytest.approx(-2.0))


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
        ("--photos empty --pairs empty empty", UsageError, "Give either --pairs"),
    ],
)
def test_what_cannot_be_judged_is_told(tmp_path, monkeypatch, checkpoint, words, error, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "empty").mkdir()
    command = ["evaluate", "--weights", str(checkpoint), *words.split()]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, error)
    assert told in str(result.exception)
