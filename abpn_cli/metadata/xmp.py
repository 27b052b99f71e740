"""XMP packets, edited as text: only what we must change changes.

XMP Specification Part 1 (2012) and Part 3 (2020), section 1.1.3.1 for the extended packet.
"""

from __future__ import annotations

import re
from hashlib import md5

JPEG_LIMIT = 65502  # bytes of XMP that fit into one JPEG segment
_SECOND_IMAGE = ("hdrgm", "GDepth", "GImage", "HDRGainMap")
_HAS_EXTENDED = re.compile(
    rb'\s+xmpNote:HasExtendedXMP\s*=\s*("[^"]*"|\'[^\']*\')'
    rb"|<xmpNote:HasExtendedXMP>[^<]*</xmpNote:HasExtendedXMP>"
)


def extended_guid(packet: bytes) -> bytes:
    """Return the name of the extended packet that a packet asks for, empty where it asks none."""
    found = re.search(rb"HasExtendedXMP[^0-9A-Fa-f]{1,8}([0-9A-Fa-f]{32})", packet)
    return found.group(1) if found else b""


def merged(packet: bytes, extended: bytes) -> bytes | None:
    """Join a packet and its extended packet for a format without a size limit.

    Returns None where their text does not allow it: one of them is no RDF as Adobe writes it.
    """
    inside = re.search(rb"<rdf:RDF\b([^>]*)>(.*)</rdf:RDF>", extended, re.DOTALL)
    end = packet.rfind(b"</rdf:RDF>")
    if not inside or end < 0:
        return None
    # names declared outside the part we take would lose their meaning
    declared = set(re.findall(rb"xmlns:(\w+)\s*=", inside.group(2))) | {b"rdf", b"xml", b"xmlns"}
    used = set(re.findall(rb"</?(\w+):|\s(\w+):\w+\s*=\s*[\"']", inside.group(2)))
    if not {name for pair in used for name in pair if name} <= declared:
        return None
    return _HAS_EXTENDED.sub(b"", packet[:end] + inside.group(2) + packet[end:])


def divided(packet: bytes) -> tuple[bytes, bytes]:
    """Divide a packet too large for a JPEG into a small packet and an extended one."""
    extended = re.sub(rb"<\?xpacket[^>]*\?>", b"", packet).strip()
    name = md5(extended, usedforsecurity=False).hexdigest().upper().encode()
    small = (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
        b' xmpNote:HasExtendedXMP="' + name + b'"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
    return small, extended


def without_padding(packet: bytes) -> bytes:
    """Return the packet without the blanks that leave room for editing in place."""
    return re.sub(rb"\s{64,}(?=<\?xpacket end)", b"\n", packet)


def without_second_image(packet: bytes) -> bytes:
    """Drop what describes an image behind the photo (gain map, depth map): it is not carried."""
    if not any(name.encode() + b":" in packet for name in (*_SECOND_IMAGE, "Container")):
        return packet
    names = "|".join((*_SECOND_IMAGE, "Container")).encode()
    packet = re.sub(rb'\s(?:%s):\w+\s*=\s*"[^"]*"' % names, b"", packet)
    packet = re.sub(rb"\s(?:%s):\w+\s*=\s*'[^']*'" % names, b"", packet)
    packet = re.sub(rb"<((?:%s):\w+)\b[^>]*/>" % names, b"", packet)
    return re.sub(rb"<((?:%s):\w+)\b[^>]*>.*?</\1>" % names, b"", packet, flags=re.DOTALL)


def without_extended(packet: bytes) -> bytes:
    """Drop the pointer to an extended packet that is not carried."""
    return _HAS_EXTENDED.sub(b"", packet)


def with_number(packet: bytes, name: str, value: int) -> bytes:
    """Set a numeric property wherever the packet holds it, as attribute or as element."""
    tag = re.escape(name).encode()
    new = b"\\g<1>%d\\g<2>" % value
    packet = re.sub(rb'(\b%s\s*=\s*["\'])\d+(["\'])' % tag, new, packet)
    return re.sub(rb"(<%s>)\d+(</%s>)" % (tag, tag), new, packet)


def with_event(packet: bytes, software: str) -> bytes:
    """Append an "edited" event to xmpMM:History, where the packet holds one; else as it was.

    The event has no date: the same photo retouched twice must give the same bytes.
    """
    found = re.search(rb"<xmpMM:History>\s*<rdf:Seq>.*?(\s*)</rdf:Seq>", packet, re.DOTALL)
    if not found or b"xmlns:stEvt=" not in packet[: found.end()]:
        return packet
    if b"xmlns:stEvt=" not in packet[: found.start()]:
        return packet  # declared on the events themselves: not ours to use
    at = found.start(1)
    event = b'<rdf:li stEvt:action="edited" stEvt:softwareAgent="%s"/>' % software.encode()
    last = packet[packet.rfind(b"<rdf:li", 0, at) : at]
    if event in last:
        return packet
    return packet[:at] + found.group(1) + b" " * bool(found.group(1)) + event + packet[at:]
