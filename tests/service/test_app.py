from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.errors import StartupError
from service.settings import Settings
from service.state import State
from tests.service.conftest import OPEN_ROUTES, ROUTES, Serve, running
from tests.service.fakes import REQUEST, FakeRuntime


@pytest.mark.parametrize("module", ["service.app", "service.cli"])
def test_neither_torch_nor_transformers_is_imported(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_routes_are_these(data_dir: Path, model: FakeRuntime) -> None:
    schema = create_app(Settings(data_dir=data_dir), model).openapi()
    assert {(method, path) for path, methods in schema["paths"].items() for method in methods} == ROUTES


def test_every_operation_documents_its_errors_in_the_one_form(data_dir: Path, model: FakeRuntime) -> None:
    schema = create_app(Settings(data_dir=data_dir), model).openapi()
    assert "HTTPValidationError" not in schema["components"]["schemas"]
    forms = {
        response["content"]["application/json"]["schema"]["$ref"]
        for methods in schema["paths"].values()
        for operation in methods.values()
        for status, response in operation["responses"].items()
        if int(status) >= 400
    }
    assert forms == {"#/components/schemas/ErrorResponse"}


def test_every_operation_that_needs_a_key_says_so_and_how_it_is_refused(data_dir: Path, model: FakeRuntime) -> None:
    schema = create_app(Settings(data_dir=data_dir), model).openapi()
    [(name, scheme)] = schema["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for method, path in ROUTES:
        operation = schema["paths"][path][method]
        needed = (method, path) not in OPEN_ROUTES
        assert operation.get("security") == ([{name: []}] if needed else None)
        assert ("401" in operation["responses"]) == needed
        changes = path.startswith("/relations") and method != "get"
        assert ("403" in operation["responses"]) == changes


@pytest.mark.anyio
async def test_before_the_start_the_process_lives_but_is_not_ready(data_dir: Path, model: FakeRuntime) -> None:
    app = create_app(Settings(data_dir=data_dir), model)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://emma") as client:
        assert (await client.get("/healthz")).status_code == 200
        for method, path, body in (("GET", "/readyz", None), ("POST", "/extract", REQUEST)):
            response = await client.request(method, path, json=body)
            assert response.status_code == 503
            assert response.json()["error"]["type"] == "not_ready"
            assert response.headers["Retry-After"] == "1"


@pytest.mark.anyio
async def test_after_the_start_it_is_ready_and_after_the_stop_not_any_more(serve: Serve) -> None:
    async with serve() as client:
        assert (await client.get("/readyz")).json() == {"status": "ready"}
    assert (await client._transport.handle_async_request(client.build_request("GET", "/readyz"))).status_code == 503


@pytest.mark.anyio
async def test_relations_survive_a_restart(serve: Serve) -> None:
    body = {"name": "teacher", "description": "The head teaches the tail."}
    async with serve() as client:
        record = (await client.post("/relations", json=body)).json()
        assert (await client.delete("/relations/P26")).status_code == 204
    async with serve() as client:
        assert (await client.get(f"/relations/{record['id']}")).json().items() <= record.items()
        assert (await client.get("/relations/P26")).status_code == 404
        assert (await client.get("/info")).json()["relations"] == 6


@pytest.mark.anyio
async def test_a_start_that_fails_says_why(data_dir: Path, model: FakeRuntime) -> None:
    holder = State.open(Settings(data_dir=data_dir), model)
    with pytest.raises(StartupError, match="in use by another process"):
        async with running(create_app(Settings(data_dir=data_dir), model)):
            pytest.fail("it started")
    holder.close()


@pytest.mark.anyio
async def test_an_unforeseen_error_is_logged_and_answered_without_a_word_about_it(
    serve: Serve, model: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve() as client:
        model.fail_on = "london"
        with caplog.at_level(logging.INFO):
            response = await client.post("/extract", json=REQUEST, headers={"X-Request-ID": "abc-1"})
    assert response.status_code == 500
    assert response.headers["X-Request-ID"] == "abc-1"
    assert response.json()["error"] == {
        "type": "internal",
        "message": "an error inside the service; its log has it under request id abc-1",
    }


@pytest.mark.anyio
async def test_unknown_paths_and_methods_are_answered_in_the_one_form(client: httpx.AsyncClient) -> None:
    missing, wrong = await client.get("/nope"), await client.put("/extract")
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == "POST"


@pytest.mark.anyio
async def test_a_slash_too_many_is_an_unknown_path_and_no_redirect(client: httpx.AsyncClient) -> None:
    assert (await client.post("/extract/", json=REQUEST)).status_code == 404


@pytest.mark.anyio
async def test_the_documentation_is_served(client: httpx.AsyncClient) -> None:
    assert "swagger" in (await client.get("/docs")).text
