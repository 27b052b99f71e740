"""What the network would see of a photo of a given size."""

from __future__ import annotations

from typing import NamedTuple

from ..nets.abpn import choose_levels


class Outlook(NamedTuple):
    """levels: number of halvings l; thumbnail: (height, width) of I_l, padding not counted."""

    levels: int
    thumbnail: tuple[int, int]


def outlook(size: tuple[int, int], detail: bool) -> Outlook:
    """Tell how far a photo of `size` (height, width) is halved for the network, decision D16."""
    levels = max(1, choose_levels(size) - detail)  # --detail: one halving less
    height, width = size
    return Outlook(levels, (-(-height >> levels), -(-width >> levels)))
