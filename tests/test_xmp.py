"""XMP packets: what is added, what is dropped, and that every other byte stays."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from command import abpn
from donors import assert_kept, block_with, passed_through
from photos import canon_block, donate, needs_exiftool, pattern, tags_of, write_jpeg, write_png

from abpn_cli import __version__
from abpn_cli.codecs import EncodeOptions, decode, encode
from abpn_cli.metadata import checked, edited, upright_packet, xmp
from abpn_cli.metadata.markup import Name, Unreadable, read
from abpn_cli.photo import FormatName, Metadata, Provenance

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
MM = 'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"'
EVENT = 'xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"'
MADE = Provenance("9.9.9", "cloth", "ab" * 32, 0.75)


def packet(inside: str, names: str = f"{MM} {EVENT}", more: str = "") -> bytes:
    text = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF {RDF}>\n'
        f'  <rdf:Description rdf:about="" {names}{more}>\n{inside}\n  </rdf:Description>\n'
        " </rdf:RDF>\n</x:xmpmeta>\n" + " " * 100 + '\n<?xpacket end="w"?>'
    )
    return text.encode()


HISTORY = """   <xmpMM:History>
    <rdf:Seq>
     <rdf:li stEvt:action="saved" stEvt:softwareAgent="Adobe Photoshop 25.0 (Macintosh)"/>
    </rdf:Seq>
   </xmpMM:History>"""


def told(data: bytes, exif: bytes = b"", seed: str = "source") -> bytes:
    return edited(Metadata(xmp=data, exif=exif), MADE, seed).xmp


def extended_pair(main_inside: str, extended_inside: str, names: str) -> Metadata:
    """A main packet that names an extended one, as a camera writes them."""
    rest = packet(extended_inside, names).split(b"?>", 1)[1].rsplit(b"<?xpacket", 1)[0].strip()
    note = ' xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{}"'
    main = packet(main_inside, names, note.format(xmp.guid_of(rest).decode()))
    return Metadata(xmp=main, extended_xmp=rest)


def properties_of(path: Path) -> dict[str, object]:
    command = ["exiftool", "-j", "-struct", "-G1", "-XMP:all", str(path)]
    done = subprocess.run(command, check=True, capture_output=True)
    tags: dict[str, object] = json.loads(done.stdout)[0]
    return tags


def test_a_history_gets_one_entry_and_every_other_byte_stays() -> None:
    before = packet(HISTORY)
    after = told(before)
    added = re.search(rb"\n     <rdf:li stEvt:action=\"edited\"[^>]*/>", after)
    assert added
    assert after.replace(added[0], b"") == before
    assert b'softwareAgent="abpn 9.9.9"' in added[0]
    words = f"task cloth, strength 0.75, weights sha256 {'ab' * 32}"
    assert f'stEvt:parameters="{words}"'.encode() in added[0]


def test_xmp_without_a_history_stays_to_the_byte() -> None:
    more = ' xmpMM:InstanceID="xmp.iid:1"'
    for data in (packet("", more=more), packet("<xmpMM:History/>"), b"", b"no xml at all"):
        assert told(data) == data


@needs_exiftool
@pytest.mark.parametrize("format", ["jpeg", "png", "tiff"])
def test_exiftool_reads_what_was_done_from_every_format(tmp_path: Path, format: FormatName) -> None:
    donor = write_jpeg(tmp_path / "donor.jpg", pattern(48, 64), exif=canon_block())
    donate(
        donor,
        "-XMP-xmpMM:History+={action=saved,softwareAgent=Adobe Photoshop 25.0}",
        "-XMP-xmpMM:InstanceID=xmp.iid:old",
        "-XMP-xmpMM:DocumentID=xmp.did:same",
        "-XMP-xmp:ModifyDate=2024:05:06 07:08:09+02:00",
    )
    out = tmp_path / "out"
    encode(decode(donor), out, format, EncodeOptions(provenance=MADE))
    tags = properties_of(out)
    history = tags["XMP-xmpMM:History"]
    assert isinstance(history, list)
    assert [entry["Action"] for entry in history] == ["saved", "edited"]
    assert history[1]["SoftwareAgent"] == "abpn 9.9.9"
    assert history[1]["When"] == "2024:05:06 07:08:09+02:00"  # the source's date: no clock
    assert "strength 0.75" in history[1]["Parameters"]
    assert history[1]["InstanceID"] == tags["XMP-xmpMM:InstanceID"] != "xmp.iid:old"
    assert tags["XMP-xmpMM:DocumentID"] == "xmp.did:same"


@needs_exiftool
def test_the_command_tells_weights_strength_and_version_and_twice_the_same(
    tmp_path: Path, checkpoint: Path
) -> None:
    donor = donate(
        write_jpeg(tmp_path / "a.jpg", pattern(64, 96)), "-XMP-xmpMM:History+={action=saved}"
    )
    words = ("--weights", checkpoint, "--strength", "0.5", "--device", "cpu")
    for out in ("one", "two"):
        code, _, err = abpn("retouch", donor, "-o", out, *words, cwd=tmp_path)
        assert code == 0, err
    history = properties_of(tmp_path / "one" / "a.jpg")["XMP-xmpMM:History"]
    assert isinstance(history, list)
    assert history[1]["SoftwareAgent"] == f"abpn {__version__}"
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert history[1]["Parameters"] == f"strength 0.5, weights sha256 {digest}"
    assert (tmp_path / "one/a.jpg").read_bytes() == (tmp_path / "two/a.jpg").read_bytes()


def test_the_date_of_an_entry_is_the_exif_date_where_the_packet_has_none() -> None:
    dated = block_with((306, 2, b"2023:01:02 03:04:05\0"))
    assert b'stEvt:when="2023-01-02T03:04:05"' in told(packet(HISTORY), dated)
    wrong = block_with((306, 2, b"2023:01:02 03:0<>:05\0"))
    assert b"stEvt:when" not in told(packet(HISTORY), wrong)


def test_an_output_has_a_name_of_its_own_and_the_same_one_every_time() -> None:
    names = [told(packet(HISTORY), seed=seed) for seed in ("a jpeg", "a jpeg", "a tiff", "b jpeg")]
    assert names[0] == names[1]
    assert len(set(names)) == 3


@pytest.mark.parametrize(
    ("inside", "names"),
    [
        ("<m:History><rdf:Seq><rdf:li e:action='saved'/></rdf:Seq></m:History>", ("m", "e")),
        ("<m:History><rdf:Seq/></m:History>", ("m", "e")),
        ("<m:History><rdf:Seq></rdf:Seq></m:History>", ("m", "e")),
        ("<m:History><rdf:Seq><rdf:li/></rdf:Seq></m:History>", ("m", None)),
    ],
)
@needs_exiftool
def test_an_entry_is_readable_whatever_the_prefixes(
    tmp_path: Path, inside: str, names: tuple[str, str | None]
) -> None:
    declared = MM.replace("xmpMM", names[0])
    if names[1]:
        declared += " " + EVENT.replace("stEvt", names[1])
    path = tmp_path / "a.xmp"
    path.write_bytes(told(packet(inside, declared)))
    history = properties_of(path)["XMP-xmpMM:History"]
    assert isinstance(history, list)
    assert history[-1]["Action"] == "edited"


def test_what_a_task_is_called_cannot_break_the_packet() -> None:
    odd = Provenance("1", 'a"/><b>&\n\x1b\udcff', "", None)
    after = edited(Metadata(xmp=packet(HISTORY)), odd, "").xmp
    assert len(read(after).elements) == len(read(packet(HISTORY)).elements) + 1
    assert b"\x1b" not in after


def test_packets_that_cannot_be_edited_safely_stay_to_the_byte() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>' + packet(HISTORY)
    wide = packet(HISTORY).decode().encode("utf-16")
    cut = packet(HISTORY)[:-200]
    for data in (bomb, wide, cut):
        assert told(data) == data
        assert upright_packet(data) == data
        assert xmp.without_second_image(data) == data
        with pytest.raises(Unreadable):
            read(data)


def test_a_history_in_extended_xmp_gets_the_entry_and_the_extended_packet_its_new_name() -> None:
    before = extended_pair(
        "<xmpMM:InstanceID>xmp.iid:1</xmpMM:InstanceID>", HISTORY, f"{MM} {EVENT}"
    )
    after = edited(before, MADE, "seed")
    assert after.extended_xmp.count(b"<rdf:li") == 2
    assert xmp.extended_guid(after.xmp) == xmp.guid_of(after.extended_xmp)
    assert xmp.extended_guid(after.xmp) != xmp.extended_guid(before.xmp)
    assert b"xmp.iid:1<" not in after.xmp


GAIN = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
CONTAINER = 'xmlns:Container="http://ns.google.com/photos/1.0/container/"'
DEPTH = 'xmlns:D="http://ns.google.com/photos/1.0/depthmap/"'
CAMERA = 'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
APPLE = 'xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'


def test_words_of_a_second_image_are_dropped_with_a_word_and_nothing_else() -> None:
    names = " ".join((GAIN, CONTAINER, DEPTH, CAMERA, APPLE, DC))
    kept = "<dc:title>hdrgm: and Container: words</dc:title>"
    gone = (
        '<Container:Directory><rdf:Seq><rdf:li Item="a>b"/></rdf:Seq></Container:Directory>'
        "<HDRGainMap:HDRGainMapVersion>65536</HDRGainMap:HDRGainMapVersion>"
    )
    more = ' hdrgm:Version="1.0"\n   D:Near=\'1\' GCamera:MicroVideo="1"'
    stays = ' GCamera:SpecialTypeID="x" dc:format="image/jpeg"'
    before = Metadata(xmp=packet(gone + kept, names, more + stays))
    after, words = checked(before, None)
    assert after.xmp == packet(kept, names, stays)
    assert words == ["XMP about a second image (gain map, depth map, clip) was left out."]


def test_an_extended_packet_keeps_what_is_not_about_a_second_image() -> None:
    inside = "<dc:title>kept</dc:title><D:Data>AAAA</D:Data>"
    before = extended_pair("", inside, f"{DC} {DEPTH}")
    after, _ = checked(before, None)
    assert b"kept" in after.extended_xmp
    assert b"D:Data" not in after.extended_xmp
    assert xmp.extended_guid(after.xmp) == xmp.guid_of(after.extended_xmp)
    only, _ = checked(extended_pair("<dc:title/>", "<D:Data>AAAA</D:Data>", f"{DC} {DEPTH}"), None)
    assert only.extended_xmp == b""
    assert b"HasExtendedXMP" not in only.xmp


@needs_exiftool
def test_a_large_xmp_packet_is_divided_for_a_jpeg_and_joined_again(tmp_path: Path) -> None:
    donor = write_png(tmp_path / "donor.png", pattern(48, 64))
    donate(donor, "-XMP-dc:Description=" + "many words " * 9000)
    assert len(decode(donor).metadata.xmp) > xmp.JPEG_LIMIT
    out = passed_through(donor, "jpeg")
    assert_kept(tags_of(donor), tags_of(out))
    metadata = decode(out).metadata
    assert len(metadata.extended_xmp) > xmp.JPEG_LIMIT
    assert b"Rating" in metadata.xmp, "small properties stay where every reader finds them"
    assert_kept(tags_of(donor), tags_of(passed_through(out, "jpeg", "again")))
    assert_kept(tags_of(donor), tags_of(passed_through(out, "png", "again")))


@needs_exiftool
def test_a_packet_that_outgrows_its_segment_loses_no_extended_xmp(tmp_path: Path) -> None:
    filler = f"<dc:source>{'y' * 64000}</dc:source>"
    inside = extended_pair(HISTORY + filler, "<dc:title>kept</dc:title>", f"{DC} {MM} {EVENT}")
    source = write_jpeg(tmp_path / "a.jpg", pattern(16, 16))
    plain = decode(source)
    out = tmp_path / "out.jpg"
    encode(replace(plain, metadata=inside), out, "jpeg", EncodeOptions(provenance=MADE))
    metadata = decode(out).metadata
    assert len(metadata.xmp) < xmp.JPEG_LIMIT
    tags = properties_of(out)
    assert tags["XMP-dc:Title"] == "kept"
    assert tags["XMP-dc:Source"] == "y" * 64000
    assert len(tags["XMP-xmpMM:History"]) == 2  # type: ignore[arg-type]


def test_extended_xmp_is_joined_with_the_namespaces_it_was_given() -> None:
    metadata = extended_pair("", "<dc:title>kept</dc:title>", DC)
    joined = xmp.merged(metadata.xmp, metadata.extended_xmp)
    assert joined is not None
    names = [element.name for element in read(joined).elements]
    assert Name(b"http://purl.org/dc/elements/1.1/", b"title") in names
    assert b"HasExtendedXMP" not in joined
    assert xmp.merged(metadata.xmp, b"<rdf:RDF>") is None
