"""What a batch tells and spares its user: last words, pictures passed by, masks, time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from command import ENVIRONMENT, Hold, abpn, send, start, wait_until
from kinds import GOOD
from photos import pattern, write_jpeg, write_png
from PIL import Image
from shoots import files, leftovers, many

from abpn_cli import codecs
from abpn_cli.batch.keeper import keep_journal
from abpn_cli.batch.sources import find_sources, not_read_words
from abpn_cli.commands import made
from abpn_cli.engine.network import choose_device, choose_precision
from abpn_cli.errors import NoPhotoError

WATCHED = """
import sys
from abpn_cli import cli
status = 0
try:
    cli.main()
except SystemExit as end:
    status = end.code or 0
sys.stderr.write(f"\\ntorch {'torch' in sys.modules}\\n")
sys.exit(status)
"""


@pytest.fixture
def shoot(tmp_path: Path) -> Path:
    """Two photos in a folder called `in`, 200 x 150 and 160 x 120."""
    (tmp_path / "in").mkdir()
    write_jpeg(tmp_path / "in" / "a.jpg", pattern(150, 200))
    write_png(tmp_path / "in" / "b.png", pattern(120, 160))
    return tmp_path


def watched(*words: str | Path, cwd: Path) -> tuple[int, str, bool]:
    """Run the command in a process of its own: exit code, stderr, whether torch was imported."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *words],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    told, _, torch = done.stderr.rstrip("\n").rpartition("\n")
    assert torch in ("torch True", "torch False"), done.stderr
    return done.returncode, told, torch == "torch True"


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# A run that is stopped at once.


