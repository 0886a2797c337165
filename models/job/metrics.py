"""Precision, recall and F1, as the paper's code computes them and as scikit-learn does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_fscore_support


@dataclass(frozen=True, slots=True)
class Scores:
    """Macro averages in percent."""

    precision: float
    recall: float
    f1: float

    def to_json(self) -> dict[str, float]:
        """The three numbers by name."""
        return asdict(self)


def paper_scores(gold: Sequence[str], predicted: Sequence[str | None]) -> Scores:
    """The paper's metric.

    Macro precision is the mean over the *predicted* labels, macro recall over the gold ones, and F1 their
    harmonic mean. A relation that is never predicted thus costs recall only. None predicts nothing.
    """
    pairs = list(zip(gold, predicted, strict=True))
    answers = sorted({label for label in predicted if label is not None})
    precision = _mean([_share([g == label for g, p in pairs if p == label]) for label in answers])
    recall = _mean([_share([p == label for g, p in pairs if g == label]) for label in sorted(set(gold))])
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Scores(100 * precision, 100 * recall, 100 * f1)


def standard_scores(gold: Sequence[str], predicted: Sequence[str | None]) -> Scores:
    """scikit-learn's macro averages over the gold labels, F1 being the mean of the labels' F1."""
    labels = sorted(set(gold))
    answers = [label if label is not None else "" for label in predicted]
    precision, recall, f1, _ = precision_recall_fscore_support(
        list(gold), answers, labels=labels, average="macro", zero_division=0
    )
    return Scores(100 * float(precision), 100 * float(recall), 100 * float(f1))


def recall_at(cosines: npt.NDArray[np.float32], gold: npt.NDArray[np.int64], ranks: Sequence[int]) -> dict[str, float]:
    """Percent of rows whose gold column is among the first k, by k.

    Args:
        cosines: (instances, relations).
        gold: column of the true relation (instances,).
        ranks: the values of k.
    """
    position = (cosines > cosines[np.arange(len(gold)), gold][:, None]).sum(axis=1)
    return {str(k): 100 * float((position < k).mean()) for k in ranks}


def _share(hits: list[bool]) -> float:
    return sum(hits) / len(hits) if hits else 0.0


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
