"""How well "no relation" is told from a relation, and how far the confidence can be trusted.

A pair's confidence is the score of its first choice, its answer. An unrelated pair has no right answer, so that
whatever is answered for it is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from models.decision import Calibration, scores
from models.job.scoring import Floats, Integers, Scored

Booleans = npt.NDArray[np.bool_]

POINTS = 100
"""Most points kept of a risk–coverage curve."""

BINS = 15
"""Of the expected calibration error, as in Guo et al."""


@dataclass(frozen=True, slots=True)
class OpenSet:
    """Figures over related and unrelated pairs.

    Attributes:
        threshold: the confidence from which on an answer is given.
        unrelated: number of unrelated pairs.
        auroc: area under the ROC curve of related against unrelated pairs, 0 to 1.
        average_precision: of the related pairs by confidence, 0 to 1.
        precision: percent of the answers given that are right.
        recall: percent of the related pairs whose right answer is given.
        f1: harmonic mean of the two.
        false_positives: percent of the unrelated pairs that are given an answer.
        false_positives_at_90_recall: the same at the highest confidence that 90% of the related pairs reach, whatever
            their answers.
        aurc: area under the risk–coverage curve, 0 to 1, the lower the better.
        risk_coverage: points (coverage, risk), both 0 to 1, by growing coverage.
    """

    threshold: float
    unrelated: int
    auroc: float
    average_precision: float
    precision: float
    recall: float
    f1: float
    false_positives: float
    false_positives_at_90_recall: float
    aurc: float
    risk_coverage: list[tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        return asdict(self) | {"risk_coverage": [list(point) for point in self.risk_coverage]}


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of about the same confidence: its mean, the share of right ones, and their number."""

    confidence: float
    right: float
    count: int


def open_set(confidence: Floats, related: Booleans, right: Booleans, threshold: float) -> OpenSet:
    """The figures of pairs, each argument but the last of shape (pairs,).

    Args:
        confidence: of each pair's answer.
        related: whether the pair is.
        right: whether its answer is.
        threshold: least confidence with which an answer is given.

    Raises:
        ValueError: the pairs are not of both kinds, or an answer for an unrelated one counts as right.
    """
    if related.all() or not related.any():
        raise ValueError("the open set needs related and unrelated pairs")
    if (right & ~related).any():
        raise ValueError("an unrelated pair has no right answer")
    given = confidence >= threshold
    hits = int((right & given).sum())
    precision, recall = hits / max(1, int(given.sum())), hits / int(related.sum())
    false, true, _ = roc_curve(related, confidence, drop_intermediate=False)
    aurc, curve = risk_coverage(confidence, right)
    return OpenSet(
        threshold=threshold,
        unrelated=int((~related).sum()),
        auroc=float(roc_auc_score(related, confidence)),
        average_precision=float(average_precision_score(related, confidence)),
        precision=100 * precision,
        recall=100 * recall,
        f1=200 * precision * recall / max(1e-9, precision + recall),
        false_positives=100 * float(given[~related].mean()),
        false_positives_at_90_recall=100 * float(false[true >= 0.9].min()),
        aurc=aurc,
        risk_coverage=curve,
    )


def risk_coverage(confidence: Floats, right: Booleans) -> tuple[float, list[tuple[float, float]]]:
    """What answering only the surest pairs costs.

    Coverage is the share of pairs answered, surest first, risk the share of wrong ones among those answered. The
    area is the mean risk over all n coverages 1/n, 2/n … 1 (Geifman, Uziel and El-Yaniv, "Bias-reduced uncertainty
    estimation for deep neural classifiers", ICLR 2019). Pairs of equal confidence have their mean risk, so that
    neither depends on the order of the pairs.

    Args:
        confidence: of each answer (pairs,).
        right: whether it is (pairs,).

    Returns:
        The area, and at most 100 evenly spaced points (coverage, risk) of the curve, the last at coverage 1.

    Raises:
        ValueError: there is no pair.
    """
    if not len(confidence):
        raise ValueError("a risk–coverage curve needs at least one pair")
    _, level, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    wrong = np.repeat(np.bincount(level, weights=~right) / sizes, sizes)
    answered = np.arange(1, len(wrong) + 1)
    risk = np.cumsum(wrong) / answered
    kept = np.unique(np.linspace(0, len(wrong) - 1, POINTS).round().astype(np.int64))
    curve = [(float(answered[i] / len(wrong)), float(risk[i])) for i in kept]
    return float(risk.mean()), curve


