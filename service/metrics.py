"""What is measured, for Prometheus. Each application has its own collectors, so that two can share a process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

Stage = Literal["tokenize", "queue", "encode", "search", "classify"]
CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_INSTANCES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The collectors of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "emma_requests", "Requests answered.", ["route", "method", "status"], registry=self._registry
        )
        self._request_seconds = Histogram(
            "emma_request_seconds",
            "Seconds from a request's first byte to its answer.",
            ["route", "method"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stage_seconds = Histogram(
            "emma_stage_seconds",
            "Seconds of each stage of an extraction: of a batch, and of one instance for the queue.",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batch_instances = Histogram(
            "emma_batch_instances",
            "Instances that shared a batch of the model.",
            buckets=_INSTANCES,
            registry=self._registry,
        )
        self._extractions = Counter(
            "emma_extractions", "Extractions by whether a relation was found.", ["outcome"], registry=self._registry
        )
        self._cache_lookups = Counter(
            "emma_cache_lookups",
            "Extractions by whether their answer was there from an identical one; only a miss has stages.",
            ["outcome"],
            registry=self._registry,
        )
        self._queue_depth = Gauge("emma_queue_depth", "Instances waiting for the model.", registry=self._registry)
        self._relations = Gauge("emma_relations", "Relations that can be extracted.", registry=self._registry)
        self._index_tier = Gauge(
            "emma_index_tier",
            "1 for the way in which most relations are searched, else 0.",
            ["tier"],
            registry=self._registry,
        )
        self._registry_version = Gauge(
            "emma_registry_version", "Version of the registry that extractions see.", registry=self._registry
        )
        self._registry_reachable = Gauge(
            "emma_registry_reachable",
            "1 where the registry could be read when last tried, else 0.",
            registry=self._registry,
        )
        self._registry_lag = Gauge(
            "emma_registry_lag_seconds",
            "Seconds since extractions were last known to see all that was written.",
            registry=self._registry,
        )

    def render(self) -> bytes:
        """Every collector in Prometheus' text format."""
        return generate_latest(self._registry)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is a template, never a path."""
        self._requests.labels(route, method, str(status)).inc()
        self._request_seconds.labels(route, method).observe(seconds)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Measure a stage, also when it fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._stage_seconds.labels(stage).observe(time.perf_counter() - start)

    def waited(self, seconds: float) -> None:
        """Count the time that one instance spent in the queue."""
        self._stage_seconds.labels("queue").observe(seconds)

    def batch(self, instances: int) -> None:
        """Count a batch of the model."""
        self._batch_instances.observe(instances)

    def extraction(self, found: bool) -> None:
        """Count an answer."""
        self._extractions.labels("relation" if found else "none").inc()

    def looked_up(self, hits: int, misses: int) -> None:
        """Count extractions whose answers were kept, and those that the model had to answer."""
        self._cache_lookups.labels("hit").inc(hits)
        self._cache_lookups.labels("miss").inc(misses)

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Read the queue's depth from its owner whenever it is asked for: nothing to forget to count down."""
        self._queue_depth.set_function(depth)

    def watch_index(
        self, relations: Callable[[], int], version: Callable[[], int], tier: Callable[[], str], tiers: Sequence[str]
    ) -> None:
        """Read from the index the number of relations, the registry's version, and which of the tiers it has."""
        self._relations.set_function(relations)
        self._registry_version.set_function(version)
        for name in tiers:
            self._index_tier.labels(name).set_function(partial(_is, tier, name))

    def watch_registry(self, reachable: Callable[[], bool], lag_seconds: Callable[[], float]) -> None:
        """Read how the registry is from whoever follows it."""
        self._registry_reachable.set_function(reachable)
        self._registry_lag.set_function(lag_seconds)


def _is(read: Callable[[], str], value: str) -> bool:
    return read() == value
