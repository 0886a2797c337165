"""The SQLite file: how it is opened, brought to the current schema, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, ProgrammingError

from service.errors import RegistryUnavailableError, StartupError

NAME = "registry.db"
BUSY_MILLISECONDS = 5_000


def open_database(path: Path, busy_milliseconds: int = BUSY_MILLISECONDS) -> Engine:
    """Open or create the file and migrate it to the current schema.

    Raises:
        StartupError: the file is no registry, cannot be written, or is of a newer release.
    """
    # As many connections as the framework has worker threads may be open at once.
    engine = create_engine(URL.create("sqlite", database=str(path)), pool_size=5, max_overflow=-1)
    event.listen(engine, "connect", _configure(busy_milliseconds))
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            migrate(connection)
    except DatabaseError as error:
        engine.dispose()
        raise StartupError(
            f"cannot open the registry {path}: {error.orig}; restore it from a backup, or point EMMA_DATA_DIR elsewhere"
        ) from error
    except CommandError as error:
        engine.dispose()
        raise StartupError(
            f"the registry {path} was written by a newer release of EMMA ({error}): use that release"
        ) from error
    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction: committed and on disk when the block ends, undone when it raises.

    Raises:
        RegistryUnavailableError: the disk is full, the file read-only or locked, or the like.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except (IntegrityError, ProgrammingError, DataError):
        # Faults of this package, not of the database.
        raise
    except DatabaseError as error:
        raise RegistryUnavailableError(f"the registry cannot be used now: {error.orig}") from error


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the tables to a revision of the schema, without a commit."""
    config = Config()
    config.set_main_option("script_location", "service.registry:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


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
