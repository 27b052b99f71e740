"""The metadata editors under whatever comes: any tree of tags, any packet, any garbage."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from donors import TYPE_SIZE, Tag, block_with
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photos import canon_block

from abpn_cli.codecs import EncodeOptions, decode, encode
from abpn_cli.metadata import (
    BrokenExif,
    Resolution,
    checked,
    edited,
    exif,
    jpeg_carrier,
    photoshop,
    png_carrier,
    tiff_carrier,
    upright,
    upright_packet,
    with_one_packet,
    xmp,
)
from abpn_cli.metadata.block import STRUCTURAL, parse
from abpn_cli.metadata.jpeg_carrier import Segment
from abpn_cli.metadata.markup import Unreadable, read
from abpn_cli.metadata.repair import repaired
from abpn_cli.photo import Metadata, Photo, Provenance

settings.register_profile(
    "metadata",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
bounded = settings.get_profile("metadata")
few = settings(bounded, max_examples=20)

SPECIAL = {
    *STRUCTURAL,
    *(274, 282, 283, 296, 305, 700, 33723, 34377, 34664, 34665, 34675, 34852, 34853),
    *(37724, 40962, 40963, 40965, 50341, *range(50706, 52600)),
}
NUMBERS = st.integers(1, 65535).filter(lambda number: number not in SPECIAL)
MADE = Provenance("1.0.0", "cloth", "a" * 64, 1.0)
THUMBNAIL = b"\xff\xd8 a small picture \xff\xd9"


@st.composite
def tags(draw: st.DrawFn, most: int = 6) -> tuple[Tag, ...]:
    found = {}
    for number in draw(st.lists(NUMBERS, max_size=most, unique=True)):
        kind = draw(st.sampled_from(sorted(set(TYPE_SIZE) - {13})))  # but pointers
        count = draw(st.integers(1, 9))
        data = draw(st.binary(min_size=count * TYPE_SIZE[kind], max_size=count * TYPE_SIZE[kind]))
        if kind in (2, 129):
            data = bytes(byte & 0x7F or 0x20 for byte in data[:-1]) + b"\0"
        found[number] = (number, kind, data)
    return tuple(found.values())


Tree = dict[str, dict[int, tuple[int, bytes]]]


@st.composite
def trees(draw: st.DrawFn) -> tuple[str, bytes]:
    """A byte order and a block in it: any tags in the four directories that cameras write."""
    order = draw(st.sampled_from("<>"))
    parts = [draw(tags()) for _ in range(4)]
    main, exif_tags, gps, interop = parts
    if draw(st.booleans()):
        exif_tags = (*exif_tags, (37500, 7, draw(st.binary(min_size=5, max_size=300))))
    return order, block_with(*main, exif=exif_tags, gps=gps, interop=interop, order=order)


def directory_of(block: bytes, order: str, at: int) -> dict[int, tuple[int, bytes]]:
    """The tags of a directory by number; an independent reader, for whole blocks."""
    (count,) = struct.unpack_from(order + "H", block, at)
    found = {}
    for position in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(order + "HHI", block, position)
        size = TYPE_SIZE[kind] * length
        start = position + 8
        if size > 4:
            (start,) = struct.unpack_from(order + "I", block, start)
        found[tag] = kind, block[start : start + size]
        assert len(found[tag][1]) == size
    return found


def tree_of(block: bytes) -> Tree:
    order = "<" if block[:2] == b"II" else ">"
    main = directory_of(block, order, struct.unpack_from(order + "I", block, 4)[0])

    def behind(tags: dict[int, tuple[int, bytes]], tag: int) -> dict[int, tuple[int, bytes]]:
        if tag not in tags:
            return {}
        return directory_of(block, order, struct.unpack(order + "I", tags.pop(tag)[1])[0])

    exif_tags, gps = behind(main, 34665), behind(main, 34853)
    interop = behind(exif_tags, 40965)
    return {"main": main, "exif": exif_tags, "gps": gps, "interop": interop}


def without_ours(tree: Tree) -> Tree:
    main = {tag: value for tag, value in tree["main"].items() if tag not in (305, 274)}
    return {**tree, "main": main}


@given(trees())
@bounded
def test_any_tree_of_tags_goes_through_jpeg_and_png_whole(case: tuple[str, bytes]) -> None:
    _, block = case
    before = tree_of(block)
    for made in (
        exif.for_jpeg(block, "abpn 1.0.0", 6, THUMBNAIL)[0],
        exif.for_png(block, "abpn 1.0.0", 6),
        exif.for_jpeg(exif.for_png(block, "abpn 1.0.0", 6), "abpn 1.0.0", 6, THUMBNAIL)[0],
    ):
        after = tree_of(made)
        assert after["main"][305][1] == b"abpn 1.0.0\0"
        assert exif.orientation(made) == 6
        assert without_ours(after) == before
    assert repaired(block) == (block, False)


@given(trees())
@few
def test_any_tree_of_tags_goes_through_a_tiff_whole(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[str, bytes]
) -> None:
    _, block = case
    path = tmp_path_factory.getbasetemp() / "tree.tif"
    photo = Photo(np.zeros((16, 16, 3), np.uint8), Metadata(exif=block), source=path)
    encode(photo, path, "tiff", EncodeOptions(tiff_compression="none"))
    after = tree_of(decode(path).metadata.exif)
    for tag in (282, 283, 296):  # the resolution, which every TIFF has
        after["main"].pop(tag)
    before = tree_of(block)
    for tag, (kind, data) in before["main"].items():
        if kind == 129:  # UTF-8 of Exif 3.0, which readers of TIFF know as plain text alone
            before["main"][tag] = 2, data
    assert without_ours(after) == before


@given(trees())
@bounded
def test_no_byte_of_the_values_moves_but_those_of_the_main_directory(
    case: tuple[str, bytes],
) -> None:
    order, block = case
    made, _ = exif.for_jpeg(block, "abpn 1.0.0", 1, THUMBNAIL)
    at = made.find(struct.pack(order + "HH", 37500, 7))
    if at >= 0:
        size, place = struct.unpack_from(order + "II", made, at + 4)
        assert made[place : place + size] == block[place : place + size]


@st.composite
def broken_blocks(draw: st.DrawFn) -> bytes:
    """A block with bytes overwritten and perhaps cut: loops, overlaps, lies about lengths."""
    block = bytearray(draw(st.one_of(trees().map(lambda case: case[1]), st.just(canon_block()))))
    order = "<" if block[:2] == b"II" else ">"
    (main,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, main)
    of_entries = st.builds(
        lambda entry, part: min(main + 2 + 12 * entry + part, len(block) - 1),
        st.integers(0, count),
        st.sampled_from([0, 2, 4, 8]),
    )
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.one_of(st.integers(0, len(block) - 1), of_entries))
        value = draw(
            st.one_of(
                st.integers(0, len(block) + 8).map(lambda v: struct.pack(order + "I", v)),
                st.integers(0, 70).map(lambda v: struct.pack(order + "H", v)),
                st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff", b"\x89\x87"]),
            )
        )
        block[at : at + len(value)] = value
    if draw(st.booleans()):
        del block[draw(st.integers(0, len(block))) :]
    return bytes(block)


EDITS: tuple[Callable[[bytes], object], ...] = (
    lambda block: exif.for_jpeg(block, "abpn 1.0.0", 3, THUMBNAIL),
    lambda block: exif.for_png(block, "abpn 1.0.0", 3),
    lambda block: exif.for_tiff(block, "abpn 1.0.0", 3),
    lambda block: exif.with_resolution(block, Resolution((72, 1), (72, 1), 2)),
    lambda block: exif.with_size(exif.with_orientation(block, 1), (10, 20)),
    lambda block: upright(Metadata(exif=block), (10, 20)),
    exif.modified,
    exif.resolution,
    repaired,
    lambda block: tiff_carrier.read(block, 8),
)


@given(st.one_of(broken_blocks(), st.binary(max_size=300)))
@settings(bounded, max_examples=150)
def test_garbage_in_exif_is_broken_exif_and_nothing_else(block: bytes) -> None:
    with contextlib.suppress(BrokenExif):
        parsed = parse(block)
        assert all(entry.start + entry.size <= len(block) for entry in parsed.main + parsed.thumb)
    for edit in EDITS:
        try:
            edit(block)
        except BrokenExif:
            continue
    metadata, _ = checked(Metadata(exif=block), Resolution((72, 1), (72, 1), 2))
    for edit in EDITS[:-1]:  # what is left after the check can be written
        edit(metadata.exif)
    made, _ = exif.for_jpeg(metadata.exif, "abpn 1.0.0", 1, THUMBNAIL)
    assert len(made) <= exif.JPEG_LIMIT
    again, damaged = repaired(made)
    assert (again, damaged) == (made, False), "nothing is left that points nowhere"


SEGMENTS = st.lists(
    st.builds(
        Segment,
        st.sampled_from([0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE]),
        st.one_of(
            st.binary(max_size=60),
            st.builds(
                bytes.__add__,
                st.sampled_from(
                    [
                        *(b"Exif\0\0", b"Exif\0\0II*\0", b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0"),
                        *(b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0\1\1", b"MPF\0"),
                        b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32,
                        b'http://ns.adobe.com/xap/1.0/\0HasExtendedXMP="' + b"A" * 32 + b'"',
                    ]
                ),
                st.binary(max_size=60),
            ),
        ),
    ),
    max_size=8,
)


@given(SEGMENTS)
@bounded
def test_segments_come_back_as_they_were_put_together(segments: list[Segment]) -> None:
    data = jpeg_carrier.join(segments) + b"\xff\xda"
    assert jpeg_carrier.split(data) == (segments, len(data) - 2)
    metadata, _ = checked(jpeg_carrier.read(segments)[0], jpeg_carrier.density(segments))
    told = edited(metadata, MADE, "seed")
    with_one_packet(told)
    jpeg_carrier.write(b"\xff\xd8\xff\xda", told)


METADATA = st.builds(
    Metadata,
    exif=trees().map(lambda case: exif.for_png(case[1], "abpn 1.0.0", 1)),
    xmp=st.one_of(st.just(b""), st.binary(min_size=1, max_size=70_000)),
    iptc=st.just(b""),
    photoshop=st.lists(
        st.tuples(st.integers(2000, 2999), st.binary(max_size=40_000)), max_size=3
    ).map(
        lambda found: b"".join(
            b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + bytes(len(data) % 2)
            for number, data in found
        )
    ),
    icc=st.one_of(st.just(b""), st.binary(min_size=1, max_size=140_000)),
    comment=st.binary(max_size=100),
)


@given(METADATA)
@few
def test_metadata_of_any_size_goes_through_the_segments_of_a_jpeg(metadata: Metadata) -> None:
    data, left_out = jpeg_carrier.write(b"\xff\xd8\xff\xda", metadata)
    again, lost = jpeg_carrier.read(jpeg_carrier.split(data)[0])
    assert not left_out + lost
    if len(metadata.xmp) > xmp.JPEG_LIMIT:
        assert again.extended_xmp in metadata.xmp
        again = replace(again, xmp=metadata.xmp, extended_xmp=b"")
    assert again == metadata


@given(METADATA)
@few
def test_metadata_of_any_size_goes_through_the_chunks_of_a_png(metadata: Metadata) -> None:
    metadata = replace(metadata, comment=metadata.comment.decode("latin-1").encode())
    plain = png_carrier.SIGNATURE + b"".join(
        png_carrier.chunk_bytes(kind, data) for kind, data in ((b"IHDR", bytes(13)), (b"IEND", b""))
    )
    chunks, damaged = png_carrier.split(png_carrier.write(plain, metadata, None))
    again, lost = png_carrier.read(chunks)
    assert not damaged + lost
    comment = metadata.comment.rstrip(b"\0").replace(b"\0", b" ")
    assert replace(again, chunks=()) == replace(metadata, comment=comment)


CHUNKS = st.lists(
    st.tuples(
        st.sampled_from([b"IHDR", b"eXIf", b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"IEND"]),
        st.builds(
            bytes.__add__,
            st.sampled_from([b"", b"Raw profile type exif\0\0", b"XML:com.adobe.xmp\0\1\0\0\0"]),
            st.one_of(st.binary(max_size=40), st.sampled_from([b"\nexif\n 2\n0011", b"\0" * 9])),
        ),
    ),
    max_size=6,
)


@given(CHUNKS)
@bounded
def test_garbage_in_png_chunks_is_broken_png_and_nothing_else(
    found: list[tuple[bytes, bytes]],
) -> None:
    data = png_carrier.SIGNATURE + b"".join(png_carrier.chunk_bytes(*chunk) for chunk in found)
    try:
        chunks, _ = png_carrier.split(data)
    except png_carrier.BrokenPng:
        return
    checked(png_carrier.read(chunks)[0], png_carrier.density(chunks))


NAMES = st.sampled_from(["rdf:li", "rdf:Description", "xmpMM:History", "rdf:Seq", "a:b", "x"])
WORDS = st.sampled_from(["", "text", "<!-- <a> -->", "<![CDATA[<b>]]>", "<?pi <c> ?>", "&amp;"])


def _element(inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda name, content, words: f"<{name} a:k='1>2'>{words}{''.join(content)}</{name}>",
        NAMES,
        st.lists(inside, max_size=3),
        WORDS,
    )


ELEMENTS = st.recursive(NAMES.map(lambda name: f'<{name} a:k="v"/>'), _element, max_leaves=8)


@given(ELEMENTS)
@bounded
def test_a_packet_is_read_as_it_was_nested_and_edited_only_in_its_history(inside: str) -> None:
    history = "<xmpMM:History><rdf:Seq><rdf:li/></rdf:Seq></xmpMM:History>"
    text = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
        ' xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:a="a">'
        f"<rdf:Description>{history}{inside}</rdf:Description></rdf:RDF>"
    ).encode()
    document = read(text)
    for element in document.elements:
        assert text[element.start : element.start + 1] == b"<"
        assert text[element.end - 1 : element.end] == b">"
        around = document.elements[element.parent] if element.parent >= 0 else None
        assert around is None or around.opened <= element.start < element.end <= around.closed
    after = edited(Metadata(xmp=text), MADE, "seed").xmp
    assert len(after) > len(text)
    at = text.index(b"<rdf:li/>") + len(b"<rdf:li/>")
    assert after.startswith(text[:at])
    assert after.endswith(text[at:])


@given(st.one_of(st.text("<>/ a:='\"!-[]?&", max_size=80).map(str.encode), st.binary(max_size=80)))
@settings(bounded, max_examples=100)
def test_garbage_in_xmp_stays_as_it_is(packet: bytes) -> None:
    whole = b"<xmpMM:History>" + packet + b" http://ns.adobe.com/hdr-gain-map/ Orientation"
    try:
        read(whole)
    except Unreadable:
        assert edited(Metadata(xmp=whole), MADE, "").xmp == whole
        assert upright_packet(whole) == whole
        assert xmp.without_second_image(whole) == whole
        assert xmp.merged(whole, whole) is None
    xmp.divided(whole, packet)
    xmp.without_padding(whole)


@given(st.binary(max_size=200), st.binary(max_size=60))
@bounded
def test_garbage_in_photoshop_resources_and_iptc_raises_nothing(blocks: bytes, iptc: bytes) -> None:
    blocks = b"8BIM\4\4\0\0" + blocks
    photoshop.with_iptc(blocks, photoshop.iptc_of(blocks))
    photoshop.with_digest(blocks, iptc, iptc + b"\0")
    photoshop.fault(blocks)
    assert iptc.startswith(photoshop.trimmed_iptc(iptc)) or len(iptc) % 4 == 0


def test_the_reader_of_this_file_agrees_with_a_block_of_a_camera() -> None:
    assert tree_of(canon_block(">"))["interop"][1] == (2, b"R98\0")
