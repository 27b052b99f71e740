"""Checkpoints: find, check, load and save. A file says what it is: net, config and task.

The format is safetensors, never pickle. The file's own metadata holds a JSON header with the
digest of its tensors; the card beside it (`NAME.json`) holds data, licence, metrics, command and
the SHA-256 of the file.

Finding a file takes no torch, which takes seconds to import: what needs it imports it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from platformdirs import user_data_path

from .errors import WeightsError
from .files import content_of, write_atomic

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SUFFIX = ".safetensors"
HEADER_KEY = "abpn"
FACE = "face"  # the task that is done face by face
RETOUCH, GRADE, REMOVE = "retouch", "grade", "remove"  # verbs that use weights
VERBS: Mapping[str, str] = {
    "csrnet": GRADE,
    "hifill": REMOVE,
}  # by the row of NETS; all others retouch
WORDS: Mapping[str, tuple[str, str]] = {  # what weights of a verb are called, and its option
    RETOUCH: ("task", "--task"),
    GRADE: ("style", "--style"),
    REMOVE: ("filler", "--weights"),
}
REINSTALL = "Fetch the file again, or reinstall abpn."


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself.

    net: row of NETS; config: its arguments; task: what it retouches; digest: SHA-256 over the
    tensors' names and bytes; training: how it came about (steps, metrics, commit …).
    """

    net: str
    config: Mapping[str, Any]
    task: str
    digest: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)


class Loaded(NamedTuple):
    """A network ready to infer, and what its file says of it."""

    net: nn.Module
    header: Header


class Listed(NamedTuple):
    """One task or style; state is what `check` found, verb the command that uses it."""

    task: str
    path: Path
    card: Mapping[str, Any]
    state: Literal["ok", "damaged", "no card"]
    verb: str = RETOUCH


def folders() -> list[Path]:
    """Where tasks are looked for: the user's own folder first, then the packaged weights."""
    packaged = Path(__file__).with_name("_weights")
    if not packaged.is_dir():  # an editable install: the checkout's top-level folder
        packaged = Path(__file__).parents[1] / "weights"
    return [user_folder(), packaged]


def user_folder() -> Path:
    """Where a user keeps weights of their own: `mystyle.safetensors` there is `--task mystyle`."""
    return user_data_path("abpn", appauthor=False) / "weights"


def packaged_tasks() -> list[str]:
    """The tasks and styles whose weights come with abpn."""
    return sorted(path.stem for path in folders()[-1].glob(f"*{SUFFIX}"))


def find(name: str, verb: str = RETOUCH) -> Path:
    """Return the file of a task, or of a verb's other kind of weights: of a style for GRADE.

    Raises:
        WeightsError: no such task or style; names those there are.
    """
    kind, _ = WORDS[verb]
    known: dict[str, Path] = {}
    others: dict[str, str] = {}
    for folder in reversed(folders()):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            use = verb_of(path)
            if use == verb:
                known[path.stem] = path
            else:
                others[path.stem] = use
    if name in known:
        return known[name]
    if name in others:
        other, option = WORDS[others[name]]
        raise WeightsError(
            name, f"is a {other}, no {kind}", f"Use `abpn {others[name]} {option} {name}`."
        )
    names = ", ".join(sorted(known)) or "none"
    raise WeightsError(
        name,
        f"no weights for this {kind}",
        f"{kind.capitalize()}s found: {names}; put {name}{SUFFIX} into {user_folder()} or use "
        "--weights.",
    )


def verb_of(path: Path) -> str:
    """Tell which verb uses a weights file; of one that is damaged, RETOUCH, which will say so."""
    try:
        return VERBS.get(header_of(path).net, RETOUCH)
    except WeightsError:
        return RETOUCH


def find_own(task: str) -> str:
    """Return the hash of the weights that the user's own folder has for a task, "" for none."""
    path = user_folder() / f"{task}{SUFFIX}"
    return hash_of([path]) if path.is_file() else ""


def find_each(tasks: str) -> dict[str, Path]:
    """Return the file of each task that `--task` names, as in "cloth,face".

    Raises:
        WeightsError: no such task; names those there are.
    """
    return {task: find(task) for task in tasks.split(",")}


def hash_of(files: Iterable[Path]) -> str:
    """SHA-256 of a weights file; of several, that of their hashes, a line each. Raises OSError."""
    hashes = [content_of(path).sha256 for path in files]
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(f"{each}\n" for each in hashes).encode()).hexdigest()


def listed() -> list[Listed]:
    """Every task and style found, the user's own first, each checked against its card."""
    rows: dict[tuple[str, str], Listed] = {}
    for folder in folders():
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            verb = verb_of(path)
            row = Listed(path.stem, path, read_card(path), check(path), verb)
            rows.setdefault((verb, path.stem), row)
    return list(rows.values())


def card_path(path: Path) -> Path:
    """Where the card of a weights file lies."""
    return path.with_suffix(".json")


