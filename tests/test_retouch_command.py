"""`abpn retouch` in a folder of its own: which files it makes, what it says of each photo."""

import json
import os

import numpy as np
import pytest
from command import abpn, real_abpn
from PIL import Image
from shoots import files, load, picture, save, snapshot

pytestmark = pytest.mark.usefixtures("one_decoder")
ORIENTATION = 274  # EXIF tag


def test_a_mixed_tree_comes_back_mirrored_and_the_corrupt_photo_is_named(shoot, checkpoint):
    whole = (shoot / "in" / "a.jpg").read_bytes()
    (shoot / "in" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (shoot / "in" / "empty.png").write_bytes(b"")
    (shoot / "in" / "fake.tif").write_text("text")
    (shoot / "in" / "a.xmp").write_bytes(b"<x:xmpmeta/>")
    before = snapshot(shoot / "in")
    code, out, err = real_abpn(
        "retouch", "in", "-o", "done", "--weights", checkpoint, "--save-mask", "--ndjson",
        "--json", "report.json", cwd=shoot,
    )  # fmt: skip
    assert code == 3
    assert snapshot(shoot / "in") == before
    assert files(shoot / "done") == sorted(
        ["a.jpg", "a.xmp", "a_mask.png", "sub/b.png", "sub/b_mask.png", "sub/c.tif",
         "sub/c_mask.png"]
    )  # fmt: skip
    assert load(shoot / "done" / "sub" / "c.tif").dtype == np.uint16
    assert load(shoot / "done" / "a_mask.png").shape == (96, 128)
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["plan", *["photo"] * 6, "summary"]
    status = {event["source"]: event["status"] for event in events[1:-1]}
    assert status == {
        "in/a.jpg": "done",
        "in/cut.jpg": "failed",
        "in/empty.png": "failed",
        "in/fake.tif": "failed",
        "in/sub/b.png": "done",
        "in/sub/c.png": "done",
    }
    assert events[-1]["exit_code"] == 3 and events[0]["device"] in ("cpu", "cuda:0", "cuda")
    document = json.loads((shoot / "report.json").read_text())
    assert [photo["source"] for photo in document["photos"]] == list(status)
    for name in ("cut.jpg", "empty.png", "fake.tif"):
        lines = [line for line in err.splitlines() if f"in/{name}: " in line]
        assert len(lines) == 2, "named when it fails and in the summary"
        assert lines[0].endswith(".")
    assert "3 done, 0 skipped, 3 failed" in err
    assert "a.jpg  0.0 MP  decode" in err and "changed" in err
    assert "\x1b" not in err


def test_a_second_run_skips_what_is_up_to_date_and_exits_0(shoot, checkpoint):
    run = ("retouch", "in", "-o", "done", "--weights", checkpoint)
    assert abpn(*run, cwd=shoot)[0] == 0
    before = snapshot(shoot / "done")
    code, out, err = abpn(*run, "-v", cwd=shoot)
    assert (code, out) == (0, "")
    assert "0 done, 3 skipped" in err and "a.jpg  skipped: the output is up to date" in err
    assert snapshot(shoot / "done") == before
    os.utime(shoot / "in" / "a.jpg")  # now newer than its output, and the same photo
    assert "0 done, 3 skipped" in abpn(*run, cwd=shoot)[2]
    save(shoot / "in" / "a.jpg", picture()[::-1])
    code, out, err = abpn(*run, "-q", "--json", "-", cwd=shoot)
    assert (code, err) == (0, "")
    assert json.loads(out)["summary"]["done"] == 1


def test_all_photos_failed_is_3_and_nothing_is_written(tmp_path, checkpoint):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"\xff\xd8\xff no more")
    code, out, err = abpn("retouch", "in", "-o", "done", "--weights", checkpoint, cwd=tmp_path)
    assert (code, out) == (3, "")
    assert "in/a.jpg: " in err
    assert not (tmp_path / "done").exists() or files(tmp_path / "done") == []


def test_a_folder_in_the_place_of_an_output_costs_that_photo_alone(shoot, checkpoint):
    (shoot / "done" / "a.jpg").mkdir(parents=True)
    code, _, err = abpn("retouch", "in", "-o", "done", "--weights", checkpoint, cwd=shoot)
    assert code == 3
    assert "2 done, 0 skipped, 1 failed" in err
    assert "done/a.jpg: a folder of this name is in the way. Move it" in err
    assert files(shoot / "done") == ["sub/b.png", "sub/c.tif"]


