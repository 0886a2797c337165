from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from structlog.testing import capture_logs

from models.relation import Relation
from models.text import DescriptionInput, InputError
from service.app import create_app
from service.settings import Settings
from service.state import State
from tests.service import postgresql
from tests.service.conftest import OTHER_WRITER, READER, WRITER, Serve, running
from tests.service.fakes import FakeRuntime

pytestmark = pytest.mark.anyio

TEACHER = {"name": "teacher", "description": "The head teaches the tail."}
LESSON = {"sentence": "Anna teaches Alan.", "head": {"start": 0, "end": 4}, "tail": {"start": 13, "end": 17}}


@pytest.fixture(params=["sqlite", "postgresql"])
def registry(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[dict[str, object]]:
    """The settings of a registry, of each kind."""
    if request.param == "sqlite":
        yield {"data_dir": data_dir}
    else:
        with postgresql.schema() as url:
            yield {"database_url": url}


async def version(client: httpx.AsyncClient) -> int:
    return int((await client.get("/info")).json()["registry_version"])


async def best(client: httpx.AsyncClient) -> str | None:
    relation = (await client.post("/extract", json=LESSON)).json()["relation"]
    return None if relation is None else str(relation["id"])


async def test_a_registered_relation_is_known_to_the_next_request(client: httpx.AsyncClient) -> None:
    assert await best(client) is None
    response = await client.post("/relations", json={"id": "T1", **TEACHER})
    assert response.status_code == 201
    assert response.headers["Location"] == "/relations/T1"
    record = response.json()
    assert {key: record[key] for key in ("id", "name", "description", "truncated", "version")} == {
        "id": "T1",
        **TEACHER,
        "truncated": False,
        "version": 2,
    }
    assert await best(client) == "T1"
    assert (await client.get("/relations/T1")).json() == {k: v for k, v in record.items() if k != "similar"}


async def test_a_registration_answers_with_the_nearest_of_those_that_were_there(client: httpx.AsyncClient) -> None:
    twin = {"name": "place of birth", "description": "The head was born in the tail."}
    for request in (client.post("/relations", json={"id": "T1", **twin}), client.put("/relations/T1", json=twin)):
        similar = (await request).json()["similar"]
        assert (similar[0]["id"], similar[0]["name"]) == ("P19", "place of birth")
        assert similar[0]["score"] == pytest.approx(1, abs=1e-5)
        assert [x["score"] for x in similar] == sorted((x["score"] for x in similar), reverse=True)
        assert len(similar) == 3
        assert "T1" not in [x["id"] for x in similar]


async def test_the_first_relation_of_all_has_none_that_is_near(serve: Serve) -> None:
    async with serve(seed_catalogue=False) as client:
        assert (await client.post("/relations", json=TEACHER)).json()["similar"] == []


async def test_further_wordings_are_kept_and_searched_by(client: httpx.AsyncClient) -> None:
    odd = {"id": "T1", "name": "teacher", "description": "Nobody knows."}
    await client.post("/relations", json=odd)
    assert await best(client) is None
    worded = odd | {"paraphrases": [TEACHER["description"], "Anna teaches somebody."]}
    record = (await client.put("/relations/T1", json={k: v for k, v in worded.items() if k != "id"})).json()
    assert record["paraphrases"] == worded["paraphrases"]
    candidates = (await client.post("/extract", json=LESSON)).json()["candidates"]
    assert candidates[0]["id"] == "T1"


async def test_what_the_model_does_not_read_is_kept_too(client: httpx.AsyncClient) -> None:
    said = {
        "inverse": "T2",
        "symmetric": False,
        "head_types": ["person"],
        "tail_types": ["person", "class"],
        "aliases": ["instructor"],
        "tags": ["school"],
    }
    record = (await client.post("/relations", json={"id": "T1", **TEACHER, **said})).json()
    assert {key: record[key] for key in said} == said
    assert record.items() >= (await client.get("/relations/T1")).json().items()
    replaced = (await client.put("/relations/T1", json=TEACHER)).json()
    assert (replaced["tags"], replaced["inverse"]) == ([], None)
    [event, _] = (await client.get("/relations/T1/history")).json()["items"]
    assert event["changed"] == ["inverse", "head_types", "tail_types", "aliases", "tags"]


@pytest.mark.parametrize(
    ("field", "value", "status", "at"),
    [
        ("tags", ["two words"], 422, "tags.0"),
        ("tags", ["a", "a"], 422, "tags"),
        ("aliases", [" "], 422, "aliases.0"),
        ("aliases", [f"{i}" for i in range(21)], 413, "aliases"),
        ("inverse", "no id", 422, "inverse"),
        ("symmetric", "yes", 422, "symmetric"),
    ],
)
async def test_annotations_that_cannot_be_are_refused(
    client: httpx.AsyncClient, field: str, value: object, status: int, at: str
) -> None:
    response = await client.post("/relations", json={**TEACHER, field: value})
    assert (response.status_code, response.json()["error"]["field"]) == (status, at)


async def test_the_same_relation_again_is_no_error_and_no_change(client: httpx.AsyncClient) -> None:
    first = await client.post("/relations", json={"id": "T1", **TEACHER})
    again = await client.post("/relations", json={"id": "T1", **TEACHER})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert "Location" not in again.headers
    assert await version(client) == 2


async def test_a_relation_without_an_id_gets_one_that_a_retry_gets_too(client: httpx.AsyncClient) -> None:
    first = await client.post("/relations", json=TEACHER)
    again = await client.post("/relations", json={**TEACHER, "id": None, "name": " teacher "})
    assert (first.status_code, again.status_code) == (201, 200)
    assert re.fullmatch("teacher-[0-9a-f]{8}", first.json()["id"])
    assert again.json() == first.json()


async def test_other_content_under_an_id_is_a_conflict_that_names_it_and_the_way_out(
    client: httpx.AsyncClient,
) -> None:
    response = await client.post("/relations", json={"id": "P19", **TEACHER})
    assert response.status_code == 409
    error = response.json()["error"]
    assert (error["type"], error["field"]) == ("conflict", "id")
    assert "'P19'" in error["message"]
    assert "PUT" in error["message"]


async def test_put_creates_and_then_replaces(client: httpx.AsyncClient) -> None:
    created = await client.put("/relations/T1", json={"name": "x", "description": "The head knows the tail."})
    assert (created.status_code, created.headers["Location"]) == (201, "/relations/T1")
    assert await best(client) is None
    replaced = await client.put("/relations/T1", json=TEACHER)
    assert (replaced.status_code, replaced.json()["name"]) == (200, "teacher")
    assert replaced.json()["created_at"] == created.json()["created_at"]
    assert await best(client) == "T1"


async def test_a_deleted_relation_is_not_found_any_more(client: httpx.AsyncClient) -> None:
    await client.post("/relations", json={"id": "T1", **TEACHER})
    deleted = await client.delete("/relations/T1")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert await best(client) is None
    for response in (await client.get("/relations/T1"), await client.delete("/relations/T1")):
        assert response.status_code == 404
        assert "'T1'" in response.json()["error"]["message"]


async def test_a_deleted_id_can_be_registered_again(client: httpx.AsyncClient) -> None:
    await client.delete("/relations/P19")
    assert (await client.post("/relations", json={"id": "P19", **TEACHER})).status_code == 201


async def test_the_history_tells_what_was_done_also_to_what_is_deleted(client: httpx.AsyncClient) -> None:
    await client.post("/relations", json={"id": "T1", **TEACHER})
    await client.put("/relations/T1", json=TEACHER | {"name": "taught"})
    await client.delete("/relations/T1")
    deleted, replaced, created = (await client.get("/relations/T1/history")).json()["items"]
    assert [(x["action"], x["version"], x["actor"]) for x in (deleted, replaced, created)] == [
        ("deleted", 4, None),
        ("replaced", 3, None),
        ("created", 2, None),
    ]
    assert deleted["content"] is None
    assert (replaced["changed"], replaced["content"]["name"]) == (["name"], "taught")


async def test_the_history_comes_in_pages(client: httpx.AsyncClient) -> None:
    for number in range(3):
        await client.put("/relations/T1", json=TEACHER | {"name": f"Number {number}"})
    first = (await client.get("/relations/T1/history", params={"limit": 2})).json()
    second = (await client.get("/relations/T1/history", params={"cursor": first["next_cursor"]})).json()
    assert [[x["version"] for x in page["items"]] for page in (first, second)] == [[4, 3], [2]]
    assert second["next_cursor"] is None


async def test_who_made_a_change_is_who_authenticated(data_dir: Any, model: FakeRuntime) -> None:
    app = create_app(Settings(data_dir=data_dir), model)

    @app.middleware("http")
    async def authenticate(request: Request, answer: RequestResponseEndpoint) -> Response:
        request.state.actor = "ada"
        return await answer(request)

    async with running(app) as client:
        await client.post("/relations", json={"id": "T1", **TEACHER})
        await client.put("/relations/T1", json=TEACHER | {"name": "x"})
        await client.delete("/relations/T1")
        events = (await client.get("/relations/T1/history")).json()["items"]
    assert [event["actor"] for event in events] == ["ada"] * 3


async def test_the_history_has_the_id_of_the_key_that_a_change_was_made_with(
    serve: Serve, keys_file: Path, registry: dict[str, object]
) -> None:
    async with serve(api_keys_file=keys_file, **registry) as client:
        await client.post("/relations", json={"id": "T1", **TEACHER}, headers=WRITER)
        await client.put("/relations/T1", json=TEACHER | {"name": "x"}, headers=OTHER_WRITER)
        items = {"items": [{"id": "T1", **TEACHER}], "replace": True}
        await client.post("/relations/batch", json=items, headers=WRITER)
        await client.delete("/relations/T1", headers=OTHER_WRITER)
        events = (await client.get("/relations/T1/history", headers=READER)).json()["items"]
    assert [(event["action"], event["actor"]) for event in reversed(events)] == [
        ("created", "writer"),
        ("replaced", "other-writer"),
        ("replaced", "writer"),
        ("deleted", "other-writer"),
    ]


async def test_a_key_that_may_only_read_changes_nothing(serve: Serve, keys_file: Path) -> None:
    async with serve(api_keys_file=keys_file) as client:
        client.headers.update(READER)
        refused = [
            await client.post("/relations", json={"id": "T1", **TEACHER}),
            await client.post("/relations/batch", json={"items": [{"id": "T1", **TEACHER}]}),
            await client.put("/relations/P19", json=TEACHER),
            await client.delete("/relations/P19"),
        ]
        assert await version(client) == 1
    assert [response.status_code for response in refused] == [403] * 4
    assert {str(response.json()["error"]) for response in refused} == {
        str(
            {
                "type": "forbidden",
                "message": "the key 'reader' may read only, and this changes relations: use one with the role write",
            }
        )
    }


async def test_a_key_that_may_only_read_is_refused_before_the_body_is_looked_at(serve: Serve, keys_file: Path) -> None:
    async with serve(api_keys_file=keys_file) as client:
        assert (await client.post("/relations", json={"x": 1}, headers=READER)).status_code == 403


@pytest.mark.parametrize("path", ["/relations", "/relations/batch"])
async def test_an_idempotency_key_does_not_tell_one_what_another_did(serve: Serve, keys_file: Path, path: str) -> None:
    body = {"id": "T1", **TEACHER}
    sent = {"items": [body]} if path.endswith("batch") else body
    key = {"Idempotency-Key": "k1"}
    async with serve(api_keys_file=keys_file) as client:
        first, again, other = [
            await client.post(path, json=sent, headers=key | who) for who in (WRITER, WRITER, OTHER_WRITER)
        ]
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert (other.status_code, other.json()["error"]["field"]) == (422, "idempotency-key")


@pytest.mark.parametrize("path", ["/relations", "/relations/batch"])
async def test_a_request_with_a_key_that_is_repeated_is_answered_alike(client: httpx.AsyncClient, path: str) -> None:
    body = {"id": "T1", **TEACHER}
    key = {"Idempotency-Key": '"8e03978e-40d5"'}
    sent = {"json": {"items": [body]} if path.endswith("batch") else body, "headers": key}
    first = await client.post(path, **sent)  # type: ignore[arg-type]
    await client.delete("/relations/T1")
    again = await client.post(path, **sent)  # type: ignore[arg-type]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert (await client.get("/relations/T1")).status_code == 404


async def test_a_key_that_comes_again_with_another_request_is_refused(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k1"}
    body = {"id": "T1", **TEACHER}
    assert (await client.post("/relations", json=body, headers=key)).status_code == 201
    for path, other in (("/relations", body | {"name": "x"}), ("/relations/batch", {"items": [body]})):
        refused = await client.post(path, json=other, headers=key)
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, "idempotency-key")


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
async def test_a_key_that_is_too_long_or_has_white_space_is_refused(client: httpx.AsyncClient, key: str) -> None:
    refused = await client.post("/relations", json=TEACHER, headers={"Idempotency-Key": key})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "idempotency-key")


