"""Disks that are full, take no more, or go away: exit 7, and what was not done is named."""

import json
import resource
import shutil
import subprocess

import pytest
from command import abpn, start
from shoots import files, leftovers, many, picture, save, tree

from abpn_cli import codecs
from abpn_cli.batch.journal import JOURNAL_NAME


def test_an_output_that_cannot_be_written_stops_the_run_with_7(shoot, checkpoint):
    (shoot / "done").mkdir()
    (shoot / "done" / "sub").write_text("a file in the way of a folder")
    for name in "defghijklm":
        save(shoot / "in" / "z" / f"{name}.png", picture(32, 32))
    code, out, err = abpn(
        "retouch", "in", "-o", "done", "--weights", checkpoint, "--json", "-", cwd=shoot
    )
    assert code == 7
    summary = json.loads(out)["summary"]
    assert summary["exit_code"] == 7 and summary["not_done"] > 0 and summary["failed"] > 0
    assert f"{summary['not_done']} not done" in err
    assert err.splitlines()[-1].startswith("abpn: done/sub/")
    assert not [name for name in files(shoot / "done") if "tmp" in name]


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


def test_a_full_disk_stops_the_run_with_7_and_the_next_goes_on(tmp_path, checkpoint):
    done = many(tmp_path, 12, 300, 400) / "done"
    done.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(done)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--format", "tiff")
        with start(*words, "--ndjson", cwd=tmp_path) as process:
            out, err = process.communicate(timeout=300)
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


def test_a_limit_on_file_sizes_stops_the_run_with_7(tmp_path, checkpoint, hold):
    if not hasattr(resource, "prlimit"):
        pytest.skip("no prlimit here")
    many(tmp_path, 12, 800, 1000)
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--format", "tiff", "--ndjson")
    hold.at("decode", "06.png")
    with start(*words, cwd=tmp_path, env=hold.environment) as process:
        head = [process.stdout.readline() for _ in range(3)]  # the decoders have started
        hold.reached("decode")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (200_000, 200_000))
        hold.go("decode")
        out = "".join(head) + process.stdout.read()
        err = process.stderr.read()
    delivered = check_stopped(tmp_path, process, out, err, "takes no file this large")
    assert sorted(delivered) == sorted(tmp_path / "done" / name for name in tree(tmp_path / "done"))
    for path in delivered:
        codecs.decode(path)


def test_an_output_folder_that_goes_away_stops_the_run_with_7(tmp_path, checkpoint, hold):
    many(tmp_path, 12)
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--format", "tiff", "--ndjson")
    hold.at("decode", "06.png")
    with start(*words, cwd=tmp_path, env=hold.environment) as process:
        head = [process.stdout.readline() for _ in range(3)]  # the plan and two photos
        hold.reached("decode")
        (tmp_path / "done").rename(tmp_path / "gone")
        hold.go("decode")
        out = "".join(head) + process.stdout.read()
        err = process.stderr.read()
    check_stopped(tmp_path, process, out, err, "has gone")
    assert tree(tmp_path / "done") == {} and not (tmp_path / "done" / JOURNAL_NAME).exists()
    for name in tree(tmp_path / "gone"):
        if not name.endswith(codecs.TEMP_SUFFIX):  # which cannot be found any more
            codecs.decode(tmp_path / "gone" / name)