def test_strange_names_are_handled_and_printed_as_they_are(tmp_path, checkpoint):
    names = [b"[bold]x[b].png", b"100% a b.png", "衣\n.png".encode()]
    try:
        (tmp_path / os.fsdecode(b"caf\xe9")).touch()
        names.append(b"caf\xe9.png")
    except OSError:
        pass  # this file system takes UTF-8 names only
    for name in names:
        save(tmp_path / "in" / os.fsdecode(name), picture(32, 32))
    code, out, err = real_abpn("retouch", "in", "-o", "done", "--weights", checkpoint, cwd=tmp_path)
    assert (code, out) == (0, "")
    assert "[bold]x[b].png  0.0 MP" in err and "衣\\n.png  0.0 MP" in err
    assert sorted(map(os.fsencode, files(tmp_path / "done"))) == sorted(names)
    assert "0 done" in abpn("retouch", "in", "-o", "done", "--weights", checkpoint, cwd=tmp_path)[2]


def test_only_protect_and_strength_reach_the_pixels(tmp_path, checkpoint):
    original = picture(dtype=np.uint16)
    save(tmp_path / "in" / "x" / "a.png", original)
    half = np.zeros((96, 128), np.uint8)
    half[:, :64] = 255
    save(tmp_path / "masks" / "x" / "a.tif", half)
    save(tmp_path / "white.png", np.full((96, 128), 255, np.uint8))

    def changed(*words):
        code, _, err = abpn(
            "retouch", "in", "-o", "done", "--format", "png", "--weights", checkpoint,
            "--overwrite", "always", *words, cwd=tmp_path,
        )  # fmt: skip
        assert code == 0, err
        return (load(tmp_path / "done" / "x" / "a.png") != original).any(axis=2)

    assert changed().mean() > 0.5
    assert not changed("--strength", "0").any()
    assert not changed("--protect", "white.png").any()
    left = changed("--only", "masks")
    assert left[:, :64].any() and not left[:, 64:].any()
    right = changed("--protect", "masks")
    assert right[:, 64:].any() and not right[:, :64].any()


def test_a_photo_without_a_mask_is_told_of_and_never_retouched_under_only(shoot, checkpoint):
    save(shoot / "masks" / "sub" / "b.png", picture())
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "-v", "--overwrite", "always")
    code, _, err = abpn(*words, "--protect", "masks", cwd=shoot)
    assert code == 0
    assert "a.jpg  warning: the --protect folder holds no mask for this photo" in err
    code, _, err = abpn(*words, "--only", "masks", cwd=shoot)
    assert code == 3
    assert "a.jpg: the --only folder holds no mask for it. Put a.png there" in err
    assert "2 failed" in err


def test_a_file_of_somebody_elses_is_kept_unless_always(shoot, checkpoint):
    foreign = save(shoot / "done" / "a.jpg", picture())
    kept = foreign.read_bytes()
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint)
    code, out, err = abpn(*words, "-v", "--ndjson", cwd=shoot)
    assert code == 0
    assert "2 done, 1 skipped (1 foreign)" in err
    assert "a.jpg  skipped: a file that the journal does not know is in its place" in err
    assert "done/a.jpg is kept: --overwrite always replaces it" in err
    events = [json.loads(line) for line in out.splitlines()]
    assert [event.get("foreign") for event in events] == [None, True, False, False, 1]
    assert foreign.read_bytes() == kept
    assert abpn(*words, "--overwrite", "always", cwd=shoot)[0] == 0
    assert foreign.read_bytes() != kept
    assert "0 done, 3 skipped, 0 failed" in abpn(*words, cwd=shoot)[2]


def test_the_sidecar_of_an_upright_copy_says_upright(shoot, checkpoint):
    turned = Image.fromarray(picture())
    exif = turned.getexif()
    exif[ORIENTATION] = 6
    turned.save(shoot / "in" / "t.jpg", exif=exif)
    packet = (
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        b'tiff:Orientation="6" xmp:Rating="5"/></rdf:RDF>'
    )
    (shoot / "in" / "t.xmp").write_bytes(packet)
    words = ("retouch", "in/t.jpg", "--weights", checkpoint)
    assert abpn(*words, "-o", "stored", cwd=shoot)[0] == 0
    assert (shoot / "stored" / "t.xmp").read_bytes() == packet
    assert abpn(*words, "-o", "upright", "--upright", cwd=shoot)[0] == 0
    assert b'tiff:Orientation="1" xmp:Rating="5"' in (shoot / "upright" / "t.xmp").read_bytes()


