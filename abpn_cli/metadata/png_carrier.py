"""Metadata in the chunks of a PNG (PNG Specification, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from io import SEEK_CUR
from typing import BinaryIO, NamedTuple

from ..photo import Metadata
from . import photoshop, segments, words
from .exif import Resolution

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_INFLATED = 64 << 20  # bytes of all compressed chunks together: more is an attack
_MAX_RATIO = 1032  # of deflate
_MAX_CHUNKS = 1 << 20
_MAX_OTHERS = 10_000  # chunks that are not the pixels': more is noise, and takes memory
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
_RAW_PROFILE = b"Raw profile type "
_LENGTH_DIGITS = 10  # of the length a raw profile states
_LEFT_OUT = ((b"caBX", words.C2PA), (b"acTL", words.ANIMATION))
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
COLOUR = (b"cHRM", b"gAMA", b"sRGB", b"cICP", b"mDCV", b"cLLI")
# what says how the same values look, and words about the photo: carried from PNG to PNG
_CARRIED = frozenset({*COLOUR, *_TEXT})


class BrokenPng(ValueError):
    """The chunks do not hold together: cut short or damaged."""


class Chunk(NamedTuple):
    """One chunk: its type, its data, its bytes with length and check sum."""

    type: bytes
    data: bytes
    raw: bytes


def split(data: bytes) -> tuple[list[Chunk], list[str]]:
    """Take a PNG apart, check sums tested; return the chunks and what was left out.

    Raises BrokenPng where a chunk that the pixels need is damaged or missing.
    """
    chunks: list[Chunk] = []
    damaged: list[bytes] = []
    others = 0
    position = len(SIGNATURE)
    while not chunks or chunks[-1].type != b"IEND":
        if position + 12 > len(data):
            raise BrokenPng("the file is cut short")
        size, kind = struct.unpack_from(">I4s", data, position)
        others = _counted(kind, others, len(chunks))
        end = position + 12 + size
        if end > len(data):
            raise BrokenPng("the file is cut short")
        body = data[position + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(kind)) == int.from_bytes(data[end - 4 : end], "big"):
            chunks.append(Chunk(kind, body, data[position:end]))
        elif kind[0] & 0x20:  # a small first letter: the pixels do not need this chunk
            damaged.append(kind)
        else:
            raise BrokenPng("the file is damaged: a check sum does not match")
        position = end
    _check_first(chunks)
    names = sorted({kind.decode("ascii") for kind in damaged})
    lost = [f"Its {name} chunk is damaged and was left out." for name in names[:9]]
    return chunks, lost + segments.what_lies_behind(data[position:])


def _counted(kind: bytes, others: int, chunks: int) -> int:
    """Count the chunks that are not the pixels'. Raises BrokenPng for noise read as chunks."""
    if not (kind.isascii() and kind.isalpha()):
        raise BrokenPng("the file is damaged: it holds what is no PNG chunk")
    others += kind != b"IDAT"
    if others > _MAX_OTHERS or chunks > _MAX_CHUNKS:
        raise BrokenPng("the file is damaged: it holds far too many chunks")
    return others


def _check_first(chunks: list[Chunk]) -> None:
    if chunks[0].type != b"IHDR" or len(chunks[0].data) != 13:
        raise BrokenPng("the file has no PNG header")


def skim(file: BinaryIO) -> list[Chunk]:
    """Read the chunks of a PNG but its pixels', check sums untested.

    Raises BrokenPng where it is cut short or does not begin as a PNG does.
    """
    chunks: list[Chunk] = []
    others = 0
    total = 0
    file.seek(len(SIGNATURE))
    while not chunks or chunks[-1].type != b"IEND":
        head = file.read(8)
        if len(head) < 8:
            raise BrokenPng("the file is cut short")
        size, kind = struct.unpack(">I4s", head)
        total += 1
        others = _counted(kind, others, total)
        if kind == b"IDAT" or size > _MAX_INFLATED:
            file.seek(size + 4, SEEK_CUR)
            continue
        body = file.read(size)
        if len(body) < size or len(file.read(4)) < 4:
            raise BrokenPng("the file is cut short")
        chunks.append(Chunk(kind, body, b""))
    _check_first(chunks)
    return chunks


def pixels_only(chunks: list[Chunk]) -> bytes:
    """Join the chunks that a decoder needs for the stored values, and no others."""
    needed = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
    return SIGNATURE + b"".join(chunk.raw for chunk in chunks if chunk.type in needed)


