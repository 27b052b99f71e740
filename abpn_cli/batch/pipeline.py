"""Settle, decode, retouch, encode: a few photos in hand at once, one `Outcome` each, in order.

Settling, whether there is anything to do, runs ahead of decoding, decoding ahead of the network,
and encoding behind it. The network runs in the caller's thread, and so does every decision: which
photo comes next, and whether there is room for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Generic, NamedTuple, TypeVar

from ..cores import Cores
from ..errors import AbpnError, PhotoError
from ..photo import Edit, Job, Outcome, Photo, Seconds

Product = TypeVar("Product")
Result = TypeVar("Result")
Core = Callable[[], AbstractContextManager[None]]  # entered by whoever computes

OUTCOMES_AHEAD = 256  # skipped and failed photos that may wait for a slow one before them
SETTLING_AHEAD = 8  # jobs that are being settled, or are settled and wait for room


class Limits(NamedTuple):
    """How much may be in hand at once.

    photos: photos decoded or being decoded, retouched, encoded; bytes: their cost together;
    settlers, decoders, encoders: how many of each work at the same time.
    """

    photos: int = 4
    bytes: int = 2**30
    decoders: int = 2
    encoders: int = 2
    settlers: int = 2


class Finished(NamedTuple, Generic[Product]):
    """What the network made of a photo: what `encode` wants, and what is told of it."""

    product: Product
    edit: Edit
    warnings: tuple[str, ...]


def unsettled(job: Job) -> Job:
    """Leave a job as the plan has it."""
    return job


class Timed(NamedTuple, Generic[Result]):
    """A result and the seconds it took."""

    result: Result
    seconds: float


@dataclass(frozen=True)
class Stages(Generic[Product]):
    """The work, as functions.

    cost:    in a thread, bytes a job will hold from decoding to encoding; may raise PhotoError.
    decode:  in a thread; may raise PhotoError.
    retouch: in the caller's thread; may raise PhotoError.
    encode:  in a thread, returns further warnings; may raise PhotoError or TargetError.
    settle:  in a thread, gives a job its reason to be skipped, if it has one; may raise PhotoError.
    """

    cost: Callable[[Job], int]
    decode: Callable[[Job], Photo]
    retouch: Callable[[Job, Photo], Finished[Product]]
    encode: Callable[[Job, Product], tuple[str, ...]]
    settle: Callable[[Job], Job] = unsettled


def run(
    jobs: Iterable[Job],
    stages: Stages[Product],
    limits: Limits,
    stopped: Callable[[], bool],
    cores: Cores | None = None,
) -> Iterator[Outcome]:
    """Do the jobs; yield one outcome each, in their order.

    cores: of which every stage of a photo holds one while it works, where there are any.

    A PhotoError costs its photo. Any other error of ours ends the run: photos being written are
    finished and told of, the rest is dropped, then the error is raised. The same, without an
    error, once `stopped()` is true. Anything else is a bug and comes through at once.
    """
    with (
        ThreadPoolExecutor(limits.settlers) as settlers,
        ThreadPoolExecutor(limits.decoders) as decoders,
        ThreadPoolExecutor(limits.encoders) as encoders,
    ):
        crews = _Crews(settlers, decoders, encoders)
        belt = _Belt(iter(jobs), stages, limits, crews, cores.one if cores else nullcontext)
        try:
            while belt.advance(stopped()):
                yield from belt.settled()
        finally:
            for crew in crews:
                crew.shutdown(wait=False, cancel_futures=True)
    if belt.fatal is not None:
        raise belt.fatal


class _Crews(NamedTuple):
    """The threads of each stage."""

    settlers: ThreadPoolExecutor
    decoders: ThreadPoolExecutor
    encoders: ThreadPoolExecutor


@dataclass
class _InHand:
    """A job between its start and its outcome; exactly one of the last three is at work."""

    job: Job
    bytes: int = 0
    outcome: Outcome | None = None
    decoding: Future[Timed[Photo]] | None = None
    encoding: Future[Timed[tuple[str, ...]]] | None = None

    def holds_pixels(self) -> bool:
        """Whether its photo is still in memory."""
        return self.decoding is not None or (self.encoding is not None and not self.encoding.done())


class _Settled(NamedTuple):
    """A job with its reason to be skipped, if it has one, and its cost in bytes, if it has none."""

    job: Job
    cost: int


class _Belt(Generic[Product]):
    """The photos in hand, in order: at the left being written, then decoded, then decoding."""

    def __init__(
        self,
        feed: Iterator[Job],
        stages: Stages[Product],
        limits: Limits,
        crews: _Crews,
        core: Core,
    ) -> None:
        self.feed = feed
        self.stages = stages
        self.limits = limits
        self.crews = crews
        self.core = core
        self.settling: deque[tuple[Job, Future[_Settled]]] = deque()
        self.line: deque[_InHand] = deque()
        self.waiting: _InHand | None = None  # costed, and too large for the room there is
        self.closed = False  # no photo comes any more
        self.fatal: AbpnError | None = None

    def advance(self, stop: bool) -> bool:
        """Take one step; return False when nothing is left in hand and none will come."""
        self._notice_fatal()
        if stop or self.fatal:
            self._close()
        self._admit()
        if self._leftmost_settled():
            return True
        head = next((item for item in self.line if item.decoding is not None), None)
        if head is not None and head.decoding is not None and head.decoding.done():
            self._retouch(head, head.decoding)
        else:
            self._wait(head)
        return bool(self.line) or not self.closed

    def settled(self) -> Iterator[Outcome]:
        """Yield the outcomes that are next in order and known."""
        while self._leftmost_settled():
            yield self._outcome(self.line.popleft())

    def _leftmost_settled(self) -> bool:
        if not self.line:
            return False
        item = self.line[0]
        return item.decoding is None and (item.encoding is None or item.encoding.done())

    def _wait(self, head: _InHand | None) -> None:
        """Sleep until a photo is settled, or decoded and next, or written: whatever is first."""
        pending: list[Future[Any]] = [
            item.encoding for item in self.line if item.encoding and not item.encoding.done()
        ]
        if head is not None and head.decoding is not None:
            pending.append(head.decoding)
        if self.waiting is None and self.settling and len(self.line) < OUTCOMES_AHEAD:
            pending.append(self.settling[0][1])
        if pending:
            wait(pending, return_when=FIRST_COMPLETED)

    def _admit(self) -> None:
        """Start decoding while there is room; one photo is always let in."""
        while not self.closed and len(self.line) < OUTCOMES_AHEAD:
            self._settle()
            item = self.waiting or self._next()
            if item is None:
                self.closed = not self.settling
                return
            if item.outcome is None and not self._has_room(item.bytes):
                self.waiting = item
                return
            self.waiting = None
            if item.outcome is None:
                decode = self.stages.decode
                item.decoding = self.crews.decoders.submit(_timed, self.core, decode, item.job)
            self.line.append(item)

    def _settle(self) -> None:
        """Keep some jobs being settled."""
        while len(self.settling) < SETTLING_AHEAD:
            job = next(self.feed, None)
            if job is None:
                return
            settled: Future[_Settled]
            if job.skip:
                settled = Future()
                settled.set_result(_Settled(job, 0))
            else:
                settled = self.crews.settlers.submit(_settle_and_cost, self.core, self.stages, job)
            self.settling.append((job, settled))

    def _next(self) -> _InHand | None:
        """Take the next job in order, None where it is not settled yet or there is none."""
        if not self.settling or not self.settling[0][1].done():
            return None
        job, settled = self.settling.popleft()
        try:
            job, cost = settled.result()
        except PhotoError as error:
            return _InHand(job, outcome=_failed(job, error))
        except AbpnError as error:  # it ends the run: the photo is simply not come to
            self._note(error)
            return None
        if job.skip:
            return _InHand(job, outcome=Outcome(job, "skipped", warnings=job.warnings))
        return _InHand(job, bytes=cost)

    def _has_room(self, bytes_: int) -> bool:
        held = [item.bytes for item in self.line if item.holds_pixels()]
        return not held or (
            len(held) < self.limits.photos and sum(held) + bytes_ <= self.limits.bytes
        )

    def _retouch(self, item: _InHand, decoded: Future[Timed[Photo]]) -> None:
        """Take a decoded photo through the network and hand it on to be written."""
        item.outcome = Outcome(item.job, "done")
        item.decoding = None  # the photo is held by this frame alone, and let go with it
        try:
            photo, seconds = decoded.result()
            height, width = photo.pixels.shape[:2]
            item.outcome = replace(
                item.outcome,
                seconds=Seconds(decode=seconds),
                megapixels=height * width / 1e6,
                warnings=item.job.warnings + photo.warnings,
            )
            finished, seconds = _timed(self.core, self.stages.retouch, item.job, photo)
        except AbpnError as error:
            self._note(error)
            item.outcome = _failed(item.job, error, item.outcome)
            return
        item.outcome = replace(
            item.outcome,
            seconds=replace(item.outcome.seconds, retouch=seconds),
            edit=finished.edit,
            warnings=item.job.warnings + finished.warnings,
        )
        item.encoding = self.crews.encoders.submit(
            _timed, self.core, self.stages.encode, item.job, finished.product
        )

    def _outcome(self, item: _InHand) -> Outcome:
        """Return how a job went, its writing included."""
        outcome = item.outcome
        assert outcome is not None  # it left the decoding stage
        if item.encoding is None:
            return outcome
        try:
            warnings, seconds = item.encoding.result()
        except AbpnError as error:
            self._note(error)
            return _failed(item.job, error, outcome)
        return replace(
            outcome,
            seconds=replace(outcome.seconds, encode=seconds),
            warnings=outcome.warnings + warnings,
        )

    def _notice_fatal(self) -> None:
        """Look at photos already written, those not yet next in order included."""
        for item in self.line:
            if item.encoding is not None and item.encoding.done():
                self._note(item.encoding.exception())

    def _note(self, error: BaseException | None) -> None:
        """Remember the first error of ours that costs more than its photo."""
        if isinstance(error, AbpnError) and not isinstance(error, PhotoError):
            self.fatal = self.fatal or error

    def _close(self) -> None:
        """Let no more photos in, and drop those that are not being written."""
        self.closed = True
        for _, settled in self.settling:
            settled.cancel()
        for item in self.line:
            if item.decoding is not None:
                item.decoding.cancel()
        self.line = deque(item for item in self.line if item.decoding is None)


def _settle_and_cost(core: Core, stages: Stages[Any], job: Job) -> _Settled:
    """Settle a job and, where there is something to do, estimate what it will hold."""
    with core():
        job = stages.settle(job)
        return _Settled(job, 0 if job.skip else stages.cost(job))


def _timed(core: Core, work: Callable[..., Result], *arguments: object) -> Timed[Result]:
    """Do the work on a core and say how long it took, the waiting for one not counted."""
    with core():
        start = perf_counter()
        result = work(*arguments)
        return Timed(result, perf_counter() - start)


def _failed(job: Job, error: AbpnError, so_far: Outcome | None = None) -> Outcome:
    """Return the outcome of a photo that failed, with what is known of it."""
    outcome = so_far or Outcome(job, "failed", warnings=job.warnings)
    return replace(outcome, status="failed", error=str(error))
