from __future__ import annotations

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

import service
from tests.service.fakes import REQUEST, FakeRuntime

pytestmark = pytest.mark.anyio


async def test_health_and_readiness_are_told_apart(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_info_says_what_is_served(client: httpx.AsyncClient, model: FakeRuntime) -> None:
    info = (await client.get("/info")).json()
    manifest = model.bundle.manifest
    assert (info["version"], info["model"], info["fingerprint"]) == (
        service.__version__,
        manifest.name,
        manifest.fingerprint,
    )
    assert (info["relations"], info["registry_version"], info["threshold"]) == (6, 1, 0.5)
    assert info["index"] == "flat"
    assert info["limits"]["sentence_tokens"] == manifest.sentence_tokens
    assert info["limits"]["body_bytes"] == 8 * 1024 * 1024


async def test_metrics_are_readable_by_prometheus_and_follow_what_happens(client: httpx.AsyncClient) -> None:
    await client.post("/extract", json=REQUEST)
    await client.delete("/relations/P19")
    response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain")
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if sample.name in ("emma_relations", "emma_registry_version", "emma_queue_depth", "emma_batch_instances_count")
    }
    assert values == {
        "emma_relations": 5,
        "emma_registry_version": 2,
        "emma_queue_depth": 0,
        "emma_batch_instances_count": 1,
    }


async def test_the_tier_of_the_index_is_the_one_that_is_1(client: httpx.AsyncClient) -> None:
    families = text_string_to_metric_families((await client.get("/metrics")).text)
    tiers = {x.labels["tier"]: x.value for family in families for x in family.samples if x.name == "emma_index_tier"}
    assert tiers == {"flat": 1, "IVF, SQ8": 0}