def reliability(confidence: Floats, right: Booleans, bins: int = BINS) -> list[Bin]:
    """Answers in bins of equal width over confidences from 0 to 1, each open at its lower end; empty ones left out.

    Args:
        confidence: of each answer (pairs,).
        right: whether it is (pairs,).
        bins: their number.
    """
    places = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    within = [places == place for place in range(bins)]
    return [Bin(float(confidence[x].mean()), float(right[x].mean()), int(x.sum())) for x in within if x.any()]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error, 0 to 1: the mean distance of confidence and share of right answers.

    The mean is over the bins, weighted by their counts (Guo et al., "On calibration of modern neural networks",
    ICML 2017, equation 3).

    Raises:
        ValueError: there is no bin.
    """
    if not bins:
        raise ValueError("a calibration error needs at least one answer")
    return sum(x.count * abs(x.confidence - x.right) for x in bins) / sum(x.count for x in bins)


def false_positives(confidence: Floats, groups: dict[str, Booleans], threshold: float) -> dict[str, dict[str, float]]:
    """Percent of the pairs that are given an answer, for each group of unrelated pairs that is not empty.

    Args:
        confidence: of each pair's answer (pairs,).
        groups: which pairs belong to each group (pairs,).
        threshold: least confidence with which an answer is given.
    """
    given = confidence >= threshold
    return {
        name: {"pairs": int(group.sum()), "false_positives": 100 * float(given[group].mean())}
        for name, group in groups.items()
        if group.any()
    }


def judged(found: Scored, truths: Sequence[Set[str]], calibration: Calibration) -> tuple[Floats, Booleans]:
    """Confidence of each example's answer, and whether it is right, both of shape (examples,).

    Args:
        found: with the classifier's scores.
        truths: ids that are right of each example; empty where it is unrelated.
        calibration: how the two models' scores are put together.

    Raises:
        ValueError: only recall was run.
    """
    answers = found.decided(calibration, threshold=-np.inf)
    right = [answer in truth for answer, truth in zip(answers, truths, strict=True)]
    return candidate_scores(found, calibration).max(axis=1), np.array(right, dtype=np.bool_)


def candidate_scores(found: Scored, calibration: Calibration) -> Floats:
    """Calibrated score of each of the k candidates (examples, k).

    Raises:
        ValueError: only recall was run.
    """
    if found.logits is None:
        raise ValueError("the scores of candidates need the classifier")
    return scores(calibration, found.top_cosines(), found.logits)


def withhold(found: Scored, gold: Sequence[Set[str]], k: int) -> Scored:
    """The same examples with their true relations withheld from the candidates, so that none is right.

    The classifier's scores stay those it gave, which is exact where it reads each candidate for itself. For one
    that reads them together, withhold from what recall found alone and let it classify then.

    Args:
        found: of at least k candidates more than any example has true relations among all.
        gold: ids to withhold from each example; one that is no candidate is passed over.
        k: candidates that each example keeps.

    Raises:
        ValueError: an example has fewer than k candidates left.
    """
    column = {name: i for i, name in enumerate(found.relations)}
    withheld = np.zeros(found.cosines.shape, dtype=np.bool_)
    for row, names in zip(withheld, gold, strict=True):
        row[[column[name] for name in names if name in column]] = True
    gone = np.take_along_axis(withheld, found.top, axis=1)
    fewest = int((~gone).sum(axis=1).min(initial=k))
    if fewest < k:
        raise ValueError(f"an example has only {fewest} candidates left of {k}: score more of them")
    # A stable sort puts what is gone last and leaves the rest in recall's order.
    places: Integers = np.argsort(gone, axis=1, kind="stable")[:, :k].astype(np.int64)
    return replace(
        found,
        cosines=np.where(withheld, -np.inf, found.cosines).astype(found.cosines.dtype),
        top=np.take_along_axis(found.top, places, axis=1),
        logits=None if found.logits is None else np.take_along_axis(found.logits, places, axis=1),
    )
