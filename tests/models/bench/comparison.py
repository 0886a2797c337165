"""Cells made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def row(described: str, variant: str, k: int | None, f1: float, **more: Any) -> dict[str, Any]:
    scores = {"precision": f1, "recall": f1, "f1": f1}
    answers = {"P19": {"P19": 3, "P50": 1}, "P50": {"P50": 4}}
    common = {"standard_error": 0.5, "answers": answers, "cpu_ms_per_sentence": 2.0}
    return {"descriptions": described, "variant": variant, "k": k, "paper": scores, "sklearn": scores} | common | more


def cell(split: str, method: str, title: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    dataset, unseen, seed = split.split("_")
    ranks = {str(k): 90.0 + k for k in (1, 2, 3, 5, 10)}
    described = {x["descriptions"] for x in rows}
    return {
        "split": split,
        "dataset": dataset,
        "unseen": int(unseen[1:]),
        "seed": seed[4:],
        "method": method,
        "title": title,
        "test": {"instances": 8, "per_relation": 4, "missing": "1 relations are not whole, 3 instances less"},
        "trained_on": {"for": split, "files": ["fewrel.jsonl.gz"], "related": 1200, "unrelated": 0, "relations": 60},
        "rows": rows
        + [{"descriptions": x, "variant": "recall@k", "recall_at": ranks} for x in sorted(described, reverse=True)],
        "history": [],
        "open_set": OPEN_SET if method == "emma" else [],
        "command": f"emma bench zero-shot --method {method}",
        "machine": {"hardware": "2 cores, no GPU", "python": "3.11.7", "torch": "2.13.0"},
    }


OPEN_SET: list[dict[str, Any]] = [
    {
        "set": "withheld",
        "pairs": 40,
        "unrelated": 44,
        "auroc": 0.91,
        "average_precision": 0.92,
        "threshold": 0.4,
        "precision": 80.0,
        "recall": 60.0,
        "f1": 68.6,
        "false_positives": 12.0,
        "false_positives_at_90_recall": 30.0,
        "aurc": 0.2,
        "risk_coverage": [[0.5, 0.1], [1.0, 0.4]],
        "ece_uncalibrated": 0.15,
        "ece": 0.05,
        "reliability": {"calibrated": [[0.3, 0.2, 5]], "uncalibrated": [[0.6, 0.2, 5]]},
    },
    {
        "set": "redocred_direction",
        "pairs": 50,
        "asymmetric": 20,
        "kept": 15.0,
        "null": 70.0,
        "with_inverse": 0,
        "inverse": None,
        "symmetric": 4,
        "symmetric_kept": 75.0,
        "auroc": 0.8,
    },
]

EMMA_ROWS = [
    row("published", "recall only", None, 70.0),
    row("published", "recall + classifier", 5, 71.0),
    row("catalogue", "recall only", None, 75.0),
    row("catalogue", "classifier only", 2, 74.0),
    row("catalogue", "recall + classifier", 2, 76.0),
    row("catalogue", "recall + classifier", 5, 77.5),
    row("catalogue, one wording", "recall only", None, 73.5),
]


def saved(tmp_path: Path, *found: dict[str, Any]) -> Path:
    folder = tmp_path / "cells"
    folder.mkdir()
    for item in found:
        (folder / f"{item['split']}.{item['method']}.json").write_text(json.dumps(item))
    return folder
