"""What pairs made on the fly from clean photos share: exposure drawn once, windows, crops."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from . import synthesis
from .gallery import resize
from .pairs import (
    Batch,
    Sample,
    Shape,
    Window,
    draw_corner,
    draw_window,
    mirrored,
    pick_shape,
    stack,
)
from .synthesis import Floats, as_floats

SOFT = 0.15  # share of pairs out of focus, by a sigma of up to SOFTEST px of the thumbnail
SOFTEST = 1.2
COMPRESSED = 0.3  # share of pairs whose full-size photo has been a JPEG of one of QUALITIES
QUALITIES = (50, 96)
LETTERBOXED = 0.05  # share of photos with bars, black or white, at two sides
NUISANCE = (SOFT, SOFTEST, COMPRESSED, QUALITIES, LETTERBOXED)


class Look(NamedTuple):
    """Exposure and colour of a pair: what must not matter, drawn once, put on both photos.

    blur: sigma in px of the thumbnail; quality: of the JPEG it has been, None of none.
    """

    gamma: float
    gain: NDArray[np.float32]
    grey: bool
    grain: float
    blur: float = 0.0
    quality: int | None = None

    @staticmethod
    def draw(rng: Generator) -> Look:
        """Draw exposure, white balance, now and then monochrome, grain, softness, compression."""
        gain = rng.uniform(0.7, 1.1) * rng.uniform(0.94, 1.06, 3)
        grain = rng.uniform(0.002, 0.02) if rng.random() < 0.6 else 0.0
        gamma, grey = rng.uniform(0.75, 1.35), bool(rng.random() < 0.1)
        blur = rng.uniform(0.2, SOFTEST) if rng.random() < SOFT else 0.0
        quality = int(rng.integers(*QUALITIES)) if rng.random() < COMPRESSED else None
        return Look(gamma, gain.astype(np.float32), grey, grain, blur, quality)

    def put_on(self, image: Floats, zoom: float) -> Floats:
        """Exposure, colour and softness on (H, W, 3) in [0, 1]; zoom: its px per thumbnail px."""
        if self.blur:
            image = synthesis.blur(image, self.blur * zoom)
        out = np.clip(image, 0, 1) ** np.float32(self.gamma) * self.gain
        if self.grey:
            out = np.repeat(synthesis.luminance(out)[..., None], 3, 2)
        return as_floats(np.clip(out, 0, 1))

    def compressed(self, image: Floats) -> Floats:
        """What a JPEG leaves of the full-size (H, W, 3) in [0, 1]; thumbnails do not show it."""
        if self.quality is None:
            return image
        bytes_ = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
        _, stream = cv2.imencode(".jpg", bytes_, (cv2.IMWRITE_JPEG_QUALITY, self.quality))
        decoded = cv2.imdecode(stream, cv2.IMREAD_COLOR)
        assert decoded is not None
        return as_floats(decoded) / np.float32(255)

    def grained(self, image: Floats, rng: Generator) -> Floats:
        """Grain on (H, W, 3) in [0, 1]; last, lest it be taken for the cloth's texture."""
        if not self.grain:
            return image
        noise = np.float32(self.grain) * rng.standard_normal(image.shape, np.float32)
        return as_floats(np.clip(image + noise, 0, 1))


class Edits(NamedTuple):
    """Ratio fields of a pair at working size: original = photo·before, retouched = photo·after.

    before, after: (H, W), or (H, W, 3) where colour changes too.
    fit: whether the photo served for the kind of pair that was asked for.
    """

    before: Floats
    after: Floats
    fit: bool = True


class Scene(NamedTuple):
    """A photo and what is known of it, floats in [0, 1].

    image: (H, W, 3); mask: (H, W), where its cloth or skin is, None where there is none; healed:
    (H, W, 3), what is left when its own blemishes are gone, None where that is not known yet.
    """

    image: Floats
    mask: Floats | None
    healed: Floats | None = None


@lru_cache(maxsize=4)
def _label_maps(file: Path) -> Mapping[str, NDArray[np.uint8]]:
    maps: Mapping[str, NDArray[np.uint8]] = np.load(file)  # opened once in each process
    return maps


@dataclass(frozen=True)
class Labels:
    """Label maps by a photo's path under `root`, from an `.npz` of uint8 maps; none without it."""

    file: Path | None
    root: Path

    def __call__(self, path: Path, label: int) -> Floats | None:
        """Where a label is: (h, w) float32 of {0, 1} at the map's size, None without a map."""
        if self.file is None:
            return None
        key = path.relative_to(self.root).as_posix()
        maps = _label_maps(self.file)
        return (maps[key] == label).astype(np.float32) if key in maps else None


