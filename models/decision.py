"""From the two models' scores to one answer: fuse, calibrate, decide.

The recall model gives a cosine and the classifier a logit for each of the k candidates. Which relation it
is, if any, is a conditional logit over both,

    P(i | some) = softmax_i(a · logit_i + b · cosine_i),

so that a sure recall is not overruled by an unsure classifier. Whether there is one at all is the
classifier's "none of these" (a class whose logit is 0 by definition, so that logits are log-odds against it),

    P(some) = sigmoid(c · logsumexp_i(logit_i) + d · max_i(cosine_i) + e).

A candidate's score is the product. With a = c = 1 and b = d = e = 0 it is the classifier's own softmax.

A candidate too far behind recall's first to be the answer need not be read: its logit is taken for that of the first
and what such candidates have less on average.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted numbers of the module's formulas, and the score below which the answer is null.

    `reach` is the cosine by which a candidate may be behind recall's first and still be read; 2 lets all be read.
    `unread_logit`, 0 or less, is what the others' logits are taken to be beside the first's.
    """

    classifier_weight: float = 1.0
    recall_weight: float = 0.0
    some_logit: float = 1.0
    some_cosine: float = 0.0
    some_bias: float = 0.0
    threshold: float = 0.5
    reach: float = 2.0
    unread_logit: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The numbers by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Calibration:
        """Inverse of `to_json`.

        Raises:
            TypeError: a number is missing or unknown.
        """
        missing = sorted({number.name for number in fields(cls)} - row.keys())
        if missing:
            raise TypeError(f"the calibration lacks {', '.join(missing)}")
        return cls(**{key: float(value) for key, value in row.items()})


def within_reach(calibration: Calibration, cosines: Floats) -> npt.NDArray[np.bool_]:
    """Which candidates the classifier has to read, shape (k,) or (batch, k): those near enough to recall's first."""
    return np.asarray(cosines >= cosines.max(axis=-1, keepdims=True) - calibration.reach)


def completed(calibration: Calibration, cosines: Floats, logits: Floats) -> Floats:
    """Logits, those of candidates out of reach estimated, whatever they are given as; absent ones stay so."""
    # Of several that are as near, the likeliest, so that their order does not count.
    nearest = cosines == cosines.max(axis=-1, keepdims=True)
    first = np.where(nearest, logits, -np.inf).max(axis=-1, keepdims=True)
    unread = ~within_reach(calibration, cosines) & (logits != -np.inf)
    return np.where(unread, first + calibration.unread_logit, logits)


def relation_log_probabilities(calibration: Calibration, cosines: Floats, logits: Floats) -> Floats:
    """Log P(i | some), shape (k,) or (batch, k); a logit of -inf marks an absent candidate."""
    return _which(calibration, cosines, completed(calibration, cosines, logits))


def some_probability(calibration: Calibration, cosines: Floats, logits: Floats) -> Floats:
    """P(some), shape () or (batch,)."""
    return _some(calibration, cosines, completed(calibration, cosines, logits))


def scores(calibration: Calibration, cosines: Floats, logits: Floats) -> Floats:
    """Calibrated probability of each candidate, shape (k,) or (batch, k); what is left to 1 is "none"."""
    logits = completed(calibration, cosines, logits)
    some = _some(calibration, cosines, logits)
    return np.asarray(np.exp(_which(calibration, cosines, logits)) * some[..., None], dtype=np.float64)


def _which(calibration: Calibration, cosines: Floats, logits: Floats) -> Floats:
    present = logits > -np.inf
    known = np.where(present, logits, 0.0)
    fused = np.where(present, calibration.classifier_weight * known + calibration.recall_weight * cosines, -np.inf)
    return np.asarray(fused - _logsumexp(fused), dtype=np.float64)


def _some(calibration: Calibration, cosines: Floats, logits: Floats) -> Floats:
    odds = (
        calibration.some_logit * _logsumexp(logits)[..., 0]
        + calibration.some_cosine * cosines.max(axis=-1)
        + calibration.some_bias
    )
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * odds)), dtype=np.float64)


def _logsumexp(values: Floats) -> Floats:
    peak = values.max(axis=-1, keepdims=True)
    return np.asarray(peak + np.log(np.exp(values - peak).sum(axis=-1, keepdims=True)), dtype=np.float64)
