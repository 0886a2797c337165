from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from service import fields


@pytest.mark.parametrize("tag", ["a", "Geography", "v1.2", "wikidata:person", "x" * 64])
def test_a_tag_is_a_word_that_fits_a_url(tag: str) -> None:
    assert TypeAdapter(fields.Tags).validate_python([tag]) == [tag]


@pytest.mark.parametrize("tag", ["", " ", "two words", "-a", "é", "x" * 65])
def test_anything_else_is_no_tag(tag: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(fields.Tags).validate_python([tag])


@pytest.mark.parametrize("kind", [fields.Tags, fields.Names, fields.Paraphrases, fields.RelationIds])
def test_what_is_there_twice_is_named(kind: Any) -> None:
    with pytest.raises(ValidationError, match="'a' is there twice"):
        TypeAdapter(kind).validate_python(["b", "a", "a"])


def test_a_name_that_differs_only_in_white_space_is_the_same() -> None:
    with pytest.raises(ValidationError, match="'a' is there twice"):
        TypeAdapter(fields.Names).validate_python(["a", " a "])
