"""What requests and responses look like."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.relation import Relation
from models.text import Instance
from models.text import Span as TextSpan
from service.fields import (
    ANNOTATIONS,
    BATCH_INSTANCES,
    BATCH_RELATIONS,
    DESCRIPTION_CHARACTERS,
    NAME_CHARACTERS,
    PARAPHRASES,
    SENTENCE_CHARACTERS,
    TOP_K,
    VERSIONS,
    Description,
    Name,
    Names,
    Paraphrases,
    RelationId,
    RelationIds,
    Score,
    Tags,
)


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
    tags: Annotated[Tags, Field(min_length=1)] | None = Field(
        None, description="Tags of the only relations to choose from; each has one of them at least."
    )
    min_version: int = Field(
        0,
        ge=0,
        le=VERSIONS,
        strict=True,
        description="Least version of the registry to search, such as the `version` that a registration answered with; "
        "waited for a while, then 503.",
    )

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
    inverse: RelationId | None = Field(
        None, description="Id of the relation that holds when head and tail change places; it need not be there yet."
    )
    symmetric: bool = Field(False, strict=True, description="Whether it holds itself when head and tail change places.")
    head_types: Names = Field([], description="What the head can be; the model does not read it.")
    tail_types: Names = Field([], description="What the tail can be, likewise.")
    aliases: Names = Field([], description="Other names; the model does not read them, `paraphrases` it does.")
    tags: Tags = Field([], description="Words to choose relations by, in `/extract`.")

    def relation(self, relation_id: str) -> Relation:
        """The relation as it is registered."""
        return Relation(
            relation_id,
            self.name,
            self.description,
            paraphrases=tuple(self.paraphrases),
            inverse=self.inverse,
            symmetric=self.symmetric,
            head_types=tuple(self.head_types),
            tail_types=tuple(self.tail_types),
            aliases=tuple(self.aliases),
            tags=tuple(self.tags),
        )


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
    inverse: str | None
    symmetric: bool
    head_types: list[str]
    tail_types: list[str]
    aliases: list[str]
    tags: list[str]
    truncated: bool = Field(description="Whether the model reads only the beginning of one of its wordings.")
    version: int = Field(description="Version of the registry since which the relation is as it is.")
    created_at: datetime
    updated_at: datetime


class SimilarRelation(Schema):
    """Another relation and how near it is."""

    id: str
    name: str
    score: float = Field(description="Cosine of the two relations' vectors; at 1 recall cannot tell them apart.")


class RegisteredRelation(RelationRecord):
    """A relation that was registered just now, and which others it may be taken for."""

    similar: list[SimilarRelation] = Field(description="The nearest of the relations that were there, best first.")


class RelationPage(Schema):
    """Some of the relations, ordered by id."""

    items: list[RelationRecord]
    next_cursor: str | None = Field(description="Ask with it for what follows; null at the end.")
    total: int = Field(description="Relations there are in all.")


class RelationEvent(Schema):
    """Something that was done to a relation."""

    version: int = Field(description="Version of the registry that it made.")
    action: Literal["created", "replaced", "deleted"]
    actor: str | None = Field(description="Id of the API key that it was done with; null where none was asked for.")
    at: datetime
    content: dict[str, Any] | None = Field(description="The relation from then on; null where it was deleted.")
    changed: list[str] = Field(description="Fields of the content that are not as they were before.")


class RelationHistory(Schema):
    """What was done to a relation, the latest first."""

    items: list[RelationEvent]
    next_cursor: int | None = Field(description="Ask with it for what was before; null at the end.")


class RelationBatch(Schema):
    """Relations to register together: all of them or none."""

    items: list[RelationInput] = Field(min_length=1, max_length=BATCH_RELATIONS)
    replace: bool = Field(
        False, strict=True, description="Put a relation in place of one of the same id that has other content."
    )


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
    annotations: int = ANNOTATIONS
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
    index: str = Field(
        description="How they are searched: `flat` compares all of them exactly, any other name is approximate.",
        examples=["flat"],
    )
    limits: Limits
    training: dict[str, Any]
    scores: dict[str, Any]
