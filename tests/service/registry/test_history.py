from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from service.errors import ConflictError, NotFoundError
from service.registry import Registry, content
from tests.service.registry.support import draft, replace


@pytest.fixture
def registry(url: URL) -> Iterator[Registry]:
    registry = Registry.open(url, "f1")
    yield registry
    registry.close()


def actions(registry: Registry, key: str) -> list[tuple[int, str, str | None]]:
    return [(event.version, event.action, event.actor) for event in registry.history(key).events]


def test_every_change_is_there_the_latest_first_with_who_made_it(registry: Registry) -> None:
    registry.add([draft("a")], "ada")
    registry.add([draft("a", "Something else.")], "alan", replace=True)
    registry.delete("a")
    registry.add([draft("a")], "ada")
    assert actions(registry, "a") == [
        (4, "created", "ada"),
        (3, "deleted", None),
        (2, "replaced", "alan"),
        (1, "created", "ada"),
    ]


def test_a_change_tells_what_the_relation_was_from_then_on_and_what_was_new_about_it(registry: Registry) -> None:
    [written] = registry.add([draft("a")])
    replace(registry, draft("a", "Something else."))
    registry.delete("a")
    deleted, replaced, created = registry.history("a").events
    assert (deleted.content, deleted.changed) == (None, ())
    assert replaced.content == content(draft("a", "Something else.").relation)
    assert replaced.changed == ("description",)
    assert created.changed == ("name", "description")
    assert created.at == written.record.created_at


def test_seeds_and_batches_have_a_history_too(url: URL) -> None:
    registry = Registry.open(url, "f1", lambda: [draft("a")])
    registry.add([draft("b"), draft("c")], "ada")
    assert [actions(registry, key) for key in "abc"] == [
        [(1, "created", None)],
        [(2, "created", "ada")],
        [(2, "created", "ada")],
    ]
    registry.close()


def test_what_changes_nothing_and_what_is_refused_is_not_in_it(registry: Registry) -> None:
    registry.add([draft("a")])
    registry.add([draft("a")])
    replace(registry, draft("a"))
    with pytest.raises(ConflictError):
        registry.add([draft("a", "Something else.")])
    assert actions(registry, "a") == [(1, "created", None)]


def test_pages_of_it_follow_each_other(registry: Registry) -> None:
    for number in range(5):
        replace(registry, draft("a", f"Number {number}."))
    first = registry.history("a", limit=2)
    second = registry.history("a", first.next_cursor, limit=3)
    assert [[event.version for event in page.events] for page in (first, second)] == [[5, 4], [3, 2, 1]]
    assert (first.next_cursor, second.next_cursor) == (4, None)
    assert first.events[-1].changed == ("description",)


@pytest.mark.parametrize("key", ["x", "a\0b", "\udcff"])
def test_what_never_was_has_none(registry: Registry, key: str) -> None:
    with pytest.raises(NotFoundError):
        registry.history(key)
