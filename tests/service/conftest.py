from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import structlog
from fastapi import FastAPI

from models.bundle import Bundle
from service.app import create_app
from service.settings import Settings
from tests.service.fakes import FakeRuntime, make_bundle

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


ROUTES = {
    ("post", "/extract"),
    ("post", "/extract/batch"),
    ("post", "/relations"),
    ("get", "/relations"),
    ("post", "/relations/batch"),
    ("get", "/relations/{relation_id}"),
    ("put", "/relations/{relation_id}"),
    ("delete", "/relations/{relation_id}"),
    ("get", "/relations/{relation_id}/history"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/info"),
    ("get", "/metrics"),
}
OPEN_ROUTES = {("get", "/healthz"), ("get", "/readyz"), ("get", "/metrics")}
"""Those that are answered without a key."""

READER, WRITER, OTHER_WRITER = ({"Authorization": f"Bearer {key}"} for key in ("r1", "w1", "w2"))
"""Headers with the keys of `keys_file`."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import os

    for name in os.environ:
        if name.startswith("EMMA_"):
            monkeypatch.delenv(name)
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "fake")


@pytest.fixture
def model(bundle: Bundle) -> Iterator[FakeRuntime]:
    runtime = FakeRuntime(bundle)
    yield runtime
    # Whatever a failed test left held must not keep its threads from ending.
    runtime.go.set()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    """A file of the keys of `READER`, `WRITER` and `OTHER_WRITER`, whose ids are reader, writer and other-writer."""
    path = tmp_path / "api-keys"
    keys = (("reader", "read", "r1"), ("writer", "write", "w1"), ("other-writer", "write", "w2"))
    path.write_text("".join(f"{name} {role} {hashlib.sha256(key.encode()).hexdigest()}\n" for name, role, key in keys))
    return path


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """The application between its start and its stop, and a client that speaks to it without a network."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://emma") as client,
    ):
        yield client


@pytest.fixture
def serve(model: FakeRuntime, data_dir: Path) -> Serve:
    """Start the application with the fake model: `async with serve(queue_size=1) as client`."""

    def start(**settings: object) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        # One thread of the model, so that a test that holds it holds all.
        given = {"data_dir": data_dir, "threads": 1, **settings}
        return running(create_app(Settings(**given), model))  # type: ignore[arg-type]

    return start


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    async with serve() as client:
        yield client
