"""What docs/security.md claims."""

from __future__ import annotations

import ast
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import pytest
from command import abpn
from photos import pattern, write_jpeg, write_png, write_tiff

from abpn_cli.codecs import DamagedError, DecodeOptions, Header
from abpn_cli.codecs.plain import UnpackError, packed, unpacked
from abpn_cli.errors import PhotoError
from abpn_cli.photo import Metadata, Photo

PACKAGE = Path(__file__).parents[1] / "abpn_cli"
FILES = sorted(PACKAGE.rglob("*.py"))
NETWORK = {
    *("aiohttp", "asyncio", "ftplib", "http", "httpx", "huggingface_hub", "imaplib", "nntplib"),
    *("poplib", "requests", "smtplib", "socketserver", "ssl", "telnetlib", "torchvision"),
    *("urllib", "urllib3", "webbrowser", "xmlrpc"),
}
RUNS_CODE = {"cloudpickle", "code", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"torch.load", "torch.hub", "os.system", "os.popen", "os.execv", "jit.load"}
# Who talks to other processes, and why.
MAY_IMPORT = {
    "subprocess": {
        "codecs/pool.py",  # decoding processes: this Python, this package
        "benchmark/processes.py",  # measuring processes, and abpn itself timed: the same
        "training/train.py",  # asks git for the commit that goes into a checkpoint
    },
    # libjpeg's coefficients, of sources that decoded strictly
    "ctypes": {
        "codecs/coefficients.py",
        "engine/native/__init__.py",  # the kernel of ours that an install may have built
    },
    # pairs of local sockets between us and our decoding processes
    "socket": {"codecs/pool.py", "codecs/protocol.py", "codecs/worker.py"},
}