def read_card(path: Path) -> Mapping[str, Any]:
    """The card of a weights file, empty where there is none or it cannot be read."""
    try:
        card = json.loads(card_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def check(path: Path) -> Literal["ok", "damaged", "no card"]:
    """Compare a file with its own digest, and with its card where there is one."""
    try:
        read_tensors(path)
        whole = _is_as_on_card(path)
    except WeightsError:
        return "damaged"
    if not whole:
        return "damaged"
    return "ok" if read_card(path) else "no card"


def load(path: Path, device: torch.device) -> Loaded:
    """Rebuild the network a checkpoint describes, with its weights, in float32, ready to infer.

    Raises:
        WeightsError: missing, damaged, not ours, or of a network this abpn does not know.
    """
    header, tensors = read_tensors(path)
    if not _is_as_on_card(path):
        raise WeightsError(path, "differs from the checksum on its card", REINSTALL)
    net = build(path, header)
    try:
        net.load_state_dict(tensors)  # copies: the file may be written to while it is mapped
    except RuntimeError as error:
        raise WeightsError(
            path, "holds tensors that do not fit its own configuration", REINSTALL
        ) from error
    return Loaded(net.eval().to(device), header)


def _is_as_on_card(path: Path) -> bool:
    """Whether a file is the one its card describes; true where it has none.

    Raises:
        WeightsError: it cannot be read.
    """
    card = read_card(path)
    try:
        return not card or card.get("sha256") == content_of(path).sha256
    except OSError as error:
        raise WeightsError(path, f"cannot be read ({_reason(path, error)})", REINSTALL) from error


def build(path: Path, header: Header) -> nn.Module:
    """Make the network a header describes, weights not loaded.

    Raises:
        WeightsError: an unknown network or configuration.
    """
    from .nets import NETS

    if header.net not in NETS:
        raise WeightsError(
            path, f"holds a '{header.net}' network; this abpn knows {', '.join(NETS)}",
            "Upgrade abpn.",
        )  # fmt: skip
    try:
        return NETS[header.net](header.config)
    except (TypeError, ValueError) as error:
        raise WeightsError(
            path, f"has a configuration this abpn does not know ({error})", "Upgrade abpn."
        ) from error


def save(path: Path, net: nn.Module, header: Header, half: bool = False) -> str:
    """Write a checkpoint under its final name only when whole; return the file's SHA-256.

    half: store floating-point tensors as float16; loading brings them back to float32.
    """
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in net.state_dict().items()
    }
    return save_tensors(path, tensors, header)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Header) -> str:
    """Write named tensors with a header, atomically; return the file's SHA-256."""
    from safetensors.torch import save as to_safetensors

    fields = asdict(header) | {"digest": digest(tensors)}
    data = to_safetensors(dict(tensors), {HEADER_KEY: json.dumps(fields, sort_keys=True)})
    write_atomic(path, lambda part: _fill(part, data))
    return hashlib.sha256(data).hexdigest()


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write the card of a weights file, its SHA-256 included."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    text = json.dumps({**card, "file": path.name, "sha256": sha256}, indent=2)
    write_atomic(card_path(path), lambda part: _fill(part, text.encode() + b"\n"))


def _fill(part: Path, data: bytes) -> None:
    part.write_bytes(data)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, in name order."""
    import torch

    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def read_tensors(path: Path) -> tuple[Header, dict[str, Tensor]]:
    """Map a checkpoint of ours into memory, types as stored, and check it against its digest.

    Raises:
        WeightsError: missing, damaged or not ours.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise WeightsError(path, f"damaged or no weights file ({error})", REINSTALL) from error
    except OSError as error:
        raise WeightsError(path, f"cannot be read ({_reason(path, error)})", REINSTALL) from error
    header = _header(path, metadata)
    if digest(tensors) != header.digest:
        raise WeightsError(path, "damaged: its tensors differ from its checksum", REINSTALL)
    return header, tensors


def header_of(path: Path) -> Header:
    """Read what a checkpoint says of itself, and no more of it: that takes no torch.

    Raises:
        WeightsError: missing, damaged or not ours.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return _header(path, file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(path, f"damaged or no weights file ({error})", REINSTALL) from error


def is_by_faces(task: str, header: Header) -> bool:
    """Tell whether weights work face by face; task: what `--task` calls them, or "".

    Only ABPN does: its rivals see whole photos.
    """
    return header.net == "abpn" and FACE in (task, header.task, header.config.get("style"))


def _header(path: Path, metadata: Mapping[str, str]) -> Header:
    try:
        header = Header(**json.loads(metadata[HEADER_KEY]))
        if not isinstance(header.config, dict) or not isinstance(header.task, str):
            raise TypeError("a header of another make")
        return header
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(path, "not a weights file of abpn", "Use weights made for abpn.") from (
            error
        )


def _reason(path: Path, error: OSError) -> str:
    """Say why a file cannot be read; safetensors puts the path into the reason."""
    return error.strerror or str(error).removesuffix(f": {path}")