def test_a_run_stopped_at_once_still_ends_its_reports(
    tmp_path: Path, checkpoint: Path, hold: Hold
) -> None:
    """It is stopped while its third photo is held in mid-write."""
    many(tmp_path, 8)
    report = tmp_path / "report.json"
    words = ("retouch", "in", "-o", "done", "--format", "tiff", "--weights", checkpoint)
    hold.at("flush", "02.tif")
    with start(*words, "--ndjson", "--json", report, cwd=tmp_path, env=hold.environment) as process:
        hold.reached("flush")
        assert leftovers(tmp_path / "done")
        send(process, signal.SIGINT)
        send(process, signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    events = events_of(out)
    assert [event["event"] for event in events] == ["plan", *["photo"] * 8, "summary"]
    photos = events[1:-1]
    assert len({photo["source"] for photo in photos}) == 8
    counts = Counter(photo["status"] for photo in photos)
    assert set(counts) <= {"done", "not_done"} and counts["not_done"] > 0
    summary = events[-1]
    assert (summary["exit_code"], summary["error"]) == (130, None)
    assert (summary["done"], summary["not_done"]) == (counts["done"], counts["not_done"])
    document = json.loads(report.read_text("utf-8"))
    assert document["summary"]["exit_code"] == 130 and len(document["photos"]) == 8
    assert f"{counts['not_done']} not done" in err and "Traceback" not in err
    assert not leftovers(tmp_path / "done") and not list(tmp_path.glob(".report*"))
    done = {photo["output"] for photo in photos if photo["status"] == "done"}
    assert done <= {f"done/{name}" for name in files(tmp_path / "done")}
    for name in files(tmp_path / "done"):
        codecs.decode(tmp_path / "done" / name)


def test_a_report_that_nobody_reads_does_not_hold_up_a_stop(
    tmp_path: Path, checkpoint: Path
) -> None:
    """Its pipe holds fewer events than there are photos, done or not: no clean end can come."""
    many(tmp_path, 200, 96, 128)
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--ndjson", "-q")
    with start(*words, cwd=tmp_path) as process:
        wait_until(lambda: len(files(tmp_path / "done")) > 20)
        for number in (signal.SIGTERM, signal.SIGTERM):
            send(process, number)
        assert process.wait(60) == 143
    assert not leftovers(tmp_path / "done")


# Pictures of kinds that abpn does not read.


def write_others(folder: Path) -> None:
    """Pictures that are none for us, and what is no picture at all."""
    tiny = Image.new("RGB", (8, 8))
    for name, kind in (("one.webp", "WEBP"), ("two.jpg.webp", "WEBP"), ("named.dat", "GIF")):
        tiny.save(folder / name, kind)
    tiny.save(folder / "sub.bmp", "BMP")
    tiny.save(folder / "old.tga", "TGA")
    (folder / "cut.webp").write_bytes(b"RI")
    (folder / ".hidden.webp").write_bytes((folder / "one.webp").read_bytes())
    (folder / "notes.txt").write_text("BM is not enough")
    (folder / "a.xmp").write_bytes(b"<x:xmpmeta/>")


OTHERS = {"webp": 3, "bmp": 1, "gif": 1, "tga": 1}
TOLD = "6 files are of kinds that abpn does not read: 3 WebP, 1 BMP, 1 GIF, 1 TGA"


@pytest.mark.parametrize("verb", ["retouch", "mask"])
def test_pictures_of_other_kinds_are_counted_where_they_are_passed_by(
    shoot: Path, checkpoint: Path, verb: str
) -> None:
    write_others(shoot / "in")
    words = (verb, "in", "-o", "done", "--weights", checkpoint, "--ndjson")
    code, out, err = abpn(*words, "--dry-run", cwd=shoot)
    assert code == 0 and err.splitlines()[-1] == TOLD
    code, out, err = abpn(*words, cwd=shoot)
    assert code == 0 and TOLD in err.splitlines()
    plan, *photos, _ = events_of(out)
    assert plan["not_read"] == OTHERS and len(photos) == 2
    code, out, err = abpn(*words, "-q", cwd=shoot)
    assert (code, err) == (0, "")


def test_a_picture_of_another_kind_that_is_named_is_an_error(shoot: Path, checkpoint: Path) -> None:
    write_others(shoot / "in")
    words = ("retouch", "in", "in/one.webp", "-o", "done", "--weights", checkpoint, "--ndjson")
    code, out, _ = abpn(*words, cwd=shoot)
    plan, *photos, _ = events_of(out)
    assert code == 3 and plan["not_read"] == OTHERS | {"webp": 2}
    assert [p["status"] for p in photos if p["source"] == "in/one.webp"] == ["failed"]


def test_a_folder_of_other_kinds_alone_says_what_they_are(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "one.webp")
    with pytest.raises(NoPhotoError, match="1 file is of a kind that abpn does not read: 1 WebP"):
        find_sources([tmp_path], codecs.sniff, codecs.PHOTO_SUFFIXES)


def test_photos_are_never_among_what_is_not_read(tmp_path: Path) -> None:
    for number, (suffix, write) in enumerate(GOOD.values()):
        write(tmp_path / f"{number}{suffix}", number)
    counted: Counter[str] = Counter()
    find_sources([tmp_path], codecs.sniff, codecs.PHOTO_SUFFIXES, counted)
    assert not counted
    assert not_read_words({"jp2": 1, "jxl": 2}).endswith("2 JPEG XL, 1 JPEG 2000")


# Time.


@pytest.mark.parametrize(("verb", "output"), [("retouch", "a.jpg"), ("mask", "a_mask.png")])
def test_a_run_with_nothing_to_do_never_imports_torch(
    shoot: Path, checkpoint: Path, verb: str, output: str
) -> None:
    words = (verb, "in", "-o", "done", "--weights", checkpoint, "--task", "test", "--detail")
    assert abpn(*words, cwd=shoot)[0] == 0
    code, err, torch = watched(*words, cwd=shoot)
    assert code == 0 and "0 done, 2 skipped" in err
    assert not torch
    (shoot / "done" / output).unlink()
    assert watched(*words, "--dry-run", cwd=shoot)[::2] == (0, False)


def test_a_named_task_is_found_without_torch(shoot: Path) -> None:
    code, err, torch = watched("mask", "in", "--task", "nosuch", cwd=shoot)
    assert code == 5 and "no weights for this task" in err
    assert not torch


def test_a_locked_folder_is_noticed_before_torch_is_imported(shoot: Path, checkpoint: Path) -> None:
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint)
    with keep_journal(shoot / "done"):
        code, err, torch = watched(*words, cwd=shoot)
    assert code == 7 and "another run is writing" in err
    assert not torch


