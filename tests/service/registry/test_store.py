from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, event

from models.relation import Relation
from service.errors import ConflictError, NotFoundError, RegistryUnavailableError, StartupError
from service.registry import Draft, Registry, locate, store
from tests.service.registry.support import draft, everything, replace, version


@pytest.fixture
def registry(url: URL) -> Iterator[Registry]:
    registry = Registry.open(url, "f1", busy_milliseconds=1)
    yield registry
    registry.close()


def test_a_new_registry_is_empty_and_at_version_0(registry: Registry) -> None:
    assert everything(registry) == (0, [])


def test_a_new_registry_is_seeded_in_one_version(url: URL) -> None:
    registry = Registry.open(url, "f1", lambda: [draft("a"), draft("b")])
    found, rows = everything(registry)
    assert found == 1
    assert [(row.id, row.version) for row in rows] == [("a", 1), ("b", 1)]
    registry.close()


def test_a_registry_is_seeded_only_once(url: URL) -> None:
    registry = Registry.open(url, "f1", lambda: [draft("a"), draft("b")])
    registry.delete("a")
    registry.close()
    registry = Registry.open(url, "f1", lambda: pytest.fail("seeded again"))
    assert [record.id for record in registry.page().records] == ["b"]
    registry.close()


def test_a_registry_that_began_without_seeds_gets_none_later(url: URL) -> None:
    Registry.open(url, "f1").close()
    Registry.open(url, "f1", lambda: pytest.fail("seeded")).close()


def test_a_seed_that_fails_leaves_a_registry_that_is_still_new(url: URL) -> None:
    def broken() -> Sequence[Draft]:
        raise RuntimeError("no catalogue")

    with pytest.raises(RuntimeError, match="no catalogue"):
        Registry.open(url, "f1", broken)
    registry = Registry.open(url, "f1", lambda: [draft("a")])
    assert registry.page().total == 1
    registry.close()


def test_another_encoders_registry_is_refused_with_both_fingerprints_and_what_to_do(url: URL) -> None:
    Registry.open(url, "f1").close()
    with pytest.raises(StartupError, match=r"encoder f1.*encoder f2.*EMMA_BUNDLE.*EMMA_DATABASE_URL.* reindex"):
        Registry.open(url, "f2")


def test_what_was_added_is_there_after_opening_again(url: URL) -> None:
    registry = Registry.open(url, "f1")
    [written] = registry.add([draft("a")])
    registry.close()
    registry = Registry.open(url, "f1")
    assert registry.get("a") == written.record
    registry.close()


def test_a_relation_that_is_there_with_the_same_content_is_left_as_it_is(registry: Registry) -> None:
    [first] = registry.add([draft("a")])
    [second] = registry.add([draft("a")])
    assert (first.created, second.created) == (True, False)
    assert second.record == first.record
    assert version(registry) == 1


def test_paraphrases_come_back_as_they_went_in(registry: Registry) -> None:
    registry.add([draft("a", paraphrases=("The tail is known by the head.", "They have met."))])
    assert registry.get("a").relation.paraphrases == ("The tail is known by the head.", "They have met.")


def test_everything_that_is_said_of_a_relation_comes_back_as_it_went_in(registry: Registry) -> None:
    said = Relation("a", "b", "c", ("d",), "e", True, ("f", "g"), ("h",), ("i",), ("j", "k"))
    registry.add([Draft(said, False, draft("a").vector)])
    assert registry.get("a").relation == said
    [row] = everything(registry)[1]
    assert (row.id, row.name, row.description, row.tags) == (said.id, said.name, said.description, said.tags)


@pytest.mark.parametrize("field", ["head_types", "tail_types", "aliases", "tags"])
def test_an_id_with_other_annotations_is_a_conflict(registry: Registry, field: str) -> None:
    registry.add([draft("a")])
    other: dict[str, Any] = {field: ("x",)}
    with pytest.raises(ConflictError):
        registry.add([Draft(dataclasses.replace(draft("a").relation, **other), False, draft("a").vector)])


