"""Everything that one running service holds, and the order in which it is opened and closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Annotated, Any

import structlog
from fastapi import Depends, Request

from models.bundle import BundleError, load_bundle
from models.candidates import CandidateList
from models.relation import Relation
from models.runtime import ROWS_AT_ONCE, Runtime, available_processors
from models.text import Instance, Span
from service.answers import AnswerCache
from service.batching import Batcher
from service.errors import NotReadyError, RegistryUnavailableError, StartupError
from service.extraction import Answer, Extractor, Model, Query
from service.following import Follower
from service.index import Cache, RelationIndex
from service.keys import Keys
from service.metrics import Metrics
from service.registration import Registrar, catalogue, encode
from service.registry import Draft, Registry, described, locked
from service.replica import Replica
from service.settings import Settings

log = structlog.get_logger("service")


def load_model(settings: Settings, threads: int | None = None, rows_at_once: int = ROWS_AT_ONCE) -> Model:
    """Verify and load the bundle.

    Args:
        settings: name it.
        threads: of one call of a graph; the settings' when not given.
        rows_at_once: that one call gets, at most.

    Raises:
        StartupError: it cannot be used.
    """
    try:
        return Runtime(load_bundle(settings.bundle), threads or settings.threads, rows_at_once)
    except BundleError as error:
        raise StartupError(str(error)) from error
    except Exception as error:
        # Of whatever type: the tokenizer's and the graphs' libraries raise plain exceptions for a bad file.
        raise StartupError(
            f"cannot load the bundle {settings.bundle} ({error}): was it made for another release?"
        ) from error


def warm_up(model: Model) -> None:
    """Use every part of the model once, so that the first request does not pay for what is set up lazily."""
    inputs = model.prepare([Instance("Ada Lovelace was born in London.", Span(0, 12), Span(25, 31))])
    descriptions = model.describe([Relation("warm-up", "place of birth", "The head was born in the tail.")])
    model.encode_instances(inputs)
    model.encode_descriptions(descriptions)
    model.classify([CandidateList(inputs[0], (descriptions[0],))])


class State:
    """The parts of a service, wired together. `start` and `stop` bracket the time in which it answers."""

    def __init__(self, settings: Settings, model: Model, registry: Registry, metrics: Metrics) -> None:
        self.settings = settings
        self.model = model
        self.metrics = metrics
        self.keys = None if settings.api_keys_file is None else Keys(settings.api_keys_file)
        manifest = model.bundle.manifest
        self.index = RelationIndex(manifest.dimension, cache=Cache(settings.index_folder(), manifest.fingerprint))
        self._closing = ExitStack()
        self._closing.callback(self.index.close)
        try:
            self.replica = Replica(registry, self.index)
        except BaseException:
            self.close()
            raise
        self._follower = Follower(self.replica, registry, settings.poll_seconds) if registry.shared else None
        workers = settings.threads or available_processors()
        self._model_threads = ThreadPoolExecutor(workers, "emma-model")
        self._writer_thread = ThreadPoolExecutor(1, "emma-writer")
        limits: dict[str, Any] = {
            "queue_size": settings.queue_size,
            "deadline_seconds": settings.deadline_seconds,
        }
        self.extractions: Batcher[Query, Answer] = Batcher(
            Extractor(model, self.index, metrics).extract,
            self._model_threads,
            workers=workers,
            batch_size=settings.batch_size,
            on_wait=metrics.waited,
            on_batch=metrics.batch,
            **limits,
        )
        self.answers = AnswerCache(self.extractions.submit, lambda: self.index.version, settings.cache_size, metrics)
        self._encoder: Batcher[Relation, Draft] = Batcher(
            lambda relations: encode(model, relations),
            self._model_threads,
            workers=workers,
            batch_size=settings.batch_size,
            **limits,
        )
        self._writer: Batcher[Callable[[], Any], Any] = Batcher(_call, self._writer_thread, batch_size=1, **limits)
        self.registrar = Registrar(
            registry,
            self.index,
            self.replica.require_reachable,
            self.replica.catch_up,
            self._encoder,
            self._writer,
        )
        metrics.watch_queue(lambda: self.extractions.depth)
        metrics.watch_index(
            lambda: len(self.index), lambda: self.index.version, lambda: self.index.tier, self.index.tiers
        )
        metrics.watch_registry(lambda: self.replica.reachable, self.replica.lag_seconds)
        self._closing.callback(self._model_threads.shutdown)
        self._closing.callback(self._writer_thread.shutdown)

    @classmethod
    def open(cls, settings: Settings, model: Model | None = None, metrics: Metrics | None = None) -> State:
        """Load the model, open the registry, and fill the index.

        Raises:
            StartupError: one of these cannot be done; the message says what to do.
        """
        # Threads that share a reading take more processor time for it than one, and there are other readings to do.
        model = model or load_model(settings, 1, settings.batch_size)
        warm_up(model)
        seed = (lambda: catalogue(model)) if settings.seed_catalogue else list
        url = settings.registry()
        with ExitStack() as opened:
            opened.enter_context(locked(url))
            registry = Registry.open(url, model.bundle.manifest.fingerprint, seed, listen_at=settings.listen_at())
            opened.callback(registry.close)
            try:
                state = cls(settings, model, registry, metrics or Metrics())
            except RegistryUnavailableError as error:
                raise StartupError(f"{error.message}; see to the registry {described(url)} and start again") from error
            opened.push(state._closing)
            state._closing = opened.pop_all()
        log.info(
            "ready",
            model=model.bundle.manifest.name,
            relations=len(state.index),
            registry_version=state.index.version,
            index=state.index.tier,
            registry=described(url),
        )
        if state.keys is None:
            log.info("no API keys", effect="whoever reaches the service may use it and change the registry")
        return state

    def start(self) -> None:
        """Begin to answer; needs a running event loop."""
        for batcher in self._batchers():
            batcher.start()
        if self._follower is not None:
            self._follower.start()

    async def stop(self) -> None:
        """Fail what waits with 503, finish what runs."""
        if self._follower is not None:
            await self._follower.close()
        for batcher in self._batchers():
            await batcher.close()

    def close(self) -> None:
        """Close the registry and, where only one process may use it, leave it to the next."""
        self._closing.close()

    def _batchers(self) -> tuple[Batcher[Any, Any], ...]:
        return (self.extractions, self._encoder, self._writer)


async def current(request: Request) -> State:
    """The state of the application that answers a request.

    A coroutine, although it waits for nothing: the framework would call a function in a thread.

    Raises:
        NotReadyError: it is not serving.
    """
    state: State | None = getattr(request.app.state, "serving", None)
    if state is None:
        raise NotReadyError("the service is not ready: it is starting or stopping")
    return state


Current = Annotated[State, Depends(current)]


def _call(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    return [function() for function in functions]
