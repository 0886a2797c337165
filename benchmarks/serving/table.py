"""Rows of measurements, and the Markdown table that they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]
"""Values by column; a list has what the repeats of one measurement gave, in their order."""


def table(rows: Sequence[Row]) -> str:
    """The rows, whose keys are the columns; of repeats the median, and the least and the largest.

    >>> print(table([{"relations": 15, "ms": [12.345, 12.0, 13.0]}]))
    | relations | ms |
    |---:|---:|
    | 15 | 12.3 (12.0–13.0) |
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(columns)} |", f"|{'---:|' * len(columns)}"]
    lines += [f"| {' | '.join(said(row.get(name, '')) for name in columns)} |" for row in rows]
    return "\n".join(lines)


def said(value: Any) -> str:
    """A value as it stands in a table.

    >>> said([0.5, 0.75])
    '0.625 (0.5–0.75)'
    """
    if isinstance(value, list):
        middle = said(float(np.median(value)))
        return f"{middle} ({said(min(value))}–{said(max(value))})" if len(value) > 1 else middle
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {said(count)}" for key, count in value.items())
    return str(value)
