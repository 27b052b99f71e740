"""What C libraries say on the process's standard error, caught."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_DESCRIPTOR = 2
_MOST_BYTES = 4096


@contextmanager
def caught() -> Iterator[list[str]]:
    """Catch what is written on descriptor 2 meanwhile; the list gets its lines at the end.

    Some decoders tell of damage in no other way. The descriptor is the whole process's: for
    decoding processes, which do one thing at a time.
    """
    lines: list[str] = []
    sys.stderr.flush()
    with tempfile.TemporaryFile() as words:
        kept = os.dup(_DESCRIPTOR)
        os.dup2(words.fileno(), _DESCRIPTOR)
        try:
            yield lines
        finally:
            os.dup2(kept, _DESCRIPTOR)
            os.close(kept)
            words.seek(0)
            said = words.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
            lines += filter(None, (line.strip() for line in said))
