"""The registry's tables. A change here needs a migration."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, in databases that keep no time zone too."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To what the database keeps."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From what the database keeps."""
        return None if value is None else value.replace(tzinfo=UTC)


class Texts(TypeDecorator[tuple[str, ...]]):
    """Several texts in one column."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> list[str] | None:
        """To what the database keeps."""
        return None if value is None else list(value)

    def process_result_value(self, value: list[str] | None, dialect: Dialect) -> tuple[str, ...] | None:
        """From what the database keeps."""
        return None if value is None else tuple(value)


metadata = MetaData()

RelationId = String(128).with_variant(String(128, collation="C"), "postgresql")
"""Ordered by its bytes in every database, so that pages are."""

registry = Table(
    "registry",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="single_row"), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

relations = Table(
    "relations",
    metadata,
    Column("id", RelationId, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("paraphrases", Texts, nullable=False, server_default="[]"),
    Column("inverse", String(128)),
    Column("symmetric", Boolean, nullable=False, server_default=false()),
    Column("head_types", Texts, nullable=False, server_default="[]"),
    Column("tail_types", Texts, nullable=False, server_default="[]"),
    Column("aliases", Texts, nullable=False, server_default="[]"),
    Column("tags", Texts, nullable=False, server_default="[]"),
    Column("truncated", Boolean, nullable=False),
    # Little-endian float32; empty where the relation is deleted.
    Column("vector", LargeBinary, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # In the order in which they are read, also where all have one version because they were encoded again.
    Index("relations_version", "version", "id"),
)

history = Table(
    "history",
    metadata,
    Column("relation_id", RelationId, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("action", String(16), nullable=False),
    Column("actor", Text),
    Column("at", UtcDateTime, nullable=False),
    # What the relation is from then on, by field; null where it was deleted.
    Column("content", JSON(none_as_null=True)),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", String(255), primary_key=True),
    # Of the request that came with the key.
    Column("digest", String(64), nullable=False),
    Column("answer", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("idempotency_at", "at"),
)
