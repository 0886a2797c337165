"""The tier on a GPU, whose index is one in memory here; what copies it there is FAISS's own."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from service.index import gpu as module
from service.index import kept
from service.index.among import Among
from service.index.gpu import OWNER, Gpu, Owner, available
from service.index.lists import Lists
from service.index.segment import Vectors
from service.index.tiers import Tiers, fastest
from tests.service.index.support import clustered, flat, source

COUNT = 3_000

pytestmark = pytest.mark.usefixtures("without_gpu")


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clustered(COUNT)


@pytest.fixture
def base(vectors: Vectors) -> Gpu:
    return Gpu.build(source(flat(vectors)))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """How many each search on the GPU asked for, and in which thread."""
    calls: list[tuple[int, str]] = []
    search = Owner._search

    def record(self: Owner, key: int, vector: Vectors, most: int) -> Any:
        calls.append((most, threading.current_thread().name))
        return search(self, key, vector, most)

    monkeypatch.setattr(Owner, "_search", record)
    return calls


def nearest(vectors: Vectors, query: Vectors, k: int, rows: np.ndarray) -> list[int]:
    halved = vectors.astype(np.float16).astype(np.float32)
    found: list[int] = rows[np.argsort(-(halved[rows] @ query), kind="stable")[:k]].tolist()
    return found


def numbers(base: Gpu, query: Vectors, k: int, among: np.ndarray | None = None) -> list[int]:
    restriction = None if among is None else Among({"x": {*among.tolist()}})
    return [number for _, number in base.search(query, k, restriction)]


def test_the_nearest_are_found_without_exception(base: Gpu, vectors: Vectors) -> None:
    for query in clustered(20, seed=1):
        assert numbers(base, query, 10) == nearest(vectors, query, 10, np.arange(COUNT))


@pytest.mark.parametrize("share", [2, 30, 500], ids=["half", "few", "fewer than the GPU's answer has of them"])
def test_among_some_the_nearest_of_these_are_found(
    base: Gpu, vectors: Vectors, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "COMPARED", 1)
    monkeypatch.setattr(module, "AT_ONCE", 100)
    some = np.arange(0, COUNT, share)
    for query in clustered(10, seed=2):
        assert numbers(base, query, 5, some) == nearest(vectors, query, 5, some)


def test_what_was_discarded_is_not_found_however_much_of_it_is_nearer(base: Gpu, vectors: Vectors) -> None:
    query = clustered(1, seed=3)[0]
    near = np.array(nearest(vectors, query, COUNT, np.arange(COUNT)))
    base.discard(near[:2_500].tolist())
    assert numbers(base, query, 10) == near[2_500:2_510].tolist()


def test_no_more_is_asked_of_the_gpu_than_it_gives_at_once(
    base: Gpu, vectors: Vectors, asked: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 64)
    base.discard(range(0, COUNT, 2))
    for k in (1, 10, 30, 500):
        assert len(base.search(vectors[0], k)) == k
    assert asked
    assert max(most for most, _ in asked) <= 64


def test_one_thread_alone_touches_the_gpu(base: Gpu, vectors: Vectors, asked: list[tuple[int, str]]) -> None:
    threads = [threading.Thread(target=base.search, args=(vectors[n], 3)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 4
    assert len({name for _, name in asked}) == 1
    assert asked[0][1].startswith("gpu-index")


def test_what_is_not_needed_any_more_is_freed_on_the_gpu(vectors: Vectors) -> None:
    base = Gpu.build(source(flat(vectors[:10])))
    key = base._key
    assert key in OWNER._held
    del base
    gc.collect()
    # Whatever was asked for before is done when this is.
    OWNER._thread.submit(int).result()
    assert key not in OWNER._held


def test_extended_it_has_the_new_ones_too_and_the_discarded_stay_away(base: Gpu, vectors: Vectors) -> None:
    base.discard([5])
    later = clustered(50, seed=4)
    copy = base.extended(source(flat(later, first=COUNT)))
    assert copy is not None
    assert len(copy) == COUNT + 49
    assert numbers(copy, later[7], 1) == [COUNT + 7]
    assert 5 not in numbers(copy, vectors[5], 20)


def test_what_was_saved_is_loaded_with_numbers_from_0_on(base: Gpu, vectors: Vectors, tmp_path: Path) -> None:
    base.save(tmp_path / "base")
    loaded = Gpu.load(tmp_path / "base")
    assert loaded.numbers.tolist() == list(range(COUNT))
    assert numbers(loaded, vectors[3], 10) == numbers(base, vectors[3], 10)


@pytest.mark.parametrize(("gpus", "tier"), [(0, Lists), (2, Gpu)])
def test_the_tier_is_that_of_the_gpu_where_there_is_one(gpus: int, tier: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: gpus)
    assert available() is bool(gpus)
    assert fastest() is Tiers().base is tier
