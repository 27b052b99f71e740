"""Disks that take nothing at all, and quotas: exit 7, what was not done is named, no half file."""

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from command import abpn, real_abpn
from shoots import leftovers, many, tree

from abpn_cli import codecs

COUNT = 10  # more than can be in hand at once


def words_for(checkpoint, *more):
    return (
        "retouch",
        "in",
        "-o",
        "done",
        "--weights",
        checkpoint,
        "--format",
        "tiff",
        "--jobs",
        "1",
        *more,
    )


@pytest.mark.parametrize("inside", [False, True], ids=["the folder itself", "a disk around it"])
def test_a_read_only_disk_is_told_with_7_before_any_work(tmp_path, checkpoint, inside):
    many(tmp_path, 3)
    disk = tmp_path / ("disk" if inside else "done")
    disk.mkdir()
    out_folder = disk / "done" if inside else disk
    mounting = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        code, out, err = real_abpn(
            "retouch", "in", "-o", out_folder, "--weights", checkpoint, cwd=tmp_path
        )
        assert (code, out) == (7, "")
        assert f"no permission to write in {disk}. Choose another place" in err
        assert "Traceback" not in err and err.count("\n") == 1
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def failing(call, after, code):
    """A system call that does its work so many times and then fails for good."""
    calls = 0

    def fails(*words):
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(code, os.strerror(code))
        return call(*words)

    return fails


CALLS = [
    *(("fsync", after, errno.EDQUOT, "the disk quota is used up") for after in (0, 1, 7)),
    ("fsync", 6, errno.EROFS, "the file system is read-only"),
    ("write", 6, errno.EDQUOT, "the disk quota is used up"),  # of the journal
]


@pytest.mark.parametrize(("call", "after", "code", "said"), CALLS)
def test_a_quota_used_up_or_a_disk_turned_read_only_stops_the_run_with_7(
    tmp_path, checkpoint, shared_decoders, monkeypatch, call, after, code, said
):
    many(tmp_path, COUNT, 40, 60)
    monkeypatch.setattr(os, call, failing(getattr(os, call), after, code))
    ended, out, err = abpn(*words_for(checkpoint, "--ndjson"), cwd=tmp_path)
    monkeypatch.undo()
    done = tmp_path / "done"
    assert ended == 7
    assert said in err.splitlines()[-1] and "Traceback" not in err
    assert not leftovers(done)
    for name in tree(done):
        codecs.decode(done / name)
    told = [json.loads(line) for line in out.splitlines()[1:-1]]
    if after:  # the journal had been begun
        statuses = {Path(event["source"]).name: event["status"] for event in told}
        left = sorted(name for name, status in statuses.items() if status == "not_done")
        assert len(statuses) == len(told) == COUNT and left
        (listed,) = (line for line in err.splitlines() if line.startswith("not done: "))
        named, _, more = listed.removeprefix("not done: ").partition(" and ")
        assert named.split(", ") == [f"in/{name}" for name in left][: named.count(",") + 1]
        assert named.count(",") + 1 + int(more.removesuffix(" more") or 0) == len(left)
        delivered = {event["output"] for event in told if event["status"] == "done"}
        assert delivered <= {f"done/{name}" for name in tree(done)}
    else:
        assert told == [] and tree(done) == {}
    assert abpn(*words_for(checkpoint), cwd=tmp_path)[0] == 0  # there is room again
    assert len(tree(done)) == COUNT
