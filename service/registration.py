"""Registering relations: encode, write to the registry, bring the index up to date, in this order."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, cast

import numpy as np
import structlog
from anyio import to_thread

from models.relation import Relation
from models.text import DescriptionInput, InputError
from models.wordings import mean_directions, worded_apart
from service.batching import Batcher, one_by_one
from service.errors import InvalidError, RegistryUnavailableError
from service.extraction import Model, within
from service.index import Entry, Hit, RelationIndex, Search
from service.registry import Draft, History, Once, Page, Record, Registry, Stored, Vector, Written

Value = TypeVar("Value")

log = structlog.get_logger("service")

ID_CHARACTERS = 128
SIMILAR = 3
"""How many of the nearest relations a registration answers with."""


def derived_id(name: str, description: str) -> str:
    """The id of a relation that was given none: the same two texts give the same id.

    >>> derived_id("place of birth", "The head was born in the tail.")
    'place-of-birth-cb0d8f38'
    """
    digest = hashlib.sha256(f"{name}\n{description}".encode()).hexdigest()[:8]
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub("[^a-z0-9]+", "-", plain).strip("-")[: ID_CHARACTERS - len(digest) - 1].strip("-")
    return f"{slug or 'relation'}-{digest}"


def require_distinct(relations: Sequence[Relation]) -> None:
    """Check that no id is there twice.

    Raises:
        InvalidError: one is; the message names it and both positions.
    """
    positions: dict[str, int] = {}
    for position, relation in enumerate(relations):
        first = positions.setdefault(relation.id, position)
        if first != position:
            raise InvalidError(
                f"the id {relation.id!r} is there twice, at items.{first} and items.{position}: "
                "give each relation once",
                f"items.{position}.id",
            )


def encode(model: Model, relations: Sequence[Relation]) -> list[Draft | Exception]:
    """Relations with their vectors, ready to be written; an `InputError` in place of one that is unreadable."""
    described = iter(one_by_one(model.describe, [x for relation in relations for x in worded_apart(relation)]))
    read = [_all_read(list(islice(described, len(relation.wordings())))) for relation in relations]
    sound = [inputs for inputs in read if not isinstance(inputs, Exception)]
    vectors: Iterator[Vector] = iter(())
    if sound:
        flat = model.encode_descriptions([x for inputs in sound for x in inputs])
        vectors = iter(mean_directions(flat, [len(inputs) for inputs in sound]))
    return [
        inputs if isinstance(inputs, Exception) else _draft(relation, inputs, next(vectors))
        for relation, inputs in zip(relations, read, strict=True)
    ]


def catalogue(model: Model) -> list[Draft]:
    """The relations that come with the bundle, with the vectors that come with it."""
    vectors = model.bundle.vectors()
    return [
        _draft(relation, model.describe(worded_apart(relation)), vector)
        for relation, vector in zip(model.bundle.relations(), vectors, strict=True)
    ]


def _draft(relation: Relation, inputs: Sequence[DescriptionInput], vector: Vector) -> Draft:
    truncated = any(x.truncated for x in inputs)
    return Draft(relation, truncated, vector)


def _all_read(wordings: Sequence[DescriptionInput | Exception]) -> list[DescriptionInput] | Exception:
    """The wordings, the description first, or the first one's fault, its field named."""
    for position, item in enumerate(wordings):
        if isinstance(item, InputError) and position:
            return InputError(f"paraphrases.{position - 1}", item.message)
        if isinstance(item, Exception):
            return item
    return [x for x in wordings if isinstance(x, DescriptionInput)]


def entries(relations: Sequence[Relation], version: int) -> list[Entry]:
    """Relations that are in no registry, as the index holds them."""
    return [Entry(x.id, x.name, x.description, version, x.tags) for x in relations]


def restore(registry: Registry, index: RelationIndex) -> None:
    """Begin with what an earlier process kept of the index, if it is of this registry; `synchronise` does the rest.

    Raises:
        RegistryUnavailableError: the registry cannot be read.
    """
    cached = index.cached()
    if cached is None:
        return
    try:
        restored = index.restore(cached, map(_entries, registry.unchanged(cached.version)))
        reason = None if restored else "the registry has relations of its version that it has not"
    except RegistryUnavailableError as error:
        # A registry that was put back is read anew below; one that cannot be read fails there, too.
        reason = error.message
    if reason is not None:
        log.warning("kept index not used", reason=reason, effect="it is made again in the background")