def test_an_id_with_other_paraphrases_is_a_conflict(registry: Registry) -> None:
    registry.add([draft("a", paraphrases=("They have met.",))])
    with pytest.raises(ConflictError, match=r"other content: 'a'"):
        registry.add([draft("a")])


def test_an_id_with_other_content_is_a_conflict_and_nothing_of_the_batch_is_written(registry: Registry) -> None:
    registry.add([draft("a")])
    with pytest.raises(ConflictError, match=r"'a'.*PUT") as caught:
        registry.add([draft("b"), draft("a", "Something else."), draft("c")])
    assert caught.value.field == "items"
    assert [record.id for record in registry.page().records] == ["a"]
    assert version(registry) == 1


def test_a_batch_has_one_version_and_says_which_are_new(registry: Registry) -> None:
    registry.add([draft("b")])
    written = registry.add([draft("c"), draft("b"), draft("a")])
    assert [(each.record.id, each.created, each.record.version) for each in written] == [
        ("c", True, 2),
        ("b", False, 1),
        ("a", True, 2),
    ]


def test_replacing_keeps_the_time_of_creation(registry: Registry) -> None:
    [first] = registry.add([draft("a")])
    second = replace(registry, draft("a", "Something else."))
    assert not second.created
    assert (second.record.relation.description, second.record.version) == ("Something else.", 2)
    assert second.record.created_at == first.record.created_at < second.record.updated_at
    assert registry.get("a") == second.record


def test_replacing_what_is_not_there_creates_it(registry: Registry) -> None:
    assert replace(registry, draft("a")).created


def test_replacing_with_the_same_content_changes_nothing(registry: Registry) -> None:
    replace(registry, draft("a"))
    assert not replace(registry, draft("a")).created
    assert version(registry) == 1


def test_what_was_deleted_is_gone_and_leaves_a_tombstone(registry: Registry) -> None:
    registry.add([draft("a")])
    registry.delete("a")
    with pytest.raises(NotFoundError, match="'a'"):
        registry.get("a")
    found, [row] = everything(registry)
    assert (found, row.version, row.vector) == (2, 2, None)


@pytest.mark.parametrize("before", [[], ["a"]], ids=["never there", "deleted"])
def test_to_delete_what_is_not_there_is_an_error_and_no_version(registry: Registry, before: list[str]) -> None:
    for key in before:
        registry.add([draft(key)])
        registry.delete(key)
    found = version(registry)
    with pytest.raises(NotFoundError):
        registry.delete("a")
    assert version(registry) == found


def test_a_deleted_id_can_be_created_again_with_other_content(registry: Registry) -> None:
    registry.add([draft("a")])
    registry.delete("a")
    [written] = registry.add([draft("a", "Something else.")])
    assert written.created
    assert registry.get("a").relation.description == "Something else."


def test_pages_follow_each_other_by_id_and_count_what_lives(registry: Registry) -> None:
    registry.add([draft(key) for key in "edcba"])
    registry.delete("c")
    first = registry.page(limit=2)
    second = registry.page(first.next_cursor, limit=2)
    assert [record.id for record in first.records + second.records] == ["a", "b", "d", "e"]
    assert (first.next_cursor, second.next_cursor) == ("b", None)
    assert (first.total, second.total) == (4, 4)


def test_a_cursor_whose_relation_was_deleted_still_leads_on(registry: Registry) -> None:
    registry.add([draft(key) for key in "abc"])
    cursor = registry.page(limit=2).next_cursor
    registry.delete("b")
    assert [record.id for record in registry.page(cursor).records] == ["c"]


def test_vectors_come_back_as_they_went_in(registry: Registry) -> None:
    registry.add([draft("a", first=0.1)])
    _, [row] = everything(registry)
    assert row.vector is not None
    np.testing.assert_array_equal(row.vector, np.array([0.1, 0, 0, 0.5], dtype=np.float32))


def test_only_what_came_after_a_version_is_a_change(registry: Registry) -> None:
    registry.add([draft("a")])
    registry.add([draft("b")])
    registry.delete("a")
    found, rows = everything(registry, since=1)
    assert found == 3
    assert [(row.id, row.vector is None) for row in rows] == [("b", False), ("a", True)]