def name_of(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def imported_by(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.split(".")[0]


def loads_tensors_alone(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether a node is `torch.load(…, weights_only=True)`: a published checkpoint, imported."""
    return (
        isinstance(node, ast.Call)
        and ast.unparse(node.func) == "torch.load"
        and any(
            word.arg == "weights_only" and ast.unparse(word.value) == "True"
            for word in node.keywords
        )
    )


def forbidden_in(tree: ast.AST) -> Iterator[str]:
    harmless = {id(node.func) for node in ast.walk(tree) if loads_tensors_alone(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield from {node.func.id} & CALLS
        if isinstance(node, ast.Attribute) and id(node) not in harmless:
            yield from {".".join(ast.unparse(node).split(".")[-2:])} & METHODS
        if isinstance(node, ast.keyword) and node.arg in ("shell", "allow_pickle"):
            yield node.arg


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_file_of_ours_unpickles_runs_text_or_reaches_the_network(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    found = set(imported_by(tree))
    assert not found & NETWORK
    assert not found & RUNS_CODE
    assert not set(forbidden_in(tree))
    for module, allowed in MAY_IMPORT.items():
        assert module not in found or name_of(file) in allowed


def test_the_search_sees_what_it_looks_for() -> None:
    text = (
        "import pickle, urllib.request\nfrom http import client\nx = torch.load(p)\neval('1')\n"
        "y = torch.load(p, weights_only=True)\n"
        "np.load(p, allow_pickle=True)\nsubprocess.run(c, shell=True)\nos.system('x')\n"
    )
    tree = ast.parse(text)
    assert {"pickle", "urllib", "http"} <= set(imported_by(tree))
    found = {"torch.load", "eval", "allow_pickle", "shell", "os.system"}
    assert set(forbidden_in(tree)) == found


WATCH = """
import os, sys

THIS = os.path.basename(sys.executable)

def watch(event, args):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto",
                 "urllib.Request", "os.system", "pickle.find_class"):
        told = f"{event} {args!r}"
    elif event == "subprocess.Popen" and os.path.basename(args[0]) != THIS:
        told = f"{event} {args[1]!r}"
    else:
        return
    with open(os.environ["WATCHED"], "a") as file:
        file.write(told + "\\n")
    if event.startswith("socket"):
        raise PermissionError("no network here")

sys.addaudithook(watch)
"""


def watched(folder: Path, *command: str | Path) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run Python with a watch on it and on the Pythons it starts; return what it noted, too."""
    hook = folder / "hook"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(WATCH)
    log = folder / "watched.log"
    log.write_text("")
    paths = os.pathsep.join([str(hook), str(PACKAGE.parent)])
    env = {**os.environ, "PYTHONPATH": paths, "WATCHED": str(log), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(os.fspath, command)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done, log.read_text()


def test_a_run_connects_to_nothing_starts_nothing_else_and_unpickles_nothing(
    tmp_path: Path, checkpoint: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    write_jpeg(photos / "a.jpg", pattern(64, 96))
    write_tiff(photos / "b.tif", pattern(64, 96))
    write_png(photos / "c.png", pattern(64, 96))
    options = ("--weights", checkpoint, "--device", "cpu", "--save-mask")
    done, log = watched(tmp_path, "-m", "abpn_cli", "retouch", photos, "-o", "out", *options)
    assert done.returncode == 0, done.stderr
    assert log == ""


def test_the_watch_sees_connections_and_programs(tmp_path: Path) -> None:
    code = (
        "import socket, subprocess, pickle, fractions\n"
        "subprocess.run(['true'])\n"
        "pickle.loads(pickle.dumps(fractions.Fraction(1)))\n"
        "socket.create_connection(('127.0.0.1', 9))\n"
    )
    done, log = watched(tmp_path, "-c", code)
    assert done.returncode == 1
    events = {line.split()[0] for line in log.splitlines()}
    assert {"subprocess.Popen", "pickle.find_class"} <= events
    assert any(event.startswith("socket.") for event in events)


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_weights_that_are_a_pickle_are_refused_and_not_run(tmp_path: Path) -> None:
    import torch

    weights, marker = tmp_path / "evil.safetensors", tmp_path / "marker"
    torch.save({"weights": Evil(marker)}, weights)
    photo = write_jpeg(tmp_path / "a.jpg", pattern(64, 96))
    code, _, err = abpn("retouch", photo, "-o", "out", "--weights", weights, cwd=tmp_path)
    assert code == 5
    assert "evil.safetensors" in err
    assert not marker.exists()


@pytest.mark.parametrize(
    "header", [{"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}, None]
)
def test_weights_that_lie_about_their_size_are_refused(tmp_path: Path, header: object) -> None:
    weights = tmp_path / "liar.safetensors"
    text = json.dumps(header).encode() if header else b"{"
    size = len(text) if header else 1 << 60
    weights.write_bytes(struct.pack("<Q", size) + text)
    photo = write_jpeg(tmp_path / "a.jpg", pattern(64, 96))
    code, _, err = abpn("retouch", photo, "-o", "out", "--weights", weights, cwd=tmp_path)
    assert code == 5
    assert "damaged" in err


def test_names_and_texts_in_files_cannot_steer_the_terminal(
    tmp_path: Path, checkpoint: Path
) -> None:
    photo = write_tiff(tmp_path / "\x1b]0;owned\x07.tif", pattern(64, 96), b"\0" * 200)
    data = bytearray(b"\0" * 132)
    struct.pack_into(">I", data, 0, len(data))
    data[16:20], data[36:40] = b"\x1b[2J", b"acsp"
    write_tiff(photo, pattern(64, 96), bytes(data))
    code, out, err = abpn(
        "retouch", photo, "-o", "out", "--weights", checkpoint, "-v", "--ndjson", cwd=tmp_path
    )
    assert code == 0, err
    assert "\\x1b" in err
    assert "profile" in err
    assert not {"\x1b", "\x07"} & set(out + err)


def test_what_goes_between_processes_comes_back_as_it_was() -> None:
    metadata = Metadata(exif=b"II*\0", chunks=((b"tEXt", b"a"),), more_comments=(b"", b"\xff"))
    values = (
        *(None, True, 1, 1.5, "\udcff text", b"", b"bytes", Path("a/\udcff"), (1, (2,), ())),
        *(Header("jpeg", (1, 2), 8, 3, 6), DecodeOptions(max_pixels=7), metadata),
    )
    assert unpacked(packed(values)) == values
    error = unpacked(packed(DamagedError(Path("a.jpg"), "it is cut", "Restore it")))
    assert type(error) is DamagedError
    assert (error.path, error.fault, error.remedy) == (Path("a.jpg"), "it is cut", "Restore it")
    photo = Photo(pattern(0, 0), metadata, warnings=("a", "b"), digest="d")
    again = unpacked(packed(photo))
    assert again.pixels.shape == (0, 0, 3)
    assert (again.metadata, again.warnings, again.digest) == (metadata, ("a", "b"), "d")


@pytest.mark.parametrize(
    "message",
    [
        *(b"", b"\0" * 8, b"\xff" * 20, packed(b"bytes")[:-1]),
        *(
            struct.pack(">Q", len(text)) + text
            for text in (
                *(b"{}", b"nan", b'{"record": "Path"}', b'{"record": "Photo", "fields": {"x": 1}}'),
                *(b'{"error": "OSError", "words": [1, 2, 3]}', b'{"bytes": -1}', b"[" * 100_000),
                b'{"dtype": "uint8", "shape": [1000000, 1000000]}',
                b'{"dtype": "object", "shape": [0]}',
            )
        ),
    ],
)
def test_no_message_of_a_decoder_makes_more_than_values(message: bytes) -> None:
    with pytest.raises(UnpackError):
        unpacked(message)


def test_only_values_of_ours_are_packed() -> None:
    for value in (object(), pattern(2, 2), Evil(Path("x")), PhotoError, OSError(1)):
        with pytest.raises(TypeError):
            packed(value)
