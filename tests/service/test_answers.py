from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from models.text import InputError, Instance, Span
from service.answers import AnswerCache
from service.errors import OverloadedError
from service.extraction import Answer, Query, Scored
from service.metrics import Metrics
from tests.service.fakes import SENTENCE

pytestmark = pytest.mark.anyio

INSTANCE = Instance(SENTENCE, Span(0, 12), Span(25, 31))
QUERY = Query(INSTANCE)


class Worker:
    """Answers in the name of a registry whose version can be set."""

    def __init__(self) -> None:
        self.version = 1
        self.asked: list[list[Query]] = []
        self.error: Exception | None = None

    async def __call__(self, queries: Sequence[Query]) -> list[Answer | Exception]:
        self.asked.append(list(queries))
        if self.error is not None:
            raise self.error
        version = self.version
        await asyncio.sleep(0)
        return [
            InputError("head", "it cannot be read") if x.top_k == 13 else Answer(None, [], False, version, "fake")
            for x in queries
        ]


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def cache(worker: Worker, metrics: Metrics, size: int = 8) -> AnswerCache:
    return AnswerCache(worker, lambda: worker.version, size, metrics)


async def test_an_identical_query_is_answered_without_work(worker: Worker, metrics: Metrics) -> None:
    kept = cache(worker, metrics)
    first = await kept.answer([QUERY])
    assert await kept.answer([Query(Instance(SENTENCE, Span(0, 12), Span(25, 31)))]) == first
    assert worker.asked == [[QUERY]]


@pytest.mark.parametrize(
    "other",
    [
        Query(Instance(SENTENCE, Span(0, 12), Span(17, 21))),
        Query(Instance(SENTENCE, Span(25, 31), Span(0, 12))),
        Query(Instance(f"{SENTENCE} ", Span(0, 12), Span(25, 31))),
        Query(INSTANCE, top_k=2),
        Query(INSTANCE, threshold=0.5),
        Query(INSTANCE, relations=("P19",)),
        Query(INSTANCE, tags=("person",)),
    ],
    ids=["span", "direction", "sentence", "top_k", "threshold", "relations", "tags"],
)
async def test_another_query_is_worked_on(worker: Worker, metrics: Metrics, other: Query) -> None:
    kept = cache(worker, metrics)
    await kept.answer([QUERY])
    await kept.answer([other])
    assert worker.asked == [[QUERY], [other]]


async def test_in_a_batch_only_what_is_not_there_is_worked_on_and_once(worker: Worker, metrics: Metrics) -> None:
    kept, one, two = cache(worker, metrics), Query(INSTANCE, 1), Query(INSTANCE, 2)
    await kept.answer([one])
    assert len(await kept.answer([two, one, two])) == 3
    assert worker.asked == [[one], [two]]


async def test_with_another_version_of_the_registry_all_is_worked_on_again(worker: Worker, metrics: Metrics) -> None:
    kept = cache(worker, metrics)
    await kept.answer([QUERY])
    worker.version = 2
    [answer] = await kept.answer([QUERY])
    assert isinstance(answer, Answer)
    assert answer.registry_version == 2


async def test_an_answer_that_is_old_before_it_is_there_is_not_kept(worker: Worker, metrics: Metrics) -> None:
    kept = cache(worker, metrics)
    running = asyncio.create_task(kept.answer([QUERY]))
    await asyncio.sleep(0)
    worker.version = 2
    await running
    await kept.answer([QUERY])
    assert worker.asked == [[QUERY], [QUERY]]


async def test_a_fault_is_not_kept(worker: Worker, metrics: Metrics) -> None:
    kept, bad = cache(worker, metrics), Query(INSTANCE, top_k=13)
    for _ in range(2):
        [fault] = await kept.answer([bad])
        assert isinstance(fault, InputError)
    assert worker.asked == [[bad], [bad]]


async def test_a_refusal_reaches_the_caller_and_is_not_kept(worker: Worker, metrics: Metrics) -> None:
    kept = cache(worker, metrics)
    worker.error = OverloadedError("full")
    with pytest.raises(OverloadedError):
        await kept.answer([QUERY])
    worker.error = None
    assert isinstance((await kept.answer([QUERY]))[0], Answer)


async def test_beyond_its_size_the_answer_that_was_asked_for_longest_ago_goes(worker: Worker, metrics: Metrics) -> None:
    kept = cache(worker, metrics, size=2)
    one, two, three = (Query(INSTANCE, k) for k in (1, 2, 3))
    for query in (one, two, one, three, one, two):
        await kept.answer([query])
    assert worker.asked == [[one], [two], [three], [two]]


async def test_with_size_0_nothing_is_kept_and_nothing_counted(worker: Worker, metrics: Metrics) -> None:
    kept = cache(worker, metrics, size=0)
    await kept.answer([QUERY])
    await kept.answer([QUERY])
    assert worker.asked == [[QUERY], [QUERY]]
    assert "emma_cache_lookups_total{" not in metrics.render().decode()


async def test_hits_and_misses_are_counted(worker: Worker, metrics: Metrics) -> None:
    kept = cache(worker, metrics)
    await kept.answer([QUERY])
    await kept.answer([QUERY, Query(INSTANCE, 1), QUERY])
    text = metrics.render().decode()
    assert 'emma_cache_lookups_total{outcome="hit"} 2.0' in text
    assert 'emma_cache_lookups_total{outcome="miss"} 2.0' in text


async def test_a_kept_answer_counts_as_an_extraction_and_has_no_stages(metrics: Metrics) -> None:
    async def work(queries: Sequence[Query]) -> list[Answer | Exception]:
        return [Answer(Scored("P19", "place of birth", 0.9), [], False, 1, "fake") for _ in queries]

    kept = AnswerCache(work, lambda: 1, 8, metrics)
    await kept.answer([QUERY, QUERY])
    await kept.answer([QUERY])
    text = metrics.render().decode()
    # The third is counted where it is worked on.
    assert 'emma_extractions_total{outcome="relation"} 2.0' in text
    assert "emma_stage_seconds_count{" not in text
