"""The journal: its lines, its lock, and what it is kept from."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from journals import RUN, Studio, digest, lines, write

from abpn_cli.batch.journal import JOURNAL_NAME, read_journal
from abpn_cli.batch.keeper import keep_journal
from abpn_cli.batch.resume import UP_TO_DATE
from abpn_cli.errors import PhotoError, TargetError
from abpn_cli.files import write_atomic
from abpn_cli.photo import Outcome


def test_what_was_delivered_is_told_in_full(tmp_path):
    studio = Studio(tmp_path, mask=True, sidecar=True)
    assert not studio.retouch().skip
    run, *intents, photo = lines(studio.out)
    assert run == {
        "schema": 1, "entry": "run", "version": "1.0", "verb": "retouch", "task": "cloth",
        "weights": RUN.weights, "settings": {"strength": 1.0},
        "settings_digest": RUN.settings_digest,
    }  # fmt: skip
    assert [line["output"] for line in intents] == ["sub/a.mask", "sub/a.xmp", "sub/a.tif"]
    assert photo == {
        "schema": 1, "entry": "photo", "source": str(studio.source), "relative": "sub/a.tif",
        "output": "sub/a.tif", "status": "done", "size": 13, "sha256": digest(studio.source),
        "weights": RUN.weights, "settings": RUN.settings_digest,
        "inputs": {"only": digest(studio.only), "sidecar a.xmp": digest(studio.sidecars[0][0])},
        "output_size": 16, "output_sha256": digest(studio.target),
        "companions": {"sub/a.mask": digest(studio.mask),
                       "sub/a.xmp": digest(studio.sidecars[0][1])},
        "error": None,
    }  # fmt: skip
    assert read_journal(studio.out).done["sub/a.tif"].line() == photo


def test_a_torn_last_line_is_ignored_and_cut_off(tmp_path):
    studio = Studio(tmp_path)
    studio.retouch()
    path = studio.out / JOURNAL_NAME
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:40])
    ledger = read_journal(studio.out)
    assert list(ledger.done) == ["sub/a.tif"] and not ledger.warnings
    assert studio.retouch().skip == UP_TO_DATE
    assert path.read_bytes().startswith(whole)
    assert [line["entry"] for line in lines(studio.out)] == ["run", "intent", "photo", "run"]


HOSTILE = [
    b"", b"garbage", b"\xff\xfe\0", b"[" * 100_000, b"null", b"[]", b"{}", b'"photo"', b"1" * 5000,
    b'{"schema": 2, "entry": "photo"}', b'{"schema": 1}', b'{"schema": 1, "entry": "photo"}',
    b'{"schema": 1, "entry": "intent", "output": "../x", "output_sha256": "' + b"0" * 64 + b'"}',
    b'{"schema": 1, "entry": "intent", "output": ["a"], "output_sha256": 7}',
    b'{"schema": 1, "entry": "run", "settings": 7, "version": {}, "verb": 1, "task": 0}',
    b"x" * (3 << 20),
]  # fmt: skip


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: repr(line[:30]))
def test_lines_that_make_no_sense_are_passed_by_and_told(tmp_path, line):
    studio = Studio(tmp_path)
    studio.retouch()
    path = studio.out / JOURNAL_NAME
    whole = path.read_bytes()
    path.write_bytes(line + b"\n" + whole)
    ledger = read_journal(studio.out)
    assert list(ledger.done) == ["sub/a.tif"] and len(ledger.warnings) == 1
    assert studio.retouch().skip == UP_TO_DATE
    assert path.read_bytes().startswith(line + b"\n" + whole)


@pytest.mark.parametrize("key", ["output", "companions"])
@pytest.mark.parametrize(
    "name", ["../a", "/etc/passwd", "a/../../b", "", ".", "a//b", "a\0b", "a/"]
)
def test_no_path_from_a_journal_may_lead_out_of_the_folder(tmp_path, key, name):
    studio = Studio(tmp_path)
    studio.retouch()
    *rest, photo = lines(studio.out)
    photo[key] = name if key == "output" else {name: "0" * 64}
    text = "".join(json.dumps(line) + "\n" for line in [*rest, photo])
    (studio.out / JOURNAL_NAME).write_text(text)
    ledger = read_journal(studio.out)
    assert ledger.done == {} and len(ledger.warnings) == 1


def test_entries_and_keys_of_later_versions_are_passed_by_silently(tmp_path):
    studio = Studio(tmp_path)
    studio.retouch()
    later = [{**line, "mood": "good"} for line in lines(studio.out)]
    later.append({"schema": 1, "entry": "applause"})
    text = "".join(json.dumps(line) + "\n" for line in later)
    (studio.out / JOURNAL_NAME).write_text(text)
    assert not read_journal(studio.out).warnings
    assert studio.settle().skip == UP_TO_DATE


def test_names_that_are_not_utf8_come_back_as_they_are(tmp_path):
    name = os.fsdecode(b"caf\xe9\n.tif")
    try:
        studio = Studio(tmp_path, name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    studio.retouch()
    assert (studio.out / JOURNAL_NAME).read_bytes().isascii()
    assert list(read_journal(studio.out).done) == [name]
    assert studio.settle().skip == UP_TO_DATE


def test_a_failed_photo_is_told_and_the_output_of_before_still_counts(tmp_path):
    studio = Studio(tmp_path)
    studio.retouch()
    with keep_journal(studio.out) as keeper:
        keeper.begin(studio.run)
        failed = Outcome(studio.job, "failed", error="in/a.tif: is broken. Mend it.")
        done = Outcome(studio.job, "done")
        assert list(keeper.failures([failed, done])) == [failed, done]
    ledger = read_journal(studio.out)
    record = ledger.latest["sub/a.tif"]
    assert (record.status, record.error, record.sha256) == ("failed", failed.error, "")
    assert lines(studio.out)[-1]["sha256"] is None
    assert ledger.done["sub/a.tif"].status == "done"
    assert studio.settle().skip == UP_TO_DATE


def test_a_photo_that_failed_and_needs_no_doing_any_more_counts_as_done_again(tmp_path):
    studio = Studio(tmp_path)
    studio.retouch()
    job = studio.settle()
    skipped = Outcome(job, "skipped")
    for outcome in (Outcome(job, "failed", error="in/a.tif: is away."), skipped, skipped):
        with keep_journal(studio.out) as keeper:
            keeper.begin(studio.run)
            assert list(keeper.failures([outcome]))
    ledger = read_journal(studio.out)
    assert ledger.latest["sub/a.tif"] == ledger.done["sub/a.tif"]
    assert [line.get("status") for line in lines(studio.out) if "status" in line] == [
        "done", "failed", "done",
    ]  # fmt: skip


def test_a_journal_that_is_locked_is_refused_with_7_and_the_remedy(tmp_path):
    out = tmp_path / "out"
    with keep_journal(out):
        told = "another run .* Wait until it has ended"
        with pytest.raises(TargetError, match=told) as caught, keep_journal(out):
            pass
        assert caught.value.exit_code == 7
        assert read_journal(out).runs == []  # a look needs no lock
    with keep_journal(out):
        pass


def test_the_lock_goes_with_a_killed_process_but_not_with_its_children(tmp_path):
    code = """