def read(chunks: list[Chunk]) -> tuple[Metadata, list[str]]:
    """Collect the metadata of a PNG; orientation is left at 1.

    Returns the metadata and what could not be read or kept, one sentence each.
    """
    found = {chunk.type: chunk.data for chunk in chunks if chunk.type in (b"eXIf", b"iCCP")}
    inflate = _Inflater()
    packet = b""
    comments: list[bytes] = []
    profiles: dict[bytes, bytes] = {}
    carried = []
    left_out = []
    for chunk in chunks:
        if chunk.type not in _CARRIED:
            continue
        keyword = chunk.data.partition(b"\0")[0] if chunk.type in _TEXT else b""
        if keyword == _XMP_KEYWORD:
            packet = packet or _text(chunk, inflate)
        elif keyword.startswith(_RAW_PROFILE):
            profiles[keyword[len(_RAW_PROFILE) :].lower()] = _raw_profile(_text(chunk, inflate))
        else:
            if keyword == b"Comment":
                comments.append(_decoded(chunk, _text(chunk, inflate)).encode())
            carried.append((chunk.type, chunk.data))
    icc = profiles.get(b"icc", b"") or profiles.get(b"icm", b"")
    if b"iCCP" in found:
        icc = inflate(found[b"iCCP"].partition(b"\0")[2][1:])
        left_out = [] if icc else ["Its ICC profile is damaged and was left out."]
    left_out += [told for kind, told in _LEFT_OUT if any(chunk.type == kind for chunk in chunks)]
    shop = profiles.get(b"8bim", b"") or profiles.get(b"iptc", b"")
    iptc = shop if shop[:1] == b"\x1c" else photoshop.iptc_of(shop)
    app1 = profiles.get(b"app1", b"")  # an EXIF or an XMP segment of the JPEG it was made from
    packet = packet or profiles.get(b"xmp", b"")
    if app1.startswith(_XMP_SEGMENT):
        packet, app1 = packet or app1.removeprefix(_XMP_SEGMENT), b""
    exif = found.get(b"eXIf", b"") or profiles.get(b"exif", b"") or app1
    metadata = Metadata(
        exif=exif.removeprefix(b"Exif\0\0"),
        xmp=packet,
        iptc=iptc,
        photoshop=b"" if shop[:1] == b"\x1c" else shop,
        icc=icc,
        comment=comments[0] if comments else b"",
        more_comments=tuple(comments[1:]),
        chunks=tuple(carried),
    )
    return metadata, left_out


def density(chunks: list[Chunk]) -> Resolution | None:
    """Return the resolution of the pHYs chunk in pixels per inch, None where it has no unit."""
    for chunk in chunks:
        if chunk.type == b"pHYs" and len(chunk.data) == 9 and chunk.data[8] == 1:
            x, y = struct.unpack_from(">II", chunk.data)
            if x and y and max(x, y) < 1 << 24:  # per metre; 0.0254 m is an inch
                return Resolution(_per_inch(x), _per_inch(y), 2)
    return None


def _per_inch(per_metre: int) -> tuple[int, int]:
    """Turn pixels per metre to pixels per inch: a whole number where one was surely meant."""
    value = per_metre * 0.0254
    if abs(value - round(value)) < 0.02:
        return round(value), 1
    return round(value * 100), 100


def write(encoded: bytes, metadata: Metadata, resolution: Resolution | None) -> bytes:
    """Put metadata into a freshly encoded PNG, behind its header chunk.

    metadata: EXIF as `exif.for_png` made it, XMP as one packet.
    """
    chunks, _ = split(encoded)
    pieces = [chunks[0].raw]
    if metadata.icc:
        body = b"icc\0\0" + zlib.compress(metadata.icc, 9)
        pieces.append(chunk_bytes(b"iCCP", body))
    pieces += [
        chunk_bytes(kind, data)
        for kind, data in metadata.chunks
        # beside a profile these are redundant, and sRGB beside iCCP is an error
        if kind not in COLOUR or not metadata.icc
    ]
    if resolution is not None and resolution.unit in (2, 3):
        metre = 0.0254 if resolution.unit == 2 else 0.01
        x, y = (round(top / bottom / metre) for top, bottom in (resolution.x, resolution.y))
        if 0 < x < 1 << 31 and 0 < y < 1 << 31:
            pieces.append(chunk_bytes(b"pHYs", struct.pack(">IIB", x, y, 1)))
    if metadata.exif:
        pieces.append(chunk_bytes(b"eXIf", metadata.exif))
    if metadata.xmp:
        pieces.append(chunk_bytes(b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + metadata.xmp))
    blocks = photoshop.with_iptc(metadata.photoshop, metadata.iptc)
    if blocks:
        pieces.append(_raw_profile_chunk(b"iptc", blocks))
    if metadata.comment and not metadata.chunks:
        pieces += map(_comment_chunk, (metadata.comment, *metadata.more_comments))
    pixels = [chunk.raw for chunk in chunks if chunk.type in (b"IDAT", b"IEND")]
    return SIGNATURE + b"".join([*pieces, *pixels])


