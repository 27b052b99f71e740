"""What a file says of lengths, counts and places costs no more time or memory than its bytes do."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from donors import resource
from photos import canon_block

from abpn_cli.metadata import (
    BrokenExif,
    checked,
    edited,
    exif,
    jpeg_carrier,
    photoshop,
    png_carrier,
    tiff_carrier,
    tiff_extent,
    upright_packet,
    xmp,
)
from abpn_cli.metadata.jpeg_carrier import Segment
from abpn_cli.metadata.png_carrier import BrokenPng, chunk_bytes
from abpn_cli.photo import Metadata, Provenance

SECONDS = 20.0  # of CPU: what grows with the square of the size takes minutes
MADE = Provenance("1.0.0", "cloth", "a" * 64, 1.0)


def entries(order: str, *found: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack(order + "HHII", *entry) for entry in found)


def all_pointing_at(tag: int, count: int, kind: int, length: int, value: int) -> bytes:
    """A block whose directory has many entries, all with one value; zeros behind it."""
    many = entries("<", *[(tag, kind, length, value)] * count)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + many + bytes(4)


def through_exif(block: bytes) -> None:
    metadata, _ = checked(Metadata(exif=block), None)
    for make in (exif.for_jpeg, exif.for_png, exif.for_tiff):
        try:
            if make is exif.for_jpeg:
                exif.for_jpeg(metadata.exif, "abpn", 1, b"\xff\xd8")
            else:
                make(metadata.exif, "abpn", 1)  # type: ignore[operator]
        except BrokenExif:
            continue


def through_xmp(packet: bytes) -> None:
    metadata, _ = checked(Metadata(xmp=packet, extended_xmp=packet), None)
    edited(metadata, MADE, "")
    upright_packet(packet)
    xmp.divided(packet, b"")
    xmp.without_padding(packet)
    xmp.without_extended(packet + b"HasExtendedXMP")
    xmp.merged(packet, packet)


def through_jpeg(data: bytes) -> None:
    segments, _ = jpeg_carrier.split(data)
    jpeg_carrier.read(segments)


def through_png(data: bytes) -> None:
    for read in (lambda: png_carrier.split(data)[0], lambda: png_carrier.skim(io.BytesIO(data))):
        try:
            png_carrier.read(read())
        except BrokenPng:
            continue


def through_tiff(data: bytes) -> None:
    tiff_extent.behind_the_end(data)


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    whole = [(b"IHDR", bytes(13)), *chunks, (b"IEND", b"")]
    return png_carrier.SIGNATURE + b"".join(chunk_bytes(*chunk) for chunk in whole)


BOMB = zlib.compress(bytes(64 << 20), 9)
BROKEN_BOMB = BOMB[:-4] + b"\0\0\0\0"
MANY_DIRECTORIES = all_pointing_at(34665, 4000, 4, 1, 8 + 2 + 12 * 4000 + 4) + (
    struct.pack("<H", 4000) + entries("<", *[(40965, 4, 1, 8)] * 4000) + bytes(4)
)
EVENTS = b'<xmpMM:History xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"><rdf:Seq>'


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        (through_jpeg, b"\xff\xd8" + b"\xff\xe1\0\2" * 1_000_000),
        (through_jpeg, b"\xff\xd8" + b"\xff\xe1\0\2" * 65_536 + b"\xff\xda"),
        (through_jpeg, b"\xff\xd8" + b"\xff" * 8_000_000),
        (through_jpeg, b"\xff\xd8" + b"\xff\0" * 4_000_000),
        (through_jpeg, b"\xff\xd8" + b"\xff\xd0" * 4_000_000),
        (through_exif, all_pointing_at(65000, 4000, 7, 48_000, 8)),
        (through_exif, all_pointing_at(65000, 4000, 7, 10, 8) + bytes(65_000)),
        (through_exif, all_pointing_at(40000, 4000, 7, 30, 8) + bytes(200_000)),
        (through_exif, MANY_DIRECTORIES),
        (through_exif, b"II*\0\x08\0\0\0\0\0\x08\0\0\0"),
        (through_tiff, b"II*\0\x08\0\0\0\0\0\x08\0\0\0"),
        (through_tiff, MANY_DIRECTORIES),
        (through_tiff, all_pointing_at(330, 4000, 13, 250_000, 8) + bytes(1_000_000)),
        (through_tiff, all_pointing_at(330, 4000, 4, 1, 8) * 200),
        (through_xmp, b" " * 1_000_000 + b"x"),
        (through_xmp, b"<a>" * 300_000),
        (through_xmp, b"<a " * 300_000),
        (through_xmp, b"<!--" * 300_000),
        (through_xmp, b"<" + b"a" * 500_000 + b"'"),
        (through_xmp, b"<a " + b"b" * 500_000 + b" <"),
        (through_xmp, b"<?xpacket" * 100_000 + b" HasExtendedXMP"),
        (through_xmp, b"<a" + b" " * 500_000 + b"b='" + b" " * 500_000),
        (through_xmp, b"<a" + b" k='v'" * 150_000 + b"/>"),
        (
            through_xmp,
            b"<a" + b" xmlns:n%d='v'" * 1000 % tuple(range(1000)) + b">" + b"<b/>" * 49_000,
        ),
        (through_xmp, EVENTS + b"<rdf:li/>" * 49_000 + b"</rdf:Seq></xmpMM:History>"),
        (through_png, png_of(*[(b"zTXt", b"Raw profile type exif\0\0" + BOMB)] * 20)),
        (through_png, png_of(*[(b"zTXt", b"Raw profile type exif\0\0" + BROKEN_BOMB)] * 20)),
        (through_png, png_of(*[(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BROKEN_BOMB)] * 20)),
        (through_png, png_of(*[(b"zTXt", b"words\0\0" + BOMB)] * 40)),
        (through_png, png_of(*[(b"tEXt", b"")] * 300_000)),
        (through_png, png_of(*[(b"IDAT", b"")] * 300_000)),
        (through_png, png_of((b"tEXt", b"Raw profile type exif\0" + b" " * 2_000_000))),
        (photoshop.resources, b"8BIM\4\4\0\0\0\0\0\0" * 500_000),
        (photoshop.trimmed_iptc, b"\x1c\2\x78\0\0" * 400_000),
        (photoshop.trimmed_iptc, (b"\0\2\x78\x1c" + b"\0\0\0\0") * 400_000),
    ],
)
def test_no_file_takes_more_time_than_its_size_allows(
    parse: Callable[[bytes], object], data: bytes
) -> None:
    start = time.process_time()
    parse(data)
    assert time.process_time() - start < SECONDS


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def big_tiff_claiming(count: int) -> bytes:
    head = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, count)
    return head + struct.pack("<HHQQ", 65000, 7, 1 << 60, 1 << 60)


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        (lambda data: tiff_carrier.read(data, 8), all_pointing_at(65000, 4000, 7, 1 << 20, 8)),
        (lambda data: tiff_carrier.read(data, 16), big_tiff_claiming(1 << 60)),
        (lambda data: tiff_carrier.read(data, 16), big_tiff_claiming(1_000_000)),
        (lambda data: tiff_carrier.read(data, 16), big_tiff_claiming(1)),
        (through_jpeg, b"\xff\xd8" + b"\xff\xe1\0\2" * 500_000),
        (through_png, png_of(*[(b"tEXt", b"")] * 200_000)),
        (photoshop.resources, b"8BIM\4\4\0\0\0\0\0\0" * 200_000),
    ],
)
def test_no_claim_of_a_file_takes_memory(parse: Callable[[bytes], object], data: bytes) -> None:
    data += bytes(1 << 20)

    def work() -> None:
        try:
            parse(data)
        except BrokenExif:
            return

    assert peak_of(work) < 5 * len(data) + (8 << 20)


def test_compressed_chunks_together_grow_no_larger_than_one_may() -> None:
    data = png_of(*[(b"zTXt", b"Raw profile type %d\0\0" % n + BOMB) for n in range(9)])
    assert peak_of(lambda: through_png(data)) < 3 * (64 << 20)


def test_joining_packets_multiplies_nothing() -> None:
    names = b"".join(b' xmlns:n%d="%s"' % (n, b"u" * 200) for n in range(200))
    rdf = b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"' + names + b">"
    packet = rdf + b"<rdf:Description><a/></rdf:Description>" * 9000 + b"</rdf:RDF>"
    for join in (lambda: xmp.merged(packet, packet), lambda: xmp.divided(packet, packet)):
        assert peak_of(join) < 60 * len(packet)
    assert xmp.merged(packet, packet) is None


def test_a_jpeg_of_far_too_many_segments_is_damaged() -> None:
    segments, scan = jpeg_carrier.split(
        jpeg_carrier.join([Segment(0xE1, b"")] * 30_000) + b"\xff\xda"
    )
    assert len(segments) == jpeg_carrier.MAX_SEGMENTS
    assert scan == -1


def test_directories_that_point_at_each_other_are_read_once() -> None:
    block = bytearray(canon_block())
    for tag in (34665, 40965):
        at = block.index(struct.pack("<HHI", tag, 4, 1))
        struct.pack_into("<I", block, at + 8, 8)  # the main directory
    metadata, damaged = checked(Metadata(exif=bytes(block)), None)
    assert not damaged and metadata.orientation == 1
    written, *_ = exif.for_jpeg(metadata.exif, "abpn", 1, b"\xff\xd8")
    assert 0 < len(written) < len(block)


def test_photoshop_resources_beyond_a_limit_are_told() -> None:
    assert photoshop.fault(resource(2000, b"") * (photoshop.MAX_RESOURCES + 1))
    assert not photoshop.fault(resource(2000, b"") * photoshop.MAX_RESOURCES)
