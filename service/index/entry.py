"""What a search asks for and what it finds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """A relation as an extraction needs it.

    Attributes:
        id: of the relation.
        name: of it, too.
        description: the principal one, which the classifier reads.
        version: of the registry, since which it is as it is.
        tags: by which a search can be restricted.
        stamp: tells it from whatever else its id stood for; 64 bits.
    """

    id: str
    name: str
    description: str
    version: int
    tags: tuple[str, ...] = ()
    stamp: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """A recalled relation and the cosine of its description to the instance."""

    entry: Entry
    cosine: float


@dataclass(frozen=True, slots=True)
class Search:
    """One instance's search: how many relations, and what the only ones to consider are, if restricted.

    `restrict` are their ids; `tags` are those of which each has one at least.
    """

    k: int
    restrict: Collection[str] | None = None
    tags: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What one search found, best first, and the restricting ids and tags that are not there."""

    hits: list[Hit]
    unknown: list[str]
    unknown_tags: list[str] = field(default_factory=list)
