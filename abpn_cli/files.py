"""Files read whole and written whole: the one place that opens sources and targets."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import PhotoError, TargetError

TEMP_SUFFIX = ".abpn-tmp"
MAX_NAME_BYTES = 255

_READ_FAULTS = {
    errno.ENOENT: ("the file is not there", "Check the path."),
    errno.EACCES: ("no permission to read the file", "Change its permissions."),
    errno.ELOOP: ("the link leads in a circle", "Remove the link."),
}
_WRITE_FAULTS = {
    errno.ENOSPC: ("the disk is full", "Free some space and run again."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space and run again."),
    errno.EFBIG: ("the file system takes no file this large", "Choose another output folder."),
    errno.EACCES: ("no permission to write here", "Choose another output folder."),
    errno.EPERM: ("no permission to write here", "Choose another output folder."),
    errno.EROFS: ("the file system is read-only", "Choose another output folder."),
    errno.ENAMETOOLONG: ("the file name is too long", "Shorten the photo's name."),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "Choose another output folder."),
    errno.EEXIST: ("a part of the path is a file, not a folder", "Choose another output folder."),
    errno.EISDIR: ("a folder of this name is in the way", "Move it or choose another folder."),
}


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a source to be read.

    Decoders get the open file or its bytes, never the path: opening files themselves they crash
    on names that are not UTF-8 and hang on pipes. Raises PhotoError where it is no regular file,
    cannot be read, or is empty.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise PhotoError(path, "it is not a regular file", "Give a photo.")
        if not found.st_size:
            raise PhotoError(path, "the file is empty", "Restore it from the card or a backup.")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        words = (f"it cannot be read ({error.strerror or error})", "Check the file and its disk.")
        raise PhotoError(path, *_READ_FAULTS.get(error.errno or 0, words)) from error


def write_atomic(target: Path, write: Callable[[Path], None]) -> None:
    """Write a file so that under its final name it is either whole or not there.

    write: is called with the path of a hidden file in the target's folder, which it fills. The
    file is then flushed to the disk and takes the target's place; on any error it is removed.
    Raises TargetError where the folder or the file cannot be written.
    """
    temp = target.with_name(_temp_name(target.name))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temp)
            _flush(temp)
            os.replace(temp, target)  # noqa: PTH105 (Path.replace is this very call)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
    except OSError as error:
        words = (f"it cannot be written ({error.strerror or error})", "Check the output folder.")
        raise TargetError(target, *_WRITE_FAULTS.get(error.errno or 0, words)) from error


def _temp_name(name: str) -> str:
    """Return a hidden name for the unfinished file, no longer than file systems allow."""
    tail = f".{os.getpid()}{TEMP_SUFFIX}"
    room = MAX_NAME_BYTES - 1 - len(tail)
    return "." + os.fsdecode(os.fsencode(name)[:room]) + tail


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
