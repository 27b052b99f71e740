"""The page of a report: figures, chart and contact sheets; no script, no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import isinf, isnan
from typing import NamedTuple

from .garments import LEAST_KEPT, LEAST_REMOVED, Garment, means_of_sets
from .garments import passed as garments_passed
from .harmless import LEAST_PSNR, MOST_GATED, Verdict, passed
from .judge import UNTOUCHED, Row, means
from .sheets import Sheet

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:126rem;padding:0 1.5rem;
color:#222;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.87rem;font-variant-numeric:tabular-nums}
th,td{padding:.22rem .6rem;text-align:right;border-bottom:1px solid #e4e4e4;white-space:nowrap}
th:first-child,td:first-child,td:nth-child(2),th:nth-child(2){text-align:left}
tr.mean td{font-weight:600}
.no{color:#b91c1c;font-weight:600}.yes{color:#15803d}
figure{margin:1.4rem 0;width:fit-content;max-width:100%}
figure img{max-width:100%;height:auto;display:block}
figcaption{margin-bottom:.3rem}
.columns{display:grid;color:#666;font-size:.85rem;text-align:center}
dl{display:grid;grid-template-columns:max-content auto;gap:.1rem 1rem;font-size:.87rem}
dt{color:#666}dd{margin:0;overflow-wrap:anywhere}
"""
WORDS = (
    "Inside is M_gt: the pixels that the retoucher changed by more than 2/255 in any channel. "
    "Gains are in dB of PSNR over returning the photo untouched. Strength is the factor by which "
    "our change would come nearest to the retoucher's; the cosine squared is the share of the true "
    "change explained then. IoU and dice compare the gate above 0.5 with M_gt."
)
HEADS: Mapping[str, str] = {
    "photo": "photo", "method": "method", "whole": "PSNR", "inside": "inside",
    "outside": "outside", "lpips": "LPIPS", "lpips_inside": "inside", "lpips_outside": "outside",
    "ssim": "SSIM", "ssim_inside": "inside", "ssim_outside": "outside", "gain": "gain dB",
    "gain_inside": "inside", "gain_outside": "outside", "cosine": "cosine",
    "strength": "strength", "iou": "IoU", "dice": "dice", "gated": "mask", "milliseconds": "ms",
}  # fmt: skip
GARMENT_HEADS = (
    "photo", "method", "wrinkled %", "depth %", "removed %", "of all %", "edges left %",
    "texture left %", "verdict",
)  # fmt: skip
DECIMALS: Mapping[str, int] = {
    "whole": 2, "inside": 2, "outside": 2, "gain": 2, "gain_inside": 2, "gain_outside": 2,
    "strength": 2, "milliseconds": 0,
}  # fmt: skip


class Judged(NamedTuple):
    """All that was judged: pairs, photos with nothing to do, garments; each may be empty."""

    rows: Sequence[Row]
    verdicts: Sequence[Verdict]
    garments: Sequence[Garment]


def figure(value: object, decimals: int = 4) -> str:
    """Write a figure for people: a dash where it has no meaning."""
    if not isinstance(value, float):
        return str(value)
    if isnan(value):
        return "–"
    if isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{decimals}f}".replace("-", "−")


