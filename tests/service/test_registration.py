from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.relation import Relation
from models.text import InputError
from service.errors import InvalidError
from service.fields import ID_PATTERN
from service.registration import catalogue, derived_id, encode, require_distinct
from service.registry import Draft
from tests.service.fakes import CATALOGUE_RELATIONS, FakeRuntime


@given(st.text(max_size=300), st.text(max_size=50))
def test_a_made_id_is_a_valid_one(name: str, description: str) -> None:
    assert re.fullmatch(ID_PATTERN, derived_id(name, description))


def test_the_same_texts_make_the_same_id_and_others_another() -> None:
    assert derived_id("a", "b") == derived_id("a", "b")
    assert len({derived_id("a", "b"), derived_id("a", "c"), derived_id("b", "b"), derived_id("a\nb", "")}) == 4


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Place of Birth", "place-of-birth"), ("né à", "ne-a"), ("出生地", "relation"), ("--", "relation")],
)
def test_a_made_id_begins_with_what_is_plain_in_the_name(name: str, slug: str) -> None:
    assert re.fullmatch(f"{slug}-[0-9a-f]{{8}}", derived_id(name, "x"))


def test_an_id_twice_is_named_with_both_positions() -> None:
    relations = [Relation(key, "a", "b") for key in ("x", "y", "x")]
    with pytest.raises(InvalidError, match=r"'x' is there twice, at items\.0 and items\.2") as caught:
        require_distinct(relations)
    assert caught.value.field == "items.2.id"


def test_the_catalogue_has_the_vectors_that_the_model_would_give(model: FakeRuntime) -> None:
    for shipped, made in zip(catalogue(model), encode(model, CATALOGUE_RELATIONS), strict=True):
        assert isinstance(made, Draft)
        assert (shipped.id, shipped.vector.tolist()) == (made.id, made.vector.tolist())


def test_further_wordings_turn_the_vector_to_their_mean(model: FakeRuntime) -> None:
    wordings = "The head was born in the tail.", "Ada Lovelace died in London."
    apart = encode(model, [Relation(key, "a", text) for key, text in zip("xy", wordings, strict=True)])
    [together] = encode(model, [Relation("x", "a", wordings[0], wordings[1:])])
    assert isinstance(together, Draft)
    total = np.sum([x.vector for x in apart if isinstance(x, Draft)], axis=0)
    np.testing.assert_allclose(together.vector, total / np.linalg.norm(total), atol=1e-6)
    assert together.relation.paraphrases == wordings[1:]


def test_the_paraphrase_at_fault_is_named(model: FakeRuntime) -> None:
    sound = CATALOGUE_RELATIONS[0]
    found, other = encode(model, [Relation("x", "", "born", ("died", "\u200b")), sound])
    assert isinstance(found, InputError)
    assert found.field == "paraphrases.1"
    assert isinstance(other, Draft)


def test_only_the_description_at_fault_is_refused(model: FakeRuntime) -> None:
    relations = [CATALOGUE_RELATIONS[0], Relation("x", "", "\u200b"), CATALOGUE_RELATIONS[1]]
    first, second, third = encode(model, relations)
    assert isinstance(first, Draft)
    assert isinstance(second, InputError)
    assert isinstance(third, Draft)
    assert (first.id, third.id) == ("P19", "P20")


def test_a_description_over_the_models_limit_is_marked(model: FakeRuntime) -> None:
    for relation in (Relation("x", "a", "born " * 100), Relation("x", "a", "born", ("born " * 100,))):
        [draft] = encode(model, [relation])
        assert isinstance(draft, Draft)
        assert draft.truncated
