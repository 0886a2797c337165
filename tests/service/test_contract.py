"""The service against its own OpenAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from models.bundle import Bundle
from service.app import create_app
from service.settings import Settings
from tests.service.conftest import OPEN_ROUTES, READER, ROUTES
from tests.service.fakes import FakeRuntime

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def contract(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> OpenApiSchema:
    app = create_app(Settings(data_dir=tmp_path_factory.mktemp("contract")), FakeRuntime(bundle))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.fixture
def guarded(data_dir: Path, keys_file: Path, bundle: Bundle) -> OpenApiSchema:
    """Of a service that asks for keys."""
    app = create_app(Settings(data_dir=data_dir, api_keys_file=keys_file), FakeRuntime(bundle))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def check(
    operation: APIOperation[Any, Any, Any, Any],
    mode: GenerationMode,
    key: dict[str, str] | None = None,
    examples: int = 25,
) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def once(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(checks=CHECKS, headers=key)

    once()


@pytest.mark.parametrize(("method", "path"), sorted(ROUTES))
def test_what_the_document_allows_is_answered_as_it_announces(contract: OpenApiSchema, method: str, path: str) -> None:
    check(contract[path][method], GenerationMode.POSITIVE)


@pytest.mark.parametrize(("method", "path"), sorted(x for x in ROUTES if x[0] in ("post", "put")))
def test_what_the_document_forbids_is_answered_as_it_announces(contract: OpenApiSchema, method: str, path: str) -> None:
    check(contract[path][method], GenerationMode.NEGATIVE)


@pytest.mark.parametrize("key", [{}, READER], ids=["no key", "a key to read with"])
def test_who_may_not_is_answered_as_the_document_announces(guarded: OpenApiSchema, key: dict[str, str]) -> None:
    for method, path in sorted(ROUTES - OPEN_ROUTES):
        check(guarded[path][method], GenerationMode.POSITIVE, key, examples=3)
