"""`abpn retouch --jpeg`: what the command does of it."""

import contextlib
import io
import json
import sys

import jpeglib
import numpy as np
import pytest
from photos import pattern, write_jpeg, write_png
from PIL import Image

from abpn_cli.cli import main
from abpn_cli.codecs import decode

TURNED = Image.Exif()
TURNED[274] = 6


def abpn(*words, cwd):
    """Run `main` in this process; return (exit code, the events, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["abpn", "retouch", "--ndjson", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    return end.value.code or 0, events, err.getvalue()


@pytest.fixture
def shoot(tmp_path):
    """A turned 4:2:0 JPEG, and a mask that is white on its left."""
    (tmp_path / "shoot").mkdir()
    exif = TURNED.tobytes()[6:]
    write_jpeg(tmp_path / "shoot" / "a.jpg", pattern(96, 160), exif=exif, subsampling=2)
    mask = np.zeros((96, 160), np.uint8)  # as the photo is stored
    mask[:, :80] = 255
    write_png(tmp_path / "left.png", mask)
    return tmp_path


def run(shoot, checkpoint, *words, source="shoot"):
    fixed = ("--out", "out", "--weights", checkpoint, "--device", "cpu", "--overwrite", "always")
    code, events, err = abpn(source, *fixed, *words, cwd=shoot)
    assert code == 0, err
    return events, err


def luma(path):
    read = jpeglib.read_dct(str(path))
    return read.samp_factor.tolist(), read.qt, read.Y


def test_a_turned_jpeg_is_kept_where_the_mask_is_black(shoot, checkpoint):
    events, _ = run(shoot, checkpoint, "--only", "left.png")
    factors, tables, before = luma(shoot / "shoot" / "a.jpg")
    kept_factors, kept_tables, after = luma(shoot / "out" / "a.jpg")
    assert factors == kept_factors == [[2, 2], [1, 1], [1, 1]]
    assert np.array_equal(tables, kept_tables)
    changed = (before != after).any(axis=(2, 3))
    assert changed[:, :10].any()
    assert not changed[:, 10:].any()
    assert events[1]["warnings"] == events[0]["warnings"] == []
    assert decode(shoot / "out" / "a.jpg").metadata.orientation == 6


def test_reencode_encodes_the_whole_at_the_quality_asked_for(shoot, checkpoint):
    sizes = {}
    for quality in (40, 95):
        events, _ = run(shoot, checkpoint, "--jpeg", "reencode", "--quality", quality)
        assert events[0]["warnings"] == []
        assert luma(shoot / "out" / "a.jpg")[0] == [[1, 1]] * 3
        sizes[quality] = (shoot / "out" / "a.jpg").stat().st_size
    assert sizes[40] < 0.7 * sizes[95]


def test_quality_beside_kept_jpegs_is_ignored_with_a_warning(shoot, checkpoint):
    run(shoot, checkpoint)
    without = (shoot / "out" / "a.jpg").read_bytes()
    events, err = run(shoot, checkpoint, "--quality", 40)
    assert (shoot / "out" / "a.jpg").read_bytes() == without
    assert any("--quality is not used" in word for word in events[0]["warnings"])
    assert "--quality is not used" in err


def test_quality_counts_for_photos_from_other_formats_without_a_warning(shoot, checkpoint):
    (shoot / "others").mkdir()
    write_png(shoot / "others" / "b.png", pattern(96, 160))
    jpegs = ("--format", "jpeg", "--quality")
    sizes = []
    for quality in (40, 95):
        events, err = run(shoot, checkpoint, *jpegs, quality, source="others")
        assert events[0]["warnings"] == [] and "--quality" not in err
        sizes.append((shoot / "out" / "b.jpg").stat().st_size)
    assert sizes[0] < 0.7 * sizes[1]


def test_upright_encodes_the_whole_without_a_word(shoot, checkpoint):
    events, _ = run(shoot, checkpoint, "--upright")
    assert events[1]["warnings"] == []
    upright = decode(shoot / "out" / "a.jpg")
    assert upright.metadata.orientation == 1 and upright.pixels.shape == (160, 96, 3)


def test_upright_and_keep_untouched_contradict_each_other(shoot, checkpoint):
    words = ("shoot", "--out", "out", "--weights", checkpoint, "--upright")
    code, _, err = abpn(*words, "--jpeg", "keep-untouched", cwd=shoot)
    assert code == 2 and "contradict" in err
    assert not (shoot / "out").exists()


def test_the_event_says_where_a_jpeg_could_not_be_kept(shoot, checkpoint):
    Image.fromarray(pattern(96, 160)).save(shoot / "shoot" / "a.jpg", keep_rgb=True)
    events, _ = run(shoot, checkpoint)
    assert events[1]["status"] == "done"
    (word,) = events[1]["warnings"]
    assert "encoded again, at quality 95: its channels are RGB" in word
