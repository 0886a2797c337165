"""What can go wrong with a request, and what is answered then.

    ServiceError
    ├── UnauthorizedError             no key, or one that is unknown
    ├── ForbiddenError                the key may not do that
    ├── NotFoundError                 no such relation
    ├── ConflictError                 the id stands for another relation
    ├── TooLargeError                 a body, text or batch over its limit
    ├── InvalidError                  a field with a fault
    │   ├── UnknownRelationsError     an extraction among relations that are not registered
    │   └── UnknownTagsError          an extraction among tags that no relation has
    ├── OverloadedError               the queue is full
    ├── UnavailableError              try again later
    │   ├── NotReadyError             the service is starting or stopping
    │   ├── RegistryUnavailableError  the registry cannot be read or written
    │   └── BehindError               this process does not know the wanted version yet
    ├── DeadlineError                 the answer took too long
    └── ClientGoneError               nobody waits for the answer any more
    StartupError                      the service cannot start; the message says what to do

Every error is answered with `{"error": {"type", "message", "field"?}}`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from models.text import InputError

RETRY_AFTER_SECONDS = 1
SCHEME = "Bearer"
"""In which a key is sent: `Authorization: Bearer KEY`."""

NAMED_IDS = 5
"""How many ids a message names at most."""


class ServiceError(Exception):
    """A request that cannot be answered; `field` is the dotted path of what is at fault, if a field is."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class UnauthorizedError(ServiceError):
    """The request has no key, or one that is unknown."""


class ForbiddenError(ServiceError):
    """The key of the request may not do that."""


class NotFoundError(ServiceError):
    """There is no such relation."""


class ConflictError(ServiceError):
    """The id stands for a relation with other content."""


class TooLargeError(ServiceError):
    """A body, a text or a batch is over its limit."""


class InvalidError(ServiceError):
    """A field has a fault."""


class UnknownRelationsError(InvalidError):
    """An extraction is restricted to relations that are not registered."""

    def __init__(self, ids: Sequence[str], field: str = "relations") -> None:
        super().__init__(f"not registered: {named(ids)}; register them first or leave them out", field)
        self.ids = ids


class UnknownTagsError(InvalidError):
    """An extraction is restricted to relations with tags that none has."""

    def __init__(self, tags: Sequence[str], field: str = "tags") -> None:
        super().__init__(f"no relation has the tag {named(tags)}; register one that has or leave the tag out", field)
        self.tags = tags


class OverloadedError(ServiceError):
    """The queue is full."""


class UnavailableError(ServiceError):
    """The request may succeed later."""


class NotReadyError(UnavailableError):
    """The service is starting or stopping."""


class RegistryUnavailableError(UnavailableError):
    """The registry cannot be read or written."""


class BehindError(UnavailableError):
    """This process does not know the wanted version of the registry yet."""


class DeadlineError(ServiceError):
    """The answer took longer than the deadline."""


class ClientGoneError(ServiceError):
    """The client closed the connection before the answer."""


class StartupError(Exception):
    """The service cannot start; the message names the fault and the fix."""


STATUS: dict[type[Exception], tuple[int, str]] = {
    UnauthorizedError: (401, "unauthorized"),
    ForbiddenError: (403, "forbidden"),
    NotFoundError: (404, "not_found"),
    ConflictError: (409, "conflict"),
    TooLargeError: (413, "too_large"),
    InvalidError: (422, "invalid"),
    InputError: (422, "invalid"),
    UnknownRelationsError: (422, "unknown_relations"),
    UnknownTagsError: (422, "unknown_tags"),
    OverloadedError: (429, "overloaded"),
    UnavailableError: (503, "unavailable"),
    NotReadyError: (503, "not_ready"),
    RegistryUnavailableError: (503, "registry_unavailable"),
    BehindError: (503, "registry_behind"),
    DeadlineError: (504, "deadline_exceeded"),
    ClientGoneError: (499, "client_closed_request"),
}
_HTTP_TYPES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_MEANINGS = {
    401: "The service asks for a key, and the request has none, or one that is unknown.",
    403: "The key may read only.",
    404: "There is no such relation.",
    409: "The id is taken by a relation with other content.",
    413: "The body, a text or the batch is over its limit.",
    422: "A field has a fault.",
    429: "Too many instances wait already.",
    500: "A fault of the service; its log has the request id.",
    503: "The service or its registry is not ready, or does not know `min_version` yet.",
    504: "The answer took longer than the deadline.",
}


class ErrorBody(BaseModel):
    """What went wrong."""

    type: str = Field(description="A word for programs.", examples=["invalid"])
    message: str = Field(description="A sentence for people.", examples=["the head [3, 3) is empty"])
    field: str | None = Field(None, description="Dotted path of the field at fault.", examples=["items.3.head"])


