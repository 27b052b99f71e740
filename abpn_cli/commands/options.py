"""The options that several verbs share, and their values checked: one name, one meaning."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..cores import available
from ..errors import UsageError, shown

STDOUT = Path("-")
BYTES_PER_UNIT = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
PIXELS_PER_UNIT = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
FEWEST_PIXELS = 10**4  # fewer: the unit was forgotten
MOST_WORKERS = 8  # processes that decode; each takes 60 MB before it has a photo
SMALLEST_MEMORY = 256 * 2**20  # below, not even a phone's photo fits


class Format(StrEnum):
    """Output formats; `same` keeps JPEG and 8-bit PNG, and makes everything else 16-bit TIFF."""

    SAME = "same"
    JPEG = "jpeg"
    PNG = "png"
    TIFF = "tiff"


class Compression(StrEnum):
    """TIFF compression."""

    NONE = "none"
    DEFLATE = "deflate"
    ZSTD = "zstd"


class JpegMode(StrEnum):
    """How a JPEG becomes a JPEG: only what was retouched is encoded, or the whole."""

    KEEP = "keep-untouched"
    REENCODE = "reencode"


class Precision(StrEnum):
    """Number format of the convolutions; the last blend is always float32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BF16 = "bf16"
    FP16 = "fp16"


class RawSpace(StrEnum):
    """Colour space that camera raw files are developed into."""

    SRGB = "srgb"
    PROPHOTO = "prophoto"


class OverwriteChoice(StrEnum):
    """When an output that exists is written again."""

    NEVER = "never"
    CHANGED = "changed"
    ALWAYS = "always"


class Prefer(StrEnum):
    """Which of a RAW+JPEG pair is done."""

    RAW = "raw"
    JPEG = "jpeg"


# Not readable=True, Typer's default, for any path: a photo that cannot be read costs itself, not
# the run, and what cannot be read otherwise has an exit code of ours.
Photos = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH",
        help="Photos, or folders of them (searched through, tree kept).",
        readable=False,
    ),
]


def folder(text: str) -> Path:
    """Read a folder's name; an empty one, as a script's unset variable gives it, is none.

    Raises:
        typer.BadParameter: it is empty.
    """
    if not text:
        raise typer.BadParameter("the name of the folder is empty.")
    return Path(text)


Out = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="DIR", help="Folder for the outputs.", parser=folder),
]
Only = Annotated[
    Path | None,
    typer.Option(
        metavar="MASK",
        help="Retouch only where this file, or folder, is white.",
        readable=False,
    ),
]
Protect = Annotated[
    Path | None,
    typer.Option(
        metavar="MASK",
        help="Leave alone where this file, or folder, is white.",
        readable=False,
    ),
]
FormatOption = Annotated[
    Format,
    typer.Option("--format", help="same keeps JPEG and 8-bit PNG; the rest becomes 16-bit TIFF."),
]
JpegOption = Annotated[
    JpegMode | None,
    typer.Option(
        "--jpeg",
        help="How a JPEG becomes one: by encoding only what was retouched, or the whole. "
        "[default: keep-untouched; with --upright reencode]",
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(metavar="1..100", help="JPEG quality of what is encoded whole. [default: 95]"),
]
TiffCompression = Annotated[Compression, typer.Option(help="TIFF compression; all are lossless.")]
Upright = Annotated[bool, typer.Option("--upright", help="Turn the pixels themselves upright.")]
PreferOption = Annotated[
    Prefer | None, typer.Option("--prefer", help="Which of a RAW+JPEG pair to do.")
]
Weights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Weights to use in place of the task's own.", readable=False),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; never falls back silently.")]
PrecisionOption = Annotated[Precision, typer.Option(help="Number format of the convolutions.")]
KeepMoles = Annotated[
    bool,
    typer.Option(
        "--keep-moles/--no-keep-moles", help="With `face`: moles are no blemishes, and stay."
    ),
]
Detail = Annotated[
    bool,
    typer.Option(
        "--detail", help="Take finer creases: a larger thumbnail for the network; slower."
    ),
]
PairFolders = Annotated[
    tuple[Path, Path] | None,
    typer.Option(metavar="BEFORE AFTER", help="Two folders of the same photos."),
]
PhotoFolder = Annotated[Path | None, typer.Option(metavar="DIR", help="Photos to make pairs from.")]
LabelMaps = Annotated[
    Path | None, typer.Option(metavar="NPZ", help="Label maps by photo path; 3 is cloth.")
]
ClothList = Annotated[
    Path | None, typer.Option("--list", metavar="FILE", help="Which of --photos are cloth.")
]
NothingList = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Which of --photos need no retouching.")
]
NothingPhotos = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="What needs no retouching: with --photos a list of them, with --pairs a folder.",
    ),
]
MaxMemory = Annotated[
    str, typer.Option(metavar="SIZE", help="Memory the run may use: 800M, 4G, 2GiB.")
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs", metavar="N", help="Cores to use, decoders and encoders included. [default: all]"
    ),
]
MaxPixels = Annotated[
    str, typer.Option(metavar="COUNT", help="Refuse photos of more pixels: 250M, 1.2G.")
]
AcceptDamaged = Annotated[
    bool,
    typer.Option("--accept-damaged", help="Do what is left of damaged photos, with a warning."),
]
RawSpaceOption = Annotated[
    RawSpace, typer.Option(help="Colour space that camera raw files are developed into.")
]
OverwriteOption = Annotated[
    OverwriteChoice,
    typer.Option(help="Write an output that exists: never, when it is out of date, or always."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Tell what would be done; write nothing.")
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help="Write one JSON document; - for stdout.", readable=False
    ),
]
Ndjson = Annotated[bool, typer.Option("--ndjson", help="One JSON event per line on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Tell errors only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Tell warnings, skips, weights and device too.")
]


