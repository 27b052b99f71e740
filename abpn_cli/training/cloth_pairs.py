"""Pairs made on the fly from clean photos: real wrinkles smoothed, creases painted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from . import synthesis
from .creases import Bank
from .gallery import resize
from .made_pairs import NUISANCE, Edits, Labels, MadePairs, Scene, letterboxed
from .pairs import Sample, Shape, digest_of, read
from .surfaces import surface
from .synthesis import Floats, as_floats

CLOTH = 3  # the label of cloth in a label map
MOSTLY = 0.6  # share of the cloth that must be smooth for creases to be painted on it

Kind = Literal["smooth", "real", "painted"]
Crease = Callable[[tuple[int, int], Generator], Floats]


@dataclass(frozen=True)
class Recipe:
    """Shares of the kinds of pairs; what is left are painted creases.

    nothing: pairs from photos with nothing to do, as many from each folder of theirs, for scenes
    are rarer than portraits; surfaces: from made-up wood, stone, facades and such;
    real: real wrinkles, smoothed target;
    smooth: already smooth cloth, left alone; strength: range of the share of wrinkles removed.
    on_smooth: share of painted creases laid on cloth already smoothed, the rest on it as it is.
    draws: photos drawn, at most, until one is smooth enough to be painted on: beside real wrinkles
    that stay, painted ones could only be told by their style.
    coarse: range of the drape's sigma in px at 1024; amplitude: of a crease's standard deviation;
    backgrounds: share of white-studio photos set before another photo; sweeps: share set before a
    blank studio background with soft shadows; floors: share of the other backgrounds that are
    made-up surfaces; afar: share of those set before a background that are made smaller, by `far`;
    blurred: share of photos with nothing to do, backgrounds among them, that are out of focus, by a
    sigma of up to `blurs` of their long side; prints: share of cloth given a print that stays;
    bleached: share of white-studio photos whose clothes are made as pale as their background.
    """

    nothing: float = 0.2
    surfaces: float = 0.07
    real: float = 0.35
    smooth: float = 0.10
    on_smooth: float = 0.5
    strength: tuple[float, float] = (0.9, 1.0)
    coarse: tuple[float, float] = (14.0, 24.0)
    amplitude: tuple[float, float] = (0.012, 0.05)
    backgrounds: float = 0.4
    sweeps: float = 0.3
    floors: float = 0.35
    afar: float = 0.5
    far: tuple[float, float] = (0.4, 0.9)
    blurred: float = 0.3
    blurs: tuple[float, float] = (0.003, 0.02)
    prints: float = 0.2
    bleached: float = 0.15
    draws: int = 3

    def kind(self, rng: Generator) -> Kind:
        """Draw what a pair of cloth is made to be."""
        drawn = rng.random()
        if drawn < self.smooth:
            return "smooth"
        return "real" if drawn < self.smooth + self.real else "painted"


class ClothPairs(MadePairs):
    """Pairs made on the fly from photos of cloth and photos with nothing to retouch.

    cloth, nothing: photos; labels: where their cloth is; creases: generators to paint with.
    """

    def __init__(
        self,
        cloth: Sequence[Path],
        nothing: Sequence[Path],
        labels: Labels,
        creases: Sequence[Crease],
        recipe: Recipe,
        batch_size: int,
        seed: int,
        levels: Sequence[int] = (1, 2, 3),
    ) -> None:
        super().__init__(labels, batch_size, seed, levels)
        self.cloth = list(cloth)
        self.nothing = list(nothing)
        self._idle = by_folder(nothing)
        self._sets = by_set(self.cloth, labels.root)
        self.creases = list(creases)
        self.recipe = recipe

    @property
    def identity(self) -> str:
        """Digest of the photos, the recipe and how samples are cut."""
        names = [path.name for path in (*self.cloth, *self.nothing)]
        makers = [getattr(crease, "__name__", type(crease).__name__) for crease in self.creases]
        return digest_of(
            NUISANCE, names, makers, self.recipe, self.levels, self.batch_size, self.seed
        )

    def sample(self, shape: Shape, rng: Generator) -> Sample:
        """Draw a photo and make one pair of it."""
        drawn = rng.random()
        if drawn < self.recipe.surfaces:
            sides = (2 * shape.thumbnail[0], 2 * shape.thumbnail[1])
            return self.cut(Scene(surface(sides, rng), None), "smooth", shape, rng)[0]
        if self.nothing and drawn < self.recipe.surfaces + self.recipe.nothing:
            scene = letterboxed(zoomed(self._at_rest(rng), rng), rng)
            return self.cut(scene, "smooth", shape, rng)[0]
        kind = self.recipe.kind(rng)
        for _ in range(self.recipe.draws):
            sample, fit = self.cut(letterboxed(self._scene(rng), rng), kind, shape, rng)
            if fit:
                break
        return sample

    def _at_rest(self, rng: Generator) -> Floats:
        """Draw a photo with nothing to retouch: a folder first, then a photo of it."""
        folder = self._idle[int(rng.integers(len(self._idle)))]
        path = folder[int(rng.integers(len(folder)))]
        image = without_cloth(read(path), self.labels(path, CLOTH))
        if rng.random() >= self.recipe.blurred:
            return image
        return synthesis.blur(image, rng.uniform(*self.recipe.blurs) * max(image.shape[:2]))

    def _scene(self, rng: Generator) -> Scene:
        """Draw a photo of cloth, now and then set before another background."""
        chosen = self._sets[int(rng.choice(len(self._sets), p=odds_of(self._sets)))]
        path = chosen[int(rng.integers(len(chosen)))]
        image, cloth = read(path), self.labels(path, CLOTH)
        cloth = np.ones(image.shape[:2], np.float32) if cloth is None else cloth
        cloth = as_floats(cv2.resize(cloth, image.shape[1::-1], interpolation=cv2.INTER_LINEAR))
        if is_white_studio(image):
            person = 1 - synthesis.smoothstep(0.93, 0.985, synthesis.least(image))
            cloth = as_floats(cloth * person)
            if rng.random() < self.recipe.bleached:
                return Scene(synthesis.bleached(image, cloth, rng.uniform(0.1, 0.4)), cloth)
            behind = self._background((image.shape[0], image.shape[1]), rng)
            if behind is not None:
                if rng.random() < self.recipe.afar:
                    image, cloth, person = stepped_back(
                        (image, cloth, as_floats(person)), rng.uniform(*self.recipe.far), rng
                    )
                image = image * person[..., None] + behind * (1 - person[..., None])
        return Scene(image, cloth)

    def _background(self, size: tuple[int, int], rng: Generator) -> Floats | None:
        """Draw what a white-studio photo is set before; None leaves it as it is."""
        drawn = rng.random()
        if drawn < self.recipe.sweeps:
            return synthesis.studio_sweep(size, rng)[..., None]
        if drawn >= self.recipe.sweeps + self.recipe.backgrounds:
            return None
        if rng.random() < self.recipe.floors:
            return surface(size, rng)
        if self.nothing:
            return resize(self._at_rest(rng), size)
        return None

    def decor(self, mask: Floats | None, size: tuple[int, int], rng: Generator) -> Floats:
        """Draw a print for the cloth: (H, W, 3) ratios."""
        if mask is None or rng.random() >= self.recipe.prints:
            return np.ones((*size, 3), np.float32)
        print_ = synthesis.tonal_print(size, rng)
        return as_floats(1 + (print_ - 1) * mask[..., None])

    def edits(self, scene: Scene, kind: str, rng: Generator) -> Edits:
        """Settle what is wrong with a photo and what a retoucher would make of it.

        Creases are painted only where the target is smooth: beside real wrinkles that stay,
        painted ones could be told by nothing but their style. A photo that is not gives its real
        wrinkles, smoothed.
        """
        image, mask, _ = scene
        same = np.ones(image.shape[:2], np.float32)
        if mask is None or mask.max() < 0.5:
            return Edits(same, same, kind != "painted")
        core = synthesis.inner_cloth(mask, synthesis.scale_of(image))
        strength = rng.uniform(*self.recipe.strength)
        after, left = synthesis.smoothed(image, core, strength, rng.uniform(*self.recipe.coarse))
        if kind == "smooth":
            return Edits(after, after)
        calm = left < synthesis.CALM
        inside = core > 0.5
        if kind == "real" or not inside.any() or calm[inside].mean() < MOSTLY:
            return Edits(same, after, kind == "real")
        crease = self.creases[int(rng.integers(len(self.creases)))](image.shape[:2], rng)
        where = core * synthesis.patches(image.shape[:2], rng.uniform(0.2, 0.9), rng)
        where = where * synthesis.blur(as_floats(calm), 4 * synthesis.scale_of(image))
        shading = 1 + rng.uniform(*self.recipe.amplitude) * crease * where
        painted = after if rng.random() < self.recipe.on_smooth else same
        return Edits((painted * shading).astype(np.float32), after)


def by_folder(photos: Sequence[Path]) -> list[list[Path]]:
    """Sort photos by the folder they lie in."""
    folders: dict[Path, list[Path]] = {}
    for path in photos:
        folders.setdefault(path.parent, []).append(path)
    return list(folders.values())


def by_set(photos: Sequence[Path], root: Path) -> list[list[Path]]:
    """Sort photos by the set that they come from: the first two folders below `root`."""
    sets: dict[tuple[str, ...], list[Path]] = {}
    for path in photos:
        inner = path.relative_to(root) if path.is_relative_to(root) else path
        sets.setdefault(inner.parts[:-1][:2], []).append(path)
    return list(sets.values())


def odds_of(sets: Sequence[Sequence[Path]]) -> NDArray[np.float64]:
    """Odds of each set, by the square root of its size, lest the largest be all that is seen."""
    roots = np.sqrt([len(photos) for photos in sets])
    return np.asarray(roots / roots.sum())


def stepped_back(
    layers: tuple[Floats, Floats, Floats], share: float, rng: Generator
) -> tuple[Floats, Floats, Floats]:
    """Photo, cloth and person at `share` of their size in the same frame, on its lower edge.

    Around them the photo is white, and there is neither cloth nor person.
    """
    height, width = layers[0].shape[:2]
    small = (max(1, round(share * height)), max(1, round(share * width)))
    left, top = int(rng.integers(width - small[1] + 1)), height - small[0]
    placed = []
    for layer, blank in zip(layers, (1.0, 0.0, 0.0), strict=True):
        frame = np.full(layer.shape, blank, np.float32)
        frame[top:, left : left + small[1]] = resize(layer, small)
        placed.append(frame)
    return placed[0], placed[1], placed[2]


def zoomed(image: Floats, rng: Generator) -> Scene:
    """Cut a part of 40-100 % out of a photo with nothing to do: its texture at other sizes."""
    share = rng.uniform(0.4, 1.0)
    sides = [max(1, round(share * side)) for side in image.shape[:2]]
    top, left = (int(rng.integers(image.shape[i] - sides[i] + 1)) for i in range(2))
    return Scene(image[top : top + sides[0], left : left + sides[1]], None)


def is_white_studio(image: Floats) -> bool:
    """Whether the photo's upper corners are blank paper white."""
    part = max(4, min(image.shape[:2]) // 40)
    corners = np.concatenate([image[:part, :part], image[:part, -part:]], 1)
    return bool(corners.min() > 0.96)


def without_cloth(image: Floats, cloth: Floats | None) -> Floats:
    """Cut the photo above its first cloth: what is left has nothing to retouch."""
    if cloth is None:
        return image
    rows = np.nonzero(cloth.mean(1) > 0.02)[0]
    if not len(rows):
        return image
    bottom = int(rows[0] / cloth.shape[0] * image.shape[0])
    return image[: max(bottom, image.shape[0] // 3)]


def wrinkle_bank(photos: Sequence[Path], labels: Labels, most: int = 80) -> Bank:
    """Collect real wrinkles from plain garments to transplant, at most `most` patches."""
    found = []
    for path in photos:
        cloth = labels(path, CLOTH)
        if cloth is None:
            continue
        image = read(path)
        cloth = cv2.resize(cloth, image.shape[1::-1]).astype(np.float32)
        core = synthesis.inner_cloth(cloth, synthesis.scale_of(image))
        patch = synthesis.wrinkle_patch(image, core)
        if patch is not None:
            found.append(patch)
        if len(found) >= most:
            break
    return Bank(found)
