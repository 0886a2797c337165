"""Fit the numbers of `models.decision` on the validation set."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from models.decision import Calibration, completed, scores, within_reach
from models.job.dataset import Example, TrainingData
from models.job.recipe import Recipe
from models.job.scoring import Floats, Integers, Model, Scored, score

FEWEST = 50
"""Validation examples of a kind, below which the numbers that would be fitted on them keep their defaults."""

CANDIDATES = 20
"""Relations among which validation examples are answered, at least: among fewer, the answer is right too easily."""

SLACK = 4 / 3
"""Of the reach over what validation needs: relations and sentences to come are further apart."""

FACTORS = (0.01, 10.0)
"""Bounds of the two weights' factor, which has none where the scores are never wrong."""


def calibrate(model: Model, start: Calibration, recipe: Recipe, data: TrainingData) -> Calibration:
    """Calibration of a model on a validation set.

    How sure to be of a relation is fitted on related pairs, whether there is one on both kinds, and the threshold
    is the one with the best F1 over both. Where validation has fewer than 20 relations, as with a published split,
    some that were trained on are candidates besides.

    Args:
        model: a checkpoint or a runtime.
        start: gives the weights' proportion, and what stays where there is too little to fit it on: all of it for
            recall alone and for a head that reads all candidates at once.
        recipe: that the model was trained by.
        data: whose validation set is fitted on.
    """
    if recipe.training == "recall" or recipe.reading == "published":
        return start
    candidates = _candidates(data, recipe)
    besides = set(candidates) - set(data.valid_relations)
    # What holds of a pair besides would count as a wrong answer.
    related = [x for x in data.valid if x.relation is not None and not x.also & besides][: recipe.valid_instances]
    unrelated = [x for x in data.valid if x.relation is None][: recipe.valid_instances]
    examples = related + unrelated
    if len(related) < FEWEST:
        return start
    found = score(model, examples, [data.relations[name] for name in candidates], recipe.choose_among)
    gold = gold_positions(found, examples)
    calibration = fit_temperature(start, found, gold)
    calibration = fit_reach(calibration, found.first(len(related)))
    if len(unrelated) < FEWEST:
        return calibration
    # Where relations are asked for, most pairs have none: at the least, they count as much as those that have one.
    weights = np.repeat([1.0, len(related) / len(unrelated)], [len(related), len(unrelated)])
    return fit_threshold(fit_some(calibration, found, gold), found, gold, weights)


def _candidates(data: TrainingData, recipe: Recipe) -> list[str]:
    # Those that were left to recall are further apart than what validation has.
    others = sorted(set(data.trained_on(recipe.classifier_fewest)) - set(data.valid_relations))
    lacking = min(len(others), max(0, CANDIDATES - len(data.valid_relations)))
    return [*data.valid_relations, *random.Random(recipe.seed).sample(others, lacking)]


def gold_positions(found: Scored, examples: list[Example]) -> Integers:
    """Position of each example's relation among its top k, or k where it is not among them (examples,)."""
    column = {name: i for i, name in enumerate(found.relations)}
    wanted = np.array([column.get(str(x.relation), -1) for x in examples])
    hits = found.top == wanted[:, None]
    positions: Integers = np.where(hits.any(axis=1), hits.argmax(axis=1), found.top.shape[1]).astype(np.int64)
    return positions


def fit_temperature(calibration: Calibration, found: Scored, gold: Integers) -> Calibration:
    """One factor for both weights in log P(i | some), by maximum likelihood over rows whose relation was recalled.

    Their proportion is not fitted: it would be that of the few relations of validation, or, where those were trained
    on, one that trusts recall more than it deserves on relations to come.
    """
    rows = np.flatnonzero(gold < found.top.shape[1])
    right = np.arange(len(rows)), gold[rows]
    fused = calibration.classifier_weight * _logits(found)[rows] + calibration.recall_weight * found.top_cosines()[rows]

    def loss(factor: float) -> float:
        return float((logsumexp(factor * fused, axis=1) - factor * fused[right]).mean())

    factor = float(minimize_scalar(loss, bounds=FACTORS, method="bounded").x)
    return replace(
        calibration,
        classifier_weight=factor * calibration.classifier_weight,
        recall_weight=factor * calibration.recall_weight,
    )


def fit_reach(calibration: Calibration, found: Scored) -> Calibration:
    """The least reach with which no choice is another than if all candidates were read, and some slack.

    The logit that candidates beyond it are taken to have gives them, on average, the share of P(i | some) that they
    would have if they were read.
    """
    cosines, logits = found.top_cosines(), _logits(found)
    chosen = found.likelihoods(replace(calibration, reach=Calibration().reach)).argmax(axis=1)
    behind = cosines[:, 0] - cosines[np.arange(len(chosen)), chosen]
    calibration = replace(calibration, reach=SLACK * float(behind.max()), unread_logit=0.0)
    unread = ~within_reach(calibration, cosines)
    less = (logits - logits[:, :1])[unread]
    weight = calibration.classifier_weight
    if not less.size or not weight:
        return calibration
    average = (logsumexp(weight * less) - np.log(less.size)) / weight
    # Above 0, an unread candidate could be chosen.
    return replace(calibration, unread_logit=min(0.0, float(average)))


def fit_some(calibration: Calibration, found: Scored, gold: Integers) -> Calibration:
    """The three numbers of P(some), by logistic regression over related and unrelated pairs."""
    cosines = found.top_cosines()
    logits = completed(calibration, cosines, _logits(found))
    features = np.stack([logsumexp(logits, axis=1), cosines.max(axis=1)], axis=1)
    spread = features.std(axis=0) + 1e-9
    fitted = LogisticRegression().fit(features / spread, gold < found.top.shape[1])
    weights = fitted.coef_[0] / spread
    return replace(
        calibration,
        some_logit=float(weights[0]),
        some_cosine=float(weights[1]),
        some_bias=float(fitted.intercept_[0]),
    )


def fit_threshold(calibration: Calibration, found: Scored, gold: Integers, weights: Floats) -> Calibration:
    """The threshold with the best micro F1: right answers over answers given and over related pairs, by weight."""
    values = scores(calibration, found.top_cosines(), _logits(found))
    best, right = values.max(axis=1), values.argmax(axis=1) == gold
    related = weights[gold < values.shape[1]].sum()
    grid = np.round(np.arange(0.05, 0.96, 0.01), 2)
    f1 = [2 * weights[right & (best >= t)].sum() / max(1, weights[best >= t].sum() + related) for t in grid]
    return replace(calibration, threshold=float(grid[int(np.argmax(f1))]))


def _logits(found: Scored) -> Floats:
    if found.logits is None:
        raise ValueError("calibration needs the classifier's scores")
    return found.logits
