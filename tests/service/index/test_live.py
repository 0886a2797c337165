from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.index import Cache, Found, RelationIndex, Search, Tiers, Vectors
from service.index.among import Among
from service.index.flat import Flat
from service.index.lists import Lists
from service.index.segment import Scores
from service.index.source import Source
from tests.service.index.support import axis, clustered, entry


@pytest.fixture
def index() -> RelationIndex:
    index = RelationIndex(8)
    index.put([entry("a"), entry("b"), entry("c")], axis(0, 1, 2), version=3)
    return index


def ids(found: Found) -> list[str]:
    return [hit.entry.id for hit in found.hits]


def best(index: RelationIndex, position: int, **search: object) -> list[str]:
    _, [found] = index.search(axis(position), [Search(**{"k": 1, **search})])  # type: ignore[arg-type]
    return ids(found)


def test_the_nearest_come_first_with_their_cosines(index: RelationIndex) -> None:
    vector = np.array([[0.8, 0.6, 0, 0, 0, 0, 0, 0]], dtype=np.float32)
    version, [found] = index.search(vector, [Search(2)])
    assert version == 3
    assert [(hit.entry.id, round(hit.cosine, 6)) for hit in found.hits] == [("a", 0.8), ("b", 0.6)]


def test_an_empty_index_finds_nothing() -> None:
    assert RelationIndex(8).search(axis(0), [Search(5)]) == (0, [Found([], [])])


def test_to_ask_for_more_than_there_are_finds_all(index: RelationIndex) -> None:
    assert sorted(best(index, 0, k=50)) == ["a", "b", "c"]


def test_a_search_is_restricted_to_the_given_ids(index: RelationIndex) -> None:
    assert sorted(best(index, 0, k=3, restrict=["b", "c"])) == ["b", "c"]


def test_ids_that_are_not_there_are_told_and_nothing_is_found(index: RelationIndex) -> None:
    _, [found] = index.search(axis(0), [Search(3, ["a", "x", "y"])])
    assert found == Found([], ["x", "y"])


@pytest.fixture
def tagged() -> RelationIndex:
    index = RelationIndex(8)
    index.put([entry("a", tags="x"), entry("b", tags="xy"), entry("c", tags="z"), entry("d")], axis(0, 1, 2, 3))
    return index


def test_a_search_is_restricted_to_relations_that_have_one_of_the_tags(tagged: RelationIndex) -> None:
    assert sorted(best(tagged, 3, k=4, tags=["y", "z"])) == ["b", "c"]


def test_a_search_that_is_restricted_by_ids_and_tags_keeps_to_both(tagged: RelationIndex) -> None:
    assert best(tagged, 3, k=4, restrict=["a", "c"], tags=["x", "y"]) == ["a"]
    assert best(tagged, 3, k=4, restrict=["d"], tags=["x"]) == []


def test_tags_that_no_relation_has_are_told_and_nothing_is_found(tagged: RelationIndex) -> None:
    _, [found] = tagged.search(axis(0), [Search(3, tags=["x", "w"])])
    assert found == Found([], [], ["w"])


def test_tags_go_with_the_relations_that_had_them(tagged: RelationIndex) -> None:
    tagged.remove("a")
    tagged.put([entry("b", tags="w")], axis(1))
    _, [gone, new] = tagged.search(axis(0, 0), [Search(3, tags=["x"]), Search(3, tags=["w"])])
    assert (gone.unknown_tags, ids(new)) == (["x"], ["b"])


def test_each_search_of_a_batch_has_its_own_k_and_restriction(index: RelationIndex) -> None:
    _, found = index.search(axis(0, 1, 2), [Search(1), Search(2, ["b"]), Search(3)])
    assert [len(each.hits) for each in found] == [1, 1, 3]
    assert ids(found[1]) == ["b"]


def test_what_is_removed_is_not_found(index: RelationIndex) -> None:
    index.remove("a", version=4)
    assert index.version == 4
    assert len(index) == 2
    assert "a" not in best(index, 0, k=3)


def test_to_remove_what_is_not_there_changes_nothing(index: RelationIndex) -> None:
    index.remove("x")
    assert len(index) == 3


def test_to_put_an_id_again_replaces_its_vector(index: RelationIndex) -> None:
    index.put([entry("a", version=4)], axis(5), version=4)
    assert len(index) == 3
    assert best(index, 5) == ["a"]
    assert sorted(best(index, 0, k=3)) == ["a", "b", "c"]


def test_an_id_twice_in_one_put_is_refused_and_nothing_changes(index: RelationIndex) -> None:
    with pytest.raises(ValueError, match="twice"):
        index.put([entry("d"), entry("d")], axis(4, 5))
    assert "d" not in index


@pytest.mark.parametrize(
    "vectors",
    [axis(0, dimension=7), axis(0, 1), np.full((1, 8), np.nan, dtype=np.float32)],
    ids=["dimension", "count", "nan"],
)
def test_vectors_that_do_not_fit_are_refused_and_nothing_changes(
    index: RelationIndex, vectors: npt.NDArray[np.float32]
) -> None:
    with pytest.raises(ValueError, match="vector"):
        index.put([entry("a")], vectors)
    assert best(index, 0) == ["a"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 7), st.booleans()), max_size=30))
