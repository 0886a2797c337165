from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL
from structlog.testing import capture_logs

from service import following
from service.following import Follower
from service.index import RelationIndex
from service.registration import catalogue
from service.registry import Registry, locate
from service.replica import Replica
from tests.service import postgresql
from tests.service.fakes import DIMENSION, FakeRuntime
from tests.service.proxy import Proxy

pytestmark = pytest.mark.anyio

NEVER = 3600.0


@pytest.fixture
def url() -> Iterator[URL]:
    with postgresql.schema() as url:
        yield locate(Path(), url)


@pytest.fixture
def proxy(url: URL) -> Iterator[Proxy]:
    with Proxy(url.host or "127.0.0.1", url.port or 5432) as proxy:
        yield proxy


@pytest.fixture
def registry(url: URL, proxy: Proxy, model: FakeRuntime) -> Iterator[Registry]:
    through = url.set(host="127.0.0.1", port=proxy.port)
    registry = Registry.open(through, model.bundle.manifest.fingerprint, lambda: catalogue(model))
    yield registry
    registry.close()


@pytest.fixture
def other(url: URL, registry: Registry) -> Iterator[Registry]:
    """Another process's."""
    other = Registry.open(url, registry.fingerprint)
    yield other
    other.close()


@pytest.fixture
def replica(model: FakeRuntime, registry: Registry) -> Replica:
    return Replica(registry, RelationIndex(DIMENSION))


@pytest.fixture
async def listening(
    replica: Replica, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncio.Event]:
    """A follower that never polls, has looked once and listens; the event is set whenever it begins to listen."""
    began = asyncio.Event()

    async def watched() -> AsyncGenerator[str | None, None]:
        async for text in Registry.notifications(registry):
            yield text
            if text is None:
                began.set()

    monkeypatch.setattr(registry, "notifications", watched)
    follower = Follower(replica, registry, NEVER)
    follower.start()
    # Who waits would wake it, and what is looked at is whether something else does.
    replica.on_wait = lambda: None
    await began.wait()
    began.clear()
    yield began
    await follower.close()


async def deaf() -> AsyncGenerator[str | None, None]:
    """Listens and hears nothing, as behind a pooler in transaction mode."""
    yield None
    await asyncio.Event().wait()


async def in_thread(call: object, *given: object) -> None:
    await asyncio.to_thread(call, *given)  # type: ignore[arg-type]


@pytest.mark.usefixtures("listening")
async def test_a_notification_brings_what_another_process_wrote(replica: Replica, other: Registry) -> None:
    for version, key in enumerate(("P19", "P20"), start=2):
        await in_thread(other.delete, key)
        await replica.reach(version, 60)


async def test_without_notifications_the_poll_brings_it(
    replica: Replica, registry: Registry, other: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "notifications", deaf)
    follower = Follower(replica, registry, 0.01)
    follower.start()
    replica.on_wait = lambda: None
    for version, key in enumerate(("P19", "P20"), start=2):
        await in_thread(other.delete, key)
        await replica.reach(version, 60)
    await follower.close()


async def test_who_waits_for_a_version_needs_neither(
    replica: Replica, registry: Registry, other: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "notifications", deaf)
    follower = Follower(replica, registry, NEVER)
    follower.start()
    for version, key in enumerate(("P19", "P20"), start=2):
        await in_thread(other.delete, key)
        await replica.reach(version, 60)
    await follower.close()


async def test_a_lost_connection_is_made_anew_and_what_was_missed_is_looked_for(
    listening: asyncio.Event, proxy: Proxy, replica: Replica, other: Registry
) -> None:
    proxy.cut()
    await in_thread(other.delete, "P19")
    assert replica.version == 1
    proxy.mend()
    await listening.wait()
    await replica.reach(2, 60)


@pytest.mark.usefixtures("listening")
async def test_a_connection_that_the_server_ends_is_made_anew(replica: Replica, other: Registry) -> None:
    for version, key in enumerate(("P19", "P20"), start=2):
        await in_thread(postgresql.end_listeners)
        await in_thread(other.delete, key)
        await replica.reach(version, 60)


