"""The registry: every write is one transaction with a version of its own, on disk before it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, update

from models.relation import Relation
from service.errors import ConflictError, NotFoundError, StartupError, named
from service.registry import tables
from service.registry.database import BUSY_MILLISECONDS, NAME, open_database, transaction
from service.registry.records import Draft, Page, Record, Stored, Written

CHUNK = 1_000
"""Rows that are in memory at once while the registry is read or encoded again."""

_STORED = np.dtype("<f4")
_RELATIONS = tables.relations
_RELATION = [_RELATIONS.c[name] for name in ("id", "name", "description", "paraphrases")]
_RECORD = [_RELATIONS.c[field.name] for field in fields(Record)]


class Registry:
    """The relations of one data directory. Safe to call from several threads; writes take turns."""

    def __init__(self, engine: Engine, fingerprint: str) -> None:
        self._engine = engine
        self.fingerprint = fingerprint

    @classmethod
    def open(
        cls,
        directory: Path,
        fingerprint: str,
        seed: Callable[[], Sequence[Draft]] = list,
        busy_milliseconds: int = BUSY_MILLISECONDS,
    ) -> Registry:
        """Open the registry of a directory, or make one.

        Args:
            directory: the data directory; has to exist.
            fingerprint: of the encoder that the vectors have to be from.
            seed: called for the relations of a registry that is new.
            busy_milliseconds: how long a write waits for another program that has the file locked.

        Raises:
            StartupError: the file cannot be used, or its vectors are another encoder's.
        """
        engine = open_database(directory / NAME, busy_milliseconds)
        try:
            with transaction(engine) as connection:
                found = connection.execute(select(tables.registry.c.fingerprint)).scalar_one_or_none()
                if found is None:
                    _found(connection, fingerprint, seed())
                elif found != fingerprint:
                    raise StartupError(
                        f"the registry in {directory} was made by encoder {found}, the bundle has encoder "
                        f"{fingerprint}, and their vectors cannot be compared: point EMMA_BUNDLE at the bundle that "
                        "made it, or EMMA_DATA_DIR at another directory, or run `emma relations reindex`"
                    )
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, fingerprint)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def add(self, drafts: Sequence[Draft]) -> list[Written]:
        """Register relations, all or none; one that is there already with the same content is left as it is.

        Raises:
            ConflictError: an id stands for a relation with other content.
            RegistryUnavailableError: nothing was written.
        """
        with self._write() as (connection, version):
            known = _live(connection, [draft.id for draft in drafts])
            taken = [x.id for x in drafts if x.id in known and not _same(x, known[x.id])]
            if taken:
                raise ConflictError(
                    f"registered already with another name, description or paraphrases: {named(taken)}; "
                    "PUT /relations/{id} replaces a relation",
                    "id" if len(drafts) == 1 else "items",
                )
            fresh = [draft for draft in drafts if draft.id not in known]
            added = self._put(connection, fresh, version) if fresh else {}
            if not fresh:
                connection.rollback()
        return [Written((known | added)[draft.id], draft.id in added) for draft in drafts]

    def replace(self, draft: Draft) -> Written:
        """Register a relation, in place of the one of the same id if there is one.

        Raises:
            RegistryUnavailableError: nothing was written.
        """
        with self._write() as (connection, version):
            known = _live(connection, [draft.id]).get(draft.id)
            if known is not None and _same(draft, known):
                connection.rollback()
                return Written(known, created=False)
            put = self._put(connection, [draft], version, known.created_at if known else None)
        return Written(put[draft.id], created=known is None)

    def delete(self, relation_id: str) -> None:
        """Delete a relation; a tombstone stays.

        Raises:
            NotFoundError: there is no such relation.
            RegistryUnavailableError: nothing was written.
        """
        with self._write() as (connection, version):
            if not _live(connection, [relation_id]):
                raise NotFoundError(_no_relation(relation_id), "relation_id")
            connection.execute(
                update(_RELATIONS)
                .where(_RELATIONS.c.id == relation_id)
                .values(deleted=True, vector=b"", version=version, updated_at=datetime.now(UTC))
            )

    def get(self, relation_id: str) -> Record:
        """One relation.

        Raises:
            NotFoundError: there is no such relation.
            RegistryUnavailableError: the registry cannot be read.
        """
        with transaction(self._engine) as connection:
            found = _live(connection, [relation_id])
        if not found:
            raise NotFoundError(_no_relation(relation_id), "relation_id")
        return found[relation_id]

    def page(self, after: str | None = None, limit: int = 100) -> Page:
        """Up to `limit` relations whose ids come after the given one.

        Raises:
            RegistryUnavailableError: the registry cannot be read.
        """
        wanted = select(*_RECORD).where(~_RELATIONS.c.deleted).order_by(_RELATIONS.c.id).limit(limit + 1)
        if after is not None:
            wanted = wanted.where(_RELATIONS.c.id > after)
        with transaction(self._engine) as connection:
            records = [Record(*row) for row in connection.execute(wanted)]
            total = connection.execute(select(func.count()).where(~_RELATIONS.c.deleted)).scalar_one()
        return Page(records[:limit], records[limit - 1].id if len(records) > limit else None, total)

    def changes(self, since: int = 0) -> Iterator[tuple[int, list[Stored]]]:
        """What was written after a version, in order, as (version that is then complete, rows).

        Raises:
            RegistryUnavailableError: the registry cannot be read.
        """
        columns = [*_RELATION, _RELATIONS.c.version, _RELATIONS.c.deleted, _RELATIONS.c.vector]
        wanted = select(*columns).where(_RELATIONS.c.version > since).order_by(_RELATIONS.c.version, _RELATIONS.c.id)
        with transaction(self._engine) as connection:
            version = connection.execute(select(tables.registry.c.version)).scalar_one()
            rows: list[Stored] = []
            for row in connection.execution_options(yield_per=CHUNK).execute(wanted):
                if len(rows) == CHUNK:
                    # A version may have rows on both sides of the cut, so only the ones before it are complete.
                    yield row.version - 1, rows
                    rows = []
                vector = None if row.deleted else np.frombuffer(row.vector, _STORED).astype(np.float32)
                relation = Relation(row.id, row.name, row.description, row.paraphrases)
                rows.append(Stored(relation, row.version, vector))
            yield version, rows

    @contextmanager
    def _write(self) -> Iterator[tuple[Connection, int]]:
        with transaction(self._engine) as connection:
            yield connection, _bump(connection)

    def _put(
        self, connection: Connection, drafts: Sequence[Draft], version: int, created_at: datetime | None = None
    ) -> dict[str, Record]:
        return _insert(connection, drafts, self.fingerprint, version, created_at)


def reindex(
    directory: Path,
    fingerprint: str,
    encode: Callable[[Sequence[Relation]], Sequence[Draft]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Encode every relation again, in one transaction; the number of relations.

    Args:
        directory: the data directory, which no service may be using.
        fingerprint: of the encoder that encodes.
        encode: makes drafts of up to `CHUNK` relations.
        progress: called with the number of relations that are done and the number there are.

    Raises:
        StartupError: there is no registry, or it cannot be opened.
        RegistryUnavailableError: the registry cannot be written; it is as it was.
    """
    if not (directory / NAME).is_file():
        raise StartupError(f"there is no registry in {directory}: nothing to encode again")
    engine = open_database(directory / NAME)
    statement = update(_RELATIONS).where(_RELATIONS.c.id == bindparam("row_id"))
    try:
        with transaction(engine) as connection:
            version = _bump(connection)
            connection.execute(update(tables.registry).values(fingerprint=fingerprint))
            live = select(*_RELATION).where(~_RELATIONS.c.deleted).order_by(_RELATIONS.c.id)
            relations = [Relation(*row) for row in connection.execute(live)]
            for start in range(0, len(relations), CHUNK):
                drafts = encode(relations[start : start + CHUNK])
                rows = [_row(draft, fingerprint, version) for draft in drafts]
                changed = ("truncated", "vector", "fingerprint", "version")
                connection.execute(
                    statement, [{"row_id": row["id"], **{name: row[name] for name in changed}} for row in rows]
                )
                progress(start + len(drafts), len(relations))
    finally:
        engine.dispose()
    return len(relations)


