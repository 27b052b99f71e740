"""The rule by which golden numbers were made: every tensor of a network follows from its name."""

from __future__ import annotations

import zlib

import numpy as np
import torch


def seeded(name, shape, gain=1.0):
    """A tensor by its name (prefix included) and shape, float32."""
    rng = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF)
    values = rng.standard_normal(tuple(shape))
    values = values * gain / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.05 * values
    return torch.from_numpy(values.astype(np.float32))
