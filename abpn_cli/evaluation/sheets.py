"""Contact sheets: a photo before and after, the whole and a part at 100 %, for eyes to judge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..codecs import EncodeOptions, encode
from ..photo import Metadata, Photo
from ..training.gallery import resize, upright_floats
from ..training.synthesis import Floats, as_floats
from .cases import Case
from .garments import Garment
from .harmless import Verdict
from .methods import Attempt, Method

PANEL = 480  # px: long side of a panel, and side of the part shown at 100 %
GAP = 8  # px between panels
GAP_GREY = 0.94
TIMES = 8  # differences are shown so many times, about mid-grey
QUALITY = 90
NAME_LENGTH = 60

PAIR_COLUMNS = ("original", "ours", "retouched", f"retouched − ours, ×{TIMES}")
HARM_COLUMNS = ("original", "ours", f"ours − original, ×{TIMES}")


class Sheet(NamedTuple):
    """A picture of the report: its file inside the folder, what it shows, by whom."""

    file: str
    photo: str
    method: str
    columns: tuple[str, ...]


class Sheets:
    """Makes contact sheets in the folder `sheets` of a report.

    made: what was made so far.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self.made: list[Sheet] = []

    def of_pair(self, case: Case, method: Method, attempt: Attempt) -> None:
        """Show an attempt on a pair, methods that are `seen` only.

        Raises:
            TargetError: it cannot be written.
        """
        if method.seen:
            left = difference(case.target, attempt.result)
            panels = case.before, attempt.result, case.target, left
            where = busiest(case.target - case.before)
            self._add(panels, where, case.photo, (case.name, method.name), PAIR_COLUMNS)

    def of_harm(self, verdict: Verdict, before: Photo, after: Photo) -> None:
        """Show a photo with nothing to do, where anything was done to it.

        Raises:
            TargetError: it cannot be written.
        """
        if verdict.changed:
            was, now = upright_floats(before), upright_floats(after)
            panels = was, now, difference(now, was)
            names = verdict.photo, verdict.method
            self._add(panels, busiest(now - was), before, names, HARM_COLUMNS)

    def of_garment(self, garment: Garment, photo: Photo, before: Floats, after: Floats) -> None:
        """Show a garment, whether anything was done to it or not.

        Raises:
            TargetError: it cannot be written.
        """
        panels = before, after, difference(after, before)
        names = garment.photo, garment.method
        self._add(panels, busiest(after - before), photo, names, HARM_COLUMNS)

    def _add(
        self,
        panels: Sequence[Floats],
        where: tuple[int, int],
        photo: Photo,
        names: tuple[str, str],
        columns: tuple[str, ...],
    ) -> None:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", "_".join(names))[:NAME_LENGTH]
        file = f"sheets/{len(self.made) + 1:04}_{plain}.jpg"
        pixels = np.rint(mosaic(panels, where).clip(0, 1) * 255).astype(np.uint8)
        picture = Photo(pixels, Metadata(icc=photo.metadata.icc))  # colours as of the photo
        options = EncodeOptions(quality=QUALITY, jpeg="reencode")
        encode(picture, self._out / file, "jpeg", options)
        self.made.append(Sheet(file, *names, columns))


def difference(a: Floats, b: Floats) -> Floats:
    """Show a - b, TIMES as much, about mid-grey."""
    return as_floats(0.5 + TIMES * (a - b)).clip(0, 1)


def busiest(change: Floats) -> tuple[int, int]:
    """Find the window of PANEL px in which most changes: its (top, left).

    change: (H, W, 3) differences; where the picture is smaller than the window, 0.
    """
    height, width = change.shape[:2]
    energy = np.square(change).sum(axis=2, dtype=np.float32)
    sums = cv2.integral(energy, sdepth=cv2.CV_64F)
    tall, wide = min(PANEL, height), min(PANEL, width)
    inside = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(top), int(left)


def mosaic(panels: Sequence[Floats], where: tuple[int, int]) -> Floats:
    """Lay panels out: whole pictures in a row, the same part of each at 100 % below.

    panels: (H, W, 3) of one size; where: (top, left) of the part. Pictures that fit into a panel
    are shown as they are, without a second row.
    """
    height, width = panels[0].shape[:2]
    share = min(1.0, PANEL / max(height, width))
    if share == 1:
        return _beside(panels)
    size = (max(1, round(height * share)), max(1, round(width * share)))
    top, left = where
    parts = [panel[top : top + PANEL, left : left + PANEL] for panel in panels]
    return _below(_beside([resize(panel, size) for panel in panels]), _beside(parts))


def _beside(panels: Sequence[Floats]) -> Floats:
    """Join panels of one size, each in the middle of a column at least PANEL wide."""
    height, width = panels[0].shape[:2]
    column = max(PANEL, width) + GAP
    row = np.full((height, column * len(panels) - GAP, 3), GAP_GREY, np.float32)
    for index, panel in enumerate(panels):
        left = index * column + (column - GAP - width) // 2
        row[:, left : left + width] = panel
    return row


def _below(upper: Floats, lower: Floats) -> Floats:
    gap = np.full((GAP, upper.shape[1], 3), GAP_GREY, np.float32)
    return np.concatenate([upper, gap, lower])
