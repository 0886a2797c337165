from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.job.dataset import Example
from models.job.questions import Question, Questioner, spread_evenly
from models.job.recipe import Recipe
from models.relation import Relation
from tests.models.support import related

PLAIN = [Relation(name, name, f"about {name}") for name in "abcdefghij"]
SPOUSE = Relation("spouse", "spouse", "They are married.", symmetric=True)
FATHER, CHILD = Relation("father", "father", "a father", inverse="child"), Relation("child", "child", "a child")
ORPHAN = Relation("orphan", "orphan", "one whose inverse is unknown", inverse="missing")
RELATIONS = {x.id: x for x in (*PLAIN, SPOUSE, FATHER, CHILD, ORPHAN)}
NEAR = ["a", "b", "c", "spouse", "child", "father", "d", "e", "f", "g", "h"]


def questioner(*, known: str | None = None, **settings: Any) -> Questioner:
    shares = {"withheld": 0.0, "reversed": 0.0, "candidates": 4, "neighbours": 6}
    return Questioner(RELATIONS, list(known or RELATIONS), Recipe.model_validate(shares | settings))


def asked(example: Example, near: list[str] | None = None, draws: int = 40, **settings: Any) -> list[Question]:
    """The same example, asked about with many seeds."""
    asking = questioner(**settings)
    return [asking.ask(example, NEAR if near is None else near, random.Random(seed)) for seed in range(draws)]


def turned(example: Example, question: Question) -> bool:
    instance = question.instance
    return (instance.head, instance.tail) == (example.instance.tail, example.instance.head)


def test_the_true_relation_is_at_the_stated_position() -> None:
    assert all(x.gold is not None and x.candidates[x.gold] == "a" for x in asked(related("a")))


def test_the_true_relation_is_at_every_position_in_turn() -> None:
    assert {x.gold for x in asked(related("a"))} == {0, 1, 2, 3}


def test_a_question_has_as_many_candidates_as_the_recipe_says() -> None:
    assert {len(x.candidates) for x in asked(related("a"), candidates=3)} == {3}


def test_the_wrong_candidates_are_the_nearest_neighbours() -> None:
    found = {name for x in asked(related("a"), neighbours=4, draws=100) for name in x.candidates}
    assert found == {"a", "b", "c", "spouse", "child"}


def test_the_wrong_candidates_never_include_another_true_relation() -> None:
    found = {name for x in asked(related("a", "b", "c"), draws=100) for name in x.candidates}
    assert not found & {"b", "c"}


def test_no_candidate_comes_twice() -> None:
    assert all(len(set(x.candidates)) == len(x.candidates) for x in asked(related("a"), reversed=0.5, withheld=0.5))


def test_with_too_few_neighbours_there_are_fewer_candidates() -> None:
    assert {len(x.candidates) for x in asked(related("a"), near=["a", "b"])} == {2}


@pytest.mark.parametrize("relation", ["a", "spouse", "father"])
def test_a_withheld_relation_is_not_among_the_candidates(relation: str) -> None:
    for question in asked(related(relation, "b"), withheld=1.0):
        assert question.gold is None
        assert len(question.candidates) == 4
        assert not {relation, "b"} & set(question.candidates)


def test_relations_are_withheld_as_often_as_the_recipe_says() -> None:
    found = asked(related("a"), withheld=0.3, draws=1000)
    assert 250 < sum(x.gold is None for x in found) < 350


def test_an_unrelated_pair_has_no_answer() -> None:
    for question in asked(related(None)):
        assert question.gold is None
        assert len(question.candidates) == 4


def test_a_pair_that_is_not_turned_keeps_its_direction() -> None:
    example = related("a")
    assert not any(turned(example, x) for x in asked(example, withheld=0.5))


def test_a_symmetric_relation_turned_round_still_holds() -> None:
    example = related("spouse")
    for question in asked(example, reversed=1.0):
        assert turned(example, question)
        assert question.gold is not None
        assert question.candidates[question.gold] == "spouse"


def test_a_relation_turned_round_is_its_inverse_and_not_itself() -> None:
    example = related("father")
    found = asked(example, reversed=1.0, draws=100)
    for question in found:
        assert turned(example, question)
        assert question.gold is not None
        assert question.candidates[question.gold] == "child"
        assert question.candidates.count("child") == 1
    assert any("father" in x.candidates for x in found)


def test_another_relation_turned_round_is_none_although_it_is_a_candidate() -> None:
    example = related("a")
    for question in asked(example, reversed=1.0):
        assert turned(example, question)
        assert question.gold is None
        assert question.candidates[0] == "a"
        assert len(question.candidates) == 4


