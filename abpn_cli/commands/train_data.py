"""What `abpn train` trains on: a studio's pairs, or photos that pairs are made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from . import options

if TYPE_CHECKING:
    from ..training.data import Data, PhotoSet

ENOUGH = 50  # pairs; a style is not to be learnt from fewer


def data_of(
    pairs: tuple[Path, Path] | None,
    photos: Path | None,
    masks: Path | None,
    lists: tuple[Path | None, Path | None, Path | None],
    task: str,
    levels: tuple[int, ...],
    batch: int,
    seed: int,
    tell: Callable[[str], None],
) -> Data:
    """Settle what to train on.

    Raises:
        UsageError: neither or both of --pairs and --photos, or a path that is not there.
    """
    from ..training.data import photo_data, studio_data
    from ..training.pairs import match_pairs

    if (pairs is None) == (photos is None):
        raise UsageError("Give either --pairs BEFORE AFTER or --photos DIR.")
    if pairs is not None:
        for folder in pairs:
            options.check_folder("--pairs", folder)
        matched = match_pairs(*pairs)
        for problem in matched.problems:
            tell(f"left out: {problem}")
        count = len(matched.pairs)
        if 0 < count < ENOUGH:
            pairs_ = "1 pair" if count == 1 else f"{count} pairs"
            tell(f"warning: {pairs_}; a style wants {ENOUGH} and more")
        idle = idle_photos(lists[1], tell) if count else []
        return studio_data(matched, levels, batch, seed, idle)
    assert photos is not None
    options.check_folder("--photos", photos)
    train, held_out = photo_sets(photos, masks, lists, task, tell)
    return photo_data(train, held_out, levels, batch, seed)


def idle_photos(folder: Path | None, tell: Callable[[str], None]) -> list[Path]:
    """Photos beside a studio's pairs that need nothing; without any, what to expect is told.

    Raises:
        UsageError: it is not a folder.
    """
    from ..training.data import photos_under

    if folder is None:
        tell("warning: no --nothing DIR: photos unlike the pairs may not be left alone")
        return []
    options.check_folder("--nothing", folder)
    return _readable(photos_under(folder), tell)


def photos_apart(
    root: Path, listed: Path | None, held_out: Path | None, tell: Callable[[str], None]
) -> tuple[list[Path], list[Path]]:
    """Photos under a folder to train on, and those held out: without a list, a tenth by name.

    listed: which of them there are at all. Those that cannot be read are told and left out.

    Raises:
        UsageError: a list cannot be used.
    """
    from ..training.data import photos_under, read_list, split_by_name

    found = read_list(root, listed) if listed else photos_under(root)
    kept = read_list(root, held_out) if held_out else split_by_name(found)
    used = set(kept)
    train_on = [path for path in found if path not in used]
    return _readable(train_on, tell), _readable(kept, tell)


def _readable(paths: Sequence[Path], tell: Callable[[str], None]) -> list[Path]:
    """Leave out what cannot be read, and tell it."""
    from ..training.data import readable

    good, problems = readable(paths)
    for problem in problems:
        tell(f"left out: {problem}")
    return good


def photo_sets(
    photos: Path,
    masks: Path | None,
    lists: tuple[Path | None, Path | None, Path | None],
    task: str,
    tell: Callable[[str], None],
) -> tuple[PhotoSet, PhotoSet]:
    """Photos to train on and photos held out; without lists, a tenth is held out by name.

    Photos that cannot be read, and portraits whose skin is not known, are told and left out.

    Raises:
        UsageError: a list or the masks cannot be used.
    """
    from ..training.data import FACE, PhotoSet, check_masks, read_list, with_skin

    subjects, nothing_list, held_out = lists
    if masks is not None:
        check_masks(masks)
    nothing = _readable(read_list(photos, nothing_list), tell) if nothing_list else []
    parts = photos_apart(photos, subjects, held_out, tell)
    sets = [PhotoSet(photos, part, nothing, masks, task) for part in parts]
    if task == FACE:
        for at, photo_set in enumerate(sets):
            sets[at], problems = with_skin(photo_set)
            for problem in problems:
                tell(f"left out: {problem}")
    return sets[0], sets[1]
