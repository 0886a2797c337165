"""The application: what is put together, and in which order it starts and stops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

import service
from service.errors import install_handlers
from service.extraction import Model
from service.metrics import Metrics
from service.middleware import Authenticate, LimitBody, Observe
from service.routes import ROUTERS
from service.settings import Settings, load_settings
from service.state import State

DESCRIPTION = """
Zero-shot relation extraction: register a relation by describing it in a sentence, and use it in the next request.

Offsets are Unicode code points, `end` exclusive. Every error is `{"error": {"type", "message", "field"?}}`.
"""


def create_app(settings: Settings | None = None, model: Model | None = None, state: State | None = None) -> FastAPI:
    """Make an application, which opens what it needs when it starts.

    Args:
        settings: from the environment when not given.
        model: in place of the bundle that the settings name.
        state: opened already, in place of settings and model; the application closes it.

    Raises:
        SettingsError: the environment has a bad value.
    """
    settings = state.settings if state else settings or load_settings()
    metrics = state.metrics if state else Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        serving = state if state else await to_thread.run_sync(State.open, settings, model, metrics)
        try:
            serving.start()
            app.state.serving = serving
            yield
        finally:
            app.state.serving = None
            await serving.stop()
            serving.close()

    app = FastAPI(
        title="EMMA",
        summary="Relation extraction with relations that are registered while it runs.",
        description=DESCRIPTION,
        version=service.__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        # The name of the function is the name of the operation, also in generated clients.
        generate_unique_id_function=lambda route: route.name,
    )
    for router in ROUTERS:
        app.include_router(router)
    install_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(LimitBody, max_bytes=settings.max_body_bytes)
    app.add_middleware(Authenticate)
    app.add_middleware(Observe, metrics=metrics)
    return app