async def test_pages_list_every_relation_once(client: httpx.AsyncClient) -> None:
    ids: list[str] = []
    query: dict[str, Any] = {"limit": 4}
    while True:
        page = (await client.get("/relations", params=query)).json()
        assert page["total"] == 6
        ids += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert ids == sorted(["P19", "P20", "P26", "P108", "P159", "P800"])


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"cursor": ""}, {"cursor": "x" * 129}]
)
async def test_a_page_that_cannot_be_is_refused(client: httpx.AsyncClient, query: dict[str, Any]) -> None:
    response = await client.get("/relations", params=query)
    assert response.status_code == 422
    assert response.json()["error"]["field"] == next(iter(query))


async def test_a_batch_is_registered_in_one_version(client: httpx.AsyncClient) -> None:
    items = [{"id": f"B{i}", "name": "x", "description": f"Number {i}."} for i in range(3)]
    response = await client.post("/relations/batch", json={"items": items})
    assert response.status_code == 201
    body = response.json()
    assert body["created"] == 3
    assert [(item["id"], item["version"]) for item in body["items"]] == [("B0", 2), ("B1", 2), ("B2", 2)]


async def test_a_batch_that_is_there_already_is_no_error(client: httpx.AsyncClient) -> None:
    items = [{"id": f"B{i}", "name": "x", "description": f"Number {i}."} for i in range(3)]
    await client.post("/relations/batch", json={"items": items[:2]})
    partly = await client.post("/relations/batch", json={"items": items})
    fully = await client.post("/relations/batch", json={"items": items})
    assert [(x.status_code, x.json()["created"]) for x in (partly, fully)] == [(201, 1), (200, 0)]