def test_a_mask_that_cannot_be_read_costs_its_photo(shoot, checkpoint):
    (shoot / "mask.png").write_bytes(b"broken")
    code, _, err = abpn(
        "retouch",
        "in/a.jpg",
        "-o",
        "done",
        "--weights",
        checkpoint,
        "--only",
        "mask.png",
        cwd=shoot,
    )
    assert code == 3
    assert "mask.png: " in err


def test_orientation_is_kept_as_stored_and_upright_turns_photo_and_mask(tmp_path, checkpoint):
    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(picture()).save(tmp_path / "in" / "p.jpg", quality=95, exif=exif)

    def delivered(*words):
        run = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--save-mask")
        assert abpn(*run, "--overwrite", "always", *words, cwd=tmp_path)[0] == 0
        with (
            Image.open(tmp_path / "done" / "p.jpg") as photo,
            Image.open(tmp_path / "done" / "p_mask.png") as mask,
        ):
            return [(image.size, image.getexif().get(ORIENTATION, 1)) for image in (photo, mask)]

    assert delivered() == [((128, 96), 6), ((128, 96), 6)]
    assert delivered("--upright") == [((96, 128), 1), ((96, 128), 1)]


def test_dry_run_tells_the_plan_and_writes_nothing(shoot, checkpoint):
    before = snapshot(shoot)
    code, out, err = abpn(
        "retouch", "in", "-o", "done", "--weights", checkpoint, "--dry-run", "--ndjson", cwd=shoot
    )
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert [(e["output"], e["status"]) for e in events[1:-1]] == [
        ("done/a.jpg", "planned"),
        ("done/sub/b.png", "planned"),
        ("done/sub/c.tif", "planned"),
    ]
    assert "in/sub/c.png -> done/sub/c.tif" in err
    assert snapshot(shoot) == before and not (shoot / "done").exists()


def test_a_photo_that_cannot_be_encoded_leaves_no_mask_and_no_sidecar(tmp_path, checkpoint):
    save(tmp_path / "in" / "long.png", np.full((16, 65501, 3), 90, np.uint8))
    (tmp_path / "in" / "long.xmp").write_bytes(b"<x:xmpmeta/>")
    run = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--save-mask", "--format")
    code, _, err = abpn(*run, "jpeg", cwd=tmp_path)
    assert code == 3 and "more than a JPEG can hold" in err
    assert files(tmp_path / "done") == []
    assert abpn(*run, "png", cwd=tmp_path)[0] == 0
    assert files(tmp_path / "done") == ["long.png", "long.xmp", "long_mask.png"]
    before = snapshot(tmp_path / "done")
    assert abpn(*run, "jpeg", "--overwrite", "always", cwd=tmp_path)[0] == 3
    assert snapshot(tmp_path / "done").keys() == before.keys()


def test_a_photo_that_may_not_be_read_costs_itself_alone(shoot, checkpoint):
    secret = shoot / "in" / "secret.jpg"
    secret.write_bytes((shoot / "in" / "a.jpg").read_bytes())
    secret.chmod(0)
    if os.access(secret, os.R_OK):
        pytest.skip("this user may read everything")
    code, _, err = abpn(
        "retouch", "in/a.jpg", "in/secret.jpg", "-o", "done", "--weights", checkpoint, cwd=shoot
    )
    assert code == 3 and "in/secret.jpg: no permission to read" in err
    assert files(shoot / "done") == ["a.jpg"]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_each_event_tells_the_precision_that_was_used(shoot, checkpoint, precision):
    words = ("--weights", checkpoint, "--precision", precision, "--ndjson")
    code, out, _ = abpn("retouch", "in", "-o", "done", *words, cwd=shoot)
    photos = [json.loads(line) for line in out.splitlines()][1:-1]
    assert code == 0 and {photo["status"] for photo in photos} == {"done"}
    assert {photo["precision"] for photo in photos} == {precision}
    again = abpn("retouch", "in", "-o", "done", *words, cwd=shoot)[1]
    skipped = [json.loads(line) for line in again.splitlines()][1:-1]
    assert {photo["precision"] for photo in skipped} == {None}
