"""What the camera of the examples writes beside its pixels."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image
from PIL.TiffImagePlugin import IFDRational

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825


@dataclass(frozen=True)
class Shot:
    """Where, when and how a photo was taken. place: degrees north and east, metres."""

    title: str
    taken: str  # "YYYY:MM:DD HH:MM:SS"
    orientation: int = 1
    seconds: tuple[int, int] = (1, 125)
    f_number: tuple[int, int] = (8, 1)
    iso: int = 200
    focal_mm: int = 60
    place: tuple[float, float, float] = (48.8606, 2.3376, 35.0)  # the courtyard of the Louvre


def exif_block(shot: Shot, size: tuple[int, int]) -> Image.Exif:
    """EXIF of a photo of `size` (height, width) as it is stored."""
    exif = Image.Exif()
    exif.update(
        {
            0x010E: shot.title,
            0x010F: "abpn",
            0x0110: "render",
            0x0112: shot.orientation,
            0x011A: IFDRational(300),
            0x011B: IFDRational(300),
            0x0128: 2,
            0x0213: 1,
            0x0131: "abpn examples",
            0x0132: shot.taken,
            0x013B: "The abpn authors",
            0x8298: "No rights reserved (CC0)",
        }
    )
    exif.get_ifd(_EXIF_IFD).update(
        {
            0x829A: IFDRational(*shot.seconds),
            0x829D: IFDRational(*shot.f_number),
            0x8822: 3,  # aperture priority
            0x8827: shot.iso,
            0x9000: b"0232",
            0x9003: shot.taken,
            0x9004: shot.taken,
            0x9011: "+01:00",
            0x9101: b"\1\2\3\0",
            0x9207: 5,  # pattern metering
            0x9209: 16,  # no flash
            0x920A: IFDRational(shot.focal_mm),
            0x9291: "42",
            0xA000: b"0100",
            0xA001: 0xFFFF,  # the ICC profile says which colour space
            0xA002: size[1],
            0xA003: size[0],
            0xA402: 0,
            0xA403: 1,  # white balance set by hand
            0xA405: shot.focal_mm,
            0xA431: "0000001",
            0xA432: (IFDRational(60), IFDRational(60), IFDRational(28, 10), IFDRational(28, 10)),
            0xA433: "abpn",
            0xA434: "abpn 60mm F2.8 Macro",
        }
    )
    north, east, metres = shot.place
    exif.get_ifd(_GPS_IFD).update(
        {
            0: b"\2\3\0\0",
            1: "N" if north >= 0 else "S",
            2: _degrees(abs(north)),
            3: "E" if east >= 0 else "W",
            4: _degrees(abs(east)),
            5: b"\0",
            6: IFDRational(round(metres * 10), 10),
            18: "WGS-84",
            29: shot.taken[:10],
        }
    )
    return exif


def xmp_packet(shot: Shot) -> bytes:
    """A small XMP packet: title, creator, rating."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4">'
        f'<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{shot.title}'
        "</rdf:li></rdf:Alt></dc:title>"
        "<dc:creator><rdf:Seq><rdf:li>The abpn authors</rdf:li></rdf:Seq></dc:creator>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def _degrees(value: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    minutes = value % 1 * 60
    seconds = round(minutes % 1 * 60 * 100)
    return IFDRational(int(value)), IFDRational(int(minutes)), IFDRational(seconds, 100)
