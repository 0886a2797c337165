from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message

from tests.service.conftest import Serve
from tests.service.fakes import HEAD, REQUEST, SENTENCE, TAIL, FakeRuntime

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}


async def fault(client: httpx.AsyncClient, body: dict[str, Any], status: int = 422) -> tuple[str, str]:
    response = await client.post("/extract", json=body)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    return error["field"], error["message"]


def span(start: int, end: int) -> dict[str, int]:
    return {"start": start, "end": end}


async def test_the_relation_between_two_mentions_is_found(client: httpx.AsyncClient) -> None:
    response = await client.post("/extract", json=REQUEST)
    assert response.status_code == 200
    body = response.json()
    assert body["relation"] == body["candidates"][0]
    assert (body["relation"]["id"], body["relation"]["name"]) == ("P19", "place of birth")
    assert len(body["candidates"]) == 3
    assert (body["truncated"], body["registry_version"], body["model"]) == (False, 1, "fake")


async def test_where_there_is_no_relation_the_answer_is_null(client: httpx.AsyncClient) -> None:
    body = {"sentence": "Anna ; Alan", "head": span(0, 4), "tail": span(7, 11)}
    assert (await client.post("/extract", json=body)).json()["relation"] is None


@pytest.mark.parametrize(
    ("head", "tail", "field", "message"),
    [
        (span(0, 99), TAIL, "head", "does not lie in the sentence of 32 characters"),
        (HEAD, span(33, 34), "tail", "does not lie in the sentence of 32 characters"),
        (span(3, 3), TAIL, "head", "is empty"),
        (span(12, 0), TAIL, "head", "is inverted"),
        (HEAD, span(3, 9), "tail", "overlaps the head"),
        (HEAD, HEAD, "tail", "are the same span"),
        (span(12, 13), TAIL, "head", "covers only white space"),
        (span(-1, 4), TAIL, "head.start", "greater than or equal to 0, got -1"),
        (span(0, 10**30), TAIL, "head", "does not lie in the sentence"),
    ],
)
async def test_a_span_that_does_not_fit_names_the_field_and_the_fault(
    client: httpx.AsyncClient, head: dict[str, int], tail: dict[str, int], field: str, message: str
) -> None:
    found = await fault(client, {"sentence": SENTENCE, "head": head, "tail": tail})
    assert found[0] == field
    assert message in found[1]


@pytest.mark.parametrize("sentence", ["", " ", "\n\t\u3000"])
async def test_a_sentence_without_text_is_refused(client: httpx.AsyncClient, sentence: str) -> None:
    field, _ = await fault(client, REQUEST | {"sentence": sentence})
    assert field == "sentence"


async def test_a_sentence_over_the_limit_is_refused_with_its_length_and_the_limit(client: httpx.AsyncClient) -> None:
    found = await fault(client, REQUEST | {"sentence": SENTENCE + "x" * 20_000}, 413)
    assert found == ("sentence", "sentence has 20,032 characters, the limit is 20,000")


async def test_a_sentence_at_the_limit_is_read_and_said_to_be_cut(client: httpx.AsyncClient) -> None:
    response = await client.post("/extract", json=REQUEST | {"sentence": (SENTENCE + " born" * 5_000)[:20_000]})
    assert response.status_code == 200
    assert response.json()["truncated"] is True


async def test_mentions_that_take_more_than_the_model_reads_are_refused(client: httpx.AsyncClient) -> None:
    body = {"sentence": "born " * 100 + "London", "head": span(0, 499), "tail": span(500, 506)}
    field, message = await fault(client, body)
    assert field == "head"
    assert "give shorter spans" in message


async def test_a_mention_of_control_characters_is_refused(client: httpx.AsyncClient) -> None:
    body = {"sentence": "\x01\x02 was born in London", "head": span(0, 2), "tail": span(15, 21)}
    assert await fault(client, body) == ("head", "the head '\\x01\\x02' has no readable character")


@pytest.mark.parametrize(
    "sentence",
    [
        "Ada was\x00\x01\x1b born in \u200bLondon",
        "Ada 👩🏽\u200d🚀🏳️\u200d🌈 was born in 🇬🇧 London",
        "Ada [Eh] was [/Eh] born [Et] in [SEP] [CLS] [PAD] London",
        "Ada אבג was born in \u202eLondon",
        "Ada " + "e\u0301" * 50 + " born in London",
    ],
    ids=["control", "emoji", "markers", "right-to-left", "combining"],
)
async def test_strange_text_around_the_mentions_is_only_text(client: httpx.AsyncClient, sentence: str) -> None:
    body = {"sentence": sentence, "head": span(0, 3), "tail": span(len(sentence) - 6, len(sentence))}
    response = await client.post("/extract", json=body)
    assert response.status_code == 200
    assert response.json()["relation"]["id"] == "P19"


