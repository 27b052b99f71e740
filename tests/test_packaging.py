"""What pip sees of the project."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest

from abpn_cli.engine.native import SETS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
BUILT_BY = ("pyproject.toml", "LICENSE", "build_kernel.py")
KERNEL = "abpn_cli/engine/native/_kernels.so"
URL = re.compile(r"\w+://|@ ")


needs_hatchling = pytest.mark.skipif(
    find_spec("hatchling") is None, reason="building needs hatchling"
)


def plain(requirement: str) -> str:
    """A requirement's name as the index spells it."""
    name = re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    return {plain(pin): pin for pin in pins}


def requirements() -> list[str]:
    extras = PROJECT["project"]["optional-dependencies"].values()
    return [*PROJECT["project"]["dependencies"], *(each for extra in extras for each in extra)]


@pytest.mark.parametrize("requirement", requirements())
def test_each_requirement_has_a_tested_version(requirement: str) -> None:
    assert plain(requirement) in constraints()


def test_constraints_are_names_and_exact_versions_and_name_no_host() -> None:
    for pin in constraints().values():
        assert re.fullmatch(r"[a-z0-9._-]+==[0-9][0-9a-z.]*", pin), pin


def test_requirements_come_from_the_index_that_the_user_chose() -> None:
    assert not [each for each in requirements() if URL.search(each)]


def test_typed_marker_and_licence_are_where_tools_look_for_them() -> None:
    assert (ROOT / "abpn_cli" / "py.typed").is_file()
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_version_and_changelog_agree() -> None:
    version = re.search(r'__version__ = "(.+)"', (ROOT / "abpn_cli/__init__.py").read_text("utf-8"))
    assert version
    assert f"\n## {version[1]}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def wheel_of(tmp_path: Path, compiler: str) -> tuple[str, set[str]]:
    """Build a small wheel of the project: its file's name, and the names of what is in it."""
    project = tmp_path / "project"
    (project / "weights").mkdir(parents=True)
    (project / "weights" / "some.safetensors").write_bytes(b"weights")
    (project / "weights" / "some.json").write_text("{}")
    (project / "README.md").write_text("# abpn\n")
    native = sorted((ROOT / "abpn_cli" / "engine" / "native").glob("*.[ch]"))
    files = ("abpn_cli/__init__.py", "abpn_cli/py.typed", "tests/test_packaging.py")
    for source in [*native, *(ROOT / name for name in (*BUILT_BY, *files))]:
        target = project / source.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True, parents=True)
        target.write_bytes(source.read_bytes())
    (project / "abpn_cli/engine/native/_kernels.so").write_bytes(b"of an earlier build")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=project,
        check=True,
        capture_output=True,
        env={**os.environ, "CC": compiler},
    )
    (wheel,) = tmp_path.glob("*.whl")
    return wheel.name, set(zipfile.ZipFile(wheel).namelist())


@needs_hatchling
def test_the_wheel_carries_weights_types_and_no_tests(tmp_path: Path) -> None:
    _, names = wheel_of(tmp_path, "no-such-compiler")
    assert {"abpn_cli/_weights/some.safetensors", "abpn_cli/_weights/some.json"} <= names
    assert "abpn_cli/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "examples", "weights"))]


@needs_hatchling
@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_that_works_the_wheel_is_one_for_all(
    tmp_path: Path, compiler: str
) -> None:
    name, names = wheel_of(tmp_path, compiler)
    assert name.endswith("-py3-none-any.whl")
    assert KERNEL not in names


@needs_hatchling
@pytest.mark.skipif(which("cc") is None, reason="there is no C compiler")
def test_with_a_compiler_the_wheel_carries_the_kernel_and_is_one_for_this_platform(
    tmp_path: Path,
) -> None:
    name, names = wheel_of(tmp_path, "cc")
    assert re.search(r"-py3-none-(?!any)\w+\.whl$", name)
    assert KERNEL in names
    library = ctypes.CDLL(str(tmp_path / "project" / KERNEL))
    assert library.abpn_lanes(0) in SETS


def test_the_kernel_is_built_for_every_machine_of_its_kind() -> None:
    assert "-march" not in (ROOT / "build_kernel.py").read_text("utf-8")
    assert "-ffast-math" not in (ROOT / "build_kernel.py").read_text("utf-8")