def _found(connection: Connection, fingerprint: str, drafts: Sequence[Draft]) -> None:
    version = 1 if drafts else 0
    connection.execute(
        insert(tables.registry).values(id=1, version=version, fingerprint=fingerprint, created_at=datetime.now(UTC))
    )
    if drafts:
        _insert(connection, drafts, fingerprint, version, None)


def _bump(connection: Connection) -> int:
    # The first statement of every write: it locks, so that versions are committed in their order.
    count = tables.registry.c.version
    return int(connection.execute(update(tables.registry).values(version=count + 1).returning(count)).scalar_one())


def _live(connection: Connection, ids: Sequence[str]) -> dict[str, Record]:
    wanted = select(*_RECORD).where(_RELATIONS.c.id.in_(ids), ~_RELATIONS.c.deleted)
    return {row.id: Record(*row) for row in connection.execute(wanted)}


def _same(draft: Draft, record: Record) -> bool:
    return (draft.name, draft.description, draft.paraphrases) == (record.name, record.description, record.paraphrases)


def _row(draft: Draft, fingerprint: str, version: int) -> dict[str, Any]:
    return {
        "id": draft.id,
        "name": draft.name,
        "description": draft.description,
        "paraphrases": draft.paraphrases,
        "truncated": draft.truncated,
        "vector": draft.vector.astype(_STORED).tobytes(),
        "fingerprint": fingerprint,
        "version": version,
        "deleted": False,
    }


def _insert(
    connection: Connection, drafts: Sequence[Draft], fingerprint: str, version: int, created_at: datetime | None
) -> dict[str, Record]:
    now = datetime.now(UTC)
    rows: list[Mapping[str, Any]] = [
        _row(draft, fingerprint, version) | {"created_at": created_at or now, "updated_at": now} for draft in drafts
    ]
    # What these ids stood for until now: tombstones, or the relation that is replaced.
    connection.execute(delete(_RELATIONS).where(_RELATIONS.c.id.in_([draft.id for draft in drafts])))
    connection.execute(insert(_RELATIONS), rows)
    return {
        x.id: Record(x.id, x.name, x.description, x.paraphrases, x.truncated, version, created_at or now, now)
        for x in drafts
    }


def _no_relation(relation_id: str) -> str:
    return f"there is no relation {relation_id!r}"
