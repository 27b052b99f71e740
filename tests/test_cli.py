"""The real command, run in a folder of its own: exit codes, stdout, stderr, files."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from abpn_cli.batch.journal import JOURNAL_NAME
from abpn_cli.cli import main

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}


ORIENTATION = 274  # EXIF tag


def start(*words, cwd, **keywords):
    return subprocess.Popen(
        [sys.executable, "-m", "abpn_cli", *map(os.fspath, words)],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=keywords.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        **keywords,
    )


def real_abpn(*words, cwd):
    """Run the command as users do; return (exit code, stdout, stderr)."""
    with start(*words, cwd=cwd) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def abpn(*words, cwd):
    """Run the same `main` in this process, which has torch imported already."""
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


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A tiny network with random weights: enough to retouch, not to please."""
    import torch

    from abpn_cli import weights as room
    from abpn_cli.nets.abpn import Abpn, AbpnConfig

    torch.manual_seed(0)
    config = AbpnConfig(
        width=1 / 16, refine_shared=True, lrl_residual=True, init="published", train_k=False
    )
    net = Abpn(config)
    with torch.no_grad():  # the residual head starts at zero: give it something to say
        for parameter in net.parameters():
            if parameter.dim() == 4 and not parameter.any():
                parameter.normal_(0, 0.05)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    room.save(path, net, room.Header("abpn", asdict(config), "tiny"))
    return path


def picture(height=96, width=128, dtype=np.uint8):
    small = np.random.default_rng(3).random((6, 8, 3))
    smooth = np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    return np.rint(smooth * np.iinfo(dtype).max).astype(dtype)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix.lower(), pixels)
    assert done
    path.write_bytes(data.tobytes())
    return path


def load(path):
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, path
    return pixels