class ErrorResponse(BaseModel):
    """Every answer that is not a success."""

    error: ErrorBody


def named(ids: Sequence[str]) -> str:
    """Up to `NAMED_IDS` ids, in words.

    >>> named(["a", "b", "c", "d", "e", "f", "g"])
    "'a', 'b', 'c', 'd', 'e' and 2 more"
    """
    text = ", ".join(repr(item) for item in ids[:NAMED_IDS])
    return text if len(ids) <= NAMED_IDS else f"{text} and {len(ids) - NAMED_IDS} more"


def status_of(error: Exception) -> tuple[int, str]:
    """Status code and type of an exception; 500 for what is not in the table."""
    return next((STATUS[base] for base in type(error).__mro__ if base in STATUS), (500, "internal"))


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The given error responses and those that any request may get, for OpenAPI."""
    every = sorted({*statuses, 500, 503})
    documented: dict[int | str, dict[str, Any]] = {}
    for status in every:
        documented[status] = {"model": ErrorResponse, "description": _MEANINGS[status]}
        if status in (429, 503):
            documented[status]["headers"] = {
                "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer"}}
            }
        if status == 401:
            documented[status]["headers"] = {
                "WWW-Authenticate": {
                    "description": "How a key is sent.",
                    "required": True,
                    "schema": {"type": "string", "const": SCHEME},
                }
            }
    return documented


def error_response(
    status: int, kind: str, message: str, field: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """The one form of an error; lone surrogates from the client's own input are written as escapes."""
    body = {"type": kind, "message": message} | ({} if field is None else {"field": field})
    text = json.dumps({"error": body}, ensure_ascii=False).encode("utf-8", "backslashreplace")
    retry = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status in (429, 503) else {}
    challenge = {"WWW-Authenticate": SCHEME} if status == 401 else {}
    return Response(text, status, {**(headers or {}), **retry, **challenge}, media_type="application/json")


def internal_error_response(request_id: str) -> Response:
    """A 500 that says nothing but where to look."""
    return error_response(500, "internal", f"an error inside the service; its log has it under request id {request_id}")


def install_handlers(app: FastAPI) -> None:
    """Answer every exception in the one form."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    for base in (ServiceError, InputError):
        app.add_exception_handler(base, _table)


async def _table(_: Request, error: Exception) -> Response:
    status, kind = status_of(error)
    return error_response(status, kind, str(error), getattr(error, "field", None))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:
        # The framework's word for a body that is no JSON in a way that its parser does not foresee: bytes that
        # are not UTF-8, nesting deeper than the stack, an integer of thousands of digits.
        cause = error.__cause__
        if isinstance(cause, ClientDisconnect):
            return error_response(
                *STATUS[ClientGoneError], "the client closed the connection before the end of the body"
            )
        return _invalid_json(f"the body cannot be read as JSON: {type(cause).__name__ if cause else error.detail}")
    messages = {
        404: f"there is nothing at {request.url.path}; see /docs for what there is",
        405: f"{request.url.path} does not take {request.method}; see the Allow header",
    }
    kind = _HTTP_TYPES.get(error.status_code, "http_error")
    message = messages.get(error.status_code, str(error.detail))
    return error_response(error.status_code, kind, message, headers=dict(error.headers or {}))


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    fault = next((x for x in faults if _is_too_large(x)), faults[0])
    location, message = fault["loc"], str(fault["msg"])
    if fault["type"] == "json_invalid":
        return _invalid_json(f"the body is not JSON: {fault['ctx']['error']} at character {location[-1]}")
    field = ".".join(map(str, location[1:])) or str(location[0])
    if _is_too_large(fault):
        limit, length = fault["ctx"]["max_length"], len(fault["input"])
        unit = "characters" if isinstance(fault["input"], str) else "items"
        return error_response(413, "too_large", f"{field} has {length:,} {unit}, the limit is {limit:,}", field)
    if isinstance(error.body, bytes):
        message = "the body was not read as JSON: send it with Content-Type: application/json"
    elif fault["type"] == "string_unicode":
        message = "the text has half of a surrogate pair, which is not Unicode"
    elif isinstance(fault["input"], int | float | bool):
        message = f"{message}, got {fault['input']!r}"
    return error_response(422, "invalid", f"{field}: {message.removeprefix('Value error, ')}", field)


def _is_too_large(fault: dict[str, Any]) -> bool:
    return fault["loc"][0] == "body" and fault["type"] in ("string_too_long", "too_long")


def _invalid_json(message: str) -> Response:
    return error_response(422, "invalid_json", message, "body")


def log_failure(error: BaseException) -> None:
    """Log an exception with its traceback but without the values of variables, which may hold a client's text."""
    structlog.get_logger("service").error("request failed", exc_info=error)
