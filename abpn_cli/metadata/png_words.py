"""Words about a photo, from where PNG and JPEG keep them to where EXIF does.

A PNG has text chunks, each with a keyword (PNG Specification, 11.3.3.1); a JPEG has comments.
What has a place goes there, unless something stands there already; what has none is told.
"""

from __future__ import annotations

import struct
from dataclasses import replace

from ..photo import Metadata
from . import exif, words
from .ifd import BrokenExif
from .png_carrier import COLOUR, words_of

IMAGE_DESCRIPTION = 270
_TAGS = {"Title": 269, "Description": IMAGE_DESCRIPTION, "Author": 315, "Copyright": 33432}
_SILENT = {"Software", "Comment"}  # we write the first; the second is the photo's comment
_LONGEST = 30_000  # bytes of a text that goes into EXIF: a JPEG holds 64 KB of it
_MOST_NAMES = 9
# What readers take a PNG for that says nothing: sRGB, as these chunks say it.
_SRGB_GAMMA, _SRGB_CICP = 45455, b"\1\x0d\0\1"
_SRGB_CORNERS = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def without_chunks(metadata: Metadata, format: str) -> tuple[Metadata, list[str]]:
    """Put the words of a PNG where EXIF has a place for them; return also what was left out.

    format: the one that it is for, as in "a JPEG".
    """
    texts: dict[int, str] = {}
    unplaced: dict[str, None] = {}
    for keyword, text in words_of(metadata.chunks):
        tag = _TAGS.get(keyword)
        if tag is not None and tag not in texts and len(text.encode()) <= _LONGEST:
            texts[tag] = text
        elif keyword not in _SILENT:
            unplaced[keyword] = None
    placed, block = _placed(metadata.exif, texts)
    unplaced |= {keyword: None for keyword, tag in _TAGS.items() if tag in set(texts) - placed}
    names = [f"'{_shown(keyword)}'" for keyword in unplaced]
    more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    left_out = words.no_place([*names[:_MOST_NAMES], *more], format)
    if not metadata.icc:
        left_out += words.no_place(_colours(metadata.chunks), format)
    return replace(metadata, exif=block, chunks=()), left_out


def without_comment(metadata: Metadata, format: str) -> tuple[Metadata, list[str]]:
    """Make the comments the ImageDescription, where there is none; as of `without_chunks`."""
    comments = (metadata.comment, *metadata.more_comments)
    text = "\n".join(filter(None, (_decoded(item).strip("\0 \r\n") for item in comments)))
    plain = replace(metadata, comment=b"", more_comments=())
    if not text:
        return plain, []
    short = {IMAGE_DESCRIPTION: text} if len(text.encode()) <= _LONGEST else {}
    placed, block = _placed(metadata.exif, short)
    left_out = [] if placed else words.no_place(["Its comment"], f"{format} with a description")
    return replace(plain, exif=block), left_out


def _placed(block: bytes, texts: dict[int, str]) -> tuple[set[int], bytes]:
    """Put texts into a block where it has none; return as `exif.with_texts` does."""
    if not texts:
        return set(), block
    try:
        return exif.with_texts(block, texts)
    except BrokenExif:
        return set(), block


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _shown(keyword: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in keyword)[:40]


def _colours(chunks: tuple[tuple[bytes, bytes], ...]) -> list[str]:
    """Name the chunks that say the colours are other than sRGB, the most telling alone."""
    found = {kind: data for kind, data in chunks if kind in COLOUR}
    if b"cICP" in found:
        return [] if found[b"cICP"] == _SRGB_CICP else ["Its colour space (cICP)"]
    if b"sRGB" in found:
        return []
    gamma, corners = found.get(b"gAMA", b""), found.get(b"cHRM", b"")
    other = []
    if len(gamma) == 4 and abs(struct.unpack(">I", gamma)[0] - _SRGB_GAMMA) > 500:
        other.append("Its gamma (gAMA)")
    if len(corners) == 32 and any(
        abs(found_ - wanted) > 500
        for found_, wanted in zip(struct.unpack(">8I", corners), _SRGB_CORNERS, strict=True)
    ):
        other.append("its primaries (cHRM)" if other else "Its primaries (cHRM)")
    return other
