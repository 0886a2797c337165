"""Is an exported graph still the model? Checked before a bundle is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from models.candidates import CandidateList
from models.chunks import Vectors
from models.decision import Calibration
from models.job.dataset import Example
from models.job.scoring import Model, Scored, score
from models.relation import Relation
from models.text import Instance

LARGEST_DIFFERENCE = 1e-4
LEAST_COSINE = 0.99
LARGEST_REGRET = 0.01
LARGEST_COMPANY_EFFECT = 1e-3
CANDIDATES = 3
ALONE = 100
"""Instances that are also read one by one, which takes as long as all others together."""


class ExportError(Exception):
    """A graph that is not the model any more; the message names each figure and its bound."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How an exported model differs from the one that it was made of."""

    max_difference: float
    min_cosine: float
    top1_agreement: float
    regret: float
    company_effect: float

    def to_json(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def compare(
    reference: Model,
    exported: Model,
    calibration: Calibration,
    instances: Sequence[Instance],
    relations: Sequence[Relation],
) -> Fidelity:
    """Measure an exported model.

    Args:
        reference: the model that it was made of.
        exported: what it became.
        calibration: how the two scores are put together.
        instances: of mixed lengths.
        relations: the candidates.

    Returns:
        The largest absolute difference of any vector component or logit; the least cosine of any vector with its
        reference; the percent of instances with the same best relation after recall and classifier; the probability
        that its choices lose on average, as the reference sees them (next to none where two relations are all but
        equal); the largest change of a cosine or of a classifier probability when a sentence is alone instead of in a
        batch.
    """
    inputs, described = reference.prepare(instances), reference.describe(relations)
    ours = np.concatenate([reference.encode_instances(inputs), reference.encode_descriptions(described)])
    theirs = np.concatenate([exported.encode_instances(inputs), exported.encode_descriptions(described)])
    some = inputs[:ALONE]
    alone = np.concatenate([exported.encode_instances([x]) for x in some])

    examples = [Example(instance, None) for instance in instances]
    k = min(CANDIDATES, len(relations))
    scored, other = score(reference, examples, relations, k), score(exported, examples, relations, k)
    lists = [CandidateList(x, tuple(described[i] for i in row)) for x, row in zip(inputs, scored.top, strict=True)]
    logits, other_logits = reference.classify(lists), exported.classify(lists)
    alone_logits = np.concatenate([exported.classify([x]) for x in lists[:ALONE]])

    choices = other.fused(calibration)
    same = [x == y for x, y in zip(scored.fused(calibration), choices, strict=True)]
    vectors = theirs[len(inputs) :]
    return Fidelity(
        max_difference=max(_largest(ours - theirs), _largest(logits - other_logits)),
        min_cosine=float((ours * theirs).sum(axis=1).min()),
        top1_agreement=100 * sum(same) / len(same),
        regret=_regret(scored, choices, calibration),
        company_effect=max(
            _largest((alone - theirs[: len(some)]) @ vectors.T),
            _largest(_probability(alone_logits) - _probability(other_logits[:ALONE])),
        ),
    )


def check_fp32(fidelity: Fidelity) -> None:
    """Raise unless a full-precision graph computes what PyTorch does.

    Raises:
        ExportError: it does not.
    """
    difference = fidelity.max_difference
    wrong = []
    if not difference < LARGEST_DIFFERENCE:
        wrong.append(f"largest difference from PyTorch {difference:.2g}, must be below {LARGEST_DIFFERENCE}")
    _report(wrong + _company(fidelity))


def check_quantised(fidelity: Fidelity) -> None:
    """Raise unless a quantised graph still is the full-precision one for every practical purpose.

    Raises:
        ExportError: it is not.
    """
    wrong = []
    if not fidelity.min_cosine >= LEAST_COSINE:
        wrong.append(f"least cosine with fp32 {fidelity.min_cosine:.4f}, must be at least {LEAST_COSINE}")
    if not fidelity.regret <= LARGEST_REGRET:
        wrong.append(f"probability lost by other choices {fidelity.regret:.2g}, must be at most {LARGEST_REGRET}")
    _report(wrong + _company(fidelity))


def _company(fidelity: Fidelity) -> list[str]:
    effect = fidelity.company_effect
    if effect <= LARGEST_COMPANY_EFFECT:
        return []
    return [f"a score changes by {effect:.2g} with the rest of the batch, must be at most {LARGEST_COMPANY_EFFECT}"]


def _report(wrong: list[str]) -> None:
    if wrong:
        raise ExportError("the exported graph is not the model: " + "; ".join(wrong))


def _regret(scored: Scored, choices: Sequence[str], calibration: Calibration) -> float:
    likely = scored.likelihoods(calibration)
    chosen = np.array(scored.relations)[scored.top] == np.array(choices)[:, None]
    return float((likely.max(axis=1) - (likely * chosen).sum(axis=1)).mean())


def _largest(values: Vectors) -> float:
    return float(np.abs(values).max())


def _probability(logits: Vectors) -> Vectors:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float32)
