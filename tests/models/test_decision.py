from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import (
    Calibration,
    Floats,
    completed,
    relation_log_probabilities,
    scores,
    some_probability,
    within_reach,
)

FITTED = Calibration(
    classifier_weight=0.8, recall_weight=12.0, some_logit=1.3, some_cosine=4.0, some_bias=-2.0, threshold=0.4
)
COSINES = np.array([0.9, 0.7, 0.4])
LOGITS = np.array([2.0, -1.0, 0.5])


@st.composite
def candidates(draw: st.DrawFn) -> tuple[Floats, Floats]:
    k = draw(st.integers(1, 6))
    cosines, logits = (draw(st.lists(st.floats(-limit, limit), min_size=k, max_size=k)) for limit in (1.0, 30.0))
    return np.array(cosines), np.array(logits)


CALIBRATIONS = st.builds(
    Calibration,
    classifier_weight=st.floats(0.01, 5),
    recall_weight=st.floats(0, 50),
    some_logit=st.floats(-3, 3),
    some_cosine=st.floats(-20, 20),
    some_bias=st.floats(-5, 5),
    reach=st.floats(0, 2),
    unread_logit=st.floats(-5, 0),
)


@given(CALIBRATIONS, candidates())
def test_scores_are_probabilities_that_with_none_sum_to_one(
    calibration: Calibration, found: tuple[Floats, Floats]
) -> None:
    values = scores(calibration, *found)
    assert (values >= 0).all()
    assert values.sum() == pytest.approx(some_probability(calibration, *found))
    assert values.sum() <= 1 + 1e-12


@given(CALIBRATIONS, candidates(), st.randoms())
def test_scores_do_not_depend_on_the_order_of_candidates(
    calibration: Calibration, found: tuple[Floats, Floats], draw: st.DrawFn
) -> None:
    cosines, logits = found
    order = list(range(len(logits)))
    draw.shuffle(order)  # type: ignore[attr-defined]
    np.testing.assert_allclose(
        scores(calibration, cosines[order], logits[order]), scores(calibration, cosines, logits)[order], atol=1e-12
    )


@given(candidates())
def test_the_defaults_are_the_classifiers_softmax_with_a_zero_logit_for_none(found: tuple[Floats, Floats]) -> None:
    cosines, logits = found
    exponents = np.exp(np.append(logits, 0.0) - max(0.0, logits.max()))
    np.testing.assert_allclose(
        scores(Calibration(), cosines, logits), (exponents / exponents.sum())[:-1], rtol=1e-9, atol=1e-12
    )


def test_which_relation_is_a_softmax_over_both_scores() -> None:
    fused = np.exp(0.8 * LOGITS + 12.0 * COSINES)
    np.testing.assert_allclose(relation_log_probabilities(FITTED, COSINES, LOGITS), np.log(fused / fused.sum()))


def test_whether_there_is_one_is_a_sigmoid_over_the_best_of_both_scores() -> None:
    odds = 1.3 * np.log(np.exp(LOGITS).sum()) + 4.0 * 0.9 - 2.0
    assert some_probability(FITTED, COSINES, LOGITS) == pytest.approx(1 / (1 + np.exp(-odds)))


def test_a_sure_recall_is_not_overruled_by_an_unsure_classifier() -> None:
    cosines, logits = np.array([0.9, 0.4]), np.array([0.0, 0.1])
    assert scores(FITTED, cosines, logits).argmax() == 0
    assert scores(Calibration(), cosines, logits).argmax() == 1


def test_an_absent_candidate_gets_nothing() -> None:
    assert scores(FITTED, COSINES, np.array([2.0, -np.inf, 0.5]))[1] == 0.0


def test_an_absent_candidate_changes_no_other_score() -> None:
    present = scores(FITTED, COSINES[:2], LOGITS[:2])
    padded = scores(FITTED, np.array([0.9, 0.7, 0.0]), np.array([2.0, -1.0, -np.inf]))
    np.testing.assert_allclose(padded[:2], present)


def test_the_candidates_within_reach_are_those_near_recalls_first() -> None:
    near = Calibration(reach=0.25)
    assert within_reach(near, COSINES).tolist() == [True, True, False]
    assert within_reach(near, np.stack([COSINES, COSINES - 0.3])).tolist() == [[True, True, False]] * 2


def test_by_default_every_candidate_is_within_reach() -> None:
    assert within_reach(Calibration(), np.array([1.0, -1.0])).all()


@given(CALIBRATIONS, candidates())
def test_what_the_classifier_says_of_a_candidate_out_of_reach_does_not_count(
    calibration: Calibration, found: tuple[Floats, Floats]
) -> None:
    cosines, logits = found
    unread = np.where(within_reach(calibration, cosines), logits, np.nan)
    np.testing.assert_array_equal(scores(calibration, cosines, logits), scores(calibration, cosines, unread))


@given(CALIBRATIONS, candidates())
def test_a_candidate_out_of_reach_is_no_likelier_than_the_likeliest_of_recalls_nearest(
    calibration: Calibration, found: tuple[Floats, Floats]
) -> None:
    cosines = found[0]
    chances = relation_log_probabilities(calibration, *found)
    unread = ~within_reach(calibration, cosines)
    assert (chances[unread] <= chances[cosines == cosines.max()].max()).all()


def test_the_logit_of_a_candidate_out_of_reach_is_taken_for_the_firsts_and_less() -> None:
    calibration = Calibration(reach=0.25, unread_logit=-1.25)
    assert completed(calibration, COSINES, LOGITS).tolist() == [2.0, -1.0, 0.75]


def test_an_absent_candidate_out_of_reach_stays_absent() -> None:
    near = Calibration(reach=0.1)
    assert scores(near, np.array([0.9, 0.4]), np.array([1.0, -np.inf]))[1] == 0.0


@given(candidates())
def test_an_absent_candidate_gets_nothing_where_only_recall_counts(found: tuple[Floats, Floats]) -> None:
    cosines, logits = np.append(found[0], -1.0), np.append(found[1], -np.inf)
    assert scores(Calibration(classifier_weight=0.0, recall_weight=9.0), cosines, logits)[-1] == 0.0


def test_a_batch_is_scored_row_by_row() -> None:
    cosines, logits = np.stack([COSINES, COSINES[::-1]]), np.stack([LOGITS, LOGITS - 3])
    rows = [scores(FITTED, x, y) for x, y in zip(cosines, logits, strict=True)]
    np.testing.assert_allclose(scores(FITTED, cosines, logits), np.stack(rows))


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_extreme_logits_do_not_overflow(logit: float) -> None:
    values = scores(Calibration(), np.array([0.5, 0.5]), np.array([logit, 0.0]))
    np.testing.assert_allclose(values, [1.0, 0.0] if logit > 0 else [0.0, 0.5])


def test_a_calibration_survives_json() -> None:
    assert Calibration.from_json(FITTED.to_json()) == FITTED


def test_a_calibration_with_an_unknown_number_is_refused() -> None:
    with pytest.raises(TypeError, match="extra"):
        Calibration.from_json(FITTED.to_json() | {"extra": 1.0})


@pytest.mark.parametrize("name", FITTED.to_json())
def test_a_calibration_without_one_of_its_numbers_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        Calibration.from_json({key: value for key, value in FITTED.to_json().items() if key != name})
