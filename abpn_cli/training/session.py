"""A training run from the user's words to weights with a card: sources, validation, export."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from torch import distributed as dist

from ..codecs import decode
from ..errors import NoPhotoError, PhotoError, UsageError, WeightsError, shown
from ..nets.abpn import Abpn, AbpnConfig
from ..weights import load, read_tensors, save, write_card
from .pairs import (
    VALIDATION_SHARE,
    Batch,
    Matched,
    Pair,
    Shape,
    Source,
    StudioPairs,
    is_photo,
    split,
    stack,
)
from .synthesis import Transplant, ridged_noise, tension_folds
from .synthesised import Labels, Recipe, SynthesisedPairs, wrinkle_bank
from .train import Progress, Trainer, commit
from .validate import Scores, score

PRESETS: Mapping[str, AbpnConfig] = {
    "shipped": AbpnConfig(
        refine_shared=True, lrl_residual=True, init="published", train_k=False, refine_zero=True
    ),
    "paper": AbpnConfig(),
}
SHARED_LEVELS = (1, 2, 3)  # halvings a shared refining module is trained for
VALIDATION_SIDE = 256  # px: thumbnails of validation pairs
PAINTED = Recipe(nothing=0, real=0, smooth=0, on_smooth=1, strength=(0.9, 1.0), backgrounds=0)
NOTHING = Recipe(nothing=1)
CHECKPOINT = "checkpoint.safetensors"
DECODERS = 4  # photos decoded at once where only their faults are looked for


class Data(NamedTuple):
    """What to train on and what to judge by; `about` goes onto the card."""

    source: Source
    validation: Callable[[], list[Batch]]
    photos: int
    about: Mapping[str, Any]


@dataclass(frozen=True)
class PhotoSet:
    """Photos to make pairs from: files under `root`, some cloth, some with nothing to do."""

    root: Path
    cloth: Sequence[Path]
    nothing: Sequence[Path]
    masks: Path | None

    @property
    def labels(self) -> Labels:
        """The label maps of these photos."""
        return Labels(self.masks, self.root)


def read_list(root: Path, file: Path) -> list[Path]:
    """Read a list of photos, one path relative to `root` a line.

    Raises:
        UsageError: the list cannot be read or names a file that is not there.
    """
    try:
        names = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{shown(file)}: cannot be read as a list of photos ({error}).") from error
    paths = [root / name.strip() for name in names if name.strip()]
    outside = [path for path in paths if not path.resolve().is_relative_to(root.resolve())]
    if outside:
        raise UsageError(f"{shown(file)}: names {shown(outside[0])}, outside --photos.")
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UsageError(
            f"{shown(file)}: names {shown(missing[0])}, which is not there. Check --photos."
        )
    return paths


def check_masks(file: Path) -> None:
    """Refuse what is no archive of label maps, before a run starts.

    Raises:
        UsageError: it is not.
    """
    try:
        maps = np.load(file)
    except OSError as error:
        raise UsageError(f"--masks {shown(file)}: cannot be read ({error.strerror}).") from error
    except (ValueError, EOFError, zipfile.BadZipFile):
        maps = None
    if not isinstance(maps, NpzFile):
        raise UsageError(f"--masks {shown(file)}: is no archive of label maps. Give an .npz file.")
    maps.close()


def config_of(preset: str, width: float, task: str) -> AbpnConfig:
    """The network of a run: a row of PRESETS at a width; a face task starts at face's j."""
    return replace(PRESETS[preset], width=width, style="face" if task == "face" else "cloth")


def photos_under(root: Path) -> list[Path]:
    """Every photo under a folder, sorted."""
    return [path for path in sorted(root.rglob("*")) if is_photo(path)]


