"""Rows as a Markdown table, and what they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def table(title: str, rows: Sequence[Row]) -> str:
    """A heading and the rows, whose keys are the columns.

    >>> print(table("Growth", [{"relations": 15, "median": 12.345}]))
    ### Growth
    <BLANKLINE>
    | relations | median |
    |---:|---:|
    | 15 | 12.3 |
    <BLANKLINE>
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"### {title}", "", f"| {' | '.join(columns)} |", f"|{'---:|' * len(columns)}"]
    lines += [f"| {' | '.join(_said(row.get(name, '')) for name in columns)} |" for row in rows]
    return "\n".join([*lines, ""])


def machine() -> str:
    """The processor, how many this process may use, and the versions that matter."""
    cpu = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "unknown")
    packages = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "faiss-cpu", "uvicorn", "fastapi"))
    return f"{cpu}, {len(os.sched_getaffinity(0))} cores; Python {platform.python_version()}, {packages}"


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {count}" for key, count in value.items())
    return str(value)


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.is_file() else []
