from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import column, create_engine, insert, select, table, text

from service.errors import RegistryUnavailableError, StartupError
from service.registry import tables
from service.registry.database import migrate, open_database, transaction
from tests.service.registry.support import row


def test_the_migrations_make_the_tables_that_the_code_names(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "registry.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_to_open_again_keeps_what_is_there(tmp_path: Path) -> None:
    for _ in range(2):
        engine = open_database(tmp_path / "registry.db")
        with transaction(engine) as connection:
            if not connection.execute(select(tables.relations.c.id)).all():
                connection.execute(insert(tables.relations), [row("a")])
        engine.dispose()
    engine = open_database(tmp_path / "registry.db")
    with transaction(engine) as connection:
        assert connection.execute(select(tables.relations.c.id)).scalars().all() == ["a"]
    engine.dispose()


def test_a_registry_of_the_first_release_gains_what_came_later(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'registry.db'}")
    with engine.begin() as connection:
        migrate(connection, "0001")
        old = {name: value for name, value in row("a").items() if name != "paraphrases"}
        connection.execute(table("relations", *map(column, old)).insert(), [old])
    engine.dispose()
    engine = open_database(tmp_path / "registry.db")
    with transaction(engine) as connection:
        assert connection.execute(select(tables.relations.c.id, tables.relations.c.paraphrases)).all() == [("a", ())]
    engine.dispose()


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)]
)
def test_a_commit_is_on_disk_before_it_returns(tmp_path: Path, pragma: str, value: object) -> None:
    engine = open_database(tmp_path / "registry.db")
    with engine.connect() as connection:
        assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == value
    engine.dispose()


def test_a_transaction_that_raises_leaves_nothing(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "registry.db")

    def write() -> None:
        with transaction(engine) as connection:
            connection.execute(insert(tables.relations), [row("a")])
            raise KeyError

    with pytest.raises(KeyError):
        write()
    with transaction(engine) as connection:
        assert connection.execute(select(tables.relations)).all() == []
    engine.dispose()


def test_a_file_that_is_no_database_is_explained(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"not a database, but long enough to be looked at as one" * 20)
    with pytest.raises(StartupError, match="restore it from a backup"):
        open_database(tmp_path / "registry.db")


def test_a_registry_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "registry.db")
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StartupError, match="newer release"):
        open_database(tmp_path / "registry.db")


def test_a_database_that_is_locked_is_unavailable(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "registry.db", busy_milliseconds=1)
    with transaction(engine) as holder:
        holder.execute(insert(tables.relations), [row("a")])
        with pytest.raises(RegistryUnavailableError, match="locked"), transaction(engine) as connection:
            connection.execute(insert(tables.relations), [row("b")])
    engine.dispose()


def test_a_fault_of_the_code_is_not_taken_for_one_of_the_database(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "registry.db")
    with pytest.raises(Exception, match="UNIQUE") as caught, transaction(engine) as connection:
        connection.execute(insert(tables.relations), [row("a"), row("a")])
    assert not isinstance(caught.value, RegistryUnavailableError)
    engine.dispose()
