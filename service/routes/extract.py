"""Extract relations from sentences."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request

from models.text import InputError
from service.connection import while_connected
from service.errors import responses
from service.extraction import Answer, Query, within
from service.keys import asks_for_key
from service.schemas import Candidate, ExtractBatchRequest, ExtractBatchResponse, ExtractRequest, ExtractResponse
from service.state import Current, State

router = APIRouter(tags=["extraction"], dependencies=[asks_for_key], responses=responses(401, 413, 422, 429, 504))


@router.post("/extract")
async def extract(body: ExtractRequest, request: Request, state: Current) -> ExtractResponse:
    """Extract the relation between two mentions of a sentence; null where no relation is sure enough."""
    [answer] = await while_connected(request, _answers(state, [_query(body)], body.min_version))
    if isinstance(answer, Exception):
        raise answer
    return _response(answer)


@router.post("/extract/batch")
async def extract_batch(body: ExtractBatchRequest, request: Request, state: Current) -> ExtractBatchResponse:
    """Extract from several sentences; the answers come in the same order."""
    queries = []
    for position, item in enumerate(body.items):
        try:
            queries.append(_query(item))
        except InputError as error:
            raise within(position, error) from error
    wanted = max(item.min_version for item in body.items)
    answers = await while_connected(request, _answers(state, queries, wanted))
    results = []
    for position, answer in enumerate(answers):
        if isinstance(answer, Exception):
            raise within(position, answer)
        results.append(_response(answer))
    return ExtractBatchResponse(results=results)


async def _answers(state: State, queries: Sequence[Query], min_version: int) -> list[Answer | Exception]:
    await state.replica.reach(min_version, state.settings.version_wait_seconds)
    return await state.answers.answer(queries)


def _query(body: ExtractRequest) -> Query:
    relations = None if body.relations is None else tuple(body.relations)
    tags = None if body.tags is None else tuple(body.tags)
    return Query(body.instance(), body.top_k, body.threshold, relations, tags)


def _response(answer: Answer) -> ExtractResponse:
    candidates = [Candidate(id=x.id, name=x.name, score=x.score) for x in answer.candidates]
    best = answer.relation
    return ExtractResponse(
        relation=None if best is None else Candidate(id=best.id, name=best.name, score=best.score),
        candidates=candidates,
        truncated=answer.truncated,
        registry_version=answer.registry_version,
        model=answer.model,
    )
