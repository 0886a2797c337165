from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from models.decision import Calibration
from models.job.open_set import (
    Bin,
    Booleans,
    calibration_error,
    candidate_scores,
    false_positives,
    judged,
    open_set,
    reliability,
    risk_coverage,
    withhold,
)
from models.job.scoring import Floats, Scored


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


def flags(text: str) -> Booleans:
    """`x` for true."""
    return np.array([sign == "x" for sign in text])


# Six pairs from the surest to the least sure: right, unrelated, wrong, right, unrelated, right.
CONFIDENCE = floats(0.9, 0.8, 0.7, 0.6, 0.4, 0.2)
RELATED = flags("x.xx.x")
RIGHT = flags("x..x.x")


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    # Of the 4 × 2 orders, 0.9 has both, 0.7 and 0.6 one each, 0.2 none.
    assert open_set(CONFIDENCE, RELATED, RIGHT, 0.5).auroc == pytest.approx(4 / 8)


def test_average_precision_is_the_mean_precision_at_each_related_pair() -> None:
    found = open_set(CONFIDENCE, RELATED, RIGHT, 0.5).average_precision
    assert found == pytest.approx((1 / 1 + 2 / 3 + 3 / 4 + 4 / 6) / 4)


def test_precision_is_over_answers_given_and_recall_over_related_pairs() -> None:
    found = open_set(CONFIDENCE, RELATED, RIGHT, 0.5)
    assert found.precision == pytest.approx(100 * 2 / 4)
    assert found.recall == pytest.approx(100 * 2 / 4)
    assert found.f1 == pytest.approx(50.0)


def test_an_answer_is_given_at_the_threshold_itself() -> None:
    assert open_set(CONFIDENCE, RELATED, RIGHT, 0.2).recall == pytest.approx(75.0)


def test_nothing_answered_is_no_precision_and_no_recall() -> None:
    found = open_set(CONFIDENCE, RELATED, RIGHT, 0.95)
    assert (found.precision, found.recall, found.f1, found.false_positives) == (0.0, 0.0, 0.0, 0.0)


def test_false_positives_are_the_unrelated_pairs_over_the_threshold() -> None:
    assert open_set(CONFIDENCE, RELATED, RIGHT, 0.5).false_positives == pytest.approx(50.0)


def test_false_positives_at_90_recall_are_those_at_the_highest_threshold_that_reaches_it() -> None:
    # The ninth of ten related pairs has 0.3, over which two of the four unrelated ones are.
    confidence = floats(*[0.9] * 8, 0.3, 0.1, 0.95, 0.5, 0.2, 0.05)
    related = flags("x" * 10 + "." * 4)
    assert open_set(confidence, related, related, 0.5).false_positives_at_90_recall == pytest.approx(50.0)


def test_false_positives_at_90_recall_count_related_pairs_that_are_answered_wrongly() -> None:
    related, none = flags("xx.."), flags("....")
    assert open_set(floats(0.9, 0.8, 0.2, 0.1), related, none, 0.5).false_positives_at_90_recall == 0.0


def test_every_figure_but_those_of_the_threshold_is_free_of_the_order_of_the_pairs() -> None:
    order = np.array([3, 5, 0, 1, 4, 2])
    assert open_set(CONFIDENCE[order], RELATED[order], RIGHT[order], 0.5) == open_set(CONFIDENCE, RELATED, RIGHT, 0.5)


def test_the_figures_are_json() -> None:
    found = open_set(CONFIDENCE, RELATED, RIGHT, 0.5).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["unrelated"], found["threshold"]) == (2, 0.5)


@pytest.mark.parametrize("related", ["xxxxxx", "......", ""])
def test_pairs_of_one_kind_alone_are_no_open_set(related: str) -> None:
    n = len(related)
    with pytest.raises(ValueError, match="related and unrelated pairs"):
        open_set(CONFIDENCE[:n], flags(related), flags("." * n), 0.5)


def test_a_right_answer_for_an_unrelated_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="no right answer"):
        open_set(CONFIDENCE, RELATED, flags("xx...."), 0.5)


def test_risk_is_the_share_of_wrong_answers_among_the_surest() -> None:
    _, curve = risk_coverage(floats(0.6, 0.9, 0.7, 0.8), flags("..xx"))
    assert [coverage for coverage, _ in curve] == [0.25, 0.5, 0.75, 1.0]
    assert [risk for _, risk in curve] == pytest.approx([1 / 1, 1 / 2, 1 / 3, 2 / 4])


