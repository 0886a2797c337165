from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, column, insert, select, table, text

from service.errors import StartupError
from service.registry import Registry, history, tables, upgrade
from service.registry.database import connect
from service.registry.schema import head, migrate
from tests.service.registry.support import draft, row


def make_old(url: URL, *rows: dict[str, object]) -> None:
    """A registry as the first release made it."""
    engine = connect(url)
    with engine.begin() as connection:
        migrate(connection, "0001")
        for each in rows:
            connection.execute(table("relations", *map(column, each)).insert(), [each])
    engine.dispose()


def revision(url: URL) -> str:
    engine = connect(url)
    with engine.connect() as connection:
        found = str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
    engine.dispose()
    return found


def test_the_migrations_make_the_tables_that_the_code_names(url: URL) -> None:
    assert upgrade(url) == (None, head())
    engine = connect(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_a_registry_that_is_new_is_made_at_the_start(url: URL) -> None:
    Registry.open(url, "f1").close()
    assert revision(url) == head()


def test_an_older_schema_is_refused_left_as_it_is_and_the_command_named(url: URL) -> None:
    make_old(url)
    with pytest.raises(StartupError, match=rf"has schema 0001, this release needs {head()}.*`emma db upgrade`"):
        Registry.open(url, "f1")
    assert revision(url) == "0001"


def test_a_registry_of_the_first_release_gains_what_came_later(url: URL) -> None:
    make_old(url, {name: value for name, value in row("a").items() if name != "paraphrases"})
    assert upgrade(url) == ("0001", head())
    engine = connect(url)
    with engine.begin() as connection:
        assert connection.execute(select(tables.relations.c.id, tables.relations.c.paraphrases)).all() == [("a", ())]
        [event] = history.read(connection, "a", None, 10).events
    engine.dispose()
    assert (event.version, event.action, event.actor, event.at) == (1, "created", None, row("a")["created_at"])
    assert event.content == {"name": "a", "description": "a", "paraphrases": []}


def test_to_upgrade_again_changes_nothing(url: URL) -> None:
    Registry.open(url, "f1", lambda: [draft("a")]).close()
    assert upgrade(url) == (head(), head())
    registry = Registry.open(url, "f1")
    assert [record.id for record in registry.page().records] == ["a"]
    registry.close()


def test_an_upgrade_does_not_wait_for_long_behind_who_uses_the_tables(
    shared: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.registry.schema.BUSY_MILLISECONDS", 1)
    make_old(shared)
    engine = connect(shared)
    with engine.begin() as connection:
        connection.execute(text("SELECT 1 FROM relations"))
        with pytest.raises(StartupError, match=r"cannot upgrade the registry .* lock timeout"):
            upgrade(shared)
    engine.dispose()
    assert revision(shared) == "0001"


@pytest.mark.parametrize("how", ["opened", "upgraded"])
def test_a_registry_of_a_newer_release_is_refused(url: URL, how: str) -> None:
    upgrade(url)
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StartupError, match=rf"newer release.*schema 9999.*has {head()}"):
        Registry.open(url, "f1") if how == "opened" else upgrade(url)


def test_processes_that_find_an_empty_database_make_and_seed_it_once(shared: URL) -> None:
    opened: list[Registry] = []
    starts = [
        threading.Thread(target=lambda: opened.append(Registry.open(shared, "f1", lambda: [draft("a")])))
        for _ in range(4)
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert [registry.get("a").version for registry in opened] == [1] * 4
    for registry in opened:
        registry.close()


def test_ids_are_ordered_alike_in_every_database(url: URL) -> None:
    upgrade(url)
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(insert(tables.relations), [row(key) for key in ("a", "B", "a-b", "aa", "A")])
        ordered = connection.execute(select(tables.relations.c.id).order_by(tables.relations.c.id)).scalars().all()
    engine.dispose()
    assert ordered == ["A", "B", "a", "a-b", "aa"]


def test_a_file_that_is_no_database_is_explained(sqlite: URL) -> None:
    Path(str(sqlite.database)).write_bytes(b"not a database, but long enough to be looked at as one" * 20)
    for use in (lambda: Registry.open(sqlite, "f1").close(), lambda: upgrade(sqlite)):
        with pytest.raises(StartupError, match="restore it from a backup"):
            use()


def test_a_server_that_does_not_answer_is_explained() -> None:
    nowhere = URL.create("postgresql+psycopg", "emma", "secret", "127.0.0.1", 1, "emma")
    with pytest.raises(StartupError, match=r"postgresql://emma:\*\*\*@127.0.0.1:1/emma.*refused.*EMMA_DATABASE_URL"):
        Registry.open(nowhere, "f1")
