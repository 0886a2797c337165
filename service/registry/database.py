"""The database: how it is connected to, what a transaction promises, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.errors import RegistryUnavailableError
from service.registry.location import is_shared

BUSY_MILLISECONDS = 5_000
CONNECTIONS = 10
"""Connections that one process has to a server at most."""

_POSTGRESQL: dict[str, Any] = {
    "application_name": "emma",
    "connect_timeout": 5,
    # A server that has gone without a word is noticed within a quarter of a minute.
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
    # A pooler may give each transaction another connection, where the statement was never prepared.
    "prepare_threshold": None,
}
# For the transaction alone. A writer that waits, or that holds the others up because its process was stopped, is given
# up by the server; and what is committed is on disk, also where the server's own settings do not ask for it.
_TERMS = (
    f"SELECT set_config('lock_timeout', '{BUSY_MILLISECONDS}', true), set_config('statement_timeout', '30s', true), "
    "set_config('idle_in_transaction_session_timeout', '10s', true), "
    "set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true)"
)
_INSUFFICIENT_PRIVILEGE = "42501"


def connect(url: URL, busy_milliseconds: int = BUSY_MILLISECONDS) -> Engine:
    """An engine for a registry; nothing is opened yet.

    Args:
        url: as `locate` makes it.
        busy_milliseconds: how long a write waits for another program that has a SQLite file locked.
    """
    if is_shared(url):
        return create_engine(
            url,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=BUSY_MILLISECONDS / 1000,
            pool_pre_ping=True,
            connect_args=arguments(url),
        )
    # As many connections as the framework has worker threads may be open at once.
    engine = create_engine(url, pool_size=5, max_overflow=-1)
    event.listen(engine, "connect", _configure(busy_milliseconds))
    event.listen(engine, "begin", _begin)
    return engine


def arguments(url: URL) -> dict[str, Any]:
    """What psycopg is given to connect to a server; what the URL says goes before what is set here."""
    _, given = url.get_dialect()().create_connect_args(url)
    return {**_POSTGRESQL, **given}


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction that may write: committed and on disk when the block ends, undone when it raises.

    Raises:
        RegistryUnavailableError: the disk is full, the file read-only or locked, the server gone, or the like.
    """
    with _available(), engine.begin() as connection:
        if is_shared(engine.url):
            connection.exec_driver_sql(_TERMS)
        yield connection


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """One transaction that reads, and sees in all of its statements what was committed when it began.

    Raises:
        RegistryUnavailableError: the registry cannot be read.
    """
    if is_shared(engine.url):
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with _available(), engine.begin() as connection:
        yield connection


def reason(error: DatabaseError) -> str:
    """What the database says, on one line."""
    return " ".join(str(error.orig).split())


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise RegistryUnavailableError(f"all {CONNECTIONS} connections to the registry are in use") from error
    except DatabaseError as error:
        refused = getattr(error.orig, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE
        if isinstance(error, IntegrityError | ProgrammingError | DataError) and not refused:
            # Faults of this package, not of the database.
            raise
        raise RegistryUnavailableError(f"the registry cannot be used now: {reason(error)}") from error


def _configure(busy_milliseconds: int) -> Any:
    def configure(connection: sqlite3.Connection, _: object) -> None:
        # The driver would begin transactions by itself, and only before some statements; `_begin` does it always.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout = {busy_milliseconds}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return configure


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