def test_the_area_is_the_mean_risk_over_all_coverages() -> None:
    area, _ = risk_coverage(floats(0.9, 0.8, 0.7, 0.6), flags(".xx."))
    assert area == pytest.approx((1 / 1 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


@pytest.mark.parametrize("right", ["x.x", "xx.", ".xx"])
def test_answers_of_equal_confidence_share_their_risk(right: str) -> None:
    area, curve = risk_coverage(floats(0.5, 0.5, 0.5), flags(right))
    assert [risk for _, risk in curve] == pytest.approx([1 / 3] * 3)
    assert area == pytest.approx(1 / 3)


def test_a_long_curve_is_thinned_to_100_points_from_the_first_to_the_last() -> None:
    right = np.arange(1000) < 600
    area, curve = risk_coverage(np.linspace(1, 0, 1000), right)
    assert len(curve) == 100
    assert curve[0] == pytest.approx((0.001, 0.0))
    assert curve[-1] == pytest.approx((1.0, 0.4))
    assert area == pytest.approx(np.mean([max(0, i - 600) / i for i in range(1, 1001)]))


def test_no_answers_have_no_risk_coverage_curve() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        risk_coverage(floats(), flags(""))


def test_a_bin_has_the_mean_confidence_and_the_share_of_right_answers() -> None:
    found = reliability(floats(0.1, 0.3, 0.6, 0.9, 1.0), flags("..x.x"), bins=2)
    assert [x.confidence for x in found] == pytest.approx([0.2, 2.5 / 3])
    assert [x.right for x in found] == pytest.approx([0.0, 2 / 3])
    assert [x.count for x in found] == [2, 3]


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    assert [x.count for x in reliability(floats(0.0, 0.5, 0.51), flags("xxx"), bins=2)] == [2, 1]


def test_empty_bins_are_left_out() -> None:
    assert [x.confidence for x in reliability(floats(0.05, 0.95), flags(".x"))] == pytest.approx([0.05, 0.95])


def test_the_calibration_error_is_the_mean_distance_weighted_by_the_bins() -> None:
    assert calibration_error([Bin(0.2, 0.0, 2), Bin(0.8, 0.9, 6)]) == pytest.approx((2 * 0.2 + 6 * 0.1) / 8)


def test_confidence_that_is_the_share_of_right_answers_has_no_calibration_error() -> None:
    assert calibration_error(reliability(floats(*[0.75] * 4), flags("xxx."))) == pytest.approx(0.0)


def test_no_answers_have_no_calibration_error() -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        calibration_error([])


def test_false_positives_are_counted_in_each_group_for_itself() -> None:
    groups = {"hard": flags(".x...x"), "easy": flags("....x.")}
    assert false_positives(CONFIDENCE, groups, 0.5) == {
        "hard": {"pairs": 2, "false_positives": 50.0},
        "easy": {"pairs": 1, "false_positives": 0.0},
    }


def test_an_empty_group_is_left_out() -> None:
    assert false_positives(CONFIDENCE, {"none": flags("......")}, 0.5) == {}


def scored(cosines: Sequence[Sequence[float]], logits: Sequence[Sequence[float]] | None = None) -> Scored:
    """Relations a, b, c …, all classified; `logits` are in the order of the relations."""
    values = np.array(cosines, dtype=np.float32)
    top = np.argsort(-values, axis=1, kind="stable").astype(np.int64)
    given = None if logits is None else np.take_along_axis(np.array(logits, dtype=np.float64), top, axis=1)
    return Scored([chr(ord("a") + i) for i in range(values.shape[1])], values, top, given)


FOUND = scored([[0.9, 0.5, 0.7, 0.1], [0.2, 0.8, 0.1, 0.6]], [[2.0, 3.0, 1.0, 0.0], [0.0, 4.0, -1.0, 2.0]])


def test_the_confidence_of_an_answer_is_its_own_score() -> None:
    confidence, _ = judged(FOUND, [set(), set()], Calibration())
    odds = np.exp([2.0, 3.0, 1.0, 0.0])
    assert confidence[0] == pytest.approx(odds[1] / (1 + odds.sum()))


def test_an_answer_is_right_if_it_is_one_of_the_true_relations() -> None:
    assert judged(FOUND, [{"a", "b"}, {"a"}], Calibration())[1].tolist() == [True, False]


def test_an_answer_is_judged_below_the_threshold_too() -> None:
    assert judged(FOUND, [{"b"}, {"b"}], Calibration(threshold=1.0))[1].tolist() == [True, True]


def test_candidates_have_no_score_without_the_classifier() -> None:
    with pytest.raises(ValueError, match="classifier"):
        candidate_scores(scored([[0.1, 0.2]]), Calibration())


def test_a_withheld_relation_is_no_candidate_and_the_next_take_its_place() -> None:
    found = withhold(FOUND, [{"a"}, {"b"}], 2)
    assert found.top.tolist() == [[2, 1], [3, 0]]
    assert found.logits is not None
    assert found.logits.tolist() == [[1.0, 3.0], [2.0, 0.0]]


def test_all_true_relations_of_a_pair_are_withheld() -> None:
    assert withhold(FOUND, [{"a", "c"}, {"b"}], 2).top.tolist() == [[1, 3], [3, 0]]


def test_a_relation_beyond_the_candidates_is_withheld_as_well() -> None:
    found = withhold(FOUND, [{"d"}, {"c"}], 2)
    assert found.top.tolist() == [[0, 2], [1, 3]]
    assert found.cosines[0, 3] == found.cosines[1, 2] == -np.inf


def test_an_id_that_is_no_candidate_is_passed_over() -> None:
    assert withhold(FOUND, [{"z"}, set()], 4).top.tolist() == FOUND.top.tolist()


def test_withholding_changes_nothing_in_what_was_found() -> None:
    before = FOUND.cosines.copy()
    withhold(FOUND, [{"a"}, {"b"}], 2)
    assert np.array_equal(FOUND.cosines, before)


def test_recall_alone_can_be_withheld_from() -> None:
    found = withhold(scored([[0.9, 0.5, 0.7]]), [{"a"}], 2)
    assert (found.top.tolist(), found.logits) == ([[2, 1]], None)


def test_what_is_left_is_scored_as_if_the_withheld_had_never_been_there() -> None:
    alone = scored([[0.5, 0.7, 0.1]], [[3.0, 1.0, 0.0]])
    calibration = Calibration(1.3, 2.0, 0.8, 1.5, -0.5)
    expected = candidate_scores(alone, calibration)
    assert candidate_scores(withhold(FOUND.first(1), [{"a"}], 3), calibration) == pytest.approx(expected)


def test_too_few_candidates_for_withholding_are_refused() -> None:
    with pytest.raises(ValueError, match="only 1 candidates left of 2"):
        withhold(FOUND.among(2), [{"a"}, {"b"}], 2)
