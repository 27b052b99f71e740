"""EXIF, ICC, XMP and IPTC as bytes: read from one file, edited, laid out for another."""

from __future__ import annotations

from dataclasses import replace

from ..photo import Metadata, Provenance
from . import exif, history, icc, words, xmp
from .exif import Resolution
from .ifd import BrokenExif
from .markup import Name, Unreadable
from .repair import repaired

__all__ = [
    "BrokenExif",
    "Resolution",
    "checked",
    "edited",
    "orientation_of",
    "upright",
    "with_one_packet",
]


def orientation_of(block: bytes) -> int:
    """Return the orientation 1..8 in an EXIF block, 1 where it is empty, damaged or silent."""
    try:
        return exif.orientation(block) if block else 1
    except BrokenExif:
        return 1


def checked(metadata: Metadata, resolution: Resolution | None) -> tuple[Metadata, list[str]]:
    """Finish metadata as a carrier read it: what is broken goes, orientation is looked up.

    resolution: what the file says outside its EXIF; taken where the EXIF says nothing.
    Returns the metadata and what was left out, one sentence each.
    """
    left_out = []
    if metadata.exif:
        try:
            block, damaged = repaired(metadata.exif)
            metadata = replace(metadata, exif=block, orientation=exif.orientation(block))
            if damaged:
                left_out.append("Parts of its EXIF are damaged and were left out.")
        except BrokenExif:
            metadata = replace(metadata, exif=b"")
            left_out.append(words.DAMAGED_EXIF)
    if resolution is not None and not (metadata.exif and exif.resolution(metadata.exif)):
        metadata = replace(metadata, exif=exif.with_resolution(metadata.exif, resolution))
    plain = _without_second_image(metadata)
    if plain != metadata:
        metadata = plain
        left_out.append(words.SECOND_IMAGE)
    fault = icc.fault(metadata.icc) if metadata.icc else ""
    if fault:
        left_out.append(f"Its ICC profile {fault}; it was left out.")
        metadata = replace(metadata, icc=b"")
    return metadata, left_out


def _without_second_image(metadata: Metadata) -> Metadata:
    """Drop what the XMP says of images that lie behind the photo and are not carried."""
    packet = xmp.without_second_image(metadata.xmp)
    extended = xmp.without_second_image(metadata.extended_xmp)
    try:
        if not extended:
            packet = xmp.without_extended(packet) if metadata.extended_xmp else packet
        elif extended != metadata.extended_xmp:
            packet = xmp.pointing_at(packet, extended)
    except Unreadable:  # the packet cannot be pointed anew
        packet, extended = metadata.xmp, metadata.extended_xmp
    return replace(metadata, xmp=packet, extended_xmp=extended)


def edited(metadata: Metadata, provenance: Provenance, seed: str) -> Metadata:
    """Return metadata whose XMP tells what was done, where it keeps a history.

    seed: what tells this output from every other: the source's digest and the format.
    """
    return history.told(metadata, history.event_of(metadata, provenance, seed))


def with_one_packet(metadata: Metadata) -> tuple[Metadata, list[str]]:
    """Join XMP and extended XMP for a format that holds a single packet."""
    if not metadata.extended_xmp:
        return metadata, []
    packet = xmp.merged(metadata.xmp, metadata.extended_xmp)
    if packet is not None:
        return replace(metadata, xmp=packet, extended_xmp=b""), []
    packet = xmp.without_extended(metadata.xmp)
    kept = replace(metadata, xmp=packet, extended_xmp=b"")
    return kept, ["Its extended XMP could not be joined to the rest and was left out."]


def upright_packet(packet: bytes) -> bytes:
    """Return an XMP packet, a sidecar's too, that says the pixels stand upright."""
    return xmp.with_number(packet, Name(xmp.TIFF_SPACE, b"Orientation"), 1)


def upright(metadata: Metadata, size: tuple[int, int]) -> Metadata:
    """Return metadata that says the pixels stand upright and have this (height, width)."""
    height, width = size
    packet = upright_packet(metadata.xmp)
    for local, value in ((b"ImageWidth", width), (b"ImageLength", height)):
        packet = xmp.with_number(packet, Name(xmp.TIFF_SPACE, local), value)
    for local, value in ((b"PixelXDimension", width), (b"PixelYDimension", height)):
        packet = xmp.with_number(packet, Name(xmp.EXIF_SPACE, local), value)
    block = exif.with_size(exif.with_orientation(metadata.exif, 1), size)
    return replace(metadata, exif=block, xmp=packet, orientation=1)
