"""A decoding process: reads requests from a socket, answers with photos.

Started by `pool` as ``python -m abpn_cli.codecs.worker FD``. A decoder that crashes or hangs here
costs one photo, not the run.
"""

from __future__ import annotations

import os
import resource
import socket
import sys

import cv2

from ..errors import PhotoError
from . import decode, probe
from .plain import packed, unpacked
from .protocol import SIZE, Request, detach, framed, receive

_BASE_BYTES = 2 << 30  # the libraries themselves
_BYTES_PER_PIXEL = 40  # a camera raw file needs about 20, four floats 40


def answer(connection: socket.socket, request: Request) -> None:
    """Decode one photo, or read its header, and send it, or the PhotoError that came of it."""
    try:
        if request.header_only:
            connection.sendall(framed(packed(probe(request.path))))
            return
        photo = decode(request.path, request.options)
    except PhotoError as error:
        connection.sendall(framed(packed(error)))
        return
    except MemoryError:
        fault = "decoding it takes more memory than a photo may"
        refusal = PhotoError(request.path, fault, "Save it anew with another program.")
        connection.sendall(framed(packed(refusal)))
        return
    reply, descriptor = detach(photo)
    body = packed(reply)
    try:
        socket.send_fds(connection, [SIZE.pack(len(body))], [descriptor])
    finally:
        os.close(descriptor)
    connection.sendall(body)


def bound_memory(max_pixels: int) -> None:
    """Let this process take no more memory than decoding that many pixels can need.

    What a file claims is checked before memory is taken for it, but not by every C library: this
    makes a bomb inside a photo that photo's error and not the machine's.
    """
    most = _BASE_BYTES + _BYTES_PER_PIXEL * max_pixels
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard == resource.RLIM_INFINITY or most <= hard:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def main() -> None:
    """Answer requests until the other side closes the socket."""
    cv2.setNumThreads(1)  # there are as many of us as threads are wanted
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        while (request := receive(connection)) is not None:
            asked = Request(*unpacked(request))
            bound_memory(asked.options.max_pixels)
            answer(connection, asked)


if __name__ == "__main__":
    main()
