"""What the registry's tests share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from models.relation import Relation
from service.registry import Draft, Registry, Stored, Written


def row(key: str) -> dict[str, Any]:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return {
        "id": key,
        "name": key,
        "description": key,
        "paraphrases": [],
        "truncated": False,
        "vector": b"",
        "fingerprint": "f",
        "version": 1,
        "deleted": False,
        "created_at": now,
        "updated_at": now,
    }


def draft(
    key: str, description: str = "The head knows the tail.", first: float = 1.0, paraphrases: tuple[str, ...] = ()
) -> Draft:
    vector = np.array([first, 0, 0, 0.5], dtype=np.float32)
    return Draft(Relation(key, key.upper(), description, paraphrases), False, vector)


def replace(registry: Registry, draft: Draft) -> Written:
    [written] = registry.add([draft], replace=True)
    return written


def everything(registry: Registry, since: int = 0) -> tuple[int, list[Stored]]:
    chunks = list(registry.changes(since))
    return chunks[-1][0], [row for _, rows in chunks for row in rows]


def version(registry: Registry) -> int:
    return everything(registry)[0]
