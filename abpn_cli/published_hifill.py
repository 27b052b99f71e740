"""HiFill as its authors published it: which file, and what its tensors are called there.

The generator of github.com/duxingren14/Hifill-tensorflow (MIT), trained on Places2, as a TensorFlow
checkpoint with the critic beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import WeightsError
from .tensorflow_checkpoint import read_checkpoint

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "github.com/duxingren14/Hifill-tensorflow, model_logs/places2/0.data-00000-of-00001"
GIT_BLOB = "fcb5a0c637818dd929efd3168325913fae0689ba"  # of that file at commit a48a663
LICENCE = "MIT, its authors'; trained on Places2"
CONFIG: Mapping[str, Any] = {"width": 1.0, "side": 512, "order": "bgr"}

COARSE_LAYERS = (
    *("c_en_down_128", "c_en_conv_128", "c_en_down_64"),
    *(f"c_en_conv{number}_64" for number in (1, 2, 3)),
    *(f"c_dil_d{number}" for number in range(1, 15)),
    *(f"c_de_conv{number}_64" for number in (1, 2, 3)),
    *("c_de_up_128/c_de_up_128_conv", "c_de_conv_128", "c_de_toRGB/c_de_toRGB_conv"),
)
REFINE_LAYERS = (
    *(f"re_en_{kind}_{size}" for size in (256, 128, 64) for kind in ("down", "conv")),
    *(f"re_dil_d{rate}" for rate in (1, 2, 4, 8, 16)),
    *("re_att_64_att1", "re_att_64_att3"),
    *("re_de_up__128/re_de_up__128_conv", "re_de_conv_128"),
    *("re_de_att_128_1", "re_de_att_128_2"),
    *("re_de_up__256/re_de_up__256_conv", "re_de_conv_256"),
    *("re_de_att_256_1", "re_de_att_256_2"),
    "re_de_toRGB__256/re_de_toRGB__256_conv",
)
COARSE_PARTS = ("_feat/w", "_feat/biases", "_gate/w", "_gate/biases")
REFINE_PARTS = ("/w", "/biases", "/pw", "/ds_biases")


def published_names() -> Iterator[str]:
    """Yield the names of the generator's tensors, in the order of `nets.hifill`'s own."""
    for layers, parts in ((COARSE_LAYERS, COARSE_PARTS), (REFINE_LAYERS, REFINE_PARTS)):
        for layer in layers:
            for part in parts:
                yield f"generator/{layer}{part}"


def hifill_tensors(path: Path) -> dict[str, Tensor]:
    """Read the generator from a checkpoint, under the names that our network gives its tensors.

    path: the .index or the .data file; the other lies beside it.

    Raises:
        WeightsError: a file is missing or damaged, or it is no HiFill.
    """
    import torch

    from .nets.hifill import Hifill, HifillConfig

    found = read_checkpoint(path)
    own = Hifill(HifillConfig(**CONFIG)).state_dict()
    tensors: dict[str, Tensor] = {}
    for name, (key, ours) in zip(published_names(), own.items(), strict=True):
        theirs = found.get(name)
        if theirs is not None and theirs.ndim == 4:
            theirs = theirs.transpose(3, 2, 0, 1)  # theirs are (height, width, in, out)
        if theirs is None or theirs.shape != tuple(ours.shape):
            raise WeightsError(
                path, f"holds no tensor {name} of a HiFill", "Fetch the files as published."
            )
        tensors[key] = torch.from_numpy(theirs.copy())
    return tensors
