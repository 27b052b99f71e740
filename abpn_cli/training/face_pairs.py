"""Pairs made on the fly from portraits: real blemishes healed, others painted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from . import blemishes, synthesis
from .made_pairs import NUISANCE, Edits, Labels, MadePairs, Scene, times
from .pairs import Sample, Shape, Window, digest_of, read
from .shine import shone
from .synthesis import Floats, as_floats

SKIN = 2  # the label of face skin in a label map
NOISE = 1 / 255  # keeps ratios tame in the dark
TILT = 35.0  # degrees, at most, by which a portrait is turned

Kind = Literal["clean", "real", "painted"]
Blemish = Callable[[tuple[int, int], Floats, Generator], Floats]
Healer = Callable[[Floats, Floats], Floats]  # (image, skin) to a ratio

HEALERS: Sequence[Healer] = (blemishes.healed,)  # docs/experiments.md: what shine beside it did
PALEST = 1.02  # of other people's spots: what is paler is shine, or the lack of a spot


@dataclass(frozen=True)
class FaceRecipe:
    """Shares of the kinds of pairs; what is left are painted blemishes.

    nothing: pairs from photos without a face; clean: faces healed in both photos; real: real
    blemishes, healed; on_healed: share of painted ones laid on healed skin, the rest on it as it
    is; transplanted: share of them that are other people's own spots, their strength raised to a
    power drawn from `power`; mixed: share of painted ones with a second generator's on top, where
    there are several; shiny: share of them with shine besides; freckles: share of faces given
    freckles that stay; tilted: share of portraits turned.
    around: range of the window's lesser side by the face's greater: faces are retouched with large
    thumbnails (engine.faces), so that spots are some pixels wide, and a window is part of one.
    """

    nothing: float = 0.08
    clean: float = 0.15
    real: float = 0.3
    on_healed: float = 0.5
    transplanted: float = 0.4
    power: tuple[float, float] = (1.0, 2.5)
    mixed: float = 0.3
    shiny: float = 0.0
    freckles: float = 0.15
    tilted: float = 0.3
    around: tuple[float, float] = (0.45, 1.2)

    def kind(self, rng: Generator) -> Kind:
        """Draw what a pair of a face is made to be."""
        drawn = rng.random()
        if drawn < self.clean:
            return "clean"
        return "real" if drawn < self.clean + self.real else "painted"


class FacePairs(MadePairs):
    """Pairs made on the fly from portraits and photos without a face.

    faces: portraits with a label map each; nothing: photos; painters: generators of blemishes;
    healers: what a portrait is healed by, one after the other.
    """

    def __init__(
        self,
        faces: Sequence[Path],
        nothing: Sequence[Path],
        labels: Labels,
        painters: Sequence[Blemish],
        recipe: FaceRecipe,
        batch_size: int,
        seed: int,
        levels: Sequence[int] = (1, 2, 3),
        healers: Sequence[Healer] = HEALERS,
    ) -> None:
        super().__init__(labels, batch_size, seed, levels)
        self.faces = list(faces)
        self.nothing = list(nothing)
        self.painters = list(painters)
        self.recipe = recipe
        self.healers = tuple(healers)
        self._healed: dict[Path, NDArray[np.uint8]] = {}

    @property
    def identity(self) -> str:
        """Digest of the photos, the recipe and how samples are cut."""
        names = [path.name for path in (*self.faces, *self.nothing)]
        makers = [maker.__name__ for maker in (*self.painters, *self.healers)]
        return digest_of(
            NUISANCE, names, makers, self.recipe, self.levels, self.batch_size, self.seed
        )

    def sample(self, shape: Shape, rng: Generator) -> Sample:
        """Draw a photo and make one pair of it."""
        if self.nothing and rng.random() < self.recipe.nothing:
            image = read(self.nothing[int(rng.integers(len(self.nothing)))])
            return self.cut(Scene(image, None), "clean", shape, rng)[0]
        scene = self._portrait(self.faces[int(rng.integers(len(self.faces)))])
        if rng.random() < self.recipe.tilted:
            scene = turned(scene, rng.uniform(-TILT, TILT))
        return self.cut(scene, self.recipe.kind(rng), shape, rng)[0]

    def _portrait(self, path: Path) -> Scene:
        """A portrait, its skin and what is left when it is healed, which is worked out once."""
        image, skin = read(path), self.labels(path, SKIN)
        assert skin is not None, path  # such are left out before a run starts
        skin = as_floats(cv2.resize(skin, image.shape[1::-1], interpolation=cv2.INTER_LINEAR))
        if path not in self._healed:
            self._healed[path] = healed_pixels(image, skin, self.healers)
        return Scene(image, skin, self._healed[path].astype(np.float32) / np.float32(255))

    def window(self, scene: Scene, shape: Shape, rng: Generator) -> Window:
        """Draw a window around the face, as the program crops it, more or less."""
        image, skin, _ = scene
        if skin is None or not (skin > 0.5).any():
            return super().window(scene, shape, rng)
        rows, columns = (np.nonzero((skin > 0.5).any(axis))[0] for axis in (1, 0))
        face = max(float(np.ptp(rows)), float(np.ptp(columns)), 8.0)
        height, width = shape.thumbnail
        fit = face * rng.uniform(*self.recipe.around) / min(height, width)
        fit = min(fit, image.shape[0] / height, image.shape[1] / width)
        tall, wide = height * fit, width * fit
        room = np.maximum((np.ptp(rows) - 0.6 * tall, np.ptp(columns) - 0.6 * wide), 0.16 * face)
        centre = np.array([rows.mean(), columns.mean()]) + rng.uniform(-0.5, 0.5, 2) * room
        top = float(np.clip(centre[0] - tall / 2, 0, image.shape[0] - tall))
        left = float(np.clip(centre[1] - wide / 2, 0, image.shape[1] - wide))
        return Window(top, left, tall, wide)

    def decor(self, mask: Floats | None, size: tuple[int, int], rng: Generator) -> Floats:
        """Draw freckles, which stay: (H, W, 3) ratios."""
        if mask is None or rng.random() >= self.recipe.freckles:
            return np.ones((*size, 3), np.float32)
        return blemishes.freckled(size, mask, rng)

    def edits(self, scene: Scene, kind: str, rng: Generator) -> Edits:
        """Settle what is wrong with a face: what it has, what is painted on it, or nothing."""
        image, mask, healed = scene
        same = np.ones_like(image)
        if mask is None or healed is None or mask.max() < 0.5:
            return Edits(same, same)
        after = as_floats((healed + NOISE) / (image + NOISE))
        if kind == "clean":
            return Edits(after, after)
        if kind == "real":
            return Edits(same, after)
        skin = blemishes.inner_skin(mask, synthesis.scale_of(image))
        size = (image.shape[0], image.shape[1])
        if rng.random() < self.recipe.transplanted:
            painted = self._transplant(size, skin, rng)
        else:
            painted = self._painted(size, skin, rng)
        below = after if rng.random() < self.recipe.on_healed else same
        before = as_floats(below * painted)
        if self.recipe.shiny and rng.random() < self.recipe.shiny:
            before = as_floats(before * shone(times(image, before), skin, rng))
        return Edits(before, after)

    def _painted(self, size: tuple[int, int], skin: Floats, rng: Generator) -> Floats:
        """Blemishes of one generator, or of two: (H, W, 3) ratio."""
        count = len(self.painters)
        painted = self.painters[int(rng.integers(count))](size, skin, rng)
        if count > 1 and rng.random() < self.recipe.mixed:
            painted = as_floats(painted * self.painters[int(rng.integers(count))](size, skin, rng))
        return painted

    def _transplant(self, size: tuple[int, int], skin: Floats, rng: Generator) -> Floats:
        """Lay the spots of another face, turned and scaled, on skin: (H, W, 3) ratio."""
        donor = self._portrait(self.faces[int(rng.integers(len(self.faces)))])
        window = self.window(donor, Shape(1, (size[0] // 2, size[1] // 2), 0), rng)
        assert donor.healed is not None
        spotted, clean = (
            np.maximum(window.cut(part, size), 0) + NOISE for part in (donor.image, donor.healed)
        )  # enlarging overshoots
        ratio = np.clip(spotted / clean, 0.4, PALEST) ** np.float32(rng.uniform(*self.recipe.power))
        middle = (size[1] / 2, size[0] / 2)
        turn = cv2.getRotationMatrix2D(middle, rng.uniform(0, 360), rng.uniform(0.7, 1.5))
        laid = cv2.warpAffine(
            as_floats(ratio),
            turn,
            size[::-1],
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(1, 1, 1),
        )
        return as_floats(1 + (laid - 1) * skin[..., None])


def healed_pixels(
    image: Floats, skin: Floats, healers: Sequence[Healer] = HEALERS
) -> NDArray[np.uint8]:
    """Heal a portrait in the scale of its face: (H, W, 3) in [0, 1] to the same as uint8."""
    healed: NDArray[np.uint8] = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    rows, columns = (np.nonzero((skin > 0.5).any(axis))[0] for axis in (1, 0))
    if not len(rows):
        return healed
    middle, half = (rows.mean(), columns.mean()), 0.75 * max(np.ptp(rows), np.ptp(columns))
    place = tuple(slice(max(0, int(m - half)), int(m + half) + 1) for m in middle)
    face = image[place]
    inner = blemishes.inner_skin(skin[place], synthesis.scale_of(face))
    for healer in healers:
        face = times(face, healer(face, inner))
    healed[place] = np.clip(face * 255 + 0.5, 0, 255).astype(np.uint8)
    return healed


def turned(scene: Scene, degrees: float) -> Scene:
    """Turn a scene about its middle; what comes in from outside mirrors it and is no skin."""
    image, mask, healed = scene
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)

    def turn(array: Floats | None, border: int) -> Floats | None:
        if array is None:
            return None
        return as_floats(cv2.warpAffine(array, matrix, (width, height), borderMode=border))

    whole = turn(image, cv2.BORDER_REFLECT_101)
    assert whole is not None
    parts = turn(mask, cv2.BORDER_CONSTANT), turn(healed, cv2.BORDER_REFLECT_101)
    return Scene(whole, *parts)
