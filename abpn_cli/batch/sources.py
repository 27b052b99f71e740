"""Which photos a shoot holds: files and folders, walked in order, everything else passed by."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import NoPhotoError, UsageError, shown

SIDECAR_SUFFIXES = (".xmp", ".XMP")
NAME_BYTES = 255  # longest file name that common file systems take
PHOTO_KINDS = frozenset(["jpeg", "png", "tiff", "raw", "heic"])  # a shoot's; a GIF is none
OTHER_SUFFIXES: Mapping[str, str] = {  # pictures that their content does not, or not always, tell
    ".avif": "avif", ".bmp": "bmp", ".exr": "exr", ".gif": "gif", ".hdr": "hdr", ".jxl": "jxl",
    ".j2c": "jp2", ".j2k": "jp2", ".jp2": "jp2", ".jpf": "jp2", ".jpx": "jp2", ".jxr": "jxr",
    ".pbm": "pnm", ".pgm": "pnm", ".pnm": "pnm", ".ppm": "pnm", ".psb": "psd", ".psd": "psd",
    ".tga": "tga", ".wdp": "jxr", ".webp": "webp", ".xcf": "xcf",
}  # fmt: skip
MASK_ENDING = "_mask"  # NAME_mask.png and NAME_mask.jpg are what `abpn mask` writes


KIND_NAMES: Mapping[str, str] = {
    "exr": "OpenEXR", "hdr": "Radiance HDR", "jp2": "JPEG 2000", "jxl": "JPEG XL",
    "jxr": "JPEG XR", "webp": "WebP",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A photo found.

    path:     the file; relative: its path inside the folder that was given (its name for a file).
    kind:     what its content is ("jpeg", "png", "tiff", "raw", …), "" where it cannot be told.
    """

    path: Path
    relative: Path
    kind: str


def find_sources(
    paths: Iterable[Path],
    sniff: Callable[[Path], str | None],
    suffixes: Collection[str],
    not_read: Counter[str] | None = None,
) -> list[Source]:
    """Find the photos under the paths, in the order given, each folder sorted by name.

    A file is a photo by its content (PHOTO_KINDS), or, so that a damaged one is reported and not
    passed by, by its suffix; a file named by the user is one in any case. Hidden files and
    folders are left alone, links to folders are not followed, a file met twice counts once.

    Args:
        paths: files and folders.
        sniff: names the kind of a file by its content, or None.
        suffixes: lower-case suffixes that photos have.
        not_read: filled with how many pictures are passed by, by kind ("webp", "gif", …).

    Raises:
        UsageError: a path that does not exist, a folder that cannot be read.
        NoPhotoError: nothing found.
    """
    given = list(paths)
    found: dict[Path, Source] = {}
    others: dict[Path, str] = {}
    for path in given:
        for file, relative in _files(path):
            kind = sniff(file)
            known = kind in PHOTO_KINDS or file.suffix.lower() in suffixes
            if known or file == path:
                found.setdefault(file.absolute(), Source(file, relative, kind or ""))
            elif other := kind or OTHER_SUFFIXES.get(file.suffix.lower()):
                others[file.absolute()] = other
    passed_by = Counter(kind for file, kind in others.items() if file not in found)
    if not found:
        places = ", ".join(shown(path) for path in given)
        told = f" ({not_read_words(passed_by)})" if passed_by else ""
        raise NoPhotoError(
            f"{places}: no photo found{told}. Name a folder or file that holds photos."
        )
    if not_read is not None:
        not_read.update(passed_by)
    return list(found.values())


def not_read_words(counts: Mapping[str, int]) -> str:
    """Tell people of pictures that are passed by, the most frequent kind first; counts: by kind."""
    total = sum(counts.values())
    kinds = ", ".join(
        f"{count} {KIND_NAMES.get(kind, kind.upper())}"
        for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
    are = "file is of a kind" if total == 1 else "files are of kinds"
    return f"{total} {are} that abpn does not read: {kinds}"


def _files(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield every file at or under a path, with its path inside it."""
    if not os.path.lexists(path):
        raise UsageError(f"{shown(path)}: no such file or folder. Check the spelling.")
    if not path.is_dir():
        yield path, Path(path.name)
        return
    for folder, folders, names in os.walk(path, onerror=_refuse_folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):  # hidden, half-written by abpn, or macOS's "._" twins
                file = Path(folder, name)
                yield file, file.relative_to(path)


def _refuse_folder(error: OSError) -> None:
    """Stop at a folder that cannot be read: its photos would silently be left out."""
    raise UsageError(
        f"{shown(error.filename)}: the folder cannot be read ({error.strerror}). "
        "Give yourself permission, or leave it out."
    ) from error


def without_masks(sources: Iterable[Source], is_mask: Callable[[Path], bool]) -> list[Source]:
    """Leave out masks that abpn wrote: NAME_mask.png (or .jpg) beside a photo called NAME.

    Args:
        sources: as found.
        is_mask: asked only about files whose name says mask: does the content say so too?
    """
    kept = list(sources)
    stems = {source.path.with_suffix("") for source in kept}
    return [
        source
        for source in kept
        if not (
            source.path.stem.endswith(MASK_ENDING)
            and source.path.with_name(source.path.stem.removesuffix(MASK_ENDING)) in stems
            and is_mask(source.path)
        )
    ]


def find_sidecars(photo: Path) -> list[Path]:
    """Find the sidecars of a photo: IMG.xmp and IMG.jpg.xmp beside IMG.jpg, where they exist."""
    found: list[Path] = []
    for name in (photo.stem, photo.name):
        candidates = (name + suffix for suffix in SIDECAR_SUFFIXES)
        possible = [photo.with_name(c) for c in candidates if len(os.fsencode(c)) <= NAME_BYTES]
        there = [file for file in possible if os.access(file, os.F_OK)]
        found.extend(there[:1])  # .XMP may be .xmp again
    return found


def find_masks(
    folder: Path, relatives: Iterable[Path], suffixes: Collection[str]
) -> list[Path | None]:
    """Find the mask of each photo in a folder of masks: same relative path, any photo suffix.

    NAME_mask.png, as `abpn mask` names them, counts where there is no NAME.

    Raises:
        UsageError: more than one file fits a photo, or a folder cannot be read.
    """
    listings: dict[Path, dict[str, list[Path]]] = {}
    found: list[Path | None] = []
    for relative in relatives:
        place = folder / relative.parent
        if place not in listings:
            listings[place] = _masks_in(place, suffixes)
        listing = listings[place]
        fitting = listing.get(relative.stem) or listing.get(relative.stem + MASK_ENDING) or []
        if len(fitting) > 1:
            names = ", ".join(shown(file) for file in fitting)
            raise UsageError(f"{names}: more than one mask for {shown(relative)}. Keep one.")
        found.append(fitting[0] if fitting else None)
    return found


def _masks_in(place: Path, suffixes: Collection[str]) -> dict[str, list[Path]]:
    """List the files of one folder that may be masks, by name without suffix."""
    listing: dict[str, list[Path]] = {}
    try:
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            file = place / entry.name
            if file.suffix.lower() in suffixes and entry.is_file():
                listing.setdefault(file.stem, []).append(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}  # a photo without a mask, which is told
    except OSError as error:
        _refuse_folder(error)
    return listing
