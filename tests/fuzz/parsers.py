"""Throw damaged photos at every parser, for a number of cases or for a time.

    python tests/fuzz/parsers.py --seconds 600
    python tests/fuzz/parsers.py --case jpeg:1234      one case again, with its traceback

Every case is made from its number alone, so that a failure can be made again. A parser may refuse
what it is given in the words it documents; it may not raise anything else, take longer than
SECONDS_PER_CASE, or need more memory than MEMORY_BYTES beyond what the libraries take.
"""

# ruff: noqa: E402 (a script finds its helpers itself)
from __future__ import annotations

import argparse
import faulthandler
import importlib.util
import io
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType, ModuleType
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import tifffile
from donors import block_with
from donors import resource as photoshop_resource
from photos import canon_block, srgb_profile
from seeds import PACKET, heic_seeds, photo_seeds, raw_seeds

from abpn_cli import codecs
from abpn_cli.codecs.jpeg_stream import UnkeepableError, stripped
from abpn_cli.codecs.raw_metadata import of_raw
from abpn_cli.errors import PhotoError
from abpn_cli.metadata import (
    BrokenExif,
    checked,
    edited,
    exif,
    jpeg_carrier,
    photoshop,
    png_carrier,
    png_words,
    tiff_carrier,
    tiff_extent,
    upright,
    with_one_packet,
    xmp,
)
from abpn_cli.metadata.ifd import read_layout
from abpn_cli.metadata.png_carrier import BrokenPng
from abpn_cli.metadata.segments import behind_the_end
from abpn_cli.photo import Metadata, Provenance

SECONDS_PER_CASE = 5
MEMORY_BYTES = 1 << 30
MAX_BYTES = 1 << 20  # of a case: slow growth shows at that size
MADE = Provenance("1.0.0", "cloth", "a" * 64, 1.0)


class Hang(BaseException):
    """A case took too long; nothing that parsers catch."""


class Target(NamedTuple):
    """A parser with the errors it documents, and what it is given before damage."""

    seeds: tuple[bytes, ...]
    run: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...]


# -- what is run -----------------------------------------------------------------------------


def through(metadata: Metadata) -> None:
    """Take metadata through every editor, as decoding and encoding do."""
    ready, _ = checked(metadata, None)
    for turned in (ready, upright(ready, (7, 5))):
        told = edited(turned, MADE, "seed")
        block, _ = exif.for_jpeg(told.exif, "abpn 1.0.0", told.orientation, b"\xff\xd8\xff\xd9")
        jpeg_carrier.write(b"\xff\xd8\xff\xda", replace(told, exif=block))
        exif.for_png(told.exif, "abpn 1.0.0", told.orientation)
        worded, _ = png_words.without_comment(png_words.without_chunks(told, "")[0], "")
        tiff_carrier.write(with_one_packet(worded)[0], "abpn 1.0.0")


def run_jpeg(data: bytes) -> None:
    segments, scan = jpeg_carrier.split(data)
    jpeg_carrier.frame_of(segments)
    jpeg_carrier.density(segments)
    behind_the_end(data, scan, [])
    through(jpeg_carrier.read(segments)[0])


def run_png(data: bytes) -> None:
    for read in (lambda: png_carrier.split(data)[0], lambda: png_carrier.skim(io.BytesIO(data))):
        chunks = read()
        png_carrier.density(chunks)
        through(png_carrier.read(chunks)[0])


def run_tiff(data: bytes) -> None:
    tiff_extent.behind_the_end(data)
    through(tiff_carrier.read(data, read_layout(data).first)[0])


def run_exif(data: bytes) -> None:
    exif.modified(data)
    exif.resolution(data)
    through(Metadata(exif=data))


def run_xmp(data: bytes) -> None:
    half = len(data) // 2
    xmp.divided(data, b"")
    xmp.merged(data[:half], data[half:])
    through(Metadata(xmp=data))
    through(Metadata(xmp=data[:half], extended_xmp=data[half:]))


def run_photoshop(data: bytes) -> None:
    photoshop.trimmed_iptc(data)
    photoshop.with_digest(data, data, data + b"\0")
    photoshop.with_iptc(data, photoshop.iptc_of(data))


def run_sniff(data: bytes) -> None:
    for name in ("a.jpg", "a.dng", "a"):
        codecs.sniff(in_a_file(data, name))


def run_probe(data: bytes) -> None:
    codecs.probe(in_a_file(data, "a.jpg"))


