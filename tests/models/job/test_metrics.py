from __future__ import annotations

import numpy as np
import pytest

from models.job.metrics import Scores, paper_scores, recall_at, standard_scores

GOLD = ["a", "a", "b", "b", "c", "c"]
# "c" is never predicted: the paper's precision is the mean over a and b alone.
PREDICTED = ["a", "a", "b", "a", "a", "b"]


def test_the_papers_precision_is_the_mean_over_predicted_labels() -> None:
    assert paper_scores(GOLD, PREDICTED).precision == pytest.approx(100 * (2 / 4 + 1 / 2) / 2)


def test_the_papers_recall_is_the_mean_over_gold_labels() -> None:
    assert paper_scores(GOLD, PREDICTED).recall == pytest.approx(100 * (1 + 1 / 2 + 0) / 3)


def test_the_papers_f1_is_the_harmonic_mean_of_both() -> None:
    assert paper_scores(GOLD, PREDICTED).f1 == pytest.approx(50.0)


def test_the_standard_scores_count_a_label_that_is_never_predicted() -> None:
    found = standard_scores(GOLD, PREDICTED)
    assert found.precision == pytest.approx(100 * (2 / 4 + 1 / 2 + 0) / 3)
    assert found.recall == pytest.approx(50.0)
    assert found.f1 == pytest.approx(100 * (2 / 3 + 1 / 2 + 0) / 3)


def test_an_answer_that_is_no_gold_label_costs_the_papers_precision() -> None:
    assert paper_scores(["a", "a"], ["a", "z"]).precision == pytest.approx(50.0)


def test_no_answer_predicts_nothing() -> None:
    assert paper_scores(["a", "a"], ["a", None]) == Scores(100.0, 50.0, pytest.approx(200 / 3))  # type: ignore[arg-type]


def test_no_answer_costs_the_standard_scores_recall_alone() -> None:
    assert standard_scores(["a", "a"], ["a", None]) == Scores(100.0, 50.0, pytest.approx(200 / 3))  # type: ignore[arg-type]


@pytest.mark.parametrize("score", [paper_scores, standard_scores])
def test_all_right_is_a_hundred(score: type) -> None:
    assert score(GOLD, GOLD) == Scores(100.0, 100.0, 100.0)


@pytest.mark.parametrize("score", [paper_scores, standard_scores])
@pytest.mark.parametrize("answer", ["z", None])
def test_all_wrong_is_zero(score: type, answer: str | None) -> None:
    assert score(GOLD, [answer] * 6) == Scores(0.0, 0.0, 0.0)


def test_gold_and_predicted_must_be_of_one_length() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paper_scores(["a", "b"], ["a"])


def test_recall_at_k_is_the_share_of_rows_with_gold_among_the_first_k() -> None:
    cosines = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.2, 0.1, 0.3], [0.1, 0.2, 0.3]], dtype=np.float32)
    gold = np.array([0, 1, 1, 0])
    assert recall_at(cosines, gold, [1, 2, 3]) == {"1": 25.0, "2": 50.0, "3": 100.0}


def test_scores_are_told_by_name() -> None:
    assert Scores(1.0, 2.0, 3.0).to_json() == {"precision": 1.0, "recall": 2.0, "f1": 3.0}
