"""`abpn evaluate`: how near weights come to a retoucher, and that they leave alone what is fine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import typer

from ..errors import NoPhotoError, UsageError, shown
from . import options
from .figures import garment_table, harm_table, pair_table
from .output import write_json, write_stdout
from .shoot import check_report

if TYPE_CHECKING:
    from ..engine import Engine
    from ..evaluation.garments import Garment
    from ..evaluation.harmless import Verdict
    from ..evaluation.judge import Row
    from ..evaluation.sheets import Sheets
    from ..training.data import PhotoSet
    from ..training.validate import Scores

Item = TypeVar("Item")


class ProtocolName(StrEnum):
    """At what size pairs are judged: their own, or 1024 px padded to a square as in the paper."""

    FULL = "full"
    PAPER = "paper"


class Choices(NamedTuple):
    """What is judged, and by what.

    weights: files with the names they bear in the tables.
    """

    weights: list[tuple[str, Path]]
    baselines: bool
    protocol: ProtocolName
    lpips: Path | None
    device: str
    precision: str


class Asked(NamedTuple):
    """Photos to judge by: pairs, a folder of photos with nothing to do, garments; or None."""

    pairs: tuple[Path, Path] | None
    nothing_to_do: Path | None
    garments: PhotoSet | None

    @property
    def folders(self) -> list[Path]:
        """Where they lie."""
        alone = [self.nothing_to_do] if self.nothing_to_do else []
        return [*(self.pairs or ()), *alone, *([self.garments.root] if self.garments else [])]


def evaluate(
    pairs: options.PairFolders = None,
    photos: options.PhotoFolder = None,
    masks: options.LabelMaps = None,
    list_: options.ClothList = None,
    nothing: options.NothingList = None,
    garments: Annotated[
        bool,
        typer.Option(
            "--garments", help="Judge --photos as they are: do wrinkles go, seams and prints stay?"
        ),
    ] = False,
    batches: Annotated[int, typer.Option(help="Batches of four painted pairs.")] = 16,
    task: Annotated[str, typer.Option(help="Task whose weights are judged.")] = "cloth",
    weights: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Weights to judge in place of the task's own; give it again for more.",
            readable=False,
        ),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Judge classical filters too (--pairs, --garments).")
    ] = False,
    protocol: Annotated[
        ProtocolName,
        typer.Option(help="Judge pairs at full size, or padded to 1024 x 1024 as the paper does."),
    ] = ProtocolName.FULL,
    nothing_to_do: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Photos that need no retouching: do the weights leave them alone?"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Write JSON, CSV, a chart, contact sheets, a page."
        ),
    ] = None,
    device: options.Device = "auto",
    precision: options.PrecisionOption = options.Precision.AUTO,
    lpips: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="AlexNet or VGG-16 backbone: tell LPIPS too (--pairs)."),
    ] = None,
    json: options.JsonFile = None,
) -> None:
    """Judge weights: on before and after photos (--pairs), on photos that need nothing, or both.

    --photos judges on painted faults instead, from a generator that training does not use: the
    figures of the weights' card. With --garments they are judged as they are, on the wrinkles of
    their own. Figures that disappoint are no error: the exit code is 0.
    """
    judges_files = pairs is not None or nothing_to_do is not None or garments
    if garments and photos is None:
        raise UsageError("--garments is about --photos. Give --photos DIR too.")
    if judges_files == (photos is not None and not garments):
        raise UsageError(
            "Give --pairs BEFORE AFTER, --nothing-to-do DIR or both; or else --photos DIR."
        )
    if pairs is None and protocol is not ProtocolName.FULL:
        raise UsageError("--protocol is about pairs. Give --pairs too.")
    if baselines and pairs is None and not garments:
        raise UsageError("--baselines is about pairs and garments. Give --pairs too.")
    options.check_range("--batches", batches, 1, 1e6)
    task = options.one_task(task)
    check_report(json, ())
    if photos is None or garments:
        named = _named_weights(weights, task)
        choices = Choices(named, baselines, protocol, lpips, device, precision.value)
        worn = _photo_set(photos, masks, (list_, None), task) if photos is not None else None
        _judge_files(Asked(pairs, nothing_to_do, worn), choices, out, json)
        return
    if out is not None or len(weights or []) > 1:
        raise UsageError("--photos takes no --out, and one --weights alone. Leave them out.")
    file = _named_weights(weights, task)[0][1]
    scores = _judge_painted(file, task, photos, masks, (list_, nothing), batches, device)
    _tell_scores(scores, json)


def _named_weights(given: list[Path] | None, task: str) -> list[tuple[str, Path]]:
    from ..evaluation.methods import names_of
    from ..weights import find

    files = given or [find(task)]
    return list(zip(names_of(shown(file.stem) for file in files), files, strict=True))


def _judge_files(asked: Asked, choices: Choices, out: Path | None, json: Path | None) -> None:
    from ..batch.plan import check_out
    from ..evaluation.report import Findings, document, plain, write_report
    from ..evaluation.sheets import Sheets

    pairs, nothing_to_do, worn = asked
    for folder in pairs or ():
        options.check_folder("--pairs", folder)
    if nothing_to_do is not None:
        options.check_folder("--nothing-to-do", nothing_to_do)
    if out is not None:
        _check_apart(out, asked.folders)
        check_out(out)
    sheets = Sheets(out) if out is not None else None
    engines = [(name, _engine(file, choices)) for name, file in choices.weights]
    rows = _judge_pairs(pairs, engines, choices, sheets) if pairs else []
    verdicts = _judge_harm(nothing_to_do, engines, sheets) if nothing_to_do else []
    garments = _judge_garments(worn, engines, choices, sheets) if worn else []
    settings = _settings(choices, engines[0][1])
    findings = Findings(settings, rows, verdicts, garments, sheets.made if sheets else [])
    if out is not None:
        write_report(out, findings)
        typer.echo(f"report: {shown(out / 'index.html')}", err=True)
    if json is not None:
        alone = not (verdicts or garments)
        write_json(json, [plain(r._asdict()) for r in rows] if alone else document(findings))
    if json != options.STDOUT:
        write_stdout(pair_table(rows) + harm_table(verdicts) + garment_table(garments))


def _engine(file: Path, choices: Choices) -> Engine:
    """Load weights as `abpn retouch` would use them: those of faces work face by face."""
    from ..engine.tasks import Means, make_engine

    return make_engine({"": file}, Means(choices.device, choices.precision))


def _check_apart(out: Path, folders: Sequence[Path]) -> None:
    """Refuse to write a report among the photos it judges.

    Raises:
        UsageError: names the folder.
    """
    for folder in folders:
        if out.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"--out {shown(out)}: lies in {shown(folder)}, whose photos are judged. "
                "Choose another folder."
            )


def _judge_pairs(
    folders: tuple[Path, Path],
    engines: Sequence[tuple[str, Engine]],
    choices: Choices,
    sheets: Sheets | None,
) -> list[Row]:
    from ..evaluation.cases import PROTOCOLS
    from ..evaluation.judge import Judge, evaluate_pairs, look_away
    from ..evaluation.methods import methods_of
    from ..training.backbones import Lpips
    from ..training.pairs import match_pairs

    matched = match_pairs(*folders)
    for problem in matched.problems:
        _left_out(problem)
    if choices.lpips is None:
        typer.echo("LPIPS left out: no --lpips backbone given", err=True)
    judge = Judge(Lpips(choices.lpips) if choices.lpips else None)
    methods = methods_of(engines, choices.baselines)
    look = sheets.of_pair if sheets else look_away
    protocol = PROTOCOLS[choices.protocol.value]
    pairs = _with_a_bar(matched.pairs, "pairs")
    rows = list(evaluate_pairs(pairs, methods, judge, protocol, look, _left_out))
    if not rows:
        raise NoPhotoError("No pair of photos to judge by. Check the names in both folders.")
    return rows


def _judge_harm(
    root: Path, engines: Sequence[tuple[str, Engine]], sheets: Sheets | None
) -> list[Verdict]:
    from ..evaluation.harmless import do_no_harm, look_away
    from ..training.data import photos_under

    look = sheets.of_harm if sheets else look_away
    photos = _with_a_bar(photos_under(root), "nothing to do")
    verdicts = list(do_no_harm(root, photos, engines, look, _left_out))
    if not verdicts:
        raise NoPhotoError(f"No photo under {shown(root)}. Check --nothing-to-do.")
    return verdicts


def _judge_garments(
    worn: PhotoSet,
    engines: Sequence[tuple[str, Engine]],
    choices: Choices,
    sheets: Sheets | None,
) -> list[Garment]:
    from ..evaluation.garments import judge_garments, look_away
    from ..evaluation.methods import methods_of

    look = sheets.of_garment if sheets else look_away
    methods = methods_of(engines, choices.baselines)
    photos = _with_a_bar(worn.subjects, "garments")
    garments = list(judge_garments(worn.labels, photos, methods, look, _left_out))
    if not garments:
        raise NoPhotoError(f"No garment under {shown(worn.root)} can be judged. Check --masks.")
    return garments


def _photo_set(
    photos: Path,
    masks: Path | None,
    lists: tuple[Path | None, Path | None],
    task: str,
) -> PhotoSet:
    """Photos with their label maps; lists: of those with the subject, of those with nothing to do.

    Raises:
        UsageError: a folder, list or archive cannot be read.
        NoPhotoError: there is none.
    """
    from ..training.data import PhotoSet, check_masks, photos_under, read_list

    options.check_folder("--photos", photos)
    if masks is not None:
        check_masks(masks)
    subject_list, nothing_list = lists
    subjects = read_list(photos, subject_list) if subject_list else photos_under(photos)
    nothing = read_list(photos, nothing_list) if nothing_list else []
    if not subjects:
        raise NoPhotoError(f"No photo under {photos}. Check --photos.")
    return PhotoSet(photos, subjects, nothing, masks, task)


def _with_a_bar(items: Sequence[Item], what: str) -> Iterable[Item]:
    """The same, with a bar on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, what, console=console, transient=True, disable=not console.is_terminal)


