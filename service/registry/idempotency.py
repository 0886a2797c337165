"""Answers to requests that carry a key, kept with what they did, so that a repetition does nothing again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter
from sqlalchemy import Connection, delete, insert, select

from service.errors import InvalidError
from service.registry import tables
from service.registry.records import Once, Written

KEPT = timedelta(hours=24)

_TABLE = tables.idempotency
_ANSWER = TypeAdapter(list[Written])


def answered(connection: Connection, once: Once) -> list[Written] | None:
    """What the request was answered before, None where it was not.

    Raises:
        InvalidError: the key came with another request before.
    """
    kept = _TABLE.c.key == once.key, _TABLE.c.at > datetime.now(UTC) - KEPT
    row = connection.execute(select(_TABLE.c.digest, _TABLE.c.answer).where(*kept)).one_or_none()
    if row is None:
        return None
    if row.digest != once.digest:
        raise InvalidError(
            f"the Idempotency-Key {once.key!r} came with another request before: make a new one for each request, and "
            "send it again only with the same",
            "idempotency-key",
        )
    return _ANSWER.validate_json(row.answer)


def keep(connection: Connection, once: Once, answer: Sequence[Written]) -> None:
    """Keep an answer for `KEPT`, and forget those that are older."""
    now = datetime.now(UTC)
    connection.execute(delete(_TABLE).where(_TABLE.c.at <= now - KEPT))
    kept = _ANSWER.dump_json(list(answer)).decode()
    connection.execute(insert(_TABLE).values(key=once.key, digest=once.digest, answer=kept, at=now))
