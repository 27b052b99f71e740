"""`abpn verify`: what is right is called right; what is missing, damaged or changed is named."""

import fcntl
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from command import abpn
from photos import write_dng, write_jpeg
from verifying import XMP, found, make_sources, only_wrong, pixels, retouch, verdicts, verify

from abpn_cli.batch.journal import JOURNAL_NAME
from abpn_cli.codecs import EncodeOptions, decode, encode

pytestmark = pytest.mark.usefixtures("shared_decoders")


def state_of(folder):
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def test_what_was_delivered_is_all_right_and_nothing_is_written(delivery):
    before = state_of(delivery)
    code, document = verify(delivery)
    assert code == 0, document
    assert verdicts(document) == {"a.jpg": "ok", "b.tif": "ok", "sub/c.png": "ok"}
    for photo in document["photos"]:
        checks = {check["name"]: check["state"] for check in photo["checks"]}
        assert set(checks) >= {"whole", "hash", "source", "size", "depth", "profile", "tags"}
        assert checks["pixels"] == "ok", photo
    assert state_of(delivery) == before


def test_people_get_a_table_of_what_is_off_and_a_sum(studio):
    (studio / "out" / "b.tif").unlink()
    code, out, err = abpn("verify", studio / "out", cwd=studio)
    assert (code, err) == (3, "")
    (row,) = [line for line in out.splitlines() if line.startswith("b.tif")]
    assert row.split(None, 2) == ["b.tif", "missing", "it is not there"]
    assert "3 photos: 1 missing, 2 ok" in out and "a.jpg" not in out
    assert "a.jpg" in abpn("verify", studio / "out", "-v", cwd=studio)[1]
    assert abpn("verify", studio / "out", "-q", cwd=studio) == (3, "", "")


@pytest.mark.parametrize("output", ["a.jpg", "b.tif", "sub/c.png"])
def test_a_file_cut_short_is_damaged(studio, output):
    path = studio / "out" / output
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, document = verify(studio)
    assert (code, verdicts(document)[output]) == (3, "damaged")
    code, document = verify(studio, "--accept-changed")
    assert code == 3


@pytest.mark.parametrize("output", ["a.jpg", "b.tif", "sub/c.png"])
def test_work_done_on_it_since_is_told_apart_from_damage(studio, output):
    path = studio / "out" / output
    made = decode(path)
    made.pixels[40:60] //= 2
    encode(made, path, made.format, EncodeOptions(quality=90, jpeg="reencode"))
    code, document = verify(studio)
    assert (code, verdicts(document)[output]) == (3, "changed")
    assert found(document, output, "changed") == {"hash": "changed since delivery"}
    assert verify(studio, "--accept-changed")[0] == 0


def test_a_source_that_changed_or_went_is_told_and_a_moved_one_is_found(studio):
    data = (studio / "in" / "a.jpg").read_bytes()
    (studio / "in" / "a.jpg").write_bytes(data + b"\0")
    assert "has changed since" in only_wrong(studio, "a.jpg", "source")
    (studio / "in" / "a.jpg").unlink()
    assert "--source" in only_wrong(studio, "a.jpg", "source")
    (studio / "in" / "a.jpg").write_bytes(data)
    (studio / "in").rename(studio / "archive")
    assert verify(studio)[0] == 3
    code, document = verify(studio, "--source", studio / "archive")
    assert code == 0 and not found(document, "a.jpg", "unchecked")
    code, document = verify(studio, "--outputs-only")
    names = {check["name"] for check in document["photos"][0]["checks"]}
    assert code == 0 and names == {"file", "whole", "hash", "format", "companions"}


def test_masks_and_sidecars_are_part_of_what_was_delivered(studio):
    mask, sidecar = studio / "out" / "b_mask.png", studio / "out" / "b.xmp"
    sidecar.write_bytes(XMP + b"<!-- rated -->")
    code, document = verify(studio)
    assert (code, verdicts(document)["b.tif"]) == (3, "changed")
    assert verify(studio, "--accept-changed")[0] == 0
    sidecar.write_bytes(bytes(len(XMP)))
    assert only_wrong(studio, "b.tif", "companions") == "b.xmp: it holds nothing"
    sidecar.write_bytes(XMP)
    mask.write_bytes(mask.read_bytes()[:100])
    assert "b_mask.png" in only_wrong(studio, "b.tif", "companions")
    mask.unlink()
    assert "b_mask.png: No such file" in only_wrong(studio, "b.tif", "companions")


def test_what_no_photo_accounts_for_is_told_apart(studio):
    out = studio / "out"
    (out / "sub" / "notes.txt").write_text("mine")
    code, document = verify(studio)
    assert (code, document["strangers"], document["leftovers"]) == (0, ["sub/notes.txt"], [])
    (out / "sub" / ".d.jpg.123-4.abpn-tmp").write_bytes(b"half")
    code, document = verify(studio)
    assert (code, document["leftovers"]) == (3, ["sub/.d.jpg.123-4.abpn-tmp"])
    (out / "sub" / ".d.jpg.123-4.abpn-tmp").unlink()
    intent = {"schema": 1, "entry": "intent", "output": "sub/notes.txt"}
    intent["output_sha256"] = hashlib.sha256(b"mine").hexdigest()
    with (out / JOURNAL_NAME).open("a") as file:
        file.write(json.dumps(intent) + "\n")
    code, document = verify(studio)
    assert (code, document["unfinished"]) == (3, ["sub/notes.txt"])
    assert "run again" in abpn("verify", studio / "out", cwd=studio)[1]


