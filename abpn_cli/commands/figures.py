"""Figures of `abpn evaluate` as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..evaluation.garments import Garment
    from ..evaluation.harmless import Verdict
    from ..evaluation.judge import Row


def pair_table(rows: Sequence[Row]) -> str:
    """Rows of every pair, then the means: what each method gains in dB, and the rest."""
    from ..evaluation.judge import UNTOUCHED, means

    if not rows:
        return ""
    lines = [f"{'photo':<32}{'method':<18}{'whole':>9}{'inside':>9}{'outside':>9}{'lpips':>9}"]
    for row in rows:
        names = f"{row.photo[:31]:<32}{row.method[:17]:<18}"
        psnr = _cells((row.whole, row.inside, row.outside), 2)
        lines.append(names + psnr + _cells((row.lpips,), 4))
    count = sum(row.method == UNTOUCHED for row in rows)
    parts = ("inside", "outside")
    columns = ["whole", *parts, "ssim", *parts, "lpips", *parts]
    columns += ["cosine", "strength", "iou", "dice", "ms"]
    head = f"means of {count} pairs, gain in dB"
    lines += ["", f"{head:<32}" + "".join(f"{name:>9}" for name in columns)]
    for row in means(rows):
        gains = row.gain, row.gain_inside, row.gain_outside
        looks = [row.ssim, row.ssim_inside, row.ssim_outside]
        looks += [row.lpips, row.lpips_inside, row.lpips_outside]
        shares = row.cosine, row.strength, row.iou, row.dice
        figures = _cells(gains, 2) + _cells(looks, 4) + _cells(shares, 3)
        lines.append(f"{row.method[:31]:<32}{figures}{_cells((row.milliseconds,), 0)}")
    return "\n".join(lines) + "\n"


def _cells(values: Iterable[float], decimals: int) -> str:
    """Columns of a table; a dash where a figure has no meaning."""
    return "".join(f"{'-':>9}" if isnan(v) else f"{v:9.{decimals}f}" for v in values)


def harm_table(verdicts: Sequence[Verdict]) -> str:
    """Photos with nothing to do, and how many of them were left alone."""
    from ..evaluation.harmless import LEAST_PSNR, MOST_GATED, passed

    if not verdicts:
        return ""
    lines = [f"{'nothing to do':<48}{'method':<18}{'PSNR':>9}{'mask':>9}{'changed':>9}"]
    lines += [
        f"{v.photo[:47]:<48}{v.method[:17]:<18}{v.psnr:9.1f}{v.gated:9.2%}{v.changed:9.2%}"
        f"  {'passes' if v.passes else 'FAILS'}"
        for v in verdicts
    ]
    for method in dict.fromkeys(v.method for v in verdicts):
        good, judged = passed(verdicts, method)
        lines.append(
            f"{method}: {good} of {judged} pass (from {LEAST_PSNR:g} dB, under {MOST_GATED:.0%})"
        )
    return "\n".join(lines) + "\n"


def garment_table(garments: Sequence[Garment]) -> str:
    """Garments, then the means of each set, in percent."""
    from ..evaluation.garments import LEAST_KEPT, LEAST_REMOVED, means_of_sets, passed

    if not garments:
        return ""
    columns = ("wrinkled", "depth", "removed", "of all", "edges", "texture")
    head = "".join(f"{name:>9}" for name in columns)
    lines = [f"{'garments, in percent':<48}{'method':<18}{head}"]
    lines += [_garment_line(garment, garment.photo) for garment in garments]
    lines += ["", f"{'means of sets':<48}{'method':<18}{head}"]
    lines += [_garment_line(mean, mean.set) for mean in means_of_sets(garments)]
    limits = f"{LEAST_REMOVED:.0%} removed, {LEAST_KEPT:.0%} of edges and texture left"
    for method in dict.fromkeys(garment.method for garment in garments):
        good, judged = passed(garments, method)
        lines.append(f"{method}: {good} of {judged} pass ({limits})")
    return "\n".join(lines) + "\n"


def _garment_line(garment: Garment, name: str) -> str:
    shares = (
        garment.wrinkled, garment.depth, garment.removed, garment.removed_all, garment.edges,
        garment.texture,
    )  # fmt: skip
    figures = _cells((100 * share for share in shares), 1)
    verdict = "passes" if garment.passes else "FAILS"
    return f"{name[:47]:<48}{garment.method[:17]:<18}{figures}  {verdict}"
