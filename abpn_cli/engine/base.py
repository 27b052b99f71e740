"""What retouches photos: one network on the whole, one on each face, or several of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..photo import Edit, Photo
from .gate import Plane
from .network import computed_by


class Worked(NamedTuple):
    """A retouched photo; edit: what was done to it; opened: computes where it could be changed.

    opened returns (H, W): True where the gate is above 0.
    """

    photo: Photo
    edit: Edit
    opened: Callable[[], NDArray[np.bool_]]


class Engine(ABC):
    """Retouches photos; a subclass says how.

    device:       where the networks run; precision: in what they compute.
    weight_bytes: memory that their parameters take.
    spare_bytes:  what the program itself leaves of the memory allowed.
    """

    device: torch.device
    precision: str
    weight_bytes: int
    spare_bytes: int

    def retouch(
        self,
        photo: Photo,
        strength: float = 1.0,
        only: Plane | None = None,
        protect: Plane | None = None,
    ) -> tuple[Photo, Edit]:
        """Retouch a photo; pixels whose gate is 0 come back as the integers they were.

        strength: 0..1.5, scales the blend layer.
        only, protect: (H, W) float32 in [0, 1], white = retouch or protect, of the upright photo's
                  shape or else of the stored one's (`fitted`); those of another size are resized,
                  with a warning on the photo returned.

        Returns the photo, alpha and metadata as they were, and what was done to it.

        Raises:
            PhotoError: too small, too big for the memory allowed, a mask of another shape, or the
                network fails on it.
            DeviceError: the device is out of memory.
            WeightsError: faces are asked for and their detector is not installed.
        """
        worked = self.worked(photo, strength, only, protect)
        return worked.photo, worked.edit

    def overwritten(
        self,
        photo: Photo,
        strength: float = 1.0,
        only: Plane | None = None,
        protect: Plane | None = None,
    ) -> tuple[Photo, Edit]:
        """Do what `retouch` does to a photo that nobody needs any more: it may lose its pixels.

        Raises:
            PhotoError, DeviceError, WeightsError: as `retouch`.
        """
        return self.retouch(photo, strength, only, protect)

    @property
    def computed_by(self) -> str:
        """By what: see `network.computed_by`."""
        return computed_by(self.device, self.precision)

    @abstractmethod
    def worked(
        self,
        photo: Photo,
        strength: float = 1.0,
        only: Plane | None = None,
        protect: Plane | None = None,
    ) -> Worked:
        """Do what `retouch` does, and tell where the photo was open to change.

        Raises:
            PhotoError, DeviceError, WeightsError: as `retouch`.
        """

    @abstractmethod
    def gate(self, photo: Photo) -> Plane:
        """Compute where a photo would be changed: (H, W) in [0, 1], stored orientation.

        Raises:
            PhotoError, DeviceError, WeightsError: as `retouch`.
        """

    @abstractmethod
    def peak_bytes(self, photo: Photo, masks: int = 0) -> int:
        """Most memory that a photo takes, program, networks and so many user's masks included."""
