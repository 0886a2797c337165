"""Figures that the papers print, quoted: macro F1, the paper's metric, by data set and number of unseen relations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quoted:
    """A published row: who, where it is printed, and F1 by (data set, m)."""

    title: str
    source: str
    f1: dict[tuple[str, int], float]


def _row(title: str, source: str, fewrel: list[float | None], wikizsl: list[float | None]) -> Quoted:
    rows = {"fewrel": fewrel, "wikizsl": wikizsl}
    return Quoted(
        title,
        source,
        {(name, m): f1 for name, row in rows.items() for m, f1 in zip((5, 10, 15), row, strict=True) if f1 is not None},
    )


_EMMA = "arXiv 2406.11429, Table 1"

QUOTED = [
    _row("ZS-BERT", _EMMA, [77.90, 57.25, 36.82], [71.96, 60.74, 34.25]),
    _row("PromptMatch", _EMMA, [91.00, 82.80, 72.46], [76.63, 71.50, 61.95]),
    _row(
        "RelationPrompt (needs a generator's weights, so it is quoted and not run)",
        _EMMA,
        [89.30, 79.96, 73.40],
        [76.63, 71.50, 65.74],
    ),
    _row("RE-Matching", _EMMA, [92.58, 82.93, 73.66], [78.30, 73.96, 67.32]),
    _row("EMMA, recall only (BERT-base)", _EMMA, [93.22, 85.48, 76.99], [89.70, 85.17, 76.31]),
    _row("EMMA (BERT-base, k = 2)", _EMMA, [94.67, 87.22, 80.10], [90.98, 85.27, 78.07]),
    _row("ZSRE", "as quoted elsewhere", [96.51, None, None], [95.46, None, None]),
    _row("GLiREL", "as printed by its authors", [None, 87.60, None], [None, None, None]),
    _row("GLiREL with synthetic data", "as printed by its authors", [None, None, 84.48], [None, None, None]),
]
