"""Styles as `--style` names them: one, or a mix, and the files that hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import UsageError, WeightsError, shown
from .late import torch_coming
from .made import hash_of_weights
from .options import check_file_name, memory_bytes

if TYPE_CHECKING:
    from ..cores import Cores
    from ..engine.grading import Grader
    from .shoot import Craft, Settings

ROUNDING = 1e-6  # shares as people write them: 0.33,0.33,0.34


class Share(NamedTuple):
    """A style of a mix and its share, in (0, 1]; those of a mix add up to 1."""

    name: str
    share: float


def mix_of(text: str) -> tuple[Share, ...]:
    """Read `--style`: names separated by commas, each with its share behind a colon, or without.

    What the shares leave goes, in equal parts, to the names without one: "warm,film:0.4" is six
    parts of warm and four of film. Returned in an order of ours, as theirs changes nothing.

    Raises:
        UsageError: no name, one twice, or shares that make no whole.
    """
    shares = [_share(text, part) for part in text.split(",")]
    names = [name for name, _ in shares]
    if len(set(names)) < len(names):
        raise UsageError(f"--style {text}: names a style twice. Name each once.")
    given = [share for _, share in shares if share is not None]
    free = len(shares) - len(given)
    rest = 1 - sum(given)
    if abs(rest) <= ROUNDING if free else abs(rest) > ROUNDING:
        told = "nothing is left for the others" if free else f"the shares add up to {1 - rest:g}"
        raise UsageError(f"--style {text}: {told}. Write it as warm,film:0.4.")
    if rest < -ROUNDING:
        raise UsageError(
            f"--style {text}: the shares add up to {1 - rest:g}. Write it as warm,film:0.4."
        )
    return tuple(
        Share(name, rest / free if share is None else share) for name, share in sorted(shares)
    )


def _share(text: str, part: str) -> tuple[str, float | None]:
    name, colon, number = (each.strip() for each in part.partition(":"))
    if not name:
        raise UsageError(f"--style '{text}': names no style. `abpn weights` lists them.")
    check_file_name("--style", name, "style")
    if not colon:
        return name, None
    try:
        share = float(number)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise UsageError(
            f"--style {text}: '{number}' is no share. Give a number above 0, 1 at most, as in "
            "warm,film:0.4."
        )
    return name, share


def told(mix: Sequence[Share]) -> str:
    """Say a mix in the one way that journals and histories have it."""
    if len(mix) == 1:
        return mix[0].name
    return ",".join(f"{name}:{share:.6g}" for name, share in mix)


def craft_of(settings: Settings, mix: Sequence[Share], look: Mapping[str, Any]) -> Craft[Grader]:
    """Settle with what photos are graded.

    look: what else changes how all of them come out, as JSON knows it.

    Raises:
        WeightsError: no such style, no such file, or it is damaged.
    """
    from ..weights import GRADE, find
    from .shoot import Craft

    if settings.weights is None:
        files = {name: find(name, GRADE) for name, _ in mix}
    elif settings.weights.is_file():
        files = {mix[0].name: settings.weights}
    else:
        raise WeightsError(
            settings.weights, "no such weights file", "Check --weights, or use --style alone."
        )
    choices = {"style": settings.style, "raw_space": settings.raw_space.value, **look}
    load = partial(load_grader, settings, files, mix)
    return Craft(files, hash_of_weights(files), choices, load)


def load_grader(
    settings: Settings, files: Mapping[str, Path], mix: Sequence[Share], cores: Cores
) -> Grader:
    """Load the styles.

    Raises:
        WeightsError, DeviceError, UsageError: as `Grader`.
    """
    with torch_coming():
        from ..engine.grading import Grader, Style

    styles = [Style(files[name], share) for name, share in mix]
    return Grader(styles, settings.device, memory_bytes(settings.max_memory), cores)


def title_of(settings: Settings, strength: float) -> str:
    """Name a look, for the head of a `.cube` file: plain text on one line."""
    words = f"abpn {settings.style}" + ("" if strength == 1 else f", strength {strength:g}")
    return shown(words).replace('"', "'")
