"""A look as a `.cube` file for other editors, after Adobe's Cube LUT Specification 1.0 (2013)."""

from __future__ import annotations

import numpy as np

from .colour import Image

SIDE = 65  # points along each axis; 33 would be off by up to 1/255 on average


def cube_text(title: str, lattice: Image) -> str:
    """Write a table of colours, (n, n, n, 3) in [0, 1], indexed blue, green, red.

    Red changes fastest from line to line, as the specification has it. title: no quotes in it.
    """
    side = lattice.shape[0]
    lines = [
        f'TITLE "{title}"',
        "# sRGB in, sRGB out; between the points trilinear",
        f"LUT_3D_SIZE {side}",
        "DOMAIN_MIN 0.0 0.0 0.0",
        "DOMAIN_MAX 1.0 1.0 1.0",
    ]
    points = np.asarray(lattice, np.float64).reshape(-1, 3)
    lines += [f"{red:.6f} {green:.6f} {blue:.6f}" for red, green, blue in points.tolist()]
    return "\n".join(lines) + "\n"
