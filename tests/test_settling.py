"""Which outputs need doing again: what lies on the disk, held against the journal."""

import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from journals import RUN, Studio, write

from abpn_cli.batch.resume import CHANGED, EXISTS, RIVAL, STRANGE, UP_TO_DATE


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


def test_each_output_is_hashed_once_a_run(tmp_path, monkeypatch):
    studio = Studio(tmp_path)
    studio.retouch()
    read = []
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda p, *rest: read.append(p.name) or real(p, *rest))
    assert studio.settle().skip == UP_TO_DATE
    assert read.count("a.tif") == 2  # the source and the output, which share their name
