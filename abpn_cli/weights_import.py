"""Checkpoints that others published, made weights of ours: known by their SHA-256, never trusted.

One row of IMPORTABLE a checkpoint. Whoever adds one says how its tensors are read and become those
of a network in `nets`; the rest is the same for all.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import published_hifill
from .errors import TargetError, WeightsError, shown
from .weights import (
    RETOUCH,
    SUFFIX,
    VERBS,
    WORDS,
    Header,
    build,
    save,
    user_folder,
    write_card,
)

if TYPE_CHECKING:
    from torch import Tensor

MOST_BYTES = 2**30  # no checkpoint of the table comes near


@dataclass(frozen=True)
class Importable:
    """A checkpoint that can be imported.

    name:    what its weights are called unless the user says otherwise; net, config: of the header
             they get; sha256, git_blob: of the file as published, one of them; source: where it is
             published; licence: what is known of it.
    tensors: reads the file's tensors, under the names that our network gives them. May raise
             WeightsError.
    """

    name: str
    net: str
    config: Mapping[str, Any]
    sha256: str
    source: str
    licence: str
    tensors: Callable[[Path], Mapping[str, Tensor]]
    git_blob: str = ""


class Imported(NamedTuple):
    """Weights that were installed, and the command that uses them."""

    path: Path
    used_by: str


def torch_tensors(path: Path) -> Mapping[str, Tensor]:
    """Read a state dict that `torch.save` wrote; pickled code is never run.

    Raises:
        WeightsError: it holds anything but named tensors.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats that torch will not write any more
            found = torch.load(path, map_location="cpu", weights_only=True)
    # Damage makes torch raise ten kinds of errors, among them pickle's own, which only a module
    # that imports pickle could name; nothing but torch.load runs here.
    except Exception as error:  # noqa: BLE001
        raise WeightsError(path, "cannot be read as a checkpoint", "Fetch it again.") from error
    if not isinstance(found, dict) or not all(isinstance(t, torch.Tensor) for t in found.values()):
        raise WeightsError(path, "holds no named tensors", "Fetch it again.")
    return {str(key): tensor.float() for key, tensor in found.items()}


IMPORTABLE: Sequence[Importable] = (
    Importable(
        name="csrnet",
        net="csrnet",
        config={"condition_long_side": 500},
        sha256="22f905d2a0205df4f41d08439350b94b33c8685564f4e53855e6ee593f860747",
        source="github.com/hejingwenhejingwen/CSRNet, experiments/pretrain_models/csrnet.pth",
        licence="none given by its authors: all rights reserved; for dark, flat renditions of raws",
        tensors=torch_tensors,
    ),
    Importable(
        name="hifill",
        net="hifill",
        config=published_hifill.CONFIG,
        sha256="",
        source=published_hifill.SOURCE,
        licence=published_hifill.LICENCE,
        tensors=published_hifill.hifill_tensors,
        git_blob=published_hifill.GIT_BLOB,
    ),
)


def import_file(
    path: Path, name: str | None = None, table: Sequence[Importable] = IMPORTABLE
) -> Imported:
    """Make weights of a published checkpoint and put them, with a card, among the user's own.

    Raises:
        WeightsError: missing, too large, not in the table, or not what it should be.
        TargetError: the user's folder cannot be written, or has other weights of that name.
    """
    sha256, git_blob = _hashes(path)
    row = next((row for row in table if (row.sha256 or row.git_blob) in (sha256, git_blob)), None)
    if row is None:
        known = "; ".join(f"{row.name} ({row.source}, {_mark(row)})" for row in table)
        raise WeightsError(
            path,
            f"is no checkpoint that abpn knows (sha256 {sha256[:12]}…)",
            f"Fetch one of these as it was published: {known}.",
        )
    header = Header(
        row.net, row.config, name or row.name, training={"imported": row.sha256 or row.git_blob}
    )
    net = build(path, header)
    try:
        net.load_state_dict(dict(row.tensors(path)))
    except RuntimeError as error:
        raise WeightsError(
            path, f"does not hold the tensors of a '{row.net}' network", "Fetch it again."
        ) from error
    there = user_folder() / f"{name or row.name}{SUFFIX}"
    if there.exists():
        raise TargetError(
            there, "is there already", "Remove it, or choose another name with --name."
        )
    save(there, net, header)
    card = {"task": header.task, "net": row.net, "config": dict(row.config)}
    write_card(there, {**card, "from": row.source, "licence": row.licence})
    verb = VERBS.get(row.net, RETOUCH)
    return Imported(there, f"`abpn {verb} {WORDS[verb][1]} {shown(header.task)}` uses it")


def _mark(row: Importable) -> str:
    """Say by what a file is known, for people."""
    return f"sha256 {row.sha256[:12]}…" if row.sha256 else f"git blob {row.git_blob[:12]}…"


def _hashes(path: Path) -> tuple[str, str]:
    """Return a file's SHA-256, and the hash that git calls it by.

    Raises:
        WeightsError: it is missing, too large, or cannot be read.
    """
    try:
        if not path.is_file():
            raise WeightsError(path, "no such file", "Check the path.")
        if path.stat().st_size > MOST_BYTES:
            raise WeightsError(path, "is too large for a checkpoint", "Check the path.")
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(path, f"cannot be read ({error.strerror})", "Check the file.") from error
    named = b"blob %d\0" % len(data) + data
    git_blob = hashlib.sha1(named, usedforsecurity=False).hexdigest()
    return hashlib.sha256(data).hexdigest(), git_blob
