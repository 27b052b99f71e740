"""The journal: its lines, its lock, and which outputs it says need doing again."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from abpn_cli.batch.journal import JOURNAL_NAME, Run, read_journal
from abpn_cli.batch.keeper import keep_journal
from abpn_cli.batch.resume import CHANGED, EXISTS, RIVAL, STRANGE, UP_TO_DATE, Reading, Resume
from abpn_cli.errors import PhotoError, TargetError
from abpn_cli.files import write_atomic
from abpn_cli.photo import Job, Outcome

RUN = Run("1.0", "retouch", "cloth", sha256(b"weights").hexdigest(), {"strength": 1.0})


def write(path, content=b"photo"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def digest(path):
    return sha256(path.read_bytes()).hexdigest()


class Studio:
    """One photo in, one out; retouching is turning its bytes round."""

    def __init__(self, root, name="sub/a.tif", mask=False, sidecar=False):
        self.out = root / "out"
        self.source = write(root / "in" / name, b"photo as shot")
        self.target = self.out / name
        self.only = write(root / "only.png", b"mask")
        self.mask = self.target.with_suffix(".mask") if mask else None
        self.sidecars = ()
        if sidecar:
            read = write(self.source.with_suffix(".xmp"), b"<x/>")
            self.sidecars = ((read, self.target.with_suffix(".xmp")),)
        self.job = Job(
            self.source, self.target, Path(name), "tiff", sidecars=self.sidecars, mask=self.mask
        )
        self.run = RUN

    def settle(self, overwrite="changed", ledger=None):
        def is_whole(path):
            return b"torn" not in path.read_bytes()

        def inputs(job):
            return {"only": self.only} | {f"sidecar {r.name}": r for r, _ in job.sidecars}

        ledger = ledger or read_journal(self.out)
        reading = Reading(inputs, is_whole, lambda: self.run)
        return Resume(self.out, overwrite, ledger, reading).settle(self.job)

    def retouch(self, overwrite="changed", until="the end"):
        """Do the photo if it needs it; stop where a kill would."""
        with keep_journal(self.out) as keeper:
            keeper.begin(self.run)
            job = self.settle(overwrite, keeper.ledger)
            if job.skip:
                return job
            delivery = keeper.delivery(job)
            strength = str(self.run.settings["strength"]).encode()
            if job.mask:
                content = b"mask " + strength
                write_atomic(job.mask, lambda p: p.write_bytes(content), delivery.ready(job.mask))
            for read, written in job.sidecars:
                copy = partial(Path.write_bytes, data=read.read_bytes())
                write_atomic(written, copy, delivery.ready(written))
            if until == "the companions":
                return job
            data = job.source.read_bytes()[::-1] + strength
            ready = delivery.ready(job.target)
            if until == "the intent":
                ready(write(job.target.parent / "temp", data))
                (job.target.parent / "temp").unlink()
                return job
            write_atomic(job.target, lambda p: p.write_bytes(data), ready)
            if until == "the name":
                return job
            delivery.done(digest(job.source))
            return job


def lines(out):
    return [json.loads(line) for line in (out / JOURNAL_NAME).read_bytes().splitlines()]


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


def test_what_agrees_with_the_journal_is_kept(tmp_path):
    studio = Studio(tmp_path, mask=True, sidecar=True)
    studio.retouch()
    os.utime(studio.source)
    assert studio.settle().skip == UP_TO_DATE


@pytest.mark.parametrize(
    "what", ["source", "weights", "settings", "only", "sidecar", "no mask", "no copy", "no output"]
)
def test_what_changed_is_done_again(tmp_path, what):
    studio = Studio(tmp_path, mask=True, sidecar=True)
    studio.retouch()
    times = studio.source.stat()
    if what == "source":
        studio.source.write_bytes(b"photo as sh0t")  # the size and time of before
        os.utime(studio.source, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif what == "weights":
        studio.run = replace(RUN, weights=sha256(b"others").hexdigest())
    elif what == "settings":
        studio.run = replace(RUN, settings={"strength": 0.5})
    elif what == "only":
        studio.only.write_bytes(b"redrawn")
    elif what == "sidecar":
        studio.sidecars[0][0].write_bytes(b"<y/>")
    else:
        gone = {"mask": studio.mask, "copy": studio.sidecars[0][1], "output": studio.target}
        gone[what.removeprefix("no ")].unlink()
    assert not studio.settle().skip
    assert not studio.retouch().skip
    assert studio.settle().skip == UP_TO_DATE


def test_the_output_of_another_photo_of_that_name_is_kept_unless_always(tmp_path):
    monday = Studio(tmp_path)
    monday.retouch()
    delivered = monday.target.read_bytes()
    tuesday = Studio(tmp_path)
    tuesday.source = write(tmp_path / "tuesday" / "sub" / "a.tif", b"another photo")
    tuesday.job = replace(tuesday.job, source=tuesday.source)
    job = tuesday.retouch()
    assert (job.skip, job.foreign) == (RIVAL, True)
    assert str(monday.source) in job.warnings[0]
    assert monday.target.read_bytes() == delivered
    assert monday.settle().skip == UP_TO_DATE
    assert not tuesday.retouch("always").skip
    assert monday.settle().skip == RIVAL


@pytest.mark.parametrize("how", ["moved", "linked", "copied"])
def test_a_shoot_that_is_found_elsewhere_is_the_same_shoot(tmp_path, how):
    studio = Studio(tmp_path)
    studio.retouch()
    elsewhere = tmp_path / "elsewhere"
    if how == "moved":
        (tmp_path / "in").rename(elsewhere)
    elif how == "linked":
        elsewhere.symlink_to(tmp_path / "in", target_is_directory=True)
    else:
        write(elsewhere / "sub" / "a.tif", studio.source.read_bytes())
    studio.source = elsewhere / "sub" / "a.tif"
    studio.job = replace(studio.job, source=studio.source)
    assert studio.settle().skip == UP_TO_DATE
    if how == "copied":
        studio.run = replace(RUN, settings={"strength": 0.5})
    else:
        studio.source.write_bytes(b"developed anew")
    assert not studio.settle().skip


def test_another_version_of_abpn_is_no_reason_to_do_a_shoot_again(tmp_path):
    studio = Studio(tmp_path)
    studio.retouch()
    studio.run = replace(RUN, version="2.0")
    assert studio.settle().skip == UP_TO_DATE


def test_a_truncated_output_is_done_again_and_a_changed_one_is_somebodys_work(tmp_path):
    studio = Studio(tmp_path)
    studio.retouch()
    made = studio.target.read_bytes()
    studio.target.write_bytes(b"torn")
    assert not studio.settle().skip
    studio.target.write_bytes(b"dodged and burnt")
    job = studio.settle()
    assert (job.skip, job.foreign) == (CHANGED, True)
    assert job.warnings == (f"{studio.target} is kept: --overwrite always replaces it",)
    studio.source.write_bytes(b"another photo")  # all the more
    assert studio.settle().foreign
    assert not studio.settle("always").skip
    studio.source.write_bytes(b"photo as shot")
    studio.retouch("always")
    assert studio.target.read_bytes() == made


def test_a_file_that_no_journal_knows_is_foreign_and_a_broken_one_nobodys(tmp_path):
    studio = Studio(tmp_path)
    write(studio.target, b"from elsewhere")
    assert (studio.settle().skip, studio.settle().foreign) == (STRANGE, True)
    studio.target.write_bytes(b"torn")
    assert not studio.settle().skip


def test_never_keeps_whatever_exists_and_always_nothing(tmp_path):
    studio = Studio(tmp_path, mask=True, sidecar=True)
    theirs = write(studio.sidecars[0][1], b"<theirs/>")
    assert not studio.settle("never").skip
    assert studio.settle("never").sidecars == ()
    studio.retouch("never")
    assert theirs.read_bytes() == b"<theirs/>"
    studio.target.write_bytes(b"torn")
    assert studio.settle("never").skip == EXISTS
    assert not studio.settle("always").skip
    studio.retouch("always")
    assert theirs.read_bytes() == b"<x/>"


def test_a_sidecar_that_an_editor_changed_is_kept_while_its_photo_is_done(tmp_path):
    studio = Studio(tmp_path, sidecar=True)
    studio.retouch()
    theirs = studio.sidecars[0][1]
    theirs.write_bytes(b"<developed/>")
    job = studio.settle()
    assert job.skip == UP_TO_DATE and "a.xmp is not as abpn left it" in job.warnings[0]
    studio.run = replace(RUN, settings={"strength": 0.5})
    assert not studio.retouch().skip
    assert theirs.read_bytes() == b"<developed/>"
    assert studio.settle().skip == UP_TO_DATE


@pytest.mark.parametrize("until", ["the companions", "the intent", "the name", "the end"])
@pytest.mark.parametrize("before", ["nothing", "another strength"])
def test_wherever_a_run_is_killed_the_next_makes_the_same_tree(tmp_path, until, before):
    whole = Studio(tmp_path / "undisturbed", mask=True, sidecar=True)
    whole.retouch()
    studio = Studio(tmp_path / "killed", mask=True, sidecar=True)
    if before != "nothing":
        studio.run = replace(RUN, settings={"strength": 0.5})
        studio.retouch()
        studio.run = RUN
    studio.retouch(until=until)
    assert not studio.retouch().foreign
    for one, other in ((studio.target, whole.target), (studio.mask, whole.mask)):
        assert one.read_bytes() == other.read_bytes()
    assert studio.settle().skip == UP_TO_DATE


def test_a_rename_that_a_power_cut_undid_leaves_no_foreign_file(tmp_path):
    studio = Studio(tmp_path)
    studio.retouch()
    older = studio.target.read_bytes()
    studio.run = replace(RUN, settings={"strength": 0.5})
    studio.retouch()
    studio.target.write_bytes(older)
    assert not studio.settle().skip


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


@pytest.mark.parametrize("how", ["removed", "moved", "emptied"])
def test_an_output_folder_that_vanishes_is_not_made_anew(tmp_path, how):
    studio = Studio(tmp_path)
    with keep_journal(studio.out) as keeper:
        keeper.begin(RUN)
        delivery = keeper.delivery(studio.job)
        ready = delivery.ready(studio.target)
        if how == "moved":
            studio.out.rename(tmp_path / "elsewhere")
        else:
            (studio.out / JOURNAL_NAME).unlink()
        if how == "removed":
            studio.out.rmdir()
        with pytest.raises(TargetError, match="has gone during the run"):
            keeper.delivery(studio.job)
        with pytest.raises(TargetError, match="has gone during the run"):
            write_atomic(studio.target, lambda temp: temp.write_bytes(b"x"), ready)
    assert not [path for path in studio.out.rglob("*") if path.is_file()]


def test_a_link_made_during_the_run_leads_no_photo_out_of_the_folder(tmp_path):
    studio = Studio(tmp_path)
    with keep_journal(studio.out) as keeper:
        keeper.begin(RUN)
        (studio.out / "sub").symlink_to(studio.source.parent, target_is_directory=True)
        with pytest.raises(PhotoError, match="through the link"):
            keeper.delivery(studio.job)


def test_lines_of_many_threads_do_not_mix(tmp_path):
    with keep_journal(tmp_path / "out") as keeper:
        names = [f"{'x' * 3000}{index}" for index in range(40)]
        threads = [threading.Thread(target=keeper.intend, args=(name, "0" * 64)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(line["output"] for line in lines(tmp_path / "out")) == sorted(names)


def test_each_output_is_hashed_once_a_run(tmp_path, monkeypatch):
    studio = Studio(tmp_path)
    studio.retouch()
    read = []
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda p, *rest: read.append(p.name) or real(p, *rest))
    assert studio.settle().skip == UP_TO_DATE
    assert read.count("a.tif") == 2  # the source and the output, which share their name
