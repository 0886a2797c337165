"""What operators and orchestrators ask."""

from __future__ import annotations

from fastapi import APIRouter, Response

import service
from service.errors import responses
from service.keys import asks_for_key
from service.metrics import CONTENT_TYPE
from service.schemas import Health, Info, Limits
from service.state import Current

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> Health:
    """Say that the process lives."""
    return Health(status="ok")


@router.get("/readyz", responses=responses())
async def readyz(state: Current) -> Health:
    """Say whether extractions are answered; they are also while the registry cannot be reached."""
    return Health(status="ready")


@router.get("/info", dependencies=[asks_for_key], responses=responses(401))
async def info(state: Current) -> Info:
    """Say what is served, and within which limits."""
    manifest = state.model.bundle.manifest
    return Info(
        version=service.__version__,
        model=manifest.name,
        created=manifest.created,
        precision=manifest.precision,
        fingerprint=manifest.fingerprint,
        dimension=manifest.dimension,
        candidates=manifest.candidates,
        threshold=state.model.bundle.calibration.threshold,
        relations=len(state.index),
        registry_version=state.index.version,
        index=state.index.tier,
        limits=Limits(
            body_bytes=state.settings.max_body_bytes,
            sentence_tokens=manifest.sentence_tokens,
            description_tokens=manifest.description_tokens,
        ),
        training=manifest.training,
        scores=manifest.scores,
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses={**responses(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(state: Current) -> Response:
    """Give the metrics in Prometheus' text format."""
    return Response(state.metrics.render(), headers={"Content-Type": CONTENT_TYPE})