def test_what_a_relation_turned_round_is_shown_with_are_no_neighbours() -> None:
    found = {name for x in asked(related("a"), reversed=1.0) for name in x.candidates}
    assert found - {"a"} <= RELATIONS.keys() - set(NEAR[:7])


@pytest.mark.parametrize("relation", ["child", "orphan"], ids=["is named as an inverse", "has an unknown inverse"])
def test_a_relation_whose_inverse_cannot_be_asked_for_is_not_turned(relation: str) -> None:
    example = related(relation)
    for question in asked(example, reversed=1.0):
        assert not turned(example, question)
        assert question.gold is not None
        assert question.candidates[question.gold] == relation


def test_an_inverse_that_is_not_to_be_seen_is_not_asked_for() -> None:
    asking = Questioner(RELATIONS, ["a", "b", "father"], Recipe(withheld=0, reversed=1))
    example = related("father")
    question = asking.ask(example, ["a", "b"], random.Random(0))
    assert not turned(example, question)
    assert "child" not in question.candidates


@pytest.mark.parametrize(
    ("relation", "also"),
    [("a", "father"), ("a", "child"), ("spouse", "father"), ("spouse", "child"), ("a", "spouse"), ("father", "child")],
)
def test_what_holds_the_other_way_round_is_no_wrong_candidate_of_a_turned_pair(relation: str, also: str) -> None:
    holds = {"father": "child", "child": "father", "spouse": "spouse"}[also]
    for near in (NEAR, ["a", "b"]):
        found = asked(related(relation, also), near=near, reversed=1.0, draws=100)
        assert not [x for x in found if holds in x.candidates]


def test_pairs_are_turned_as_often_as_the_recipe_says() -> None:
    example = related("a")
    found = asked(example, withheld=0.2, reversed=0.3, draws=1000)
    assert 250 < sum(turned(example, x) for x in found) < 350


@given(
    st.sampled_from([None, *RELATIONS]),
    st.frozensets(st.sampled_from(list(RELATIONS)), max_size=3),
    st.permutations(list(RELATIONS)),
    st.integers(0, 1000),
)
def test_a_question_is_either_answered_by_what_holds_or_by_none(
    relation: str | None, also: frozenset[str], near: list[str], seed: int
) -> None:
    others = also - {relation} if relation is not None else frozenset()
    example = related(relation, *others)
    asking = questioner(withheld=0.3, reversed=0.4)
    question = asking.ask(example, near, random.Random(seed))
    forwards = {relation, *others} - {None}
    backwards = {x for x in RELATIONS if x in forwards and RELATIONS[x].symmetric}
    backwards |= {str(RELATIONS[str(x)].inverse) for x in forwards}
    backwards |= {x.id for x in RELATIONS.values() if x.inverse in forwards}
    true = backwards if turned(example, question) else forwards
    right = [i for i, name in enumerate(question.candidates) if name in true]
    assert right == ([] if question.gold is None else [question.gold])


def rows_of(counts: dict[str | None, int]) -> list[Example]:
    return [related(name, sentence=f"{name}{i} met x .") for name, count in counts.items() for i in range(count)]


def spread(counts: dict[str | None, int], **settings: Any) -> Counter[str | None]:
    examples = rows_of(counts)
    rows = spread_evenly(examples, Recipe.model_validate(settings), random.Random(0))
    assert len(set(rows)) == len(rows)
    return Counter(examples[row].relation for row in rows)


def test_large_relations_give_an_equal_share() -> None:
    assert spread({"a": 100, "b": 200, "c": 300}, classifier_instances=60) == {"a": 20, "b": 20, "c": 20}


def test_what_small_relations_lack_is_shared_by_the_large_ones() -> None:
    assert spread({"a": 2, "b": 200, "c": 300}, classifier_instances=60) == {"a": 2, "b": 29, "c": 29}


def test_unrelated_pairs_have_their_own_share() -> None:
    found = spread({"a": 100, "b": 100, None: 100}, classifier_instances=100, unrelated=0.3)
    assert found == {"a": 35, "b": 35, None: 30}


def test_without_unrelated_pairs_the_related_ones_take_their_share() -> None:
    assert spread({"a": 100, "b": 100}, classifier_instances=100, unrelated=0.3) == {"a": 50, "b": 50}


def test_no_more_is_drawn_than_there_is() -> None:
    assert spread({"a": 3, "b": 4, None: 2}, classifier_instances=1000) == {"a": 3, "b": 4, None: 2}


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), min_size=1), st.integers(1, 100))
def test_as_many_are_drawn_as_the_recipe_says_if_there_are(counts: dict[str | None, int], wanted: int) -> None:
    assert spread(counts, classifier_instances=wanted).total() == min(wanted, sum(counts.values()))