def test_it_always_holds_what_a_dictionary_would(changes: list[tuple[str, int, bool]]) -> None:
    index, expected = RelationIndex(8), dict[str, int]()
    for version, (key, position, put) in enumerate(changes, start=1):
        if put:
            index.put([entry(key, version)], axis(position), version)
            expected[key] = position
        else:
            index.remove(key, version)
            expected.pop(key, None)
    assert len(index) == len(expected)
    for position in range(8):
        _, [found] = index.search(axis(position), [Search(8)])
        assert sorted(hit.entry.id for hit in found.hits) == sorted(expected)
        assert {hit.entry.id for hit in found.hits if hit.cosine == 1} == {
            k for k, p in expected.items() if p == position
        }


def test_the_cosine_does_not_depend_on_who_shares_the_batch() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(64, 96)).astype(np.float32)
    index = RelationIndex(96)
    index.put([entry(f"r{i}") for i in range(64)], vectors)
    _, together = index.search(vectors, [Search(5)] * 64)
    alone = [index.search(row[None], [Search(5)])[1][0] for row in vectors]
    assert together == alone


def test_two_search_at_the_same_time(index: RelationIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    both, search = threading.Barrier(2, timeout=60), Flat.search
    found: list[list[str]] = []

    def together(self: Flat, vector: Vectors, k: int, among: Among | None = None) -> Scores:
        both.wait()
        return search(self, vector, k, among)

    monkeypatch.setattr(Flat, "search", together)
    threads = [threading.Thread(target=lambda: found.append(best(index, 1))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["b"], ["b"]]


def test_a_search_never_sees_half_of_a_change() -> None:
    index = RelationIndex(8)
    index.put([entry("a", 1), entry("b", 1)], axis(0, 0), version=1)
    done = threading.Event()
    torn: list[tuple[int, list[int]]] = []

    def read() -> None:
        while not done.is_set():
            version, [found] = index.search(axis(0), [Search(2)])
            versions = [hit.entry.version for hit in found.hits]
            if versions != [version, version]:
                torn.append((version, versions))

    reader = threading.Thread(target=read)
    reader.start()
    for version in range(2, 500):
        index.put([entry("a", version), entry("b", version)], axis(0, 0), version)
    done.set()
    reader.join()
    assert torn == []


TIERS = Tiers(flat_to=50, delta=20, dead_share=4)
MANY = [entry(f"r{number}", stamp=number + 1) for number in range(60)]


def many(cache: Cache | None = None) -> RelationIndex:
    """An index beyond the exact tier."""
    index = RelationIndex(96, TIERS, cache)
    index.put(MANY, clustered(60), version=1)
    index.settle()
    return index


def test_many_relations_get_a_base_and_it_says_so() -> None:
    index = many()
    assert (index.tier, index.tiers) == (Lists.tier, ("flat", Lists.tier))


def test_few_relations_are_compared_exactly_and_it_says_so(index: RelationIndex) -> None:
    index.settle()
    assert index.tier == "flat"


def test_what_comes_later_is_found_beside_the_base_and_then_in_it() -> None:
    index, later = many(), clustered(30, seed=1)
    for number, vector in enumerate(later):
        index.put([entry(f"later{number}")], vector[None])
    assert [ids(found) for found in index.search(later, [Search(1)] * 30)[1]] == [[f"later{n}"] for n in range(30)]
    index.settle()
    assert [ids(found) for found in index.search(later, [Search(1)] * 30)[1]] == [[f"later{n}"] for n in range(30)]


def test_no_base_is_made_while_relations_are_loaded_but_then_one_of_all() -> None:
    index = RelationIndex(96, TIERS)
    with index.loading():
        index.put(MANY, clustered(60))
        index.settle()
        assert index.tier == "flat"
    index.settle()
    assert index.tier == Lists.tier


def test_few_that_are_left_of_many_are_compared_exactly_again() -> None:
    index = many()
    for each in MANY[:20]:
        index.remove(each.id)
        index.settle()
    assert (index.tier, len(index)) == ("flat", 40)
    assert ids(index.search(clustered(60)[30:31], [Search(1)])[1][0]) == ["r30"]


def test_a_base_that_is_being_made_is_given_up_when_the_index_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    began = threading.Event()

    def build(source: Source) -> Lists:
        began.set()
        while True:
            for _ in source.blocks():
                pass

    monkeypatch.setattr(Lists, "build", build)
    index = RelationIndex(96, TIERS)
    index.put(MANY, clustered(60))
    assert began.wait(60)
    index.close()
    assert index.tier == "flat"


@pytest.fixture
def kept(tmp_path: Path) -> Cache:
    """Where an index was kept at version 1."""
    many(Cache(tmp_path, "f1")).close()
    return Cache(tmp_path, "f1")


def test_an_index_begins_with_what_was_kept(kept: Cache) -> None:
    index = RelationIndex(96, TIERS, kept)
    cached = index.cached()
    assert cached is not None
    # All but two, which were changed since.
    assert index.restore(cached, [MANY[2:40], MANY[40:]])
    assert (index.version, index.tier, len(index)) == (1, Lists.tier, 58)
    assert ids(index.search(clustered(60)[50:51], [Search(1)])[1][0]) == ["r50"]
    assert not {"r0", "r1"} & {*ids(index.search(clustered(60)[:1], [Search(58)])[1][0])}
    index.put([entry("r0", 2)], clustered(1, seed=9), version=2)
    assert ids(index.search(clustered(1, seed=9), [Search(1)])[1][0]) == ["r0"]


def test_a_kept_index_without_one_of_the_relations_is_not_used(kept: Cache) -> None:
    index = RelationIndex(96, TIERS, kept)
    cached = index.cached()
    assert cached is not None
    assert not index.restore(cached, [MANY, [entry("other", stamp=999)]])
    assert (index.version, index.tier, len(index)) == (0, "flat", 0)
