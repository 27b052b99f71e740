"""What is made only when a photo needs it: networks and decoders, which take seconds."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from ..batch.pipeline import Stages
    from ..photo import Job

Product = TypeVar("Product")
Thing = TypeVar("Thing")


@contextmanager
def torch_coming() -> Iterator[None]:
    """Around the import of torch: what it brings stays to the end.

    Looking for garbage among its hundred thousands of objects, as they come and once more when the
    program ends, takes 0.3 s and finds none.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Workshop(NamedTuple, Generic[Product]):
    """All that photos are done with; device: where the network runs; computed_by: by what."""

    stages: Stages[Product]
    device: str
    computed_by: str


class Late(Generic[Thing]):
    """Something that is made when it is first wanted, from any thread."""

    def __init__(self, make: Callable[[], Thing]) -> None:
        self._make = make
        self._made: list[Thing] = []
        self._lock = Lock()

    def get(self) -> Thing:
        """Return it; what stops it from being made is raised."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


def put_off(workshop: Late[Workshop[Product]], settle: Callable[[Job], Job]) -> Stages[Product]:
    """Return stages that are made for the first photo that needs doing: there may be none."""
    from ..batch.pipeline import Stages

    return Stages(
        cost=lambda job: workshop.get().stages.cost(job),
        decode=lambda job: workshop.get().stages.decode(job),
        retouch=lambda job, photo: workshop.get().stages.retouch(job, photo),
        encode=lambda job, product: workshop.get().stages.encode(job, product),
        settle=settle,
    )
