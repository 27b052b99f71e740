"""`abpn evaluate`: how much weights gain over returning the photo untouched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import NoPhotoError, UsageError
from . import options
from .output import write_json, write_stdout

if TYPE_CHECKING:
    from ..training.evaluate import Row
    from ..training.validate import Scores


def evaluate(
    pairs: options.PairFolders = None,
    photos: options.PhotoFolder = None,
    masks: options.LabelMaps = None,
    list_: options.ClothList = None,
    nothing: options.NothingList = None,
    batches: Annotated[int, typer.Option(help="Batches of four painted pairs.")] = 16,
    task: Annotated[str, typer.Option(help="Task whose weights are judged.")] = "cloth",
    weights: options.Weights = None,
    device: options.Device = "auto",
    precision: options.PrecisionOption = options.Precision.AUTO,
    lpips: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="AlexNet or VGG-16 backbone: tell LPIPS too (--pairs)."),
    ] = None,
    json: options.JsonFile = None,
) -> None:
    """Judge weights: on before and after photos (--pairs), or on painted faults (--photos).

    The painted faults come from a generator that training does not use; they are the figures of
    the weights' card. A row for the untouched photo always stands beside.
    """
    from ..weights import find

    if (pairs is None) == (photos is None):
        raise UsageError("Give either --pairs BEFORE AFTER or --photos DIR.")
    options.check_range("--batches", batches, 1, 1e6)
    file = weights or find(task)
    if pairs is not None:
        rows = _judge_pairs(pairs, file, lpips, device, precision.value)
        if json is not None:
            write_json(json, [_finite(row._asdict()) for row in rows])
        if json != options.STDOUT:
            write_stdout(_pair_table(rows))
        return
    assert photos is not None
    scores = _judge_painted(file, task, photos, masks, (list_, nothing), batches, device)
    if json is not None:
        write_json(json, _finite(scores._asdict()))
    if json != options.STDOUT:
        write_stdout(
            "".join(f"{name:<12}{value:8.3f}\n" for name, value in scores._asdict().items())
        )


def _judge_pairs(
    folders: tuple[Path, Path], file: Path, lpips: Path | None, device: str, precision: str
) -> list[Row]:
    from ..engine import Retoucher
    from ..training.backbones import Lpips
    from ..training.evaluate import Judge, evaluate_pairs
    from ..training.pairs import match_pairs

    for folder in folders:
        options.check_folder("--pairs", folder)
    matched = match_pairs(*folders)
    for problem in matched.problems:
        typer.echo(f"left out: {problem}", err=True)
    if not matched.pairs:
        raise NoPhotoError("No pair of photos to judge by. Check the names in both folders.")
    judge = Judge(Lpips(lpips) if lpips else None)
    if lpips is None:
        typer.echo("LPIPS left out: no --lpips backbone given", err=True)
    engine = Retoucher(file, device, precision)
    return list(evaluate_pairs(matched.pairs, [(file.stem, engine)], judge))


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
    from ..training.data import FACE, PhotoSet, check_masks, photos_under, read_list, with_skin
    from ..training.session import judge_held_out

    options.check_folder("--photos", photos)
    if masks is not None:
        check_masks(masks)
    where = choose_device(device)
    cloth_list, nothing_list = lists
    cloth = read_list(photos, cloth_list) if cloth_list else photos_under(photos)
    nothing = read_list(photos, nothing_list) if nothing_list else []
    if not cloth:
        raise NoPhotoError(f"No photo under {photos}. Check --photos.")
    held_out = PhotoSet(photos, cloth, nothing, masks, task)
    if task == FACE:
        held_out, problems = with_skin(held_out)
        for problem in problems:
            typer.echo(f"left out: {problem}", err=True)
    return judge_held_out(file, held_out, count, where)


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with null for infinity and NaN, which JSON does not know."""
    return {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in values.items()
    }


def _pair_table(rows: Sequence[Row]) -> str:
    from ..training.evaluate import gains

    lines = [f"{'photo':<32}{'method':<14}{'whole':>9}{'inside':>9}{'outside':>9}{'lpips':>9}"]
    lines += [
        f"{row.photo[:31]:<32}{row.method[:13]:<14}"
        f"{row.whole:9.2f}{row.inside:9.2f}{row.outside:9.2f}{row.lpips:9.4f}"
        for row in rows
    ]
    for method in dict.fromkeys(row.method for row in rows):
        if method != "untouched":
            whole, inside, outside = gains(rows, method)
            lines.append(f"{'gain in dB':<32}{method:<14}{whole:9.2f}{inside:9.2f}{outside:9.2f}")
    return "\n".join(lines) + "\n"
