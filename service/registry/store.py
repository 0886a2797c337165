"""The registry: every write is one transaction with a version of its own, on disk before it returns."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import URL, ColumnElement, Connection, Engine, Row, func, insert, select, tuple_
from sqlalchemy.exc import DatabaseError

from service.errors import ConflictError, NotFoundError, RegistryUnavailableError, StartupError, named
from service.registry import history, idempotency, rows, tables
from service.registry.database import BUSY_MILLISECONDS, connect, reason, snapshot, transaction
from service.registry.location import advice, described, is_shared
from service.registry.notifications import notifications, notify
from service.registry.records import Draft, History, Once, Page, Record, Stored, Written
from service.registry.rows import RELATIONS
from service.registry.schema import prepare

COLUMNS = [RELATIONS.c[name] for name in ("id", "name", "description", "tags", "version", "updated_at")]
CHUNK = 1_000
"""Rows that are in memory at once while the registry is read."""


class Registry:
    """The relations of one database. Safe to call from several threads and processes; writes take turns."""

    def __init__(self, engine: Engine, fingerprint: str, listen_at: URL | None = None) -> None:
        self._engine = engine
        self._listen_at = listen_at or engine.url
        self.fingerprint = fingerprint

    @classmethod
    def open(
        cls,
        url: URL,
        fingerprint: str,
        seed: Callable[[], Sequence[Draft]] = list,
        busy_milliseconds: int = BUSY_MILLISECONDS,
        listen_at: URL | None = None,
    ) -> Registry:
        """Open a registry, or make one where there is none.

        Args:
            url: as `locate` makes it; the directory of a SQLite file has to exist.
            fingerprint: of the encoder that the vectors have to be from.
            seed: called for the relations of a registry that is new.
            busy_milliseconds: how long a write waits for another program that has a SQLite file locked.
            listen_at: where notifications of the same database arrive, if not at `url`.

        Raises:
            StartupError: it cannot be used, has another schema, or its vectors are another encoder's.
        """
        engine = connect(url, busy_milliseconds)
        try:
            with engine.begin() as connection:
                prepare(connection)
                found = connection.execute(select(tables.registry.c.fingerprint)).scalar_one_or_none()
                if found is None:
                    _found(connection, fingerprint, seed())
                elif found != fingerprint:
                    raise StartupError(
                        f"the registry {described(url)} was made by encoder {found}, the bundle has encoder "
                        f"{fingerprint}, and their vectors cannot be compared: point EMMA_BUNDLE at the bundle that "
                        "made it, or EMMA_DATA_DIR or EMMA_DATABASE_URL at another registry, or run "
                        "`emma relations reindex`"
                    )
        except DatabaseError as error:
            engine.dispose()
            raise StartupError(f"cannot open the registry {described(url)}: {reason(error)}; {advice(url)}") from error
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, fingerprint, listen_at)

    @property
    def shared(self) -> bool:
        """Whether other processes may write to it."""
        return is_shared(self._engine.url)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def add(
        self, drafts: Sequence[Draft], actor: str | None = None, once: Once | None = None, replace: bool = False
    ) -> list[Written]:
        """Register relations, all or none; one that is there already with the same content is left as it is.

        Args:
            drafts: no id twice.
            actor: who does it, for the history.
            once: what makes a repetition of the request answer as the first did, and do nothing.
            replace: whether to put a relation in place of one of the same id that has other content.

        Raises:
            ConflictError: an id stands for a relation with other content, which is not to be replaced.
            InvalidError: the key of `once` came with another request before.
            RegistryUnavailableError: nothing was written, or it is not known whether it was.
        """
        with self._write() as (connection, version):
            if once is not None and (before := idempotency.answered(connection, once)) is not None:
                connection.rollback()
                return before
            known = rows.live(connection, [draft.id for draft in drafts])
            new = [draft for draft in drafts if draft.id not in known or known[draft.id].relation != draft.relation]
            taken = [draft.id for draft in new if draft.id in known]
            if taken and not replace:
                raise ConflictError(
                    f"registered already with other content: {named(taken)}; PUT /relations/{{id}} replaces a relation",
                    "id" if len(drafts) == 1 else "items",
                )
            put = rows.put(connection, new, self.fingerprint, version, actor) if new else {}
            answer = [Written((known | put)[draft.id], draft.id not in known) for draft in drafts]
            if once is not None:
                idempotency.keep(connection, once, answer)
            elif not new:
                connection.rollback()
        return answer

    def delete(self, relation_id: str, actor: str | None = None) -> None:
        """Delete a relation; a tombstone stays.

        Raises:
            NotFoundError: there is no such relation.
            RegistryUnavailableError: nothing was written, or it is not known whether it was.
        """
        with self._write() as (connection, version):
            if not rows.live(connection, [relation_id]):
                raise NotFoundError(_no_relation(relation_id), "relation_id")
            rows.bury(connection, relation_id, version, actor)

    def get(self, relation_id: str) -> Record:
        """One relation.

        Raises:
            NotFoundError: there is no such relation.
            RegistryUnavailableError: the registry cannot be read.
        """
        with snapshot(self._engine) as connection:
            found = rows.live(connection, [relation_id])
        if not found:
            raise NotFoundError(_no_relation(relation_id), "relation_id")
        return found[relation_id]

    def history(self, relation_id: str, before: int | None = None, limit: int = 100) -> History:
        """What was done to a relation, the latest first, before a version if one is given.

        Raises:
            NotFoundError: there never was such a relation.
            RegistryUnavailableError: the registry cannot be read.
        """
        with snapshot(self._engine) as connection:
            found = history.read(connection, relation_id, before, limit) if rows.possible(relation_id) else None
        if found is None or (before is None and not found.events):
            raise NotFoundError(_no_relation(relation_id), "relation_id")
        return found

    def page(self, after: str | None = None, limit: int = 100) -> Page:
        """Up to `limit` relations whose ids come after the given one.

        Raises:
            RegistryUnavailableError: the registry cannot be read.
        """
        wanted = select(*rows.RECORD).where(~RELATIONS.c.deleted).order_by(RELATIONS.c.id).limit(limit + 1)
        if after is not None:
            wanted = wanted.where(RELATIONS.c.id > after)
        with snapshot(self._engine) as connection:
            records = [rows.record(row) for row in connection.execute(wanted)]
            total = connection.execute(select(func.count()).where(~RELATIONS.c.deleted)).scalar_one()
        return Page(records[:limit], records[limit - 1].id if len(records) > limit else None, total)

    def changes(self, since: int = 0) -> Iterator[tuple[int, list[Stored]]]:
        """What was written after a version, in order, as (version that is then complete, rows).

        Raises:
            RegistryUnavailableError: the registry cannot be read, or is another encoder's or an earlier one by now.
        """
        with self._read(since) as (connection, version):
            left: list[Stored] = []
            for found in _pages(connection, [*COLUMNS, RELATIONS.c.vector], RELATIONS.c.version > since):
                # A version may have rows on both sides of the cut, so only the ones before it are complete.
                if left:
                    yield found[0].version - 1, left
                left = [_stored(row, row.vector) for row in found]
            yield version, left

    def unchanged(self, until: int) -> Iterator[list[Stored]]:
        """The relations that are as they were at a version, some thousand at once and without their vectors.

        Raises:
            RegistryUnavailableError: as `changes`.
        """
        with self._read(until) as (connection, _):
            for found in _pages(connection, COLUMNS, RELATIONS.c.version <= until, ~RELATIONS.c.deleted):
                yield [_stored(row) for row in found]

    def notify(self, text: str) -> None:
        """Tell every process that listens; raises `RegistryUnavailableError`."""
        with transaction(self._engine) as connection:
            notify(connection, text)

    def notifications(self) -> AsyncGenerator[str | None]:
        """What is told from now on: the version of each write, and what `notify` is given; see there for the rest."""
        return notifications(self._listen_at)

    @contextmanager
    def _read(self, known: int) -> Iterator[tuple[Connection, int]]:
        """A transaction that reads a registry which has come as far as is known, and how far it has come."""
        with snapshot(self._engine) as connection:
            state = connection.execute(select(tables.registry.c.version, tables.registry.c.fingerprint)).one()
            rows.require_fingerprint(state.fingerprint, self.fingerprint)
            if state.version < known:
                raise RegistryUnavailableError(
                    f"the registry is at version {state.version}, and version {known} was read from it before: it was "
                    "put back, by a backup or a standby; start this process again to read it anew"
                )
            yield connection, state.version

    @contextmanager
    def _write(self) -> Iterator[tuple[Connection, int]]:
        with transaction(self._engine) as connection:
            version, fingerprint = rows.bump(connection)
            rows.require_fingerprint(fingerprint, self.fingerprint)
            yield connection, version


def _found(connection: Connection, fingerprint: str, drafts: Sequence[Draft]) -> None:
    version = 1 if drafts else 0
    connection.execute(
        insert(tables.registry).values(id=1, version=version, fingerprint=fingerprint, created_at=datetime.now(UTC))
    )
    if drafts:
        rows.put(connection, drafts, fingerprint, version)


def _pages(
    connection: Connection, columns: Sequence[ColumnElement[Any]], *conditions: ColumnElement[bool]
) -> Iterator[Sequence[Row[Any]]]:
    """Rows in the order of their versions, by pages: a cursor of the server stays open when a connection is lost."""
    order = tuple_(RELATIONS.c.version, RELATIONS.c.id)
    wanted = select(*columns).where(*conditions).order_by(RELATIONS.c.version, RELATIONS.c.id).limit(CHUNK)
    found = connection.execute(wanted).all()
    while found:
        yield found
        last = found[-1]
        found = (
            connection.execute(wanted.where(order > tuple_(last.version, last.id))).all() if len(found) == CHUNK else []
        )


def _stored(row: Row[Any], vector: bytes = b"") -> Stored:
    key, name, description, tags, version, updated_at = row[: len(COLUMNS)]
    # What a client can change is left out: no two versions were written at one moment and with one number.
    text = f"{key}\n{version}\n{updated_at.timestamp()}"
    stamp = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1
    # A tombstone's is empty.
    read = np.frombuffer(vector, rows.STORED).astype(np.float32) if vector else None
    return Stored(key, name, description, tags, version, stamp, read)


def _no_relation(relation_id: str) -> str:
    return f"there is no relation {relation_id!r}"
