"""What becomes of the application segments (APPn) of a JPEG, and of what lies behind its end.

`jpeg_carrier` reads those of EXIF, XMP, the ICC profile and Photoshop. Of all others:

| segment                                    | holds                     | in a new JPEG        |
|--------------------------------------------|---------------------------|----------------------|
| APP0 JFIF, APP8 SPIFF                      | a header of the encoding  | gone: there is a new |
| APP0 AVI1, APP14 Adobe                     | how the encoding is read  | gone: of the old one |
| APP0 JFXX                                  | a thumbnail               | gone: EXIF has a new |
| APP2 MPF                                   | offsets of further images | left out with a word |
| APP2 FPXR                                  | FlashPix streams: views   | left out with a word |
| APP2 ISO 21496-1, APP10 AROT, APP11 HDR_RI | an HDR gain map           | left out with a word |
| APP2 to APP5 that begin as a JPEG does     | a preview, in pieces      | left out with a word |
| APP4 SCALADO                               | offsets into the old scan | left out with a word |
| APP8 and APP9 SEAL, APP11 JUMBF and C2PA   | a signature               | left out with a word |
| any other: GoPro, FLIR, DJI, Kodak's Meta, | what a maker or a program | kept to the byte,    |
| Ducky, PictureInfo, PENTAX, Samsung ...    | says of the exposure      | and in order         |

Heat and depth of the scene, measured beside the photo, are kept: a retouch does not change them.
A TIFF and a PNG have no place for any. Behind the end lie films and further images: left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from . import words

Carried = tuple[tuple[int, bytes], ...]  # marker and payload, in the order of the file

_APPS = range(0xE0, 0xF0)
_APP0, _APP1, _APP2, _APP4, _APP5, _APP8, _APP9, _APP10, _APP11, _APP13, _APP14 = (
    *(0xE0, 0xE1, 0xE2, 0xE4, 0xE5, 0xE8, 0xE9, 0xEA, 0xEB, 0xED, 0xEE),
)
# Read by `jpeg_carrier`, or of the old encoding alone.
_ACCOUNTED_FOR = (
    *((_APP0, b"JFIF\0"), (_APP0, b"JFXX\0"), (_APP0, b"AVI1"), (_APP1, b"Exif\0")),
    *((_APP1, b"http://ns.adobe.com/xap/1.0/\0"), (_APP1, b"http://ns.adobe.com/xmp/extension/\0")),
    *((_APP2, b"ICC_PROFILE\0"), (_APP8, b"SPIFF\0"), (_APP13, b"Photoshop 3.0\0")),
    (_APP14, b"Adobe"),
)
_LEFT_OUT = (
    (_APP2, b"MPF\0", words.FURTHER_IMAGES),
    (_APP2, b"FPXR\0", words.FLASHPIX),
    (_APP2, b"urn:iso:std:iso:ts:21496:-1\0", words.GAIN_MAP),
    (_APP4, b"SCALADO\0", words.SCAN_INDEX),
    (_APP8, b"SEAL\0", words.SEAL),
    (_APP9, b"SEAL\0", words.SEAL),
    (_APP10, b"AROT\0", words.GAIN_MAP),
    (_APP11, b"HDR_RI", words.GAIN_MAP),
    (_APP11, b"JP", words.JUMBF),
)
_C2PA = b"c2pa"
_PREVIEW = re.compile(rb"(QVGA\0|BGTH)?\xff\xd8\xff[\xdb\xe0\xe1]")
_NAME = re.compile(rb"\x1a?([ -~]{2,24})")
_TITLE = re.compile(rb"[ -~]{3,24}\0")  # no piece of a JPEG begins so
PADDING = b"\0\xff \r\n"
_MOST_NAMES = 9


def sorted_out(segments: Iterable[tuple[int, bytes]]) -> tuple[Carried, list[str]]:
    """Take the segments that are carried as they are; say what is knowingly left out."""
    carried: list[tuple[int, bytes]] = []
    told: list[str] = []
    preview = 0  # the marker of the preview's last piece
    for marker, payload in segments:
        known = _known(marker, payload)
        preview = _preview(marker, payload, preview) if known is None else 0
        if preview:
            told.append(words.PREVIEW)
        elif known is None and marker in _APPS:
            carried.append((marker, payload))
        elif known:
            told.append(words.C2PA if known == words.JUMBF and _C2PA in payload else known)
    if words.C2PA in told:  # of boxes in pieces, some do not say it
        told = [item for item in told if item != words.JUMBF]
    return tuple(carried), list(dict.fromkeys(told))


def _preview(marker: int, payload: bytes, before: int) -> int:
    """Return the marker of a segment that is a piece of a preview, 0 where it is none.

    before: what this returned for the segment before, whose next piece may be at hand.
    """
    follows = before and marker in (before, before + 1) and not _TITLE.match(payload)
    piece = marker in range(_APP2, _APP5 + 1) and (follows or _PREVIEW.match(payload))
    return marker if piece else 0


def _known(marker: int, payload: bytes) -> str | None:
    """Return the words for a segment that is left out, "" where none are due, None if unknown."""
    for app, head, told in _LEFT_OUT:
        if marker == app and payload.startswith(head):
            return told
    if any(marker == app and payload.startswith(head) for app, head in _ACCOUNTED_FOR):
        return ""
    return None


def no_place(carried: Carried, format: str) -> list[str]:
    """Say, in one sentence or none, which segments a format ("a TIFF") has no place for."""
    names = list(dict.fromkeys(_name(*segment) for segment in carried))
    more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return words.no_place([*names[:_MOST_NAMES], *more], format)


def _name(marker: int, payload: bytes) -> str:
    found = _NAME.match(payload)
    name = found[1].decode("ascii").strip() if found else ""
    return f"APP{marker - _APPS.start}" + (f" '{name}'" if name else "")


def behind_the_end(data: bytes, scan: int, told: Sequence[str]) -> list[str]:
    """Say what lies behind the end of a JPEG, [] for nothing but padding.

    scan: where its first scan begins; told: what is said of it already: further images and gain
    maps lie there.
    """
    end = data.find(b"\xff\xd9", scan)  # inside a scan every FF is stuffed
    if end < 0:
        return []
    behind = data[end + 2 :].rstrip(PADDING)
    if _is_jpeg(behind) and {words.FURTHER_IMAGES, words.GAIN_MAP} & set(told):
        return []
    return what_lies_behind(behind)


def what_lies_behind(data: bytes) -> list[str]:
    """Say what the bytes behind the end of a photo are, in one sentence; [] for padding."""
    behind = data.rstrip(PADDING)
    if not behind:
        return []
    if behind.endswith(b"SEFT"):
        return [words.behind("Samsung's own data", len(behind))]
    if _is_jpeg(behind):
        return [words.behind("a further image", len(behind))]
    film = b"ftyp" in behind[:16]
    return [words.behind("a film" if film else "data of an unknown kind", len(behind))]


def _is_jpeg(behind: bytes) -> bool:
    return behind.lstrip(b"\0").startswith(b"\xff\xd8\xff")
