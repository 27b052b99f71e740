"""What checking delivered photos needs: decoders, and the masks that a run once found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import DeviceError, PhotoError, WeightsError, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..codecs import DecodePool
    from ..engine import Engine
    from ..photo import Photo
    from ..verify import Made

BYTES_PER_SAMPLE = 12  # source, output, mask and coefficients, and what comparing them takes


class Decoders:
    """Decoding processes, started when they are first needed and ended with the stack.

    workers: how many decode at once; max_pixels: of a photo that is looked at.
    """

    def __init__(self, stack: ExitStack, workers: int, max_pixels: int) -> None:
        self._stack = stack
        self._workers = workers
        self._max_pixels = max_pixels
        self._pools: dict[str, DecodePool] = {}
        self._lock = Lock()

    def source(self, path: Path, made: Made) -> Photo:
        """Decode a source as the run did; what is left of it where it was damaged then.

        Raises:
            PhotoError: it cannot be decoded here.
        """
        return self._pool(made.raw_space).decode(path)

    def whole(self, path: Path) -> Photo:
        """Decode an output or a mask.

        Raises:
            PhotoError: it cannot be decoded, or is damaged.
        """
        return self._pool("srgb").decode_whole(path)

    def room(self, max_bytes: int) -> Callable[[Path], AbstractContextManager[None]]:
        """Return what holds the memory that looking at a photo takes, so much of it together."""
        from ..verify import Room

        room = Room(max_bytes)

        def lent(path: Path) -> AbstractContextManager[None]:
            try:
                header = self._pool("srgb").probe(path)
            except PhotoError:  # it will not be decoded either
                return room.lent(0)
            height, width = header.size
            return room.lent(height * width * max(3, header.channels) * BYTES_PER_SAMPLE)

        return lent

    def _pool(self, raw_space: Any) -> DecodePool:
        from ..codecs import DecodeOptions, DecodePool

        with self._lock:
            if raw_space not in self._pools:
                wish = DecodeOptions(self._max_pixels, accept_damaged=True, raw_space=raw_space)
                pool = self._stack.enter_context(DecodePool(self._workers, wish))
                self._pools[raw_space] = pool
            return self._pools[raw_space]


class _Key(NamedTuple):
    """What a mask depends on beside its photo."""

    weights: str
    device: str
    precision: str
    detail: bool
    keep_moles: bool


class Gates:
    """Masks found again, by the weights that found them first; one at a time, from any thread.

    weights: a file to use in place of the task's own; max_bytes: what the network may take.
    """

    def __init__(self, weights: Path | None, max_bytes: int) -> None:
        self._weights = weights
        self._max_bytes = max_bytes
        self._known: dict[_Key, Engine | str] = {}
        self._lock = Lock()

    def of(self, photo: Photo, made: Made) -> NDArray[np.float32]:
        """Compute g of a photo, (H, W) in [0, 1], stored orientation.

        Raises:
            NotHereError: the weights, or the device, that it takes are not here.
            PhotoError: the network refuses the photo.
        """
        from ..verify import NotHereError

        if made.verb == "remove":
            raise NotHereError("what was removed is known where --save-mask kept its mask")
        if made.provenance.style:
            raise NotHereError("grading may change every pixel")
        key = _Key(made.weights, made.device, made.precision, made.detail, made.keep_moles)
        with self._lock:
            if key not in self._known:
                self._known[key] = self._retoucher(key, made.provenance.task)
            found = self._known[key]
            if isinstance(found, str):
                raise NotHereError(found)
            return found.gate(photo)

    def _retoucher(self, key: _Key, task: str) -> Engine | str:
        """Load the network, or say why that cannot be done."""
        from ..engine.tasks import Means, make_engine
        from ..weights import find_each, hash_of

        if self._weights is None and not task:
            return "no mask was kept, and the weights were given by file: name it with --weights"
        try:
            files = {task: self._weights} if self._weights else find_each(task)
            if hash_of(files.values()) != key.weights:
                names = ", ".join(map(shown, files.values()))
                return f"{names} is not the weights file it was made with: see --weights"
            # the float32 result is the same but for its last bits, which are never seen at g = 0
            device = "cpu" if key.precision == "float32" else key.device
            means = Means(device, key.precision, self._max_bytes, key.detail, key.keep_moles)
            return make_engine(files, means)
        except WeightsError as error:
            return f"no mask was kept and its weights are not here ({error.fault}): see --weights"
        except OSError as error:
            return f"its weights cannot be read ({error.strerror}): see --weights"
        except DeviceError:
            return f"no mask was kept, and finding it anew takes {key.precision} on {key.device}"
