"""What a run trains on and is judged by: lists of photos, sources of pairs, validation sets."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.npyio import NpzFile

from ..codecs import decode
from ..errors import NoPhotoError, PhotoError, UsageError, shown
from .pairs import (
    VALIDATION_SHARE,
    Batch,
    Matched,
    Pair,
    Shape,
    Source,
    StudioPairs,
    is_photo,
    split,
    stack,
)
from .synthesis import Transplant, ridged_noise, tension_folds
from .synthesised import Labels, Recipe, SynthesisedPairs, wrinkle_bank

VALIDATION_SIDE = 256  # px: thumbnails of validation pairs
PAINTED = Recipe(
    nothing=0,
    real=0,
    smooth=0,
    on_smooth=1,
    strength=(0.9, 1.0),
    backgrounds=0,
    sweeps=0,
    prints=0,
    bleached=0,
    draws=20,
)
NOTHING = Recipe(nothing=1)
DECODERS = 4  # photos decoded at once where only their faults are looked for


class Data(NamedTuple):
    """What to train on and what to judge by; `about` goes onto the card."""

    source: Source
    validation: Callable[[], list[Batch]]
    photos: int
    about: Mapping[str, Any]


@dataclass(frozen=True)
class PhotoSet:
    """Photos to make pairs from: files under `root`, some cloth, some with nothing to do."""

    root: Path
    cloth: Sequence[Path]
    nothing: Sequence[Path]
    masks: Path | None

    @property
    def labels(self) -> Labels:
        """The label maps of these photos."""
        return Labels(self.masks, self.root)


def read_list(root: Path, file: Path) -> list[Path]:
    """Read a list of photos, one path relative to `root` a line.

    Raises:
        UsageError: the list cannot be read or names a file that is not there.
    """
    try:
        names = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{shown(file)}: cannot be read as a list of photos ({error}).") from error
    paths = [root / name.strip() for name in names if name.strip()]
    outside = [path for path in paths if not path.resolve().is_relative_to(root.resolve())]
    if outside:
        raise UsageError(f"{shown(file)}: names {shown(outside[0])}, outside --photos.")
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UsageError(
            f"{shown(file)}: names {shown(missing[0])}, which is not there. Check --photos."
        )
    return paths


def check_masks(file: Path) -> None:
    """Refuse what is no archive of label maps, before a run starts.

    Raises:
        UsageError: it is not.
    """
    try:
        maps = np.load(file)
    except OSError as error:
        raise UsageError(f"--masks {shown(file)}: cannot be read ({error.strerror}).") from error
    except (ValueError, EOFError, zipfile.BadZipFile):
        maps = None
    if not isinstance(maps, NpzFile):
        raise UsageError(f"--masks {shown(file)}: is no archive of label maps. Give an .npz file.")
    maps.close()


def photos_under(root: Path) -> list[Path]:
    """Every photo under a folder, sorted."""
    return [path for path in sorted(root.rglob("*")) if is_photo(path)]


def readable(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Photos that can be decoded, and a line for each that cannot.

    Looked at before a run starts: a photo cut short must not end it hours later.
    """
    good, problems = [], []
    with ThreadPoolExecutor(DECODERS) as pool:
        for path, problem in zip(paths, pool.map(fault_in, paths), strict=True):
            if problem:
                problems.append(problem)
            else:
                good.append(path)
    return good, problems


def fault_in(path: Path) -> str:
    """Why a photo cannot be decoded, "" if it can."""
    try:
        decode(path)
    except PhotoError as error:
        return str(error)
    return ""


def split_by_name(paths: Sequence[Path]) -> list[Path]:
    """A tenth of the photos, at least one, chosen by name: those to hold out."""
    ordered = sorted(paths, key=lambda path: zlib.crc32(path.name.encode()))
    return ordered[: max(1, len(ordered) // VALIDATION_SHARE)]


def held_out_batches(photos: PhotoSet, recipe: Recipe, count: int, seed: int) -> list[Batch]:
    """Pairs to judge by, from a crease generator that training never sees; crops are whole photos.

    Half the batches have one halving, half two; four photos each.
    """
    made = SynthesisedPairs(
        photos.cloth, photos.nothing, photos.labels, [tension_folds], recipe, 4, seed
    )
    batches = []
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        shape = Shape(1 + index % 2, (VALIDATION_SIDE, VALIDATION_SIDE), VALIDATION_SIDE)
        batches.append(stack([made.sample(shape, rng) for _ in range(4)], shape.levels))
    return batches


def photo_data(
    train: PhotoSet, held_out: PhotoSet, levels: Sequence[int], batch: int, seed: int
) -> Data:
    """Data made on the fly from photos.

    Raises:
        NoPhotoError: no photo of cloth, to train on or held out.
    """
    if not train.cloth:
        raise NoPhotoError("No photo to train on. Check --photos and --list.")
    if not held_out.cloth:
        raise NoPhotoError("No photo to validate on. Check --held-out.")
    creases: list[Any] = [ridged_noise]
    bank = wrinkle_bank(train.cloth, train.labels)
    if bank.patches:
        creases.append(Transplant(bank))
    recipe = Recipe()
    source = SynthesisedPairs(
        train.cloth, train.nothing, train.labels, creases, recipe, batch, seed, levels
    )
    about = {
        "photos": len(train.cloth),
        "photos with nothing to do": len(train.nothing),
        "held out": len(held_out.cloth),
        "creases": [getattr(c, "__name__", type(c).__name__) for c in creases],
        "wrinkle patches": len(bank.patches),
        "recipe": asdict(recipe),
    }  # fmt: skip
    return Data(source, lambda: held_out_batches(held_out, PAINTED, 6, 1), len(train.cloth), about)


def studio_data(matched: Matched, levels: Sequence[int], batch: int, seed: int) -> Data:
    """Data from a studio's own before and after photos, a tenth kept for validation.

    Raises:
        NoPhotoError: no pair is fit to train on.
    """
    if not matched.pairs:
        raise NoPhotoError("No pair of photos to train on. Check the names in both folders.")
    train, kept = split(matched.pairs)
    source = StudioPairs(train, levels, batch, seed)
    about = {"pairs": len(train), "validation pairs": len(kept), "left out": matched.problems}
    return Data(source, lambda: whole_pairs(kept, seed), len(train), about)


def whole_pairs(pairs: Sequence[Pair], seed: int) -> list[Batch]:
    """Validation batches of one pair each, crops whole."""
    made = StudioPairs(pairs, (1,), 1, seed)
    shape = Shape(1, (VALIDATION_SIDE, VALIDATION_SIDE), VALIDATION_SIDE)
    rngs = [np.random.default_rng((seed, index)) for index in range(len(pairs))]
    return [stack([made.sample(shape, rng)], 1) for rng in rngs]
