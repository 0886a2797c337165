from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.errors import BehindError, RegistryUnavailableError
from service.index import RelationIndex
from service.registration import catalogue
from service.registry import Registry, locate
from service.replica import Replica
from tests.service.fakes import DIMENSION, FakeRuntime


@pytest.fixture
def registry(model: FakeRuntime, tmp_path: Path) -> Iterator[Registry]:
    registry = Registry.open(locate(tmp_path), model.bundle.manifest.fingerprint, lambda: catalogue(model))
    yield registry
    registry.close()


@pytest.fixture
def replica(model: FakeRuntime, registry: Registry) -> Replica:
    return Replica(model, registry, RelationIndex(DIMENSION))


@pytest.fixture
def unavailable(monkeypatch: pytest.MonkeyPatch, replica: Replica) -> pytest.MonkeyPatch:
    """The registry cannot be read until this is undone."""

    def fail(*parts: object) -> None:
        raise RegistryUnavailableError("the cable is out")

    monkeypatch.setattr("service.replica.synchronise", fail)
    return monkeypatch


def test_it_begins_with_all_that_is_registered(replica: Replica) -> None:
    assert replica.version == 1


def test_it_applies_what_was_written_since(replica: Replica, registry: Registry) -> None:
    registry.delete("P19")
    assert replica.version == 1
    replica.catch_up()
    assert replica.version == 2


def test_an_unavailable_registry_is_logged_once_and_so_is_its_return(
    replica: Replica, unavailable: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(RegistryUnavailableError):
                replica.catch_up()
        unavailable.undo()
        replica.catch_up()
        replica.catch_up()
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("registry unavailable", "warning"),
        ("registry available again", "info"),
    ]
    assert logs[0]["reason"] == "the cable is out"


@pytest.mark.usefixtures("unavailable")
def test_it_lags_only_while_something_may_have_been_written_unseen(replica: Replica) -> None:
    assert (replica.reachable, replica.lag_seconds()) == (True, 0)
    with pytest.raises(RegistryUnavailableError):
        replica.catch_up()
    assert (replica.reachable, replica.lag_seconds() > 0) == (False, True)


@pytest.mark.anyio
async def test_a_version_that_is_there_is_not_waited_for(replica: Replica) -> None:
    replica.on_wait = lambda: pytest.fail("waited")
    await replica.reach(1, 0)


@pytest.mark.anyio
async def test_who_waits_goes_on_when_the_version_is_applied(replica: Replica, registry: Registry) -> None:
    registry.delete("P19")
    replica.on_wait = replica.catch_up
    await replica.reach(2, 60)


@pytest.mark.anyio
async def test_a_version_that_does_not_come_is_given_up_with_both_versions(replica: Replica) -> None:
    with pytest.raises(BehindError, match=r"version 7 .* and 1 is known after 0\.01 s"):
        await replica.reach(7, 0.01)
    replica.catch_up()
