from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from photos import pattern, write_jpeg, write_png, write_tiff
from PIL import Image

from abpn_cli import codecs
from abpn_cli.codecs import (
    DecodeOptions,
    EncodeOptions,
    decode,
    encode,
    formats,
    probe,
    read_mask,
    sniff,
    write_atomic,
    write_mask,
    write_overlay,
)
from abpn_cli.errors import PhotoError, TargetError
from abpn_cli.photo import FormatName, Metadata, Photo


def test_files_are_known_by_content_and_not_by_name(tmp_path: Path) -> None:
    write_png(tmp_path / "a.jpg", pattern(20, 30))
    write_jpeg(tmp_path / "b.tif", pattern(20, 30))
    write_tiff(tmp_path / "c.png", pattern(20, 30))
    kinds = {"a.jpg": "png", "b.tif": "jpeg", "c.png": "tiff"}
    for name, kind in kinds.items():
        assert sniff(tmp_path / name) == kind
        assert probe(tmp_path / name).format == kind
        assert decode(tmp_path / name).format == kind
        assert decode(tmp_path / name).source == tmp_path / name


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.nef", b"MM\0*\0\0\0\x08", "raw"),
        ("a.DNG", b"II*\0\x08\0\0\0", "raw"),
        ("a.tif", b"II*\0\x10\0\0\0CR\2\0", "raw"),
        ("a.bin", b"FUJIFILMCCD-RAW 0201", "raw"),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1", "raw"),
        ("a.jpg", b"\0\0\0\x18ftypheic\0\0\0\0", "heic"),
        ("a.jpg", b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
        ("a.bmp", b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "bmp"),
        ("a.txt", b"BMW is a car maker from Munich", None),
        ("a.jpg", b"<html>not found</html>", None),
        ("a.jpg", b"", None),
        ("a.mp4", b"\0\0\0\x18ftypisom\0\0\0\0", None),
    ],
)
def test_kinds_are_told_by_their_first_bytes(
    tmp_path: Path, name: str, head: bytes, kind: str | None
) -> None:
    path = tmp_path / name
    path.write_bytes(head)
    assert sniff(path) == kind


