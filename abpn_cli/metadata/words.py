"""What a user is told of metadata that is knowingly left out, one sentence each."""

from __future__ import annotations

from collections.abc import Sequence

C2PA = "Its C2PA manifest was left out: it does not hold for a changed photo."
JUMBF = "Its JUMBF data was left out: it belongs to the old encoding."
FURTHER_IMAGES = "The further images behind it (MPF) were left out."
GAIN_MAP = "Its HDR gain map was left out: what remains is its standard rendition."
SECOND_IMAGE = "XMP about a second image (gain map, depth map, clip) was left out."
FLASHPIX = "Its FlashPix data was left out: it holds views of the photo before the retouch."
PREVIEW = "A preview beside its EXIF was left out: it shows the photo before the retouch."
SCAN_INDEX = "Its index of the old scan (SCALADO) was left out."
SEAL = "Its SEAL signature was left out: it does not hold for a changed photo."
LAYERS = "Its Photoshop layers were left out: they show it before the retouch."
ANIMATION = "It is animated: only its first image was taken."
MAKER_NOTE_MOVED = "Its MakerNote had to be moved: offsets inside it may not hold any more."
RESOURCES = "Its Photoshop resources are damaged: some were left out."
DAMAGED_EXIF = "Its EXIF is damaged and was left out."


def no_place(names: Sequence[str], format: str) -> list[str]:
    """Say, in one sentence, that a format ("a TIFF") has no place for these; [] for none."""
    if not names:
        return []
    was, them = ("was", "it") if len(names) == 1 else ("were", "them")
    return [f"{', '.join(names)} {was} left out: {format} has no place for {them}."]


def behind(what: str, size: int) -> str:
    """Say what lay behind the end of a photo, size in bytes."""
    return f"What lies behind its end was left out: {what}, {_amount(size)}."


def _amount(size: int) -> str:
    """Return a size in bytes as people read it, units being powers of 1000."""
    for unit, power in (("GB", 9), ("MB", 6), ("KB", 3)):
        amount = size / 10**power
        if round(amount, 1) >= 1:
            return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"
    return "1 byte" if size == 1 else f"{size} bytes"