def run_raw(data: bytes) -> None:
    through(of_raw(data, data[len(data) // 2 :])[0])


SMALL = codecs.DecodeOptions(max_pixels=1_000_000)


def run_decode(data: bytes) -> None:
    photo = codecs.decode(in_a_file(data, "a.jpg"), SMALL)
    codecs.encode(photo, FOLDER / "out.jpg", "jpeg", codecs.EncodeOptions())


def run_retouch(data: bytes) -> None:
    photo = codecs.decode(in_a_file(data, "a.jpg"), SMALL)
    pixels = photo.pixels.copy()
    pixels[: len(pixels) // 2] ^= 1
    codecs.encode(replace(photo, pixels=pixels), FOLDER / "out", "jpeg", codecs.EncodeOptions())


def run_salvage(data: bytes) -> None:
    photo = codecs.decode(in_a_file(data, "a.jpg"), replace(SMALL, accept_damaged=True))
    codecs.encode(photo, FOLDER / "out.png", "png", codecs.EncodeOptions())


FOLDER = Path(tempfile.mkdtemp(prefix="abpn-fuzz-"))


def in_a_file(data: bytes, name: str) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def profile_reader() -> ModuleType:
    """The engine's reader of ICC profiles, without the engine and its torch."""
    path = Path(codecs.__file__).parents[1] / "engine" / "icc.py"
    room, native = ModuleType("abpn_room"), ModuleType("abpn_room.native")
    room.__path__ = []
    vars(native)["kernels"] = tuple  # none: the C kernel comes with the network's torch
    sys.modules |= {module.__name__: module for module in (room, native)}
    spec = importlib.util.spec_from_file_location("abpn_room.icc", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


# -- what it is run on -----------------------------------------------------------------------


def targets() -> dict[str, Target]:
    photos = photo_seeds(FOLDER)
    raws = raw_seeds(FOLDER)
    every = photos["jpeg"] + photos["png"] + photos["tiff"]
    tags = ((271, 2, b"Maker\0"), (306, 2, b"2024:01:01 01:01:01\0"), (65000, 7, b"x" * 400))
    exifs = (
        canon_block(),
        canon_block(">"),
        block_with(*tags, exif=((37500, 7, b"note" * 20),), gps=((2, 5, bytes(24)),), order=">"),
    )
    blocks = b"".join(photoshop_resource(n, b"data" * (n % 7)) for n in (1028, 1061, 2000, 2999))
    icc = profile_reader()
    return {
        "jpeg": Target(photos["jpeg"], run_jpeg, ()),
        "png": Target(photos["png"], run_png, (BrokenPng,)),
        "tiff": Target(photos["tiff"], run_tiff, (BrokenExif,)),
        "exif": Target(exifs, run_exif, (BrokenExif,)),
        "xmp": Target((PACKET,), run_xmp, ()),
        "photoshop": Target((blocks, b"\x1c\x02\x78\0\3abc\0"), run_photoshop, ()),
        "icc": Target((srgb_profile(),), icc.read_profile, (icc.ProfileError,)),
        "sniff": Target(every, run_sniff, ()),
        "probe": Target(every, run_probe, (PhotoError,)),
        "decode": Target(every, run_decode, (PhotoError,)),
        "stream": Target(photos["jpeg"], stripped, (UnkeepableError,)),
        "retouch": Target(photos["jpeg"], run_retouch, (PhotoError,)),
        "salvage": Target(every, run_salvage, (PhotoError,)),
        "raw": Target(raws, run_raw, ()),
        "develop": Target(raws[:1], run_decode, (PhotoError,)),
        "heic": Target(heic_seeds() or raws, run_decode, (PhotoError,)),
    }


# -- damage ----------------------------------------------------------------------------------

NUMBERS = [0, 1, 2, 7, 8, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]
TOKENS = [
    *(b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xe1", b"II*\0", b"MM\0*", b"II+\0", b"IDAT"),
    *(b"8BIM", b"<rdf:li>", b"</", b"<!--", b"<![CDATA[", b"?>", b"<!DOCTYPE", b"&a;", b'"', b"'"),
    *(b"Raw profile type exif\0\0", b"\x87\x69", b"\x69\x87", b"\x25\x88", b"\x05\xa0", b" " * 64),
]


def damaged(rng: random.Random, target: Target) -> bytes:
    """Make a case: one of the seeds, changed in one to eight ways."""
    data = bytearray(rng.choice(target.seeds))
    for _ in range(rng.randint(1, 8)):
        rng.choice(DAMAGES)(rng, data, target)
        del data[MAX_BYTES:]
    if data.startswith(png_carrier.SIGNATURE) and rng.random() < 0.8:
        mend_check_sums(data)
    return bytes(data)


def place(rng: random.Random, data: bytearray) -> int:
    near = rng.choice([len(data), 64, 400])  # headers are where parsers look
    return rng.randrange(min(near, len(data)) + 1)


def flip(rng: random.Random, data: bytearray, _: Target) -> None:
    if data:
        data[min(place(rng, data), len(data) - 1)] ^= 1 << rng.randrange(8)


def number(rng: random.Random, data: bytearray, _: Target) -> None:
    value = rng.choice([*NUMBERS, len(data), place(rng, data)])
    kind = rng.choice(["<H", ">H", "<I", ">I", "B"])
    raw = struct.pack(kind, value & ((1 << 8 * struct.calcsize(kind)) - 1))
    at = place(rng, data)
    data[at : at + len(raw)] = raw


def token(rng: random.Random, data: bytearray, _: Target) -> None:
    at = place(rng, data)
    data[at : at + rng.choice([0, 4])] = rng.choice(TOKENS)


def cut(rng: random.Random, data: bytearray, _: Target) -> None:
    at = place(rng, data)
    del data[at : at + rng.choice([1, 4, 100, len(data)])]


def repeat(rng: random.Random, data: bytearray, _: Target) -> None:
    at = place(rng, data)
    piece = data[at : at + rng.choice([1, 4, 12, 100])]
    data[at:at] = bytes(piece) * rng.choice([2, 10, 1000, 20_000])


def splice(rng: random.Random, data: bytearray, target: Target) -> None:
    other = rng.choice(target.seeds)
    start = rng.randrange(len(other))
    at = place(rng, data)
    data[at:at] = other[start : start + rng.choice([8, 100, 4000])]


DAMAGES = (flip, flip, number, number, number, token, cut, repeat, splice)


def mend_check_sums(data: bytearray) -> None:
    """Make the check sums of PNG chunks right again, so that their content is looked at."""
    position = len(png_carrier.SIGNATURE)
    while position + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, position)
        end = position + 12 + size
        if end > len(data):
            return
        struct.pack_into(">I", data, end - 4, zlib.crc32(data[position + 4 : end - 4]))
        position = end


# -- running ---------------------------------------------------------------------------------


def run_case(name: str, target: Target, case: int) -> str:
    """Run one case; return what went wrong, "" for nothing."""
    data = damaged(random.Random(f"{name}:{case}"), target)
    signal.setitimer(signal.ITIMER_PROF, SECONDS_PER_CASE)
    try:
        target.run(data)
    except target.allowed:
        return ""
    except (Exception, Hang):  # noqa: BLE001 (what a parser raises is what we are after)
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


def on_alarm(_number: int, frame: FrameType | None) -> None:
    raise Hang(f"over {SECONDS_PER_CASE} s in {frame}")


def limit_memory() -> None:
    """Allow so much memory beyond what the libraries have taken by now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def say(words: str) -> None:
    sys.stdout.write(words + "\n")


def cases(all_targets: dict[str, Target], first: int) -> Iterator[tuple[str, int]]:
    case = first
    while True:
        yield from ((name, case) for name in all_targets)
        case += 1


def main() -> int:
    """Run; return 1 where a parser failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="stop after this time")
    parser.add_argument("--cases", type=int, default=None, help="stop after so many per parser")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--targets", nargs="*", help="parsers to run; all without")
    parser.add_argument("--case", help="run one case, as in jpeg:1234")
    asked = parser.parse_args()
    faulthandler.enable()  # a crash in C says where
    tifffile.logger().disabled = True
    signal.signal(signal.SIGPROF, on_alarm)
    everything = targets()
    chosen = {name: everything[name] for name in asked.targets or everything}
    if sys.platform == "linux":
        limit_memory()
    if asked.case:
        name, _, case = asked.case.partition(":")
        fault = run_case(name, everything[name], int(case))
        say(fault or f"{asked.case} passes")
        return 1 if fault else 0
    return run_many(chosen, asked.first, asked.cases, time.monotonic() + asked.seconds)


def run_many(chosen: dict[str, Target], first: int, count: int | None, deadline: float) -> int:
    """Run cases until there are enough or the time is up; tell which failed."""
    done, failed = 0, []
    for name, case in cases(chosen, first):
        over = time.monotonic() > deadline if count is None else case - first >= count
        if over or len(failed) >= 20:
            break
        fault = run_case(name, chosen[name], case)
        done += 1
        if fault:
            failed.append(f"{name}:{case}")
            say(f"--- {name}:{case}\n{fault}")
    say(f"{done} cases, {len(failed)} failed: {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
