r"""What runs have written into an output folder, told by the folder's own journal.

`OUT/.abpn-journal.ndjson` is only ever appended to, one JSON object a line, ASCII, each line
written at once and flushed to the disk. Bytes of a name that are not UTF-8 are lone surrogates,
``\udcNN``, as Python's surrogateescape makes them. Hashes are SHA-256, in hexadecimal. Every line
has ``"schema": 1`` and ``"entry"``; readers pass by entries and keys that they do not know.

- ``run``: a run begins. ``version`` of abpn, ``verb``, ``task`` (or null), ``weights`` (hash of the
  weights file, or ""), ``settings`` (an object: everything of the command line and the device that
  can change an output), ``settings_digest`` (hash of the settings, as the lines below have it).
- ``intent``: a file is whole and about to take its name. ``output`` (POSIX path inside OUT),
  ``output_sha256``. A run killed between this line and the next kind has written that very file
  or not yet: either way it is known for ours, and made again.
- ``photo``: a photo is done, all its files bear their names; or it failed. ``source`` (absolute
  path), ``relative`` (its path inside the tree that was given), ``size`` and ``sha256`` (of the
  bytes that were decoded), ``weights``, ``settings`` (digest), ``inputs`` (object: what else was
  read, by role, to its hash: ``only``, ``protect``, ``mask``, ``sidecar NAME``), ``output``,
  ``output_size``, ``output_sha256``, ``companions`` (object: path inside OUT to hash, of the mask
  and the sidecars written with it), ``status`` (``done`` or ``failed``), ``error`` (or null).
  Of a photo that failed, what is not known is null.

The last ``done`` line of an output says what it was made from. A killed run leaves at most its last
line torn: one without its newline is ignored, and cut off before the next is written. Any other
line that makes no sense is ignored with a warning. A run opens no path of a journal: an output
named there is looked up by the paths of the plan, and names that lead out of OUT are refused.
`abpn verify` reads, and only reads, what is named there.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

from ..errors import TargetError
from ..files import target_error

JOURNAL_NAME = ".abpn-journal.ndjson"
SCHEMA = 1
LINE_BYTES = 1 << 20  # no line of ours comes near

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Run:
    """What a run made its outputs with."""

    version: str
    verb: str
    task: str | None
    weights: str
    settings: Mapping[str, Any]

    @property
    def settings_digest(self) -> str:
        """The hash of the settings, whatever their order."""
        return sha256(json.dumps(self.settings, sort_keys=True).encode("ascii")).hexdigest()

    def line(self) -> Mapping[str, Any]:
        """Return the journal's line."""
        return _headed("run", {**asdict(self), "settings_digest": self.settings_digest})


@dataclass(frozen=True)
class Record:
    """One photo's line; texts and sizes that are not known are "" and None."""

    source: str
    relative: str
    output: str
    status: Literal["done", "failed"]
    size: int | None = None
    sha256: str = ""
    weights: str = ""
    settings: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    output_size: int | None = None
    output_sha256: str = ""
    companions: Mapping[str, str] = field(default_factory=dict)
    error: str = ""

    def line(self) -> Mapping[str, Any]:
        """Return the journal's line."""
        told = {key: None if value == "" else value for key, value in asdict(self).items()}
        return _headed("photo", told)


@dataclass
class Ledger:
    """A journal, read.

    runs:     in order.
    done:     the last `done` line of each output; latest: its last line of either status.
    known:    every hash that a file of ours under that name has had, companions included.
    companions: every name that a mask or a sidecar has been delivered under.
    warnings: what made no sense, one sentence each.
    end:      where the last whole line ends, in bytes.
    """

    runs: list[Run] = field(default_factory=list)
    done: dict[str, Record] = field(default_factory=dict)
    latest: dict[str, Record] = field(default_factory=dict)
    known: dict[str, set[str]] = field(default_factory=dict)
    companions: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    end: int = 0

    def is_ours(self, output: str, sha256_: str) -> bool:
        """Tell whether we once wrote, or were about to write, this content under this name."""
        return sha256_ in self.known.get(output, ())

    def add(self, entry: object) -> bool:
        """Take one parsed line; return False where it makes no sense."""
        if not isinstance(entry, dict) or entry.get("schema") != SCHEMA:
            return False
        kind = entry.get("entry")
        try:
            if kind == "run":
                self.runs.append(_run(entry))
            elif kind == "intent":
                self._learn(_inside(entry["output"]), _hash(entry["output_sha256"]))
            elif kind == "photo":
                self._take(_record(entry))
        except (KeyError, ValueError):
            return False
        return isinstance(kind, str)

    def _take(self, record: Record) -> None:
        self.latest[record.output] = record
        if record.status == "done":
            self.done[record.output] = record
            self._learn(record.output, record.output_sha256)
            self.companions.update(record.companions)
            for name, digest in record.companions.items():
                self._learn(name, digest)

    def _learn(self, output: str, digest: str) -> None:
        self.known.setdefault(output, set()).add(digest)


