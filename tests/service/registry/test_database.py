from __future__ import annotations

import pytest
from sqlalchemy import URL, Engine, insert, select, text, update

from service.errors import RegistryUnavailableError
from service.registry import Registry, tables
from service.registry.database import connect, snapshot, transaction
from tests.service.registry.support import row


@pytest.fixture
def engine(url: URL) -> Engine:
    """Of a registry that holds nothing."""
    Registry.open(url, "f1").close()
    return connect(url, busy_milliseconds=1)


def ids(engine: Engine) -> list[str]:
    with snapshot(engine) as connection:
        return list(connection.execute(select(tables.relations.c.id)).scalars())


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)]
)
def test_a_commit_is_on_disk_before_it_returns(sqlite: URL, pragma: str, value: object) -> None:
    engine = connect(sqlite)
    with engine.connect() as connection:
        assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == value
    engine.dispose()


@pytest.mark.parametrize(("server", "here"), [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")])
def test_a_commit_is_on_disk_before_it_returns_whatever_the_server_is_set_to(
    shared: URL, server: str, here: str
) -> None:
    engine = connect(shared.update_query_dict({"options": f"-c synchronous_commit={server}"}))
    with transaction(engine) as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == here
    engine.dispose()


def test_a_transaction_that_raises_leaves_nothing(engine: Engine) -> None:
    def write() -> None:
        with transaction(engine) as connection:
            connection.execute(insert(tables.relations), [row("a")])
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert ids(engine) == []
    engine.dispose()


def test_a_snapshot_does_not_see_what_is_committed_after_it_began(engine: Engine) -> None:
    with snapshot(engine) as reader:
        assert reader.execute(select(tables.registry.c.version)).scalar_one() == 0
        with transaction(engine) as writer:
            writer.execute(update(tables.registry).values(version=1))
        assert reader.execute(select(tables.registry.c.version)).scalar_one() == 0
    engine.dispose()


def test_a_database_that_is_locked_is_unavailable(sqlite: URL) -> None:
    Registry.open(sqlite, "f1").close()
    engine = connect(sqlite, busy_milliseconds=1)
    with transaction(engine) as holder:
        holder.execute(insert(tables.relations), [row("a")])
        with pytest.raises(RegistryUnavailableError, match="locked"), transaction(engine) as connection:
            connection.execute(insert(tables.relations), [row("b")])
    engine.dispose()


def test_a_row_that_another_process_holds_is_waited_for_a_while_and_then_unavailable(
    shared: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.registry.database._TERMS", "SET LOCAL lock_timeout = 1")
    Registry.open(shared, "f1").close()
    engine = connect(shared)
    change = update(tables.registry).values(version=1)
    with transaction(engine) as holder:
        holder.execute(change)
        with pytest.raises(RegistryUnavailableError, match="lock timeout"), transaction(engine) as connection:
            connection.execute(change)
    engine.dispose()


def test_a_server_that_does_not_answer_is_unavailable_and_the_password_stays_unsaid() -> None:
    engine = connect(URL.create("postgresql+psycopg", "emma", "secret", "127.0.0.1", 1, "emma"))
    with pytest.raises(RegistryUnavailableError, match="refused") as caught:
        ids(engine)
    assert "secret" not in str(caught.value)


def test_a_right_that_was_taken_away_is_unavailable(shared: URL) -> None:
    engine = connect(shared)
    with pytest.raises(RegistryUnavailableError, match="permission denied"), transaction(engine) as connection:
        connection.exec_driver_sql("SET LOCAL ROLE pg_monitor; SELECT * FROM pg_authid")
    engine.dispose()


def test_a_fault_of_the_code_is_not_taken_for_one_of_the_database(engine: Engine) -> None:
    with pytest.raises(Exception, match=r"(?i)unique") as caught, transaction(engine) as connection:
        connection.execute(insert(tables.relations), [row("a"), row("a")])
    assert not isinstance(caught.value, RegistryUnavailableError)
    engine.dispose()
