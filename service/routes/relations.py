"""Register, read, replace and delete relations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel

from models.relation import Relation
from service.errors import responses
from service.extraction import DECIMALS
from service.fields import ID_PATTERN, PAGE_RELATIONS, VERSIONS, RelationId
from service.index import Hit
from service.keys import asks_for_key, may_write
from service.registration import derived_id
from service.registry import Event, Once, Record, content
from service.schemas import (
    RegisteredRelation,
    RelationBatch,
    RelationBatchResponse,
    RelationEvent,
    RelationHistory,
    RelationInput,
    RelationPage,
    RelationRecord,
    RelationUpdate,
    SimilarRelation,
)
from service.state import Current

router = APIRouter(tags=["relations"], dependencies=[asks_for_key], responses=responses(401))

Key = Annotated[str, Path(description="Id of a relation.", examples=["P19"])]
IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern="^[!-~]{1,255}$",
        description="Made anew for each request and sent again with a repetition of it, which is then answered as the "
        "first was and does nothing; known for 24 hours.",
    ),
]
_MAY_WRITE = [Depends(may_write)]
_WRITING = (403, 413, 422, 429, 504)
_CREATED: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "The relation is new.",
        "headers": {"Location": {"description": "Where it is.", "schema": {"type": "string"}}},
    }
}


@router.post(
    "/relations",
    status_code=201,
    dependencies=_MAY_WRITE,
    responses={
        **responses(409, *_WRITING),
        **_CREATED,
        200: {"model": RegisteredRelation, "description": "The same relation was there already."},
    },
)
async def create_relation(
    body: RelationInput, request: Request, response: Response, state: Current, idempotency_key: IdempotencyKey = None
) -> RegisteredRelation:
    """Register a relation; the next extraction knows it."""
    once = _once(request, body, idempotency_key)
    written, similar = await state.registrar.register(_relation(body), _actor(request), once)
    _mark(request, response, written.record, written.created)
    return _registered(written.record, similar)


@router.post(
    "/relations/batch",
    status_code=201,
    dependencies=_MAY_WRITE,
    responses={
        **responses(409, *_WRITING),
        201: {"description": "At least one relation is new."},
        200: {"model": RelationBatchResponse, "description": "None of the relations is new."},
    },
)
async def create_relations(
    body: RelationBatch, request: Request, response: Response, state: Current, idempotency_key: IdempotencyKey = None
) -> RelationBatchResponse:
    """Register relations together: all of them or, where one is refused, none."""
    once = _once(request, body, idempotency_key)
    relations = [_relation(item) for item in body.items]
    written = await state.registrar.add(relations, _actor(request), once, body.replace)
    created = sum(each.created for each in written)
    response.status_code = 201 if created else 200
    return RelationBatchResponse(items=[_record(each.record) for each in written], created=created)


@router.get("/relations", responses=responses(422))
async def list_relations(
    state: Current,
    limit: Annotated[int, Query(ge=1, le=PAGE_RELATIONS, description="Relations to answer with.")] = 100,
    cursor: Annotated[
        str | None, Query(pattern=ID_PATTERN, description="The `next_cursor` of the page before.")
    ] = None,
) -> RelationPage:
    """List the relations by id, a page at a time."""
    page = await state.registrar.page(cursor, limit)
    return RelationPage(
        items=[_record(record) for record in page.records], next_cursor=page.next_cursor, total=page.total
    )


@router.get("/relations/{relation_id}", responses=responses(404, 422))
async def get_relation(relation_id: Key, state: Current) -> RelationRecord:
    """Read a relation."""
    return _record(await state.registrar.get(relation_id))


@router.get("/relations/{relation_id}/history", responses=responses(404, 422))
async def get_history(
    relation_id: Key,
    state: Current,
    limit: Annotated[int, Query(ge=1, le=PAGE_RELATIONS, description="Events to answer with.")] = 100,
    cursor: Annotated[int | None, Query(ge=0, le=VERSIONS, description="The `next_cursor` of the page before.")] = None,
) -> RelationHistory:
    """List what was done to a relation, the latest first, also when it is deleted by now."""
    history = await state.registrar.history(relation_id, cursor, limit)
    return RelationHistory(items=[_event(event) for event in history.events], next_cursor=history.next_cursor)


@router.put(
    "/relations/{relation_id}",
    dependencies=_MAY_WRITE,
    responses={
        **responses(*_WRITING),
        **{201: {**_CREATED[201], "model": RegisteredRelation}},
        200: {"description": "The relation was there and is now as given."},
    },
)
async def put_relation(
    relation_id: Annotated[RelationId, Path(description="Id of a relation.")],
    body: RelationUpdate,
    request: Request,
    response: Response,
    state: Current,
) -> RegisteredRelation:
    """Register a relation under an id, or replace the one that has it."""
    written, similar = await state.registrar.register(body.relation(relation_id), _actor(request), replace=True)
    _mark(request, response, written.record, written.created)
    return _registered(written.record, similar)


@router.delete(
    "/relations/{relation_id}",
    status_code=204,
    dependencies=_MAY_WRITE,
    response_class=Response,
    responses=responses(403, 404, 422, 429, 504),
)
async def delete_relation(relation_id: Key, request: Request, state: Current) -> None:
    """Delete a relation; the next extraction does not know it any more."""
    await state.registrar.delete(relation_id, _actor(request))


def _relation(body: RelationInput) -> Relation:
    return body.relation(body.id or derived_id(body.name, body.description))


def _actor(request: Request) -> str | None:
    """Who asks, where something that has made sure of it has said so."""
    actor: str | None = getattr(request.state, "actor", None)
    return actor


def _once(request: Request, body: BaseModel, key: str | None) -> Once | None:
    if key is None:
        return None
    asked = [request.scope["path"], body.model_dump_json()]
    # Who asks is part of what is asked. To answer one client with what another did would tell it that it has done what
    # it has not, and that the history says of the other. Left out where nobody is known, as it was before there were
    # API keys, so that a request that was sent to a release without them can be repeated.
    if (actor := _actor(request)) is not None:
        asked.append(actor)
    return Once(key, hashlib.sha256("\n".join(asked).encode()).hexdigest())


def _mark(request: Request, response: Response, record: Record, created: bool) -> None:
    response.status_code = 201 if created else 200
    if created:
        response.headers["Location"] = f"{request.scope.get('root_path', '')}/relations/{record.id}"


def _record(record: Record) -> RelationRecord:
    return RelationRecord(
        id=record.id,
        **content(record.relation),
        truncated=record.truncated,
        version=record.version,
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def _registered(record: Record, similar: Sequence[Hit]) -> RegisteredRelation:
    near = [SimilarRelation(id=hit.entry.id, name=hit.entry.name, score=round(hit.cosine, DECIMALS)) for hit in similar]
    return RegisteredRelation(**_record(record).model_dump(), similar=near)


def _event(event: Event) -> RelationEvent:
    return RelationEvent(
        version=event.version,
        action=event.action,
        actor=event.actor,
        at=event.at,
        content=event.content,
        changed=list(event.changed),
    )
