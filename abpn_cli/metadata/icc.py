"""ICC profiles as bytes: carried exactly, or not at all. ICC.1:2022, section 7.2."""

from __future__ import annotations

import struct

HEADER_BYTES = 128


def fault(profile: bytes) -> str:
    """Say why a profile cannot go with RGB pixels, "" where it can."""
    if len(profile) < HEADER_BYTES + 4 or profile[36:40] != b"acsp":
        return "is damaged"
    (size,) = struct.unpack_from(">I", profile)
    if size > len(profile):
        return "is cut short"
    if profile[16:20] == b"RGB ":
        return ""
    name = "".join(char for char in profile[16:20].decode("latin-1") if char.isalnum())
    return f"is for {name or 'unknown'} pixels, not RGB"