def times(image: Floats, field: Floats) -> Floats:
    """Multiply (H, W, 3) by a ratio field, (H, W) or (H, W, 3), and clip to [0, 1]."""
    return as_floats(np.clip(image * (field if field.ndim == 3 else field[..., None]), 0, 1))


class MadePairs(ABC):
    """Pairs made on the fly from photos; a subclass says what is wrong with them.

    labels: where cloth and skin are; levels: halvings to draw from.
    """

    def __init__(self, labels: Labels, batch_size: int, seed: int, levels: Sequence[int]) -> None:
        self.labels = labels
        self.batch_size = batch_size
        self.seed = seed
        self.levels = tuple(levels)

    @abstractmethod
    def sample(self, shape: Shape, rng: Generator) -> Sample:
        """Draw a photo and make one pair of it."""

    @abstractmethod
    def edits(self, scene: Scene, kind: str, rng: Generator) -> Edits:
        """Settle what is wrong with a window of a photo and what a retoucher would make of it."""

    def decor(self, mask: Floats | None, size: tuple[int, int], rng: Generator) -> Floats:
        """Draw what stays in both photos and is laid on after faults were judged: (H, W, 3)."""
        return np.ones((*size, 3), np.float32)

    def window(self, scene: Scene, shape: Shape, rng: Generator) -> Window:
        """Draw the part of a scene to cut out."""
        return draw_window(scene.image, scene.mask, shape.thumbnail, rng)

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`: one shape, `batch_size` photos."""
        rng = np.random.default_rng((self.seed, step))
        shape = pick_shape(rng, self.levels)
        return stack([self.sample(shape, rng) for _ in range(self.batch_size)], shape.levels)

    def cut(self, scene: Scene, kind: str, shape: Shape, rng: Generator) -> tuple[Sample, bool]:
        """Cut a window out of a scene and make a pair of it; say whether it is of that kind."""
        height, width = shape.thumbnail
        working = (2 * height, 2 * width)
        window = self.window(scene, shape, rng)
        look = Look.draw(rng)
        part = scene_part(scene, window, working, look)
        whole, inside, _ = part
        edits = self.edits(part, kind, rng)
        edited = np.abs(edits.before - edits.after)[::2, ::2] > 0.01
        corner = draw_corner(edited if edited.ndim == 2 else edited.any(2), shape, rng)
        decor = self.decor(inside, working, rng)
        inner = window.part(
            corner[0] / height, corner[1] / width, shape.crop / height, shape.crop / width
        )
        side = shape.crop << shape.levels
        rows = slice(2 * corner[0], 2 * (corner[0] + shape.crop))
        columns = slice(2 * corner[1], 2 * (corner[1] + shape.crop))
        crop = look.put_on(inner.cut(scene.image, (side, side)), 2**shape.levels)
        crop = look.grained(crop * resize(decor[rows, columns], (side, side)), rng)
        crop = look.compressed(crop)
        fields = (edits.before, edits.after)
        before, after = (resize(field[rows, columns], (side, side)) for field in fields)
        whole = look.grained(whole * decor, rng)
        sample = Sample(
            as_floats(cv2.pyrDown(times(whole, edits.before))),
            as_floats(cv2.pyrDown(times(whole, edits.after))),
            times(crop, before),
            times(crop, after),
            corner,
        )
        return mirrored(sample, shape) if rng.random() < 0.5 else sample, edits.fit


def scene_part(scene: Scene, window: Window, size: tuple[int, int], look: Look) -> Scene:
    """Cut a window out of a scene at `size`, twice the thumbnail's, under a look."""
    image, mask, healed = scene
    return Scene(
        look.put_on(window.cut(image, size), 2),
        None if mask is None else as_floats(np.clip(window.cut(mask, size), 0, 1)),
        None if healed is None else look.put_on(window.cut(healed, size), 2),
    )


def letterboxed(scene: Scene, rng: Generator) -> Scene:
    """Put bars, black or white, at two opposite sides of a scene now and then."""
    if rng.random() >= LETTERBOXED:
        return scene
    wide = round(float(rng.uniform(0.03, 0.15)) * max(scene.image.shape[:2]))
    tone = float(rng.random() < 0.5)
    sides = ((wide, wide), (0, 0)) if rng.random() < 0.5 else ((0, 0), (wide, wide))

    def barred(image: Floats | None, value: float) -> Floats | None:
        if image is None:
            return None
        where = (*sides, (0, 0)) if image.ndim == 3 else sides
        return as_floats(np.pad(image, where, constant_values=value))

    framed = barred(scene.image, tone)
    assert framed is not None
    return Scene(framed, barred(scene.mask, 0.0), barred(scene.healed, tone))
