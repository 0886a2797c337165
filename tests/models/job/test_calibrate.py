from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from models.decision import Calibration, Floats, relation_log_probabilities, scores, some_probability
from models.job import calibrate as module
from models.job.calibrate import calibrate, fit_reach, fit_some, fit_temperature, fit_threshold, gold_positions
from models.job.checkpoint import Checkpoint, new_checkpoint
from models.job.dataset import Example, TrainingData
from models.job.recipe import Recipe
from models.job.scoring import Integers, Scored, score
from models.relation import Relation
from tests.models.support import related

K = 3
EVEN = np.ones(600)
"""Weights of the rows of `synthetic`."""
CLOSED = {"reading": "published", "withheld": 0, "reversed": 0, "unrelated": 0}


def synthetic(rows: int = 600, *, some: float = 0.7) -> tuple[Scored, Integers]:
    """Scores whose answers are drawn from a calibration of weights 0.5 and 20, and are none in a part of the rows."""
    draw = np.random.default_rng(7)
    cosines = -np.sort(-draw.uniform(0.3, 0.9, (rows, K)), axis=1)
    logits = draw.normal(0, 2, (rows, K))
    chance = np.exp(relation_log_probabilities(Calibration(0.5, 20.0), cosines, logits))
    gold = np.array([draw.choice(K, p=row) for row in chance])
    gold[draw.random(rows) > some] = K
    # The classifier is sure of what is there and against what is not.
    logits += np.where(gold < K, 2.0, -2.0)[:, None]
    found = Scored(list("abc"), cosines.astype(np.float32), np.tile(np.arange(K), (rows, 1)), logits)
    return found, gold


def likelihood(calibration: Calibration, found: Scored, gold: Integers) -> float:
    rows = np.flatnonzero(gold < K)
    assert found.logits is not None
    values = relation_log_probabilities(calibration, found.top_cosines()[rows], found.logits[rows])
    return float(values[np.arange(len(rows)), gold[rows]].mean())


def test_gold_is_the_position_among_the_candidates_or_behind_them() -> None:
    found = Scored(list("abcd"), np.zeros((4, 4), dtype=np.float32), np.array([[2, 0]] * 4), None)
    examples = [related("a"), related("c"), related("b"), related(None)]
    assert gold_positions(found, examples).tolist() == [1, 0, 2, 2]


def test_the_factor_does_not_depend_on_rows_whose_relation_was_not_recalled() -> None:
    found, gold = synthetic()
    rows = gold < K
    assert found.logits is not None
    recalled = Scored(found.relations, found.cosines[rows], found.top[rows], found.logits[rows])
    start = Calibration(recall_weight=7.0)
    assert fit_temperature(start, found, gold) == fit_temperature(start, recalled, gold[rows])


def test_the_factor_stays_finite_where_the_data_can_be_separated() -> None:
    found, gold = synthetic(100, some=1.0)
    assert found.logits is not None
    found.logits[np.arange(100), gold] += 50
    assert 0 < fit_temperature(Calibration(), found, gold).classifier_weight <= 10


def test_fitting_the_factor_leaves_the_other_numbers() -> None:
    start = Calibration(some_logit=3.0, some_cosine=4.0, some_bias=5.0, threshold=0.1)
    fitted = fit_temperature(start, *synthetic())
    assert replace(fitted, classifier_weight=1.0, recall_weight=0.0) == start


def test_one_factor_explains_the_answers_better_than_the_weights_before() -> None:
    found, gold = synthetic()
    start = Calibration(classifier_weight=2.0, recall_weight=80.0)
    fitted = fit_temperature(start, found, gold)
    assert likelihood(fitted, found, gold) > likelihood(start, found, gold) + 0.05


def test_one_factor_recovers_weights_that_are_all_too_large_by_it() -> None:
    found, gold = synthetic()
    fitted = fit_temperature(Calibration(classifier_weight=2.0, recall_weight=80.0), found, gold)
    assert fitted.classifier_weight == pytest.approx(0.5, rel=0.3)
    assert fitted.recall_weight == pytest.approx(40 * fitted.classifier_weight)


def test_one_factor_changes_no_choice() -> None:
    found, gold = synthetic()
    start = Calibration(classifier_weight=2.0, recall_weight=10.0)
    assert found.fused(fit_temperature(start, found, gold)) == found.fused(start)


