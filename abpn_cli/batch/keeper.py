"""The journal while a run writes it: locked, appended to, flushed; see `journal` for its lines."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import PhotoError, TargetError
from ..files import Content, content_of, sweep, target_error
from ..photo import Job, Outcome
from .journal import Ledger, Record, Run, journal_path, open_journal, read_lines
from .plan import linked_folder, through, written_by
from .resume import UP_TO_DATE

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def keep_journal(out: Path) -> Iterator[Keeper]:
    """Open an output folder's journal, and hold it for one run alone while the block lasts.

    The folder and the journal are made where they are not there yet; what killed runs left
    unfinished in the folder is removed, but where a run on a folder inside or around it is at work.
    The lock is the kernel's: it goes with the process, however that ends.

    Raises:
        TargetError: another run holds it, or the folder cannot be written.
    """
    path = journal_path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = open_journal(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        raise target_error(path, error) from error
    with file:
        warnings = _lock(file, path)
        ledger = read_lines(file, path)
        keeper = Keeper(out, file.fileno(), ledger, (*warnings, *ledger.warnings))
        keeper.check_place()
        try:
            os.ftruncate(file.fileno(), ledger.end)  # a line torn by a kill
        except OSError as error:
            raise target_error(path, error) from error
        if not any(map(_is_held, out.resolve().parents)):
            sweep(out, _is_held)
        yield keeper


@contextmanager
def keep_swept(out: Path) -> Iterator[None]:
    """Remove what killed runs left in a folder without a journal; hold it while the block lasts.

    Any number of runs may hold a folder so. It is swept where none does, and no run that keeps a
    journal is at work in it or around it; not where its disk knows no locks. It is made where it is
    not there yet.

    Raises:
        TargetError: the folder cannot be made, or a leftover not removed.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise target_error(out, error) from error
    try:
        if _locked(descriptor, fcntl.LOCK_EX):
            real = out.resolve()
            if not any(map(_is_held, (real, *real.parents))):
                sweep(out, _is_held)
        _locked(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    """Lock a folder, without waiting; tell whether that was possible."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError:  # another run has it, or its disk knows no locks
        return False
    return True


def _lock(file: BinaryIO, path: Path) -> list[str]:
    """Lock an open journal; return a warning where its file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise TargetError(
            path,
            "another run is writing into this folder",
            "Wait until it has ended, or choose another --out.",
        ) from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise target_error(path, error) from error
        return ["The output folder's disk knows no locks: start no second run on it."]
    return []


def _is_held(folder: Path) -> bool:
    """Tell whether another run is writing into a folder."""
    try:
        with open_journal(journal_path(folder), os.O_RDONLY) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, TargetError):  # no journal, none that may be read, or no locks
        return False
    return False


