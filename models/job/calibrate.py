"""Fit the numbers of `models.decision` on the validation set."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression

from models.decision import Calibration, scores
from models.job.checkpoint import Checkpoint
from models.job.dataset import Example, TrainingData
from models.job.scoring import Floats, Integers, Scored, score

FEWEST = 50
"""Validation examples of a kind, below which the numbers that would be fitted on them keep their defaults."""

CANDIDATES = 20
"""Relations among which validation examples are answered, at least: among fewer, the answer is right too easily."""

RIDGE = 1e-3
"""Keeps the weights finite where one of the scores is never wrong."""


def calibrate(checkpoint: Checkpoint, data: TrainingData) -> Calibration:
    """Calibration of a checkpoint on its validation set.

    How sure to be of a relation is fitted on related pairs, whether there is one on both kinds, and the threshold
    is the one with the best F1 over both. Where validation has fewer than 20 relations, as with a published split,
    some that were trained on are candidates besides. A recall-only checkpoint, or one whose head reads all
    candidates at once, keeps its defaults.
    """
    recipe = checkpoint.recipe
    if checkpoint.classifier is None or recipe.reading == "published":
        return checkpoint.calibration
    candidates = _candidates(data, recipe.seed)
    besides = set(candidates) - set(data.valid_relations)
    # What holds of a pair besides would count as a wrong answer.
    related = [x for x in data.valid if x.relation is not None and not x.also & besides][: recipe.valid_instances]
    unrelated = [x for x in data.valid if x.relation is None][: recipe.valid_instances]
    examples = related + unrelated
    if len(related) < FEWEST:
        return checkpoint.calibration
    found = score(checkpoint, examples, [data.relations[name] for name in candidates], recipe.choose_among)
    gold = gold_positions(found, examples)
    calibration = fit_weights(checkpoint.calibration, found, gold)
    if len(unrelated) < FEWEST:
        return calibration
    return fit_threshold(fit_some(calibration, found, gold), found, gold)


def _candidates(data: TrainingData, seed: int) -> list[str]:
    others = sorted(set(data.train_relations) - set(data.valid_relations))
    lacking = min(len(others), max(0, CANDIDATES - len(data.valid_relations)))
    return [*data.valid_relations, *random.Random(seed).sample(others, lacking)]


def gold_positions(found: Scored, examples: list[Example]) -> Integers:
    """Position of each example's relation among its top k, or k where it is not among them (examples,)."""
    column = {name: i for i, name in enumerate(found.relations)}
    wanted = np.array([column.get(str(x.relation), -1) for x in examples])
    hits = found.top == wanted[:, None]
    positions: Integers = np.where(hits.any(axis=1), hits.argmax(axis=1), found.top.shape[1]).astype(np.int64)
    return positions


def fit_weights(calibration: Calibration, found: Scored, gold: Integers) -> Calibration:
    """The two weights in log P(i | some), by maximum likelihood over rows whose relation was recalled.

    Neither is let below 0: a model that misleads on the few relations of validation is ignored, not contradicted.
    """
    rows = np.flatnonzero(gold < found.top.shape[1])
    right = np.arange(len(rows)), gold[rows]
    # Of like size, so that the search has no long valley to follow.
    spreads = np.array([_spread(_logits(found)[rows]), _spread(found.top_cosines()[rows])])
    features = np.stack([_logits(found)[rows], found.top_cosines()[rows]], axis=-1) / spreads

    def loss(weights: Floats) -> tuple[float, Floats]:
        fused = features @ weights
        likely = softmax(fused, axis=1)
        slope = (likely[..., None] * features).sum(axis=1) - features[right]
        value = (logsumexp(fused, axis=1) - fused[right]).mean() + RIDGE * weights @ weights / 2
        return float(value), slope.mean(axis=0) + RIDGE * weights

    start = np.array([calibration.classifier_weight, calibration.recall_weight]) * spreads
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None), (0.0, None)]).x / spreads
    return replace(calibration, classifier_weight=float(fitted[0]), recall_weight=float(fitted[1]))


def fit_some(calibration: Calibration, found: Scored, gold: Integers) -> Calibration:
    """The three numbers of P(some), by logistic regression over related and unrelated pairs."""
    features = np.stack([logsumexp(_logits(found), axis=1), found.top_cosines().max(axis=1)], axis=1)
    spread = features.std(axis=0) + 1e-9
    fitted = LogisticRegression().fit(features / spread, gold < found.top.shape[1])
    weights = fitted.coef_[0] / spread
    return replace(
        calibration,
        some_logit=float(weights[0]),
        some_cosine=float(weights[1]),
        some_bias=float(fitted.intercept_[0]),
    )


def fit_threshold(calibration: Calibration, found: Scored, gold: Integers) -> Calibration:
    """The threshold with the best micro F1: right answers over answers given and over related pairs."""
    values = scores(calibration, found.top_cosines(), _logits(found))
    best, right = values.max(axis=1), values.argmax(axis=1) == gold
    related = (gold < values.shape[1]).sum()
    grid = np.round(np.arange(0.05, 0.96, 0.01), 2)
    f1 = [2 * (right & (best >= t)).sum() / max(1, (best >= t).sum() + related) for t in grid]
    return replace(calibration, threshold=float(grid[int(np.argmax(f1))]))


def _spread(values: Floats) -> float:
    """How far a score tells the candidates of a row apart, on average."""
    return float(values.std(axis=1).mean()) + 1e-9


def _logits(found: Scored) -> Floats:
    if found.logits is None:
        raise ValueError("calibration needs the classifier's scores")
    return found.logits
