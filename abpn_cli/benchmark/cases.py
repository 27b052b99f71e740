"""What is measured: sizes, the photo made for each, the masks forced on it, the paper's figures."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from ..errors import UsageError

SIZES = "512,1024,2048,4096,6144x4096,8192,14204x10652"
SHARES = (1.0, 0.25, 0.10)  # of the photo in the mask
SMALLEST_SIDE = 16  # px, what the network takes
LARGEST_SIDE = 65500  # px, what a JPEG may have


class Size(NamedTuple):
    """Height and width in px, as everywhere; written as photographers do, the width first."""

    height: int
    width: int

    def __str__(self) -> str:
        if self.height == self.width:
            return str(self.width)
        return f"{self.width}x{self.height}"

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return self.height * self.width / 1e6


class Published(NamedTuple):
    """A row of the paper's Table 3: seconds and megabytes on a Tesla P100 of 16 GB."""

    seconds: float
    megabytes: int


# Lei et al., CVPR 2022, Table 3: average over the test samples of CRHD-3K, l = 1..4.
PAPER = {
    Size(512, 512): Published(0.008, 1043),
    Size(1024, 1024): Published(0.009, 1329),
    Size(2048, 2048): Published(0.010, 2505),
    Size(4096, 4096): Published(0.014, 7191),
}


@dataclass(frozen=True)
class Case:
    """What one process measures.

    share: how much of the photo is in the mask that is forced on it.
    """

    height: int
    width: int
    weights: str
    device: str
    precision: str
    share: float = 1.0

    def asked(self, do: str, **more: Any) -> dict[str, Any]:
        """Put it as a worker reads it."""
        return {"do": do, **asdict(self), **more}


def parse_sizes(text: str) -> list[Size]:
    """Read `512,6144x4096`: squares by their side, others as WIDTHxHEIGHT.

    Raises:
        UsageError: not a size, or none that a photo may have.
    """
    return [_parse_size(word.strip()) for word in text.split(",")]


def _parse_size(word: str) -> Size:
    match = re.fullmatch(r"(\d{1,6})(?:[x×](\d{1,6}))?", word)
    if match is None:
        raise UsageError(f"--sizes {word}: is not a size. Write it as 4096 or 6144x4096.")
    width = int(match[1])
    height = int(match[2] or width)
    if not SMALLEST_SIDE <= min(width, height) <= max(width, height) <= LARGEST_SIDE:
        raise UsageError(
            f"--sizes {word}: is out of range. Give sides of {SMALLEST_SIDE}..{LARGEST_SIDE} px."
        )
    return Size(height, width)
