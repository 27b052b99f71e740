"""Runs that are killed: what the next one finds, and makes of it."""

import contextlib
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from command import Hold, abpn, children, start
from photos import canon_block, write_jpeg, write_png, write_tiff
from resuming import Nursery, after, at_change, in_mid_write
from shoots import grain, leftovers, many, tree

from abpn_cli import codecs
from abpn_cli.batch.journal import JOURNAL_NAME, read_journal
from abpn_cli.batch.keeper import keep_journal

CHAINS = int(os.environ.get("ABPN_KILL_CHAINS", "6"))  # shoots, each killed several times
KILLS = 3
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="no /proc here to watch processes by"
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A small shoot of every format, with a sidecar, tags and a thumbnail."""
    folder = tmp_path_factory.mktemp("sources") / "in"
    (folder / "sub").mkdir(parents=True)
    write_jpeg(folder / "a.jpg", grain(200, 300, 1), exif=canon_block())
    (folder / "a.xmp").write_bytes(b"<x:xmpmeta/>")
    write_tiff(folder / "b.tif", grain(500, 700, 2, np.uint16))
    write_png(folder / "c.png", grain(400, 600, 3))
    write_jpeg(folder / "sub" / "d.jpg", grain(300, 400, 4))
    write_tiff(folder / "sub" / "e.tif", grain(300, 500, 5, np.uint16))
    return folder


@pytest.fixture(scope="module")
def nursery(tmp_path_factory):
    nursery = Nursery(Hold(tmp_path_factory.mktemp("hold")))
    yield nursery
    nursery.close()


class Studio:
    """A copy of the sources, and a place for the outputs."""

    def __init__(self, root, sources, nursery):
        shutil.copytree(sources, root / "in")
        self.root, self.out, self.nursery = root, root / "out", nursery

    def retouch(self, strength=1.0):
        self.nursery.start(self.root, strength)
        assert self.nursery.ended() == 0
        return tree(self.out)

    def killed(self, when, strength=1.0):
        """Start a shoot and kill it at some time; return whether that came before its end."""
        process = self.nursery.start(self.root, strength)
        when(self.out, process)
        with contextlib.suppress(ProcessLookupError):  # it was faster
            os.kill(process, signal.SIGKILL)
        ended = self.nursery.ended()
        assert ended in (0, -signal.SIGKILL)
        return ended != 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, sources, nursery):
    """The tree of a run that nobody killed, and the seconds that it took."""
    studio = Studio(tmp_path_factory.mktemp("undisturbed"), sources, nursery)
    start = time.perf_counter()
    return studio.retouch(), time.perf_counter() - start


def is_companion(name):
    return name.endswith((".xmp", "_mask.png"))


@pytest.mark.parametrize("seed", range(CHAINS))
def test_a_shoot_killed_at_any_moment_ends_as_if_undisturbed(
    tmp_path, sources, nursery, undisturbed, seed
):
    wanted, seconds = undisturbed
    chance = random.Random(seed)
    studio = Studio(tmp_path, sources, nursery)
    if seed % 3 == 2:  # outputs of another setting are there already
        studio.retouch(strength=0.5)
    for _ in range(KILLS):
        moments = (
            after(chance.uniform(0, seconds)),
            at_change(chance.randrange(1, 12)),
            in_mid_write(chance.uniform(0, 0.01)),
        )
        studio.killed(chance.choice(moments))
        for name, data in tree(studio.out).items():
            if not name.endswith(codecs.TEMP_SUFFIX) and seed % 3 != 2:
                assert data == wanted[name], f"{name} bears its name and is not whole"
    assert studio.retouch() == wanted
    assert tree(studio.root / "in") == tree(sources)
    assert set(read_journal(studio.out).done) == {n for n in wanted if not is_companion(n)}
    before = {path: path.stat().st_mtime_ns for path in studio.out.rglob("*")}
    assert studio.retouch() == wanted
    del before[studio.out / JOURNAL_NAME]
    assert all(path.stat().st_mtime_ns == when for path, when in before.items() if path.is_file())


def test_killed_in_mid_write_a_run_leaves_a_hidden_file_that_the_next_sweeps(
    tmp_path, sources, nursery, undisturbed
):
    studio = Studio(tmp_path, sources, nursery)
    nursery.hold.at("flush", "c.tif")
    assert studio.killed(lambda out, process: nursery.hold.reached("flush"))
    nursery.hold.go("flush")
    assert leftovers(studio.out)
    assert studio.retouch() == undisturbed[0]


@pytest.mark.parametrize("lost", ["the last line", "half of it", "all but the intents"])
def test_killed_between_a_name_and_its_line_no_output_of_ours_is_taken_for_foreign(
    tmp_path, sources, nursery, undisturbed, lost
):
    studio = Studio(tmp_path, sources, nursery)
    studio.retouch()
    path = studio.out / JOURNAL_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    if lost == "all but the intents":
        path.write_bytes(b"".join(line for line in lines if b'"photo"' not in line))
    else:
        path.write_bytes(b"".join(lines[:-1]) + (lines[-1][:99] if lost == "half of it" else b""))
    assert studio.retouch() == undisturbed[0]
    assert set(read_journal(studio.out).done) == {n for n in undisturbed[0] if not is_companion(n)}


def test_the_real_command_killed_with_its_decoders_ends_as_if_undisturbed(
    tmp_path, sources, checkpoint, hold
):
    shutil.copytree(sources, tmp_path / "in")
    words = ("retouch", "in", "--weights", checkpoint, "--save-mask", "--format", "tiff", "-o")

    def undisturbed(out):  # not in this process: the last bits depend on the number of threads
        with start(*words, out, cwd=tmp_path) as process:
            _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return err

    undisturbed("whole")
    for name in ("b.tif", "d.tif"):
        hold.at("flush", name)
        with start(*words, "done", cwd=tmp_path, env=hold.environment) as process:
            hold.reached("flush")
            for number in [process.pid, *children(process.pid)]:
                os.kill(number, signal.SIGKILL)
        hold.go("flush")
        assert process.returncode == -signal.SIGKILL
        assert leftovers(tmp_path / "done")
    undisturbed("done")
    assert tree(tmp_path / "done") == tree(tmp_path / "whole")
    assert "0 done, 5 skipped" in undisturbed("done")


def test_a_dry_run_tells_the_same_decisions_and_writes_nothing(tmp_path, sources, checkpoint):
    shutil.copytree(sources, tmp_path / "in")
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--ndjson")
    assert abpn(*words, cwd=tmp_path)[0] == 0
    for name, content in (("a.jpg", "foreign"), ("sub/d.jpg", "torn"), ("c.png", "gone")):
        path = tmp_path / "done" / name
        data = path.read_bytes()
        if content == "foreign":
            write_jpeg(path, grain(200, 300, 9))
        elif content == "torn":
            path.write_bytes(data[: len(data) // 2])
        else:
            path.unlink()
    journal = tmp_path / "done" / JOURNAL_NAME
    before = tree(tmp_path), journal.read_bytes()
    with keep_journal(tmp_path / "done"):  # a look takes no lock
        told = [
            json.loads(line) for line in abpn(*words, "--dry-run", cwd=tmp_path)[1].splitlines()
        ]
    assert before == (tree(tmp_path), journal.read_bytes())
    statuses = {event["source"]: (event["status"], event["foreign"]) for event in told[1:-1]}
    assert statuses == {
        "in/a.jpg": ("skipped", True),
        "in/b.tif": ("skipped", False),
        "in/c.png": ("planned", False),
        "in/sub/d.jpg": ("planned", False),
        "in/sub/e.tif": ("skipped", False),
    }
    assert (told[0]["to_do"], told[-1]["skipped"], told[-1]["foreign"]) == (2, 3, 1)
    done = [json.loads(line) for line in abpn(*words, cwd=tmp_path)[1].splitlines()]
    assert {
        event["source"]: (event["status"].replace("done", "planned"), event["foreign"])
        for event in done[1:-1]
    } == statuses


def test_a_changed_option_does_photos_again_and_a_changed_mask_its_own(
    tmp_path, sources, checkpoint
):
    shutil.copytree(sources, tmp_path / "in")
    (tmp_path / "masks" / "sub").mkdir(parents=True)
    sizes = {"a": (20, 30), "b": (50, 70), "c": (40, 60), "sub/d": (30, 40), "sub/e": (30, 50)}
    for name, size in sizes.items():
        write_png(tmp_path / "masks" / f"{name}.png", np.full((*size, 3), 255, np.uint8))
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--protect", "masks")

    def counts(*more):
        return abpn(*words, *more, cwd=tmp_path)[2].splitlines()[-1]

    abpn(*words, cwd=tmp_path)
    assert "0 done, 5 skipped" in abpn(*words, cwd=tmp_path)[2]
    write_png(tmp_path / "masks" / "sub" / "d.png", np.full((30, 40, 3), 254, np.uint8))
    assert "1 done, 4 skipped" in abpn(*words, cwd=tmp_path)[2]
    assert "5 done, 0 skipped" in abpn(*words, "--strength", "0.5", cwd=tmp_path)[2]


def test_a_locked_output_folder_is_7_and_left_alone(tmp_path, sources, checkpoint):
    with keep_journal(tmp_path / "done"):
        code, out, err = abpn(
            "retouch", sources, "-o", "done", "--weights", checkpoint, cwd=tmp_path
        )
    assert (code, out) == (7, "")
    assert "another run is writing into this folder" in err and err.count("\n") == 1
    assert tree(tmp_path / "done") == {}


@pytest.mark.parametrize("verb", ["retouch", "mask"])
def test_an_empty_name_of_the_output_folder_is_wrong_usage(tmp_path, sources, checkpoint, verb):
    code, out, err = abpn(verb, sources, "-o", "", "--weights", checkpoint, cwd=tmp_path)
    assert (code, out) == (2, "")
    assert "the name of the folder is empty" in err
    assert tree(tmp_path) == {}


def test_a_decoder_that_is_killed_costs_its_photo_and_the_batch_goes_on(tmp_path, checkpoint, hold):
    many(tmp_path, 3)
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--jobs", "1", "--ndjson")
    hold.at("decode", "00.png")
    with start(*words, cwd=tmp_path, env=hold.environment) as process:
        (decoder,) = hold.reached("decode")
        os.kill(decoder, signal.SIGKILL)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 3, err
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["status"] for event in events[1:-1]] == ["failed", "done", "done"]
    assert "its decoder died (SIGKILL)" in events[1]["error"]
