"""Metadata in the chunks of a PNG (PNG Specification, third edition)."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from io import SEEK_CUR
from typing import BinaryIO, NamedTuple

from ..photo import Metadata
from . import photoshop
from .exif import Resolution

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_INFLATED = 64 << 20  # a compressed chunk that grows beyond this is an attack
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_RAW_PROFILE = b"Raw profile type "
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
# what says how the same values look, and words about the photo: carried from PNG to PNG
_CARRIED = frozenset({b"cHRM", b"gAMA", b"sRGB", b"cICP", *_TEXT})


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
    left_out: list[str] = []
    position = len(SIGNATURE)
    while not chunks or chunks[-1].type != b"IEND":
        if position + 12 > len(data):
            raise BrokenPng("the file is cut short")
        size, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + size
        if end > len(data):
            raise BrokenPng("the file is cut short")
        body = data[position + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(kind)) == int.from_bytes(data[end - 4 : end], "big"):
            chunks.append(Chunk(kind, body, data[position:end]))
        elif kind[0] & 0x20:  # a small first letter: the pixels do not need this chunk
            left_out.append(f"Its {kind.decode('latin-1')} chunk is damaged and was left out.")
        else:
            raise BrokenPng("the file is damaged: a check sum does not match")
        position = end
    if chunks[0].type != b"IHDR" or len(chunks[0].data) != 13:
        raise BrokenPng("the file has no PNG header")
    return chunks, left_out


def skim(file: BinaryIO) -> list[Chunk]:
    """Read the chunks of a PNG but its pixels', check sums untested.

    Raises BrokenPng where it is cut short or does not begin as a PNG does.
    """
    chunks: list[Chunk] = []
    file.seek(len(SIGNATURE))
    while not chunks or chunks[-1].type != b"IEND":
        head = file.read(8)
        if len(head) < 8:
            raise BrokenPng("the file is cut short")
        size, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT" or size > _MAX_INFLATED:
            file.seek(size + 4, SEEK_CUR)
            continue
        body = file.read(size)
        if len(body) < size or len(file.read(4)) < 4:
            raise BrokenPng("the file is cut short")
        chunks.append(Chunk(kind, body, b""))
    if chunks[0].type != b"IHDR" or len(chunks[0].data) != 13:
        raise BrokenPng("the file has no PNG header")
    return chunks


def pixels_only(chunks: list[Chunk]) -> bytes:
    """Join the chunks that a decoder needs for the stored values, and no others."""
    needed = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
    return SIGNATURE + b"".join(chunk.raw for chunk in chunks if chunk.type in needed)


def read(chunks: list[Chunk]) -> tuple[Metadata, list[str]]:
    """Collect the metadata of a PNG; orientation is left at 1.

    Returns the metadata and what could not be read, one sentence each.
    """
    found = {chunk.type: chunk.data for chunk in chunks if chunk.type in (b"eXIf", b"iCCP")}
    packet = comment = b""
    profiles: dict[bytes, bytes] = {}
    carried = []
    left_out = []
    for chunk in chunks:
        if chunk.type not in _CARRIED:
            continue
        keyword, text = _text(chunk) if chunk.type in _TEXT else (b"", b"")
        if keyword == _XMP_KEYWORD:
            packet = text
        elif keyword.startswith(_RAW_PROFILE):
            profiles[keyword[len(_RAW_PROFILE) :].lower()] = _raw_profile(text)
        else:
            comment = text if keyword == b"Comment" else comment
            carried.append((chunk.type, chunk.data))
    icc = profiles.get(b"icc", b"") or profiles.get(b"icm", b"")
    if b"iCCP" in found:
        icc = _inflate(found[b"iCCP"].partition(b"\0")[2][1:])
        left_out = [] if icc else ["Its ICC profile is damaged and was left out."]
    shop = profiles.get(b"8bim", b"") or profiles.get(b"iptc", b"")
    iptc = shop if shop[:1] == b"\x1c" else photoshop.iptc_of(shop)
    exif = found.get(b"eXIf", b"") or profiles.get(b"exif", b"") or profiles.get(b"app1", b"")
    metadata = Metadata(
        exif=exif.removeprefix(b"Exif\0\0"),
        xmp=packet or profiles.get(b"xmp", b""),
        iptc=iptc,
        photoshop=b"" if shop[:1] == b"\x1c" else shop,
        icc=icc,
        comment=comment,
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
    colour = (b"cHRM", b"gAMA", b"sRGB", b"cICP")
    if metadata.icc:
        body = b"icc\0\0" + zlib.compress(metadata.icc, 9)
        pieces.append(chunk_bytes(b"iCCP", body))
    pieces += [
        chunk_bytes(kind, data)
        for kind, data in metadata.chunks
        # beside a profile these are redundant, and sRGB beside iCCP is an error
        if kind not in colour or not metadata.icc
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
        text = metadata.comment.rstrip(b"\0").replace(b"\0", b" ")
        pieces.append(chunk_bytes(b"tEXt", b"Comment\0" + text))
    pixels = [chunk.raw for chunk in chunks if chunk.type in (b"IDAT", b"IEND")]
    return SIGNATURE + b"".join([*pieces, *pixels])


def chunk_bytes(kind: bytes, data: bytes) -> bytes:
    """Return a chunk with its length and check sum."""
    check = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def _inflate(data: bytes) -> bytes:
    """Inflate a zlib stream, empty where it is damaged or far too large."""
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, _MAX_INFLATED)
    except zlib.error:
        return b""
    return text if stream.eof else b""


def _text(chunk: Chunk) -> tuple[bytes, bytes]:
    """Return keyword and text of a text chunk, inflated; text empty where it is damaged."""
    keyword, _, rest = chunk.data.partition(b"\0")
    if chunk.type == b"tEXt":
        return keyword, rest
    if chunk.type == b"zTXt":
        return keyword, _inflate(rest[1:])
    compressed, rest = rest[:1] == b"\x01", rest[2:]
    text = rest.partition(b"\0")[2].partition(b"\0")[2]  # behind language and translated keyword
    return keyword, _inflate(text) if compressed else text


def _raw_profile(text: bytes) -> bytes:
    """Read a profile written as hexadecimal text behind its name and length, ImageMagick's way."""
    found = re.match(rb"\s*[^\n]+\n\s*(\d+)\s+([0-9a-fA-F\s]*)$", text)
    if not found:
        return b""
    digits = re.sub(rb"\s", b"", found.group(2))
    profile = bytes.fromhex(digits[: len(digits) & ~1].decode("ascii"))
    return profile if len(profile) == int(found.group(1)) else b""


def _raw_profile_chunk(name: bytes, profile: bytes) -> bytes:
    digits = profile.hex().encode("ascii")
    lines: Iterable[bytes] = (digits[i : i + 72] for i in range(0, len(digits), 72))
    text = b"\n" + name + b"\n%8d\n" % len(profile) + b"\n".join(lines) + b"\n"
    return chunk_bytes(b"zTXt", _RAW_PROFILE + name + b"\0\0" + zlib.compress(text, 9))
