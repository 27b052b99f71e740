"""What the fuzzer damages: small photos of every format with all the metadata there is room for."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from donors import block_with
from donors import resource as photoshop_resource
from photos import canon_block, pattern, srgb_profile, write_dng, write_jpeg, write_png, write_tiff
from PIL import Image

from abpn_cli.metadata import jpeg_carrier, png_carrier

PACKET = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
    b' rdf:about="" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:tiff='
    b'"http://ns.adobe.com/tiff/1.0/" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
    b' xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#" hdrgm:Version="1.0"'
    b' tiff:Orientation="6" xmpMM:InstanceID="xmp.iid:1"><xmpMM:History><rdf:Seq>'
    b'<rdf:li stEvt:action="saved"/></rdf:Seq></xmpMM:History></rdf:Description></rdf:RDF>'
    b"</x:xmpmeta>" + b" " * 200 + b'<?xpacket end="w"?>'
)


def photo_seeds(folder: Path) -> dict[str, tuple[bytes, ...]]:
    """Small photos of every format, with all the metadata there is room for."""
    icc, blocks = srgb_profile(), photoshop_resource(1028, b"\x1c\x02\x78\0\3abc")
    pixels, wide = pattern(24, 40), pattern(24, 40, np.uint16)

    jpeg = write_jpeg(folder / "s.jpg", pixels, icc, canon_block()).read_bytes()
    segments, scan = jpeg_carrier.split(jpeg)
    more = [
        jpeg_carrier.Segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + PACKET),
        jpeg_carrier.Segment(0xED, b"Photoshop 3.0\0" + blocks),
        jpeg_carrier.Segment(0xE2, b"MPF\0MM\0*"),
        jpeg_carrier.Segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x20jumbc2pa"),
        jpeg_carrier.Segment(0xE6, b"GoPro\0DEVC\0\1\0\4DVID"),
        jpeg_carrier.Segment(0xE3, b"\xff\xd8\xff\xdb a preview"),
        jpeg_carrier.Segment(0xFE, b"a comment"),
    ]
    path = write_jpeg(folder / "p.jpg", pixels, progressive=True, subsampling=2)
    progressive = path.read_bytes()
    full = jpeg_carrier.join([*segments, *more]) + jpeg[scan:] + b"\0\0\0\x18ftypmp42"
    png = write_png(folder / "s.png", wide, icc).read_bytes()
    itxt = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(PACKET)
    chunks = [(b"iTXt", itxt), (b"eXIf", canon_block(">")), (b"tEXt", b"Comment\0words")]
    chunks += [(b"zTXt", b"Author\0\0" + zlib.compress(b"Ren\xe9")), (b"cHRM", bytes(32))]
    profile = b"\niptc\n %8d\n%s\n" % (len(blocks), blocks.hex().encode())
    chunks.append((b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(profile)))
    rich = png[:33] + b"".join(png_carrier.chunk_bytes(*chunk) for chunk in chunks) + png[33:]
    palette = io.BytesIO()
    Image.fromarray(pixels).quantize(8).save(palette, "PNG")
    extra = [(700, 1, len(PACKET), PACKET, True), (34377, 1, len(blocks), blocks, True)]
    tiffs = [
        write_tiff(folder / "a.tif", wide, icc, extratags=extra, compression="zlib"),
        write_tiff(folder / "b.tif", pixels, byteorder=">", tile=(16, 16)),
        write_tiff(folder / "c.tif", pixels, bigtiff=True, extratags=extra),
        write_tiff(folder / "d.tif", np.stack([pixels, pixels])),
    ]
    return {
        "jpeg": (jpeg, full, progressive),
        "png": (png, rich, palette.getvalue()),
        "tiff": tuple(path.read_bytes() for path in tiffs),
    }


def box(kind: bytes, *content: bytes) -> bytes:
    inside = b"".join(content)
    return struct.pack(">I", len(inside) + 8) + kind + inside


def raw_seeds(folder: Path) -> tuple[bytes, ...]:
    """Raw files as their directories are read: a DNG, an Olympus, a Canon CR3."""
    dng = write_dng(folder / "s.dng", pattern(32, 48, np.uint16)).read_bytes()
    parts = [box(b"CMT%d" % n, block_with((271, 2, b"Canon\0"))) for n in (1, 2, 4)]
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    cr3 = box(b"ftyp", b"crx \0\0\0\1") + box(b"moov", box(b"uuid", canon, *parts))
    cr3 += box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), PACKET)
    return dng, b"IIRO" + dng[4:], cr3


def heic_seeds() -> tuple[bytes, ...]:
    """HEICs of 8 and of 10 bits, none where nothing here writes them."""
    try:
        import pillow_heif
    except ImportError:
        return ()
    made = []
    for mode, pixels in (("RGB", pattern(24, 40)), ("RGB;16", pattern(24, 40, np.uint16))):
        image = pillow_heif.from_bytes(mode, (40, 24), pixels.tobytes())
        file = io.BytesIO()
        image.save(file, quality=50, exif=b"Exif\0\0" + canon_block(), xmp=PACKET)
        made.append(file.getvalue())
    return tuple(made)
