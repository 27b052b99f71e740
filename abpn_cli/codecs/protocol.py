"""What a decoding process and its parent say to each other over a socket.

A request is a packed `Request`; an answer is, packed, a PhotoError, the `Header` that was asked
for, or a `Reply`. Each is preceded by its size. With a `Reply` comes the descriptor of an unnamed
file that holds the pixels and then the alpha.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..photo import Photo
from .formats import DecodeOptions
from .plain import UnpackError

SIZE = struct.Struct(">Q")


class Request(NamedTuple):
    """A photo to decode, or only its header to read."""

    path: Path
    options: DecodeOptions
    header_only: bool = False


class Reply(NamedTuple):
    """A photo without its pixels, and what is needed to find these in the file sent along.

    shape: (H, W, 3); dtype: "uint8" or "uint16"; has_alpha: alpha follows the pixels.
    """

    photo: Photo
    shape: tuple[int, ...]
    dtype: str
    has_alpha: bool


def framed(message: bytes) -> bytes:
    """Return a message with its size before it."""
    return SIZE.pack(len(message)) + message


def exactly(connection: socket.socket, size: int) -> bytes | None:
    """Read so many bytes, None where the other side has gone before."""
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


def receive(connection: socket.socket) -> bytes | None:
    """Read one message, None where the other side has gone."""
    head = exactly(connection, SIZE.size)
    return None if head is None else exactly(connection, SIZE.unpack(head)[0])


def detach(photo: Photo) -> tuple[Reply, int]:
    """Move a photo's pixels and alpha into an unnamed file; return the rest and its descriptor.

    Not in /dev/shm under a name: containers give 64 MB there, and a killed process leaves it full.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("abpn-photo")
    else:  # macOS: a file on the disk that lost its name
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    for array in (photo.pixels, photo.alpha):
        if array is not None:
            left = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
            while left:
                left = left[os.write(descriptor, left) :]
    dtype = photo.pixels.dtype
    rest = replace(photo, pixels=np.empty((0, 0, 3), dtype), alpha=None)
    return Reply(rest, photo.pixels.shape, dtype.name, photo.alpha is not None), descriptor


def attach(reply: Reply, descriptor: int) -> Photo:
    """Undo `detach` on the other side: the pixels are mapped, not copied.

    Raises UnpackError where there are not as many as the reply says.
    """
    try:
        values = np.frombuffer(mmap.mmap(descriptor, 0), reply.dtype)
        count = int(np.prod(reply.shape))
        pixels = values[:count].reshape(reply.shape)
        alpha = values[count:].reshape(reply.shape[:2]) if reply.has_alpha else None
    except (ValueError, TypeError) as error:
        raise UnpackError(str(error)) from error
    return replace(reply.photo, pixels=pixels, alpha=alpha)
