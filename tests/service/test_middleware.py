from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from structlog.testing import capture_logs

from service.metrics import Metrics
from service.middleware import LimitBody, Observe
from tests.service.conftest import Serve
from tests.service.fakes import REQUEST

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("given", ["abc", "A.b_c-9", "x" * 128])
async def test_the_clients_request_id_is_echoed(client: httpx.AsyncClient, given: str) -> None:
    assert (await client.get("/healthz", headers={"X-Request-ID": given})).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "a,b"])
async def test_a_request_id_that_is_no_id_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    found = (await client.get("/healthz", headers={"X-Request-ID": given})).headers["X-Request-ID"]
    assert found != given
    assert len(found) == 32


async def test_errors_have_a_request_id_too(client: httpx.AsyncClient) -> None:
    assert len((await client.get("/nope")).headers["X-Request-ID"]) == 32


async def test_a_request_is_logged_with_its_route_and_without_its_path_or_text(client: httpx.AsyncClient) -> None:
    with capture_logs() as logs:
        await client.get("/relations/P19?secret=1", headers={"X-Request-ID": "r1"})
        await client.post("/extract", json=REQUEST)
    assert [(x["event"], x["method"], x["route"], x["status"], x["log_level"]) for x in logs] == [
        ("request", "GET", "/relations/{relation_id}", 200, "info"),
        ("request", "POST", "/extract", 200, "info"),
    ]
    assert all(isinstance(line["seconds"], float) for line in logs)
    assert "Lovelace" not in str(logs)
    assert "secret" not in str(logs)


async def test_refused_text_is_not_logged_either(client: httpx.AsyncClient) -> None:
    with capture_logs() as logs:
        await client.post("/extract", json=REQUEST | {"head": {"start": 5, "end": 5}, "private": 1})
    assert [line["status"] for line in logs] == [422]
    assert "private" not in str(logs)


async def test_probes_are_logged_only_for_debugging(client: httpx.AsyncClient) -> None:
    with capture_logs() as logs:
        for path in ("/healthz", "/readyz", "/metrics"):
            await client.get(path)
    assert {line["log_level"] for line in logs} == {"debug"}


async def test_requests_are_counted_by_route_and_unknown_paths_share_one(client: httpx.AsyncClient) -> None:
    await client.get("/relations/P19")
    await client.get("/relations/P20")
    await client.get("/a")
    await client.request("BREW", "/b")
    text = (await client.get("/metrics")).text
    assert 'emma_requests_total{method="GET",route="/relations/{relation_id}",status="200"} 2.0' in text
    assert 'emma_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'emma_requests_total{method="other",route="unmatched",status="404"} 1.0' in text
    assert 'emma_request_seconds_count{method="GET",route="/relations/{relation_id}"} 2.0' in text


async def test_the_framework_s_own_pages_are_counted_under_their_paths(client: httpx.AsyncClient) -> None:
    await client.get("/docs")
    text = (await client.get("/metrics")).text
    assert 'emma_requests_total{method="GET",route="/docs",status="200"} 1.0' in text


async def test_an_error_after_the_answer_has_begun_is_not_answered_again() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        raise RuntimeError("too late")

    sent: list[str] = []

    async def send(message: object) -> None:
        sent.append(message["type"])  # type: ignore[index]

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(RuntimeError, match="too late"), capture_logs():
        await Observe(app, Metrics())(scope, None, send)  # type: ignore[arg-type]
    assert sent == ["http.response.start"]


@pytest.mark.parametrize("middleware", [lambda app: Observe(app, Metrics()), lambda app: LimitBody(app, 1)])
async def test_what_is_not_http_passes_untouched(middleware: object) -> None:
    seen: list[object] = []

    async def app(scope: object, receive: object, send: object) -> None:
        seen.append((scope, receive, send))

    scope = {"type": "lifespan"}
    await middleware(app)(scope, "receive", "send")  # type: ignore[operator]
    assert seen == [(scope, "receive", "send")]


async def test_a_body_that_announces_too_much_is_refused(serve: Serve) -> None:
    async with serve(max_body_bytes=1024) as client:
        response = await client.post("/extract", content=b"x" * 1025, headers=JSON)
    assert response.status_code == 413
    error = response.json()["error"]
    assert error["type"] == "too_large"
    assert "1,025 bytes" in error["message"]
    assert "the limit is 1,024" in error["message"]


async def test_a_body_that_announces_too_much_is_refused_before_it_has_arrived(serve: Serve) -> None:
    async with serve(max_body_bytes=1024) as client:
        response = await client.post("/extract", content=b"{}", headers=JSON | {"Content-Length": "99999"})
    assert response.status_code == 413
    assert "announces 99,999 bytes" in response.json()["error"]["message"]


async def test_a_body_that_streams_too_much_is_refused_without_reading_the_rest(serve: Serve) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 512
            yield b" " * 512

    async with serve(max_body_bytes=1024) as client:
        response = await client.post("/extract", content=endless(), headers=JSON)
    assert response.status_code == 413
    assert sent == 3 * 512


async def test_a_body_at_the_limit_is_read(serve: Serve) -> None:
    import json

    body = json.dumps(REQUEST).encode()
    async with serve(max_body_bytes=1024) as client:
        response = await client.post("/extract", content=body + b" " * (1024 - len(body)), headers=JSON)
    assert response.status_code == 200
