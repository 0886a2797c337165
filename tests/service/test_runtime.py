"""The service with a real, if tiny, bundle in ONNX Runtime: what the fake model takes the place of."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.bundle import Bundle
from service.app import create_app
from service.settings import Settings
from tests.service.conftest import running
from tests.service.fakes import REQUEST

pytestmark = pytest.mark.anyio


async def test_a_bundle_is_served_from_start_to_stop(tiny_bundle: Bundle, tmp_path: Path) -> None:
    async with running(create_app(Settings(data_dir=tmp_path, bundle=tiny_bundle.path))) as client:
        relation = {"id": "T1", "name": "teacher of", "description": "The head teaches the tail."}
        assert (await client.post("/relations", json=relation)).status_code == 201
        body = REQUEST | {"top_k": 50, "threshold": 0}
        alone = (await client.post("/extract", json=body)).json()
        batch = (await client.post("/extract/batch", json={"items": [body] * 3})).json()
        info = (await client.get("/info")).json()
    catalogue = {relation.id for relation in tiny_bundle.relations()}
    assert {candidate["id"] for candidate in alone["candidates"]} == catalogue | {"T1"}
    assert alone["relation"] == alone["candidates"][0]
    assert [[x["id"] for x in row["candidates"]] for row in batch["results"]] == [
        [x["id"] for x in alone["candidates"]]
    ] * 3
    assert (info["fingerprint"], info["registry_version"]) == (tiny_bundle.manifest.fingerprint, 2)