def chunk_bytes(kind: bytes, data: bytes) -> bytes:
    """Return a chunk with its length and check sum."""
    check = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


class _Inflater:
    """Inflates the compressed chunks of one file, so many bytes in all and no more."""

    def __init__(self) -> None:
        self._left = _MAX_INFLATED

    def __call__(self, data: bytes) -> bytes:
        """Inflate a zlib stream, empty where it is damaged or there is too much of it."""
        if self._left <= 0:
            return b""
        stream = zlib.decompressobj()
        try:
            text = stream.decompress(data, self._left)
        except zlib.error:
            self._left -= _MAX_RATIO * len(data)  # what it may have grown to before it failed
            return b""
        self._left -= len(text)
        return text if stream.eof else b""


def _text(chunk: Chunk, inflate: _Inflater) -> bytes:
    """Return the text of a text chunk, inflated; empty where it is damaged."""
    rest = chunk.data.partition(b"\0")[2]
    if chunk.type == b"tEXt":
        return rest
    if chunk.type == b"zTXt":
        return inflate(rest[1:])
    compressed, rest = rest[:1] == b"\x01", rest[2:]
    text = rest.partition(b"\0")[2].partition(b"\0")[2]  # behind language and translated keyword
    return inflate(text) if compressed else text


def _decoded(chunk: Chunk, text: bytes) -> str:
    """Decode the text of a chunk: international ones are UTF-8, the others Latin-1."""
    if chunk.type == b"iTXt":
        return text.decode("utf-8", "replace")
    return text.decode("latin-1")


def words_of(chunks: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Return keyword and text of the text chunks among the carried ones; "" for what is damaged."""
    inflate = _Inflater()
    texts = [Chunk(kind, data, b"") for kind, data in chunks if kind in _TEXT]
    return [
        (
            chunk.data.partition(b"\0")[0].decode("latin-1"),
            _decoded(chunk, _text(chunk, inflate)),
        )
        for chunk in texts
    ]


def _comment_chunk(comment: bytes) -> bytes:
    """Make a text chunk of a JPEG's comment: Latin-1 unless it is UTF-8 and more than ASCII."""
    text = comment.rstrip(b"\0").replace(b"\0", b" ")
    try:
        if not text.isascii() and text.decode("utf-8"):
            return chunk_bytes(b"iTXt", b"Comment\0\0\0\0\0" + text)
    except UnicodeDecodeError:
        pass  # no UTF-8: what most programs wrote before it was
    return chunk_bytes(b"tEXt", b"Comment\0" + text)


def _raw_profile(text: bytes) -> bytes:
    """Read a profile written as hexadecimal text behind its name and length, ImageMagick's way."""
    parts = text.lstrip().partition(b"\n")[2].split(None, 1)  # behind the line of its name
    if len(parts) < 2 or not parts[0].isdigit() or len(parts[0]) > _LENGTH_DIGITS:
        return b""
    try:
        profile = bytes.fromhex(parts[1].decode("ascii"))
    except ValueError:
        return b""
    return profile if len(profile) == int(parts[0]) else b""


def _raw_profile_chunk(name: bytes, profile: bytes) -> bytes:
    digits = profile.hex().encode("ascii")
    lines: Iterable[bytes] = (digits[i : i + 72] for i in range(0, len(digits), 72))
    text = b"\n" + name + b"\n%8d\n" % len(profile) + b"\n".join(lines) + b"\n"
    return chunk_bytes(b"zTXt", _RAW_PROFILE + name + b"\0\0" + zlib.compress(text, 9))
