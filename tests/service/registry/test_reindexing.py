from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import URL

from models.relation import Relation
from service.errors import RegistryUnavailableError, StartupError
from service.registry import Draft, Registry, reindex
from tests.service.registry.support import draft, everything, replace, version


def test_reindexing_changes_every_vector_and_the_fingerprint_in_one_version(url: URL) -> None:
    registry = Registry.open(url, "f1", lambda: [draft(key) for key in "abc"])
    before = registry.get("a")
    registry.delete("c")
    registry.close()
    seen: list[tuple[int, int]] = []

    def encode(relations: Sequence[Relation]) -> list[Draft]:
        return [draft(relation.id, relation.description, first=9.0) for relation in relations]

    count = reindex(url, "f2", encode, lambda done, total: seen.append((done, total)))
    assert (count, seen) == (2, [(2, 2)])
    registry = Registry.open(url, "f2")
    _, rows = everything(registry)
    live = [(row.id, row.version, row.vector[0]) for row in rows if row.vector is not None]
    assert live == [("a", 3, 9.0), ("b", 3, 9.0)]
    assert registry.get("a").created_at == before.created_at
    registry.close()


def test_reindexing_encodes_every_wording(url: URL) -> None:
    Registry.open(url, "f1", lambda: [draft("a", paraphrases=("They have met.",))]).close()
    seen: list[Relation] = []

    def encode(relations: Sequence[Relation]) -> list[Draft]:
        seen.extend(relations)
        return [draft(x.id, x.description, paraphrases=x.paraphrases) for x in relations]

    reindex(url, "f2", encode)
    assert [x.paraphrases for x in seen] == [("They have met.",)]


def test_reindexing_that_fails_leaves_the_registry_as_it_was(url: URL) -> None:
    Registry.open(url, "f1", lambda: [draft("a")]).close()

    def broken(relations: Sequence[Relation]) -> list[Draft]:
        raise RuntimeError("no model")

    with pytest.raises(RuntimeError, match="no model"):
        reindex(url, "f2", broken)
    registry = Registry.open(url, "f1")
    assert version(registry) == 1
    registry.close()


def test_there_is_nothing_to_reindex_without_a_registry(sqlite: URL, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="nothing to encode again"):
        reindex(sqlite, "f2", lambda relations: [])
    assert list(tmp_path.iterdir()) == []


def test_there_is_nothing_to_reindex_in_an_empty_database(shared: URL) -> None:
    with pytest.raises(StartupError, match="is empty"):
        reindex(shared, "f2", lambda relations: [])


def test_what_is_written_while_it_encodes_is_encoded_too_and_what_is_deleted_stays_away(shared: URL) -> None:
    registry = Registry.open(shared, "f1", lambda: [draft(key) for key in "abc"])
    asked: list[list[str]] = []

    def encode(relations: Sequence[Relation]) -> list[Draft]:
        asked.append([relation.id for relation in relations])
        if len(asked) == 1:
            registry.add([draft("d")])
            registry.delete("a")
            replace(registry, draft("b", "Something else."))
        return [draft(x.id, x.description, first=9.0) for x in relations]

    assert reindex(shared, "f2", encode) == 3
    registry.close()
    assert asked == [["a", "b", "c"], ["b", "d"]]
    registry = Registry.open(shared, "f2")
    live = {row.id: row.vector[0] for row in everything(registry)[1] if row.vector is not None}
    assert live == {"b": 9.0, "c": 9.0, "d": 9.0}
    assert registry.get("b").relation.description == "Something else."
    registry.close()


def test_a_process_with_the_encoder_of_before_neither_writes_nor_reads_vectors_any_more(shared: URL) -> None:
    registry = Registry.open(shared, "f1", lambda: [draft("a")])
    reindex(shared, "f2", lambda relations: [draft(x.id, x.description) for x in relations])
    for use in (lambda: registry.add([draft("b")]), lambda: registry.delete("a"), lambda: everything(registry)):
        with pytest.raises(RegistryUnavailableError, match=r"again with encoder f2.*has encoder f1.*that encoder"):
            use()
    assert registry.get("a").version == 2
    registry.close()
