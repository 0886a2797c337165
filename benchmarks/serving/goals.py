"""What the serving figures are to reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.serving.http import EMMA
from benchmarks.serving.model import SHIPS
from benchmarks.serving.result import Result
from benchmarks.serving.search import SERVED
from benchmarks.serving.table import said


@dataclass(frozen=True, slots=True)
class Goal:
    """What one column of one result is to reach.

    Attributes:
        result: its name.
        said: what is measured, in words.
        column: the figure.
        most: bound, where less is better.
        least: bound, where more is better.
        where: the rows that count, by their values; of several the worst is told.
    """

    result: str
    said: str
    column: str
    most: float | None = None
    least: float | None = None
    where: Mapping[str, Any] = field(default_factory=dict)

    def bound(self) -> str:
        """As it stands in the table."""
        return f"≤ {said(self.most)}" if self.most is not None else f"≥ {said(self.least)}"

    def figure(self, results: Mapping[str, Result]) -> Any:
        """The worst row's; None where nothing was measured."""
        rows = results[self.result].rows if self.result in results else []
        found = [row.get(self.column) for row in rows if all(row.get(k) == v for k, v in self.where.items())]
        found = [x for x in found if x is not None]
        if not found:
            return None
        return (max if self.most is not None else min)(found, key=_middle)

    def met(self, figure: Any) -> bool:
        """Whether the median is within the bound."""
        return _middle(figure) <= self.most if self.most is not None else _middle(figure) >= (self.least or 0)


GOALS = (
    Goal("overhead", "CPU time of an answer over HTTP ÷ in process", "ratio", 1.15, where={"service": EMMA}),
    *(
        Goal("every", f"CPU time of reading {n:,} relations ÷ of an extraction", "ratio", None, goal, {"relations": n})
        for n, goal in ((15, 10.0), (80, 50.0), (1_000, 500.0), (10_000, 5_000.0))
    ),
    Goal("growth", "time of an extraction, 10,000 relations ÷ 15", "ratio", 1.1, where={"relations": 10_000}),
    Goal("stages", "CPU time of recall and classifier ÷ of recall, as it ships", "ratio", 2.5, where={"k": SHIPS}),
    Goal("speed", "throughput in 8 bits ÷ in fp32, worst size of a batch", "ratio", least=2.0),
    Goal("company", "change of a score by the rest of the batch", "largest_change", 1e-3),
    Goal("accuracy", "points of F1 that 8 bits lose, worst split", "lost", 0.3),
    Goal("latency", "99th percentile at 70% of saturation ÷ unloaded median", "ratio", 4.0, where={"share": 0.7}),
    Goal("overload", "answers a second at twice saturation ÷ at saturation", "ratio", least=0.9),
    Goal("overload", "milliseconds to a refusal, 99th percentile", "refused_p99_ms", 50.0),
    Goal("overload", "requests lost or hung at twice saturation", "unanswered", 0.0),
    Goal("soak", "memory after any round of the soak ÷ after warm-up", "ratio", 1.1),
    Goal("soak", "memory, MB", "resident_mb", 700.0),
    Goal(
        "search",
        "of the ten nearest relations, the part that the service finds, worst size",
        "recall_at_10",
        least=0.99,
        where={"index": SERVED},
    ),
    Goal("start", "seconds from start to ready, 10,000 relations", "ready_s", 3.0, where={"relations": 10_000}),
)


def _middle(figure: Any) -> float:
    return float(np.median(figure))
