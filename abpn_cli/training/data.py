"""What a run trains on and is judged by: lists of photos, sources of pairs, validation sets."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.npyio import NpzFile

from ..codecs import decode, probe
from ..errors import NoPhotoError, PhotoError, UsageError, shown
from ..nets.abpn import choose_levels
from .blemishes import blemished, blotched
from .cloth_pairs import ClothPairs, Recipe, wrinkle_bank
from .creases import (
    Transplant,
    crumple,
    draped_cloth,
    ridged_noise,
    ripples,
    strokes,
    tension_folds,
)
from .face_pairs import SKIN, FacePairs, FaceRecipe
from .made_pairs import Labels, MadePairs
from .pairs import (
    LONGEST_PAIR,
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
from .sores import acne, domed, patched, scarred

VALIDATION_SIDE = 256  # px: thumbnails of validation pairs
PAINTED = Recipe(
    nothing=0,
    surfaces=0,
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
NOTHING = Recipe(nothing=1, surfaces=0)
# what `face` learns to take away; small spots, which most faces have, as often as all else
BLEMISHES = (blemished, blemished, blemished, blemished, domed, acne, scarred, patched)
BLEMISHED = FaceRecipe(nothing=0, clean=0, real=0, on_healed=1, transplanted=0, shiny=0)
FACELESS = FaceRecipe(nothing=1)
FACE = "face"  # the task whose pairs are made of portraits
FINISHED = 0.15  # share of a studio's samples that are retouched photos, to be left alone
IDLE = 0.3  # share of those from photos with nothing to do, where there are any
DECODERS = 4  # photos decoded at once where only their faults are looked for


class Data(NamedTuple):
    """What to train on and what to judge by; `about` goes onto the card.

    fine: batches of held-out photos with nothing to do, of a studio's own.
    """

    source: Source
    validation: Callable[[], list[Batch]]
    photos: int
    about: Mapping[str, Any]
    fine: Callable[[], list[Batch]] = list


@dataclass(frozen=True)
class PhotoSet:
    """Photos to make pairs from: files under `root`, some with the subject, some without.

    subjects: photos of cloth, or portraits where the task is FACE; nothing: with nothing to do.
    """

    root: Path
    subjects: Sequence[Path]
    nothing: Sequence[Path]
    masks: Path | None
    task: str = "cloth"

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


def held_out_pairs(photos: PhotoSet, nothing: bool = False) -> MadePairs:
    """Pairs to judge by, from a generator that training never sees; or of idle photos alone."""
    shared = (photos.subjects, photos.nothing, photos.labels)
    if photos.task == FACE:
        return FacePairs(*shared, [blotched], FACELESS if nothing else BLEMISHED, 4, 1)
    return ClothPairs(*shared, [tension_folds], NOTHING if nothing else PAINTED, 4, 1)


def held_out_batches(made: MadePairs, count: int, seed: int) -> list[Batch]:
    """Cut batches to judge by: crops are whole photos.

    Half the batches have one halving, half two; four photos each.
    """
    batches = []
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        shape = Shape(1 + index % 2, (VALIDATION_SIDE, VALIDATION_SIDE), VALIDATION_SIDE)
        batches.append(stack([made.sample(shape, rng) for _ in range(4)], shape.levels))
    return batches


def with_skin(photos: PhotoSet) -> tuple[PhotoSet, list[str]]:
    """Leave out portraits without face skin in their label map; a line for each."""
    good, problems = [], []
    for path in photos.subjects:
        skin = photos.labels(path, SKIN)
        if skin is not None and skin.any():
            good.append(path)
        else:
            problems.append(f"{shown(path)}: no label map with face skin")
    return replace(photos, subjects=good), problems


def photo_data(
    train: PhotoSet, held_out: PhotoSet, levels: Sequence[int], batch: int, seed: int
) -> Data:
    """Data made on the fly from photos.

    Raises:
        NoPhotoError: no photo of the subject, to train on or held out.
    """
    if not train.subjects:
        raise NoPhotoError("No photo to train on. Check --photos, --list and --masks.")
    if not held_out.subjects:
        raise NoPhotoError("No photo to validate on. Check --held-out and --masks.")
    source, made_by = _source(train, levels, batch, seed)
    about = {
        "photos": len(train.subjects),
        "photos with nothing to do": len(train.nothing),
        "held out": len(held_out.subjects),
        **made_by,
    }
    judged = held_out_pairs(held_out)
    return Data(source, lambda: held_out_batches(judged, 6, 1), len(train.subjects), about)


def _source(
    photos: PhotoSet, levels: Sequence[int], batch: int, seed: int
) -> tuple[Source, dict[str, Any]]:
    """Pairs to train on, and how they are made."""
    if photos.task == FACE:
        looks = FaceRecipe()
        faces = FacePairs(
            photos.subjects, photos.nothing, photos.labels, BLEMISHES, looks, batch, seed, levels
        )
        return faces, {"blemishes": [b.__name__ for b in BLEMISHES], "recipe": asdict(looks)}
    creases: list[Any] = [ridged_noise, draped_cloth, strokes, crumple, ripples]
    bank = wrinkle_bank(photos.subjects, photos.labels)
    if bank.patches:
        creases.append(Transplant(bank))
    recipe = Recipe()
    cloth = ClothPairs(
        photos.subjects, photos.nothing, photos.labels, creases, recipe, batch, seed, levels
    )
    return cloth, {
        "creases": [getattr(c, "__name__", type(c).__name__) for c in creases],
        "wrinkle patches": len(bank.patches),
        "recipe": asdict(recipe),
    }


def studio_data(
    matched: Matched,
    levels: Sequence[int],
    batch: int,
    seed: int,
    nothing: Sequence[Path] = (),
) -> Data:
    """Data from a studio's own before and after photos, a tenth kept for validation.

    nothing: photos that need nothing, of any kind; a tenth of them is kept too.

    Raises:
        NoPhotoError: no pair is fit to train on.
    """
    if not matched.pairs:
        raise NoPhotoError("No pair of photos to train on. Check the names in both folders.")
    train, kept = split(matched.pairs)
    if len(levels) > 1:
        levels = own_levels(train)
    fine = split_by_name(nothing) if len(nothing) > 1 else []
    rest = [path for path in nothing if path not in fine]
    source = StudioPairs(train, levels, batch, seed, FINISHED, (rest, IDLE))
    about = {
        "pairs": len(train),
        "validation pairs": len(kept),
        "halvings": list(levels),
        "photos with nothing to do": len(rest),
        "held out of those": len(fine),
        "left out": matched.problems,
        "shares": {"retouched photos": FINISHED, "nothing to do": source.idle},
    }
    idle = [*(pair.retouched for pair in kept), *fine]
    judged = [*kept, *(Pair(photo, photo) for photo in idle)]
    return Data(
        source,
        lambda: whole_pairs(judged, seed),
        len(train),
        about,
        lambda: whole_pairs([Pair(photo, photo) for photo in fine], seed),
    )


def own_levels(pairs: Sequence[Pair]) -> tuple[int, ...]:
    """Halvings that `abpn retouch` uses on photos of these sizes, those of `--detail` after."""
    longest = median(min(LONGEST_PAIR, max(probe(pair.original).size)) for pair in pairs)
    levels = choose_levels((round(longest), 1))
    return (levels, levels - 1) if levels > 1 else (1,)


def whole_pairs(pairs: Sequence[Pair], seed: int) -> list[Batch]:
    """Validation batches of one pair each, crops whole."""
    shape = Shape(1, (VALIDATION_SIDE, VALIDATION_SIDE), VALIDATION_SIDE)
    batches: list[Batch] = []
    for index, pair in enumerate(pairs):
        made = StudioPairs([pair], (1,), 1, seed)
        sample = made.sample(shape, np.random.default_rng((seed, index)), whole=True)
        batches.append(stack([sample], 1))
    return batches
