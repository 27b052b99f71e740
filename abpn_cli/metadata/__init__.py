"""EXIF, ICC, XMP and IPTC as bytes: read from one file, edited, laid out for another."""

from __future__ import annotations

from dataclasses import replace

from ..photo import Metadata
from . import exif, icc, xmp
from .exif import Resolution
from .ifd import BrokenExif

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
            turn = exif.orientation(metadata.exif)
            metadata = replace(metadata, orientation=turn)
        except BrokenExif:
            metadata = replace(metadata, exif=b"")
            left_out.append("Its EXIF is damaged and was left out.")
    if resolution is not None and not (metadata.exif and exif.resolution(metadata.exif)):
        metadata = replace(metadata, exif=exif.with_resolution(metadata.exif, resolution))
    fault = icc.fault(metadata.icc) if metadata.icc else ""
    if fault:
        left_out.append(f"Its ICC profile {fault}; it was left out.")
        metadata = replace(metadata, icc=b"")
    return metadata, left_out


def edited(metadata: Metadata, software: str) -> Metadata:
    """Return metadata whose XMP tells what was done, and nothing of images not carried along."""
    packet = xmp.without_second_image(metadata.xmp)
    extended = metadata.extended_xmp
    if xmp.without_second_image(extended) != extended:
        packet, extended = xmp.without_extended(packet), b""
    packet = xmp.with_event(packet, software)
    return replace(metadata, xmp=packet, extended_xmp=extended)


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
    return xmp.with_number(packet, "tiff:Orientation", 1)


def upright(metadata: Metadata, size: tuple[int, int]) -> Metadata:
    """Return metadata that says the pixels stand upright and have this (height, width)."""
    height, width = size
    packet = upright_packet(metadata.xmp)
    for name, value in (("Width", width), ("Length", height)):
        packet = xmp.with_number(packet, f"tiff:Image{name}", value)
    for name, value in (("X", width), ("Y", height)):
        packet = xmp.with_number(packet, f"exif:Pixel{name}Dimension", value)
    block = exif.with_size(exif.with_orientation(metadata.exif, 1), size)
    return replace(metadata, exif=block, xmp=packet, orientation=1)
