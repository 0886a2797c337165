"""Encoding a registry again, for a bundle with another encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sqlalchemy import URL, Connection, bindparam, select, update

from models.relation import Relation
from service.errors import StartupError
from service.registry import rows, tables
from service.registry.database import connect, snapshot, transaction
from service.registry.location import is_shared
from service.registry.records import Draft
from service.registry.rows import RELATIONS
from service.registry.schema import require_current

CHUNK = 1_000
"""Relations that are encoded together."""


def reindex(
    url: URL,
    fingerprint: str,
    encode: Callable[[Sequence[Relation]], Sequence[Draft]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Encode every relation again; the number of relations.

    They are encoded first and written then, in one transaction: extraction goes on all the time, and writes until
    then. Processes with the encoder of before go on extracting with what they know, and refuse writes, until they
    are started with the new bundle. All vectors are in memory at once.

    Args:
        url: as `locate` makes it; no process may be using a SQLite file.
        fingerprint: of the encoder that encodes.
        encode: makes drafts of up to `CHUNK` relations.
        progress: called with the number of relations that are done and the number there are.

    Raises:
        StartupError: there is no registry, or it cannot be opened.
        RegistryUnavailableError: the registry cannot be written; it is as it was.
    """
    if not is_shared(url) and not Path(url.database or "").is_file():
        raise StartupError(f"there is no file {url.database}: nothing to encode again")
    engine = connect(url)
    done: dict[str, tuple[int, Draft]] = {}
    try:
        with snapshot(engine) as connection:
            require_current(connection)
        # The second time there is only what was changed during the first, and little for the third, which locks.
        for _ in range(2):
            with snapshot(engine) as connection:
                relations = _live(connection)
            _encode(relations, done, encode, progress)
        with transaction(engine) as connection:
            version, _ = rows.bump(connection)
            connection.execute(update(tables.registry).values(fingerprint=fingerprint))
            _encode(_live(connection), done, encode, progress)
            if done:
                connection.execute(
                    update(RELATIONS).where(RELATIONS.c.id == bindparam("row_id")),
                    [{"row_id": key, **rows.encoded(draft, fingerprint, version)} for key, (_, draft) in done.items()],
                )
    finally:
        engine.dispose()
    return len(done)


def _live(connection: Connection) -> dict[str, tuple[int, Relation]]:
    columns = [*rows.RELATION, RELATIONS.c.version]
    found = connection.execute(select(*columns).where(~RELATIONS.c.deleted).order_by(RELATIONS.c.id))
    return {row.id: (row.version, rows.relation(row)) for row in found}


def _encode(
    relations: Mapping[str, tuple[int, Relation]],
    done: dict[str, tuple[int, Draft]],
    encode: Callable[[Sequence[Relation]], Sequence[Draft]],
    progress: Callable[[int, int], None],
) -> None:
    """Make `done` hold a draft of each relation as it is now, and of no other."""
    for key in [key for key, (version, _) in done.items() if key not in relations or relations[key][0] != version]:
        del done[key]
    missing = [key for key in relations if key not in done]
    for start in range(0, len(missing), CHUNK):
        for draft in encode([relations[key][1] for key in missing[start : start + CHUNK]]):
            done[draft.id] = relations[draft.id][0], draft
        progress(len(done), len(relations))
