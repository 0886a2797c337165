"""Rows and what they stand for: relations read, compared and written within a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, insert, select, update

from service.errors import RegistryUnavailableError
from service.registry import tables
from service.registry.notifications import notify
from service.registry.records import Draft, Record

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


def live(connection: Connection, ids: Sequence[str]) -> dict[str, Record]:
    """Those of the relations that are there and not deleted."""
    # PostgreSQL takes neither NUL nor half of a surrogate pair, not even to say that no row has it.
    possible = [key for key in ids if key.isascii() and key.isprintable()]
    wanted = select(*RECORD).where(RELATIONS.c.id.in_(possible), ~RELATIONS.c.deleted)
    return {row.id: Record(*row) for row in connection.execute(wanted)}


def same(draft: Draft, record: Record) -> bool:
    """Whether to write the draft would change nothing."""
    return (draft.name, draft.description, draft.paraphrases) == (record.name, record.description, record.paraphrases)


def encoded(draft: Draft, fingerprint: str, version: int) -> dict[str, Any]:
    """The columns that depend on the encoder."""
    return {
        "truncated": draft.truncated,
        "vector": draft.vector.astype(STORED).tobytes(),
        "fingerprint": fingerprint,
        "version": version,
    }


def put(
    connection: Connection,
    drafts: Sequence[Draft],
    fingerprint: str,
    version: int,
    created_at: datetime | None = None,
) -> dict[str, Record]:
    """Write relations, each in place of what its id stood for; `created_at` is now where it is None."""
    now = datetime.now(UTC)
    rows: list[Mapping[str, Any]] = [
        {
            "id": draft.id,
            "name": draft.name,
            "description": draft.description,
            "paraphrases": draft.paraphrases,
            "deleted": False,
            "created_at": created_at or now,
            "updated_at": now,
            **encoded(draft, fingerprint, version),
        }
        for draft in drafts
    ]
    # What these ids stood for until now: tombstones, or the relation that is replaced.
    connection.execute(delete(RELATIONS).where(RELATIONS.c.id.in_([draft.id for draft in drafts])))
    connection.execute(insert(RELATIONS), rows)
    return {
        x.id: Record(x.id, x.name, x.description, x.paraphrases, x.truncated, version, created_at or now, now)
        for x in drafts
    }
