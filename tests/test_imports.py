"""The rooms look one way only: whoever breaks the plan of the house hears it here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "abpn_cli"
EVERYONE = {"photo", "errors", "files", "cores"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "photo": set(),
    "files": {"errors"},
    "cores": set(),
    "nets": set(),
    "skin": set(),
    "metadata": EVERYONE,
    "batch": EVERYONE,
    "report": EVERYONE,
    "weights": EVERYONE | {"nets"},
    "tensorflow_checkpoint": EVERYONE,
    "published_hifill": EVERYONE | {"nets", "tensorflow_checkpoint"},
    "weights_import": EVERYONE | {"nets", "weights", "published_hifill"},
    "codecs": EVERYONE | {"metadata"},
    "engine": EVERYONE | {"weights", "nets", "skin"},
    "verify": EVERYONE | {"batch", "codecs", "metadata"},
    "training": EVERYONE | {"nets", "weights", "codecs", "skin"},
    "evaluation": EVERYONE | {"codecs", "engine", "training"},  # it judges what ships
    "benchmark": EVERYONE | {"engine", "codecs", "nets", "batch", "weights"},
    "commands": EVERYONE
    | {"batch", "report", "codecs", "engine", "benchmark", "training", "verify", "weights"}
    | {"evaluation", "weights_import"},
    "cli": EVERYONE | {"commands"},
    "__main__": {"cli"},
    "__init__": set(),
}
THE_PACKAGE_ITSELF = {"__version__"}  # names of abpn_cli/__init__.py, free for all but nets
HEAVY = {"torch", "cv2", "numpy", "tifffile", "imagecodecs", "simplejpeg", "safetensors", "PIL"}
TOOLS_OF_TESTS = {"pillow_heif", "pytest", "mypy", "ruff", "skimage", "scipy", "networkx"}
FILES = sorted(PACKAGE.rglob("*.py"))


def name(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def rooms_imported_by(file: Path) -> Iterator[str]:
    """Rooms that a file's relative imports reach, wherever in the file they stand."""
    depth = len(file.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            yield from [node.module.split(".")[0]] if node.module else [n.name for n in node.names]


def modules_imported_by(tree: ast.AST) -> Iterator[str]:
    """Top names of the absolute imports among a tree's nodes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def at_import_time(tree: ast.Module) -> ast.Module:
    """The tree without function bodies and without what only type checkers read."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.AST | None:
            if "TYPE_CHECKING" in ast.unparse(node.test):
                return None
            return self.generic_visit(node)

    stripped = Strip().visit(tree)
    assert isinstance(stripped, ast.Module)
    return stripped


@pytest.mark.parametrize("file", FILES, ids=name)
def test_imports_point_one_way(file: Path) -> None:
    room = room_of(file)
    assert room in MAY_IMPORT, f"{name(file)} is a room that the plan does not know"
    allowed = MAY_IMPORT[room] | {room}
    if room != "nets":
        allowed = allowed | THE_PACKAGE_ITSELF
    assert set(rooms_imported_by(file)) <= allowed


@pytest.mark.parametrize("file", FILES, ids=name)
def test_imports_of_ours_are_relative_so_that_the_rule_sees_them(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    assert "abpn_cli" not in set(modules_imported_by(tree))
    depth = len(file.relative_to(PACKAGE).parts)
    levels = [node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert max(levels, default=0) <= depth, "an import reaches out of the package"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_nothing_that_ships_needs_the_tools_of_the_tests(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    assert not set(modules_imported_by(tree)) & TOOLS_OF_TESTS


@pytest.mark.parametrize("room", ["batch", "report", "metadata", "codecs", "verify"])
def test_rooms_that_need_no_torch_do_not_import_it(room: str) -> None:
    files = [file for file in FILES if room_of(file) == room]
    assert files
    for file in files:
        assert "torch" not in set(modules_imported_by(ast.parse(file.read_text("utf-8")))), file


def reached_at_import(start: Path) -> set[Path]:
    """Files of ours that importing one file imports."""
    seen: set[Path] = set()
    todo = [start]
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        for node in ast.walk(at_import_time(ast.parse(file.read_text("utf-8")))):
            if isinstance(node, ast.ImportFrom) and node.level:
                todo += targets(file, node)
    return seen


def targets(file: Path, node: ast.ImportFrom) -> list[Path]:
    """Files that one relative import may mean, the packages on the way included."""
    base = file.parents[node.level - 1]
    parts = node.module.split(".") if node.module else []
    stems = [base.joinpath(*parts[:count]) for count in range(len(parts) + 1)]
    stems += [stems[-1] / alias.name for alias in node.names]
    candidates = [
        path for stem in stems for path in (stem.with_suffix(".py"), stem / "__init__.py")
    ]
    return [path for path in candidates if path.is_file() and PACKAGE in path.parents]


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    files = reached_at_import(PACKAGE / "cli.py")
    assert PACKAGE / "errors.py" in files
    for file in files:
        now = at_import_time(ast.parse(file.read_text("utf-8")))
        assert not set(modules_imported_by(now)) & HEAVY, f"{name(file)} is read by `abpn --help`"


def test_the_rule_sees_an_import_that_looks_the_wrong_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    file = tmp_path / "nets" / "abpn.py"
    file.parent.mkdir()
    file.write_text("def late():\n    from ..engine import pyramid\n    from .. import codecs\n")
    assert set(rooms_imported_by(file)) == {"engine", "codecs"}
