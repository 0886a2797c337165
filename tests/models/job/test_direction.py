from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from models.decision import Calibration
from models.job.checkpoint import Checkpoint
from models.job.dataset import Example
from models.job.direction import Direction, direction, measure, swapped, told
from models.job.scoring import Scored, score
from models.relation import Relation
from models.text import Instance
from tests.models.support import LetterModel, mentions, related


def relation(name: str, inverse: str | None = None, *, symmetric: bool = False) -> Relation:
    return Relation(name, name, name, inverse=inverse, symmetric=symmetric)


# Only the father names his inverse, and neither a capital nor a birthplace has one.
RELATIONS = [
    relation("father", "child"),
    relation("child"),
    relation("spouse", symmetric=True),
    relation("capital"),
    relation("birthplace"),
]
NAMES = [x.id for x in RELATIONS]


def allowed(*names: str, relations: Sequence[Relation] = RELATIONS) -> set[str]:
    [found] = swapped([related(*names)], relations)
    return set(found.allowed)


def scores_of(*rows: dict[str, float]) -> Scored:
    """Every relation a candidate, with these scores and nothing for the others, as `Calibration()` reads them."""
    probabilities = np.array([[row.get(name, 1e-9) for name in NAMES] for row in rows])
    logits = np.log(probabilities) - np.log(1 - probabilities.sum(axis=1, keepdims=True))
    top = np.tile(np.arange(len(NAMES)), (len(rows), 1)).astype(np.int64)
    return Scored(NAMES, np.zeros(logits.shape, dtype=np.float32), top, logits)


def figures(*cases: tuple[Example | str, dict[str, float], dict[str, float]]) -> Direction:
    """Of pairs: their relation, the scores as they are and the scores with head and tail changed."""
    examples = [related(x) if isinstance(x, str) else x for x, _, _ in cases]
    before, after = scores_of(*[x for _, x, _ in cases]), scores_of(*[x for _, _, x in cases])
    return direction(examples, RELATIONS, before, after, Calibration())


def test_head_and_tail_change_places_in_the_same_sentence() -> None:
    instance = mentions("Ada lived in London .", "Ada", "London")
    [found] = swapped([Example(instance, "capital")], RELATIONS)
    assert found.instance == Instance(instance.sentence, instance.tail, instance.head)


def test_the_inverse_may_be_answered_the_other_way_round() -> None:
    assert allowed("father") == {"child"}


def test_an_inverse_may_be_answered_where_only_the_other_names_it() -> None:
    assert allowed("child") == {"father"}


def test_several_relations_may_have_the_same_inverse() -> None:
    assert allowed("child", relations=[*RELATIONS, relation("mother", "child")]) == {"father", "mother"}


def test_a_symmetric_relation_may_be_answered_both_ways() -> None:
    assert allowed("spouse") == {"spouse"}


def test_nothing_may_be_answered_for_a_relation_without_an_inverse() -> None:
    assert allowed("capital") == set()


def test_an_inverse_that_is_no_candidate_may_not_be_answered() -> None:
    assert allowed("father", relations=[RELATIONS[0], RELATIONS[3]]) == set()


def test_every_relation_of_a_pair_adds_what_may_be_answered() -> None:
    assert allowed("father", "spouse") == {"child", "spouse"}


@pytest.mark.parametrize("relations", [[relation("a", "b")], [relation("c"), relation("a", symmetric=True)]])
def test_relations_with_an_inverse_or_a_symmetry_tell_of_direction(relations: list[Relation]) -> None:
    assert told(relations)


def test_relations_without_either_tell_nothing_of_direction() -> None:
    assert not told([relation("a"), relation("b")])


def test_an_answer_that_stays_is_kept_and_one_that_goes_is_null() -> None:
    found = figures(
        ("capital", {"capital": 0.9}, {"capital": 0.8}),
        ("capital", {"capital": 0.9}, {"capital": 0.3}),
        ("capital", {"capital": 0.9}, {"father": 0.8}),
        ("birthplace", {"birthplace": 0.9}, {}),
    )
    assert (found.pairs, found.asymmetric) == (4, 4)
    assert (found.kept, found.null) == (25.0, 50.0)


def test_wrong_and_unsure_answers_are_not_looked_at() -> None:
    found = figures(
        ("capital", {"capital": 0.9}, {"capital": 0.8}),
        ("capital", {"birthplace": 0.9}, {"birthplace": 0.9}),
        ("capital", {"capital": 0.4}, {"capital": 0.4}),
    )
    assert (found.pairs, found.asymmetric, found.kept) == (3, 1, 100.0)


