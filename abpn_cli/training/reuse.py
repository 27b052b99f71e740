"""Pairs made once and trained on several times, where making them costs more than a step."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch

from .pairs import Batch, Source, digest_of

DELAYS = (0, 7, 19, 43, 79, 131, 211)  # steps of new pairs between the uses of one


class Reused:
    """A source that hands out each batch `times` times, mirrored and in another light each time.

    The uses of one batch lie far apart, and each step is a pure function of its number, so that a
    resumed run sees what an undisturbed one would have.
    """

    def __init__(self, source: Source, times: int) -> None:
        """times: 1 to 7; 1 leaves the source as it is.

        Raises:
            ValueError: out of this range.
        """
        if not 1 <= times <= len(DELAYS):
            raise ValueError(f"a pair can be used 1 to {len(DELAYS)} times, not {times}")
        self.source = source
        self.times = times
        self._made: OrderedDict[int, Batch] = OrderedDict()

    @property
    def identity(self) -> str:
        """Digest of the source and how often it is used; the source's own where that is once."""
        own = self.source.identity
        return own if self.times == 1 else digest_of(own, self.times)

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`: a new one every `times` steps, earlier ones between."""
        turn, use = divmod(step, self.times)
        number = max(0, turn - DELAYS[use])
        if number not in self._made:
            self._made[number] = self.source.batch(number)
            while len(self._made) > DELAYS[self.times - 1] + 1:  # none is asked for later
                self._made.popitem(last=False)
        made = self._made[number]
        return relit(made, np.random.default_rng((step, use))) if use else made


def relit(batch: Batch, rng: np.random.Generator) -> Batch:
    """Mirror a batch left-right half of the time, and give it another exposure and colour cast.

    Light changes in a pair's photos alike, so that what is alike in them stays so.
    """
    gamma = float(rng.uniform(0.85, 1.18))
    gain = torch.tensor(rng.uniform(0.85, 1.0) * rng.uniform(0.97, 1.03, 3), dtype=torch.float32)

    def light(images: torch.Tensor) -> torch.Tensor:
        return (images.pow(gamma) * gain[:, None, None]).clamp_(0, 1)

    images = [light(image) for image in batch[:4]]
    corners = batch.corners
    if rng.random() < 0.5:
        images = [image.flip(3) for image in images]
        side = batch.crop.shape[-1] >> batch.levels
        corners = torch.stack([corners[:, 0], batch.thumbnail.shape[-1] - side - corners[:, 1]], 1)
    return Batch(images[0], images[1], images[2], images[3], corners, batch.levels)
