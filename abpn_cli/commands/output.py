"""Results that are not photos: stdout, reports, sidecars."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import AbpnError, PhotoError, TargetError, UsageError, shown
from .options import STDOUT

if TYPE_CHECKING:
    from ..photo import Job


def tell_error(error: AbpnError) -> None:
    """Tell on stderr what stopped the command, on one line whatever names are in it."""
    from ..report.lines import one_line

    with suppress(OSError):  # nobody reads stderr: the exit code still says it
        typer.secho(f"abpn: {one_line(str(error))}", fg="red", err=True)


def write_stdout(text: str) -> None:
    """Write results.

    Raises:
        TargetError: stdout is closed or full.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # what could not be written must not come up again when Python closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise TargetError(
            "stdout", f"cannot be written ({error.strerror})", "Keep its reader running."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        TargetError: it cannot be written.
    """
    from ..codecs import write_atomic

    write_atomic(path, _writer(text.encode("utf-8")))


def refuse_photo(path: Path) -> None:
    """Refuse to write a report over a photo, or in place of a device or a pipe.

    Raises:
        UsageError: the file is there, and is one.
    """
    from ..codecs import sniff

    if _is_special(path):  # /dev/null would be replaced by a file, for everybody
        raise UsageError(f"--json {shown(path)}: is no file. Name one, or - for stdout.")
    if sniff(path) is not None:
        raise UsageError(f"--json {shown(path)}: is a photo. Name another file.")


def _is_special(path: Path) -> bool:
    """Whether something is there that is neither a file nor a folder."""
    try:
        mode = path.stat().st_mode
    except OSError:  # told where it is written
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def write_json(path: Path, value: object) -> None:
    """Write one JSON document, to stdout for `-`.

    Raises:
        UsageError: it would replace a photo, a device or a pipe.
        TargetError: it cannot be written.
    """
    text = json.dumps(value, indent=2) + "\n"
    if path == STDOUT:
        write_stdout(text)
    else:
        refuse_photo(path)
        write_text(path, text)


@contextmanager
def together(files: Iterable[Path]) -> Iterator[None]:
    """Take back those of the files that the block made, where it fails with an error of ours."""
    new = [file for file in files if not os.access(file, os.F_OK)]
    try:
        yield
    except AbpnError:
        for file in new:
            with suppress(OSError):  # the error that is told is the one that came first
                file.unlink(missing_ok=True)
        raise


def copy_sidecars(
    job: Job, edit: Callable[[bytes], bytes], ready: Callable[[Path], Callable[[Path], None]]
) -> None:
    """Copy a photo's `.xmp` files beside its output, byte by byte where `edit` leaves them.

    ready: given the name of a copy, returns what is called when the copy is whole, before it takes
    that name.

    Raises:
        PhotoError: a sidecar cannot be read.
        TargetError: a copy cannot be written.
    """
    from ..codecs import write_atomic

    for read, written in job.sidecars:
        try:
            data = read.read_bytes()
        except OSError as error:
            raise PhotoError(
                read, f"the sidecar cannot be read ({error.strerror})", "Repair or remove it."
            ) from error
        write_atomic(written, _writer(edit(data)), ready(written))


def _writer(data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(data)

    return write
