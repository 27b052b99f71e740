"""What the network would see of a photo of a given size."""

from __future__ import annotations

from typing import NamedTuple

from ..nets.abpn import MIN_SIDE, choose_levels


class Outlook(NamedTuple):
    """What the network would see, and whether it would take the photo at all.

    levels: number of halvings l; thumbnail: (height, width) of I_l, padding not counted;
    warning: why the photo would be refused, or "".
    """

    levels: int
    thumbnail: tuple[int, int]
    warning: str


def outlook(size: tuple[int, int], detail: bool) -> Outlook:
    """Tell how far a photo of `size` (height, width) is halved for the network, decision D16."""
    levels = max(1, choose_levels(size) - detail)  # --detail: one halving less
    height, width = size
    warning = ""
    if min(size) < MIN_SIDE:
        warning = f"It is too small to retouch: both sides need {MIN_SIDE} pixels."
    return Outlook(levels, (-(-height >> levels), -(-width >> levels)), warning)