def _left_out(problem: str) -> None:
    typer.echo(f"left out: {problem}", err=True)


def _settings(choices: Choices, engine: Engine) -> dict[str, object]:
    from .. import __version__
    from ..files import content_of

    return {
        "abpn": __version__,
        "date": datetime.now(UTC).date().isoformat(),
        "weights": [
            {"name": name, "file": shown(file.name), "sha256": content_of(file).sha256}
            for name, file in choices.weights
        ],
        "device": str(engine.device),
        "precision": engine.precision,
        "protocol": choices.protocol.value,
        "lpips": shown(choices.lpips.name) if choices.lpips else None,
    }


def _judge_painted(
    file: Path,
    task: str,
    photos: Path,
    masks: Path | None,
    lists: tuple[Path | None, Path | None],
    count: int,
    device: str,
) -> Scores:
    from ..engine import choose_device
    from ..training.data import FACE, with_skin
    from ..training.session import judge_held_out

    where = choose_device(device)
    held_out = _photo_set(photos, masks, lists, task)
    if task == FACE:
        held_out, problems = with_skin(held_out)
        for problem in problems:
            _left_out(problem)
    return judge_held_out(file, held_out, count, where)


def _tell_scores(scores: Scores, json: Path | None) -> None:
    from ..evaluation.report import plain

    if json is not None:
        write_json(json, plain(scores._asdict()))
    if json != options.STDOUT:
        write_stdout(
            "".join(f"{name:<12}{value:8.3f}\n" for name, value in scores._asdict().items())
        )
