from __future__ import annotations

import pytest

from benchmarks.serving.goals import GOALS, Goal
from benchmarks.serving.report import SECTIONS
from benchmarks.serving.result import Result

ROWS = [{"batch": 1, "ratio": [1.0, 3.0, 2.0]}, {"batch": 8, "ratio": [2.5]}]
RESULTS = {"speed": Result("speed", "", "", ROWS)}


def test_the_worst_row_is_told() -> None:
    assert Goal("speed", "", "ratio", most=2.2).figure(RESULTS) == [2.5]
    assert Goal("speed", "", "ratio", least=2.2).figure(RESULTS) == [1.0, 3.0, 2.0]


def test_rows_are_chosen_by_their_values() -> None:
    assert Goal("speed", "", "ratio", least=2, where={"batch": 8}).figure(RESULTS) == [2.5]


@pytest.mark.parametrize("goal", [Goal("soak", "", "ratio", 1), Goal("speed", "", "ratio", 1, where={"batch": 2})])
def test_there_is_no_figure_of_what_was_not_measured(goal: Goal) -> None:
    assert goal.figure(RESULTS) is None


def test_a_median_within_the_bound_meets_the_goal() -> None:
    assert Goal("speed", "", "ratio", most=2).met([1, 2, 9])
    assert not Goal("speed", "", "ratio", least=2.1).met([1, 2, 9])


def test_a_goal_of_nothing_is_a_bound_too() -> None:
    assert Goal("overload", "", "unanswered", 0.0).met(0)
    assert not Goal("overload", "", "unanswered", 0.0).met(1)


def test_every_goal_is_of_a_result_with_a_section() -> None:
    assert {x.result for x in GOALS} <= {x.result for x in SECTIONS}
