"""The network's own speed: plain and ours in turn, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from .. import weights
from ..errors import WeightsError
from ..nets.abpn import Abpn, AbpnConfig
from .cases import PAPER, SHARES, Case, Size
from .floor import bytes_to_move, operations
from .processes import Worker, WorkerLostError, workers

MIB = 2**20
# Measured for the plain network: maps of 16 channels of the photo's size, twice, and the pyramids.
PLAIN_BYTES_PER_PIXEL = 280
OURS_BYTES_PER_PIXEL = 9  # the photo, and two more where results are compared
PROGRAM_BYTES = 700 * MIB
# "transfers" are copies between host and device: 0 where the CPU does it all.
STAGES = ("thumbnail", "lrl", "pyramid", "refine", "blend", "transfers")
ALONE = ("lrl",)  # stages that one thread calls and waits for; the others, each thread does
PAINTER_DEVIATION = 0.02  # of the last LAM's weights: edits of some percent
REFINE_DEVIATION = 0.02  # of φ2's


@dataclass(frozen=True)
class Row:
    """One case measured.

    share:   of the photo in the mask; None of the plain network, which has none.
    seconds: of each run; cpu_seconds: those of all its threads, which other programs lengthen less;
    stages: median seconds by stage, of threads side by side their mean.
    peak:    bytes of the process at most; above: those above what it held before the first run,
             with the network loaded and the photo decoded.
    largest: difference from the oracle on [0, 1]; psnr: dB to it, None where they are equal.
    left_out: why nothing was measured, or "".
    """

    name: str
    share: float | None
    seconds: tuple[float, ...] = ()
    cpu_seconds: tuple[float, ...] = ()
    stages: dict[str, float] = field(default_factory=dict)
    mask_fraction: float | None = None
    peak: int | None = None
    above: int | None = None
    device_peak: int | None = None
    largest: float | None = None
    psnr: float | None = None
    untouched: bool | None = None
    left_out: str = ""

    @property
    def typical(self) -> float | None:
        """Median seconds."""
        return median(self.seconds) if self.seconds else None


@dataclass(frozen=True)
class Sized:
    """All that was measured at one size; floor_*: seconds that no program can beat here."""

    size: Size
    rows: list[Row]
    floor_bytes: float
    floor_operations: float

    def facts(self) -> dict[str, Any]:
        """Put it as the JSON report has it."""
        paper = PAPER.get(self.size)
        return {
            "size": str(self.size),
            "height": self.size.height,
            "width": self.size.width,
            "rows": [{**asdict(row), "median_seconds": row.typical} for row in self.rows],
            "floor": {
                "bytes_seconds": self.floor_bytes,
                "operations_seconds": self.floor_operations,
            },
            "paper": None if paper is None else paper._asdict(),
        }


@dataclass(frozen=True)
class Plan:
    """What is measured, and how often.

    check: whether results are compared with the oracle; plain: whether the plain network runs, too.
    """

    weights: Path
    config: AbpnConfig
    device: str
    precision: str
    repeats: int
    folder: Path
    check: bool = True
    plain: bool = True


def make_weights(path: Path, width: float, seed: int) -> AbpnConfig:
    """Write random weights of that width, in the way of those that ship; return what they are of.

    Raises:
        TargetError: the file cannot be written.
    """
    config = AbpnConfig(
        width=width, refine_shared=True, lrl_residual=True, init="published", train_k=False
    )
    torch.manual_seed(seed)
    net = Abpn(config).eval()
    torch.nn.init.normal_(net.lrl.retouch_branch.painter.feature.weight, std=PAINTER_DEVIATION)
    torch.nn.init.normal_(net.refine(0).phi2.weight, std=REFINE_DEVIATION)
    weights.save(path, net, weights.Header("abpn", asdict(config), "random"))
    return config


def config_of(path: Path) -> AbpnConfig:
    """Read what a weights file is of.

    Raises:
        WeightsError: missing, damaged, or of another network.
    """
    header = weights.read_tensors(path)[0]
    if header.net != "abpn":
        raise WeightsError(path, f"holds a '{header.net}' network", "Choose weights of an ABPN.")
    return AbpnConfig(**header.config)


def measure(plan: Plan, sizes: list[Size], tell: Callable[[str], None]) -> Iterator[Sized]:
    """Measure every size; `tell` takes a line of what is being done.

    Raises:
        WorkerLostError: the machine itself cannot be measured.
    """
    with workers(1) as (worker,):
        machine = worker.ask({"do": "machine", "device": plan.device, "precision": plan.precision})
    for size in sizes:
        tell(f"{size}: {size.megapixels:.1f} megapixels")
        yield Sized(
            size,
            _rows(plan, size, tell),
            bytes_to_move(*size) / machine["copied"],
            operations(plan.config, *size) / machine["operations"],
        )


def _rows(plan: Plan, size: Size, tell: Callable[[str], None]) -> list[Row]:
    pixels = size.height * size.width
    cases = [(Row("plain", None), "plain", PLAIN_BYTES_PER_PIXEL)]
    cases += [(Row(f"ours, {s:.0%}", s), "ours", OURS_BYTES_PER_PIXEL) for s in SHARES]
    free = available_bytes()
    rows: list[Row] = []
    fitting: list[int] = []
    for row, _, each in cases:
        needed = PROGRAM_BYTES + each * pixels
        if row.share is None and not plan.plain:
            rows.append(replace(row, left_out="was not asked for"))
        elif free is not None and needed > free:
            told = f"takes about {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"
            rows.append(replace(row, left_out=told))
        else:
            free = None if free is None else free - needed // 2  # they do not peak together
            fitting.append(len(rows))
            rows.append(row)
    with workers(len(fitting)) as started:
        crew = dict(zip(fitting, started, strict=True))
        for index, worker in crew.items():
            case = Case(
                *size, str(plan.weights), plan.device, plan.precision, rows[index].share or 1
            )
            rows[index] = _begun(rows[index], worker, case.asked(cases[index][1]))
        _rounds(plan, rows, crew)
        for index, worker in crew.items():
            rows[index] = _ended(rows[index], worker)
        if plan.check and 0 in crew and not rows[0].left_out:
            crew[0].close()  # the oracle takes as much memory
            tell(f"{size}: comparing with the untiled result")
            _compare(plan, size, rows, crew)
    return rows


def _begun(row: Row, worker: Worker, request: dict[str, Any]) -> Row:
    try:
        return replace(row, above=worker.ask(request)["resident"])  # for now: what it holds at rest
    except WorkerLostError:
        return replace(row, left_out="its process was lost: memory did not suffice")


def _rounds(plan: Plan, rows: list[Row], crew: dict[int, Worker]) -> None:
    """Run all cases in turn, so that what else the machine does falls on each of them."""
    stages: dict[int, list[dict[str, float]]] = {index: [] for index in crew}
    for turn in range(plan.repeats + 1):
        for index, worker in crew.items():
            row = rows[index]
            if row.left_out:
                continue
            try:
                ran = worker.ask({"do": "run"})
            except WorkerLostError:
                rows[index] = replace(row, left_out="its process was lost: memory did not suffice")
                continue
            if turn == 0:  # to warm up
                continue
            rows[index] = row = replace(
                row,
                seconds=(*row.seconds, ran["seconds"]),
                cpu_seconds=(*row.cpu_seconds, ran["cpu_seconds"]),
            )
            if "edit" in ran:
                stages[index].append(
                    {
                        name: value / (1 if name in ALONE else ran["threads"])
                        for name, value in ran["stages"].items()
                    }
                )
                rows[index] = replace(row, mask_fraction=ran["edit"]["mask_fraction"])
    for index, told in stages.items():
        if told:
            medians = {name: median(each.get(name, 0.0) for each in told) for name in STAGES}
            rows[index] = replace(rows[index], stages=medians)


def _ended(row: Row, worker: Worker) -> Row:
    if row.left_out:
        return row
    memory = worker.ask({"do": "memory"})
    peak, at_rest = memory["peak"], row.above
    above = None if peak is None or at_rest is None else peak - at_rest
    return replace(row, peak=peak, above=above, device_peak=memory["device_peak"])


def _compare(plan: Plan, size: Size, rows: list[Row], crew: dict[int, Worker]) -> None:
    path = str(plan.folder / "oracle.f32")
    with workers(1) as (oracle,):
        oracle.ask(Case(*size, str(plan.weights), "cpu", "float32").asked("oracle"))
        for index, worker in crew.items():
            row = rows[index]
            if row.share is None or row.left_out:
                continue
            oracle.ask({"do": "write", "path": path, "share": row.share})
            rows[index] = replace(row, **worker.ask({"do": "compare", "path": path}))
    Path(path).unlink(missing_ok=True)


def available_bytes() -> int | None:
    """Memory that is free to take, None where the system does not say."""
    told = Path("/proc/meminfo")
    if not told.exists():
        return None
    return int(told.read_text().split("MemAvailable:")[1].split()[0]) * 1024