async def test_offsets_count_code_points(client: httpx.AsyncClient) -> None:
    sentence = "👩 Ada was born in London"
    body = {"sentence": sentence, "head": span(2, 5), "tail": span(18, 24)}
    assert (await client.post("/extract", json=body)).status_code == 200
    field, message = await fault(client, body | {"tail": span(18, 25)})
    assert field == "tail"
    assert "24 characters" in message


async def test_a_span_that_cuts_an_emoji_is_refused(client: httpx.AsyncClient) -> None:
    body = {"sentence": "👩🏽\u200d🚀 was born in London", "head": span(0, 1), "tail": span(17, 23)}
    field, message = await fault(client, body)
    assert field == "head"
    assert "in two" in message


async def test_relations_that_are_not_registered_are_named(client: httpx.AsyncClient) -> None:
    field, message = await fault(client, REQUEST | {"relations": ["P19", *(f"x{i}" for i in range(7))]})
    assert field == "relations"
    assert "'x0', 'x1', 'x2', 'x3', 'x4' and 2 more" in message


async def test_only_the_given_relations_are_candidates(client: httpx.AsyncClient) -> None:
    response = await client.post("/extract", json=REQUEST | {"relations": ["P20", "P26"]})
    assert {candidate["id"] for candidate in response.json()["candidates"]} == {"P20", "P26"}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{'sentence': 1}", b"\xff\xfe", b"[" * 100_000, b"9" * 5_000, b"nonsense", b"null", b"[]", b'"x"'],
)
async def test_a_body_that_is_no_json_object_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    response = await client.post("/extract", content=content, headers=JSON)
    assert response.status_code == 422
    assert response.json()["error"]["field"] == "body"


async def test_where_a_body_stops_being_json_is_said(client: httpx.AsyncClient) -> None:
    response = await client.post("/extract", content=b'{"sentence": }', headers=JSON)
    assert response.json()["error"] == {
        "type": "invalid_json",
        "message": "the body is not JSON: Expecting value at character 13",
        "field": "body",
    }


async def test_json_under_another_content_type_is_explained(client: httpx.AsyncClient) -> None:
    response = await client.post("/extract", content=b"{}", headers={"Content-Type": "text/plain"})
    assert response.status_code == 422
    assert "Content-Type: application/json" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "content", [rb'{"sentence": "\ud800"}', rb'{"\udc00": 1}', rb'{"sentence": "a", "relations": ["\udfff"]}']
)
async def test_half_a_surrogate_pair_is_the_clients_fault(client: httpx.AsyncClient, content: bytes) -> None:
    response = await client.post("/extract", content=content, headers=JSON)
    assert response.status_code == 422


async def test_a_batch_is_answered_in_order(client: httpx.AsyncClient) -> None:
    items = [
        REQUEST,
        {"sentence": "Anna is married to Alan.", "head": span(0, 4), "tail": span(19, 23), "top_k": 1},
        REQUEST | {"threshold": 1.0},
    ]
    response = await client.post("/extract/batch", json={"items": items})
    alone = [(await client.post("/extract", json=item)).json() for item in items]
    assert response.json() == {"results": alone}
    assert [x["relation"] and x["relation"]["id"] for x in alone] == ["P19", "P26", None]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"head": span(0, 99)}, "items.2.head"),
        ({"head": {"start": "0", "end": 1}}, "items.2.head.start"),
        ({"sentence": " " * 40}, "items.2.sentence"),
        ({"relations": ["nope"]}, "items.2.relations"),
        ({"sentence": "\x01" * 12 + " was born in London."}, "items.2.head"),
    ],
)
async def test_a_fault_in_a_batch_has_its_position(
    client: httpx.AsyncClient, wrong: dict[str, Any], field: str
) -> None:
    items = [REQUEST, REQUEST, REQUEST | wrong]
    response = await client.post("/extract/batch", json={"items": items})
    assert response.status_code == 422
    assert response.json()["error"]["field"] == field


