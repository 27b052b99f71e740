"""An EXIF block made small enough for a JPEG, and what a MakerNote loses by being moved."""

from __future__ import annotations

from .block import MAKER_NOTE, STRUCTURAL, Parsed, from_directories, sub_entries
from .ifd import ENTRY_BYTES, EXIF_IFD, GPS_IFD, HEADER_BYTES, INTEROP_IFD, Field, field_of
from .words import MAKER_NOTE_MOVED

_OVERHEAD = HEADER_BYTES + 4 * 8 + 3 * ENTRY_BYTES  # header, four directories, their pointers
# Notes whose offsets count from their own beginning, and so bear being moved.
_SELF_CONTAINED = (
    *(b"Nikon\0\x02", b"OLYMPUS\0", b"OM SYSTEM\0", b"FUJIFILM", b"Apple iOS\0", b"PENTAX \0"),
)


def moved_words(note: bytes) -> list[str]:
    """Say what a MakerNote loses by being moved: nothing, or one sentence."""
    return [] if note.startswith(_SELF_CONTAINED) else [MAKER_NOTE_MOVED]


def shrunk_to(limit: int, block: bytes, parsed: Parsed) -> tuple[bytes, list[str]]:
    """Rebuild a block without its thumbnail, the largest values left out until it fits.

    limit: bytes it may have; nothing is left but its header where even that is too much. The
    MakerNote stays in its place where it can. Returns the block and what it lost, one sentence
    each.
    """
    entries = sub_entries(block, parsed.layout, parsed.main, EXIF_IFD)
    skip = STRUCTURAL | {EXIF_IFD, GPS_IFD, INTEROP_IFD}
    directories = [
        [field_of(block, entry) for entry in part if entry.tag not in skip]
        for part in (
            parsed.main,
            entries,
            sub_entries(block, parsed.layout, parsed.main, GPS_IFD),
            sub_entries(block, parsed.layout, entries, INTEROP_IFD),
        )
    ]
    place = next((entry.start for entry in entries if entry.tag == MAKER_NOTE), 0)
    gone = _too_much(directories, limit)
    left_out = sorted({field.tag for field in gone})
    unwanted = {id(field) for field in gone}
    main, exif, gps, interop = (
        [field for field in part if id(field) not in unwanted] for part in directories
    )
    note = next((field.data for field in exif if field.tag == MAKER_NOTE), b"")
    stays = note and place + _bytes_of([main, exif, gps, interop]) <= limit
    built = from_directories(parsed.layout, main, exif, gps, interop, place if stays else 0)
    words = moved_words(note) if note and not stays else []
    if left_out:
        names = ", ".join("MakerNote" if tag == MAKER_NOTE else str(tag) for tag in left_out)
        words.insert(0, f"EXIF is too large for a JPEG: left out tag {names}.")
    return built, words


def _too_much(directories: list[list[Field]], limit: int) -> list[Field]:
    """Choose the largest fields that must go; none where moving the MakerNote is enough."""
    total = _bytes_of(directories)
    fields = sorted(
        (field for part in directories for field in part), key=_bytes_of_field, reverse=True
    )
    gone = []
    for field in fields:
        if total <= limit:
            break
        total -= _bytes_of_field(field)
        gone.append(field)
    return gone


def _bytes_of(directories: list[list[Field]]) -> int:
    return _OVERHEAD + sum(_bytes_of_field(field) for part in directories for field in part)


def _bytes_of_field(field: Field) -> int:
    size = len(field.data)
    return ENTRY_BYTES + (0 if size <= 4 else size + size % 2)
