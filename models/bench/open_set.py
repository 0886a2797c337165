"""How well EMMA answers null, and tells head from tail, on relations that it never saw."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.job.checkpoint import Checkpoint
from models.job.dataset import Example, read_examples
from models.job.evaluate import evaluate, open_set_figures
from models.job.open_set import withhold
from models.job.scoring import score
from models.relation import Relation

RELATED, UNRELATED = "redocred_test.jsonl.gz", "redocred_test_negatives.jsonl.gz"

K = 5
"""Candidates that are read, as a bundle does by default."""

PER_RELATION, PAIRS = 50, 600
"""Most related pairs of a relation; most unrelated pairs, and most of the split's test sentences."""


def measure(
    checkpoint: Checkpoint, data: Path, test: Sequence[Example], relations: Sequence[Relation], seed: int
) -> dict[str, Any]:
    """Figures of the open set, by name.

    `redocred`: related pairs of the tested relations against pairs of the same documents that the annotators left
    unrelated. `withheld`: the split's own test sentences, of a random half of which the true relation is no
    candidate. `direction`: over the related pairs of both. A set without pairs of these relations is left out.

    Args:
        checkpoint: with a classifier.
        data: directory of the public data.
        test: the split's test examples.
        relations: the tested relations, which are the candidates.
        seed: of all draws.

    Raises:
        models.job.dataset.DataError: a file is missing or cannot be used.
    """
    figures: dict[str, Any] = {}
    related = _related(data / RELATED, {x.id for x in relations}, seed)
    if related:
        unrelated, _ = read_examples(data / UNRELATED)
        drawn = random.Random(seed).sample(unrelated, min(PAIRS, len(unrelated)))
        found = evaluate(checkpoint, checkpoint.calibration, [*related, *drawn], relations, [K], "").figures
        figures["redocred"] = {"pairs": len(related)} | found["open_set"]
        if "direction" in found:
            figures["redocred_direction"] = found["direction"]
    if len(relations) >= K + max(len(x.truth) for x in test):
        figures["withheld"] = _withheld(checkpoint, test, relations, seed)
    return figures


def _withheld(
    checkpoint: Checkpoint, test: Sequence[Example], relations: Sequence[Relation], seed: int
) -> dict[str, Any]:
    shuffled = random.Random(seed).sample(test, min(PAIRS, len(test)))
    half = len(shuffled) // 2
    gone = [x.truth if row >= half else frozenset() for row, x in enumerate(shuffled)]
    most = max(map(len, gone))
    found = withhold(score(checkpoint, shuffled, relations, K + most), gone, K)
    examples = [x if row < half else Example(x.instance, None) for row, x in enumerate(shuffled)]
    return {"pairs": half} | open_set_figures(found, examples, checkpoint.calibration)


def _related(path: Path, ids: set[str], seed: int) -> list[Example]:
    examples, _ = read_examples(path)
    wanted = [x for x in examples if x.relation in ids]
    draw = random.Random(seed)
    pools = {name: [x for x in wanted if x.relation == name] for name in sorted(ids)}
    return [x for pool in pools.values() for x in draw.sample(pool, min(PER_RELATION, len(pool)))]