def test_what_cannot_be_opened_is_no_photo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    for name in ("pipe.jpg", "folder.jpg", "loop.jpg", "missing.jpg"):
        assert sniff(tmp_path / name) is None
        with pytest.raises(PhotoError, match=name):
            decode(tmp_path / name)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"just some words in a file", "not a photo"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "damaged"),
        (b"\xff\xd8\xff", "cut short or damaged"),
        (b"\x89PNG\r\n\x1a\n", "cut short"),
        (b"II*\0\x08\0\0\0", "damaged"),
    ],
)
def test_bad_files_are_named_with_fault_and_remedy(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    for read in (decode, probe):
        with pytest.raises(PhotoError, match=words) as caught:
            read(path)
        assert caught.value.path == path
        assert not caught.value.fault.endswith(".")
        assert caught.value.remedy.endswith(".")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", pattern(20, 30))
    path.chmod(0)
    with pytest.raises(PhotoError, match="permission"):
        decode(path)


def test_a_photo_beyond_the_limit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    for path in (
        write_png(tmp_path / "b.png", pattern(20, 30)),
        write_jpeg(tmp_path / "b.jpg", pattern(20, 30)),
        write_tiff(tmp_path / "b.tif", pattern(20, 30)),
    ):
        assert decode(path, DecodeOptions(max_pixels=600)).pixels.shape == (20, 30, 3)
        with pytest.raises(PhotoError, match="30 x 20"):
            decode(path, DecodeOptions(max_pixels=599))


@pytest.mark.parametrize("name", ["a b%s.png", "ünïcode.png", "new\nline.png", "n" * 251 + ".png"])
def test_names_may_hold_anything(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    encode(Photo(pattern(20, 30)), target, "png", EncodeOptions())
    assert decode(target).pixels.shape == (20, 30, 3)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_names_that_are_not_utf_8_are_read_and_written(tmp_path: Path) -> None:
    target = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.tif"))
    encode(Photo(pattern(20, 30)), target, "tiff", EncodeOptions())
    assert decode(target).pixels.shape == (20, 30, 3)
    target.write_bytes(b"words")
    with pytest.raises(PhotoError, match=r"\\xff\\xfe\.tif"):
        decode(target)


FAULTS = {
    errno.ENOSPC: "disk is full",
    errno.EACCES: "no permission",
    errno.EROFS: "read-only",
    errno.EIO: "reports an error",
    errno.ENOBUFS: "cannot be written",
}


@pytest.mark.parametrize("number", FAULTS)
def test_a_failing_disk_leaves_no_file_and_names_the_fault(tmp_path: Path, number: int) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"the old one")

    def fail(path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(number, os.strerror(number))

    with pytest.raises(TargetError, match=FAULTS[number]) as caught:
        write_atomic(target, fail)
    assert caught.value.exit_code == 7
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert target.read_bytes() == b"the old one"


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_a_target_error_in_every_format(
    tmp_path: Path, format: FormatName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abpn_cli.files._temp_name", lambda name: f"full-{name}")
    (tmp_path / "full-out").symlink_to("/dev/full")
    with pytest.raises(TargetError):
        encode(Photo(pattern(200, 300)), tmp_path / "out", format, EncodeOptions())
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_no_file(tmp_path: Path) -> None:
    def interrupted(path: Path) -> None:
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.png", interrupted)
    assert not list(tmp_path.iterdir())


def test_the_unfinished_file_lies_hidden_in_the_target_folder(tmp_path: Path) -> None:
    seen = []

    def write(path: Path) -> None:
        seen.append(path)
        path.write_bytes(b"x")

    write_atomic(tmp_path / "new" / "deep" / "a.png", write)
    assert seen[0].parent == tmp_path / "new" / "deep"
    assert seen[0].name.startswith(".")
    assert seen[0].name.endswith(codecs.TEMP_SUFFIX)


def test_outputs_have_the_usual_permissions(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        encode(Photo(pattern(20, 30)), tmp_path / "a.tif", "tiff", EncodeOptions())
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.tif").stat().st_mode) == 0o644


def test_a_file_in_place_of_a_folder_concerns_all_and_the_reverse_one_photo(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(TargetError, match="not a folder"):
        encode(Photo(pattern(20, 30)), tmp_path / "file" / "a.png", "png", EncodeOptions())
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(PhotoError, match="a folder of this name is in the way"):
        encode(Photo(pattern(20, 30)), tmp_path / "folder.png", "png", EncodeOptions())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_8_and_16_bits_undo_each_other() -> None:
    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(formats.to_8_bit(formats.to_16_bit(every)), every)
    wide = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(formats.to_8_bit(wide), np.rint(wide / 257).astype(np.uint8))


def test_a_mask_carries_the_orientation_and_reads_back_upright(tmp_path: Path) -> None:
    gate = (np.arange(20 * 30) % 256).astype(np.uint8).reshape(20, 30)
    write_mask(gate, tmp_path / "a_mask.png", 6)
    with Image.open(tmp_path / "a_mask.png") as image:
        assert image.mode == "L"
        assert image.getexif()[274] == 6
        assert np.array_equal(np.asarray(image), gate)
    read = read_mask(tmp_path / "a_mask.png")
    assert read.dtype == np.float32
    assert np.abs(read - np.rot90(gate, -1) / 255).max() < 1e-6


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_of_any_photo_span_0_to_1(tmp_path: Path, dtype: type) -> None:
    pixels = np.zeros((4, 6, 3), dtype)
    pixels[1:3] = np.iinfo(dtype).max
    for write, name in ((write_png, "m.png"), (write_tiff, "m.tif")):
        mask = read_mask(write(tmp_path / name, pixels))
        assert mask.shape == (4, 6)
        assert mask[0].max() == 0
        assert mask[1:3].min() == 1


def test_what_is_transparent_in_a_mask_is_black(tmp_path: Path) -> None:
    painted = np.full((4, 6, 4), 255, np.uint8)
    painted[:2, :, 3] = 0
    mask = read_mask(write_png(tmp_path / "m.png", painted))
    assert mask[:2].max() == 0
    assert mask[2:].min() == 1


def test_an_overlay_is_red_where_the_gate_is_open_and_the_photo_elsewhere(tmp_path: Path) -> None:
    pixels = np.full((64, 64, 3), 100, np.uint8)
    gate = np.zeros((64, 64), np.uint8)
    gate[:, 32:] = 255
    photo = Photo(pixels, Metadata(orientation=8))
    write_overlay(photo, gate, tmp_path / "a.jpg")
    seen = decode(tmp_path / "a.jpg")
    assert seen.metadata.orientation == 8
    assert np.abs(seen.pixels[:, :24].astype(int) - 100).max() <= 3
    assert np.abs(seen.pixels[:, 40:].astype(int) - (193, 40, 40)).max() <= 3
    assert (pixels == 100).all()
