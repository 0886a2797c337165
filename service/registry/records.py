"""What goes into the registry and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.relation import Relation

Vector = npt.NDArray[np.float32]
Action = Literal["created", "replaced", "deleted"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A relation to be written.

    Attributes:
        relation: what a client says of it.
        truncated: whether the model reads only the beginning of one of its wordings.
        vector: of all wordings together.
    """

    relation: Relation
    truncated: bool
    vector: Vector

    @property
    def id(self) -> str:
        """The relation's id."""
        return self.relation.id


@dataclass(frozen=True, slots=True)
class Record:
    """A registered relation; `version` is the registry's since which it is as it is."""

    relation: Relation
    truncated: bool
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def id(self) -> str:
        """The relation's id."""
        return self.relation.id


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write: the relation as it is now, and whether it is new."""

    record: Record
    created: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as the index needs it, and no more of it, because a million are read at a start.

    Attributes:
        id: of the relation.
        name: of it, too.
        description: the principal one.
        tags: that it has.
        version: of the registry since which it is as it is.
        stamp: 64 bits that tell it, as it is, from what else its id stood for in this registry or a copy of it.
        vector: None where the relation was deleted, or where vectors were not asked for.
    """

    id: str
    name: str
    description: str
    tags: tuple[str, ...]
    version: int
    stamp: int
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class Page:
    """Relations in the order of their ids, the id to go on from (None at the end), and how many there are."""

    records: list[Record]
    next_cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class Once:
    """A key that makes a request take effect once, and a digest of that request."""

    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done to a relation.

    Attributes:
        version: of the registry that it made.
        action: what was done.
        actor: who did it, None where that is not known.
        at: when.
        content: the relation from then on, by field; None where it was deleted.
        changed: the fields that are not as they were before.
    """

    version: int
    action: Action
    actor: str | None
    at: datetime
    content: dict[str, Any] | None
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class History:
    """Events of one relation, the latest first, and the version to go on from (None at the end)."""

    events: list[Event]
    next_cursor: int | None
