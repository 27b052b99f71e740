"""`abpn bench`: what it measures, and that it says so truly."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shoots
from command import abpn
from networks import CONFIG

from abpn_cli.benchmark import speed
from abpn_cli.benchmark.cases import PAPER, SIZES, Size, parse_sizes
from abpn_cli.benchmark.floor import bytes_to_move, operations
from abpn_cli.benchmark.plain import forced_mask, made_pixels
from abpn_cli.commands import bench
from abpn_cli.engine.clock import Clock, running, stage
from abpn_cli.errors import UsageError
from abpn_cli.nets.abpn import AbpnConfig


def test_sizes_are_squares_or_width_by_height():
    assert parse_sizes("512, 6144x4096") == [Size(512, 512), Size(height=4096, width=6144)]
    assert [str(size) for size in parse_sizes(SIZES)] == SIZES.split(",")
    assert bench.SIZES == SIZES


@pytest.mark.parametrize("text", ["", "big", "512,", "0", "8x4096", "4096x", "-512", "70000"])
def test_sizes_that_cannot_be_meant_are_wrong_usage(text):
    with pytest.raises(UsageError, match="--sizes"):
        parse_sizes(text)


def test_the_operations_are_those_of_the_paper():
    # 20.43 GMAC of the LRL at 256 x 256, 1,296 per pixel of each level
    counted = operations(AbpnConfig(width=1.0), 1024, 1024)
    fine = (1024**2 + 512**2) * 1296
    assert counted / 2 == pytest.approx(20.43e9 + fine, rel=1e-3)
    assert bytes_to_move(1000, 1000) == 6_000_000


def test_the_papers_figures_are_those_of_its_table_3():
    figures = [(size.width, row.seconds, row.megabytes) for size, row in PAPER.items()]
    assert figures == [
        (512, 0.008, 1043), (1024, 0.009, 1329), (2048, 0.010, 2505), (4096, 0.014, 7191)
    ]  # fmt: skip


@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
def test_a_forced_mask_marks_so_much_in_the_middle(share):
    mask = forced_mask((64, 96), share)
    assert mask.mean() == pytest.approx(share, abs=1e-3)
    assert set(np.unique(mask)) <= {0, 1}
    assert mask[32, 48] == 1 and mask[0, 0] == (share == 1)


def test_the_photo_made_is_the_same_each_time_and_has_no_wrapped_values():
    pixels = made_pixels(300, 200, 1)
    assert np.array_equal(pixels, made_pixels(300, 200, 1))
    assert pixels.min() > 0 and pixels.max() < 255
    assert np.abs(np.diff(pixels.astype(int), axis=0)).max() < 100


def test_stages_are_counted_only_while_somebody_measures():
    clock = Clock()
    with stage("before"):
        pass
    with running(clock), stage("within"):
        pass
    assert set(clock.seconds) == {"within"} and clock.seconds["within"] > 0


@pytest.fixture(scope="module")
def report(tmp_path_factory, checkpoint):
    """A small bench: (exit code, stdout, report)."""
    room = tmp_path_factory.mktemp("bench")
    words = ["--sizes", "160x120", "--repeats", "2", "--weights", checkpoint, "--device", "cpu"]
    words += ["--precision", "float32"]  # so that it is exact on every CPU
    code, out, _ = abpn("bench", *words, "--json", "bench.json", "--quiet", cwd=room)
    return code, out, json.loads((room / "bench.json").read_text())


@pytest.mark.slow
def test_bench_measures_plain_and_ours_at_three_masks(report):
    code, out, told = report
    assert code == 0 and "160x120" in out and "Floor of this machine" in out
    (sized,) = told["sizes"]
    assert (sized["height"], sized["width"], sized["paper"]) == (120, 160, None)
    assert [row["share"] for row in sized["rows"]] == [None, 1.0, 0.25, 0.1]
    for row in sized["rows"]:
        assert not row["left_out"]
        assert len(row["seconds"]) == 2 and 0 < row["median_seconds"] < 60
        assert all(seconds > 0 for seconds in row["cpu_seconds"])
    assert sized["floor"]["bytes_seconds"] > 0 and sized["floor"]["operations_seconds"] > 0
    assert {"date", "device", "torch", "cores", "by"} <= set(told["machine"])


@pytest.mark.slow
def test_bench_says_how_exact_it_is_and_where_the_time_goes(report):
    _, _, told = report
    rows = told["sizes"][0]["rows"][1:]
    assert [row["mask_fraction"] == 1 for row in rows] == [True, False, False]
    for row in rows:
        assert row["untouched"] is True
        assert 0 < row["largest"] < 1e-5 and row["psnr"] > 100
        assert set(row["stages"]) == set(speed.STAGES)
        assert row["stages"]["lrl"] > 0 and row["stages"]["refine"] > 0


def test_what_does_not_fit_is_left_out_and_said(monkeypatch, tmp_path, checkpoint):
    monkeypatch.setattr(speed, "available_bytes", lambda: 2**20)
    plan = speed.Plan(checkpoint, CONFIG, "cpu", "float32", 1, tmp_path)
    rows = speed._rows(plan, Size(8192, 8192), lambda _: None)
    assert [row.seconds for row in rows] == [()] * 4
    assert all("GiB are free" in row.left_out for row in rows)


def test_the_plain_network_is_left_out_where_nobody_asks_for_it(monkeypatch, tmp_path, checkpoint):
    monkeypatch.setattr(speed, "available_bytes", lambda: 2**20)
    plan = speed.Plan(checkpoint, CONFIG, "cpu", "float32", 1, tmp_path, plain=False)
    rows = speed._rows(plan, Size(64, 64), lambda _: None)
    assert rows[0].left_out == "was not asked for"


@pytest.mark.slow
def test_end_to_end_times_the_real_command_against_decoding_and_encoding(tmp_path, checkpoint):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shoots.save(tmp_path / "shoot" / name, shoots.picture())
    words = ["--end-to-end", "shoot", "--weights", checkpoint, "--device", "cpu"]
    code, out, _ = abpn("bench", *words, "--json", "bench.json", "--quiet", cwd=tmp_path)
    assert code == 0 and "TIFF16" in out
    told = json.loads((tmp_path / "bench.json").read_text())["end_to_end"]
    assert told["photos"] == 3 and len(told["ways"]) == 4
    for way in told["ways"]:
        assert way["rate"] > 0 and way["floor_rate"] > 0
        assert 0 < way["first"] <= way["whole"]
    assert 0 < told["start_up"]["help"] < told["start_up"]["first_photo"]
    assert sorted(path.name for path in (tmp_path / "shoot").iterdir()) == [
        "a.jpg", "b.jpg", "c.jpg"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("--sizes", "big"), ("--repeats", "0"), ("--width", "0"), ("--width", "nan"),
        ("--end-to-end", "nowhere"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2(words, tmp_path):
    code, out, err = abpn("bench", *words, cwd=tmp_path)
    assert code == 2 and words[0] in err
    assert "Traceback" not in err