def test_a_photo_that_failed_is_not_forgotten(checkpoint, tmp_path):
    make_sources(tmp_path / "in")
    (tmp_path / "in" / "cut.jpg").write_bytes((tmp_path / "in" / "a.jpg").read_bytes()[:5000])
    assert retouch(tmp_path, checkpoint) == 3
    code, document = verify(tmp_path)
    assert (code, verdicts(document)["cut.jpg"]) == (3, "failed")
    assert "damaged" in found(document, "cut.jpg")["journal"]
    (tmp_path / "in" / "b.tif").write_bytes(b"II*\0")
    assert retouch(tmp_path, checkpoint) == 3
    code, document = verify(tmp_path)
    assert "a later run could not do it" in found(document, "b.tif")["journal"]


def test_no_journal_is_2_and_a_run_that_goes_on_is_7(studio):
    for words in (("in",), ("nowhere",), ("in/a.jpg",), ("",), ("out", "--source", "nowhere")):
        code, out, err = abpn("verify", *words, cwd=studio)
        assert (code, out) == (2, "") and "Traceback" not in err
    code, _, err = abpn("verify", "out", "--json", "out/report.json", cwd=studio)
    assert code == 2 and "not written to" in err
    with (studio / "out" / JOURNAL_NAME).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, _, err = abpn("verify", studio / "out", cwd=studio)
    assert code == 7 and "a run is writing into this folder" in err


def test_a_journal_made_to_hurt_leads_nowhere(studio):
    os.mkfifo(studio / "pipe.jpg")
    journal = studio / "out" / JOURNAL_NAME
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    (line,) = [e for e in lines if e["entry"] == "photo" and e["output"] == "a.jpg"]
    bad = [
        line | {"source": str(studio / "pipe.jpg")},
        line | {"output": "../in/a.jpg"},
        line | {"companions": {"../../etc/passwd": "0" * 64}},
    ]
    with journal.open("a") as file:
        file.write("".join(json.dumps(entry) + "\n" for entry in bad) + "[[[[\n" + '{"torn')
    code, document = verify(studio)
    assert (code, verdicts(document)["a.jpg"]) == (3, "wrong")
    assert "cannot be read" in found(document, "a.jpg")["source"]
    assert set(verdicts(document)) == {"a.jpg", "b.tif", "sub/c.png"}
    assert document["warnings"] == [f"{JOURNAL_NAME}: 3 lines that make no sense were ignored"]
    (studio / "out" / "a.jpg").unlink()
    os.mkfifo(studio / "out" / "a.jpg")
    assert verify(studio)[0] == 3


def test_a_journal_that_lost_how_it_was_made_leaves_that_unchecked(studio):
    journal = studio / "out" / JOURNAL_NAME
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"entry": "run"' not in line))
    code, document = verify(studio)
    assert code == 0
    assert set(found(document, "a.jpg", "unchecked")) >= {"size", "tags", "pixels"}


@pytest.mark.parametrize("more", [("--upright",), ("--format", "png"), ("--jpeg", "reencode")])
def test_turned_and_converted_photos_are_all_right_too(checkpoint, tmp_path, more):
    make_sources(tmp_path / "in")
    write_dng(tmp_path / "in" / "raw.dng", pixels(np.uint16), orientation=8)
    assert retouch(tmp_path, checkpoint, "--save-mask", *more) == 0
    code, document = verify(tmp_path)
    assert code == 0, document
    assert len(document["photos"]) == 4
    reasons = {p["output"]: found(document, p["output"], "unchecked") for p in document["photos"]}
    whole = {"pixels": "it was encoded whole, as a JPEG"}
    jpeg_again = "--format" not in more
    assert {n: r for n, r in reasons.items() if r} == ({"a.jpg": whole} if jpeg_again else {})


def test_names_that_are_not_utf_8_are_checked_and_printable(checkpoint, tmp_path):
    (tmp_path / "in").mkdir()
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/\xff\n.jpg"))
    write_jpeg(tmp_path / "in" / "a", pixels()).rename(odd)
    assert retouch(tmp_path, checkpoint) == 0
    code, document = verify(tmp_path)
    assert (code, verdicts(document)) == (0, {"\\xff\n.jpg": "ok"})
    (tmp_path / "out" / odd.name).unlink()
    code, out, _ = abpn("verify", tmp_path / "out", cwd=tmp_path)
    (row,) = [line.split() for line in out.splitlines() if "missing  " in line]
    assert (code, row[:2]) == (3, ["\\xff\\n.jpg", "missing"])