async def test_a_batch_that_is_to_replace_does(client: httpx.AsyncClient) -> None:
    before = (await client.get("/relations/P19")).json()
    items = [{"id": "P19", **TEACHER}, {"id": "B1", "name": "x", "description": "Number 1."}]
    body = (await client.post("/relations/batch", json={"items": items, "replace": True})).json()
    assert body["created"] == 1
    assert [(item["name"], item["version"]) for item in body["items"]] == [("teacher", 2), ("x", 2)]
    assert body["items"][0]["created_at"] == before["created_at"]


@pytest.mark.parametrize(
    ("wrong", "status", "field", "message"),
    [
        ({"id": "P19", **TEACHER}, 409, "items", "'P19'"),
        ({"id": "B0", **TEACHER}, 422, "items.2.id", "'B0' is there twice, at items.0 and items.2"),
        ({"id": "B9", "name": " ", "description": "x"}, 422, "items.2.name", "no readable character"),
        ({"id": "B9", "name": "x", "description": "w" * 5001}, 413, "items.2.description", "5,001 characters"),
    ],
)
async def test_a_batch_with_one_refused_registers_none(
    client: httpx.AsyncClient, wrong: dict[str, str], status: int, field: str, message: str
) -> None:
    items = [*({"id": f"B{i}", "name": "x", "description": f"Number {i}."} for i in range(2)), wrong]
    response = await client.post("/relations/batch", json={"items": items})
    assert response.status_code == status
    error = response.json()["error"]
    assert error["field"] == field
    assert message in error["message"]
    assert (await client.get("/relations")).json()["total"] == 6
    assert await version(client) == 1