def test_the_reach_is_the_least_that_keeps_all_choices_and_some_slack() -> None:
    found, _ = synthetic(1000)
    start = Calibration(0.5, 20.0)
    fitted = fit_reach(start, found)
    # Without the slack no choice changes either; with a hair less one does.
    least = replace(fitted, reach=fitted.reach / module.SLACK + 1e-9)
    shorter = replace(fitted, reach=fitted.reach / module.SLACK - 1e-6)
    assert found.fused(least) == found.fused(start)
    assert found.fused(shorter) != found.fused(start)
    assert found.read(fitted) < found.read(start)


def test_unread_candidates_get_the_share_that_they_have_when_read() -> None:
    found, _ = synthetic(2000)
    assert found.logits is not None
    found.logits[:, 2] -= 5.0
    start = Calibration(0.5, 0.0)
    fitted = fit_reach(replace(start, recall_weight=20.0), found)
    unread = found.top_cosines() < found.top_cosines()[:, :1] - fitted.reach
    assert fitted.unread_logit < 0
    estimated = np.exp(fitted.unread_logit * 0.5)
    true = np.exp(0.5 * (found.logits - found.logits[:, :1]))[unread].mean()
    assert estimated == pytest.approx(true)


def test_the_reach_does_not_depend_on_the_one_before() -> None:
    found, _ = synthetic()
    start = Calibration(0.5, 20.0, threshold=0.1)
    assert fit_reach(replace(start, reach=0.01), found) == fit_reach(start, found)


def test_whether_there_is_one_is_fitted_on_the_candidates_within_reach() -> None:
    found, gold = synthetic()
    assert found.logits is not None
    start = Calibration(0.5, 20.0, reach=0.1)
    cosines = found.top_cosines()
    unread = np.where(cosines >= cosines[:, :1] - 0.1, found.logits, np.nan)
    assert fit_some(start, found, gold) == fit_some(start, replace(found, logits=unread), gold)
    assert fit_some(start, found, gold).some_logit != fit_some(Calibration(0.5, 20.0), found, gold).some_logit


def test_related_pairs_are_told_from_unrelated_ones() -> None:
    found, gold = synthetic()
    calibration = fit_some(Calibration(), found, gold)
    assert found.logits is not None
    some = some_probability(calibration, found.top_cosines(), found.logits)
    assert ((some > 0.5) == (gold < K)).mean() > 0.8
    assert some.mean() == pytest.approx((gold < K).mean(), abs=0.02)


def test_fitting_whether_there_is_one_leaves_the_other_numbers() -> None:
    start = Calibration(classifier_weight=0.4, recall_weight=9.0, threshold=0.1)
    fitted = fit_some(start, *synthetic())
    assert replace(fitted, some_logit=1.0, some_cosine=0.0, some_bias=0.0) == start


def test_the_more_unrelated_pairs_weigh_the_higher_the_threshold() -> None:
    found, gold = synthetic()
    some = fit_some(Calibration(), found, gold)
    light, heavy = (fit_threshold(some, found, gold, np.where(gold < K, 1.0, x)).threshold for x in (0.2, 5.0))
    assert light < heavy


def f1(values: Floats, gold: Integers, threshold: float) -> float:
    given = values.max(axis=1) >= threshold
    right = (given & (values.argmax(axis=1) == gold)).sum()
    precision, recall = right / max(1, given.sum()), right / (gold < K).sum()
    return float(2 * precision * recall / max(1e-9, precision + recall))


def test_the_threshold_is_the_one_with_the_best_f1() -> None:
    found, gold = synthetic()
    calibration = fit_threshold(fit_some(Calibration(), found, gold), found, gold, EVEN)
    assert found.logits is not None
    values = scores(calibration, found.top_cosines(), found.logits)
    best = max(f1(values, gold, t) for t in np.arange(0.05, 0.96, 0.01).round(2))
    assert f1(values, gold, calibration.threshold) == pytest.approx(best)
    assert best > f1(values, gold, 0.05)
    assert best > f1(values, gold, 0.95)


@pytest.mark.parametrize("fit", [fit_temperature, fit_some])
def test_recall_alone_cannot_be_calibrated(fit: Callable[[Calibration, Scored, Integers], Calibration]) -> None:
    found, gold = synthetic(50)
    with pytest.raises(ValueError, match="needs the classifier's scores"):
        fit(Calibration(), replace(found, logits=None), gold)


def test_recall_alone_has_no_threshold() -> None:
    found, gold = synthetic()
    with pytest.raises(ValueError, match="needs the classifier's scores"):
        fit_threshold(Calibration(), replace(found, logits=None), gold, EVEN)