async def test_a_batch_over_the_limit_is_refused_with_its_length_and_the_limit(client: httpx.AsyncClient) -> None:
    response = await client.post("/extract/batch", json={"items": [REQUEST] * 257})
    assert response.status_code == 413
    assert response.json()["error"]["message"] == "items has 257 items, the limit is 256"


async def test_the_largest_batch_fits_the_smallest_queue(serve: Serve, model: FakeRuntime) -> None:
    async with serve(queue_size=1, batch_size=100, cache_size=0) as client:
        response = await client.post("/extract/batch", json={"items": [REQUEST] * 256})
    assert response.status_code == 200
    assert model.batches[-3:] == [100, 100, 56]


async def test_an_empty_batch_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.post("/extract/batch", json={"items": []})).status_code == 422


async def held(client: httpx.AsyncClient, model: FakeRuntime) -> asyncio.Task[httpx.Response]:
    """A request that the model is busy with until `model.go` is set."""
    model.entered.clear()
    model.go.clear()
    task = asyncio.create_task(client.post("/extract", json=REQUEST))
    await asyncio.to_thread(model.entered.wait)
    return task


async def until_waiting(client: httpx.AsyncClient, count: int) -> None:
    """Poll the metric, each time letting everything else run."""
    while f"emma_queue_depth {count}.0" not in (await client.get("/metrics")).text:
        await asyncio.sleep(0)


async def test_requests_that_come_together_share_a_batch(serve: Serve, model: FakeRuntime) -> None:
    async with serve(batch_size=2) as client:
        first = await held(client, model)
        others = [asyncio.create_task(client.post("/extract", json=REQUEST)) for _ in range(2)]
        await until_waiting(client, 2)
        model.go.set()
        responses = await asyncio.gather(first, *others)
    assert [response.status_code for response in responses] == [200, 200, 200]
    assert len({response.text for response in responses}) == 1
    assert model.batches[-2:] == [1, 2]


async def test_beyond_the_queue_the_answer_is_to_come_back_later(serve: Serve, model: FakeRuntime) -> None:
    async with serve(queue_size=1) as client:
        first = await held(client, model)
        waiting = asyncio.create_task(client.post("/extract", json=REQUEST))
        await until_waiting(client, 1)
        refused = await client.post("/extract", json=REQUEST)
        assert refused.status_code == 429
        assert refused.json()["error"]["type"] == "overloaded"
        assert refused.headers["Retry-After"] == "1"
        model.go.set()
        assert [(await task).status_code for task in (first, waiting)] == [200, 200]


async def test_after_the_deadline_the_answer_is_504(serve: Serve, model: FakeRuntime) -> None:
    async with serve(deadline_seconds=0.05) as client:
        model.go.clear()
        response = await client.post("/extract", json=REQUEST)
        assert response.status_code == 504
        assert response.json()["error"]["type"] == "deadline_exceeded"
        model.go.set()


async def test_a_client_that_goes_frees_its_place(serve: Serve, model: FakeRuntime) -> None:
    async with serve(queue_size=1) as client:
        first = await held(client, model)
        given_up = asyncio.create_task(client.post("/extract", json=REQUEST))
        await until_waiting(client, 1)
        given_up.cancel()
        await until_waiting(client, 0)
        model.go.set()
        assert (await first).status_code == 200


async def test_a_client_that_closes_the_connection_frees_its_place(serve: Serve, model: FakeRuntime) -> None:
    gone = asyncio.Event()
    messages: list[Message] = [{"type": "http.request", "body": json.dumps(REQUEST).encode(), "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async with serve() as client:
        first = await held(client, model)
        assert isinstance(client._transport, httpx.ASGITransport)
        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/extract", "headers": headers, "query_string": b""}
        leaving = asyncio.ensure_future(client._transport.app(scope, receive, send))
        await until_waiting(client, 1)
        gone.set()
        await leaving
        assert sent[0]["status"] == 499
        assert "emma_queue_depth 0.0" in (await client.get("/metrics")).text
        model.go.set()
        assert (await first).status_code == 200
    assert model.batches[-1:] == [1]


async def test_a_client_that_goes_in_the_middle_of_its_body_is_not_answered_as_if_it_were_wrong(serve: Serve) -> None:
    messages: list[Message] = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"{", "more_body": True}]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    async with serve() as client:
        assert isinstance(client._transport, httpx.ASGITransport)
        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/extract", "headers": headers, "query_string": b""}
        await client._transport.app(scope, receive, send)
    assert sent[0]["status"] == 499