def readable(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Photos that can be decoded, and a line for each that cannot.

    Looked at before a run starts: a photo cut short must not end it hours later.
    """
    good, problems = [], []
    with ThreadPoolExecutor(DECODERS) as pool:
        for path, problem in zip(paths, pool.map(fault_in, paths), strict=True):
            if problem:
                problems.append(problem)
            else:
                good.append(path)
    return good, problems


def fault_in(path: Path) -> str:
    """Why a photo cannot be decoded, "" if it can."""
    try:
        decode(path)
    except PhotoError as error:
        return str(error)
    return ""


def split_by_name(paths: Sequence[Path]) -> list[Path]:
    """A tenth of the photos, at least one, chosen by name: those to hold out."""
    ordered = sorted(paths, key=lambda path: zlib.crc32(path.name.encode()))
    return ordered[: max(1, len(ordered) // VALIDATION_SHARE)]


def levels_of(config: AbpnConfig) -> tuple[int, ...]:
    """Halvings to train with: one refining module serves any number, several serve their own."""
    return SHARED_LEVELS if config.refine_shared else (config.levels,)


def held_out_batches(photos: PhotoSet, recipe: Recipe, count: int, seed: int) -> list[Batch]:
    """Pairs to judge by, from a crease generator that training never sees; crops are whole photos.

    Half the batches have one halving, half two; four photos each.
    """
    made = SynthesisedPairs(
        photos.cloth, photos.nothing, photos.labels, [tension_folds], recipe, 4, seed
    )
    batches = []
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        shape = Shape(1 + index % 2, (VALIDATION_SIDE, VALIDATION_SIDE), VALIDATION_SIDE)
        batches.append(stack([made.sample(shape, rng) for _ in range(4)], shape.levels))
    return batches


def judge_held_out(file: Path, photos: PhotoSet, count: int, device: torch.device) -> Scores:
    """Score weights on `count` batches of painted creases and, where there are, idle photos.

    Raises:
        WeightsError: missing, damaged or of another network.
    """
    net = load(file, device).net
    if not isinstance(net, Abpn):
        raise WeightsError(file, "is not an ABPN", "Give weights of a retouching task.")
    painted = score(net, held_out_batches(photos, PAINTED, count, seed=1))
    if not photos.nothing:
        return painted
    idle = score(net, held_out_batches(photos, NOTHING, max(1, count // 2), seed=2))
    return painted._replace(harm=idle.harm, harm_gated=idle.gated)


def photo_data(
    train: PhotoSet, held_out: PhotoSet, levels: Sequence[int], batch: int, seed: int
) -> Data:
    """Data made on the fly from photos.

    Raises:
        NoPhotoError: no photo of cloth, to train on or held out.
    """
    if not train.cloth:
        raise NoPhotoError("No photo to train on. Check --photos and --list.")
    if not held_out.cloth:
        raise NoPhotoError("No photo to validate on. Check --held-out.")
    creases: list[Any] = [ridged_noise]
    bank = wrinkle_bank(train.cloth, train.labels)
    if bank.patches:
        creases.append(Transplant(bank))
    recipe = Recipe()
    source = SynthesisedPairs(
        train.cloth, train.nothing, train.labels, creases, recipe, batch, seed, levels
    )
    about = {
        "photos": len(train.cloth),
        "photos with nothing to do": len(train.nothing),
        "held out": len(held_out.cloth),
        "creases": [getattr(c, "__name__", type(c).__name__) for c in creases],
        "wrinkle patches": len(bank.patches),
        "recipe": asdict(recipe),
    }  # fmt: skip
    return Data(source, lambda: held_out_batches(held_out, PAINTED, 6, 1), len(train.cloth), about)


def studio_data(matched: Matched, levels: Sequence[int], batch: int, seed: int) -> Data:
    """Data from a studio's own before and after photos, a tenth kept for validation.

    Raises:
        NoPhotoError: no pair is fit to train on.
    """
    if not matched.pairs:
        raise NoPhotoError("No pair of photos to train on. Check the names in both folders.")
    train, kept = split(matched.pairs)
    source = StudioPairs(train, levels, batch, seed)
    about = {"pairs": len(train), "validation pairs": len(kept), "left out": matched.problems}
    return Data(source, lambda: whole_pairs(kept, seed), len(train), about)


def whole_pairs(pairs: Sequence[Pair], seed: int) -> list[Batch]:
    """Validation batches of one pair each, crops whole."""
    made = StudioPairs(pairs, (1,), 1, seed)
    shape = Shape(1, (VALIDATION_SIDE, VALIDATION_SIDE), VALIDATION_SIDE)
    rngs = [np.random.default_rng((seed, index)) for index in range(len(pairs))]
    return [stack([made.sample(shape, rng)], 1) for rng in rngs]


class Run(NamedTuple):
    """Where a run's files lie, and what its weights get at the end.

    gate: (low, high) of the gate; boost: what the thumbnail's edit is multiplied by. Neither has
    a part in training: a finished run is given others by the same command.
    """

    folder: Path
    gate: tuple[float, float] = (AbpnConfig.gate_low, AbpnConfig.gate_high)
    boost: float = 1.0

    @property
    def checkpoint(self) -> Path:
        """What `resume` goes on from."""
        return self.folder / CHECKPOINT

    def weights(self, task: str) -> Path:
        """The finished weights."""
        return self.folder / f"{task}.safetensors"


def train(
    trainer: Trainer,
    data: Data,
    run: Run,
    card: Mapping[str, Any],
    report: Callable[[Progress], None],
    judged: Callable[[int, Scores], None],
) -> Path:
    """Resume if there is a checkpoint, train to the end, write weights and their card.

    Of several processes the first alone writes.

    Raises:
        UsageError: the checkpoint there belongs to a run with other settings.
    """
    if run.checkpoint.exists():
        resume(trainer, run.checkpoint)
    batches = data.validation()

    def validate(net: Abpn) -> dict[str, float]:
        scores = score(net, batches)
        judged(trainer.step, scores)
        return scores._asdict()

    low, high = run.gate
    trainer.net.config = replace(trainer.config, gate_low=low, gate_high=high)
    trainer.run(report, validate, run.checkpoint)
    if dist.is_initialized() and dist.get_rank() != 0:
        return run.weights(trainer.settings.task)
    net = finished(trainer.net, run.boost)
    trainer.metrics = validate(net)  # a finished run may be given another gate or boost
    return export(trainer, net, run, {**card, "boost": run.boost, "data": data.about})


def resume(trainer: Trainer, checkpoint: Path) -> None:
    """Take a run up again; its settings must be those of the checkpoint.

    Raises:
        UsageError: they are not.
        WeightsError: the file is damaged.
    """
    wanted = trainer.header()
    found, _ = read_tensors(checkpoint)  # looked at before any of it is taken over
    same = replace(found, digest="", training={}) == replace(wanted, training={})
    data = found.training.get("data", wanted.training["data"])
    if data != wanted.training["data"]:
        raise UsageError(
            f"{shown(checkpoint)}: was made from other photos, or cut otherwise. "
            "Give the same options, or another --out."
        )
    if not same or found.training.get("settings") != wanted.training["settings"]:
        raise UsageError(
            f"{shown(checkpoint)}: was made with other settings. "
            "Give the same options, or another --out."
        )
    trainer.resume(checkpoint)


@torch.no_grad()
def finished(net: Abpn, boost: float) -> Abpn:
    """A copy ready to ship, the edit of its residual LRL multiplied by `boost`.

    Squared error makes a network hold back where it is not sure; a boost over 1 gives that back.

    Raises:
        UsageError: there is no residual to boost.
    """
    ready = deepcopy(net).eval()
    if boost != 1:
        if not net.config.lrl_residual:
            raise UsageError("--boost: the network paints whole thumbnails, not edits. Leave it.")
        for parameter in ready.lrl.retouch_branch.painter.feature.parameters():
            parameter.mul_(boost)
    return ready


def export(trainer: Trainer, net: Abpn, run: Run, card: Mapping[str, Any]) -> Path:
    """Write the network alone, float16, with its card; return the file."""
    path = run.weights(trainer.settings.task)
    header = replace(trainer.header(), config=asdict(net.config))
    save(path, net, header, half=True)
    training = dict(header.training)
    write_card(
        path,
        {
            "task": header.task,
            "net": header.net,
            "config": dict(header.config),
            **card,
            "metrics": training["metrics"],
            "steps": training["step"],
            "settings": training["settings"],
            "commit": commit(),
        },
    )
    return path


def origin_of(file: Path) -> dict[str, Any]:
    """What a file to go on from says of itself, for the card of what comes of it.

    Raises:
        WeightsError: missing or damaged.
    """
    header, _ = read_tensors(file)
    return {"file": file.name, "digest": header.digest, **header.training}


def start_from(file: Path, config: AbpnConfig) -> Mapping[str, torch.Tensor]:
    """Weights to fine-tune; they must be of the same make.

    Raises:
        WeightsError: missing or damaged.
        UsageError: of another configuration.
    """
    net, header = load(file, torch.device("cpu"))
    wanted = asdict(config)
    names = sorted(wanted.keys() | header.config.keys())
    other = [
        name
        for name in names
        if not name.startswith("gate_") and header.config.get(name) != wanted.get(name)
    ]
    if other:
        words = ", ".join(
            f"{name} {header.config.get(name)} and not {wanted.get(name)}" for name in other
        )
        raise UsageError(
            f"--from {shown(file)}: has {words}. Give --preset and --width as it was made with."
        )
    return net.state_dict()


def processes() -> int:
    """How many processes `torchrun` started for this run; 1 without it."""
    return dist.get_world_size() if dist.is_initialized() else 1


def leave_group() -> None:
    """Part from the other processes, where there are any."""
    if dist.is_initialized():
        dist.destroy_process_group()