async def test_two_relations_without_ids_that_are_the_same_are_there_twice(client: httpx.AsyncClient) -> None:
    response = await client.post("/relations/batch", json={"items": [TEACHER, TEACHER]})
    assert response.status_code == 422
    assert "at items.0 and items.1" in response.json()["error"]["message"]


async def test_a_batch_over_the_limit_is_refused_and_one_at_the_limit_registered(client: httpx.AsyncClient) -> None:
    items = [{"id": f"B{i}", "name": "x", "description": f"Number {i}."} for i in range(1001)]
    refused = await client.post("/relations/batch", json={"items": items})
    assert refused.status_code == 413
    assert refused.json()["error"]["message"] == "items has 1,001 items, the limit is 1,000"
    assert (await client.post("/relations/batch", json={"items": items[:1000]})).status_code == 201
    assert (await client.get("/info")).json()["relations"] == 1006


async def test_a_description_of_ten_thousand_words_is_refused_with_its_length_and_the_limit(
    client: httpx.AsyncClient,
) -> None:
    response = await client.post("/relations", json={"name": "x", "description": "words " * 10_000})
    assert response.status_code == 413
    assert response.json()["error"] == {
        "type": "too_large",
        "message": "description has 60,000 characters, the limit is 5,000",
        "field": "description",
    }


