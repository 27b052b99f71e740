"""From photos found to jobs: names, formats, collisions, skips; settled before anything starts.

The file system is read here and never written.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import TargetError, UsageError, shown
from ..photo import FormatName, Job
from .sources import MASK_ENDING, NAME_BYTES, Source, find_sidecars

SUFFIXES: Mapping[FormatName, tuple[str, ...]] = {  # the first is the one we give
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
}
LISTED = 20  # collisions shown before the rest is only counted


class Naming(NamedTuple):
    """How the outputs of a run are called.

    out:          the folder they go to, or None: beside each photo.
    suffixes:     suffixes that are replaced; any other ending belongs to the name.
    format_of:    the format of a photo's output.
    ending:       put behind the name ("_mask").
    keep_mask:    whether each job keeps a mask beside its output.
    """

    out: Path | None
    suffixes: frozenset[str]
    format_of: Callable[[Source], FormatName]
    ending: str = ""
    keep_mask: bool = False


def same_format(source: Source, bits: Callable[[Path], int]) -> FormatName:
    """Choose the output format that loses nothing: 8-bit JPEG and PNG as they are, else TIFF.

    Args:
        source: the photo; where its content says nothing, its suffix does.
        bits: bits per sample of a file; asked for JPEG and PNG only.
    """
    suffix = source.path.suffix.lower()
    if source.kind in ("jpeg", "png") and bits(source.path) > 8:
        return "tiff"
    if source.kind == "jpeg" or (not source.kind and suffix in SUFFIXES["jpeg"]):
        return "jpeg"
    is_png = source.kind == "png" or (not source.kind and suffix in SUFFIXES["png"])
    return "png" if is_png else "tiff"


def make_jobs(sources: Iterable[Source], naming: Naming) -> list[Job]:
    """Settle what is read and what is written, in the order of the sources.

    Raises:
        UsageError: two photos for one output, an output that would replace a photo, or one that
            would leave the output folder.
    """
    jobs = [_job(source, naming) for source in sources]
    refuse_collisions(jobs)
    if naming.out is not None:
        refuse_linked_folders(jobs, naming.out)
    refuse_overwritten_sources(jobs)
    return jobs


def _job(source: Source, naming: Naming) -> Job:
    format_ = naming.format_of(source)
    folder = source.path.parent if naming.out is None else naming.out / source.relative.parent
    stem, suffix = source.path.name, ""
    if source.path.suffix.lower() in naming.suffixes:
        stem, suffix = source.path.stem, source.path.suffix
    if naming.ending or suffix.lower() not in SUFFIXES[format_]:
        suffix = SUFFIXES[format_][0]
    short = _shortened(stem, len(os.fsencode(naming.ending + suffix)) + len(".xmp"))
    target = folder / f"{short}{naming.ending}{suffix}"
    mask = folder / f"{_shortened(short, len(MASK_ENDING) + 4)}{MASK_ENDING}.png"
    return Job(
        source=source.path,
        target=target,
        relative=source.relative,
        format=format_,
        sidecars=() if naming.ending else _sidecars(source.path, target),
        mask=mask if naming.keep_mask else None,
        warnings=() if short == stem else (f"the name was too long: written as {target.name}",),
    )


def _shortened(stem: str, room: int) -> str:
    """Cut a name so that `room` more bytes fit behind it, never inside a character."""
    while len(os.fsencode(stem)) + room > NAME_BYTES:
        stem = stem[:-1]
    return stem


def _sidecars(source: Path, target: Path) -> tuple[tuple[Path, Path], ...]:
    """Pair each sidecar with its place beside the target: IMG.xmp, IMG.tif.xmp."""
    pairs = []
    for sidecar in find_sidecars(source):
        owner = target.name if sidecar.stem == source.name else target.stem
        pairs.append((sidecar, target.with_name(owner + sidecar.suffix)))
    return tuple(pairs)


def refuse_collisions(jobs: Iterable[Job]) -> None:
    """Refuse two photos for one output, names that differ only in case included.

    Raises:
        UsageError: lists every clash.
    """
    claims: dict[str, list[tuple[Path, Path]]] = defaultdict(list)
    for job in jobs:
        for written in filter(None, (job.target, job.mask)):
            name = unicodedata.normalize("NFC", os.fspath(written)).casefold()
            claims[name].append((job.source, written))
    clashes = [
        f"{' and '.join(shown(source) for source, _ in rivals)} -> {shown(rivals[0][1])}"
        for rivals in claims.values()
        if len(rivals) > 1
    ]
    if clashes:
        raise UsageError(
            _listed(
                "more than one photo for one output (names equal but for case count as one). "
                "Rename one of each, or retouch them into different folders",
                clashes,
            )
        )


def refuse_overwritten_sources(jobs: Sequence[Job]) -> None:
    """Refuse outputs that would take the place of a photo of this run.

    Raises:
        UsageError: lists every such photo.
    """
    _refuse_replaced(jobs, (job.source for job in jobs), "these photos")


def refuse_overwritten_masks(jobs: Sequence[Job], masks: Iterable[Path], option: str) -> None:
    """Refuse outputs that would take the place of a mask of this run.

    option: which named the masks, for the words.

    Raises:
        UsageError: lists every such mask.
    """
    _refuse_replaced(jobs, masks, f"these masks of {option}")


def _refuse_replaced(jobs: Sequence[Job], read: Iterable[Path], what: str) -> None:
    files = {_identity(path) for path in read} - {None}
    struck = [
        shown(written)
        for job in jobs
        for written in filter(None, (job.target, job.mask))
        if _identity(written) in files
    ]
    if struck:
        raise UsageError(_listed(f"{what} would be overwritten. Choose another --out", struck))


def refuse_linked_folders(jobs: Iterable[Job], out: Path) -> None:
    """Refuse outputs that a link inside the output folder would lead elsewhere.

    Raises:
        UsageError: lists every such photo.
    """
    links: dict[Path, Path | None] = {}
    struck = []
    for job in jobs:
        folder = job.target.parent
        if folder not in links:
            links[folder] = linked_folder(out, job.target)
        link = links[folder]
        if link is not None:
            struck.append(f"{shown(job.target)} through {shown(link)}")
    if struck:
        raise UsageError(
            _listed(
                "links in --out would lead these outputs elsewhere. Replace the links by folders, "
                "or choose another --out",
                struck,
            )
        )


def linked_folder(out: Path, target: Path) -> Path | None:
    """Find a folder on the way from the output folder to an output that is a link."""
    for folder in target.relative_to(out).parents:
        if folder != Path() and (out / folder).is_symlink():
            return out / folder
    return None


def through(link: Path) -> tuple[str, str]:
    """Return fault and remedy of a photo whose output would go through a link."""
    return (
        f"its output would go through the link {shown(link)}, out of --out",
        "Replace the link by a folder, or choose another --out.",
    )


def written_by(job: Job) -> list[Path]:
    """List the files that a job writes: the photo, its mask, its sidecars."""
    companions = [job.mask] if job.mask is not None else []
    return [job.target, *companions, *(written for _, written in job.sidecars)]


def _identity(path: Path) -> tuple[int, int] | None:
    """Tell files apart however they are spelled; None for one that does not exist."""
    try:
        status = path.stat()
    except OSError:  # not there, or not readable: then nothing is replaced either
        return None
    return status.st_dev, status.st_ino


def settle_twins(sources: Sequence[Source], prefer: Literal["raw", "jpeg"] | None) -> list[Source]:
    """Keep one of each RAW+JPEG pair: same folder, same name but for the suffix.

    Raises:
        UsageError: there are pairs and no preference; lists them.
    """
    groups: dict[tuple[Path, str], list[Source]] = defaultdict(list)
    for source in sources:
        groups[source.path.parent, source.path.stem.casefold()].append(source)
    twins = [
        group for group in groups.values() if {"raw", "jpeg"} <= {source.kind for source in group}
    ]
    if not twins:
        return list(sources)
    if prefer is None:
        pairs = [" and ".join(shown(source.path) for source in group) for group in twins]
        raise UsageError(
            _listed("RAW and JPEG of the same photo. Add --prefer raw or --prefer jpeg", pairs)
        )
    left_out = "jpeg" if prefer == "raw" else "raw"
    dropped = {source.path for group in twins for source in group if source.kind == left_out}
    return [source for source in sources if source.path not in dropped]


def refuse_out(paths: Iterable[Path], out: Path) -> None:
    """Refuse an output folder that is, or lies inside, a folder of photos.

    Raises:
        UsageError: a second run would take the outputs for photos, or replace the photos.
    """
    real_out = out.resolve()
    for path in paths:
        folder = (path if path.is_dir() else path.parent).resolve()
        if real_out == folder:
            raise UsageError(
                f"--out {shown(out)}: is the folder of the photos themselves. "
                "Name another folder; abpn never replaces a photo."
            )
        if path.is_dir() and real_out.is_relative_to(folder):
            raise UsageError(
                f"--out {shown(out)}: lies inside {shown(path)}, so the next run would take "
                "its outputs for photos. Name a folder beside it."
            )


def check_out(out: Path) -> None:
    """Check, writing nothing, that files can be put under a folder that may not exist yet.

    Raises:
        TargetError: a file is in the way, or permission is missing.
    """
    place = out
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    remedy = "Choose another place, or change its permissions."
    if not place.is_dir():
        raise TargetError(out, f"{shown(place)} is not a folder", remedy)
    if not os.access(place, os.W_OK | os.X_OK):
        raise TargetError(out, f"no permission to write in {shown(place)}", remedy)


def _listed(headline: str, rows: Sequence[str]) -> str:
    """Put rows under a headline, the surplus counted."""
    shown_rows = [f"  {row}" for row in rows[:LISTED]]
    if len(rows) > LISTED:
        shown_rows.append(f"  and {len(rows) - LISTED} more")
    return "\n".join([f"{headline}:", *shown_rows])