import subprocess, sys
from pathlib import Path
from abpn_cli.batch.keeper import keep_journal
with keep_journal(Path(sys.argv[1])):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    print(child.pid, flush=True)
    input()
"""
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(out)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
    ) as holder:  # fmt: skip
        holder.stdout.readline()
        with pytest.raises(TargetError, match="another run"), keep_journal(out):
            pass
        holder.kill()
        holder.wait()
        with keep_journal(out):
            pass


def test_what_killed_runs_left_is_swept_and_nothing_else(tmp_path):
    out, away = tmp_path / "out", tmp_path / "away"
    swept = [write(out / ".a.tif.123.abpn-tmp"), write(out / "sub" / ".b\n.jpg.9-17.abpn-tmp")]
    kept = [
        write(out / name)
        for name in ("a.tif", ".a.tif.abpn-tmp", "a.tif.1.abpn-tmp", ".hidden", ".1.abpn-tmp")
    ]
    kept.append(write(away / ".c.tif.5.abpn-tmp"))
    (out / "link").symlink_to(away, target_is_directory=True)
    (out / ".d.tif.7.abpn-tmp").symlink_to(kept[-1])
    (out / ".folder.8.abpn-tmp").mkdir()
    with keep_journal(out):
        assert not [path for path in swept if path.exists()]
        assert all(path.exists() for path in kept)
        assert (out / ".d.tif.7.abpn-tmp").is_symlink() and (out / ".folder.8.abpn-tmp").is_dir()


def test_a_run_inside_or_around_a_folder_loses_no_file_to_the_sweep(tmp_path):
    out = tmp_path / "out"
    inside = write(out / "sub" / ".a.tif.123.abpn-tmp")
    with keep_journal(out):  # nobody is at work: it is swept
        assert not inside.exists()
        write(inside)  # what this run is writing
        with keep_journal(out / "sub"):
            assert inside.exists()
    with keep_journal(out / "sub"):
        assert not inside.exists()
        write(inside)
        with keep_journal(out):
            assert inside.exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_journal_that_is_no_file_is_refused_and_nothing_written(tmp_path, kind):
    out = tmp_path / "out"
    victim = write(tmp_path / "victim", b"precious\n")
    out.mkdir()
    path = out / JOURNAL_NAME
    {"link": lambda: path.symlink_to(victim), "pipe": lambda: os.mkfifo(path),
     "folder": path.mkdir}[kind]()  # fmt: skip
    with pytest.raises(TargetError), keep_journal(out):
        pass
    with pytest.raises(TargetError):
        read_journal(out)
    assert victim.read_bytes() == b"precious\n"


@pytest.mark.parametrize("how", ["removed", "moved", "emptied", "replaced"])
def test_an_output_folder_that_vanishes_is_not_made_anew(tmp_path, how):
    studio = Studio(tmp_path)
    with keep_journal(studio.out) as keeper:
        keeper.begin(RUN)
        delivery = keeper.delivery(studio.job)
        ready = delivery.ready(studio.target)
        if how in ("moved", "replaced"):
            studio.out.rename(tmp_path / "elsewhere")
        else:
            (studio.out / JOURNAL_NAME).unlink()
        if how == "removed":
            studio.out.rmdir()
        elif how == "replaced":
            write(studio.out / JOURNAL_NAME, b"")  # another disk, on which another run was
        with pytest.raises(TargetError, match="has gone during the run"):
            keeper.delivery(studio.job)
        with pytest.raises(TargetError, match="has gone during the run"):
            write_atomic(studio.target, lambda temp: temp.write_bytes(b"x"), ready)
    there = [path.name for path in studio.out.rglob("*") if path.is_file()]
    assert there == ([JOURNAL_NAME] if how == "replaced" else [])


def test_a_link_made_during_the_run_leads_no_photo_out_of_the_folder(tmp_path):
    studio = Studio(tmp_path)
    with keep_journal(studio.out) as keeper:
        keeper.begin(RUN)
        (studio.out / "sub").symlink_to(studio.source.parent, target_is_directory=True)
        with pytest.raises(PhotoError, match="through the link"):
            keeper.delivery(studio.job)


def test_a_line_of_which_the_disk_takes_a_part_is_taken_back(tmp_path, monkeypatch):
    with keep_journal(tmp_path / "out") as keeper:
        keeper.begin(RUN)
        with monkeypatch.context() as patch:
            real = os.write
            patch.setattr(os, "write", lambda file, data: real(file, data[:20]))
            with pytest.raises(TargetError, match="the disk is full"):
                keeper.intend("a.tif", "0" * 64)
        keeper.intend("b.tif", "0" * 64)
    assert [line.get("output") for line in lines(tmp_path / "out")] == [None, "b.tif"]


def test_lines_of_many_threads_do_not_mix(tmp_path):
    with keep_journal(tmp_path / "out") as keeper:
        names = [f"{'x' * 3000}{index}" for index in range(40)]
        threads = [threading.Thread(target=keeper.intend, args=(name, "0" * 64)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(line["output"] for line in lines(tmp_path / "out")) == sorted(names)