def synchronise(registry: Registry, index: RelationIndex) -> None:
    """Apply to the index what the registry has and it has not.

    Raises:
        RegistryUnavailableError: the registry cannot be read; the next call makes up for it.
    """
    for version, rows in registry.changes(since=index.version):
        live = [row for row in rows if row.vector is not None]
        vectors = np.array([row.vector for row in live], dtype=np.float32).reshape(len(live), index.dimension)
        gone = [row.id for row in rows if row.vector is None]
        index.apply(_entries(live), vectors, gone, version)


def _entries(rows: Sequence[Stored]) -> list[Entry]:
    return [Entry(x.id, x.name, x.description, x.version, x.tags, x.stamp) for x in rows]


class Registrar:
    """Changes relations, so that what returns is durable and in the index.

    A write that fails half-way, after the registry has it and before the index has, is made good by the next
    one; to repeat it is always safe.
    """

    def __init__(
        self,
        registry: Registry,
        index: RelationIndex,
        require_reachable: Callable[[], None],
        catch_up: Callable[[], None],
        encoder: Batcher[Relation, Draft],
        writer: Batcher[Callable[[], Any], Any],
    ) -> None:
        """Take what it works with.

        Args:
            registry: the truth.
            index: its cache.
            require_reachable: raises `RegistryUnavailableError` where to try to write is known to be in vain.
            catch_up: brings the index up to it.
            encoder: does `encode`.
            writer: runs one function after the other, so that the index sees versions in order.
        """
        self._registry = registry
        self._index = index
        self._require_reachable = require_reachable
        self._catch_up = catch_up
        self._encoder = encoder
        self._writer = writer

    async def add(
        self, relations: Sequence[Relation], actor: str | None = None, once: Once | None = None, replace: bool = False
    ) -> list[Written]:
        """Register relations, all or none; one that is there already with the same content is left as it is.

        Args:
            relations: to be registered.
            actor: who does it, for the history.
            once: what makes a repetition of the request answer as the first did, and do nothing.
            replace: whether to put a relation in place of one of the same id that has other content.

        Raises:
            InvalidError: an id is there twice, or the key of `once` came with another request before.
            InputError: a description is unreadable.
            ConflictError: an id stands for a relation with other content, which is not to be replaced.
            ServiceError: see `Batcher.submit` and `Registry`.
        """
        require_distinct(relations)
        drafts = await self._encode(relations)
        return await self._write(lambda: self._registry.add(drafts, actor, once, replace))

    async def register(
        self, relation: Relation, actor: str | None = None, once: Once | None = None, replace: bool = False
    ) -> tuple[Written, list[Hit]]:
        """Do as `add` with one relation; also the nearest of those that were there, best first, without itself."""
        [draft] = await self._encode([relation])
        similar = await to_thread.run_sync(self._similar, draft)
        [written] = await self._write(lambda: self._registry.add([draft], actor, once, replace))
        return written, similar

    async def delete(self, key: str, actor: str | None = None) -> None:
        """Delete a relation.

        Raises:
            NotFoundError: there is no such relation.
            ServiceError: see `Batcher.submit` and `Registry`.
        """
        await self._write(lambda: self._registry.delete(key, actor))

    async def get(self, key: str) -> Record:
        """One relation; fails as `Registry.get` does."""
        return await to_thread.run_sync(self._registry.get, key)

    async def history(self, key: str, before: int | None, limit: int) -> History:
        """What was done to a relation; fails as `Registry.history` does."""
        return await to_thread.run_sync(self._registry.history, key, before, limit)

    async def page(self, after: str | None, limit: int) -> Page:
        """Some relations; fails as `Registry.page` does."""
        return await to_thread.run_sync(self._registry.page, after, limit)

    def _similar(self, draft: Draft) -> list[Hit]:
        # One more, because the relation may be there itself.
        _, [found] = self._index.search(draft.vector[None], [Search(SIMILAR + 1)])
        return [hit for hit in found.hits if hit.entry.id != draft.id][:SIMILAR]

    async def _encode(self, relations: Sequence[Relation]) -> list[Draft]:
        drafts: list[Draft] = []
        for position, draft in enumerate(await self._encoder.submit(relations)):
            if isinstance(draft, Exception):
                raise draft if len(relations) == 1 else within(position, draft)
            drafts.append(draft)
        return drafts

    async def _write(self, change: Callable[[], Value]) -> Value:
        def write() -> Value:
            self._require_reachable()
            outcome = change()
            self._catch_up()
            return outcome

        [outcome] = await self._writer.submit([write])
        return cast(Value, outcome)
