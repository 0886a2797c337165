from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from models.relation import Relation
from service.client import RefusedError, RelationClient, UnreachableError


def client(answer: Callable[[httpx.Request], httpx.Response]) -> RelationClient:
    return RelationClient("http://emma", transport=httpx.MockTransport(answer))


def test_all_pages_are_read() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        key, following = ("a", "a") if "cursor" not in request.url.params else ("b", None)
        items = [{"id": key, "name": key, "description": key}]
        return httpx.Response(200, json={"items": items, "next_cursor": following, "total": 2})

    assert [([x.id for x in relations], total) for relations, total in client(answer).pages()] == [
        (["a"], 2),
        (["b"], 2),
    ]


@pytest.mark.parametrize(("key", "sent"), [(None, None), ("", None), ("k1", "Bearer k1")])
def test_a_key_is_sent_when_there_is_one(key: str | None, sent: str | None) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers.get("Authorization") == sent
        return httpx.Response(201, json={"id": "made"})

    RelationClient("http://emma", transport=httpx.MockTransport(answer), key=key).add("a", "b")


def test_an_id_is_sent_only_when_it_is_given() -> None:
    bodies: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(201, json={"id": "made"})

    assert client(answer).add("a", "b") == "made"
    client(answer).add("a", "b", "x")
    assert bodies == [{"name": "a", "description": "b"}, {"name": "a", "description": "b", "id": "x"}]


def test_paraphrases_are_sent_only_when_there_are_any() -> None:
    bodies: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(201, json={"id": "made"})

    client(answer).add("a", "b", paraphrases=["c"])
    client(answer).replace(Relation("x", "a", "b"))
    assert bodies == [{"name": "a", "description": "b", "paraphrases": ["c"]}, {"name": "a", "description": "b"}]


@pytest.mark.parametrize(("status", "new"), [(201, True), (200, False)])
def test_replacing_says_whether_there_was_none(status: int, new: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.raw_path) == ("PUT", b"/relations/a%2Fb")
        return httpx.Response(status, json={})

    assert client(answer).replace(Relation("a/b", "x", "y")) is new


def test_a_batch_is_sent_as_it_is_and_says_when_it_is_to_replace() -> None:
    bodies: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(201, json={"created": 1})

    assert [client(answer).add_all([Relation("x", "a", "b")], replace) for replace in (False, True)] == [1, 1]
    items = {"items": [{"id": "x", "name": "a", "description": "b"}]}
    assert bodies == [items, items | {"replace": True}]


def test_a_relation_that_is_not_there_is_none() -> None:
    missing = client(lambda request: httpx.Response(404, json={"error": {"type": "not_found", "message": "no"}}))
    assert missing.get("x") is None


def test_a_refusal_has_the_status_the_services_words_and_the_field() -> None:
    error = {"type": "conflict", "message": "taken", "field": "id"}
    refusing = client(lambda request: httpx.Response(409, json={"error": error}))
    for use in (lambda: refusing.add("a", "b"), lambda: refusing.get("x")):
        with pytest.raises(RefusedError, match="taken") as caught:
            use()
        assert (caught.value.status, caught.value.field) == (409, "id")


def test_no_answer_says_what_to_do() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(UnreachableError, match=r"no answer from http://emma.*emma serve"):
        client(answer).add("a", "b")


@pytest.mark.parametrize("response", [httpx.Response(502, text="<html>"), httpx.Response(404, json={"detail": "x"})])
def test_an_answer_of_something_else_is_not_taken_for_the_services(response: httpx.Response) -> None:
    with pytest.raises(UnreachableError, match=f"answered {response.status_code}, but not as EMMA does"):
        client(lambda request: response).add("a", "b")
