"""What a field of a request may be: its limits, its form, and why it is refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Sequence
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

SENTENCE_CHARACTERS = 20_000
NAME_CHARACTERS = 200
DESCRIPTION_CHARACTERS = 5_000
PARAPHRASES = 10
BATCH_INSTANCES = 256
BATCH_RELATIONS = 1_000
PAGE_RELATIONS = 1_000
TOP_K = 50
RESTRICTION = 1_000
ANNOTATIONS = 20
"""Aliases, tags, and types of head and of tail that a relation may have, of each."""

VERSIONS = 2**31 - 1
"""The last version that the registry can have."""

TAG_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"

Item = TypeVar("Item", bound=Hashable)


def _readable(text: str) -> str:
    """Strip, and refuse what has nothing to read in it or cannot be stored."""
    if "\0" in text:
        raise ValueError(f"character {text.index(chr(0))} is NUL, which cannot be stored")
    text = text.strip()
    if all(unicodedata.category(character)[0] in "CZ" for character in text):
        raise ValueError("is empty or has no readable character")
    return text


def _unique(items: Sequence[Item]) -> Sequence[Item]:
    if len(set(items)) < len(items):
        seen: set[Item] = set()
        twice = next(item for item in items if item in seen or seen.add(item))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} is there twice")
    return items


# Half of a surrogate pair, which JSON can spell and no encoding can write, is refused by every constraint below.
RelationId = Annotated[str, Field(pattern=ID_PATTERN, examples=["P19"])]
Name = Annotated[
    str,
    Field(min_length=1, max_length=NAME_CHARACTERS, examples=["place of birth"]),
    AfterValidator(_readable),
]
Description = Annotated[
    str,
    Field(
        min_length=1,
        max_length=DESCRIPTION_CHARACTERS,
        description="One or two sentences that say what the head is, what the tail is, and how they relate.",
        examples=["The head is a person who was born in the tail, a town, region or country."],
    ),
    AfterValidator(_readable),
]
Paraphrases = Annotated[
    list[Description],
    Field(
        max_length=PARAPHRASES,
        description="Further wordings of the description; recall looks for what all of them have in common.",
        json_schema_extra={"uniqueItems": True},
    ),
    AfterValidator(_unique),
]
Names = Annotated[
    list[Name], Field(max_length=ANNOTATIONS, json_schema_extra={"uniqueItems": True}), AfterValidator(_unique)
]
Tag = Annotated[str, Field(pattern=TAG_PATTERN, examples=["geography"])]
Tags = Annotated[
    list[Tag], Field(max_length=ANNOTATIONS, json_schema_extra={"uniqueItems": True}), AfterValidator(_unique)
]
RelationIds = Annotated[
    list[RelationId],
    Field(min_length=1, max_length=RESTRICTION, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_unique),
]
Score = Annotated[float, Field(ge=0, le=1, description="Calibrated probability that this is the relation.")]
