"""What of a raw file's metadata could not be kept is told of its photo."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from donors import block_with, with_segments
from photos import pattern, write_dng, write_jpeg

from abpn_cli.codecs import decode
from abpn_cli.codecs.raw_metadata import of_raw
from abpn_cli.metadata import words
from abpn_cli.metadata.jpeg_carrier import APP1, APP2, Segment

pytest.importorskip("rawpy")

LIGHT = (pattern(96, 128, np.uint16) // 2 + 8000).astype(np.uint16)
NOTE = b"Private\0" + bytes(range(256)) * 4


def with_note(path: Path, place: int) -> Path:
    """Give a DNG a MakerNote that lies at an offset; its date makes room for the pointer."""
    data = bytearray(path.read_bytes())
    (at,) = [
        position
        for position in range(8, len(data) - 12, 2)
        if data[position : position + 8] == struct.pack("<HHI", 306, 2, 20)
    ]
    data += bytes(place - len(data)) + NOTE
    struct.pack_into("<HHII", data, at, 34665, 4, 1, len(data))
    data += struct.pack("<HHHII", 1, 37500, 7, len(NOTE), place) + bytes(4)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("place", "told"), [(200_000, ()), (1_500_000, (words.MAKER_NOTE_MOVED,))])
def test_a_maker_note_of_a_raw_file_that_must_move_is_told(
    tmp_path: Path, place: int, told: tuple[str, ...]
) -> None:
    photo = decode(with_note(write_dng(tmp_path / "a.dng", LIGHT), place))
    assert photo.warnings == told
    assert NOTE in photo.metadata.exif


def test_directories_of_a_raw_file_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    assert of_raw(b"II*\0\xff\xff\0\0" + bytes(50), b"")[1] == [words.DAMAGED_EXIF]
    data = write_dng(tmp_path / "a.dng", LIGHT).read_bytes()
    assert of_raw(data, b"")[1] == []


def test_of_a_preview_only_what_is_taken_from_it_is_told(tmp_path: Path) -> None:
    block = block_with((272, 2, b"Fuji of the test\0"))
    preview = write_jpeg(tmp_path / "a.jpg", pattern(48, 64), exif=block)
    with_segments(preview, Segment(APP2, b"MPF\0MM\0*"), Segment(APP2, b"ICC_PROFILE\0\1\2part"))
    raw = b"FUJIFILMCCD-RAW 0201" + bytes(100)
    found, told = of_raw(raw, preview.read_bytes())
    assert b"Fuji of the test" in found.exif and told == []
    guid = b"0" * 32
    piece = b"http://ns.adobe.com/xmp/extension/\0" + guid + struct.pack(">II", 9, 0) + b"part"
    with_segments(preview, Segment(APP1, piece))
    assert len(of_raw(raw, preview.read_bytes())[1]) == 1
