from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from models.decision import Calibration
from models.job.checkpoint import Checkpoint
from models.job.dataset import DataError, Example
from models.job.evaluate import Report, evaluate
from models.relation import Relation
from tests.models.support import LetterModel, one_line, related

RELATIONS = [Relation(name, name, name) for name in "abcdefgh"]


def says(letter: str, relation: str | None, *also: str, number: int = 0) -> Example:
    """A sentence that the model takes for the relation of its letter."""
    return related(relation, *also, sentence=f"{letter} met x{number} .")


RIGHT = [says("a", "a"), says("b", "b"), says("c", "c"), says("d", "d")]
# Of the four unrelated pairs, the model sees a relation in one.
UNRELATED = [says("z", None, number=i) for i in range(3)] + [says("a", None)]


DIRECTED = [replace(x, symmetric=x.id == "d", inverse="b" if x.id == "a" else None) for x in RELATIONS]


def run(
    examples: list[Example],
    calibration: Calibration | None = Calibration(),  # noqa: B008
    ks: tuple[int, ...] = (3,),
    relations: list[Relation] = RELATIONS,
) -> Report:
    return evaluate(LetterModel(), calibration, examples, relations, ks, "letters on letters")


def row(report: Report, method: str, k: int) -> dict[str, Any]:
    [found] = [x for x in report.figures["closed_set"] if (x["method"], x["k"]) == (method, k)]
    assert isinstance(found, dict)
    return found


def test_all_right_is_a_hundred_by_both_metrics() -> None:
    for found in run(RIGHT).figures["closed_set"]:
        assert found["paper"] == found["sklearn"] == {"precision": 100.0, "recall": 100.0, "f1": 100.0}


def test_a_wrong_answer_costs_what_the_metric_says() -> None:
    found = row(run([*RIGHT, says("a", "b", number=1)]), "classifier only", 3)
    assert found["paper"]["recall"] == pytest.approx(100 * (1 + 0.5 + 1 + 1) / 4)
    assert found["paper"]["precision"] == pytest.approx(100 * (0.5 + 1 + 1 + 1) / 4)


def test_every_k_has_a_row_for_the_classifier_and_for_both() -> None:
    found = [(x["method"], x["k"]) for x in run(RIGHT, ks=(2, 5)).figures["closed_set"]]
    assert found == [
        ("recall only", 1),
        ("classifier only", 2),
        ("recall + classifier", 2),
        ("classifier only", 5),
        ("recall + classifier", 5),
    ]


def test_a_relation_beyond_k_cannot_be_chosen() -> None:
    class Short(LetterModel):
        def classify(self, lists: Any) -> Any:
            return np.array([[float(y.ids[0] == ord("h")) for y in x.candidates] for x in lists], dtype=np.float32)

    report = evaluate(Short(), Calibration(), [says("a", "h")], RELATIONS, [3, 8], "")
    assert row(report, "classifier only", 3)["paper"]["recall"] == 0.0
    assert row(report, "classifier only", 8)["paper"]["recall"] == 100.0


def test_the_candidates_of_a_smaller_k_are_the_same_as_with_that_k_alone() -> None:
    examples = [*RIGHT, says("a", "b", number=1), says("d", "f", number=2)]
    for method in ("classifier only", "recall + classifier"):
        assert row(run(examples, ks=(2, 6)), method, 2) == row(run(examples, ks=(2,)), method, 2)


def test_recall_is_told_at_every_rank_up_to_the_number_of_relations() -> None:
    found = run([*RIGHT, says("a", "h", number=1)]).figures["recall_at"]
    assert found == {"1": 80.0, "2": 80.0, "3": 80.0, "5": 80.0}


def test_without_a_calibration_recall_alone_is_evaluated() -> None:
    figures = run([*RIGHT, *UNRELATED], None).figures
    assert [x["method"] for x in figures["closed_set"]] == ["recall only"]
    assert "open_set" not in figures


def test_without_unrelated_pairs_there_is_no_open_set() -> None:
    assert "open_set" not in run(RIGHT).figures


def test_the_open_set_is_scored_over_related_and_unrelated_pairs() -> None:
    found = run([*UNRELATED, *RIGHT]).figures["open_set"]
    assert (found["k"], found["unrelated"], found["threshold"]) == (3, 4, 0.5)
    assert found["precision"] == pytest.approx(100 * 4 / 5)
    assert found["recall"] == pytest.approx(100.0)
    assert found["f1"] == pytest.approx(100 * 2 * 0.8 / 1.8)
    assert found["false_positives"] == pytest.approx(25.0)
    # Three of four unrelated pairs are below every related one, and one is level with them.
    assert found["auroc"] == pytest.approx((3 + 0.5) / 4)


def test_the_open_set_tells_how_far_the_confidence_can_be_trusted() -> None:
    found = run([*UNRELATED, *RIGHT]).figures["open_set"]
    assert found["false_positives_at_90_recall"] == pytest.approx(25.0)
    # Five pairs of equal confidence, one of which is wrong, go before three that are all wrong.
    risks = [0.2] * 5 + [2 / 6, 3 / 7, 4 / 8]
    assert [risk for _, risk in found["risk_coverage"]] == pytest.approx(risks)
    assert found["aurc"] == pytest.approx(sum(risks) / 8)
    assert found["average_precision"] == pytest.approx(4 / 5)