def files(folder):
    """The files of a folder by name, the journal aside."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != JOURNAL_NAME)
    return sorted(str(p.relative_to(folder)) for p in found)


def snapshot(folder):
    """The files of a folder with bytes and time, the journal aside."""
    paths = (folder / name for name in files(folder))
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in paths}


@pytest.fixture
def shoot(tmp_path):
    """A small shoot of sound photos: in/a.jpg, in/sub/b.png, in/sub/c.png (16 bits)."""
    save(tmp_path / "in" / "a.jpg", picture())
    save(tmp_path / "in" / "sub" / "b.png", picture())
    save(tmp_path / "in" / "sub" / "c.png", picture(dtype=np.uint16))
    (tmp_path / "in" / "notes.txt").write_text("not a photo")
    return tmp_path


def test_a_mixed_tree_comes_back_mirrored_and_the_corrupt_photo_is_named(shoot, weights):
    whole = (shoot / "in" / "a.jpg").read_bytes()
    (shoot / "in" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (shoot / "in" / "empty.png").write_bytes(b"")
    (shoot / "in" / "fake.tif").write_text("text")
    (shoot / "in" / "a.xmp").write_bytes(b"<x:xmpmeta/>")
    before = snapshot(shoot / "in")
    code, out, err = real_abpn(
        "retouch", "in", "-o", "done", "--weights", weights, "--save-mask", "--ndjson",
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


def test_a_second_run_skips_what_is_up_to_date_and_exits_0(shoot, weights):
    run = ("retouch", "in", "-o", "done", "--weights", weights)
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


def test_all_photos_failed_is_3_and_nothing_is_written(tmp_path, weights):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"\xff\xd8\xff no more")
    code, out, err = abpn("retouch", "in", "-o", "done", "--weights", weights, cwd=tmp_path)
    assert (code, out) == (3, "")
    assert "in/a.jpg: " in err
    assert not (tmp_path / "done").exists() or files(tmp_path / "done") == []


def test_a_folder_in_the_place_of_an_output_costs_that_photo_alone(shoot, weights):
    (shoot / "done" / "a.jpg").mkdir(parents=True)
    code, _, err = abpn("retouch", "in", "-o", "done", "--weights", weights, cwd=shoot)
    assert code == 3
    assert "2 done, 0 skipped, 1 failed" in err
    assert "done/a.jpg: a folder of this name is in the way. Move it" in err
    assert files(shoot / "done") == ["sub/b.png", "sub/c.tif"]


def test_strange_names_are_handled_and_printed_as_they_are(tmp_path, weights):
    names = [b"[bold]x[b].png", b"100% a b.png", "衣\n.png".encode()]
    try:
        (tmp_path / os.fsdecode(b"caf\xe9")).touch()
        names.append(b"caf\xe9.png")
    except OSError:
        pass  # this file system takes UTF-8 names only
    for name in names:
        save(tmp_path / "in" / os.fsdecode(name), picture(32, 32))
    code, out, err = real_abpn("retouch", "in", "-o", "done", "--weights", weights, cwd=tmp_path)
    assert (code, out) == (0, "")
    assert "[bold]x[b].png  0.0 MP" in err and "衣\\n.png  0.0 MP" in err
    assert sorted(map(os.fsencode, files(tmp_path / "done"))) == sorted(names)
    assert "0 done" in abpn("retouch", "in", "-o", "done", "--weights", weights, cwd=tmp_path)[2]


def test_only_protect_and_strength_reach_the_pixels(tmp_path, weights):
    original = picture(dtype=np.uint16)
    save(tmp_path / "in" / "x" / "a.png", original)
    half = np.zeros((96, 128), np.uint8)
    half[:, :64] = 255
    save(tmp_path / "masks" / "x" / "a.tif", half)
    save(tmp_path / "white.png", np.full((96, 128), 255, np.uint8))

    def changed(*words):
        code, _, err = abpn(
            "retouch", "in", "-o", "done", "--format", "png", "--weights", weights,
            "--overwrite", "always", *words, cwd=tmp_path,
        )  # fmt: skip
        assert code == 0, err
        return (load(tmp_path / "done" / "x" / "a.png") != original).any(axis=2)

    assert changed().all(axis=0).mean() > 0.5
    assert not changed("--strength", "0").any()
    assert not changed("--protect", "white.png").any()
    left = changed("--only", "masks")
    assert left[:, :64].any() and not left[:, 64:].any()
    right = changed("--protect", "masks")
    assert right[:, 64:].any() and not right[:, :64].any()


def test_a_photo_without_a_mask_is_told_of_and_never_retouched_under_only(shoot, weights):
    save(shoot / "masks" / "sub" / "b.png", picture())
    words = ("retouch", "in", "-o", "done", "--weights", weights, "-v", "--overwrite", "always")
    code, _, err = abpn(*words, "--protect", "masks", cwd=shoot)
    assert code == 0
    assert "a.jpg  warning: the --protect folder holds no mask for this photo" in err
    code, _, err = abpn(*words, "--only", "masks", cwd=shoot)
    assert code == 3
    assert "a.jpg: the --only folder holds no mask for it. Put a.png there" in err
    assert "2 failed" in err


def test_a_file_of_somebody_elses_is_kept_unless_always(shoot, weights):
    foreign = save(shoot / "done" / "a.jpg", picture())
    kept = foreign.read_bytes()
    words = ("retouch", "in", "-o", "done", "--weights", weights)
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


def test_the_sidecar_of_an_upright_copy_says_upright(shoot, weights):
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
    words = ("retouch", "in/t.jpg", "--weights", weights)
    assert abpn(*words, "-o", "stored", cwd=shoot)[0] == 0
    assert (shoot / "stored" / "t.xmp").read_bytes() == packet
    assert abpn(*words, "-o", "upright", "--upright", cwd=shoot)[0] == 0
    assert b'tiff:Orientation="1" xmp:Rating="5"' in (shoot / "upright" / "t.xmp").read_bytes()


def test_a_folder_of_masks_that_fits_no_photo_is_refused_before_anything_starts(shoot, weights):
    save(shoot / "masks" / "b.png", picture())  # in/sub/b.png wants masks/sub/b.png
    code, out, err = abpn(
        "retouch", "in", "-o", "done", "--weights", weights, "--protect", "masks", cwd=shoot
    )
    assert (code, out) == (2, "")
    assert err.startswith("abpn: --protect masks: holds no mask for any of these photos.")
    assert err.count("\n") == 1 and not (shoot / "done").exists()


def test_a_mask_that_cannot_be_read_costs_its_photo(shoot, weights):
    (shoot / "mask.png").write_bytes(b"broken")
    code, _, err = abpn(
        "retouch", "in/a.jpg", "-o", "done", "--weights", weights, "--only", "mask.png", cwd=shoot
    )
    assert code == 3
    assert "mask.png: " in err


def test_mask_writes_the_gate_beside_the_photo_and_knows_its_own_files(shoot, weights):
    code, out, err = abpn("mask", "in", "--weights", weights, "--binary", "--ndjson", cwd=shoot)
    assert code == 0 and " mask" in err and "changed" not in err, err
    assert json.loads(out.splitlines()[1])["changed_fraction"] is None
    made = ["a_mask.png", "sub/b_mask.png", "sub/c_mask.png"]
    assert [name for name in files(shoot / "in") if "_mask" in name] == made
    mask = load(shoot / "in" / "a_mask.png")
    assert mask.dtype == np.uint8 and mask.shape == (96, 128)
    assert set(np.unique(mask)) <= {0, 255}
    code, _, err = abpn("mask", "in", "--out", "red", "--overlay", "--weights", weights, cwd=shoot)
    assert code == 0, err
    assert files(shoot / "red") == ["a_mask.jpg", "sub/b_mask.jpg", "sub/c_mask.jpg"]
    assert load(shoot / "red" / "sub" / "c_mask.jpg").dtype == np.uint8
    code, out, _ = abpn(
        "retouch", "in", "-o", "done", "--weights", weights, "-n", "--ndjson", cwd=shoot
    )
    assert code == 0 and "_mask" not in out


def test_overlays_beside_photos_are_known_again_and_a_photo_of_that_name_is_a_photo(shoot, weights):
    code, _, err = abpn("mask", "in/sub/b.png", "--overlay", "--weights", weights, cwd=shoot)
    assert code == 0, err
    save(shoot / "in" / "a_mask.jpg", picture())  # somebody who wears a mask
    for verb, out in (("retouch", "done"), ("mask", "masks")):
        _, told, _ = abpn(verb, "in", "-o", out, "--weights", weights, "-n", "--ndjson", cwd=shoot)
        read = [json.loads(line)["source"] for line in told.splitlines()[1:-1]]
        assert read == ["in/a.jpg", "in/a_mask.jpg", "in/sub/b.png", "in/sub/c.png"]


def test_orientation_is_kept_as_stored_and_upright_turns_photo_and_mask(tmp_path, weights):
    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(picture()).save(tmp_path / "in" / "p.jpg", quality=95, exif=exif)

    def delivered(*words):
        run = ("retouch", "in", "-o", "done", "--weights", weights, "--save-mask")
        assert abpn(*run, "--overwrite", "always", *words, cwd=tmp_path)[0] == 0
        with (
            Image.open(tmp_path / "done" / "p.jpg") as photo,
            Image.open(tmp_path / "done" / "p_mask.png") as mask,
        ):
            return [(image.size, image.getexif().get(ORIENTATION, 1)) for image in (photo, mask)]

    assert delivered() == [((128, 96), 6), ((128, 96), 6)]
    assert delivered("--upright") == [((96, 128), 1), ((96, 128), 1)]


def test_dry_run_tells_the_plan_and_writes_nothing(shoot, weights):
    before = snapshot(shoot)
    code, out, err = abpn(
        "retouch", "in", "-o", "done", "--weights", weights, "--dry-run", "--ndjson", cwd=shoot
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--strength", "2"], "--strength 2: is out of range. Give a number in 0..1.5."),
        (["--strength", "nan"], "--strength nan"),
        (["--quality", "0"], "--quality 0"),
        (["--jobs", "0"], "--jobs 0"),
        (["--max-memory", "lots"], "--max-memory lots: is not a size."),
        (["--max-memory", "1M"], "--max-memory 1M: is too small."),
        (["-q", "-v"], "--quiet and --verbose"),
        (["--ndjson", "--json", "-"], "--ndjson and --json -"),
        (["--only", "nowhere"], "--only nowhere: no such file"),
    ],
)
def test_options_that_cannot_be_meant_are_one_line_and_2(shoot, words, said):
    code, out, err = abpn("retouch", "in", "-o", "done", "--task", "x", *words, cwd=shoot)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and err.startswith("abpn: ") and said in err
    assert not (shoot / "done").exists()


def test_paths_that_cannot_be_meant_are_refused_before_anything_starts(shoot):
    save(shoot / "in" / "A.JPG", picture())
    save(shoot / "twins" / "t.jpg", picture())
    (shoot / "twins" / "t.cr2").write_bytes(b"II*\0\x10\0\0\0CR\2\0" + bytes(64))
    (shoot / "nothing").mkdir()
    for words, code, said in (
        (["in", "nowhere", "-o", "done"], 2, "nowhere: no such file or folder"),
        (["in", "-o", "in"], 2, "--out in: is the folder of the photos"),
        (["in", "-o", "in/done"], 2, "lies inside in"),
        (["in", "-o", "done"], 2, "in/A.JPG and in/a.jpg -> done/A.JPG"),
        (["in/sub", "-o", "done", "--json", "in/sub/b.png"], 2, "is a photo"),
        (["in/sub", "-o", "done", "--json", "done/c.tif"], 2, "belongs to this run"),
        (["twins", "-o", "done"], 2, "--prefer raw or --prefer jpeg"),
        (["nothing", "-o", "done"], 4, "no photo found"),
        (["in/sub", "-o", "in/notes.txt/done"], 7, "in/notes.txt is not a folder"),
        (["in/sub", "-o", "done", "--json", "in"], 7, "is a folder"),
    ):
        done = abpn("retouch", *words, "--task", "x", cwd=shoot)
        assert (done[0], done[1]) == (code, ""), done
        assert done[2].startswith("abpn: ") and said in done[2]
    assert not (shoot / "done").exists()


def test_task_is_asked_for_in_one_line(shoot):
    code, _, err = abpn("retouch", "in", "-o", "done", cwd=shoot)
    assert code == 2
    assert err.startswith("abpn: --task is missing.") and err.count("\n") == 1


def test_weights_that_are_missing_unknown_or_damaged_are_5(shoot, weights):
    damaged = bytearray(weights.read_bytes())
    damaged[-5] ^= 1
    (shoot / "damaged.safetensors").write_bytes(damaged)
    (shoot / "text.safetensors").write_text("text")
    for words, said in (
        (["--task", "no such"], "no such: no weights for this task"),
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors: no such weights file"),
        (["--weights", "damaged.safetensors"], "damaged.safetensors: damaged"),
        (["--weights", "text.safetensors"], "text.safetensors: damaged or no weights file"),
    ):
        code, out, err = abpn("retouch", "in", "-o", "done", *words, cwd=shoot)
        assert (code, out) == (5, "")
        assert err.startswith("abpn: ") and said in err and err.count("\n") == 1
    assert not (shoot / "done").exists()


def test_an_unknown_task_is_5_even_where_every_output_is_up_to_date(shoot, weights):
    assert abpn("retouch", "in", "-o", "done", "--weights", weights, cwd=shoot)[0] == 0
    for words in (["--task", "nosuch"], ["--weights", "nosuch.safetensors"]):
        code, _, err = abpn("retouch", "in", "-o", "done", *words, cwd=shoot)
        assert code == 5 and "nosuch" in err, err


def test_a_device_that_is_not_there_is_6(shoot, weights):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    code, out, err = real_abpn(
        "retouch", "in", "-o", "done", "--weights", weights, "--device", "cuda", cwd=shoot
    )
    assert (code, out) == (6, "")
    assert "--device cpu" in err and err.count("\n") == 1
    assert not (shoot / "done").exists()


def test_an_output_that_cannot_be_written_stops_the_run_with_7(shoot, weights):
    (shoot / "done").mkdir()
    (shoot / "done" / "sub").write_text("a file in the way of a folder")
    for name in "defghijklm":
        save(shoot / "in" / "z" / f"{name}.png", picture(32, 32))
    code, out, err = abpn(
        "retouch", "in", "-o", "done", "--weights", weights, "--json", "-", cwd=shoot
    )
    assert code == 7
    summary = json.loads(out)["summary"]
    assert summary["exit_code"] == 7 and summary["not_done"] > 0 and summary["failed"] > 0
    assert f"{summary['not_done']} not done" in err
    assert err.splitlines()[-1].startswith("abpn: done/sub/")
    assert not [name for name in files(shoot / "done") if "tmp" in name]


def test_a_photo_that_cannot_be_encoded_leaves_no_mask_and_no_sidecar(tmp_path, weights):
    save(tmp_path / "in" / "long.png", np.full((16, 65501, 3), 90, np.uint8))
    (tmp_path / "in" / "long.xmp").write_bytes(b"<x:xmpmeta/>")
    run = ("retouch", "in", "-o", "done", "--weights", weights, "--save-mask", "--format")
    code, _, err = abpn(*run, "jpeg", cwd=tmp_path)
    assert code == 3 and "more than a JPEG can hold" in err
    assert files(tmp_path / "done") == []
    assert abpn(*run, "png", cwd=tmp_path)[0] == 0
    assert files(tmp_path / "done") == ["long.png", "long.xmp", "long_mask.png"]
    before = snapshot(tmp_path / "done")
    assert abpn(*run, "jpeg", "--overwrite", "always", cwd=tmp_path)[0] == 3
    assert snapshot(tmp_path / "done").keys() == before.keys()


def test_a_stdout_that_is_full_stops_the_run_with_7(shoot, weights):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with (
        full.open("w") as sink,
        start(
            "retouch", "in", "-o", "done", "--weights", weights, "--ndjson", cwd=shoot, stdout=sink
        ) as process,
    ):
        _, err = process.communicate(timeout=120)
    assert process.returncode == 7
    assert "stdout: cannot be written" in err and "Traceback" not in err


def test_a_closed_stderr_costs_the_words_not_the_photos(shoot, weights):
    def close():
        os.close(2)

    with start(
        "retouch", "in", "-o", "done", "--weights", weights, "--ndjson", cwd=shoot, preexec_fn=close
    ) as process:
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["done"] == 3
    assert files(shoot / "done") == ["a.jpg", "sub/b.png", "sub/c.tif"]


def test_a_closed_stdout_is_refused_where_results_are_asked_for(shoot, weights):
    def close():
        os.close(1)

    for words, code in (["--ndjson"], 7), (["--json", "-"], 7), ([], 0):
        with start(
            "retouch", "in", "-o", "done", "--weights", weights, *words, cwd=shoot, preexec_fn=close
        ) as process:
            _, err = process.communicate(timeout=120)
        assert process.returncode == code, err
        assert "Traceback" not in err


@pytest.mark.parametrize("gone", ["reader", "room"])
def test_a_stderr_that_cannot_be_written_costs_the_words_not_the_photos(shoot, weights, gone):
    full = Path("/dev/full")
    if gone == "room" and not full.exists():
        pytest.skip("no /dev/full here")
    (shoot / "in" / "empty.jpg").write_bytes(b"")
    reader, writer = os.pipe()
    os.close(reader)
    with full.open("w") if gone == "room" else os.fdopen(writer, "w") as sink:
        done = subprocess.run(
            [sys.executable, "-m", "abpn_cli", "retouch", "in", "-o", "done", "--ndjson",
             "--weights", weights],
            cwd=shoot, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=sink, text=True,
            timeout=120,
        )  # fmt: skip
    if gone == "room":
        os.close(writer)
    assert done.returncode == 3
    assert json.loads(done.stdout.splitlines()[-1])["done"] == 3
    assert files(shoot / "done") == ["a.jpg", "sub/b.png", "sub/c.tif"]


def test_a_photo_that_may_not_be_read_costs_itself_alone(shoot, weights):
    secret = shoot / "in" / "secret.jpg"
    secret.write_bytes((shoot / "in" / "a.jpg").read_bytes())
    secret.chmod(0)
    if os.access(secret, os.R_OK):
        pytest.skip("this user may read everything")
    code, _, err = abpn(
        "retouch", "in/a.jpg", "in/secret.jpg", "-o", "done", "--weights", weights, cwd=shoot
    )
    assert code == 3 and "in/secret.jpg: no permission to read" in err
    assert files(shoot / "done") == ["a.jpg"]


def test_places_behind_a_folder_that_may_not_be_entered_are_one_line(shoot, weights):
    behind = shoot / "closed" / "inside"
    behind.mkdir(parents=True)
    behind.parent.chmod(0)
    if os.access(behind, os.F_OK):
        pytest.skip("this user may enter everything")
    for words, code in (
        (["-o", "closed/inside"], 7),
        (["-o", "done", "--json", "closed/inside/report.json"], 7),
        (["-o", "done", "--only", "closed/inside/mask.png"], 2),
        (["-o", "done", "--weights", "closed/inside/w.safetensors"], 5),
    ):
        done = abpn("retouch", "in", "--weights", weights, *words, cwd=shoot)
        assert done[0] == code and done[2].count("\n") == 1, done
    behind.parent.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["ctrl-c", "sigterm", "hang-up"],
)
def test_a_signal_stops_cleanly(tmp_path, weights, number, code):
    for index in range(60):
        save(tmp_path / "in" / f"{index:02}.png", picture(240, 320))
    command = ("retouch", "in", "-o", "done", "--weights", weights, "--ndjson")
    with start(*command, cwd=tmp_path) as process:
        lines = [process.stdout.readline() for _ in range(4)]
        process.send_signal(number)
        asked = time.perf_counter()
        rest = process.stdout.read()  # communicate() would lose what readline() has buffered
        err = process.stderr.read()
    assert process.returncode == code
    assert time.perf_counter() - asked < 20
    events = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    summary = events[-1]
    assert summary["exit_code"] == code and summary["not_done"] > 0
    assert len(events) == 62, "one event each, the plan and the summary"
    told = sorted(Path(e["output"]).name for e in events[1:-1] if e["status"] == "done")
    assert len(told) == 60 - summary["not_done"]
    assert files(tmp_path / "done") == told, "every file is told of, and whole"
    for name in told:
        assert load(tmp_path / "done" / name).shape == (240, 320, 3)
    assert "not done: in/" in err and "Traceback" not in err


def test_info_tells_what_a_photo_is_and_names_the_broken_one(shoot):
    (shoot / "in" / "cut.jpg").write_bytes((shoot / "in" / "a.jpg").read_bytes()[:400])
    code, out, err = abpn("info", "in", cwd=shoot)
    assert code == 3
    assert "in/sub/c.png\n  format       PNG, 16 bits" in out
    assert "128 x 96 px" in out and "thumbnail 64 x 48 px" in out
    assert "output       TIFF" in out
    assert err.startswith("abpn: in/cut.jpg: ") and err.count("\n") == 1
    code, out, _ = abpn("info", "in/a.jpg", "--json", "-", cwd=shoot)
    (facts,) = json.loads(out)
    assert (code, facts["width"], facts["height"], facts["bits"]) == (0, 128, 96, 8)


def test_info_tells_of_a_photo_too_small_to_retouch(shoot):
    save(shoot / "in" / "tiny.png", picture(15, 16))
    save(shoot / "in" / "small.png", picture(16, 16))
    _, out, _ = abpn("info", "in/small.png", "in/tiny.png", "--json", "-", cwd=shoot)
    small, tiny = json.loads(out)
    assert small["warnings"] == []
    assert tiny["warnings"] == ["It is too small to retouch: both sides need 16 pixels."]


def test_info_passes_a_decoder_s_words_on_in_the_photo_s_own_line(shoot):
    whole = bytearray((shoot / "in" / "sub" / "b.png").read_bytes())
    start_of_pixels = whole.index(b"IDAT") + 4
    pixels = zlib.compress(b"too few")
    broken = whole[: start_of_pixels - 8] + len(pixels).to_bytes(4, "big") + b"IDAT" + pixels
    broken += zlib.crc32(b"IDAT" + pixels).to_bytes(4, "big") + whole[-12:]
    (shoot / "in" / "few.png").write_bytes(broken)
    code, out, err = real_abpn("info", "in/few.png", cwd=shoot)
    assert (code, out) == (3, "")
    assert err.startswith("abpn: in/few.png: ") and err.count("\n") == 1
    assert "libpng" in err


@pytest.mark.parametrize("verb", ["info", "retouch", "mask"])
def test_a_report_never_takes_the_place_of_a_photo(shoot, weights, verb):
    before = snapshot(shoot)
    words = [] if verb == "info" else ["--out", "done", "--weights", weights]
    for report in ("in/a.jpg", "in/sub/b.png"):  # b.png is no photo of this run
        code, out, err = abpn(verb, "in/a.jpg", *words, "--json", report, cwd=shoot)
        assert (code, out) == (2, "")
        assert err == f"abpn: --json {report}: is a photo. Name another file.\n"
    assert snapshot(shoot) == before


def test_weights_lists_tasks_with_their_state(tmp_path, weights, monkeypatch):
    own = tmp_path / "data" / "abpn" / "weights"
    own.mkdir(parents=True)
    (own / "mystyle.safetensors").write_bytes(weights.read_bytes())
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    if sys.platform != "linux":
        pytest.skip("the user's folder is moved by XDG_DATA_HOME on Linux only")
    code, out, _ = abpn("weights", cwd=tmp_path)
    assert code == 0
    assert "mystyle  no card" in out
    save(tmp_path / "in" / "a.jpg", picture())
    assert abpn("retouch", "in", "-o", "done", "--task", "mystyle", cwd=tmp_path)[0] == 0
    (own / "mystyle.safetensors").write_bytes(b"broken")
    code, out, _ = abpn("weights", "--json", "-", cwd=tmp_path)
    assert code == 5
    (row,) = [row for row in json.loads(out) if row["task"] == "mystyle"]
    assert row["state"] == "damaged"
    (own / "lost.safetensors").symlink_to("nowhere")
    code, out, _ = abpn("weights", cwd=tmp_path)
    assert code == 5
    assert "lost  damaged" in out and "mystyle  damaged" in out
