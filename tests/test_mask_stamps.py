"""Masks made anew: by what they were made from, never by time; somebody's own are kept."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from command import abpn, photo_events
from PIL import Image, PngImagePlugin
from shoots import load, picture, tree
from shoots import save as save_picture

from abpn_cli import codecs, weights
from abpn_cli.batch.resume import CHANGED, EXISTS, UP_TO_DATE
from abpn_cli.batch.stamps import STRANGE, Seen, Stamps
from abpn_cli.photo import Job

PAINTED = np.full((96, 128), 200, np.uint8)
ALIKE = "a" * 64


@pytest.fixture(autouse=True)
def decoders(shared_decoders):
    """Photos of many runs, decoded by the same processes."""


@pytest.fixture
def one(tmp_path):
    """A folder with one photo, `in/a.jpg`."""
    save_picture(tmp_path / "in" / "a.jpg", picture())
    return tmp_path


@pytest.fixture
def run(one, checkpoint):
    """Run `abpn mask` on `in`, into `masks`; return the event of the photo."""

    def go(*words, using=checkpoint):
        command = ("mask", one / "in", "-o", one / "masks", "--ndjson", "--weights", using)
        code, out, err = abpn(*command, *words, cwd=one)
        assert code == 0, err
        return photo_events(out)["a.jpg"]

    return go


def aged(path, seconds):
    """Set a file's time to so many seconds after the photo's."""
    os.utime(path.parents[1] / "in" / "a.jpg", (1_000_000, 1_000_000))
    os.utime(path, (1_000_000 + seconds, 1_000_000 + seconds))


@pytest.mark.parametrize("kind", ["mask", "overlay"])
@pytest.mark.parametrize("age", [-9, 9])
def test_a_mask_is_made_anew_when_photo_weights_or_options_changed_whatever_the_time(
    one, run, tmp_path, net, kind, age
):
    other = tmp_path / "other.safetensors"
    weights.save(other, net, weights.Header("abpn", asdict(net.config), "another task"))
    target = one / "masks" / ("a_mask.jpg" if kind == "overlay" else "a_mask.png")
    kind_words = ("--overlay",) if kind == "overlay" else ()

    def made(*words, **keywords):
        first = run(*kind_words, *words, **keywords)["status"]
        aged(target, age)
        again = run(*kind_words, *words, **keywords)
        return first, again["status"], again["reason"], again["foreign"]

    anew = ("done", "skipped", UP_TO_DATE, False)
    assert made() == anew
    assert made("--binary") == anew
    assert made("--detail") == anew
    assert made(using=other) == anew
    assert made() == anew
    save_picture(one / "in" / "a.jpg", picture()[::-1])
    assert made() == anew


def test_masks_of_the_same_photo_weights_and_options_are_the_same_bytes(one, run):
    assert run()["status"] == "done"
    first = tree(one / "masks")
    assert run("--overwrite", "always")["status"] == "done"
    assert run("--overwrite", "always", "--jobs", "3", "--max-memory", "1G")["status"] == "done"
    assert tree(one / "masks") == first
    assert run("--jobs", "1", "--accept-damaged", "--no-keep-moles")["status"] == "skipped"


def paint(path, how):
    """Put somebody's work in a mask's place."""
    words = PngImagePlugin.PngInfo()
    if how == "the stamp kept":
        with Image.open(path) as image:
            for keyword, text in image.text.items():
                words.add_text(keyword, text)
            assert image.text
    if how == "as TIFF":
        Image.fromarray(PAINTED).save(path, format="TIFF")
    else:
        Image.fromarray(PAINTED).save(path, pnginfo=words)


@pytest.mark.parametrize("how", ["the stamp gone", "the stamp kept", "as TIFF"])
def test_a_mask_that_somebody_painted_is_kept_told_and_replaced_by_always_alone(one, run, how):
    run()
    target = one / "masks" / "a_mask.png"
    paint(target, how)
    aged(target, 0)
    painted = target.read_bytes()
    for words in ((), ("--binary",), ("--overwrite", "changed"), ("--dry-run",)):
        event = run(*words)
        assert event["status"] == "skipped" and event["foreign"]
        assert event["reason"] == (CHANGED if how == "the stamp kept" else STRANGE)
        assert event["warnings"] == [f"{target} is kept: --overwrite always replaces it"]
        assert target.read_bytes() == painted
    assert run("--overwrite", "never")["reason"] == EXISTS
    assert run("--overwrite", "always")["status"] == "done"
    assert not np.array_equal(load(target), PAINTED)
    assert run()["reason"] == UP_TO_DATE


def test_an_overlay_that_somebody_edited_is_kept(one, run):
    run("--overlay")
    target = one / "masks" / "a_mask.jpg"
    with Image.open(target) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(target, comment=image.info["comment"])
    edited = target.read_bytes()
    event = run("--overlay", "--detail")
    assert (event["status"], event["foreign"]) == ("skipped", True)
    assert target.read_bytes() == edited


@pytest.mark.parametrize(
    ("how", "age"), [("older", -9), ("cut short", 9), ("empty", 9), ("no picture", 9)]
)
def test_what_is_nobodys_work_is_made_anew(one, run, how, age):
    run()
    target = one / "masks" / "a_mask.png"
    whole = target.read_bytes()
    if how == "older":  # from an abpn that knew no stamps, it may be, and the photo is another now
        paint(target, "the stamp gone")
    else:
        cut = {"cut short": whole[:-30], "empty": b"", "no picture": b"words"}
        target.write_bytes(cut[how])
    aged(target, age)
    assert run()["status"] == "done"
    assert target.read_bytes() == whole


def test_a_stamp_says_what_a_mask_was_found_on_and_harms_nobody_who_reads_it(tmp_path):
    photo = codecs.decode(save_picture(tmp_path / "a.png", picture()))
    stamp = codecs.Stamp(photo.digest, ALIKE)
    codecs.write_mask(PAINTED, tmp_path / "m.png", 6, stamp=stamp)
    codecs.write_overlay(photo, PAINTED, tmp_path / "m.jpg", stamp)
    for name in ("m.png", "m.jpg"):
        assert codecs.read_stamp(tmp_path / name) == stamp
        assert codecs.read_stamped(tmp_path / name) == (True, stamp, False)
    with Image.open(tmp_path / "m.png") as image:
        assert image.text["abpn mask"].split()[:2] == list(stamp)
        assert image.getexif()[274] == 6
        assert np.array_equal(np.asarray(image), PAINTED)
    assert np.abs(codecs.read_mask(tmp_path / "m.png") - 200 / 255).max() < 1e-6
    assert codecs.is_overlay(tmp_path / "m.jpg")
    with Image.open(tmp_path / "m.jpg") as image:
        assert image.size == (128, 96)


def test_what_is_no_file_is_somebodys_and_a_folder_is_told_by_who_writes(tmp_path):
    def refuse(path: Path) -> Seen:
        raise AssertionError(path)

    stamps = Stamps("changed", refuse, refuse, [ALIKE])
    job = Job(tmp_path / "a.jpg", tmp_path / "a_mask.png", Path("a.jpg"), "png")
    assert stamps.is_due(job) and not stamps.settle(job).skip
    job.target.mkdir()
    assert not stamps.settle(job).skip
    job.target.rmdir()
    os.mkfifo(job.target)
    assert stamps.settle(job).foreign and not stamps.is_due(job)


def test_the_device_is_told_where_masks_are_seen_to_be_of_other_options(one, run, checkpoint):
    def device(*words):
        command = ("mask", one / "in", "-o", one / "masks", "--ndjson", "--weights", checkpoint)
        return json.loads(abpn(*command, *words, cwd=one)[1].splitlines()[0])["device"]

    assert device() != "auto"
    assert device() == "auto"  # nothing to do: no network is loaded
    assert device("--binary") != "auto"
