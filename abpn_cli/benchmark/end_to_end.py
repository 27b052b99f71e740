"""The whole command on a folder of photos, against decoding and encoding alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from time import perf_counter
from typing import Any, NamedTuple

from .. import codecs
from ..errors import AbpnError, NoPhotoError, UsageError
from .processes import Ran, Worker, run_abpn, workers

HELP_RUNS = 5


class Kind(NamedTuple):
    """A way from file to file.

    source: what the photos are; format: what becomes of them; options: the command's.
    """

    name: str
    source: str
    format: str
    options: tuple[str, ...]


KINDS = (
    Kind("JPEG → JPEG, untouched blocks kept", "jpeg", "jpeg", ("--jpeg", "keep-untouched")),
    Kind("JPEG → JPEG, encoded whole", "jpeg", "jpeg", ("--jpeg", "reencode")),
    Kind("JPEG → TIFF16", "jpeg", "tiff", ("--format", "tiff")),
    Kind("TIFF16 → TIFF16", "tiff", "tiff", ("--format", "tiff")),
)


@dataclass(frozen=True)
class Way:
    """One kind measured.

    rate:  photos a second of the command, once the first is done; floor_rate: of decoding and
           encoding alone, all cores at work; first: seconds from start to the first photo done;
    whole: seconds of the whole run; mask_fraction: mean over the photos.
    """

    name: str
    rate: float
    floor_rate: float
    first: float
    whole: float
    mask_fraction: float


class StartUp(NamedTuple):
    """Seconds that `abpn --help` takes, and those to the first of one photo."""

    help: float
    first_photo: float


@dataclass(frozen=True)
class Figures:
    """All that was measured of the whole command."""

    photos: int
    megapixels: float
    ways: list[Way]
    start_up: StartUp

    def facts(self) -> dict[str, Any]:
        """Put it as the JSON report has it."""
        return {**asdict(self), "start_up": self.start_up._asdict()}


def measure(
    folder: Path, network: Sequence[str], room: Path, tell: Callable[[str], None]
) -> Figures:
    """Measure on the JPEGs of a folder; TIFFs of 16 bits are made of them.

    network: options of `abpn retouch` that say with what; room: an empty folder to write into.

    Raises:
        UsageError, NoPhotoError: there is no such folder, or no two JPEGs in it.
        AbpnError: the command failed.
    """
    sources = _jpegs(folder)
    sizes = [codecs.probe(path).size for path in sources]
    with workers(os.cpu_count() or 1) as crew:
        for worker in crew:
            worker.ask({"do": "codecs"})
        tell("making 16-bit TIFFs")
        tiffs = [room / "tiff16" / f"{number:04d}.tif" for number in range(len(sources))]
        _spread(crew, sources, tiffs, "tiff")
        photos = {"jpeg": sources, "tiff": tiffs}
        floors = {}
        for kind in KINDS:
            if (kind.source, kind.format) not in floors:
                tell(f"floor of {kind.source} to {kind.format}")
                made = [
                    room / "floor" / f"{number:04d}.{kind.format}" for number in range(len(sources))
                ]
                seconds = _spread(crew, photos[kind.source], made, kind.format)
                floors[kind.source, kind.format] = len(sources) / seconds
    ways = []
    for number, kind in enumerate(KINDS):
        tell(kind.name)
        out = room / f"out{number}"
        words = ["retouch", *map(str, photos[kind.source]), "--out", str(out), "--ndjson"]
        ran = _checked(run_abpn([*words, *kind.options, *network], room / "stderr"))
        ways.append(_way(kind, ran, floors[kind.source, kind.format]))
    tell("start-up")
    start_up = _start_up(sources[0], network, room)
    return Figures(len(sources), sum(h * w for h, w in sizes) / 1e6, ways, start_up)


def _jpegs(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"--end-to-end {folder}: is not a folder. Check the path.")
    found = [path for path in sorted(folder.iterdir()) if path.is_file()]
    jpegs = [path for path in found if codecs.sniff(path) == "jpeg"]
    if len(jpegs) < 2:
        raise NoPhotoError(f"{folder}: holds no two JPEGs. Give a folder with a shoot's photos.")
    return jpegs


def _spread(
    crew: Sequence[Worker], sources: Sequence[Path], targets: Sequence[Path], format: str
) -> float:
    """Decode and encode, every worker busy all the time; return the seconds."""
    start = perf_counter()
    todo = list(zip(sources, targets, strict=True))
    shares = [todo[number :: len(crew)] for number in range(len(crew))]
    for turn in range(max(map(len, shares))):
        busy = [
            (worker, share[turn])
            for worker, share in zip(crew, shares, strict=True)
            if turn < len(share)
        ]
        for worker, (source, target) in busy:
            request = {
                "do": "codec",
                "source": str(source),
                "target": str(target),
                "format": format,
            }
            worker.send(request)
        for worker, _ in busy:
            worker.answer()
    return perf_counter() - start


def _checked(ran: Ran) -> Ran:
    if ran.code:
        last = ran.errors.strip().splitlines()[-1:] or ["it said nothing"]
        raise AbpnError(f"abpn retouch ended with {ran.code}: {last[0]}")
    return ran


def _way(kind: Kind, ran: Ran, floor_rate: float) -> Way:
    done = [(told.seconds, json.loads(told.line)) for told in ran.lines]
    photos = [(seconds, event) for seconds, event in done if event["event"] == "photo"]
    first, last = photos[0][0], photos[-1][0]
    rate = (len(photos) - 1) / max(last - first, 1e-9)
    shares = [event["mask_fraction"] or 0.0 for _, event in photos]
    return Way(kind.name, rate, floor_rate, first, ran.seconds, mean(shares))


def _start_up(photo: Path, network: Sequence[str], room: Path) -> StartUp:
    helps = [_checked(run_abpn(["--help"], room / "stderr")).seconds for _ in range(HELP_RUNS)]
    words = ["retouch", str(photo), "--out", str(room / "first"), "--ndjson", *network]
    ran = _checked(run_abpn(words, room / "stderr"))
    first = next(told.seconds for told in ran.lines if json.loads(told.line)["event"] == "photo")
    return StartUp(median(helps), first)
