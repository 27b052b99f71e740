"""The report of an evaluation: figures that programs read, a chart, contact sheets, a page."""

import csv
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from networks import CONFIG, photo_of, save, untrained
from test_evaluate import darkened, write
from typer.testing import CliRunner

from abpn_cli import weights
from abpn_cli.cli import app
from abpn_cli.engine import faces, tasks
from abpn_cli.evaluation.chart import Panel, dot_chart, ticks
from abpn_cli.evaluation.harmless import verdict_on
from abpn_cli.evaluation.sheets import GAP, PANEL, busiest, difference, mosaic
from abpn_cli.photo import Photo
from abpn_cli.weights import Header

QUALITY = Path(__file__).parents[1] / "benchmarks" / "quality.py"
NAN = float("nan")
SVG = "{http://www.w3.org/2000/svg}"


class Links(HTMLParser):
    """Tags and what they refer to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


def abpn(*words):
    return CliRunner().invoke(app, ["evaluate", "--device", "cpu", *map(str, words)])


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """Weights whose gate never opens."""
    config = replace(CONFIG, gate_low=0.98, gate_high=0.99)
    return save(untrained(config), tmp_path_factory.mktemp("idle") / "idle.safetensors")


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """Two pairs and two photos with nothing to do, one of them with an awkward name."""
    root = tmp_path_factory.mktemp("studio")
    for name, size in (("a<b>.png", (64, 96)), ("c.png", (600, 520))):
        before = photo_of(*size).pixels
        write(root / "before" / name, before)
        write(root / "after" / name, darkened(before))
    write(root / "fine" / "sea.png", photo_of(64, 64).pixels)
    write(root / "fine" / "deep" / "hill.png", photo_of(72, 96).pixels)
    return root


@pytest.fixture(scope="module")
def report(studio, checkpoint, idle, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "report"
    done = abpn(
        "--pairs", studio / "before", studio / "after", "--weights", checkpoint, "--weights", idle,
        "--baselines", "--nothing-to-do", studio / "fine", "--out", out, "--json", "-",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return out, json.loads(done.stdout, parse_constant=pytest.fail)


def test_json_on_stdout_is_the_document_in_the_folder(report):
    out, told = report
    kept = json.loads((out / "evaluation.json").read_text(), parse_constant=pytest.fail)
    assert kept == told
    assert [w["name"] for w in told["weights"]] == ["test", "idle"]
    assert all(len(w["sha256"]) == 64 for w in told["weights"])
    methods = "untouched test idle median bilateral guided separation:test separation:idle"
    assert [row["method"] for row in told["means"]] == methods.split()
    assert len(told["pairs"]) == 2 * len(methods.split())
    mean = next(row for row in told["means"] if row["method"] == "test")
    each = [row["gain_inside"] for row in told["pairs"] if row["method"] == "test"]
    assert mean["gain_inside"] == pytest.approx(np.mean(each))


def test_weights_that_do_nothing_gain_nothing_and_have_no_direction(report):
    row = next(row for row in report[1]["means"] if row["method"] == "idle")
    assert (row["gain"], row["gain_inside"], row["gated"]) == (0, 0, 0)
    assert row["cosine"] is None and row["strength"] is None


def test_the_csv_has_a_line_for_each_row_and_the_means(report):
    out, told = report
    with (out / "evaluation.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(told["pairs"]) + len(told["means"])
    for line, row in zip(lines, told["pairs"] + told["means"], strict=True):
        assert (line["photo"], line["method"]) == (row["photo"], row["method"])
        assert line["cosine"] == ("" if row["cosine"] is None else str(row["cosine"]))
    verdicts = list(csv.DictReader((out / "nothing_to_do.csv").read_text().splitlines()))
    assert {line["photo"] for line in verdicts} == {"sea.png", "deep/hill.png"}


def test_the_page_stands_alone_and_every_picture_it_names_is_there(report):
    out, _ = report
    text = (out / "index.html").read_text("utf-8")
    page = Links(text)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert "url(" not in text and "@import" not in text
    sheets = set(page.links)
    assert sheets == {f"sheets/{file.name}" for file in (out / "sheets").iterdir()}
    assert len(sheets) == 4 + 2  # each pair by each weights, what `test` changed in fine photos
    assert "a<b>" not in text and "a&lt;b&gt;.png" in text
    assert page.tags.count("svg") == 1


def test_the_chart_has_a_dot_for_every_pair_in_every_panel(report):
    drawing = ET.fromstring((report[0] / "evaluation.svg").read_text("utf-8"))
    names = [element.text for element in drawing.iter(f"{SVG}text")]
    assert names.count("separation:test") == 4
    dots = len(list(drawing.iter(f"{SVG}circle")))
    finite = [
        row[name]
        for row in report[1]["pairs"]
        for name in ("gain", "gain_inside", "gain_outside", "cosine")
        if row["method"] != "untouched" and row[name] is not None
    ]
    assert dots == len(finite) > 0


def test_photos_with_nothing_to_do_pass_or_fail_and_the_exit_code_is_0(report, studio, idle):
    harm = report[1]["nothing_to_do"]
    assert harm["passed"] == {"test": 0, "idle": 2}
    for verdict in harm["photos"]:
        assert verdict["passes"] == (verdict["method"] == "idle")
        assert (verdict["psnr"] is None) == verdict["passes"]  # no error at all
    write(studio / "fine2" / "sea.png", photo_of(64, 64).pixels)
    (studio / "fine2" / "cut.png").write_bytes((studio / "fine2" / "sea.png").read_bytes()[:900])
    done = abpn("--nothing-to-do", studio / "fine2", "--weights", idle)
    assert done.exit_code == 0
    assert "left out: " in done.stderr and "cut.png" in done.stderr
    assert "idle: 1 of 1 pass (from 50 dB, under 1%)" in done.stdout


def test_weights_of_faces_are_judged_face_by_face(studio, checkpoint, net, tmp_path, monkeypatch):
    blind = partial(faces.FaceRetoucher, find=lambda photo: [])  # needs no detector
    monkeypatch.setattr(tasks, "FaceRetoucher", blind)
    header = Header("abpn", asdict(net.config), "face")
    weights.save(tmp_path / "face.safetensors", net, header)
    words = ["--weights", checkpoint, "--weights", tmp_path / "face.safetensors"]
    done = abpn("--nothing-to-do", studio / "fine", *words)
    assert done.exit_code == 0, done.output
    assert "test: 0 of 2 pass" in done.stdout and "face: 2 of 2 pass" in done.stdout


def shifted(share, by):
    """A grey photo, and the same with a share of its pixels brighter."""
    before = np.full((100, 100, 3), 100, np.uint8)
    after = before.copy()
    after[: round(100 * share)] += by
    return Photo(before), Photo(after)


def test_the_limits_of_doing_no_harm():
    # a tenth of the pixels off by 2/255: 52.1 dB; off by 3/255: 48.6 dB
    assert verdict_on(*shifted(0.1, 2), gated=0.009).passes
    assert not verdict_on(*shifted(0.1, 3), gated=0.009).passes
    assert not verdict_on(*shifted(0.1, 2), gated=0.01).passes
    verdict = verdict_on(*shifted(0.1, 2), gated=0.009)
    assert verdict.psnr == pytest.approx(52.11, abs=0.01) and verdict.changed == 0.1


def test_a_sheet_shows_the_whole_and_the_part_where_most_changes_at_100_percent():
    before = np.full((900, 700, 3), 0.5, np.float32)
    after = before.copy()
    after[700:740, 600:640] += 0.05
    top, left = busiest(after - before)
    assert top <= 700 <= 740 <= top + PANEL and left <= 600 <= 640 <= left + PANEL
    panels = before, after, difference(after, before)
    sheet = mosaic(panels, (top, left))
    assert sheet.shape == (2 * PANEL + GAP, 3 * PANEL + 2 * GAP, 3)
    part = sheet[PANEL + GAP :, 2 * (PANEL + GAP) :]
    changed = np.s_[700 - top : 740 - top, 600 - left : 640 - left]
    np.testing.assert_allclose(part[changed], 0.9, atol=1e-5)  # 0.5 + 8 · 0.05
    assert part[0, 0, 0] == 0.5


@pytest.mark.parametrize("size", [(40, 30), (30, 2000), (2000, 30), (481, 481)])
def test_sheets_of_any_shape_can_be_made(size):
    image = photo_of(*size).pixels.astype(np.float32) / 255
    where = busiest(image - image[::-1])
    sheet = mosaic((image, image), where)
    assert np.isfinite(sheet).all() and sheet.shape[1] == 2 * PANEL + GAP


def test_sheets_are_upright_jpegs_of_four_columns(report):
    for file in (report[0] / "sheets").iterdir():
        sheet = cv2.imread(str(file))
        columns = 3 if "sea" in file.name or "hill" in file.name else 4
        assert sheet.shape[1] == columns * (PANEL + GAP) - GAP


def test_ticks_are_round_and_hold_all_values():
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(-13, 2) == [-14, -12, -10, -8, -6, -4, -2, 0, 2]
    for low, high in ((-0.013, 0.0), (-47.2, 3.3), (0, 1e-6), (-1e5, 3)):
        found = ticks(low, high)
        assert found[0] <= low and found[-1] >= high and len(found) <= 11


def test_a_chart_without_a_finite_value_is_still_a_chart():
    drawing = ET.fromstring(dot_chart([Panel("a & b", "dB", {"<x>": [NAN], "y": []})]))
    assert not list(drawing.iter(f"{SVG}circle"))
    assert "<x>" in [element.text for element in drawing.iter(f"{SVG}text")]


def test_a_report_is_never_written_among_the_photos_it_judges(studio, idle):
    before = sorted(studio.rglob("*"))
    done = abpn("--nothing-to-do", studio / "fine", "--weights", idle, "-o", studio / "fine/new")
    assert done.exit_code != 0 and sorted(studio.rglob("*")) == before


def test_the_script_of_the_quality_tables_names_what_is_missing(tmp_path):
    words = ["--data", tmp_path / "gone", "--out", tmp_path / "out", "--task", "face"]
    done = subprocess.run(
        [sys.executable, QUALITY, *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "Not there" in done.stderr and str(tmp_path / "gone" / "masks.npz") in done.stderr
    assert not (tmp_path / "out").exists()
