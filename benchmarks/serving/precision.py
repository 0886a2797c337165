"""Graphs in 8 bits against the same in full precision: how much sooner they are done, and what F1 they lose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.serving.model import Bench
from benchmarks.serving.table import Row
from benchmarks.serving.work import SEED
from models.bench.data import ONE_WORDING, SplitData
from models.bundle import load_bundle
from models.job.metrics import paper_scores
from models.job.scoring import score
from models.runtime import Runtime

FULL, SMALL = "fp32", "int8"
"""Directories of the two bundles of a pair."""

DRAWS = 200
"""Draws of the test sentences by which the spread of a difference is known."""


def speed(full: Bench, small: Bench, sizes: Sequence[int], repeats: int) -> list[Row]:
    """Wall time of an extraction by the size of the batch, the two taking turns; `ratio` is of their throughputs."""
    extractors = [(bench, bench.extractor()) for bench in (full, small)]
    for bench, extractor in extractors:
        # What is set up lazily is not to be measured.
        bench.taken(extractor, sizes[0])
    taken = np.array([[[bench.taken(x, size)[1] for bench, x in extractors] for size in sizes] for _ in range(repeats)])
    return [
        {
            "batch": size,
            "fp32_ms": taken[:, column, 0].tolist(),
            "int8_ms": taken[:, column, 1].tolist(),
            "ratio": (taken[:, column, 0] / taken[:, column, 1]).tolist(),
        }
        for column, size in enumerate(sizes)
    ]


def accuracy(pair: Path, data: SplitData) -> list[Row]:
    """F1 by the paper's metric of both bundles on a split's test part, with each set of descriptions.

    Args:
        pair: directory of the two bundles, `fp32` and `int8`.
        data: the split.
    """
    runtimes = [Runtime(load_bundle(pair / precision)) for precision in (FULL, SMALL)]
    gold = [str(x.relation) for x in data.test]
    rows = []
    for described, relations in data.described.items():
        if described == ONE_WORDING:
            continue
        answers = [
            score(x, data.test, relations, x.bundle.manifest.candidates).fused(x.bundle.calibration) for x in runtimes
        ]
        full, small = (paper_scores(gold, found).f1 for found in answers)
        rows.append(
            {
                "split": data.name,
                "descriptions": described,
                "sentences": len(gold),
                "fp32": full,
                "int8": small,
                "lost": full - small,
                "standard_error": _standard_error(gold, answers),
            }
        )
    return rows


def _standard_error(gold: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Of the difference of two methods' F1, by drawing the test sentences anew."""
    draw = np.random.default_rng(SEED)
    truth, columns = np.array(gold), [np.array(x) for x in answers]
    lost = []
    for _ in range(DRAWS):
        rows = draw.integers(0, len(gold), len(gold))
        full, small = (paper_scores(truth[rows].tolist(), x[rows].tolist()).f1 for x in columns)
        lost.append(full - small)
    return float(np.std(lost))