async def test_a_description_over_the_models_limit_is_marked(client: httpx.AsyncClient) -> None:
    response = await client.post("/relations", json={"id": "T1", "name": "x", "description": "born " * 100})
    assert response.json()["truncated"] is True


@pytest.mark.parametrize("key", ["a b", ".a", "é", "x" * 129])
async def test_an_id_that_does_not_fit_a_path_is_refused(client: httpx.AsyncClient, key: str) -> None:
    posted = await client.post("/relations", json={"id": key, **TEACHER})
    put = await client.put(f"/relations/{key}", json=TEACHER)
    assert [x.json()["error"]["field"] for x in (posted, put)] == ["id", "relation_id"]
    assert [x.status_code for x in (posted, put)] == [422, 422]


async def test_an_id_that_nothing_could_have_is_not_found(client: httpx.AsyncClient) -> None:
    for key in ("a%00b", "%ff", "a%20b", "%F0%9F%92%A9"):
        for path in (f"/relations/{key}", f"/relations/{key}/history"):
            assert (await client.get(path)).status_code == 404


async def test_a_description_that_the_model_cannot_read_is_refused_with_its_position(
    client: httpx.AsyncClient, model: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = model.describe

    def picky(relations: Sequence[Relation]) -> list[DescriptionInput]:
        if any(relation.name == "picky" for relation in relations):
            raise InputError("description", "no readable character")
        return describe(relations)

    monkeypatch.setattr(model, "describe", picky)
    bad = {"name": "picky", "description": "x"}
    alone = await client.post("/relations", json=bad)
    batch = await client.post("/relations/batch", json={"items": [TEACHER, bad]})
    assert [(x.status_code, x.json()["error"]["field"]) for x in (alone, batch)] == [
        (422, "description"),
        (422, "items.1.description"),
    ]
    assert (await client.get("/relations")).json()["total"] == 6


async def test_many_at_once_all_succeed_with_versions_of_their_own(client: httpx.AsyncClient) -> None:
    responses = await asyncio.gather(
        *(
            client.post("/relations", json={"id": f"C{i}", "name": "x", "description": f"Number {i}."})
            for i in range(50)
        )
    )
    assert [response.status_code for response in responses] == [201] * 50
    assert sorted(response.json()["version"] for response in responses) == list(range(2, 52))
    assert (await client.get("/info")).json()["relations"] == 56


async def test_a_registry_that_cannot_be_written_is_503_and_extraction_goes_on(
    data_dir: Any, model: FakeRuntime
) -> None:
    state = State.open(Settings(data_dir=data_dir), model)
    engine = state.registrar._registry._engine
    async with running(create_app(state=state)) as client:
        engine.dispose()

        def forbid(connection: Any, _: object) -> None:
            connection.execute("PRAGMA query_only = ON")

        event.listen(engine, "connect", forbid)
        refused = [
            await client.post("/relations", json={"id": "T1", **TEACHER}),
            await client.put("/relations/P19", json=TEACHER),
            await client.delete("/relations/P19"),
            await client.post("/relations/batch", json={"items": [TEACHER]}),
        ]
        assert [response.status_code for response in refused] == [503] * 4
        assert {response.json()["error"]["type"] for response in refused} == {"registry_unavailable"}
        assert {response.headers["Retry-After"] for response in refused} == {"1"}
        assert await best(client) is None
        assert (await client.get("/relations/P19")).json()["name"] == "place of birth"
        event.remove(engine, "connect", forbid)
        engine.dispose()
        assert (await client.post("/relations", json={"id": "T1", **TEACHER})).status_code == 201
        assert await best(client) == "T1"


async def test_a_change_that_reached_the_registry_but_not_the_index_is_made_good_by_the_retry(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve() as client:
        with capture_logs(), monkeypatch.context() as broken:
            broken.setattr("service.replica.synchronise", lambda *parts: 1 / 0)
            assert (await client.post("/relations", json={"id": "T1", **TEACHER})).status_code == 500
        assert await best(client) is None
        assert (await client.post("/relations", json={"id": "T1", **TEACHER})).status_code == 200
        assert await best(client) == "T1"
