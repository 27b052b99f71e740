"""Our own values as bytes and back, for the sockets between our processes; never pickle.

A decoder that a photo has taken over may send what it likes: unpacking runs no code that the bytes
name, and makes nothing but the few kinds of value listed here. A message is its JSON and then, one
behind the other, the byte strings that the JSON names by their lengths.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PhotoError
from ..photo import Metadata, Photo
from .formats import DamagedError, DecodeOptions, Header

_JSON_BYTES = struct.Struct(">Q")
_RECORDS: dict[str, Callable[..., Any]] = {
    kind.__name__: kind for kind in (DecodeOptions, Header, Metadata, Photo)
}
_ERRORS: dict[str, type[PhotoError]] = {kind.__name__: kind for kind in (PhotoError, DamagedError)}


class UnpackError(ValueError):
    """The bytes are no message of ours."""


def packed(value: object) -> bytes:
    """Turn a value into bytes: nothing, numbers, text, bytes, paths, tuples, and our records.

    An array must be empty: pixels go another way. Raises TypeError for anything else.
    """
    blobs: list[bytes] = []
    text = json.dumps(_plain(value, blobs)).encode("ascii")
    return _JSON_BYTES.pack(len(text)) + text + b"".join(blobs)


def _plain(value: object, blobs: list[bytes]) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, bytes):
        blobs.append(value)
        return {"bytes": len(value)}
    if isinstance(value, Path):
        return {"path": os.fspath(value)}
    if isinstance(value, tuple | list):
        return [_plain(item, blobs) for item in value]
    if isinstance(value, PhotoError) and type(value).__name__ in _ERRORS:
        words = (os.fspath(value.path), value.fault, value.remedy)
        return {"error": type(value).__name__, "words": words}
    if isinstance(value, np.ndarray) and not value.size:
        return {"shape": value.shape, "dtype": value.dtype.name}
    if is_dataclass(value) and type(value).__name__ in _RECORDS:
        held = {field.name: _plain(getattr(value, field.name), blobs) for field in fields(value)}
        return {"record": type(value).__name__, "fields": held}
    raise TypeError(f"{type(value).__name__} does not go between processes")


def unpacked(message: bytes) -> Any:
    """Undo `packed`; lists come back as tuples. Raises UnpackError."""
    try:
        (size,) = _JSON_BYTES.unpack_from(message)
        end = _JSON_BYTES.size + size
        blobs = _Blobs(message, end)
        return _value(json.loads(message[_JSON_BYTES.size : end]), blobs)
    except (struct.error, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UnpackError(str(error)) from error


class _Blobs:
    """Hands out the byte strings behind a message's JSON, in their order."""

    def __init__(self, message: bytes, position: int) -> None:
        self._message = message
        self._position = position

    def take(self, size: int) -> bytes:
        start, self._position = self._position, self._position + size
        if not start <= self._position <= len(self._message):
            raise ValueError("a message is cut short")
        return self._message[start : self._position]


def _value(plain: Any, blobs: _Blobs) -> Any:
    if isinstance(plain, list):
        return tuple(_value(item, blobs) for item in plain)
    if not isinstance(plain, dict):
        return plain
    return _made(plain, blobs)


def _made(plain: Mapping[str, Any], blobs: _Blobs) -> Any:
    """Make what an object of the JSON stands for."""
    if "bytes" in plain:
        return blobs.take(int(plain["bytes"]))
    if "path" in plain:
        return Path(plain["path"])
    if "error" in plain:
        path, fault, remedy = plain["words"]
        return _ERRORS[plain["error"]](Path(path), str(fault), str(remedy))
    if "dtype" in plain:
        shape = tuple(int(side) for side in plain["shape"])
        if 0 not in shape or plain["dtype"] not in ("uint8", "uint16"):
            raise ValueError("an array that is not empty")
        return np.empty(shape, plain["dtype"])
    held = {str(name): _value(item, blobs) for name, item in plain["fields"].items()}
    return _RECORDS[plain["record"]](**held)
