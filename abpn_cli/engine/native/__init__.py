"""The kernels for CPUs: `kernels.c`, where a compiler was at hand when abpn was installed.

The library comes with the wheel or with an editable install (build_kernel.py in the checkout). It
is made for every processor of its kind; what it may use of this one is asked when it is loaded.
Without it everything is done by torch, with the same result.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...nets.bpl import BLEND_LIMIT, LEAK, REFINE_CHANNELS, RefiningModule
from ...nets.csrnet import Step
from ...photo import Pixels

if TYPE_CHECKING:
    from ..colour import Image

LIBRARY = Path(__file__).with_name("_kernels.so")
VERSION = 3  # of what its functions take and return: ABPN_VERSION in kernels.c
SETS = {16: "avx512", 8: "avx2", 4: "generic"}  # instruction sets by how many floats they take
AT_ONCE = 4  # channels of features, in either kernel, that are summed together
# Winograd's F(2, 3): a column of three weights as four, for four rows that make two at once.
MIXING = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])

Floats = NDArray[np.float32]


class Kernel(NamedTuple):
    """The functions of one instruction set."""

    name: str
    library: ctypes.CDLL

    def refine(self, module: Floats, layer: Image, high_freq: Image) -> Image:
        """B_i = φ2(lrelu(φ1([u, H_i]))) + u, clamped: (h, w, 3), u, and H_i to the same shape.

        module: as `laid_out` makes it.
        """
        layer, high_freq = (np.ascontiguousarray(each) for each in (layer, high_freq))
        refined = np.empty_like(layer)
        refine = self._function("refine")
        if refine(*map(_at, (module, layer, high_freq, refined)), *layer.shape[:2]):
            raise MemoryError
        return refined

    def blend(
        self, terms: Floats, base: Image, layer: Image, factor: Floats
    ) -> tuple[Image, float]:
        """Σ k_i·x^i + B·factor·Σ j_i·x^i of base x, (h, w, 3), and the largest |B·factor|.

        terms: (6,), j and k; factor: (h, w). The largest is NaN or infinity where there is any.
        """
        base, layer = _in_rows(base), _in_rows(layer)
        factor = np.ascontiguousarray(factor)
        blended = np.empty(layer.shape, np.float32)
        blend = self._function("blend")
        blend.restype = ctypes.c_float
        rows = (_at(base), _row(base), _at(layer), _row(layer))
        largest = blend(_at(terms), *rows, _at(factor), _at(blended), *layer.shape[:2])
        return blended, largest

    def lay(self, image: Image, before: Pixels, factor: Floats) -> tuple[Pixels, int]:
        """Image (h, w, 3), clamped to [0, 1], as integers where the factor (h, w) is above 0.

        before: integers that stay elsewhere. Returns the new ones, and how many pixels changed.
        """
        image, factor = np.ascontiguousarray(image), np.ascontiguousarray(factor)
        old = np.ascontiguousarray(before)
        after: Pixels = np.empty_like(before, order="C")
        lay = self._function(f"lay{8 * before.itemsize}")
        lay.restype = ctypes.c_long
        pixels = ctypes.c_long(factor.size)
        return after, lay(*map(_at, (image, old, factor, after)), pixels)

    def bend(self, curve: Floats, values: Floats) -> Floats:
        """Put values of any shape through a tone curve: the same shape, float32.

        curve: (9,) as `struct curve` of kernels.c has it. What is no number stays so.
        """
        values = np.ascontiguousarray(values, np.float32)
        bent = np.empty_like(values)
        self._function("curve")(*map(_at, (curve, values, bent)), ctypes.c_long(values.size))
        return bent

    def map_colours(self, looks: Floats, before: Image) -> Image:
        """Map (P, 3) colours in [0, 1] to the same: Σ share·clamp(look), NaN where a look gives it.

        looks: (styles, n), rows as `look_laid_out` makes them.
        """
        before = np.ascontiguousarray(before)
        after = np.empty_like(before)
        count = ctypes.c_long(len(before))
        self._function("colours")(_at(looks), len(looks), *map(_at, (before, after)), count)
        return after

    def grade(
        self, looks: Floats, before: Pixels, factor: np.float32 | Floats
    ) -> tuple[Pixels, int] | None:
        """Grade integers (h, w, 3), read as sRGB; None where a look gives no numbers.

        looks: as of `map_colours`; factor: how much of the edit lands, a number or (h, w); where it
        is not above 0 the integers stay. Returns the new ones, and how many pixels changed.
        """
        each = np.ndim(factor) > 0
        old, factors = np.ascontiguousarray(before), np.ascontiguousarray(factor, np.float32)
        after: Pixels = np.empty_like(before, order="C")
        grade = self._function(f"grade{8 * before.itemsize}")
        grade.restype = ctypes.c_long
        pixels = ctypes.c_long(old.shape[0] * old.shape[1])
        changed = grade(_at(looks), len(looks), *map(_at, (old, factors)), each, _at(after), pixels)
        return None if changed < 0 else (after, changed)

    def _function(self, task: str) -> Any:
        return self.library[f"abpn_{task}_{self.name}"]  # looked up, so each caller has its own


@lru_cache(maxsize=1)
def kernels() -> Sequence[Kernel]:
    """Kernels that run here, the fastest first; none where there is no library that fits."""
    try:
        library = ctypes.CDLL(str(LIBRARY))
        fits = library.abpn_version() == VERSION
    except (OSError, AttributeError):  # none was built, or one for another system
        return ()
    lanes = [library.abpn_lanes(which) for which in range(len(SETS))] if fits else []
    return [Kernel(SETS[count], library) for count in lanes if count]


def laid_out(module: RefiningModule) -> Floats:
    """A refining module as `struct module` of kernels.c has it."""
    first, second = (
        _mixed(conv.weight.detach().cpu().numpy()) for conv in (module.phi1, module.phi2)
    )
    groups = first.reshape(len(MIXING), REFINE_CHANNELS // AT_ONCE, AT_ONCE, *first.shape[2:])
    assert module.phi1.bias is not None and module.phi2.bias is not None
    parts = (
        np.array([BLEND_LIMIT, LEAK]),
        module.phi1.bias.detach().cpu().numpy(),
        groups.transpose(0, 1, 3, 4, 2),
        module.phi2.bias.detach().cpu().numpy(),
        second.transpose(0, 2, 3, 1),
    )
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def look_laid_out(steps: tuple[Step, Step, Step], share: float) -> Floats:
    """One style's layers for one photo, and its share of the mix, as `struct look` has them."""
    parts = [np.array([share])]
    for matrix, offset in steps:
        weights = matrix.detach().cpu().numpy()  # (outputs, inputs)
        at_once = AT_ONCE if len(weights) % AT_ONCE == 0 else len(weights)
        groups = weights.reshape(-1, at_once, weights.shape[1])
        parts += [offset.detach().cpu().numpy(), groups.transpose(0, 2, 1)]
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def _mixed(weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """(outputs, inputs, 3, 3) to (4, outputs, inputs, 3)."""
    return np.asarray(np.einsum("rd,oidk->roik", MIXING, weight.astype(np.float64)))


def _in_rows(image: Image) -> Image:
    """The same with the pixels of a row side by side, as in most parts cut from a whole image."""
    return image if image.strides[1:] == (12, 4) else np.ascontiguousarray(image)


def _row(image: Image) -> ctypes.c_long:
    """How many floats from row to row."""
    return ctypes.c_long(image.strides[0] // image.itemsize)


def _at(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
