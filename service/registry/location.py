"""Where a registry is: a SQLite file in a data directory, or a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

NAME = "registry.db"
SCHEMES = ("postgresql", "postgres")


def locate(data_dir: Path, database_url: str | None = None) -> URL:
    """The registry that the settings mean: of the URL if there is one, else of the directory.

    >>> locate(Path("data")).render_as_string()
    'sqlite:///data/registry.db'

    Raises:
        ValueError: the URL is not one of PostgreSQL; the message leaves the URL out, because it may have a password.
    """
    if database_url is None:
        return URL.create("sqlite", database=str(data_dir / NAME))
    try:
        url = make_url(database_url)
    except ArgumentError:
        url = None
    if url is None or url.drivername not in SCHEMES:
        raise ValueError("is not the URL of a PostgreSQL database, such as postgresql://user@host:5432/database")
    return url.set(drivername="postgresql+psycopg")


def is_shared(url: URL) -> bool:
    """Whether several processes may use the registry at once."""
    return url.get_backend_name() == "postgresql"


def described(url: URL) -> str:
    """Where the registry is, for people, without a password.

    >>> described(locate(Path("data")))
    'data/registry.db'
    """
    return str(url.set(drivername="postgresql") if is_shared(url) else url.database)


def advice(url: URL) -> str:
    """What to do when the registry cannot be opened."""
    if is_shared(url):
        return "see that the server runs and that EMMA_DATABASE_URL names a database and a user that may use it"
    return "restore it from a backup, or point EMMA_DATA_DIR elsewhere"
