from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from models.text import InputError
from service import schemas
from tests.service.fakes import REQUEST


def faults(schema: type[schemas.Schema], content: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        schema.model_validate(content)
    return [(".".join(map(str, fault["loc"])), fault["type"]) for fault in caught.value.errors()]


@pytest.mark.parametrize("offset", ["3", True, 3.0, None, [3]])
def test_an_offset_that_is_no_integer_is_refused(offset: object) -> None:
    [(field, _)] = faults(schemas.ExtractRequest, REQUEST | {"head": {"start": offset, "end": 12}})
    assert field == "head.start"


@pytest.mark.parametrize("threshold", ["0.5", True, float("nan"), float("inf"), -0.1, 1.1])
def test_a_threshold_that_is_no_probability_is_refused(threshold: object) -> None:
    [(field, _)] = faults(schemas.ExtractRequest, REQUEST | {"threshold": threshold})
    assert field == "threshold"


@pytest.mark.parametrize("threshold", [0, 1, 0.5, None])
def test_a_probability_is_a_threshold(threshold: float | None) -> None:
    assert schemas.ExtractRequest.model_validate(REQUEST | {"threshold": threshold}).threshold == threshold


@pytest.mark.parametrize("top_k", [0, 51, 2.0, "3", True])
def test_top_k_is_an_integer_from_1_to_50(top_k: object) -> None:
    [(field, _)] = faults(schemas.ExtractRequest, REQUEST | {"top_k": top_k})
    assert field == "top_k"


@pytest.mark.parametrize(
    ("relations", "field"), [([], "relations"), (["a", "a"], "relations"), (["a", "b c"], "relations.1")]
)
def test_restricting_ids_are_some_distinct_and_well_formed_ones(relations: list[str], field: str) -> None:
    assert [found for found, _ in faults(schemas.ExtractRequest, REQUEST | {"relations": relations})] == [field]


def test_a_repeated_restricting_id_is_named() -> None:
    with pytest.raises(ValidationError, match="'a' is there twice"):
        schemas.ExtractRequest.model_validate(REQUEST | {"relations": ["b", "a", "a"]})


def test_a_field_that_is_not_known_is_refused() -> None:
    assert faults(schemas.ExtractRequest, REQUEST | {"topk": 3}) == [("topk", "extra_forbidden")]


@pytest.mark.parametrize("text", ["", " \n\t ", "\u200b\u200b", "\u2028"])
@pytest.mark.parametrize("field", ["name", "description"])
def test_a_name_or_description_with_nothing_to_read_is_refused(field: str, text: str) -> None:
    [(found, _)] = faults(schemas.RelationInput, {"name": "a", "description": "b"} | {field: text})
    assert found == field


@pytest.mark.parametrize("field", ["name", "description"])
def test_nul_is_refused_where_it_would_be_stored(field: str) -> None:
    [(found, _)] = faults(schemas.RelationInput, {"name": "a", "description": "b"} | {field: "a\0b"})
    assert found == field


@pytest.mark.parametrize(
    ("schema", "content", "field"),
    [
        (schemas.ExtractRequest, REQUEST | {"sentence": "a \ud800 b"}, "sentence"),
        (schemas.ExtractRequest, REQUEST | {"relations": ["\ud800"]}, "relations.0"),
        (schemas.RelationInput, {"name": "\udfff", "description": "b"}, "name"),
        (schemas.RelationInput, {"name": "a", "description": "\udfff"}, "description"),
        (schemas.RelationInput, {"id": "\udfff", "name": "a", "description": "b"}, "id"),
    ],
)
def test_half_a_surrogate_pair_is_refused_in_every_text(
    schema: type[schemas.Schema], content: dict[str, Any], field: str
) -> None:
    assert [found for found, _ in faults(schema, content)] == [field]


def test_white_space_around_a_name_and_description_does_not_count() -> None:
    relation = schemas.RelationInput(name=" a ", description="\nb\t", id=None)
    assert (relation.name, relation.description) == ("a", "b")


@pytest.mark.parametrize("key", ["", ".a", "a b", "a/b", "é", "a\n", "x" * 129])
def test_an_id_that_does_not_fit_a_path_is_refused(key: str) -> None:
    assert [field for field, _ in faults(schemas.RelationInput, {"id": key, "name": "a", "description": "b"})] == ["id"]


@pytest.mark.parametrize("key", ["P19", "per:city_of_birth", "a.b-c", "x" * 128])
def test_ids_of_the_known_corpora_are_taken(key: str) -> None:
    assert schemas.RelationInput(id=key, name="a", description="b").id == key


def test_a_request_becomes_the_instance_that_the_model_reads() -> None:
    instance = schemas.ExtractRequest.model_validate(REQUEST).instance()
    assert instance.sentence[instance.tail.start : instance.tail.end] == "London"


def test_a_span_that_does_not_fit_is_found_when_the_instance_is_made() -> None:
    request = schemas.ExtractRequest.model_validate(REQUEST | {"tail": {"start": 0, "end": 99}})
    with pytest.raises(InputError, match="does not lie in the sentence of 32 characters"):
        request.instance()
