"""The networks, in plain sight: a checkpoint names its row and carries its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from .abpn import Abpn, AbpnConfig
from .asapnet import AsapNet, AsapNetConfig
from .csrnet import Csrnet, CsrnetConfig
from .hifill import Hifill, HifillConfig
from .lptn import Lptn, LptnConfig

NETS: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "abpn": lambda config: Abpn(AbpnConfig(**config)),
    "asapnet": lambda config: AsapNet(AsapNetConfig(**config)),
    "csrnet": lambda config: Csrnet(CsrnetConfig(**config)),
    "hifill": lambda config: Hifill(HifillConfig(**config)),
    "lptn": lambda config: Lptn(LptnConfig(**config)),
}