def test_a_registry_that_was_put_back_is_refused_with_both_versions_and_what_to_do(registry: Registry) -> None:
    registry.add([draft("a")])
    with pytest.raises(RegistryUnavailableError, match=r"at version 1, and version 2 was.*start this process again"):
        everything(registry, since=2)


def test_a_version_that_is_cut_by_a_chunk_is_complete_only_with_the_last(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CHUNK", 2)
    registry.add([draft("a")])
    registry.add([draft(key) for key in "bcd"])
    assert [(complete, [row.id for row in rows]) for complete, rows in registry.changes()] == [
        (1, ["a", "b"]),
        (2, ["c", "d"]),
    ]


def test_unchanged_since_a_version_is_what_is_still_as_it_was(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CHUNK", 2)
    registry.add([draft(key) for key in "abcde"])
    registry.delete("a")
    replace(registry, draft("b", "It is another."))
    registry.add([draft("f")])
    found = list(registry.unchanged(1))
    assert [[(row.id, row.version, row.vector) for row in rows] for rows in found] == [
        [("c", 1, None), ("d", 1, None)],
        [("e", 1, None)],
    ]


def test_a_stamp_stays_while_the_relation_does_and_differs_from_all_others(registry: Registry) -> None:
    registry.add([draft("a"), draft("b")])
    before = {row.id: row.stamp for row in everything(registry)[1]}
    replace(registry, draft("b", "It is another."))
    after = {row.id: row.stamp for row in everything(registry)[1]}
    assert after["a"] == before["a"]
    assert len({*before.values(), *after.values()}) == 3


@pytest.mark.parametrize(
    ("pragma", "message"), [("max_page_count = 1", "full"), ("query_only = ON", "readonly")], ids=["full", "read-only"]
)
def test_a_write_that_the_disk_refuses_changes_nothing(sqlite: URL, pragma: str, message: str) -> None:
    registry = Registry.open(sqlite, "f1", lambda: [draft("a")])
    registry._engine.dispose()
    event.listen(registry._engine, "connect", lambda connection, _: connection.execute(f"PRAGMA {pragma}"))
    with pytest.raises(RegistryUnavailableError, match=message):
        registry.add([draft(f"{i}", "long " * 1000) for i in range(100)])
    assert [record.id for record in registry.page().records] == ["a"]
    assert version(registry) == 1
    registry.close()


def test_of_processes_that_register_one_id_at_once_one_wins_and_the_others_conflict(shared: URL) -> None:
    processes = [Registry.open(shared, "f1") for _ in range(4)]

    def write(position: int) -> str | None:
        try:
            return processes[position].add([draft("a", f"It is of {position}.")])[0].record.relation.description
        except ConflictError:
            return None

    with ThreadPoolExecutor(len(processes)) as threads:
        [winner] = filter(None, threads.map(write, range(len(processes))))
    assert [registry.get("a").relation.description for registry in processes] == [winner] * len(processes)
    assert version(processes[0]) == 1
    for registry in processes:
        registry.close()


OPERATIONS = st.tuples(st.sampled_from(["add", "replace", "delete"]), st.sampled_from("abc"), st.sampled_from("xy"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(OPERATIONS, max_size=12))
def test_it_always_holds_what_a_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, str, str]]
) -> None:
    registry, expected = Registry.open(locate(tmp_path_factory.mktemp("registry")), "f1"), dict[str, str]()
    versions = [0]
    for operation, key, description in operations:
        before = dict(expected)
        try:
            if operation == "add":
                registry.add([draft(key, description)])
                expected.setdefault(key, description)
            elif operation == "replace":
                replace(registry, draft(key, description))
                expected[key] = description
            else:
                registry.delete(key)
                expected.pop(key)
        except (ConflictError, NotFoundError):
            pass
        versions.append(version(registry))
        assert versions[-1] == versions[-2] + (before != expected)
    assert {record.id: record.relation.description for record in registry.page().records} == expected
    registry.close()
