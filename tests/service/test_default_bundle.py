"""The service with the model that ships."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.bundle import DEFAULT_BUNDLE, MANIFEST
from service.app import create_app
from service.settings import Settings
from tests.service.conftest import running
from tests.service.fakes import REQUEST, SENTENCE

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.weights,
    pytest.mark.skipif(not (DEFAULT_BUNDLE / MANIFEST).is_file(), reason="the default bundle is not there"),
]

LESSON = {
    "sentence": "Anna Sullivan taught Helen Keller.",
    "head": {"start": 0, "end": 13},
    "tail": {"start": 21, "end": 33},
    "relations": ["P19", "P159", "T1"],
}


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(Settings(data_dir=tmp_path))) as client:
        yield client


async def extract(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post("/extract", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_relation_of_the_catalogue_is_found(real: httpx.AsyncClient) -> None:
    assert (await extract(real, REQUEST))["candidates"][0]["id"] == "P19"


async def test_a_registered_relation_is_found_by_the_next_request(real: httpx.AsyncClient) -> None:
    description = "The head is a teacher who taught the tail, a pupil or student."
    created = await real.post("/relations", json={"id": "T1", "name": "teacher of", "description": description})
    assert created.status_code == 201
    assert (await extract(real, LESSON))["candidates"][0]["id"] == "T1"


async def test_an_answer_does_not_depend_on_who_shares_the_batch(real: httpx.AsyncClient) -> None:
    alone = await extract(real, REQUEST)
    company = [REQUEST | {"sentence": f"{SENTENCE}{' She wrote much.' * count}"} for count in range(1, 8)]
    together = (await real.post("/extract/batch", json={"items": [REQUEST, *company]})).json()["results"][0]
    assert [x["id"] for x in together["candidates"]] == [x["id"] for x in alone["candidates"]]
    for one, other in zip(together["candidates"], alone["candidates"], strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)
