"""Files read whole and written whole: the one place that opens sources and targets."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .errors import PhotoError, TargetError

TEMP_SUFFIX = ".abpn-tmp"
MAX_NAME_BYTES = 255

_TEMP_NAME = re.compile(r"\..+\.\d+(-\d+)?" + re.escape(TEMP_SUFFIX), re.DOTALL)
_numbers = itertools.count()  # two long names may be cut to the same beginning
_unfinished: set[Path] = set()  # temporary files of this process, for `discard_unfinished`

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
    errno.ENOENT: ("the output folder has gone", "Bring it, or its disk, back and run again."),
    errno.ESTALE: ("the output folder has gone", "Bring it, or its disk, back and run again."),
    errno.EIO: ("the disk reports an error", "Check the disk, or choose another output folder."),
}


class Content(NamedTuple):
    """What a file holds: its size in bytes and its SHA-256, in hexadecimal."""

    size: int
    sha256: str


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


def content_of(path: Path) -> Content:
    """Read a regular file through and return its size and hash. Raises OSError."""
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
        raise OSError(errno.EINVAL, "not a regular file")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Content(file.tell(), digest.hexdigest())


def not_asked(temp: Path) -> None:
    """Do nothing: nobody wants to know when a file is ready."""


def write_atomic(
    target: Path, write: Callable[[Path], None], ready: Callable[[Path], None] = not_asked
) -> None:
    """Write a file so that under its final name it is either whole or not there.

    write: is called with the path of a hidden file in the target's folder, which it fills. The
    file is then flushed to the disk and takes the target's place; on any error it is removed.
    ready: is called with the hidden file when it is whole, before it takes the target's place;
    what it raises stops that.
    Raises PhotoError where a folder has the file's name, which concerns this file alone, and
    TargetError where the folder or the file cannot be written.
    """
    temp = target.with_name(_temp_name(target.name))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _unfinished.add(temp)
        try:
            write(temp)
            _flush(temp)
            ready(temp)
            os.replace(temp, target)  # noqa: PTH105 (Path.replace is this very call)
        except BaseException:
            _remove(temp)
            raise
        finally:
            _unfinished.discard(temp)
        _flush_folder(target.parent)
    except IsADirectoryError as error:
        raise PhotoError(target, *_WRITE_FAULTS[errno.EISDIR]) from error
    except OSError as error:
        raise target_error(target, error) from error


def target_error(target: Path, error: OSError) -> TargetError:
    """Put an OSError met in writing into words: the target, the fault and the remedy."""
    words = (f"it cannot be written ({error.strerror or error})", "Check the output folder.")
    return TargetError(target, *_WRITE_FAULTS.get(error.errno or 0, words))


def discard_unfinished() -> None:
    """Remove the temporary files of this process; for one that is about to end at once."""
    for temp in tuple(_unfinished):
        _remove(temp)


def is_leftover(name: str) -> bool:
    """Tell whether a file name is one that `write_atomic` gives to unfinished files."""
    return _TEMP_NAME.fullmatch(name) is not None


def sweep(root: Path, spared: Callable[[Path], bool]) -> list[Path]:
    """Remove what killed runs left unfinished under a folder; return what was removed.

    spared: tells of a folder inside whether it is passed by, with all that it holds.
    Links are neither followed nor removed. Nothing else may be writing there. Raises TargetError
    where a leftover cannot be removed.
    """
    removed = []
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = [name for name in folders if not spared(Path(folder, name))]
        for name in filter(is_leftover, names):
            file = Path(folder, name)
            try:
                if stat.S_ISREG(file.lstat().st_mode):
                    file.unlink()
                    removed.append(file)
            except OSError as error:
                raise target_error(file, error) from error
    return removed


def _temp_name(name: str) -> str:
    """Return a hidden name for the unfinished file, no longer than file systems allow."""
    tail = f".{os.getpid()}-{next(_numbers)}{TEMP_SUFFIX}"
    room = MAX_NAME_BYTES - 1 - len(tail)
    return "." + os.fsdecode(os.fsencode(name)[:room]) + tail


def _remove(temp: Path) -> None:
    """Remove an unfinished file; that it cannot be removed must not hide why it is."""
    with suppress(OSError):
        temp.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make a new name in a folder last, where the file system knows how to."""
    with suppress(OSError):  # some network disks do not; the file itself is on the disk
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