def test_a_photo_found_due_only_by_its_content_is_done_all_the_same(
    shoot: Path, checkpoint: Path
) -> None:
    """Nothing but its source's bytes says so, when the network is not loaded yet."""
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--ndjson")
    abpn(*words, cwd=shoot)
    write_png(shoot / "in" / "b.png", pattern(120, 160)[::-1])
    code, out, _ = abpn(*words, cwd=shoot)
    plan, *photos, _ = events_of(out)
    assert code == 0 and plan["device"] == "auto"
    assert [photo["status"] for photo in photos] == ["skipped", "done"]
    assert photos[1]["device"] in ("cpu", "cuda:0")


def test_weights_that_break_after_the_plan_end_the_run_and_its_report(
    shoot: Path, checkpoint: Path
) -> None:
    """Found out when a photo turns out to need them."""
    weights = shoot / "weights.safetensors"
    weights.write_bytes(checkpoint.read_bytes())
    words = ("retouch", "in", "-o", "done", "--weights", weights, "--ndjson")
    abpn(*words, cwd=shoot)
    (shoot / "done" / "b.png").write_bytes(b"")  # nobody's work, which only reading it tells
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("abpn_cli.weights.digest", lambda tensors: "of something else")
        code, out, err = abpn(*words, cwd=shoot)
    _, *photos, summary = events_of(out)
    assert code == 5 and "damaged" in err.splitlines()[-1]
    assert [photo["status"] for photo in photos] == ["skipped", "not_done"]
    assert summary["exit_code"] == 5 and "damaged" in summary["error"]
    assert (shoot / "done" / "b.png").read_bytes() == b""


def test_what_auto_means_is_what_the_engine_says() -> None:
    device = choose_device("auto")
    assert device.type in made.DEVICES
    assert choose_precision("auto", device) in made.PRECISIONS


# Leftovers of `abpn mask`.


def test_leftovers_of_masks_are_swept_by_the_next_run_into_the_folder(
    shoot: Path, checkpoint: Path
) -> None:
    out = shoot / "masks"
    (out / "sub").mkdir(parents=True)
    left = [out / f".a_mask.png.4711-0{codecs.TEMP_SUFFIX}"]
    left.append(out / "sub" / left[0].name)
    somebodys = out / ".a_mask.png.abpn-tmp"  # no name that abpn gives
    for path in (*left, somebodys):
        path.write_bytes(b"half")
    words = ("mask", "in", "-o", "masks", "--weights", checkpoint)
    assert abpn(*words, "--dry-run", cwd=shoot)[0] == 0
    assert all(path.exists() for path in left)
    with keep_journal(shoot / "elsewhere"), keep_swept_by_another(out):
        assert abpn(*words, cwd=shoot)[0] == 0
        assert all(path.exists() for path in left), "they may be another run's, which is at work"
    assert abpn(*words, cwd=shoot)[0] == 0
    assert not any(path.exists() for path in left) and somebodys.exists()


class keep_swept_by_another:
    """Hold a folder as another `abpn mask` would, by a process of its own."""

    def __init__(self, out: Path) -> None:
        code = (
            "import fcntl, os, sys; d = os.open(sys.argv[1], os.O_RDONLY);"
            "fcntl.flock(d, fcntl.LOCK_SH); print('held', flush=True); sys.stdin.read()"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, out],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
