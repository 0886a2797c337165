"""A schema of its own in a PostgreSQL server, for as long as something is measured."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from sqlalchemy import make_url


@contextmanager
def schema(server: str) -> Iterator[str]:
    """The URL of a schema that is empty, and dropped afterwards.

    Args:
        server: URL of a database whose user may create schemas.
    """
    name = sql.Identifier(own := f"emma_benchmark_{uuid.uuid4().hex}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        try:
            url = make_url(server).update_query_dict({"options": f"-csearch_path={own}"})
            yield url.render_as_string(hide_password=False)
        finally:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(name))
