"""`abpn verify`: what is right is called right, and every kind of wrong is named."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import jpeglib
import numpy as np
import pytest
import tifffile
from command import abpn
from networks import photo_of
from photos import (
    canon_block,
    donate,
    needs_exiftool,
    srgb_profile,
    write_dng,
    write_jpeg,
    write_png,
    write_tiff,
)
from profiles import WIDE

from abpn_cli import codecs
from abpn_cli.batch.journal import JOURNAL_NAME
from abpn_cli.codecs import EncodeOptions, decode, encode

SIZE = (300, 420)
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def pixels(dtype=np.uint8, size=SIZE):
    return photo_of(*size, dtype).pixels


def make_sources(folder):
    """A photo of each format, with an ICC profile and camera EXIF, one turned, one with alpha."""
    (folder / "sub").mkdir(parents=True)
    exif = canon_block()
    exif = exif.replace(b"\x12\x01\x03\0\1\0\0\0\1\0", b"\x12\x01\x03\0\1\0\0\0\6\0")  # turned
    write_jpeg(folder / "a.jpg", pixels(), srgb_profile(), exif, subsampling=2)
    write_tiff(folder / "b.tif", pixels(np.uint16), srgb_profile())
    (folder / "b.xmp").write_bytes(XMP)
    stored = np.dstack([pixels(), pixels()[..., 0]])
    write_png(folder / "sub" / "c.png", stored, srgb_profile())
    return folder


@pytest.fixture(scope="module", autouse=True)
def decoders():
    """Decoding processes that all tests here share: starting them takes most of the time.

    They have the folder they were started in, so paths must be absolute.
    """
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        real, started = codecs.DecodePool, {}

        def shared(workers, options=codecs.DecodeOptions()):  # noqa: B008 (frozen)
            if options not in started:
                started[options] = stack.enter_context(real(1, options))
            return nullcontext(started[options])

        patch.setattr(codecs, "DecodePool", shared)
        yield


@pytest.fixture(scope="module")
def delivery(checkpoint, tmp_path_factory):
    """A folder with `in`, retouched into `out` with masks."""
    root = tmp_path_factory.mktemp("delivery")
    make_sources(root / "in")
    assert retouch(root, checkpoint, "--save-mask") == 0
    return root


@pytest.fixture
def studio(delivery, tmp_path):
    """A copy of the delivery that a test may harm; the journal says where its sources are now."""
    root = tmp_path / "studio"
    shutil.copytree(delivery, root)
    journal = root / "out" / JOURNAL_NAME
    journal.write_text(journal.read_text().replace(str(delivery), str(root)))
    return root


def retouch(root, checkpoint, *words, out="out"):
    """Do the shoot in `in`; return the exit code."""
    there = (root / "in", "-o", root / out, "--weights", checkpoint)
    return abpn("retouch", *there, *words, cwd=root)[0]


def verify(root, *words, out="out"):
    """Run the command; return its exit code and its JSON document."""
    code, text, err = abpn("verify", root / out, "--json", "-", *words, cwd=root)
    assert err == "", err
    document = json.loads(text)
    assert document["summary"]["exit_code"] == code
    return code, document


def verdicts(document):
    return {photo["output"]: photo["verdict"] for photo in document["photos"]}


def found(document, output, state="off"):
    """The checks of one photo that are in a state, by name."""
    (photo,) = [photo for photo in document["photos"] if photo["output"] == output]
    return {c["name"]: c["words"] for c in photo["checks"] if c["state"] == state}


def only_wrong(studio, output, check, *words):
    """One photo is wrong, in one respect; the others are all right."""
    code, document = verify(studio, *words)
    others = {name for name, verdict in verdicts(document).items() if verdict != "ok"}
    assert (code, others) == (3, {output}), document
    assert list(found(document, output)) == [check], document
    return found(document, output)[check]


def sworn(root, output):
    """Have the journal say that what lies there now is what was delivered."""
    journal = root / "out" / JOURNAL_NAME
    data = (root / "out" / output).read_bytes()
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    line = [e for e in lines if e["entry"] == "photo" and e["output"] == output][-1]
    line |= {"output_size": len(data), "output_sha256": hashlib.sha256(data).hexdigest()}
    with journal.open("a") as file:
        file.write(json.dumps(line) + "\n")


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


def closed_pixel(root, output):
    """A pixel in a closed 16 x 16 block, by the mask that was kept."""
    name = f"{output.rpartition('.')[0]}_mask.png"
    mask = decode(root / "out" / name).pixels[..., 0]
    assert (mask > 0).any()
    for y in range(0, mask.shape[0] - 16, 16):
        for x in range(0, mask.shape[1] - 16, 16):
            if not mask[y : y + 16, x : x + 16].any():
                return y + 5, x + 5
    raise AssertionError("the mask is open everywhere")


@pytest.mark.parametrize("output", ["b.tif", "sub/c.png"])
def test_one_pixel_outside_the_mask_that_differs_by_one_is_wrong(studio, output):
    path = studio / "out" / output
    made = decode(path)
    y, x = closed_pixel(studio, output)
    made.pixels[y, x, 1] ^= 1
    encode(made, path, made.format, EncodeOptions())
    sworn(studio, output)
    assert only_wrong(studio, output, "pixels") == "1 pixels differ outside the mask"


def test_any_pixel_inside_the_mask_may_differ(studio):
    path = studio / "out" / "b.tif"
    made = decode(path)
    mask = decode(studio / "out" / "b_mask.png").pixels[..., 0]
    made.pixels[mask > 0] ^= 1
    encode(made, path, "tiff", EncodeOptions())
    sworn(studio, "b.tif")
    code, document = verify(studio)
    assert code == 0, document


def test_transparency_that_changed_is_wrong(studio):
    path = studio / "out" / "sub" / "c.png"
    made = decode(path)
    made.alpha[7, 7] ^= 1
    encode(made, path, "png", EncodeOptions())
    sworn(studio, "sub/c.png")
    assert "transparency" in only_wrong(studio, "sub/c.png", "pixels")


def test_one_coefficient_outside_the_mask_that_differs_is_wrong(studio):
    path = studio / "out" / "a.jpg"
    y, x = closed_pixel(studio, "a.jpg")
    plain = studio / "plain.jpg"
    shutil.copy(path, plain)
    image = jpeglib.read_dct(str(plain))
    image.Y[y // 8, x // 8, 1, 1] += 1
    image.write_dct(str(plain))
    segments, _ = codecs.jpeg.jpeg_carrier.split(path.read_bytes())
    metadata = [s for s in segments if s.marker in (0xE1, 0xE2)]
    own, scan = codecs.jpeg.jpeg_carrier.split(plain.read_bytes())
    own = [s for s in own if s.marker not in (0xE0, 0xE1, 0xE2, 0xFE)]
    path.write_bytes(codecs.jpeg.jpeg_carrier.join(metadata + own) + plain.read_bytes()[scan:])
    sworn(studio, "a.jpg")
    assert only_wrong(studio, "a.jpg", "pixels") == "1 MCUs differ outside the mask"


def test_a_jpeg_that_was_encoded_whole_where_it_should_not_is_wrong(studio):
    path = studio / "out" / "a.jpg"
    encode(decode(path), path, "jpeg", EncodeOptions(jpeg="reencode"))
    sworn(studio, "a.jpg")
    assert "quantisation or sampling" in only_wrong(studio, "a.jpg", "pixels")


def test_the_mask_is_found_anew_where_none_was_kept(studio, checkpoint, tmp_path):
    assert retouch(studio, checkpoint, "--format", "tiff", out="bare") == 0
    code, document = verify(studio, out="bare")
    assert code == 0
    assert "name it with --weights" in found(document, "b.tif", "unchecked")["pixels"]
    other = tmp_path / "other.safetensors"
    other.write_bytes(checkpoint.read_bytes() + b"\0")
    _, document = verify(studio, "--weights", other, out="bare")
    assert "is not the weights file" in found(document, "b.tif", "unchecked")["pixels"]
    code, document = verify(studio, "--weights", checkpoint, out="bare")
    assert code == 0 and not found(document, "b.tif", "unchecked")
    path = studio / "bare" / "a.tif"
    made = decode(path)
    mask = decode(studio / "out" / "a_mask.png").pixels[..., 0]
    assert (mask == 0).any()
    made.pixels[mask == 0] ^= 1
    encode(made, path, "tiff", EncodeOptions())
    shutil.rmtree(studio / "out")
    (studio / "bare").rename(studio / "out")
    sworn(studio, "a.tif")
    words = only_wrong(studio, "a.tif", "pixels", "--weights", checkpoint)
    assert words == f"{(mask == 0).sum()} pixels differ outside the mask"


@needs_exiftool
@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
def test_every_tag_that_is_lost_or_changed_is_named(checkpoint, tmp_path, suffix):
    write = {".jpg": write_jpeg, ".tif": write_tiff, ".png": write_png}[suffix]
    (tmp_path / "in").mkdir()
    name = f"a{suffix}"
    donate(write(tmp_path / "in" / name, pixels(), srgb_profile()), "-EXIF:Orientation=6")
    assert retouch(tmp_path, checkpoint) == 0
    code, document = verify(tmp_path)
    assert code == 0, document
    path = tmp_path / "out" / name
    whole = path.read_bytes()
    for harm in (
        {
            "-EXIF:Artist=": "IFD0 315",
            "-EXIF:FNumber=8": "EXIF 33437",
            "-GPS:GPSLatitude=1": "GPS 2",
            "-EXIF:Orientation=1": "Orientation",
            "-EXIF:XResolution=72": "resolution",
        },
        {
            "-EXIF:UserComment=": "EXIF 37510",
            "-IPTC:Keywords-=wool": "IPTC",
            "-XMP-dc:Subject=cut": "XMP subject",
            "-XMP-photoshop:City=": "XMP City",
        },
    ):
        path.write_bytes(whole)
        command = ["exiftool", "-q", "-m", "-n", "-overwrite_original", *harm, str(path)]
        subprocess.run(command, check=True)
        sworn(tmp_path, name)
        words = only_wrong(tmp_path, name, "tags")
        assert set(words.removeprefix("lost or changed: ").split(", ")) == set(harm.values())


@pytest.mark.parametrize(("output", "format"), [("a.jpg", "jpeg"), ("b.tif", "tiff")])
def test_a_profile_that_is_lost_or_another_is_named(studio, output, format):
    path = studio / "out" / output
    for icc, words in ((b"", "is lost"), (WIDE["prophoto gamma"], "is not the source's")):
        made = decode(path)
        encode(
            replace(made, metadata=replace(made.metadata, icc=icc)), path, format, EncodeOptions()
        )
        sworn(studio, output)
        assert only_wrong(studio, output, "profile") == f"the ICC profile {words}"


def test_a_maker_note_that_lost_a_byte_is_wrong(studio):
    path = studio / "out" / "a.jpg"
    data = path.read_bytes()
    assert data.count(b"Owner of the camera") == 1
    path.write_bytes(data.replace(b"Owner of the camera", b"owner of the camera"))
    sworn(studio, "a.jpg")
    assert only_wrong(studio, "a.jpg", "tags") == "lost or changed: MakerNote"


def test_a_wrong_size_depth_or_format_is_named(studio):
    made = pixels(np.uint16)
    path = studio / "out" / "b.tif"
    write_tiff(path, made[:-1], srgb_profile())
    sworn(studio, "b.tif")
    code, document = verify(studio)
    assert "it is 420 x 299, not 420 x 300" in found(document, "b.tif")["size"]
    write_tiff(path, (made >> 8).astype(np.uint8), srgb_profile())
    sworn(studio, "b.tif")
    code, document = verify(studio)
    assert found(document, "b.tif")["depth"] == "8 bits, not 16"
    write_png(path, made, srgb_profile())
    sworn(studio, "b.tif")
    code, document = verify(studio)
    assert found(document, "b.tif")["format"] == "it is a png"


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


def test_a_16_bit_tiff_is_read_by_others_as_verify_says(delivery):
    """The oracle: tifffile and the mask, without abpn's own reader."""
    before, after = (tifffile.imread(delivery / f / "b.tif") for f in ("in", "out"))
    mask = decode(delivery / "out" / "b_mask.png").pixels[..., 0]
    assert np.array_equal(before[mask == 0], after[mask == 0])
    assert not np.array_equal(before, after)
