"""A PostgreSQL for the tests that need one: each test has a schema of its own."""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import make_url

# Read before the tests hide every such variable from the service.
SERVER = os.environ.get("EMMA_TEST_POSTGRES_URL", "postgresql://127.0.0.1:5432/test")


@functools.cache
def why_not() -> str | None:
    """Why the server cannot be used, or None where it can."""
    try:
        psycopg.connect(SERVER, connect_timeout=3).close()
    except psycopg.Error as error:
        return (
            f"no PostgreSQL at {make_url(SERVER)} ({' '.join(str(error).split())}): "
            "give one whose user may create schemas as EMMA_TEST_POSTGRES_URL=postgresql://user@host/database"
        )
    return None


@contextmanager
def schema() -> Iterator[str]:
    """The URL of a schema that is empty, and dropped afterwards; skips the test where there is no server."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    name = f"emma_test_{uuid.uuid4().hex}"
    execute(f"CREATE SCHEMA {name}")
    try:
        url = make_url(SERVER).update_query_dict({"options": f"-csearch_path={name}"})
        yield url.render_as_string(hide_password=False)
    finally:
        execute(f"DROP SCHEMA {name} CASCADE")


def execute(statement: str, url: str = SERVER) -> None:
    """Run a statement on a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def end_listeners() -> None:
    """End every connection that listens, as a server does that is restarted."""
    execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE 'LISTEN %'"
    )
