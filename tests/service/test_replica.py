from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.errors import BehindError, RegistryUnavailableError
from service.index import Cache, RelationIndex, Tiers
from service.index.lists import Lists
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
    return Replica(registry, RelationIndex(DIMENSION))


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


@pytest.mark.usefixtures("unavailable")
def test_a_registry_that_nobody_polls_is_always_tried(replica: Replica) -> None:
    with pytest.raises(RegistryUnavailableError):
        replica.catch_up()
    replica.require_reachable()


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


@pytest.fixture
def kept(registry: Registry, tmp_path: Path) -> RelationIndex:
    """An index of the registry that begins with what another one kept."""
    tiers, folder = Tiers(flat_to=3), tmp_path / "index"
    first = RelationIndex(DIMENSION, tiers, Cache(folder, "f1"))
    Replica(registry, first)
    first.settle()
    first.close()
    return RelationIndex(DIMENSION, tiers, Cache(folder, "f1"))


def test_it_begins_with_what_was_kept_and_what_was_written_since(registry: Registry, kept: RelationIndex) -> None:
    registry.delete("P19")
    registry.delete("P20")
    Replica(registry, kept)
    assert (kept.version, len(kept), kept.tier) == (3, 4, Lists.tier)
    assert "P19" not in kept


def test_what_was_kept_of_a_registry_that_was_put_back_is_not_used(
    model: FakeRuntime, kept: RelationIndex, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    fresh = Registry.open(locate(tmp_path / "other"), model.bundle.manifest.fingerprint, lambda: catalogue(model))
    with capture_logs() as logs:
        Replica(fresh, kept)
    kept.settle()
    fresh.close()
    assert [line["reason"] for line in logs] == ["the registry has relations of its version that it has not"]
    assert (kept.version, len(kept)) == (1, 6)