class Keeper:
    """Writes the journal of one run. Any thread may call it.

    ledger:   what the journal held when the run began; warnings: what was odd about it.
    """

    def __init__(
        self, out: Path, descriptor: int, ledger: Ledger, warnings: tuple[str, ...] = ()
    ) -> None:
        self.out = out
        self.ledger = ledger
        self.warnings = warnings
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._run: Run | None = None

    def begin(self, run: Run) -> None:
        """Write what this run works with; before any photo.

        Raises:
            TargetError: the journal cannot be written.
        """
        self._run = run
        self._append(run.line())

    @property
    def run(self) -> Run:
        """What this run works with, as it was begun."""
        assert self._run is not None  # the run was begun
        return self._run

    def delivery(self, job: Job) -> Delivery:
        """Begin to deliver a photo: call it before anything of the photo is written.

        Raises:
            TargetError: the output folder has gone.
            PhotoError: a link in the output folder would lead the photo elsewhere.
        """
        run = self.run
        self.check_place()
        for written in written_by(job):
            link = linked_folder(self.out, written)
            if link is not None:
                raise PhotoError(job.source, *through(link))
        return Delivery(self, run, job)

    def intend(self, output: str, sha256: str) -> None:
        """Write that a file is about to take its name."""
        fields = {"output": output, "output_sha256": sha256}
        self._append({"schema": 1, "entry": "intent", **fields})

    def record(self, record: Record) -> None:
        """Write how a photo went."""
        self._append(record.line())

    def failures(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Pass outcomes on, and write those that failed or need no doing after they had failed.

        Where that is impossible, the run goes on to its end, or to what stops it; a photo can
        then not be delivered either.

        Raises:
            TargetError: after the last outcome, that a line could not be written.
        """
        trouble: TargetError | None = None
        for outcome in outcomes:
            yield outcome
            news = self._news(outcome)
            if news is not None and trouble is None:
                try:
                    self.record(news)
                except TargetError as error:
                    trouble = error
        if trouble is not None:
            raise trouble

    def _news(self, outcome: Outcome) -> Record | None:
        """Return the line that a photo needs which was not delivered, None where it needs none."""
        name = self.name_of(outcome.job.target)
        if outcome.status == "failed":
            return _failure(outcome, name, self._run)
        latest = self.ledger.latest.get(name)
        if outcome.job.skip != UP_TO_DATE or latest is None or latest.status != "failed":
            return None
        return self.ledger.done[name]  # it stands for the photo again

    def name_of(self, path: Path) -> str:
        """Return the name that the journal has for a file in the output folder."""
        return path.relative_to(self.out).as_posix()

    def check_place(self) -> None:
        """Make sure that the output folder is still the one in which the run began.

        A folder that was removed, or whose disk was taken away, must not be made anew: its
        outputs would be lost, or fill the disk below.

        Raises:
            TargetError: the journal is not there any more, or is another file.
        """
        ours = os.fstat(self._descriptor)
        try:
            there = os.lstat(journal_path(self.out))
        except OSError:
            there = None
        if there is None or not os.path.samestat(ours, there):
            raise TargetError(
                self.out,
                "the output folder, or its journal, has gone during the run",
                "Bring it, or its disk, back and run again.",
            )

    def _append(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line).encode("ascii") + b"\n"
        with self._lock:
            self.check_place()
            try:
                before = os.fstat(self._descriptor).st_size
                if os.write(self._descriptor, data) != len(data):
                    os.ftruncate(self._descriptor, before)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(self._descriptor)
            except OSError as error:
                raise target_error(journal_path(self.out), error) from error


class Delivery:
    """One photo's files on their way to their names, and its lines in the journal."""

    def __init__(self, keeper: Keeper, run: Run, job: Job) -> None:
        self._keeper = keeper
        self._run = run
        self._job = job
        self._written: dict[str, Content] = {}

    def ready(self, target: Path) -> Callable[[Path], None]:
        """Return what to call with the unfinished file, once it is whole, before it is renamed."""
        name = self._keeper.name_of(target)

        def note(temp: Path) -> None:
            content = content_of(temp)
            self._keeper.intend(name, content.sha256)
            self._written[name] = content

        return note

    def done(self, digest: str) -> None:
        """Write that all files bear their names.

        digest: the hash of the source's bytes that were decoded.

        Raises:
            TargetError: the journal cannot be written.
        """
        job = self._job
        output = self._keeper.name_of(job.target)
        companions = dict(self._written)
        delivered = companions.pop(output)
        self._keeper.record(
            Record(
                source=os.path.abspath(job.source),  # noqa: PTH100 (no link is resolved)
                relative=job.relative.as_posix(),
                output=output,
                status="done",
                size=_size_of(job.source),
                sha256=digest,
                weights=self._run.weights,
                settings=self._run.settings_digest,
                inputs=dict(job.inputs),
                output_size=delivered.size,
                output_sha256=delivered.sha256,
                companions={name: content.sha256 for name, content in companions.items()},
            )
        )


def _failure(outcome: Outcome, output: str, run: Run | None) -> Record:
    job = outcome.job
    return Record(
        source=os.path.abspath(job.source),  # noqa: PTH100 (no link is resolved)
        relative=job.relative.as_posix(),
        output=output,
        status="failed",
        weights=run.weights if run else "",
        settings=run.settings_digest if run else "",
        inputs=dict(job.inputs),
        error=outcome.error,
    )


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:  # it has gone since it was decoded; its hash says what it was
        return None
