"""Several services on one database, and what they do while it is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import make_url

from service.app import create_app
from service.errors import StartupError
from service.settings import load_settings
from tests.service import postgresql
from tests.service.conftest import running
from tests.service.fakes import REQUEST, FakeRuntime
from tests.service.proxy import Proxy

pytestmark = pytest.mark.anyio

TEACHER = {"name": "teacher", "description": "The head teaches the tail."}


@pytest.fixture
def database() -> Iterator[str]:
    with postgresql.schema() as url:
        yield url


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    url = make_url(database)
    with Proxy(url.host or "127.0.0.1", url.port or 5432) as proxy:
        yield proxy


@pytest.fixture
async def clients(database: str, proxy: Proxy, model: FakeRuntime) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Two services on one database, the first by a way that can be cut."""
    through = make_url(database).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                running(create_app(load_settings(database_url=url, poll_seconds=0.05), model))
            )
            for url in (through, database)
        ]


async def gauges(client: httpx.AsyncClient) -> dict[str, float]:
    families = text_string_to_metric_families((await client.get("/metrics")).text)
    return {sample.name: sample.value for family in families for sample in family.samples}


async def test_what_one_registers_the_others_extract(clients: list[httpx.AsyncClient]) -> None:
    for writer, reader in (clients, reversed(clients)):
        written = await writer.put("/relations/T1", json=TEACHER)
        version = written.json()["version"]
        answer = await reader.post("/extract", json={**REQUEST, "relations": ["T1"], "min_version": version})
        assert (answer.status_code, answer.json()["registry_version"]) == (200, version)
        await writer.delete("/relations/T1")


async def test_while_the_database_is_away_extraction_goes_on_and_writes_are_refused(
    clients: list[httpx.AsyncClient], proxy: Proxy
) -> None:
    client = clients[0]
    proxy.cut()
    for request in (
        client.post("/relations", json={"id": "T1", **TEACHER}),
        client.put("/relations/P19", json=TEACHER),
        client.delete("/relations/P19"),
        client.get("/relations"),
    ):
        refused = await request
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert refused.json()["error"]["type"] == "registry_unavailable"
    assert (await client.post("/extract", json=REQUEST)).json()["relation"]["id"] == "P19"
    assert (await client.get("/readyz")).status_code == 200


async def test_when_the_database_is_back_what_was_missed_is_caught_up_with(
    clients: list[httpx.AsyncClient], proxy: Proxy
) -> None:
    cut_off, other = clients
    proxy.cut()
    version = (await other.post("/relations", json={"id": "T1", **TEACHER})).json()["version"]
    assert (await cut_off.post("/relations", json=TEACHER)).status_code == 503
    while (await gauges(cut_off))["emma_registry_reachable"]:
        pass
    away = await gauges(cut_off)
    assert (away["emma_registry_version"], away["emma_registry_lag_seconds"] > 0) == (version - 1, True)
    proxy.mend()
    while (await gauges(cut_off))["emma_registry_version"] < version:
        pass
    assert (await gauges(cut_off))["emma_registry_reachable"] == 1
    assert (await cut_off.post("/relations", json=TEACHER)).status_code == 201


async def test_a_database_that_is_away_at_the_start_is_explained(
    database: str, proxy: Proxy, model: FakeRuntime
) -> None:
    proxy.cut()
    url = make_url(database).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    with pytest.raises(StartupError, match="see that the server runs and that EMMA_DATABASE_URL"):
        async with running(create_app(load_settings(database_url=url), model)):
            pytest.fail("it started")
