"""The words of a run, one line each; pure."""

from __future__ import annotations

from pathlib import Path

from ..errors import shown
from ..photo import Job, Outcome
from .tally import Tally

NAMED = 5  # photos not done that are named; a report names them all


def one_line(text: str) -> str:
    r"""Escape what would move the cursor: control characters in a file's name, as in ``a\nb``."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def name(path: Path) -> str:
    """Return a file's name for people: printable whatever its bytes, and on one line."""
    return one_line(shown(path))


def photo_line(outcome: Outcome) -> str:
    """Tell how one photo went."""
    label = name(outcome.job.relative)
    if outcome.status == "skipped":
        return f"{label}  skipped: {outcome.job.skip}"
    if outcome.status == "failed":
        return f"{label}  FAILED: {one_line(outcome.error)}"
    seconds = outcome.seconds
    parts = [
        label,
        f"{outcome.megapixels:.1f} MP",
        f"decode {seconds.decode * 1000:.0f} ms",
        f"retouch {seconds.retouch * 1000:.0f} ms",
        f"encode {seconds.encode * 1000:.0f} ms",
    ]
    if outcome.edit is not None:
        if outcome.edit.changed_fraction is not None:
            parts.append(f"{share(outcome.edit.changed_fraction)} changed")
        parts.append(f"{share(outcome.edit.mask_fraction)} mask")
        if outcome.edit.faces is not None:
            parts.append(plural(outcome.edit.faces, "face") if outcome.edit.faces else "no face")
    if outcome.warnings:
        parts.append(plural(len(outcome.warnings), "warning"))
    return "  ".join(parts)


def plan_line(job: Job) -> str:
    """Tell what would be done with one photo."""
    if job.skip:
        return f"{name(job.source)}  skipped: {job.skip}"
    if job.fault:
        return f"{name(job.source)}  FAILS: {one_line(job.fault)}"
    return f"{name(job.source)} -> {name(job.target)}"


def warning_line(job: Job, warning: str) -> str:
    """Tell one warning of a photo, naming it."""
    return f"{name(job.relative)}  warning: {one_line(warning)}"


def summary_lines(tally: Tally, seconds: float) -> list[str]:
    """Tell what the run adds up to, with every photo that failed and the first not done."""
    foreign = f" ({tally.foreign} foreign)" if tally.foreign else ""
    counts = [f"{tally.done} done", f"{tally.skipped} skipped{foreign}", f"{tally.failed} failed"]
    if tally.left:
        counts.append(f"{tally.left} not done")
    rate = f" ({tally.done / seconds:.2f} photos/s)" if tally.done and seconds > 0 else ""
    lines = [f"{', '.join(counts)} in {duration(seconds)}{rate}"]
    if tally.failures:
        lines.append("failed:")
        lines.extend(f"  {one_line(outcome.error)}" for outcome in tally.failures)
    if tally.undone:
        names = [name(outcome.job.source) for outcome in tally.undone[:NAMED]]
        more = len(tally.undone) - len(names)
        lines.append(f"not done: {', '.join(names)}{f' and {more} more' if more else ''}")
    if tally.foreign:
        one = tally.foreign == 1
        lines.append(
            f"{plural(tally.foreign, 'output')} that {'is' if one else 'are'} somebody's work, or "
            f"another photo's, {'was' if one else 'were'} kept: "
            f"--overwrite always replaces {'it' if one else 'them'}"
        )
    return lines


def share(fraction: float) -> str:
    """Return a share in per cent; what is there is never rounded to nothing."""
    return "<0.1%" if 0 < fraction < 0.0005 else f"{fraction:.1%}"


def duration(seconds: float) -> str:
    """Return seconds in the units people use: 3.2 s, 4 min 5 s, 2 h 3 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def plural(count: int, noun: str) -> str:
    """Return "1 photo", "2 photos"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
