"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def machine() -> str:
    """The processor, how many this process may use, and the versions that matter."""
    cpu = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "unknown")
    packages = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "faiss-cpu", "uvicorn", "fastapi"))
    return f"{cpu}, {len(os.sched_getaffinity(0))} cores; Python {platform.python_version()}, {packages}"


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.is_file() else []
