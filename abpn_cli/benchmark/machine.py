"""What was measured on, and when."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import torch

from .. import __version__
from ..engine.network import choose_device, choose_precision, computed_by


def describe(device: str, precision: str) -> dict[str, Any]:
    """Name the date, the machine and the libraries that figures hang on."""
    where = choose_device(device)
    name = torch.cuda.get_device_name() if where.type == "cuda" else _processor()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "abpn": __version__,
        "device": f"{device} ({name})",
        "precision": precision,
        "by": computed_by(where, choose_precision(precision, where)),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "system": platform.system(),
    }


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
