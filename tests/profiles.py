"""ICC profiles of the matrix/TRC kind, built byte by byte for the tests."""

from __future__ import annotations

import struct

import numpy as np
from skimage.color import rgb2lab

# Primaries in XYZ relative to D50, red, green, blue.
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
D50 = (0.9642, 1.0, 0.8249)


def fixed(*values):
    return b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def gamma(value):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def table(function, count=1024):
    entries = [round(65535 * function(i / (count - 1))) for i in range(count)]
    return b"curv\0\0\0\0" + struct.pack(f">I{count}H", count, *entries)


def parametric(kind, *values):
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + fixed(*values)


SRGB_PARAMETERS = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def srgb_decoded(x):
    return x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4


PLAIN = (gamma(2.2),)


def profile(primaries=ADOBE, curves=PLAIN, version=2, space=b"RGB ", pcs=b"XYZ ", more=()):
    red, green, blue = curves if len(curves) == 3 else curves * 3
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    tags = [(n, b"XYZ \0\0\0\0" + fixed(*p)) for n, p in zip(names, primaries, strict=True)]
    tags += [(b"wtpt", b"XYZ \0\0\0\0" + fixed(*D50))]
    tags += [(b"rTRC", red), (b"gTRC", green), (b"bTRC", blue), *more]
    entries, data = b"", b""
    for name, content in tags:
        offset = 132 + 12 * len(tags) + len(data)
        entries += struct.pack(">4sII", name, offset, len(content))
        data += content + b"\0" * (-len(content) % 4)
    body = struct.pack(">I", len(tags)) + entries + data
    header = bytearray(128)
    header[0:4] = struct.pack(">I", 128 + len(body))
    header[8:12] = bytes([version, 0x20, 0, 0])
    header[12:24] = b"mntr" + space + pcs
    header[36:40] = b"acsp"
    header[68:80] = fixed(*D50)
    return bytes(header) + body


WIDE = {
    "adobe gamma v2": profile(ADOBE, (gamma(563 / 256),)),
    "adobe gamma v4": profile(ADOBE, (gamma(563 / 256),), version=4),
    "prophoto gamma": profile(PROPHOTO, (gamma(1.8),)),
    "prophoto linear toe": profile(PROPHOTO, (parametric(3, 1.8, 1, 0, 1 / 16, 1 / 32),), 4),
    "p3 as Apple writes it": profile(P3, (parametric(3, *SRGB_PARAMETERS),), 4),
    "p3 table": profile(P3, (table(srgb_decoded),)),
    "adobe coarse table": profile(ADOBE, (table(lambda x: x**2.2, 33),)),
    "linear": profile(ADOBE, (b"curv\0\0\0\0\0\0\0\0",)),
    "parametric 0": profile(ADOBE, (parametric(0, 2.4),), 4),
    "parametric 1": profile(P3, (parametric(1, 2.2, 0.95, 0.05),), 4),
    "parametric 2": profile(P3, (parametric(2, 2.2, 0.9, 0.05, 0.05),), 4),
    "parametric 4": profile(
        P3, (parametric(4, 2.4, 0.94392, 0.05191, 0.07663, 0.04045, 0.01, 0.01),), 4
    ),
    "a curve for each channel": profile(P3, (gamma(1.8), table(lambda x: x**2), gamma(2.4))),
}


def cmyk_profile(grid=5, black=10.0):
    """An output profile by table: inks to Lab as if they were plain filters of sRGB.

    black: lightness of all inks together, on paper never 0.
    """
    steps = np.linspace(0, 1, grid)
    inks = np.stack(np.meshgrid(*[steps] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    lab = rgb2lab((1 - inks[:, :3]) * (1 - inks[:, 3:]))  # relative to white, as the PCS is
    lab[:, 0] = black + (1 - black / 100) * lab[:, 0]
    encoded = np.rint(np.stack([lab[:, 0] * 2.55, lab[:, 1] + 128, lab[:, 2] + 128], axis=-1))
    identity = bytes(range(256))
    body = b"mft1\0\0\0\0" + bytes([4, 3, grid, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    body += 4 * identity + encoded.clip(0, 255).astype(np.uint8).tobytes() + 3 * identity
    made = profile(space=b"CMYK", pcs=b"Lab ", more=[(b"A2B0", body)])
    return made[:12] + b"prtr" + made[16:]
