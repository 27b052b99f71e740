"""Training pairs: original and retouched photos, thumbnails whole and full-size crops.

A `Sample` is what one step needs of one photo: the whole thumbnail for the LRL, and a crop of the
full size for the BPL with the place its blend layer is cut from, so that 4K detail fits in memory.
Everything follows from (seed, step): a resumed run sees the same pairs.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..codecs import decode, sniff
from ..errors import PhotoError
from .gallery import Gallery, resize, upright_floats
from .synthesis import Floats

CHANGED = 2 / 255  # a pixel belongs to M_gt when any channel differs by more [D17]
MASK_STRIDE = 4  # M_gt is max-pooled to 1/4 of the thumbnail [D17]
LONGEST = 1600  # px: photos that pairs are made from are kept no larger than this
LONGEST_PAIR = 8192  # px: a studio's pairs are cut at full size, so that the BPL sees real detail
THUMBNAIL_SIZES = (
    (256, 256),
    (320, 256),
    (256, 320),
    (384, 256),
    (256, 384),
    (448, 320),
    (320, 448),
)
CROP_SIDES = {1: 128, 2: 64, 3: 40}  # thumbnail px: crops of 256-320 px at full size
MOST_SHIFT = 1.0  # px at ALIGN_SIDE: two photos further apart than this are misaligned
ALIGN_SIDE = 512
JITTER = (-0.22, 0.22)  # of the log of a studio photo's scale: x0.8 to x1.25
VALIDATION_SHARE = 10  # one pair in so many is kept for validation


_SMALL, _LARGE = Gallery(LONGEST), Gallery(LONGEST_PAIR)  # of this process


class Batch(NamedTuple):
    """One step's data, RGB float32 in [0, 1].

    thumbnail, thumbnail_target: (N, 3, h, w), whole photos.
    crop, crop_target: (N, 3, c·2^l, c·2^l) of the full size.
    corners: (N, 2) int64, where the crop starts in the thumbnail, (row, column).
    levels: l.
    """

    thumbnail: Tensor
    thumbnail_target: Tensor
    crop: Tensor
    crop_target: Tensor
    corners: Tensor
    levels: int


class Sample(NamedTuple):
    """One photo's part of a `Batch`, (H, W, 3) arrays."""

    thumbnail: Floats
    thumbnail_target: Floats
    crop: Floats
    crop_target: Floats
    corner: tuple[int, int]


class Shape(NamedTuple):
    """Sizes of one batch: l, the thumbnail's (height, width), the crop's side in its pixels."""

    levels: int
    thumbnail: tuple[int, int]
    crop: int