async def test_notifications_that_arrive_are_not_spoken_of(
    replica: Replica, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logs:
        follower = Follower(replica, registry, NEVER)
        follower.start()
        await follower._probed.wait()
        await follower.close()
    assert [line for line in logs if line["log_level"] != "debug"] == []


async def test_notifications_that_do_not_arrive_are_spoken_of_once(
    replica: Replica, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "notifications", deaf)
    monkeypatch.setattr(following, "PROBE_SECONDS", 0.01)
    with capture_logs() as logs:
        follower = Follower(replica, registry, NEVER)
        follower.start()
        while len(follower._tasks) < 3:
            await asyncio.sleep(0)
        await follower._tasks[2]
        follower._hear(None)
        await follower.close()
    [line] = [line for line in logs if line["log_level"] == "warning"]
    assert line["event"] == "notifications do not arrive"
    assert "EMMA_LISTEN_URL" in line["fix"]


async def test_behind_a_pooler_in_transaction_mode_they_do_not_arrive_and_the_poll_makes_up_for_them(
    tmp_path: Path, model: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PROBE_SECONDS", 0.1)
    with postgresql.pooled(tmp_path) as (url, _), capture_logs() as logs:
        here, there = (Registry.open(locate(Path(), url), model.bundle.manifest.fingerprint) for _ in range(2))
        replica = Replica(here, RelationIndex(DIMENSION))
        follower = Follower(replica, here, 0.05)
        follower.start()
        while not any(line["event"] == "notifications do not arrive" for line in logs):
            await asyncio.sleep(0)
        await in_thread(there.add, catalogue(model))
        await replica.reach(1, 60)
        await follower.close()
        here.close()
        there.close()


async def test_behind_a_pooler_they_arrive_where_the_server_itself_is_listened_to(
    tmp_path: Path, model: FakeRuntime
) -> None:
    fingerprint = model.bundle.manifest.fingerprint
    with postgresql.pooled(tmp_path) as (url, server), capture_logs() as logs:
        here = Registry.open(locate(Path(), url), fingerprint, listen_at=locate(Path(), server))
        there = Registry.open(locate(Path(), url), fingerprint)
        replica = Replica(here, RelationIndex(DIMENSION))
        follower = Follower(replica, here, NEVER)
        follower.start()
        replica.on_wait = lambda: None
        await follower._probed.wait()
        await in_thread(there.add, catalogue(model))
        await replica.reach(1, 60)
        await follower.close()
        here.close()
        there.close()
    assert [line for line in logs if line["log_level"] == "warning"] == []


async def test_where_nobody_answers_who_is_to_be_listened_to_it_is_said_once_and_the_poll_makes_up_for_it(
    url: URL, proxy: Proxy, model: FakeRuntime, other: Registry
) -> None:
    proxy.cut()
    nowhere = url.set(host="127.0.0.1", port=proxy.port)
    registry = Registry.open(url, model.bundle.manifest.fingerprint, listen_at=nowhere)
    replica = Replica(registry, RelationIndex(DIMENSION))
    follower = Follower(replica, registry, 0.01)
    with capture_logs() as logs:
        follower.start()
        while sum(line["event"] == "not listening" for line in logs) < 2:
            await asyncio.sleep(0)
        await in_thread(other.delete, "P19")
        await replica.reach(2, 60)
        await follower.close()
    [line] = [line for line in logs if line["log_level"] == "warning"]
    assert (line["event"], "EMMA_LISTEN_URL" in line["fix"]) == ("cannot listen for changes", True)
    registry.close()


async def test_a_fault_while_catching_up_does_not_end_the_following(
    replica: Replica, registry: Registry, other: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def broken(*parts: object) -> None:
        loop.call_soon_threadsafe(failed.set)
        raise ZeroDivisionError

    follower = Follower(replica, registry, 0.01)
    with capture_logs(), monkeypatch.context() as patch:
        patch.setattr("service.replica.synchronise", broken)
        follower.start()
        await failed.wait()
    await in_thread(other.delete, "P19")
    await replica.reach(2, 60)
    await follower.close()
