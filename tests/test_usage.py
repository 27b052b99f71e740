"""What cannot be meant, or cannot be had: one line, the exit code for it, nothing written."""

import os

import pytest
from command import abpn, real_abpn
from shoots import picture, save, snapshot


def test_a_folder_of_masks_that_fits_no_photo_is_refused_before_anything_starts(shoot, checkpoint):
    save(shoot / "masks" / "b.png", picture())  # in/sub/b.png wants masks/sub/b.png
    code, out, err = abpn(
        "retouch", "in", "-o", "done", "--weights", checkpoint, "--protect", "masks", cwd=shoot
    )
    assert (code, out) == (2, "")
    assert err.startswith("abpn: --protect masks: holds no mask for any of these photos.")
    assert err.count("\n") == 1 and not (shoot / "done").exists()


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
        (["--strength", "1.50000001"], "--strength 1.50000001: is out of range"),
        (["--only", "nowhere"], "--only nowhere: no such file"),
        (["--only", "no\nwhere"], "--only no\\nwhere: no such file"),
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


def test_weights_that_are_missing_unknown_or_damaged_are_5(shoot, checkpoint):
    damaged = bytearray(checkpoint.read_bytes())
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


def test_an_unknown_task_is_5_even_where_every_output_is_up_to_date(shoot, checkpoint):
    assert abpn("retouch", "in", "-o", "done", "--weights", checkpoint, cwd=shoot)[0] == 0
    for words in (["--task", "nosuch"], ["--weights", "nosuch.safetensors"]):
        code, _, err = abpn("retouch", "in", "-o", "done", *words, cwd=shoot)
        assert code == 5 and "nosuch" in err, err


def test_a_device_that_is_not_there_is_6(shoot, checkpoint):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    code, out, err = real_abpn(
        "retouch", "in", "-o", "done", "--weights", checkpoint, "--device", "cuda", cwd=shoot
    )
    assert (code, out) == (6, "")
    assert "--device cpu" in err and err.count("\n") == 1
    assert not (shoot / "done").exists()


def test_places_behind_a_folder_that_may_not_be_entered_are_one_line(shoot, checkpoint):
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
        done = abpn("retouch", "in", "--weights", checkpoint, *words, cwd=shoot)
        assert done[0] == code and done[2].count("\n") == 1, done
    behind.parent.chmod(0o700)


@pytest.mark.parametrize("verb", ["info", "retouch", "mask"])
def test_a_report_never_takes_the_place_of_a_photo(shoot, checkpoint, verb):
    before = snapshot(shoot)
    words = [] if verb == "info" else ["--out", "done", "--weights", checkpoint]
    for report in ("in/a.jpg", "in/sub/b.png"):  # b.png is no photo of this run
        code, out, err = abpn(verb, "in/a.jpg", *words, "--json", report, cwd=shoot)
        assert (code, out) == (2, "")
        assert err == f"abpn: --json {report}: is a photo. Name another file.\n"
    assert snapshot(shoot) == before


@pytest.mark.parametrize("verb", ["info", "retouch", "mask"])
def test_a_report_never_takes_the_place_of_a_device_or_a_pipe(shoot, checkpoint, verb):
    os.mkfifo(shoot / "pipe")
    words = [] if verb == "info" else ["--out", "done", "--weights", checkpoint]
    code, out, err = abpn(verb, "in/a.jpg", *words, "--json", "pipe", cwd=shoot)
    assert (code, out) == (2, "")
    assert err == "abpn: --json pipe: is no file. Name one, or - for stdout.\n"
    assert (shoot / "pipe").is_fifo() and not (shoot / "done").exists()