def journal_path(out: Path) -> Path:
    """Return where the journal of an output folder lies."""
    return out / JOURNAL_NAME


def read_journal(out: Path) -> Ledger:
    """Read the journal of an output folder; an empty ledger where there is none.

    Raises:
        TargetError: it is there and cannot be read, or is no file.
    """
    path = journal_path(out)
    try:
        with open_journal(path, os.O_RDONLY) as file:
            return read_lines(file, path)
    except (FileNotFoundError, NotADirectoryError):
        return Ledger()
    except OSError as error:
        raise target_error(path, error) from error


def open_journal(path: Path, how: int) -> BinaryIO:
    """Open a journal, a link or a pipe never: what is appended must not go elsewhere.

    how: flags of `os.open`. Raises OSError; TargetError where it is no regular file.
    """
    if path.is_symlink():
        raise TargetError(path, "the journal is a link", "Remove it, or choose another --out.")
    descriptor = os.open(path, how | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TargetError(path, "the journal is no file", "Remove it, or choose another --out.")
    return os.fdopen(descriptor, "r+b" if how & os.O_RDWR else "rb", buffering=1 << 16)


def read_lines(file: BinaryIO, path: Path) -> Ledger:
    """Read an open journal from its beginning; path is for the words of warnings."""
    ledger = Ledger()
    odd = 0
    for line in _whole_lines(file):
        ledger.end += len(line)
        try:
            known = ledger.add(json.loads(line))
        except (ValueError, RecursionError):  # no JSON, or JSON made to hurt
            known = False
        odd += not known
    if odd:
        told = "1 line that makes no sense was ignored"
        if odd > 1:
            told = f"{odd} lines that make no sense were ignored"
        ledger.warnings.append(f"{path.name}: {told}")
    return ledger


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines that end; of one that is far too long, pieces, which make no sense."""
    while line := file.readline(LINE_BYTES):
        if line.endswith(b"\n") or len(line) == LINE_BYTES:
            yield line


def _headed(entry: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"schema": SCHEMA, "entry": entry, **fields}


def _run(entry: Mapping[str, Any]) -> Run:
    settings = entry["settings"]
    if not isinstance(settings, dict):
        raise ValueError("settings")
    return Run(
        _text(entry["version"]),
        _text(entry["verb"]),
        _text(entry["task"]) or None,
        _hash_or_none(entry["weights"]),  # `remove` works without
        settings,
    )


def _record(entry: Mapping[str, Any]) -> Record:
    status = entry["status"]
    if status not in ("done", "failed"):
        raise ValueError(status)
    done = status == "done"
    wanted = _hash if done else _hash_or_none
    return Record(
        source=_text(entry["source"]),
        relative=_text(entry["relative"]),
        output=_inside(entry["output"]),
        status=status,
        size=_size(entry["size"]),
        sha256=wanted(entry["sha256"]),
        weights=_hash_or_none(entry["weights"]),
        settings=wanted(entry["settings"]),
        inputs={_text(role): _hash_or_none(it) for role, it in _items(entry["inputs"])},
        output_size=_size(entry["output_size"]),
        output_sha256=wanted(entry["output_sha256"]),
        companions={_inside(name): _hash(it) for name, it in _items(entry["companions"])},
        error=_text(entry["error"]),
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def _size(value: object) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ValueError(value)
    return value


def _hash(value: object) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ValueError(value)
    return value


def _hash_or_none(value: object) -> str:
    return "" if value in (None, "") else _hash(value)


def _items(value: object) -> list[tuple[str, object]]:
    if not isinstance(value, dict):
        raise ValueError(value)
    return list(value.items())


def _inside(value: object) -> str:
    """Return a POSIX path that stays inside the output folder."""
    text = _text(value)
    parts = PurePosixPath(text).parts
    if not parts or "/".join(parts) != text or ".." in parts or "\0" in text:
        raise ValueError(text)
    return text
