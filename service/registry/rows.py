"""Rows and what they stand for: relations read, compared and written within a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, insert, select, update

from service.errors import RegistryUnavailableError
from service.registry import history, tables
from service.registry.notifications import notify
from service.registry.records import Action, Draft, Record

STORED = np.dtype("<f4")
RELATIONS = tables.relations
RELATION = [RELATIONS.c[name] for name in ("id", "name", "description", "paraphrases")]
RECORD = [RELATIONS.c[field.name] for field in fields(Record)]


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


def live(connection: Connection, ids: Sequence[str]) -> dict[str, Record]:
    """Those of the relations that are there and not deleted."""
    wanted = select(*RECORD).where(RELATIONS.c.id.in_(list(filter(possible, ids))), ~RELATIONS.c.deleted)
    return {row.id: Record(*row) for row in connection.execute(wanted)}


def content(relation: Draft | Record) -> dict[str, Any]:
    """What a client says of a relation, by field."""
    return {
        "name": relation.name,
        "description": relation.description,
        "paraphrases": list(relation.paraphrases),
    }


def same(draft: Draft, record: Record) -> bool:
    """Whether to write the draft would change nothing."""
    return content(draft) == content(record)


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
            **content(draft),
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
        draft.id: ("replaced" if draft.id in created else "created", content(draft)) for draft in drafts
    }
    history.record(connection, version, now, actor, events)
    return {
        x.id: Record(x.id, x.name, x.description, x.paraphrases, x.truncated, version, created.get(x.id, now), now)
        for x in drafts
    }


def bury(connection: Connection, relation_id: str, version: int, actor: str | None = None) -> None:
    """Leave a tombstone in place of a relation."""
    now = datetime.now(UTC)
    tombstone = update(RELATIONS).values(deleted=True, vector=b"", version=version, updated_at=now)
    connection.execute(tombstone.where(RELATIONS.c.id == relation_id))
    history.record(connection, version, now, actor, {relation_id: ("deleted", None)})
