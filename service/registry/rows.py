"""Rows and what they stand for: relations read, compared and written within a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, delete, insert, select, update

from models.relation import Relation
from service.errors import RegistryUnavailableError
from service.registry import history, tables
from service.registry.notifications import notify
from service.registry.records import Action, Draft, Record

STORED = np.dtype("<f4")
RELATIONS = tables.relations
RELATION = [RELATIONS.c[field.name] for field in fields(Relation)]
RECORD = [*RELATION, *(RELATIONS.c[name] for name in ("truncated", "version", "created_at", "updated_at"))]


def bump(connection: Connection) -> tuple[int, str]:
    """Raise the registry's version and tell others of it; the new one, and the fingerprint of the encoder.

    The first statement of every write: it locks the row, so that versions are committed in their order.
    """
    registry = tables.registry.c
    raised = update(tables.registry).values(version=registry.version + 1)
    row = connection.execute(raised.returning(registry.version, registry.fingerprint)).one()
    notify(connection, str(row.version))
    return row.version, row.fingerprint


def require_fingerprint(found: str, fingerprint: str) -> None:
    """Check that vectors in the registry are comparable with this process's.

    Raises:
        RegistryUnavailableError: they were encoded again, for another bundle, while this process ran.
    """
    if found != fingerprint:
        raise RegistryUnavailableError(
            f"the registry was encoded again with encoder {found}, this process has encoder {fingerprint}: "
            "start it again with the bundle of that encoder"
        )


def possible(relation_id: str) -> bool:
    """Whether the id can be asked for.

    PostgreSQL takes neither NUL nor half of a surrogate pair, not even to say that no row has it.
    """
    return relation_id.isascii() and relation_id.isprintable()


def relation(row: Row[Any]) -> Relation:
    """The relation of a row that begins with the columns `RELATION`."""
    return Relation(*row[: len(RELATION)])


def record(row: Row[Any]) -> Record:
    """The record of a row with the columns `RECORD`."""
    return Record(relation(row), *row[len(RELATION) :])


def live(connection: Connection, ids: Sequence[str]) -> dict[str, Record]:
    """Those of the relations that are there and not deleted."""
    wanted = select(*RECORD).where(RELATIONS.c.id.in_(list(filter(possible, ids))), ~RELATIONS.c.deleted)
    return {row.id: record(row) for row in connection.execute(wanted)}


def content(relation: Relation) -> dict[str, Any]:
    """What a client says of a relation besides its id, by field, as JSON has it."""
    values = ((field.name, getattr(relation, field.name)) for field in fields(Relation) if field.name != "id")
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values}


def encoded(draft: Draft, fingerprint: str, version: int) -> dict[str, Any]:
    """The columns that depend on the encoder."""
    return {
        "truncated": draft.truncated,
        "vector": draft.vector.astype(STORED).tobytes(),
        "fingerprint": fingerprint,
        "version": version,
    }


def put(
    connection: Connection, drafts: Sequence[Draft], fingerprint: str, version: int, actor: str | None = None
) -> dict[str, Record]:
    """Write relations, each in place of what its id stands for; one that is replaced keeps the time of its making."""
    now = datetime.now(UTC)
    ids = [draft.id for draft in drafts]
    created = {key: record.created_at for key, record in live(connection, ids).items()}
    values: list[Mapping[str, Any]] = [
        {
            "id": draft.id,
            **content(draft.relation),
            "deleted": False,
            "created_at": created.get(draft.id, now),
            "updated_at": now,
            **encoded(draft, fingerprint, version),
        }
        for draft in drafts
    ]
    # What these ids stand for until now: tombstones, or the relation that is replaced.
    connection.execute(delete(RELATIONS).where(RELATIONS.c.id.in_(ids)))
    connection.execute(insert(RELATIONS), values)
    events: dict[str, tuple[Action, dict[str, Any] | None]] = {
        draft.id: ("replaced" if draft.id in created else "created", content(draft.relation)) for draft in drafts
    }
    history.record(connection, version, now, actor, events)
    return {x.id: Record(x.relation, x.truncated, version, created.get(x.id, now), now) for x in drafts}


def bury(connection: Connection, relation_id: str, version: int, actor: str | None = None) -> None:
    """Leave a tombstone in place of a relation."""
    now = datetime.now(UTC)
    tombstone = update(RELATIONS).values(deleted=True, vector=b"", version=version, updated_at=now)
    connection.execute(tombstone.where(RELATIONS.c.id == relation_id))
    history.record(connection, version, now, actor, {relation_id: ("deleted", None)})
