"""A decoding process: reads requests from a socket, answers with photos.

Started by `pool` as ``python -m abpn_cli.codecs.worker FD``. A decoder that crashes or hangs here
costs one photo, not the run.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
from pathlib import Path

import cv2

from ..errors import PhotoError
from . import decode
from .protocol import SIZE, detach, framed, receive


def answer(connection: socket.socket, path: Path, max_pixels: int) -> None:
    """Decode one photo and send it, or the PhotoError that came of it."""
    try:
        photo = decode(path, max_pixels)
    except PhotoError as error:
        connection.sendall(framed(pickle.dumps(error)))
        return
    reply, descriptor = detach(photo)
    body = pickle.dumps(reply)
    try:
        socket.send_fds(connection, [SIZE.pack(len(body))], [descriptor])
    finally:
        os.close(descriptor)
    connection.sendall(body)


def main() -> None:
    """Answer requests until the other side closes the socket."""
    cv2.setNumThreads(1)  # there are as many of us as threads are wanted
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        while (request := receive(connection)) is not None:
            path, max_pixels = pickle.loads(request)
            answer(connection, path, max_pixels)


if __name__ == "__main__":
    main()
