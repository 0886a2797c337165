"""What surrounds every request: its id, its log line, its metrics, its key, and the limit of its body."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import SCHEME, STATUS, UnauthorizedError, error_response, internal_error_response, log_failure
from service.metrics import Metrics
from service.state import State

REQUEST_ID = "X-Request-ID"
UNMATCHED = "unmatched"
"""The route of a path that no route has, and of a request that is refused before one is looked for: one label for all,
or anyone could make as many as they like."""

OPEN = {"/healthz", "/readyz", "/metrics", "/docs", "/redoc", "/openapi.json"}
"""Paths that are answered without a key: what probes and scrapes has none, and a browser sends none with a page."""

_REQUEST_ID = re.compile("[A-Za-z0-9._-]{1,128}")
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_PROBES = {"/healthz", "/readyz", "/metrics"}

log = structlog.get_logger("service.request")


class Observe:
    """Gives each request an id, measures and logs it, and answers what nothing else has caught."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        start = time.perf_counter()
        status = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:
                log_failure(error)
                if status is not None:
                    # Too late for another answer: the server cuts the connection.
                    raise
                await internal_error_response(request_id)(scope, receive, send_with_id)
            finally:
                self._done(scope, status or 500, time.perf_counter() - start)

    def _done(self, scope: Scope, status: int, seconds: float) -> None:
        # The framework's own pages are plain routes, which leave an endpoint only; their paths have no parameters.
        plain: str = scope["path"] if "endpoint" in scope else UNMATCHED
        route = getattr(scope.get("route"), "path", plain)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.request(route, method, status, seconds)
        write = log.debug if route in _PROBES and status < 400 else log.info
        write("request", method=method, route=route, status=status, seconds=round(seconds, 6))


class Authenticate:
    """Where the service asks for keys, lets in who has one, and says in the request's state who that is.

    Around the routes and not one of their dependencies, which the framework asks after it has read the body: a client
    without a key would have it read 8 MiB.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # Before the start and after the stop there is none, and the routes that need a key say so.
        serving: State | None = getattr(scope["app"].state, "serving", None) if scope["type"] == "http" else None
        keys = serving.keys if serving else None
        if keys is None or scope["path"].removeprefix(scope.get("root_path", "")) in OPEN:
            await self._app(scope, receive, send)
            return
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        given = given.strip() if scheme.lower() == SCHEME.lower() else ""
        key = keys.find(given.encode("latin-1")) if given else None
        if key is None:
            fault = "the key is unknown" if given else "the request has no key"
            refusal = error_response(
                *STATUS[UnauthorizedError],
                f"{fault}: send one that this service knows as `Authorization: {SCHEME} KEY`",
            )
            await refusal(scope, receive, send)
            return
        scope.setdefault("state", {}).update(actor=key.id, role=key.role)
        await self._app(scope, receive, send)


class LimitBody:
    """Refuses a body over the limit, by what it says of its length or by what has arrived of it."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        announced = int(length) if length.isdecimal() else 0
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if max(announced, received) > self._max_bytes:
                    what = (
                        f"announces {announced:,} bytes" if announced > received else f"has {received:,} bytes or more"
                    )
                    # Of a type that the framework lets through while it reads a body.
                    raise HTTPException(
                        413,
                        f"the body {what}, the limit is {self._max_bytes:,}: "
                        "send less at once, or set EMMA_MAX_BODY_BYTES",
                    )
            return message

        await self._app(scope, receive_within_limit, send)
