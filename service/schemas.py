"""What requests and responses look like."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from models.relation import Relation
from models.text import Instance
from models.text import Span as TextSpan

SENTENCE_CHARACTERS = 20_000
NAME_CHARACTERS = 200
DESCRIPTION_CHARACTERS = 5_000
PARAPHRASES = 10
BATCH_INSTANCES = 256
BATCH_RELATIONS = 1_000
PAGE_RELATIONS = 1_000
TOP_K = 50
RESTRICTION = 1_000
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
RelationIds = Annotated[
    list[RelationId],
    Field(min_length=1, max_length=RESTRICTION, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_unique),
]
Score = Annotated[float, Field(ge=0, le=1, description="Calibrated probability that this is the relation.")]


class Schema(BaseModel):
    """A request or response; a field that is not in it is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(Schema):
    """A mention: character offsets into the sentence in Unicode code points."""

    start: int = Field(ge=0, strict=True, description="Offset of the first character.", examples=[0])
    end: int = Field(ge=0, strict=True, description="Offset behind the last character.", examples=[12])


class ExtractRequest(Schema):
    """A sentence with its two mentions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sentence": "Ada Lovelace was born in London.",
                    "head": {"start": 0, "end": 12},
                    "tail": {"start": 25, "end": 31},
                }
            ]
        }
    )

    sentence: str = Field(min_length=1, max_length=SENTENCE_CHARACTERS)
    head: Span
    tail: Span
    top_k: int = Field(3, ge=1, le=TOP_K, strict=True, description="Candidates to answer with.")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        strict=True,
        allow_inf_nan=False,
        description="Score below which the relation is null; the bundle's own when not given.",
    )
    relations: RelationIds | None = Field(None, description="Ids of the only relations to choose from.")

    def instance(self) -> Instance:
        """The sentence as the model reads it.

        Raises:
            models.text.InputError: a span does not fit the sentence or the other span.
        """
        return Instance(
            self.sentence, TextSpan(self.head.start, self.head.end), TextSpan(self.tail.start, self.tail.end)
        )


class Candidate(Schema):
    """A relation and how sure the model is of it."""

    id: str
    name: str
    score: Score


class ExtractResponse(Schema):
    """The relation of the two mentions, or null where none is sure enough."""

    relation: Candidate | None
    candidates: list[Candidate] = Field(description="Best first.")
    truncated: bool = Field(description="Whether the sentence was cut to the model's limit.")
    registry_version: int = Field(description="The version of the registry that was searched.")
    model: str = Field(description="Name of the bundle.")


class ExtractBatchRequest(Schema):
    """Several sentences."""

    items: list[ExtractRequest] = Field(min_length=1, max_length=BATCH_INSTANCES)


class ExtractBatchResponse(Schema):
    """The answers, in the order of the sentences."""

    results: list[ExtractResponse]


class RelationUpdate(Schema):
    """What a relation is called and what it means."""

    name: Name
    description: Description
    paraphrases: Paraphrases = []

    def relation(self, relation_id: str) -> Relation:
        """The relation as the model reads it."""
        return Relation(relation_id, self.name, self.description, tuple(self.paraphrases))


class RelationInput(RelationUpdate):
    """A relation to register."""

    id: RelationId | None = Field(
        None, description="When not given, made from the name and the description: the same two give the same id."
    )


class RelationRecord(Schema):
    """A registered relation."""

    id: str
    name: str
    description: str
    paraphrases: list[str]
    truncated: bool = Field(description="Whether the model reads only the beginning of one of its wordings.")
    version: int = Field(description="Version of the registry since which the relation is as it is.")
    created_at: datetime
    updated_at: datetime


class RelationPage(Schema):
    """Some of the relations, ordered by id."""

    items: list[RelationRecord]
    next_cursor: str | None = Field(description="Ask with it for what follows; null at the end.")
    total: int = Field(description="Relations there are in all.")


class RelationBatch(Schema):
    """Relations to register together: all of them or none."""

    items: list[RelationInput] = Field(min_length=1, max_length=BATCH_RELATIONS)


class RelationBatchResponse(Schema):
    """The relations as they are registered now, in the order of the request."""

    items: list[RelationRecord]
    created: int = Field(description="How many of them are new.")


class Health(Schema):
    """Whether the process lives or serves."""

    status: str = Field(examples=["ok"])


class Limits(Schema):
    """What a request may be at most."""

    sentence_characters: int = SENTENCE_CHARACTERS
    name_characters: int = NAME_CHARACTERS
    description_characters: int = DESCRIPTION_CHARACTERS
    paraphrases: int = PARAPHRASES
    batch_instances: int = BATCH_INSTANCES
    batch_relations: int = BATCH_RELATIONS
    top_k: int = TOP_K
    body_bytes: int
    sentence_tokens: int
    description_tokens: int


class Info(Schema):
    """What is served."""

    version: str = Field(description="Version of the service.")
    model: str = Field(description="Name of the bundle.")
    created: str = Field(description="When the bundle was made.")
    precision: str
    fingerprint: str = Field(description="Identity of the encoder.")
    dimension: int
    candidates: int = Field(description="Relations that the classifier reads for each sentence, at least.")
    threshold: float = Field(description="Score below which the relation is null, unless the request says otherwise.")
    relations: int = Field(description="Relations that are registered.")
    registry_version: int
    limits: Limits
    training: dict[str, Any]
    scores: dict[str, Any]
