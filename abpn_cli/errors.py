"""Every error abpn raises on purpose, each with the exit code it stands for.

A `PhotoError` costs one photo and the batch goes on; every other kind stops the run. Anything
that is not an `AbpnError` is a bug: it is not caught, shows its traceback and exits with 1.
"""

from __future__ import annotations

import os
from pathlib import Path


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as text that any terminal can print, bytes that are not UTF-8 escaped."""
    return os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class AbpnError(Exception):
    """An error with words for the user: what is wrong, and what to do about it."""

    exit_code = 1


class _FileError(AbpnError):
    """An error about one file: its path, the fault and the remedy."""

    def __init__(self, path: str | os.PathLike[str], fault: str, remedy: str) -> None:
        super().__init__(f"{shown(path)}: {fault}. {remedy}")
        self.path = Path(path)
        self.fault = fault
        self.remedy = remedy


class UsageError(AbpnError):
    """Options or paths that cannot be meant."""

    exit_code = 2


class PhotoError(_FileError):
    """One photo could not be handled; the batch goes on."""

    exit_code = 3


class NoPhotoError(AbpnError):
    """Nothing to do: no photo under the paths given."""

    exit_code = 4


class WeightsError(_FileError):
    """Weights are missing, unknown or damaged."""

    exit_code = 5


class DeviceError(AbpnError):
    """The device asked for is not there, or has not enough memory."""

    exit_code = 6


class TargetError(_FileError):
    """The output cannot be written: disk full, no permission, folder gone."""

    exit_code = 7