async def test_stopping_fails_what_waits_and_finishes_what_runs(serve: Serve, model: FakeRuntime) -> None:
    context = serve()
    client = await context.__aenter__()
    first = await held(client, model)
    waiting = asyncio.create_task(client.post("/extract", json=REQUEST))
    await until_waiting(client, 1)
    # The client is closed before the application stops; requests that are under way keep their transport.
    stopping = asyncio.create_task(context.__aexit__(None, None, None))
    refused = await waiting
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    model.go.set()
    await stopping
    assert (await first).status_code == 200


TEXT = st.text(max_size=40) | st.just(SENTENCE) | st.text(st.characters(categories=["Mn", "Cf", "So", "Zs", "Cc"]))
OFFSET = st.integers(-3, 45) | st.integers()
SPAN = st.fixed_dictionaries({"start": OFFSET, "end": OFFSET})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(TEXT, SPAN, SPAN)
async def test_whatever_the_offsets_the_answer_is_a_relation_or_a_named_fault(
    client: httpx.AsyncClient, sentence: str, head: dict[str, int], tail: dict[str, int]
) -> None:
    response = await client.post("/extract", json={"sentence": sentence, "head": head, "tail": tail})
    assert response.status_code in (200, 422)
    if response.status_code == 422:
        assert response.json()["error"]["field"].split(".")[0] in ("sentence", "head", "tail")


async def test_a_client_reads_what_it_wrote(client: httpx.AsyncClient) -> None:
    version = (await client.post("/relations", json={"name": "x", "description": "Something."})).json()["version"]
    answer = await client.post("/extract", json={**REQUEST, "min_version": version})
    assert (answer.status_code, answer.json()["registry_version"]) == (200, version)


@pytest.mark.parametrize("batch", [False, True])
async def test_a_version_that_does_not_come_in_time_is_503_with_retry_after(serve: Serve, batch: bool) -> None:
    body = {**REQUEST, "min_version": 7}
    async with serve(version_wait_seconds=0.01) as client:
        if batch:
            response = await client.post("/extract/batch", json={"items": [REQUEST, body]})
        else:
            response = await client.post("/extract", json=body)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    error = response.json()["error"]
    assert error["type"] == "registry_behind"
    assert "version 7 of the registry was asked for and 1 is known" in error["message"]


@pytest.mark.parametrize("version", [-1, 2**31, "1", 1.5])
async def test_a_version_that_cannot_be_is_refused(client: httpx.AsyncClient, version: object) -> None:
    field, _ = await fault(client, {**REQUEST, "min_version": version})
    assert field == "min_version"


async def test_an_extraction_can_be_restricted_to_tags(client: httpx.AsyncClient) -> None:
    for key in ("T1", "T2"):
        body = {"id": key, "name": key, "description": "The head was born in the tail.", "tags": [f"tag-{key}"]}
        assert (await client.post("/relations", json=body)).status_code == 201
    answer = (await client.post("/extract", json={**REQUEST, "tags": ["tag-T2"]})).json()
    assert [candidate["id"] for candidate in answer["candidates"]] == ["T2"]
    both = (await client.post("/extract", json={**REQUEST, "tags": ["tag-T2"], "relations": ["T1"]})).json()
    assert (both["relation"], both["candidates"]) == (None, [])


async def test_tags_that_no_relation_has_are_refused_with_their_position(client: httpx.AsyncClient) -> None:
    body = {**REQUEST, "tags": ["nothing"]}
    alone = await client.post("/extract", json=body)
    batch = await client.post("/extract/batch", json={"items": [REQUEST, body]})
    assert [(x.status_code, x.json()["error"]["type"], x.json()["error"]["field"]) for x in (alone, batch)] == [
        (422, "unknown_tags", "tags"),
        (422, "unknown_tags", "items.1.tags"),
    ]
    assert "'nothing'" in alone.json()["error"]["message"]


async def test_a_repeated_request_needs_the_model_again_only_when_the_registry_has_changed(
    client: httpx.AsyncClient, model: FakeRuntime
) -> None:
    first = (await client.post("/extract", json=REQUEST)).json()
    read = len(model.batches)
    assert (await client.post("/extract", json=REQUEST)).json() == first
    assert len(model.batches) == read
    await client.delete(f"/relations/{first['relation']['id']}")
    again = (await client.post("/extract", json=REQUEST)).json()
    assert again["registry_version"] == first["registry_version"] + 1
    assert first["relation"]["id"] not in {x["id"] for x in again["candidates"]}
