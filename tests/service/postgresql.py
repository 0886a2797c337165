"""A PostgreSQL for the tests that need one: each test has a schema of its own."""

from __future__ import annotations

import functools
import getpass
import os
import shutil
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def database() -> Iterator[str]:
    """The URL of a database that is empty, for what cannot do with a schema; otherwise as `schema`."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    name = f"emma_test_{uuid.uuid4().hex}"
    execute(f"CREATE DATABASE {name}")
    try:
        yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    finally:
        execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def pooled(folder: Path) -> Iterator[tuple[str, str]]:
    """A database that is empty: its URL through PgBouncer in transaction mode, and its own.

    Skips the test where there is no PgBouncer or no server.

    Args:
        folder: an empty one, for PgBouncer's settings.
    """
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("no pgbouncer: install it to test a pooler in transaction mode")
    with database() as url:
        server = make_url(url)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        parts = {"host": server.host, "port": server.port or 5432, "dbname": server.database}
        parts |= {"user": server.username or getpass.getuser(), "password": server.password}
        target = " ".join(f"{name}={value}" for name, value in parts.items() if value is not None)
        settings = {"listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "", "auth_type": "any"}
        lines = ["[databases]", f"emma = {target}", "[pgbouncer]", "pool_mode = transaction"]
        (folder / "pgbouncer.ini").write_text("\n".join([*lines, *(f"{k} = {v}" for k, v in settings.items())]))
        # It refuses to run as root.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = [program, *user, str(folder / "pgbouncer.ini")]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                for line in process.stderr:
                    if "process up" in line:
                        break
                # A pipe that nobody reads would fill up and hold it.
                threading.Thread(target=process.stderr.read, daemon=True).start()
                yield f"postgresql://emma@127.0.0.1:{port}/emma", url
            finally:
                process.terminate()


def execute(statement: str, url: str = SERVER) -> None:
    """Run a statement on a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def end_listeners() -> None:
    """End every connection that listens, as a server does that is restarted."""
    execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE (datname = current_database() OR datname LIKE 'emma_test_%') AND query LIKE 'LISTEN %'"
    )
