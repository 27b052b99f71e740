"""Build abpn's CPU kernel when abpn is installed, if there is a C compiler; it is not needed.

Hatchling calls `KernelHook` for wheels and editable installs. With the library the wheel is one for
this platform; without, it is one for all, and abpn computes by torch alone. HATCH_BUILD_NO_HOOKS=1
leaves it out.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from shutil import which
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("abpn_cli", "engine", "native")
LIBRARY = "_kernels.so"
# Nothing of this machine's own: variants for what processors may have stand in the source.
FLAGS = [
    *("-std=gnu11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    *("-fPIC", "-shared", "-Wno-psabi"),
]


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling's door."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the library, and tell what the wheel then is."""
        folder = Path(self.root) / FOLDER
        fault = build(folder)
        if fault:
            self.app.display_warning(f"abpn's CPU kernel is left out: {fault}. torch does it all.")
            return
        build_data["artifacts"].append(str(FOLDER / LIBRARY))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform()}"


def build(folder: Path) -> str:
    """Compile kernels.c of a folder into its library; return why not, or ""."""
    library, source, compiler = folder / LIBRARY, folder / "kernels.c", find_compiler()
    if compiler is None or not source.exists():
        library.unlink(missing_ok=True)  # one of another source must not stay
        return "there is no C compiler"
    unfinished = library.with_suffix(f".{os.getpid()}.so")
    command = [*compiler, *FLAGS, str(source), "-o", str(unfinished)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        library.unlink(missing_ok=True)
        unfinished.unlink(missing_ok=True)
        return f"{compiler[0]} ended with {ran.returncode}: {ran.stderr.strip()}"
    unfinished.replace(library)
    return ""


def find_compiler() -> list[str] | None:
    """CC of the environment, or the first that is there; Microsoft's cannot build this source."""
    if sys.platform == "win32":
        return None
    chosen = shlex.split(os.environ.get("CC", ""))
    for command in [chosen] if chosen else [["cc"], ["gcc"], ["clang"]]:
        if which(command[0]):
            return command
    return None


def platform() -> str:
    """This platform as wheels name it."""
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
