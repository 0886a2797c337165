"""What happened to each relation: written with the change itself, never altered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from service.registry import tables
from service.registry.records import Action, Event, History

_TABLE = tables.history


def record(
    connection: Connection,
    version: int,
    at: datetime,
    actor: str | None,
    events: Mapping[str, tuple[Action, dict[str, Any] | None]],
) -> None:
    """Note what was done to relations in a version: by id, the action and the content after it, None if deleted."""
    rows = [
        {"relation_id": key, "version": version, "action": action, "actor": actor, "at": at, "content": content}
        for key, (action, content) in events.items()
    ]
    connection.execute(insert(_TABLE), rows)


def read(connection: Connection, relation_id: str, before: int | None, limit: int) -> History:
    """Up to `limit` events of a relation, the latest first, and only those of versions below `before` if given."""
    columns = [_TABLE.c[name] for name in ("version", "action", "actor", "at", "content")]
    wanted = select(*columns).where(_TABLE.c.relation_id == relation_id).order_by(_TABLE.c.version.desc())
    if before is not None:
        wanted = wanted.where(_TABLE.c.version < before)
    rows = connection.execute(wanted.limit(limit + 1)).all()
    events = [
        Event(row.version, row.action, row.actor, row.at, row.content, _changed(older, row))
        for row, older in zip_longest(rows, rows[1:])
    ][:limit]
    return History(events, events[-1].version if len(rows) > limit else None)


def _changed(older: Row[Any] | None, row: Row[Any]) -> tuple[str, ...]:
    before = (older.content if older else None) or {}
    # What is empty and what an older release did not know is the same.
    return tuple(name for name, value in (row.content or {}).items() if (before.get(name) or None) != (value or None))
