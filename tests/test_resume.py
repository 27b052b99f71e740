"""Runs that are killed, stopped or starved: what the next one finds and makes of it."""

import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from networks import save, untrained
from photos import canon_block, pattern, write_jpeg, write_png, write_tiff
from resuming import Nursery

from abpn_cli import codecs
from abpn_cli.batch.journal import JOURNAL_NAME, read_journal
from abpn_cli.batch.keeper import keep_journal
from abpn_cli.cli import main

CHAINS = int(os.environ.get("ABPN_KILL_CHAINS", "6"))  # shoots, each killed several times
KILLS = 3
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="no /proc here to watch processes by"
)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}


def tree(folder):
    """Every file by name, with its bytes; the journal aside."""
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if path.name != JOURNAL_NAME
    }


def leftovers(folder):
    return [path for path in folder.rglob(".*") if path.name != JOURNAL_NAME]


def grain(height, width, seed, dtype=np.uint8):
    """Noise, which compresses badly and so takes its time to be written."""
    noise = np.random.default_rng(seed).integers(0, 40, (height, width, 3), dtype)
    return pattern(height, width, dtype) // 2 + noise


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
def nursery():
    nursery = Nursery()
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


def after(seconds):
    return lambda out, process: time.sleep(seconds)


def names_in(folder):
    return {Path(place, name) for place, _, names in os.walk(folder) for name in names}


def at_change(count):
    """Wait until a file has come or gone so many times; not beyond the end of the run."""

    def wait(out, process):
        seen, changes = names_in(out), 0
        while changes < count and Path(f"/proc/{process}/cmdline").exists():
            now = names_in(out)
            changes += now != seen
            seen = now

    return wait


def in_mid_write(seconds):
    """Wait for an unfinished file, and then a moment; not beyond the end of the run."""

    def wait(out, process):
        while Path(f"/proc/{process}/cmdline").exists():
            if any(path.suffix == codecs.TEMP_SUFFIX for path in names_in(out)):
                time.sleep(seconds)
                return

    return wait


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, sources, nursery):
    """The tree of a run that nobody killed, and the seconds that it took."""
    studio = Studio(tmp_path_factory.mktemp("undisturbed"), sources, nursery)
    start = time.perf_counter()
    return studio.retouch(), time.perf_counter() - start


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


def is_companion(name):
    return name.endswith((".xmp", "_mask.png"))


def test_killed_in_mid_write_a_run_leaves_a_hidden_file_that_the_next_sweeps(
    tmp_path, sources, nursery, undisturbed
):
    studio = Studio(tmp_path, sources, nursery)
    for _ in range(20):
        shutil.rmtree(studio.out, ignore_errors=True)
        if studio.killed(in_mid_write(0)) and leftovers(studio.out):
            break
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


# The real command.


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save(untrained(), tmp_path_factory.mktemp("weights") / "tiny.safetensors")


def start(*words, cwd, **keywords):
    return subprocess.Popen(
        [sys.executable, "-m", "abpn_cli", *map(os.fspath, words)],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **keywords,
    )


