"""One delivered photo, looked at as a stranger would: file, source, looks, tags, pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batch.journal import Ledger, Record
from ..batch.sources import MASK_ENDING
from ..codecs.formats import DamagedError
from ..errors import PhotoError
from ..files import Content, content_of
from ..metadata import upright as turned
from ..photo import Metadata, Photo, turn_upright, upright_size
from . import pixels, tags
from .made import Made, made_with
from .verdict import Check, CheckName, Verdict, summed_up

_KINDS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    ".png": "png",
}
UNSAID = "it was written by a run that was killed before it could say so: run again"
_COMPARED: tuple[CheckName, ...] = ("size", "depth", "profile", "tags", "pixels")


class NotHereError(Exception):
    """What a check needs is not at hand; the text says what, as in "the weights are ..."."""


@dataclass(frozen=True)
class Means:
    """What the checks need from elsewhere.

    source_of:     where the source of a record lies now; None: sources are not to be looked at.
    decode_source: decodes a source as a run did that made an output so; what is left of a damaged
                   one. decode_whole: decodes an output, or a mask, strictly. Both raise PhotoError.
    gate:          computes g of a source, (H, W) float32 in stored orientation, as a run did.
                   Raises NotHereError, PhotoError.
    room:          holds the memory that looking at a source takes while its block lasts.
    """

    source_of: Callable[[Record], Path | None]
    decode_source: Callable[[Path, Made], Photo]
    decode_whole: Callable[[Path], Photo]
    gate: Callable[[Photo, Made], NDArray[np.float32]]
    room: Callable[[Path], AbstractContextManager[Any]]


class Inspector:
    """Looks at the photos of one output folder, from any thread, and writes nothing."""

    def __init__(self, out: Path, ledger: Ledger, means: Means) -> None:
        self._out = out
        self._ledger = ledger
        self._means = means

    def inspect(self, record: Record) -> Verdict:
        """Check all that can be checked of a photo that the journal calls done."""
        with self._means.room(self._out / record.output):
            return summed_up(record.output, record.source, list(self._checks(record)))

    def _checks(self, record: Record) -> Iterator[Check]:
        latest = self._ledger.latest[record.output]
        if latest.status == "failed":
            yield Check("journal", "off", f"a later run could not do it: {latest.error}")
        photo, checks = self._file(record)
        yield from checks
        yield from self._companions(record)
        path = self._means.source_of(record)
        if path is None:
            return
        source = _source(record, path)
        yield source
        as_delivered = all(check.state == "ok" for check in checks)
        if photo is not None and as_delivered and source.state == "ok":
            yield from self._compared(record, path, photo)

    def _file(self, record: Record) -> tuple[Photo | None, list[Check]]:
        """Look at the output alone; return it decoded, None where that cannot be done."""
        path = self._out / record.output
        try:
            content = content_of(path)
        except FileNotFoundError:
            return None, [Check("file", "off", "it is not there")]
        except OSError as error:
            return None, [Check("file", "off", f"it cannot be read ({error.strerror})")]
        checks = [Check("file", "ok")]
        photo = None
        intact = content == Content(record.output_size or 0, record.output_sha256)
        try:
            photo = self._means.decode_whole(path)
            checks.append(Check("whole", "ok"))
        except PhotoError as error:
            # content as it was written is whole, unless its decoder says that it is not
            mute = intact and not isinstance(error, DamagedError)
            checks.append(Check("whole", "unchecked" if mute else "off", error.fault))
        checks.append(self._hash(record, content, intact))
        if photo is not None and intact:
            same = photo.format == _KINDS.get(path.suffix.lower())
            words = "" if same else f"it is a {photo.format}"
            checks.append(Check("format", "ok" if same else "off", words))
        return photo, checks

    def _hash(self, record: Record, content: Content, intact: bool) -> Check:
        if intact:
            return Check("hash", "ok")
        if self._ledger.is_ours(record.output, content.sha256):
            return Check("hash", "off", UNSAID)
        return Check("hash", "changed", "changed since delivery")

    def _companions(self, record: Record) -> Iterator[Check]:
        """Look at the mask and the sidecars that were delivered with a photo."""
        for name, sha256 in record.companions.items():
            try:
                found = content_of(self._out / name).sha256
            except OSError as error:
                yield Check("companions", "off", f"{name}: {error.strerror}")
                continue
            if found == sha256:
                yield Check("companions", "ok")
            elif self._ledger.is_ours(name, found):
                yield Check("companions", "off", f"{name}: {UNSAID}")
            elif fault := self._companion_fault(self._out / name):
                yield Check("companions", "off", f"{name}: {fault}")
            else:
                yield Check("companions", "changed", f"{name}: changed since delivery")

    def _companion_fault(self, path: Path) -> str:
        """Say what is wrong with a companion that is not as it was, "" where it may be meant."""
        try:
            if path.suffix.lower() == ".png":
                self._means.decode_whole(path)
                return ""
            empty = not any(path.read_bytes()[:4096])
        except PhotoError as error:
            return error.fault
        except OSError as error:
            return str(error.strerror)
        return "it holds nothing" if empty else ""

    def _compared(self, record: Record, path: Path, output: Photo) -> Iterator[Check]:
        """Compare a whole output, as it was delivered, with its unchanged source."""
        made = made_with(self._ledger, record)
        if made is None:
            words = "the journal does not say how it was made"
            yield from (Check(name, "unchecked", words) for name in _COMPARED)
            return
        try:
            source = self._means.decode_source(path, made)
        except PhotoError as error:
            words = f"the source cannot be decoded here: {error.fault}"
            yield from (Check(name, "unchecked", words) for name in _COMPARED)
            return
        yield from _looks(source, output, made)
        metadata = _turned(source) if made.upright else source.metadata
        yield tags.same_profile(metadata, output.metadata)
        seed = f"{source.digest} {output.format}"
        yield tags.same_tags(metadata, output.metadata, output.format, made.provenance, seed)
        if output.pixels.shape == _expected_shape(source, made):
            yield self._pixels(record, path, (source, output), made)

    def _pixels(self, record: Record, path: Path, photos: tuple[Photo, Photo], made: Made) -> Check:
        """Compare what lies outside the mask; photos: source and output."""
        source, output = photos
        kept = made.jpeg == "keep-untouched" and source.format == "jpeg"
        if output.format == "jpeg" and not kept:
            return Check("pixels", "unchecked", "it was encoded whole, as a JPEG")
        if output.format == "png" and source.alpha is not None and source.alpha_is == "associated":
            return Check("pixels", "unchecked", "its pixels were divided by their transparency")
        try:
            closed = self._closed(record, source, made)
        except NotHereError as reason:
            return Check("pixels", "unchecked", str(reason))
        except PhotoError as error:
            return Check("pixels", "unchecked", f"its mask cannot be had: {error.fault}")
        if closed.shape != output.pixels.shape[:2]:
            return Check("pixels", "off", "its mask is of another size")
        if output.format != "jpeg":
            return pixels.same_outside(source, output, made.upright, closed)
        try:
            read, written = path.read_bytes(), (self._out / record.output).read_bytes()
        except OSError as error:
            return Check("pixels", "unchecked", f"it cannot be read again ({error.strerror})")
        return pixels.same_coefficients(read, written, closed)

    def _closed(self, record: Record, source: Photo, made: Made) -> pixels.Closed:
        """Find where the gate is 0, as the output lies: by the mask kept beside it, or anew."""
        for name, sha256 in record.companions.items():
            path = self._out / name
            if name.endswith(f"{MASK_ENDING}.png") and _hash_of(path) == sha256:
                kept: pixels.Closed = self._means.decode_whole(path).pixels[..., 0] == 0
                return kept
        gate = self._means.gate(source, made)
        turn = source.metadata.orientation if made.upright else 1
        closed: pixels.Closed = turn_upright(gate, turn) == 0
        return closed


def _source(record: Record, path: Path) -> Check:
    try:
        found = content_of(path).sha256
    except FileNotFoundError:
        return Check(
            "source", "off", f"the source is not there ({path}): name its folder with --source"
        )
    except OSError as error:
        return Check("source", "off", f"the source cannot be read ({error.strerror})")
    if found != record.sha256:
        return Check("source", "off", "the source has changed since")
    return Check("source", "ok")


def _hash_of(path: Path) -> str:
    """Return a file's hash, "" where it cannot be read."""
    try:
        return content_of(path).sha256
    except OSError:
        return ""


def _looks(source: Photo, output: Photo, made: Made) -> Iterator[Check]:
    """Compare size and depth."""
    expected = _expected_shape(source, made)
    (height, width), same = output.pixels.shape[:2], output.pixels.shape == expected
    words = "" if same else f"it is {width} x {height}, not {expected[1]} x {expected[0]}"
    yield Check("size", "ok" if same else "off", words)
    wanted = {"tiff": 16, "jpeg": 8}.get(output.format, source.pixels.dtype.itemsize * 8)
    bits = output.pixels.dtype.itemsize * 8
    same = bits == wanted
    yield Check("depth", "ok" if same else "off", "" if same else f"{bits} bits, not {wanted}")


def _expected_shape(source: Photo, made: Made) -> tuple[int, ...]:
    height, width, channels = source.pixels.shape
    turn = source.metadata.orientation if made.upright else 1
    return (*upright_size((height, width), turn), channels)


def _turned(source: Photo) -> Metadata:
    """Return what is said of a photo whose pixels were turned upright."""
    turn = source.metadata.orientation
    if turn == 1:
        return source.metadata
    height, width = turn_upright(source.pixels, turn).shape[:2]
    return turned(source.metadata, (height, width))