@pytest.fixture
def data(tiny_examples: list[Example], tiny_relations: dict[str, Relation]) -> TrainingData:
    """Validation on all the test data, 196 related and 44 unrelated pairs, whose relations are unseen."""
    names = sorted(tiny_relations)
    return TrainingData([], tiny_examples, tiny_relations, [], names)


def calibrated(checkpoint: Checkpoint, data: TrainingData, start: Calibration | None = None) -> Calibration:
    return calibrate(checkpoint, start or checkpoint.calibration, checkpoint.recipe, data)


SOME = ("some_logit", "some_cosine", "some_bias", "threshold")


def test_with_enough_of_both_kinds_all_numbers_are_fitted(
    tiny_checkpoint: Checkpoint, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEWEST", 40)
    start = Calibration(recall_weight=3.0, threshold=0.999)
    before, after = start.to_json(), calibrated(tiny_checkpoint, data, start).to_json()
    assert [name for name in before if before[name] == after[name]] == []


def test_with_too_few_unrelated_pairs_only_the_weights_are_fitted(
    tiny_checkpoint: Checkpoint, data: TrainingData
) -> None:
    start = Calibration()
    found = calibrated(tiny_checkpoint, data, start)
    assert found.classifier_weight != start.classifier_weight
    assert [getattr(found, name) for name in SOME] == [getattr(start, name) for name in SOME]


def test_the_weights_keep_their_proportion(tiny_checkpoint: Checkpoint, data: TrainingData) -> None:
    found = calibrated(tiny_checkpoint, data, Calibration(0.1, 7.0))
    assert found.recall_weight == pytest.approx(70 * found.classifier_weight)


def test_with_too_few_related_pairs_the_defaults_stay(
    tiny_checkpoint: Checkpoint, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEWEST", 197)
    assert calibrated(tiny_checkpoint, data) == tiny_checkpoint.calibration


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Example], list[str]]]:
    """The examples and the candidates of each scoring."""
    calls: list[tuple[list[Example], list[str]]] = []

    def record(model: Checkpoint, examples: list[Example], relations: list[Relation], k: int) -> Scored:
        calls.append((examples, [x.id for x in relations]))
        return score(model, examples, relations, k)

    monkeypatch.setattr(module, "score", record)
    return calls


def test_few_validation_relations_are_joined_by_trained_ones_up_to_the_least_number(
    tiny_checkpoint: Checkpoint,
    data: TrainingData,
    asked: list[tuple[list[Example], list[str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = sorted(data.relations)
    monkeypatch.setattr(module, "CANDIDATES", 5)
    several = replace(data, train=data.valid, valid_relations=names[:3], train_relations=names[3:])
    calibrated(tiny_checkpoint, several)
    candidates = asked[0][1]
    assert candidates[:3] == names[:3]
    assert len(set(candidates)) == 5


def test_relations_that_were_left_to_recall_do_not_join(
    tiny_checkpoint: Checkpoint, data: TrainingData, asked: list[tuple[list[Example], list[str]]]
) -> None:
    names = sorted(data.relations)
    rare = [x for x in data.valid if x.relation != names[-1]]
    several = replace(data, train=rare, valid_relations=names[:3], train_relations=names[3:])
    calibrated(tiny_checkpoint, several)
    assert names[-1] not in asked[0][1]


def test_pairs_of_which_a_joining_relation_holds_besides_are_left_out(
    tiny_checkpoint: Checkpoint, data: TrainingData, asked: list[tuple[list[Example], list[str]]]
) -> None:
    names = sorted(data.relations)
    twofold = replace(next(x for x in data.valid if x.relation == names[0]), also=frozenset({names[-1]}))
    several = replace(
        data, train=data.valid, valid=[twofold, *data.valid], valid_relations=names[:3], train_relations=names[3:]
    )
    calibrated(tiny_checkpoint, several)
    examples, candidates = asked[0]
    assert names[-1] in candidates
    assert twofold not in examples


@pytest.mark.parametrize("settings", [{"training": "recall"}, CLOSED])
def test_without_logits_against_none_the_defaults_stay(
    tiny_recipe: Callable[..., Recipe], data: TrainingData, settings: dict[str, object]
) -> None:
    checkpoint = new_checkpoint(tiny_recipe(**settings))
    assert calibrated(checkpoint, data) == checkpoint.calibration
