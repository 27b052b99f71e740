"""`abpn train --net csrnet`: a style for `abpn grade`, from pairs or from photos alone."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UsageError, shown
from . import options
from .train_data import photos_apart
from .train_means import check_out, teller

if TYPE_CHECKING:
    from ..training.colour_pairs import Coloured, ColourSource
    from ..training.grading import Base, Verdict

STEPS = 16_000
STEPS_FROM = 300  # of a style that goes on from another
BATCH = 8
RATE = 2e-3
ENOUGH = 30  # pairs; a look is not to be learnt from fewer
DEFAULT_TASK = "cloth"  # of `abpn train`, which is no style's name


class StyleAsked(NamedTuple):
    """The options of a run that have a part in a style's training, as given."""

    out: Path
    pairs: tuple[Path, Path] | None
    photos: Path | None
    list: Path | None
    held_out: Path | None
    style: str
    start: Path | None
    steps: int | None
    batch: int | None
    rate: float | None
    side: int | None
    seed: int
    every: int
    freeze_base: bool
    licence: str
    known_failures: tuple[str, ...]
    installs: bool


class _Lesson(NamedTuple):
    """What a run learns from and is judged by; photos: how many; about: for the card."""

    source: ColourSource
    held_out: list[Coloured]
    photos: int
    about: dict[str, object]


def train_style(asked: StyleAsked) -> None:
    """Train, or go on training, and write the style with its card.

    Raises:
        UsageError, WeightsError, TargetError: the run cannot be meant, or not be written.
    """
    from ..report.training import training_log
    from ..training import grading

    style = _style_of(asked)
    base = _start_of(asked)
    check_out(asked.out, asked.pairs or ())
    tell = teller()
    lesson = _lesson(asked, tell)
    steps = asked.steps or (STEPS if base is None else STEPS_FROM)
    settings = grading.Settings(
        steps, asked.rate or RATE, asked.batch or BATCH, asked.side, seed=asked.seed,
        every=asked.every, freeze_base=asked.freeze_base,
    )  # fmt: skip
    trainer = grading.GradeTrainer(settings, lesson.source, base.net if base else None)
    checkpoint = asked.out / grading.CHECKPOINT
    if checkpoint.exists():
        trainer.resume(checkpoint)
    with training_log(settings.steps) as log:
        trainer.run(
            log.step,
            lambda step, net: log.judged(step, _words(grading.judge(net, lesson.held_out))),
            checkpoint,
        )
    verdict = grading.judge(trainer.average, lesson.held_out)
    card: dict[str, object] = {
        "command": shlex.join(["abpn", *sys.argv[1:]]),
        "licence": asked.licence,
        "known failures": list(asked.known_failures),
        "data": lesson.about,
        "metrics": _words(verdict),
    }
    if base is not None:
        card["from"] = dict(base.about)
    done = grading.export(trainer, asked.out, style, card)
    harm = "" if verdict.harm is None else f"; {verdict.harm:.2f} CIE76 from photos that are right"
    tell(f"held-out photos: {verdict.before:.2f} dB, graded {verdict.after:.2f} dB{harm}")
    tell(f"weights: {shown(done)}")
    if asked.installs:
        from ..training.session import install

        tell(f"installed: {shown(install(done))}; `abpn grade --style {style}` uses it")


def _style_of(asked: StyleAsked) -> str:
    """Settle what the style is called. Raises UsageError where that cannot be."""
    from ..weights import packaged_tasks

    style = asked.style.strip()
    if style == DEFAULT_TASK:
        raise UsageError("--task is missing: with --net csrnet it names the style.")
    options.check_file_name("--task", style, "style")
    if {*style} & {*",:"}:
        raise UsageError(f"--task {style}: a style's name has no comma and no colon.")
    if asked.installs and style.casefold() in map(str.casefold, packaged_tasks()):
        raise UsageError(
            f"--task {style}: is a name of abpn's own. Choose another, or --no-install."
        )
    return style


def _start_of(asked: StyleAsked) -> Base | None:
    """Load what a run goes on from, a file or a style's name; None where it starts from nothing.

    Raises:
        UsageError: --freeze-base without it.
        WeightsError: no such style, or weights that do not grade.
    """
    from ..training.grading import style_from
    from ..weights import GRADE, find

    if asked.start is None:
        if asked.freeze_base:
            raise UsageError("--freeze-base wants a base. Name a style, as in --from film.")
        return None
    file = asked.start if asked.start.is_file() else find(str(asked.start), GRADE)
    return style_from(file)


def _lesson(asked: StyleAsked, tell: Callable[[str], None]) -> _Lesson:
    """Settle what to learn from.

    Raises:
        UsageError: neither or both of --pairs and --photos, or a path that is not there.
        NoPhotoError: there is nothing to learn from.
    """
    from ..errors import NoPhotoError
    from ..training import colour_pairs
    from ..training.pairs import match_pairs, split

    if (asked.pairs is None) == (asked.photos is None):
        raise UsageError("Give either --pairs BEFORE AFTER or --photos DIR.")
    if asked.pairs is not None:
        for folder in asked.pairs:
            options.check_folder("--pairs", folder)
        matched = match_pairs(*asked.pairs)
        for problem in matched.problems:
            tell(f"left out: {problem}")
        if not matched.pairs:
            raise NoPhotoError("No pair to train on. Give two folders of the same photos.")
        if len(matched.pairs) < ENOUGH:
            tell(f"warning: {len(matched.pairs)} pairs; a look wants {ENOUGH} and more")
        train, kept = split(matched.pairs)
        about: dict[str, object] = {"pairs": len(train), "held out": len(kept)}
        source: ColourSource = colour_pairs.StudioColours(train)
        return _Lesson(source, colour_pairs.studio_pairs(kept), len(train), about)
    assert asked.photos is not None
    options.check_folder("--photos", asked.photos)
    root = asked.photos
    train_on, judged_by = photos_apart(root, asked.list, asked.held_out, tell)
    if not train_on:
        raise NoPhotoError(f"{shown(root)}: no photo to train on. Check --photos and --list.")
    counts = {"photos": len(train_on), "held out": len(judged_by)}
    pairs = colour_pairs.damaged_pairs(judged_by, seed=1)
    about = {**counts, "put wrong": "training/damage.py"}
    return _Lesson(colour_pairs.Damaged(train_on, root), pairs, len(train_on), about)


def _words(verdict: Verdict) -> dict[str, float]:
    """Return a verdict's figures by name, without what there is none of."""
    return {name: value for name, value in verdict._asdict().items() if value is not None}
