"""The folder that `abpn evaluate --out` makes: JSON, CSV, a chart, contact sheets, a page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from ..files import write_atomic
from .chart import Panel, dot_chart
from .garments import LEAST_KEPT, LEAST_REMOVED, Garment, means_of_sets
from .garments import passed as garments_passed
from .harmless import LEAST_PSNR, MOST_GATED, Verdict, passed
from .judge import UNTOUCHED, Row, means
from .page import Judged, page
from .sheets import Sheet

CHARTED = (
    ("gain_inside", "Gain inside M_gt, over the untouched photo", "dB"),
    ("gain", "Gain over the whole frame", "dB"),
    ("gain_outside", "Gain outside M_gt", "dB"),
    ("cosine", "Cosine between our change and the retoucher's", ""),
)


@dataclass(frozen=True)
class Findings:
    """All that an evaluation found.

    settings: how it was made, for the record: version, weights and their hashes, protocol, device.
    """

    settings: Mapping[str, object]
    rows: Sequence[Row] = ()
    verdicts: Sequence[Verdict] = ()
    garments: Sequence[Garment] = ()
    sheets: Sequence[Sheet] = ()

    @property
    def methods_judged_for_harm(self) -> list[str]:
        """The weights that did the photos with nothing to do."""
        return list(dict.fromkeys(verdict.method for verdict in self.verdicts))


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """The same with null for infinity and NaN, which JSON does not know."""
    return {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in record.items()
    }


def document(findings: Findings) -> dict[str, object]:
    """Everything found, as JSON can hold it."""
    verdicts, garments = findings.verdicts, findings.garments
    harm = {
        "least_psnr": LEAST_PSNR,
        "most_gated": MOST_GATED,
        "passed": {m: passed(verdicts, m)[0] for m in findings.methods_judged_for_harm},
        "photos": [plain(verdict._asdict()) for verdict in verdicts],
    }
    methods = dict.fromkeys(garment.method for garment in garments)
    worn = {
        "least_removed": LEAST_REMOVED,
        "least_kept": LEAST_KEPT,
        "passed": {m: garments_passed(garments, m)[0] for m in methods},
        "sets": [plain(mean._asdict()) for mean in means_of_sets(garments)],
        "photos": [plain(garment._asdict()) for garment in garments],
    }
    return {
        **findings.settings,
        "pairs": [plain(row._asdict()) for row in findings.rows],
        "means": [plain(row._asdict()) for row in means(findings.rows)],
        "nothing_to_do": harm if verdicts else None,
        "garments": worn if garments else None,
    }


def table_of_rows(rows: Sequence[Row]) -> str:
    """CSV, a line for each photo and method, then the means; empty where there is no figure."""
    lines = [tuple(plain(row._asdict()).values()) for row in [*rows, *means(rows)]]
    return _csv(Row._fields, lines)


def table_of_verdicts(verdicts: Sequence[Verdict]) -> str:
    """CSV, a line for each photo with nothing to do."""
    return _csv(Verdict._fields, [tuple(plain(v._asdict()).values()) for v in verdicts])


def table_of_garments(garments: Sequence[Garment]) -> str:
    """CSV, a line for each photo, then the means of each set; empty where there is no figure."""
    lines = [*garments, *means_of_sets(garments)]
    return _csv(Garment._fields, [tuple(plain(g._asdict()).values()) for g in lines])


def chart_of(rows: Sequence[Row]) -> str:
    """Gains and cosines of every method, as SVG."""
    methods = [m for m in dict.fromkeys(row.method for row in rows) if m != UNTOUCHED]
    panels = [
        Panel(title, unit, {m: [getattr(r, name) for r in rows if r.method == m] for m in methods})
        for name, title, unit in CHARTED
    ]
    return dot_chart(panels)


def write_report(out: Path, findings: Findings) -> None:
    """Write the report into its folder; files of an older one there are replaced.

    Raises:
        TargetError: a file cannot be written.
    """
    files = {"evaluation.json": json.dumps(document(findings), indent=2) + "\n"}
    chart = ""
    if findings.rows:
        chart = chart_of(findings.rows)
        files["evaluation.csv"] = table_of_rows(findings.rows)
        files["evaluation.svg"] = chart
    if findings.verdicts:
        files["nothing_to_do.csv"] = table_of_verdicts(findings.verdicts)
    if findings.garments:
        files["garments.csv"] = table_of_garments(findings.garments)
    judged = Judged(findings.rows, findings.verdicts, findings.garments)
    files["index.html"] = page(findings.settings, judged, findings.sheets, chart)
    for name, text in files.items():
        _write(out / name, text)


def _csv(head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    def fill(temp: Path) -> None:
        temp.write_text(text, "utf-8")

    write_atomic(path, fill)
