from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from service.app import create_app
from service.metrics import Metrics
from service.middleware import Authenticate, LimitBody, Observe
from service.settings import Settings
from tests.service.conftest import OPEN_ROUTES, READER, ROUTES, Serve
from tests.service.fakes import REQUEST, FakeRuntime

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


@pytest.mark.parametrize(
    "middleware", [lambda app: Observe(app, Metrics()), Authenticate, lambda app: LimitBody(app, 1)]
)
async def test_what_is_not_http_passes_untouched(middleware: object) -> None:
    seen: list[object] = []

    async def app(scope: object, receive: object, send: object) -> None:
        seen.append((scope, receive, send))

    scope = {"type": "lifespan"}
    await middleware(app)(scope, "receive", "send")  # type: ignore[operator]
    assert seen == [(scope, "receive", "send")]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, "the request has no key"),
        ({"Authorization": "Bearer"}, "the request has no key"),
        ({"Authorization": "Bearer "}, "the request has no key"),
        ({"Authorization": "Basic r1"}, "the request has no key"),
        ({"Authorization": "Bearer x1"}, "the key is unknown"),
        ({"Authorization": "Bearer r1 r1"}, "the key is unknown"),
        ({"Authorization": b"Bearer \xff"}, "the key is unknown"),
    ],
)
async def test_where_keys_are_asked_for_a_request_without_one_that_is_known_is_refused(
    serve: Serve, keys_file: Path, given: dict[str, str], fault: str
) -> None:
    async with serve(api_keys_file=keys_file) as client:
        for method, path in sorted(ROUTES - OPEN_ROUTES):
            response = await client.request(method, path, headers=given)
            assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
            error = response.json()["error"]
            assert error["type"] == "unauthorized"
            assert error["message"] == f"{fault}: send one that this service knows as `Authorization: Bearer KEY`"


async def test_an_empty_key_is_none_even_if_the_file_has_its_digest(serve: Serve, keys_file: Path) -> None:
    keys_file.write_text("empty read e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n")
    async with serve(api_keys_file=keys_file) as client:
        assert (await client.get("/info", headers={"Authorization": "Bearer "})).status_code == 401


async def test_a_file_without_a_key_lets_nobody_in(serve: Serve, keys_file: Path) -> None:
    keys_file.write_text("# none yet\n")
    async with serve(api_keys_file=keys_file) as client:
        assert (await client.get("/info", headers=READER)).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/docs", "/redoc", "/openapi.json"])
async def test_probes_and_documentation_need_no_key(serve: Serve, keys_file: Path, path: str) -> None:
    async with serve(api_keys_file=keys_file) as client:
        assert (await client.get(path)).status_code == 200


async def test_probes_need_no_key_behind_a_prefix_either(data_dir: Path, keys_file: Path, model: FakeRuntime) -> None:
    app = create_app(Settings(data_dir=data_dir, api_keys_file=keys_file), model)
    transport = httpx.ASGITransport(app=app, root_path="/emma")
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://emma") as client,
    ):
        answers = [await client.get(path) for path in ("/emma/healthz", "/emma/info")]
    assert [answer.status_code for answer in answers] == [200, 401]


@pytest.mark.parametrize("given", ["Bearer r1", "bearer r1", "BEARER  r1"])
async def test_a_key_may_read_whatever_its_role(serve: Serve, keys_file: Path, given: str) -> None:
    async with serve(api_keys_file=keys_file) as client:
        client.headers["Authorization"] = given
        for path in ("/info", "/relations", "/relations/P19", "/relations/P19/history"):
            assert (await client.get(path)).status_code == 200
        assert (await client.post("/extract", json=REQUEST)).status_code == 200
        assert (await client.post("/extract/batch", json={"items": [REQUEST]})).status_code == 200


async def test_nothing_is_read_of_the_body_of_a_request_without_a_key(serve: Serve, keys_file: Path) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        sent += 1
        yield b" "

    async with serve(api_keys_file=keys_file) as client:
        response = await client.post("/relations", content=body(), headers=JSON)
    assert (response.status_code, sent) == (401, 0)


async def test_a_request_without_a_key_is_logged_and_its_key_is_not(serve: Serve, keys_file: Path) -> None:
    async with serve(api_keys_file=keys_file) as client:
        with capture_logs() as logs:
            await client.get("/info", headers={"Authorization": "Bearer guessed"})
            await client.get("/info", headers={"Authorization": "Bearer r1"})
    assert [(line["route"], line["status"]) for line in logs] == [("unmatched", 401), ("/info", 200)]
    assert "guessed" not in str(logs)
    assert "r1" not in str(logs)


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
