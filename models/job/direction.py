"""Whether a model reads which mention is the head: its answers with head and tail changed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from models.decision import Calibration
from models.job.dataset import Example
from models.job.open_set import Booleans, candidate_scores
from models.job.scoring import Floats, Model, Scored, score
from models.relation import Relation, opposites
from models.text import Instance

SAMPLE = 1_000
"""Most related pairs that are read the other way round, which costs as much as reading them the first time."""

SEED = 0
"""Of the draw of those pairs."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """An instance with head and tail changed, and the ids that may be answered then."""

    instance: Instance
    allowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Direction:
    """What becomes of right answers when head and tail are changed; None where there is no pair to tell by.

    An answer is asymmetric if it may not be given the other way round. Answers count if their confidence reaches
    the threshold, in either order.

    Attributes:
        pairs: number of pairs read both ways.
        asymmetric: number of right asymmetric answers.
        kept: percent of those that stay the same, all of them wrong then.
        null: percent of those that become null.
        with_inverse: number of those where another relation holds the other way round.
        inverse: percent of these that become such a relation.
        symmetric: number of right answers that are symmetric relations.
        symmetric_kept: percent of those that stay the same, rightly.
        auroc: area under the ROC curve of the right order against the other by the true relation's score, over the
            pairs whose relation is asymmetric, 0 to 1. A relation that is no candidate scores 0.
    """

    pairs: int
    asymmetric: int
    kept: float | None
    null: float | None
    with_inverse: int
    inverse: float | None
    symmetric: int
    symmetric_kept: float | None
    auroc: float | None

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        return asdict(self)


def told(relations: Sequence[Relation]) -> bool:
    """Whether the relations say anything of what holds the other way round."""
    return any(relation.symmetric or relation.inverse is not None for relation in relations)


def swapped(examples: Sequence[Example], relations: Sequence[Relation]) -> list[Swapped]:
    """The examples with head and tail changed.

    What may be answered are the inverses of their relations, whichever of the two names the other, the same
    relation where it is symmetric, and else nothing. Only ids of `relations` are.
    """
    candidates = {relation.id for relation in relations}
    opposite = opposites(relations)
    return [
        Swapped(
            x.instance.turned(),
            frozenset(other for name in x.truth for other in opposite.get(name, ()) if other in candidates),
        )
        for x in examples
    ]


def measure(
    model: Model, calibration: Calibration, examples: Sequence[Example], relations: Sequence[Relation], found: Scored
) -> Direction:
    """Have a model read related pairs the other way round, at most 1,000, drawn with a fixed seed.

    Args:
        model: with a classifier.
        calibration: how its two scores are put together.
        examples: related pairs, at least one.
        relations: the candidates, which say what is symmetric and what is whose inverse.
        found: what the model found of the examples the right way round, with the classifier's scores.
    """
    rows = sorted(random.Random(SEED).sample(range(len(examples)), min(SAMPLE, len(examples))))
    drawn = [examples[row] for row in rows]
    others = swapped(drawn, relations)
    turned = score(model, [Example(x.instance, None) for x in others], relations, found.top.shape[1])
    logits = None if found.logits is None else found.logits[rows]
    given = Scored(found.relations, found.cosines[rows], found.top[rows], logits)
    return direction(drawn, relations, given, turned, calibration)


def direction(
    examples: Sequence[Example],
    relations: Sequence[Relation],
    given: Scored,
    turned: Scored,
    calibration: Calibration,
) -> Direction:
    """The figures of related pairs that were scored both ways.

    Args:
        examples: related pairs.
        relations: the candidates.
        given: scores of the pairs as they are.
        turned: scores of the same with head and tail changed.
        calibration: how the two models' scores are put together; its threshold decides on null.
    """
    allowed = [x.allowed for x in swapped(examples, relations)]
    symmetric_ids = {relation.id for relation in relations if relation.symmetric}
    before, after = given.decided(calibration), turned.decided(calibration)
    right = _mask(answer in x.truth for answer, x in zip(before, examples, strict=True))
    same = _mask(x == y for x, y in zip(before, after, strict=True))
    null = _mask(answer is None for answer in after)
    answered = _mask(answer in ids for answer, ids in zip(after, allowed, strict=True))
    asymmetric = right & _mask(answer not in ids for answer, ids in zip(before, allowed, strict=True))
    symmetric = right & _mask(answer in symmetric_ids for answer in before)
    with_inverse = asymmetric & _mask(bool(ids) for ids in allowed)
    one_way = _mask(x.relation not in ids for x, ids in zip(examples, allowed, strict=True))
    gold = [str(x.relation) for x in examples]
    return Direction(
        pairs=len(examples),
        asymmetric=int(asymmetric.sum()),
        kept=_percent(same, asymmetric),
        null=_percent(null, asymmetric),
        with_inverse=int(with_inverse.sum()),
        inverse=_percent(answered, with_inverse),
        symmetric=int(symmetric.sum()),
        symmetric_kept=_percent(same, symmetric),
        auroc=_auroc(_of(given, gold, calibration)[one_way], _of(turned, gold, calibration)[one_way]),
    )


def _mask(values: Any) -> Booleans:
    return np.fromiter(values, dtype=np.bool_)


def _percent(hits: Booleans, among: Booleans) -> float | None:
    return 100 * float(hits[among].mean()) if among.any() else None


def _of(found: Scored, names: Sequence[str], calibration: Calibration) -> Floats:
    column = {name: i for i, name in enumerate(found.relations)}
    wanted = np.array([column.get(name, -1) for name in names], dtype=np.int64)
    values = candidate_scores(found, calibration)
    return np.asarray(np.where(found.top == wanted[:, None], values, 0.0).sum(axis=1), dtype=np.float64)


def _auroc(right_way: Floats, other_way: Floats) -> float | None:
    if not len(right_way):
        return None
    truth = np.repeat([True, False], [len(right_way), len(other_way)])
    return float(roc_auc_score(truth, np.concatenate([right_way, other_way])))
