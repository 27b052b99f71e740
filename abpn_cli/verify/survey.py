"""What lies in an output folder beside what its journal names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..batch.journal import JOURNAL_NAME, Ledger
from ..files import is_leftover


class Survey(NamedTuple):
    """Paths inside the output folder.

    leftovers:  half-written files of runs that were killed; the next run removes them.
    unfinished: whole files of runs that were killed before they could say so in the journal; the
                next run makes them again.
    earlier:    masks and sidecars of earlier runs, which the last one to do their photos was not
                asked for.
    strangers:  what no line of the journal names: somebody else's.
    """

    leftovers: tuple[str, ...]
    unfinished: tuple[str, ...]
    earlier: tuple[str, ...]
    strangers: tuple[str, ...]


def survey(out: Path, ledger: Ledger) -> Survey:
    """Go through an output folder, links not followed, and sort what it holds."""
    delivered = set(ledger.done)
    for record in ledger.done.values():
        delivered.update(record.companions)
    leftovers, unfinished, earlier, strangers = [], [], [], []
    for name in sorted(_names(out)):
        if is_leftover(name.rpartition("/")[2]):
            leftovers.append(name)
        elif name in delivered or name == JOURNAL_NAME:
            continue
        elif name in ledger.companions:
            earlier.append(name)
        elif name in ledger.known:
            unfinished.append(name)
        else:
            strangers.append(name)
    return Survey(tuple(leftovers), tuple(unfinished), tuple(earlier), tuple(strangers))


def _names(out: Path) -> Iterator[str]:
    """Yield what is no folder, by POSIX path inside the output folder."""
    for folder, below, files in os.walk(out, followlinks=False):
        links = [name for name in below if Path(folder, name).is_symlink()]
        for name in (*files, *links):
            yield Path(folder, name).relative_to(out).as_posix()