def test_the_inverse_is_counted_among_the_answers_that_have_one() -> None:
    found = figures(
        ("father", {"father": 0.9}, {"child": 0.8}),
        ("child", {"child": 0.9}, {"child": 0.8}),
        ("capital", {"capital": 0.9}, {}),
    )
    assert (found.asymmetric, found.with_inverse, found.inverse) == (3, 2, 50.0)
    assert found.kept == pytest.approx(100 / 3)


def test_symmetric_answers_are_counted_apart() -> None:
    found = figures(
        ("spouse", {"spouse": 0.9}, {"spouse": 0.9}),
        ("spouse", {"spouse": 0.9}, {"spouse": 0.2}),
        ("capital", {"capital": 0.9}, {"capital": 0.9}),
    )
    assert (found.symmetric, found.symmetric_kept) == (2, 50.0)
    assert (found.asymmetric, found.kept) == (1, 100.0)


def test_another_true_relation_is_a_right_answer() -> None:
    found = figures((related("father", "capital"), {"capital": 0.9}, {"capital": 0.9}))
    assert (found.asymmetric, found.kept) == (1, 100.0)


def test_an_answer_that_holds_both_ways_by_another_relation_is_not_asymmetric() -> None:
    found = figures((related("father", "child"), {"father": 0.9}, {"father": 0.9}))
    assert found.asymmetric == 0


def test_auroc_sets_the_true_relations_score_against_that_of_the_other_way() -> None:
    # Of the four orders, 0.9 is over both of the others and 0.3 over one.
    found = figures(
        ("capital", {"capital": 0.9, "father": 0.05}, {"capital": 0.5}),
        ("father", {"father": 0.3, "child": 0.6}, {"father": 0.1, "child": 0.8}),
    )
    assert found.auroc == pytest.approx(3 / 4)


def test_auroc_leaves_symmetric_relations_out() -> None:
    found = figures(("capital", {"capital": 0.9}, {"capital": 0.5}), ("spouse", {"spouse": 0.1}, {"spouse": 0.9}))
    assert found.auroc == 1.0


def test_a_true_relation_that_was_not_recalled_scores_nothing() -> None:
    before, after = scores_of({"birthplace": 0.9}), scores_of({"capital": 0.1})
    found = direction([related("birthplace")], RELATIONS, before.among(2), after.among(2), Calibration())
    assert found.auroc == 0.5


def test_shares_of_nothing_are_none() -> None:
    found = figures(("spouse", {"capital": 0.9}, {}))
    assert (found.kept, found.null, found.inverse, found.symmetric_kept, found.auroc) == (None,) * 5
    assert json.loads(json.dumps(found.to_json())) == found.to_json()


LETTERS = [relation("a"), relation("b"), relation("c", symmetric=True)]


def measured(examples: list[Example], calibration: Calibration) -> Direction:
    model = LetterModel()
    return measure(model, calibration, examples, LETTERS, score(model, examples, LETTERS, 2))


def test_a_model_that_does_not_read_the_direction_keeps_every_answer() -> None:
    found = measured([related(x, sentence=f"{x} met x .") for x in "abc"], Calibration())
    assert (found.pairs, found.asymmetric, found.kept) == (3, 2, 100.0)
    assert (found.symmetric, found.symmetric_kept, found.auroc) == (1, 100.0, 0.5)


def test_at_most_a_thousand_pairs_are_read_both_ways_and_always_the_same() -> None:
    examples = [related("a" if i % 3 else "b", sentence=f"a met x{i} .") for i in range(1200)]
    found = measured(examples, Calibration())
    assert found.pairs == 1000
    assert 600 < found.asymmetric < 730
    assert measured(examples, Calibration()) == found


def test_a_real_model_is_read_both_ways(
    tiny_checkpoint: Checkpoint, tiny_examples: list[Example], tiny_relations: dict[str, Relation]
) -> None:
    pairs = [x for x in tiny_examples if x.relation is not None][:20]
    relations = list(tiny_relations.values())
    given = score(tiny_checkpoint, pairs, relations, 3)
    found = measure(tiny_checkpoint, tiny_checkpoint.calibration, pairs, relations, given)
    others = [Example(x.instance, None) for x in swapped(pairs, relations)]
    turned = score(tiny_checkpoint, others, relations, 3)
    assert found == direction(pairs, relations, given, turned, tiny_checkpoint.calibration)
    assert found.pairs == 20
