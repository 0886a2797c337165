from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.index import kept
from service.index import lists as module
from service.index.among import Among
from service.index.lists import Lists
from service.index.segment import Vectors
from tests.service.index.support import clustered, flat, source

COUNT = 4_000


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clustered(COUNT)


@pytest.fixture
def base(vectors: Vectors) -> Lists:
    return Lists.build(source(flat(vectors)))


@pytest.fixture
def few_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is looked for may be in lists that are not searched at first."""
    monkeypatch.setattr(module, "PROBES", 1)


def recall(base: Lists, vectors: Vectors, queries: Vectors, among: np.ndarray | None = None) -> float:
    kept = np.arange(len(vectors)) if among is None else among
    restriction = None if among is None else Among({"x": {*among.tolist()}})
    shared = []
    for query in queries:
        best = kept[np.argsort(-(vectors[kept] @ query))[:10]]
        found = [number for _, number in base.search(query, 10, restriction)]
        shared.append(len({*best.tolist()} & {*found}) / 10)
    return float(np.mean(shared))


def test_nearly_all_of_the_nearest_are_found(base: Lists, vectors: Vectors) -> None:
    assert recall(base, vectors, clustered(50, seed=1)) > 0.95


def test_the_cosines_are_right_though_the_lists_are_coarse(base: Lists, vectors: Vectors) -> None:
    for cosine, number in base.search(vectors[7], 10):
        assert cosine == pytest.approx(float(vectors[number] @ vectors[7]), abs=1e-3)


@pytest.mark.usefixtures("few_probes")
def test_as_many_are_found_as_there_are_however_many_lists_that_takes(base: Lists, vectors: Vectors) -> None:
    assert len(base.search(vectors[0], COUNT)) == COUNT
    base.discard(range(COUNT - 20))
    assert sorted(number for _, number in base.search(vectors[0], 20)) == list(range(COUNT - 20, COUNT))


@pytest.mark.parametrize(("share", "least"), [(2, 0.95), (8, 0.99), (40, 0.999)], ids=["half", "few", "each compared"])
def test_a_restricted_search_finds_the_nearest_of_the_few(
    base: Lists, vectors: Vectors, share: int, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "COMPARED", COUNT // 20)
    assert recall(base, vectors, clustered(50, seed=1), np.arange(0, COUNT, share)) >= least


def test_a_search_among_few_goes_through_more_lists(
    base: Lists, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "COMPARED", 1)
    for name, value in (("PROBES", 4), ("LOOKED_AT", 2)):
        monkeypatch.setattr(module, name, value)
    queries, few = clustered(50, seed=1), np.arange(0, COUNT, 10)
    wide = recall(base, vectors, queries, few)
    monkeypatch.setattr(module, "WIDENED", 0)
    assert wide > recall(base, vectors, queries, few)


@pytest.fixture
def few_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a restriction is written down in bits."""
    monkeypatch.setattr(kept, "COMPARED", 1)


@pytest.mark.usefixtures("few_compared")
def test_what_was_discarded_after_a_search_among_a_tag_is_not_found_among_it(base: Lists, vectors: Vectors) -> None:
    tag = set(range(0, COUNT, 2))
    assert base.search(vectors[8], 1, Among({"x": tag}))[0][1] == 8
    base.discard([8])
    tag.discard(8)
    found = [number for _, number in base.search(vectors[8], COUNT, Among({"x": tag}))]
    assert sorted(found) == sorted(tag)


@pytest.mark.usefixtures("few_compared")
def test_of_a_tag_whose_relations_were_all_discarded_nothing_is_found(base: Lists, vectors: Vectors) -> None:
    tag = {1, 2, 3}
    assert len(base.search(vectors[0], 5, Among({"x": tag}))) == 3
    base.discard(tag)
    # Others, that are beside the base, have it now.
    assert base.search(vectors[0], 5, Among({"x": {COUNT, COUNT + 1}})) == []


@pytest.mark.usefixtures("few_compared")
def test_a_tag_is_found_in_a_base_that_was_extended(base: Lists, vectors: Vectors) -> None:
    tag = {1, 2, 3}
    base.search(vectors[0], 5, Among({"x": tag}))
    longer = base.extended(source(flat(clustered(10, seed=2), first=COUNT)))
    assert longer is not None
    found = longer.search(vectors[0], 5, Among({"x": tag | {COUNT + 4}}))
    assert sorted(number for _, number in found) == [1, 2, 3, COUNT + 4]


def test_extended_it_has_the_new_ones_too_and_the_discarded_stay_away(base: Lists, vectors: Vectors) -> None:
    base.discard([7])
    more = clustered(100, seed=2)
    longer = base.extended(source(flat(more, first=COUNT)))
    assert longer is not None
    assert (len(longer), len(base), longer.dead) == (COUNT + 99, COUNT - 1, 1)
    assert longer.search(more[5], 1)[0][1] == COUNT + 5
    assert 7 not in [number for _, number in longer.search(vectors[7], 10)]


def test_one_that_outgrows_its_lists_is_not_extended(base: Lists) -> None:
    assert base.extended(source(flat(clustered(8 * COUNT, dimension=96), first=COUNT))) is None


def test_what_was_saved_is_loaded_with_numbers_from_0_on(base: Lists, vectors: Vectors, tmp_path: Path) -> None:
    shifted = Lists.build(source(flat(vectors, first=500)))
    shifted.save(tmp_path / "base")
    loaded = Lists.load(tmp_path / "base")
    assert loaded.numbers.tolist() == list(range(COUNT))
    assert loaded.search(vectors[3], 10) == base.search(vectors[3], 10)