def test_the_calibration_error_is_told_with_and_without_the_calibration() -> None:
    found = run([*UNRELATED, *RIGHT], Calibration(some_bias=50.0)).figures["open_set"]
    # Seen letters are as good as certain by the softmax; with the bias, so is everything.
    sure, unsure = 1 / (1 + np.exp(-4) + 2 * np.exp(-8)), 1 / (3 + np.exp(4))
    assert found["ece_uncalibrated"] == pytest.approx((5 * (sure - 0.8) + 3 * unsure) / 8)
    among = np.exp(4) / (np.exp(4) + 2 * np.exp(-4))
    assert found["ece"] == pytest.approx((5 * (among - 0.8) + 3 / 3) / 8)
    assert [count for _, _, count in found["reliability"]["calibrated"]] == [3, 5]


def test_unrelated_pairs_that_are_related_the_other_way_round_are_told_apart() -> None:
    hard = [replace(says("a", None), reverse_related=True), replace(says("z", None, number=7), reverse_related=True)]
    found = run([*RIGHT, *UNRELATED[:3], *hard]).figures["open_set"]
    assert found["false_positives"] == pytest.approx(20.0)
    assert found["false_positives_by_kind"] == {
        "reverse_related": {"pairs": 2, "false_positives": 50.0},
        "other": {"pairs": 3, "false_positives": 0.0},
    }


def test_without_pairs_related_the_other_way_round_there_is_one_kind() -> None:
    assert "false_positives_by_kind" not in run([*RIGHT, *UNRELATED]).figures["open_set"]


def test_direction_is_told_over_the_related_pairs() -> None:
    found = run([*UNRELATED, *RIGHT], relations=DIRECTED).figures["direction"]
    assert (found["pairs"], found["asymmetric"], found["with_inverse"], found["symmetric"]) == (4, 3, 2, 1)
    assert (found["kept"], found["symmetric_kept"], found["auroc"]) == (100.0, 100.0, 0.5)


def test_direction_is_not_told_where_no_relation_says_what_holds_the_other_way_round() -> None:
    assert "direction" not in run([*RIGHT, *UNRELATED]).figures


def test_direction_is_not_told_without_a_classifier() -> None:
    assert "direction" not in run(RIGHT, None, relations=DIRECTED).figures


def test_another_true_relation_is_a_right_answer_of_the_open_set() -> None:
    report = run([says("a", "b", "a"), *RIGHT, *UNRELATED])
    assert report.figures["open_set"]["recall"] == pytest.approx(100.0)


def test_unrelated_pairs_do_not_change_the_closed_set() -> None:
    mixed, alone = run([*UNRELATED[:2], *RIGHT, *UNRELATED[2:]]), run(RIGHT)
    assert mixed.figures["closed_set"] == alone.figures["closed_set"]
    assert mixed.figures["recall_at"] == alone.figures["recall_at"]
    assert mixed.figures["related"] == 4


@pytest.mark.parametrize("examples", [[], UNRELATED])
def test_without_a_related_pair_there_is_nothing_to_evaluate(examples: list[Example]) -> None:
    with pytest.raises(DataError, match="no instance has a relation of this set"):
        run(examples)


def printed(report: Report, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(report.table())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_shows_every_row_and_the_title() -> None:
    text = printed(run([*RIGHT, says("a", "b", number=1)], ks=(2, 5)))
    assert "letters on letters" in text
    assert [text.count(x) for x in ("recall only", "classifier only", "recall + classifier")] == [1, 2, 2]
    assert text.count("87.50") >= 2


def test_a_terminal_of_80_columns_shows_every_row_on_one_line() -> None:
    lines = printed(run(RIGHT, ks=(2, 5)), 80).splitlines()
    assert [line.count("100.00") for line in lines if "recall + classifier" in line] == [6, 6]


def test_the_caption_tells_the_open_set_where_there_is_one() -> None:
    assert "4 unrelated pairs, k = 3: AUROC 0.875; at threshold 0.50 P 80.0, R 100.0" in printed(
        run([*RIGHT, *UNRELATED])
    )
    assert "unrelated" not in printed(run(RIGHT))


def test_the_caption_tells_false_positives_at_90_recall_and_the_calibration_error() -> None:
    report = run([*RIGHT, *UNRELATED])
    assert f"(25.0% at 90% recall); ECE {report.figures['open_set']['ece']:.3f}" in one_line(printed(report))


def test_the_caption_tells_direction_where_the_relations_do() -> None:
    line = "head and tail changed: 100.0% of 3 right asymmetric answers kept, 100.0% of 1 symmetric ones"
    assert line in one_line(printed(run(RIGHT, relations=DIRECTED)))
    assert "none of 0 symmetric ones" in one_line(printed(run(RIGHT[:3], relations=DIRECTED)))
    assert "head and tail" not in printed(run(RIGHT))


def test_the_figures_of_a_real_model_are_json(
    tiny_checkpoint: Checkpoint, tiny_examples: list[Example], tiny_relations: dict[str, Relation]
) -> None:
    relations = list(tiny_relations.values())
    report = evaluate(tiny_checkpoint, tiny_checkpoint.calibration, tiny_examples, relations, [2, 3], "tiny")
    assert json.loads(json.dumps(report.figures, allow_nan=False)) == report.figures
    assert (report.figures["related"], report.figures["relations"]) == (196, 14)
    assert {"open_set", "direction"} <= report.figures.keys()
