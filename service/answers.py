"""Answers kept for requests that come again while the registry stays as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from cachetools import LRUCache

from service.extraction import Answer, Query
from service.metrics import Metrics

Answers: TypeAlias = list[Answer | Exception]


class AnswerCache:
    """Stands before what answers queries, and keeps the answers that were asked for last.

    An answer depends on the query, the registry's version and the model, which a process does not change. To be used
    in one event loop.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Query]], Awaitable[Answers]],
        version: Callable[[], int],
        size: int,
        metrics: Metrics,
    ) -> None:
        """Start empty.

        Args:
            work: answers queries; one answer for each, in order, or an exception for one that is at fault.
            version: the registry's version that an answer would be of now.
            size: answers that are kept, at most; with 0, every query is worked on.
            metrics: told what was there and what was not.
        """
        self._work = work
        self._version = version
        self._metrics = metrics
        self._of_version = version()
        self._kept: LRUCache[Query, Answer] | None = LRUCache(size) if size else None

    async def answer(self, queries: Sequence[Query]) -> Answers:
        """Answers in the order of the queries; those of a query that comes twice are the same.

        Raises:
            Exception: what the work raised.
        """
        if self._kept is None:
            return await self._work(queries)
        self._forget_other_versions(self._kept)
        found: dict[Query, Answer | Exception] = {query: self._kept[query] for query in queries if query in self._kept}
        missing = [*dict.fromkeys(query for query in queries if query not in found)]
        self._metrics.looked_up(hits=len(queries) - len(missing), misses=len(missing))
        if missing:
            new = dict(zip(missing, await self._work(missing), strict=True))
            found |= new
            self._forget_other_versions(self._kept)
            for query, answer in new.items():
                if isinstance(answer, Answer) and answer.registry_version == self._of_version:
                    self._kept[query] = answer
        # What is worked on counts itself, once.
        worked_on = set(missing)
        for query in queries:
            answer = found[query]
            if query in worked_on:
                worked_on.remove(query)
            elif isinstance(answer, Answer):
                self._metrics.extraction(found=answer.relation is not None)
        return [found[query] for query in queries]

    def _forget_other_versions(self, kept: LRUCache[Query, Answer]) -> None:
        if self._of_version != (version := self._version()):
            self._of_version = version
            kept.clear()