def abpn(*words, cwd):
    """Run the same `main` in this process; return (exit code, stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["abpn", *map(os.fspath, words)])
        with pytest.raises(SystemExit) as end:
            main()
    return end.value.code or 0, out.getvalue(), err.getvalue()


def children(process):
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(number) for number in listed.split()]


def many(folder, count, height=300, width=400):
    (folder / "in").mkdir()
    first = write_png(folder / "in" / "00.png", grain(height, width, 0))
    for index in range(1, count):
        shutil.copy(first, folder / "in" / f"{index:02}.png")
    return folder


def test_the_real_command_killed_with_its_decoders_ends_as_if_undisturbed(
    tmp_path, sources, weights
):
    shutil.copytree(sources, tmp_path / "in")
    words = ("retouch", "in", "--weights", weights, "--save-mask", "--format", "tiff", "-o")

    def undisturbed(out):  # not in this process: the last bits depend on the number of threads
        with start(*words, out, cwd=tmp_path) as process:
            _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return err

    undisturbed("whole")
    chance = random.Random(1)
    for _ in range(2):
        with start(*words, "done", cwd=tmp_path) as process:
            in_mid_write(chance.uniform(0, 0.2))(tmp_path / "done", process.pid)
            for number in [process.pid, *children(process.pid)]:
                os.kill(number, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    undisturbed("done")
    assert tree(tmp_path / "done") == tree(tmp_path / "whole")
    assert "0 done, 5 skipped" in undisturbed("done")


def test_a_dry_run_tells_the_same_decisions_and_writes_nothing(tmp_path, sources, weights):
    shutil.copytree(sources, tmp_path / "in")
    words = ("retouch", "in", "-o", "done", "--weights", weights, "--ndjson")
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


def test_a_changed_option_does_photos_again_and_a_changed_mask_its_own(tmp_path, sources, weights):
    shutil.copytree(sources, tmp_path / "in")
    (tmp_path / "masks" / "sub").mkdir(parents=True)
    for name in ("a", "b", "c", "sub/d", "sub/e"):
        write_png(tmp_path / "masks" / f"{name}.png", np.full((20, 30, 3), 255, np.uint8))
    words = ("retouch", "in", "-o", "done", "--weights", weights, "--protect", "masks")

    def counts(*more):
        return abpn(*words, *more, cwd=tmp_path)[2].splitlines()[-1]

    abpn(*words, cwd=tmp_path)
    assert "0 done, 5 skipped" in abpn(*words, cwd=tmp_path)[2]
    write_png(tmp_path / "masks" / "sub" / "d.png", np.full((20, 30, 3), 254, np.uint8))
    assert "1 done, 4 skipped" in abpn(*words, cwd=tmp_path)[2]
    assert "5 done, 0 skipped" in abpn(*words, "--strength", "0.5", cwd=tmp_path)[2]


def test_a_locked_output_folder_is_7_and_left_alone(tmp_path, sources, weights):
    with keep_journal(tmp_path / "done"):
        code, out, err = abpn("retouch", sources, "-o", "done", "--weights", weights, cwd=tmp_path)
    assert (code, out) == (7, "")
    assert "another run is writing into this folder" in err and err.count("\n") == 1
    assert tree(tmp_path / "done") == {}


@pytest.mark.parametrize("verb", ["retouch", "mask"])
def test_an_empty_name_of_the_output_folder_is_wrong_usage(tmp_path, sources, weights, verb):
    code, out, err = abpn(verb, sources, "-o", "", "--weights", weights, cwd=tmp_path)
    assert (code, out) == (2, "")
    assert "the name of the folder is empty" in err
    assert tree(tmp_path) == {}


def test_a_second_signal_stops_at_once_and_leaves_no_half_file(tmp_path, weights):
    many(tmp_path, 12, 1500, 2000)
    words = ("retouch", "in", "-o", "done", "--weights", weights, "--format", "tiff", "--ndjson")
    with start(*words, cwd=tmp_path) as process:
        in_mid_write(0)(tmp_path / "done", process.pid)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        asked = time.perf_counter()
        process.wait(20)
        seconds = time.perf_counter() - asked
        err = process.stderr.read()
    assert process.returncode == 143
    assert seconds < 2
    assert "Traceback" not in err
    assert not leftovers(tmp_path / "done")
    for name in tree(tmp_path / "done"):
        codecs.decode(tmp_path / "done" / name)


def test_a_decoder_that_is_killed_costs_its_photo_and_the_batch_goes_on(tmp_path, weights):
    many(tmp_path, 3)
    words = ("retouch", "in", "-o", "done", "--weights", weights, "--jobs", "1", "--ndjson")
    with start(*words, cwd=tmp_path) as process:
        decoders = []
        while not decoders:
            decoders = [n for n in children(process.pid) if b"worker" in command_of(n)]
        os.kill(decoders[0], signal.SIGSTOP)  # before it has read what it is asked for
        time.sleep(1)
        os.kill(decoders[0], signal.SIGKILL)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["status"] for event in events[1:-1]] == ["failed", "done", "done"]
    assert "its decoder died (SIGKILL)" in events[1]["error"]


def command_of(process):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def check_stopped(folder, process, out, err, said):
    """The run ended with 7, everything is told of, nothing is half written."""
    assert process.returncode == 7, err
    assert "Traceback" not in err and said in err.splitlines()[-1]
    events = [json.loads(line) for line in out.splitlines()]
    statuses = [event["status"] for event in events[1:-1]]
    assert len({event["source"] for event in events[1:-1]}) == len(statuses) == 12
    summary = events[-1]
    assert statuses.count("not_done") == summary["not_done"] > 0
    assert "not done: in/" in err
    delivered = [event["output"] for event in events[1:-1] if event["status"] == "done"]
    return [folder / output for output in delivered]


def test_a_full_disk_stops_the_run_with_7_and_the_next_goes_on(tmp_path, weights):
    done = many(tmp_path, 12, 300, 400) / "done"
    done.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(done)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        words = ("retouch", "in", "-o", "done", "--weights", weights, "--format", "tiff")
        with start(*words, "--ndjson", cwd=tmp_path) as process:
            out, err = process.communicate(timeout=60)
        delivered = check_stopped(tmp_path, process, out, err, "the disk is full")
        assert not leftovers(done)
        assert sorted(delivered) == sorted(done / name for name in tree(done))
        for path in delivered:
            codecs.decode(path)
        subprocess.run(["mount", "-o", "remount,size=64m", str(done)], check=True)
        assert abpn(*words, cwd=tmp_path)[0] == 0
        assert len(tree(done)) == 12
    finally:
        subprocess.run(["umount", "-l", str(done)], check=True)


def test_a_limit_on_file_sizes_stops_the_run_with_7(tmp_path, weights):
    if not hasattr(resource, "prlimit"):
        pytest.skip("no prlimit here")
    many(tmp_path, 12, 800, 1000)
    words = ("retouch", "in", "-o", "done", "--weights", weights, "--format", "tiff", "--ndjson")
    with start(*words, cwd=tmp_path) as process:
        head = [process.stdout.readline() for _ in range(3)]  # the decoders have started
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (200_000, 200_000))
        out = "".join(head) + process.stdout.read()
        err = process.stderr.read()
    delivered = check_stopped(tmp_path, process, out, err, "takes no file this large")
    assert sorted(delivered) == sorted(tmp_path / "done" / name for name in tree(tmp_path / "done"))
    for path in delivered:
        codecs.decode(path)


def test_an_output_folder_that_goes_away_stops_the_run_with_7(tmp_path, weights):
    many(tmp_path, 12)
    words = ("retouch", "in", "-o", "done", "--weights", weights, "--format", "tiff", "--ndjson")
    with start(*words, cwd=tmp_path) as process:
        head = [process.stdout.readline() for _ in range(3)]  # the plan and two photos
        (tmp_path / "done").rename(tmp_path / "gone")
        out = "".join(head) + process.stdout.read()
        err = process.stderr.read()
    check_stopped(tmp_path, process, out, err, "has gone")
    assert tree(tmp_path / "done") == {} and not (tmp_path / "done" / JOURNAL_NAME).exists()
    for name in tree(tmp_path / "gone"):
        if not name.endswith(codecs.TEMP_SUFFIX):  # which cannot be found any more
            codecs.decode(tmp_path / "gone" / name)