class Source(Protocol):
    """Anything that makes the batch of a step.

    identity: says from what and how; a run goes on only with the source it began with.
    """

    @property
    def identity(self) -> str:
        """Digest of what and how."""

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`, the same each time it is asked for."""


def digest_of(*parts: object) -> str:
    """Sixteen hexadecimal digits that stand for these values."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def target_mask(original: Tensor, retouched: Tensor) -> Tensor:
    """M_gt of (N, 3, h, w) thumbnails: (N, 1, ceil(h/4), ceil(w/4)) of {0, 1} [D17]."""
    changed = ((original - retouched).abs().amax(1, keepdim=True) > CHANGED).float()
    return F.max_pool2d(changed, MASK_STRIDE, ceil_mode=True)


def pick_shape(rng: Generator, levels: Sequence[int]) -> Shape:
    """Draw a batch's shape, the LRL's long side jittered in [256, 512) [D16]; few halvings most."""
    odds = np.array([1 / (1 + 1.5 * i) for i in range(len(levels))])
    chosen = int(rng.choice(levels, p=odds / odds.sum()))
    size = THUMBNAIL_SIZES[int(rng.integers(len(THUMBNAIL_SIZES)))]
    return Shape(chosen, size, CROP_SIDES.get(chosen, 32))


def stack(samples: Sequence[Sample], levels: int) -> Batch:
    """Join samples of one shape into a batch."""

    def tensor(arrays: list[Floats]) -> Tensor:
        joined = np.clip(np.stack(arrays), 0, 1).transpose(0, 3, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(joined, np.float32))

    return Batch(
        tensor([s.thumbnail for s in samples]),
        tensor([s.thumbnail_target for s in samples]),
        tensor([s.crop for s in samples]),
        tensor([s.crop_target for s in samples]),
        torch.tensor([s.corner for s in samples]),
        levels,
    )


class Window(NamedTuple):
    """A rectangle of a photo, in pixels, top-left corner and size."""

    top: float
    left: float
    height: float
    width: float

    def cut(self, image: Floats | NDArray[np.uint8], size: tuple[int, int]) -> Floats:
        """Cut the rectangle out of an image and bring it to `size` (height, width), in [0, 1]."""
        rows = slice(round(self.top), max(round(self.top) + 1, round(self.top + self.height)))
        columns = slice(round(self.left), max(round(self.left) + 1, round(self.left + self.width)))
        part = image[rows, columns]
        if part.dtype == np.uint8:
            part = part.astype(np.float32) / np.float32(255)
        return resize(np.asarray(part, np.float32), size)

    def part(self, top: float, left: float, height: float, width: float) -> Window:
        """Return a part of it, given in shares of its own sides."""
        return Window(
            self.top + top * self.height,
            self.left + left * self.width,
            height * self.height,
            width * self.width,
        )


def draw_window(
    image: Floats | NDArray[np.uint8], cloth: Floats | None, size: tuple[int, int], rng: Generator
) -> Window:
    """Draw a window of the aspect of `size` that holds some cloth, 55-100 % of what fits."""
    height, width = image.shape[:2]
    fit = min(height / size[0], width / size[1]) * rng.uniform(0.55, 1.0)
    tall, wide = size[0] * fit, size[1] * fit
    centre = np.array([height, width]) * rng.uniform(0, 1, 2)
    if cloth is not None:
        places = np.argwhere(cloth > 0.5)
        if len(places):
            centre = places[int(rng.integers(len(places)))].astype(np.float64)
    top = float(np.clip(centre[0] - tall / 2, 0, height - tall))
    left = float(np.clip(centre[1] - wide / 2, 0, width - wide))
    return Window(top, left, tall, wide)  # fmt: skip


def spanning(
    image: NDArray[np.uint8], size: tuple[int, int], span: float, rng: Generator
) -> Window:
    """Draw a window in which a thumbnail pixel is `span` px of the photo, or as many as fit."""
    height, width = image.shape[:2]
    span = min(span, height / size[0], width / size[1])
    tall, wide = size[0] * span, size[1] * span
    top, left = (rng.uniform(0, max(0.0, room)) for room in (height - tall, width - wide))
    return Window(top, left, tall, wide)


def draw_corner(edited: NDArray[np.bool_], shape: Shape, rng: Generator) -> tuple[int, int]:
    """Place the crop, in thumbnail pixels: mostly where something is to be done.

    edited: (h, w) of the thumbnail.
    """
    height, width = shape.thumbnail
    places = np.argwhere(edited)
    if len(places) and rng.random() < 0.8:
        centre = places[int(rng.integers(len(places)))]
    else:
        centre = rng.integers(0, (height, width))
    row, column = (int(v) - shape.crop // 2 for v in centre)
    return min(max(row, 0), height - shape.crop), min(max(column, 0), width - shape.crop)


def mirrored(sample: Sample, shape: Shape) -> Sample:
    """Mirror a sample left-right, its corner with it."""
    row, column = sample.corner
    a, b, c, d = (np.ascontiguousarray(array[:, ::-1]) for array in sample[:4])
    return Sample(a, b, c, d, (row, shape.thumbnail[1] - shape.crop - column))


def read(path: Path) -> Floats:
    """Read a photo upright, (H, W, 3) float32 in [0, 1], at most LONGEST px long; kept."""
    return _SMALL.image(path)


class Pair(NamedTuple):
    """Two files of one frame: before and after a retoucher's work."""

    original: Path
    retouched: Path


class Matched(NamedTuple):
    """Pairs fit to train on, and one line for every file that is not."""

    pairs: list[Pair]
    problems: list[str]


def is_photo(path: Path) -> bool:
    """Whether a path is a file that codecs can read."""
    return sniff(path) in ("jpeg", "png", "tiff")


def match_pairs(before: Path, after: Path) -> Matched:
    """Match the photos of two folders by relative path and name, whatever their suffixes.

    Photos without a partner, of another size or shifted against it are named and left out.
    """
    problems: list[str] = []
    originals, retouched = (_by_name(root, problems) for root in (before, after))
    lonely = sorted(set(originals) ^ set(retouched))
    problems += [f"{name}: no partner in the other folder" for name in lonely]
    pairs = []
    for name in sorted(set(originals) & set(retouched)):
        pair = Pair(originals[name], retouched[name])
        fault = fault_of(pair)
        if fault:
            problems.append(f"{name}: {fault}")
        else:
            pairs.append(pair)
    return Matched(pairs, problems)


def _by_name(root: Path, problems: list[str]) -> dict[Path, Path]:
    """Photos by relative path without suffix; of several of one name the first counts."""
    found: dict[Path, Path] = {}
    for path in sorted(root.rglob("*")):
        if is_photo(path):
            name = path.relative_to(root).with_suffix("")
            if found.setdefault(name, path) != path:
                problems.append(f"{path.relative_to(root)}: {found[name].name} has the same name")
    return found


def fault_of(pair: Pair) -> str:
    """Why a pair cannot train, "" if it can: its sizes differ or one is shifted."""
    try:
        before, after = (upright_floats(decode(path)) for path in pair)
    except PhotoError as error:
        return str(error)
    if before.shape != after.shape:
        sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (before, after)]
        return f"sizes differ, {sizes[0]} and {sizes[1]}"
    shift = shift_between(before, after)
    if shift > MOST_SHIFT:
        return f"misaligned by {shift:.1f} px at {ALIGN_SIDE} px"
    return ""


def shift_between(a: Floats, b: Floats) -> float:
    """How far one photo is shifted against the other, in pixels at ALIGN_SIDE."""
    share = ALIGN_SIDE / max(a.shape[:2])
    size = (max(8, round(a.shape[0] * share)), max(8, round(a.shape[1] * share)))
    greys = [cv2.cvtColor(resize(image, size), cv2.COLOR_RGB2GRAY) for image in (a, b)]
    edges = [cv2.Laplacian(grey, cv2.CV_32F) for grey in greys]
    if min(float(edge.std()) for edge in edges) < 1e-5:
        return 0.0  # nothing to align by
    window = cv2.createHanningWindow(size[::-1], cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(edges[0], edges[1], window)
    return float(np.hypot(dx, dy))


def split(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Keep about a tenth for validation, chosen by name: (training, validation), never empty."""
    ordered = sorted(pairs, key=lambda pair: zlib.crc32(pair.original.name.encode()))
    count = max(1, len(ordered) // VALIDATION_SHARE) if len(ordered) > 1 else 0
    return ordered[count:], ordered[:count] or ordered


class StudioPairs:
    """A studio's own before and after photos, cut at random.

    finished: share of the samples whose original is the retouched photo too: what the retoucher
    left as it is, or made so, needs nothing more; nothing: photos of any kind that need nothing,
    and their share. Without them restraint is forgotten.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        levels: Sequence[int],
        batch_size: int,
        seed: int,
        finished: float = 0.0,
        nothing: tuple[Sequence[Path], float] = ((), 0.0),
    ) -> None:
        self.pairs = list(pairs)
        self.nothing, self.idle = list(nothing[0]), nothing[1] if nothing[0] else 0.0
        self.levels = tuple(levels)
        self.batch_size = batch_size
        self.seed = seed
        self.finished = finished

    @property
    def identity(self) -> str:
        """Digest of the pairs and of how they are cut."""
        names = [path.name for pair in self.pairs for path in pair]
        idle = [path.name for path in self.nothing]
        cut = (self.levels, self.batch_size, self.seed)
        return digest_of(names, *cut, self.finished, idle, self.idle)

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`: one shape, `batch_size` photos."""
        rng = np.random.default_rng((self.seed, step))
        shape = pick_shape(rng, self.levels)
        return stack([self.sample(shape, rng) for _ in range(self.batch_size)], shape.levels)

    def draw(self, rng: Generator) -> Pair:
        """Draw a pair, or one photo twice."""
        chance = rng.random()
        if chance < self.idle:
            photo = self.nothing[int(rng.integers(len(self.nothing)))]
            return Pair(photo, photo)
        pair = self.pairs[int(rng.integers(len(self.pairs)))]
        return Pair(pair.retouched, pair.retouched) if chance < self.idle + self.finished else pair

    def sample(self, shape: Shape, rng: Generator, whole: bool = False) -> Sample:
        """Draw a pair and cut one sample from it, about as large as `abpn retouch` would see it.

        There a thumbnail pixel is 2^l px of the photo: so faults are no larger here and no smaller,
        and crops as sharp. whole: cut nearly all of the photo instead, whatever its size.
        """
        before, after = (_LARGE.pixels(path) for path in self.draw(rng))
        height, width = shape.thumbnail
        fits = min(before.shape[0] / height, before.shape[1] / width)
        span = 0.9 * fits if whole else 2**shape.levels * float(np.exp(rng.uniform(*JITTER)))
        window = spanning(before, shape.thumbnail, span, rng)
        thumbnails = [window.cut(image, shape.thumbnail) for image in (before, after)]
        edited = np.abs(thumbnails[0] - thumbnails[1]).max(2) > CHANGED
        corner = draw_corner(edited, shape, rng)
        inner = window.part(
            corner[0] / height, corner[1] / width, shape.crop / height, shape.crop / width
        )
        side = shape.crop << shape.levels
        crops = [inner.cut(image, (side, side)) for image in (before, after)]
        sample = Sample(thumbnails[0], thumbnails[1], crops[0], crops[1], corner)
        return mirrored(sample, shape) if rng.random() < 0.5 else sample
