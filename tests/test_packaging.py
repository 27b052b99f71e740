"""What pip sees of the project."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
URL = re.compile(r"\w+://|@ ")


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


@pytest.mark.skipif(find_spec("hatchling") is None, reason="building needs hatchling")
def test_the_wheel_carries_weights_types_and_no_tests(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "weights").mkdir(parents=True)
    (project / "weights" / "some.safetensors").write_bytes(b"weights")
    (project / "weights" / "some.json").write_text("{}")
    (project / "README.md").write_text("# abpn\n")
    for name in ("pyproject.toml", "LICENSE"):
        (project / name).write_bytes((ROOT / name).read_bytes())
    for name in ("abpn_cli/__init__.py", "abpn_cli/py.typed", "tests/test_packaging.py"):
        target = project / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=project,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"abpn_cli/_weights/some.safetensors", "abpn_cli/_weights/some.json"} <= set(names)
    assert "abpn_cli/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "examples", "weights"))]
