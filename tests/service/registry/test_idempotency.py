from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import URL

from service.errors import ConflictError, InvalidError, NotFoundError
from service.registry import Once, Registry, idempotency
from tests.service.registry.support import draft, replace, version

ONCE = Once("k1", "digest")


@pytest.fixture
def registry(url: URL) -> Iterator[Registry]:
    registry = Registry.open(url, "f1")
    yield registry
    registry.close()


def test_a_repetition_is_answered_as_the_first_was_and_does_nothing(registry: Registry) -> None:
    drafts = [draft("a", paraphrases=("They have met.",)), draft("b")]
    first = registry.add(drafts, once=ONCE)
    registry.delete("a")
    assert registry.add(drafts, once=ONCE) == first
    assert version(registry) == 2
    with pytest.raises(NotFoundError):
        registry.get("a")


def test_an_answer_that_created_nothing_is_kept_too(registry: Registry) -> None:
    registry.add([draft("a")])
    first = registry.add([draft("a")], once=ONCE)
    replace(registry, draft("a", "Something else."))
    assert registry.add([draft("a")], once=ONCE) == first


def test_a_key_that_comes_with_another_request_is_refused(registry: Registry) -> None:
    registry.add([draft("a")], once=ONCE)
    with pytest.raises(InvalidError, match="'k1' came with another request") as caught:
        registry.add([draft("b")], once=Once("k1", "other"))
    assert caught.value.field == "idempotency-key"
    assert version(registry) == 1


def test_a_refusal_is_not_kept(registry: Registry) -> None:
    registry.add([draft("a", "Something else.")])
    with pytest.raises(ConflictError):
        registry.add([draft("a")], once=ONCE)
    registry.delete("a")
    assert registry.add([draft("a")], once=ONCE)[0].created


def test_a_key_is_forgotten_after_a_while(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.add([draft("a")], once=ONCE)
    monkeypatch.setattr(idempotency, "KEPT", timedelta(0))
    [again] = registry.add([draft("a")], once=Once("k1", "other"))
    assert not again.created


def test_repetitions_at_the_same_time_take_effect_once(registry: Registry) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(registry.add, [draft("a")], None, ONCE) for _ in range(8)]
    assert {answer.result()[0].created for answer in answers} == {True}
    assert version(registry) == 1
