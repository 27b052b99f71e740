"""Telling a training run: losses and images per second on stderr, as it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINES_EVERY = 50  # steps between plain lines where stderr is no terminal


def is_first_process() -> bool:
    """Whether this is the process that talks, of several that `torchrun` started."""
    return os.environ.get("RANK", "0") == "0"


class TrainingLog:
    """Averages what the steps report and tells it; a bar on a terminal, else plain lines."""

    def __init__(self, console: Console, bar: Progress | None, total: int) -> None:
        self.console, self.bar, self.total = console, bar, total
        self.task = bar.add_task("training", total=total, losses="") if bar else None
        self.sums: dict[str, float] = {}
        self.images = 0.0
        self.count = 0
        self.started = time.perf_counter()

    def step(self, step: int, losses: Mapping[str, float], images: int) -> None:
        """Take one step's losses by name and the number of images it saw."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.images += images
        self.count += 1
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=step, losses=self.words())
        if self.count >= LINES_EVERY or step == self.total:
            if self.bar is None:
                self.console.print(f"step {step}/{self.total}  {self.words()}", markup=False)
            self.sums, self.images, self.count = {}, 0.0, 0
            self.started = time.perf_counter()

    def words(self) -> str:
        """Mean losses since the last line, and images per second, waiting for data included."""
        means = "  ".join(f"{n} {v / self.count:.5f}" for n, v in self.sums.items())
        rate = self.images / max(time.perf_counter() - self.started, 1e-9)
        return f"{means}  {rate:.1f} images/s"

    def judged(self, step: int, scores: Mapping[str, float]) -> None:
        """Tell a validation."""
        words = "  ".join(f"{name} {value:.3f}" for name, value in scores.items())
        self.console.print(f"validation at {step}: {words}", markup=False, highlight=False)


@contextmanager
def training_log(total: int) -> Iterator[TrainingLog]:
    """Open the log of a run of `total` steps on stderr; quiet in all processes but the first."""
    console = Console(stderr=True, quiet=not is_first_process(), soft_wrap=True)
    if not console.is_terminal:
        yield TrainingLog(console, None, total)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[losses]}"), console=console) as bar:
        yield TrainingLog(console, bar, total)