def page(
    settings: Mapping[str, object], judged: Judged, sheets: Sequence[Sheet], chart: str
) -> str:
    """Write the whole page; `chart` is the SVG of the pairs, or ""."""
    rows, verdicts, garments = judged
    parts = ["<h1>Evaluation</h1>", _settings(settings)]
    if rows:
        count = sum(row.method == UNTOUCHED for row in rows)
        parts += [f"<h2>Means of {count} pairs</h2>", f"<p>{escape(WORDS)}</p>"]
        parts += [_rows(means(rows)), "<h2>Pair by pair</h2>", chart]
        parts.append(
            f"<details><summary>The figures of every pair</summary>{_rows(rows)}</details>"
        )
    if verdicts:
        parts.append(_verdicts(verdicts))
    if garments:
        parts.append(_garments(garments))
    if sheets:
        parts.append("<h2>Contact sheets</h2>")
        parts.append(
            "<p>Whole frames above; below, the same part of each at 100 %, where most changes. "
            "Mid-grey is no difference.</p>"
        )
        parts += [_sheet(sheet) for sheet in sheets]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>abpn evaluate</title>'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _settings(settings: Mapping[str, object]) -> str:
    items = []
    for name, value in settings.items():
        values = value if isinstance(value, list) else [value]
        lines = "<br>".join(escape(_told(one)) for one in values if one is not None)
        items.append(f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{lines or '–'}</dd>")
    return f"<dl>{''.join(items)}</dl>"


def _told(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return str(value)


def _rows(rows: Iterable[Row]) -> str:
    body = [
        [figure(value, DECIMALS.get(name, 4)) for name, value in row._asdict().items()]
        for row in rows
    ]
    return _table(list(HEADS[name] for name in Row._fields), body)


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    """Write the do-no-harm set: worst photos first."""
    lines = []
    for method in dict.fromkeys(verdict.method for verdict in verdicts):
        good, judged = passed(verdicts, method)
        mark = "yes" if good == judged else "no"
        lines.append(f'<p>{escape(method)}: <span class="{mark}">{good} of {judged} pass.</span>')
    body = [
        [v.photo, v.method, figure(v.psnr, 1), f"{v.gated:.2%}", f"{v.changed:.2%}",
         "passes" if v.passes else "FAILS"]
        for v in sorted(verdicts, key=lambda v: (v.passes, v.psnr, -v.gated))
    ]  # fmt: skip
    heads = ["photo", "method", "PSNR to the input, dB", "in the mask", "changed", "verdict"]
    return (
        "<h2>Photos with nothing to do</h2>"
        f"<p>Each must keep {LEAST_PSNR:g} dB to its input, and less than {MOST_GATED:.0%} of it "
        f"may lie in the mask.</p>{''.join(lines)}{_table(heads, body)}"
    )


def _garments(garments: Sequence[Garment]) -> str:
    """Write the garments: means of each set, then photo by photo, worst first."""
    lines = []
    for method in dict.fromkeys(garment.method for garment in garments):
        good, judged = garments_passed(garments, method)
        lines.append(f"<p>{escape(method)}: {good} of {judged} photos pass.</p>")
    sets = _table(GARMENT_HEADS, [_garment(mean, mean.set) for mean in means_of_sets(garments)])
    ordered = sorted(garments, key=lambda g: (g.passes, isnan(g.removed), g.removed))
    photos = _table(GARMENT_HEADS, [_garment(garment, garment.photo) for garment in ordered])
    return (
        f"<h2>Garments</h2><p>Of the wrinkles' energy {LEAST_REMOVED:.0%} must go, and "
        f"{LEAST_KEPT:.0%} of that of edges and texture must stay.</p>{''.join(lines)}{sets}"
        f"<details><summary>The figures of every photo</summary>{photos}</details>"
    )


def _garment(garment: Garment, name: str) -> list[str]:
    shares = (
        garment.wrinkled, garment.depth, garment.removed, garment.removed_all, garment.edges,
        garment.texture,
    )  # fmt: skip
    cells = [figure(100 * share, 1) for share in shares]
    return [name, garment.method, *cells, "passes" if garment.passes else "FAILS"]


def _table(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    lines = "".join(
        "<tr>" + "".join(f"<td{_mark(text)}>{escape(text)}</td>" for text in line) + "</tr>\n"
        for line in body
    )
    return f'<div class="wide"><table><tr>{head}</tr>\n{lines}</table></div>'


def _mark(text: str) -> str:
    return {"FAILS": ' class="no"', "passes": ' class="yes"'}.get(text, "")


def _sheet(sheet: Sheet) -> str:
    captions = "".join(f"<span>{escape(column)}</span>" for column in sheet.columns)
    shares = f"grid-template-columns:repeat({len(sheet.columns)},1fr)"
    file = escape(sheet.file)
    return (
        f"<figure><figcaption>{escape(sheet.photo)}, {escape(sheet.method)}</figcaption>"
        f'<a href="{file}"><img loading="lazy" src="{file}" '
        f'alt="{escape(sheet.photo)}: {escape(", ".join(sheet.columns))}"></a>'
        f'<div class="columns" style="{shares}">{captions}</div></figure>'
    )