def task_names(text: str) -> tuple[str, ...]:
    """Read `--task`: names separated by commas, in an order of ours, as theirs changes nothing.

    Raises:
        UsageError: no name, one that could not be a file's, or one named twice.
    """
    names = [name.strip() for name in text.split(",")]
    if names == [""]:
        raise UsageError(f"--task '{text}': names no task. `abpn weights` lists them.")
    if "" in names:
        raise UsageError(f"--task {text}: there is a comma too many. Write it as cloth,face.")
    for name in names:
        check_task_name(name)
    if len(set(names)) < len(names):
        raise UsageError(f"--task {text}: names a task twice. Name each once.")
    return tuple(sorted(names))


def one_task(text: str) -> str:
    """Read `--task` where one alone can be meant.

    Raises:
        UsageError: as `task_names`, or there are several.
    """
    names = task_names(text)
    if len(names) > 1:
        raise UsageError(f"--task {text}: here one task is meant. Name one, as in {names[0]}.")
    return names[0]


def check_task_name(name: str) -> None:
    """Refuse a task's name that could not be the name of its weights file.

    Raises:
        UsageError: it is hidden, or a path.
    """
    check_file_name("--task", name, "task")


def check_file_name(option: str, name: str, kind: str) -> None:
    """Refuse a name that could not be that of a weights file; kind: what weights are called.

    Raises:
        UsageError: it is hidden, or a path.
    """
    if Path(name).name != name or name.startswith(".") or not name.isprintable():
        raise UsageError(
            f"{option} {shown(name)}: is not the name of a {kind}. `abpn weights` lists them; "
            "a file is named with --weights."
        )


def memory_bytes(text: str) -> int:
    """Read `--max-memory`: 4G, 800M, 2GiB, 1.5g; units are powers of 1024.

    Raises:
        UsageError: not a size, or too small for any photo.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?", text.strip().upper())
    if match is None:
        raise UsageError(f"--max-memory {text}: is not a size. Write it as 800M, 4G or 2GiB.")
    size = int(float(match[1]) * BYTES_PER_UNIT[match[2]])
    if size < SMALLEST_MEMORY:
        raise UsageError(f"--max-memory {text}: is too small. Give it at least 256M.")
    return size


def pixel_count(text: str) -> int:
    """Read `--max-pixels`: 250M, 250MP, 1.2G; units are powers of 1000.

    Raises:
        UsageError: not a count, or too small for any photo.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)P?X?", text.strip().upper())
    if match is None:
        raise UsageError(f"--max-pixels {text}: is not a count. Write it as 250M or 1.2G.")
    count = int(float(match[1]) * PIXELS_PER_UNIT[match[2]])
    if count < FEWEST_PIXELS:
        raise UsageError(f"--max-pixels {text}: no photo is that small. Write it as 250M or 1.2G.")
    return count


def check_range(option: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside [low, high], NaN included.

    Raises:
        UsageError: names the option and its range.
    """
    if not low <= value <= high:
        told = f"{value:.15g}"  # as given: 1.0000001 is not to be told as 1
        raise UsageError(f"{option} {told}: is out of range. Give a number in {low:g}..{high:g}.")


def check_folder(option: str, folder: Path) -> None:
    """Refuse what is not a folder.

    Raises:
        UsageError: it is not.
    """
    if not folder.is_dir():
        raise UsageError(f"{option} {shown(folder)}: is not a folder. Check the path.")


def core_count(jobs: int | None) -> int:
    """Return `--jobs`, or how many cores there are.

    Raises:
        UsageError: below 1.
    """
    if jobs is None:
        return available()
    if jobs < 1:
        raise UsageError(f"--jobs {jobs}: is out of range. Give a number from 1 up.")
    return jobs


def worker_count(jobs: int | None) -> int:
    """Return how many photos are decoded at once: each takes a process, and memory.

    Raises:
        UsageError: `--jobs` is below 1.
    """
    return min(core_count(jobs), MOST_WORKERS)


def check_voices(quiet: bool, verbose: bool, json: Path | None, ndjson: bool) -> None:
    """Refuse options that contradict each other.

    Raises:
        UsageError: names both.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other. Leave one out.")
    if ndjson and json == STDOUT:
        raise UsageError(
            "--ndjson and --json - would mix two reports on stdout. Give --json a file."
        )
