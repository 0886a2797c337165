from __future__ import annotations

import numpy as np
import pytest

from models.candidates import CandidateList
from models.decision import Calibration, scores
from models.job.checkpoint import Checkpoint
from models.job.dataset import Example
from models.job.scoring import Scored, score
from models.relation import Relation
from tests.models.support import LetterModel, related

FOUND = Scored(
    relations=["a", "b", "c"],
    cosines=np.array([[0.9, 0.1, 0.8], [0.2, 0.7, 0.6]], dtype=np.float32),
    top=np.array([[0, 2], [1, 2]]),
    logits=np.array([[-1.0, 2.0], [3.0, 1.0]]),
)
RECALL_ONLY = Scored(FOUND.relations, FOUND.cosines, FOUND.top, None)
FUSED = Calibration(classifier_weight=1.0, recall_weight=50.0)


def test_recall_chooses_by_cosine() -> None:
    assert FOUND.recalled() == ["a", "b"]


def test_the_classifier_chooses_by_logit() -> None:
    assert FOUND.classified() == ["c", "b"]


def test_both_together_choose_by_the_calibration() -> None:
    assert FOUND.fused(Calibration()) == ["c", "b"]
    assert FOUND.fused(FUSED) == ["a", "b"]


def test_the_cosines_of_the_candidates_are_in_their_order() -> None:
    np.testing.assert_allclose(FOUND.top_cosines(), [[0.9, 0.8], [0.7, 0.6]], atol=1e-6)


def test_an_answer_below_the_threshold_is_null() -> None:
    best = scores(Calibration(), FOUND.top_cosines(), np.asarray(FOUND.logits)).max(axis=1)
    between = float(best.mean())
    expected = [choice if value >= between else None for choice, value in zip("cb", best, strict=True)]
    assert expected.count(None) == 1
    assert FOUND.decided(Calibration(threshold=between)) == expected


def test_a_given_threshold_goes_before_the_calibrated_one() -> None:
    assert FOUND.decided(Calibration(threshold=1.0), threshold=0.0) == ["c", "b"]


def test_among_fewer_candidates_only_the_first_are_classified() -> None:
    assert FOUND.among(1).classified() == FOUND.recalled()


@pytest.mark.parametrize(("reach", "count"), [(2.0, 4), (0.25, 4), (0.2, 3), (0.0, 2)])
def test_the_candidates_within_reach_are_counted(reach: float, count: int) -> None:
    found = Scored(["a", "b"], np.array([[0.5, 0.25], [0.5, 0.4]], dtype=np.float32), np.array([[0, 1]] * 2), None)
    assert found.read(Calibration(reach=reach)) == count


def test_the_first_rows_are_what_they_were() -> None:
    assert (FOUND.first(1).recalled(), FOUND.first(1).classified()) == (["a"], ["c"])


@pytest.mark.parametrize("question", [Scored.classified, lambda x: x.fused(FUSED), lambda x: x.decided(FUSED)])
def test_recall_alone_cannot_answer_for_the_classifier(question: object) -> None:
    assert callable(question)
    with pytest.raises(ValueError, match="only recall was run"):
        question(RECALL_ONLY)


def test_recall_alone_can_be_cut_like_both() -> None:
    assert RECALL_ONLY.among(1).first(1).logits is None


LETTERS = [Relation(name, name, name) for name in "cabd"]
EXAMPLES = [related(None, sentence=f"{letter} met x .") for letter in "adb"]


def test_the_candidates_are_the_nearest_relations_best_first() -> None:
    found = score(LetterModel(), EXAMPLES, LETTERS, 2)
    names = [[found.relations[i] for i in row] for row in found.top]
    assert names[:2] == [["a", "b"], ["d", "c"]]
    assert (names[2][0], names[2][1] in "ac") == ("b", True)


def test_each_candidate_has_its_own_logit() -> None:
    found = score(LetterModel(), EXAMPLES, LETTERS, 3)
    assert found.logits is not None
    for example, top, row in zip(EXAMPLES, found.top, found.logits, strict=True):
        assert row.tolist() == [4 if found.relations[i] == example.instance.sentence[0] else -4 for i in top]


def test_every_relation_has_a_cosine() -> None:
    found = score(LetterModel(), EXAMPLES, LETTERS, 1)
    assert found.cosines.shape == (3, 4)
    assert found.relations == ["c", "a", "b", "d"]


def test_there_are_no_more_candidates_than_relations() -> None:
    assert score(LetterModel(), EXAMPLES, LETTERS, 10).top.shape == (3, 4)


def test_equally_near_relations_keep_their_order() -> None:
    found = score(LetterModel(), EXAMPLES, [LETTERS[1], Relation("a", "again", "again"), LETTERS[0]], 2)
    assert found.top[0].tolist() == [0, 1]


def test_the_classifier_can_be_left_out() -> None:
    assert score(LetterModel(), EXAMPLES, LETTERS, 2, classify=False).logits is None


def test_a_checkpoint_gives_a_candidate_the_same_logit_in_a_list_and_alone(
    tiny_checkpoint: Checkpoint, tiny_examples: list[Example], tiny_relations: dict[str, Relation]
) -> None:
    found = score(tiny_checkpoint, tiny_examples[:20], list(tiny_relations.values()), 3)
    inputs = tiny_checkpoint.prepare([x.instance for x in tiny_examples[:20]])
    described = tiny_checkpoint.describe(list(tiny_relations.values()))
    alone = [CandidateList(x, (described[i],)) for x, row in zip(inputs, found.top, strict=True) for i in row]
    assert found.logits is not None
    np.testing.assert_allclose(tiny_checkpoint.classify(alone)[:, 0], found.logits.flatten(), atol=1e-5)
