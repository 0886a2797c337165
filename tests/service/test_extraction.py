from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.candidates import CandidateList
from models.text import InputError, Instance, Span
from service.errors import UnknownRelationsError
from service.extraction import Answer, Extractor, Query, within
from service.index import RelationIndex
from service.metrics import Metrics
from service.registration import entries
from tests.service.fakes import CATALOGUE_RELATIONS, DIMENSION, SENTENCE, FakeRuntime, Vectors

BORN = Instance(SENTENCE, Span(0, 12), Span(25, 31))
MARRIED = Instance("Anna is married to Alan.", Span(0, 4), Span(19, 23))
NOTHING = Instance("Anna ; Alan", Span(0, 4), Span(7, 11))
UNREADABLE = Instance("Anna \u00ad\u200b\u0007 Alan", Span(0, 4), Span(5, 8))


@pytest.fixture
def index(model: FakeRuntime) -> RelationIndex:
    index = RelationIndex(DIMENSION)
    index.put(entries(CATALOGUE_RELATIONS, 7), np.asarray(model.bundle.vectors()), version=7)
    return index


@pytest.fixture
def extractor(model: FakeRuntime, index: RelationIndex) -> Extractor:
    return Extractor(model, index, Metrics())


def answer(extractor: Extractor, query: Query) -> Answer:
    [found] = extractor.extract([query])
    assert isinstance(found, Answer)
    return found


def test_the_best_candidate_is_the_relation_when_it_reaches_the_threshold(extractor: Extractor) -> None:
    found = answer(extractor, Query(BORN))
    assert found.relation == found.candidates[0]
    assert (found.relation.id, found.relation.name) == ("P19", "place of birth")
    assert (found.registry_version, found.model) == (7, "fake")


def test_the_relation_is_none_when_no_candidate_reaches_the_threshold(extractor: Extractor) -> None:
    found = answer(extractor, Query(NOTHING))
    assert found.relation is None
    assert len(found.candidates) == 3


def test_the_threshold_of_the_query_takes_the_place_of_the_bundles(extractor: Extractor) -> None:
    score = answer(extractor, Query(BORN)).candidates[0].score
    assert answer(extractor, Query(BORN, threshold=score)).relation is not None
    assert answer(extractor, Query(BORN, threshold=score + 1e-6)).relation is None
    assert answer(extractor, Query(NOTHING, threshold=0)).relation is not None


def test_candidates_are_ordered_by_score_and_their_scores_add_up_to_one_at_most(extractor: Extractor) -> None:
    scores = [candidate.score for candidate in answer(extractor, Query(BORN, top_k=6)).candidates]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(scores) <= 1 + 1e-5


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (2, 2), (6, 6), (50, 6)])
def test_as_many_candidates_as_wanted_or_as_there_are(extractor: Extractor, top_k: int, count: int) -> None:
    assert len(answer(extractor, Query(BORN, top_k=top_k)).candidates) == count


def test_the_classifier_reads_the_bundles_k_even_when_fewer_are_wanted(extractor: Extractor) -> None:
    one, three = answer(extractor, Query(BORN, top_k=1)), answer(extractor, Query(BORN, top_k=3))
    assert one.candidates == three.candidates[:1]


@pytest.fixture
def near_only(model: FakeRuntime, index: RelationIndex) -> Extractor:
    """Of a bundle whose classifier reads recall's first and what ties with it."""
    near = replace(model.bundle.calibration, reach=0.0)
    return Extractor(FakeRuntime(replace(model.bundle, calibration=near)), index, Metrics())


def test_a_candidate_out_of_reach_is_not_read(near_only: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    lists: list[CandidateList] = []
    classify = FakeRuntime.classify

    def record(model: FakeRuntime, asked: Sequence[CandidateList]) -> Vectors:
        lists.extend(asked)
        return classify(model, asked)

    monkeypatch.setattr(FakeRuntime, "classify", record)
    near_only.extract([Query(BORN), Query(MARRIED)])
    assert [len(x.candidates) for x in lists] == [1, 1]


def test_a_candidate_out_of_reach_has_a_score_too(extractor: Extractor, near_only: Extractor) -> None:
    found, read = answer(near_only, Query(BORN, top_k=6)), answer(extractor, Query(BORN, top_k=6))
    assert {x.id for x in found.candidates} == {x.id for x in read.candidates}
    assert all(0 < x.score <= found.candidates[0].score for x in found.candidates)


def test_lists_of_different_length_are_answered_as_if_alone(extractor: Extractor, near_only: Extractor) -> None:
    queries = [Query(BORN, top_k=6), Query(NOTHING), Query(MARRIED, relations=("P26",))]
    for each in (extractor, near_only):
        assert each.extract(queries) == [answer(each, query) for query in queries]


def test_restricted_to_some_relations_only_those_are_candidates(extractor: Extractor) -> None:
    found = answer(extractor, Query(BORN, relations=("P26", "P20")))
    assert {candidate.id for candidate in found.candidates} == {"P20", "P26"}


def test_relations_that_are_not_registered_are_named(extractor: Extractor) -> None:
    [fault] = extractor.extract([Query(BORN, relations=("P19", "nope"))])
    assert isinstance(fault, UnknownRelationsError)
    assert fault.ids == ["nope"]


def test_without_any_relation_there_are_no_candidates(model: FakeRuntime) -> None:
    found = answer(Extractor(model, RelationIndex(DIMENSION), Metrics()), Query(BORN))
    assert (found.relation, found.candidates, found.registry_version) == (None, [], 0)


def test_a_sentence_over_the_models_limit_is_cut_and_the_answer_says_so(extractor: Extractor) -> None:
    long = Instance(SENTENCE + " born" * 200, Span(0, 12), Span(25, 31))
    assert answer(extractor, Query(long)).truncated
    assert not answer(extractor, Query(BORN)).truncated


def test_a_query_at_fault_does_not_keep_the_others_from_their_answers(extractor: Extractor) -> None:
    alone = answer(extractor, Query(BORN))
    queries = [Query(UNREADABLE), Query(BORN), Query(BORN, relations=("nope",)), Query(MARRIED)]
    first, second, third, fourth = extractor.extract(queries)
    assert isinstance(first, InputError)
    assert second == alone
    assert isinstance(third, UnknownRelationsError)
    assert isinstance(fourth, Answer)
    assert fourth.relation is not None
    assert fourth.relation.id == "P26"


def test_queries_that_are_all_at_fault_need_no_model(extractor: Extractor, model: FakeRuntime) -> None:
    [fault] = extractor.extract([Query(UNREADABLE)])
    assert isinstance(fault, InputError)
    assert fault.field == "tail"
    assert model.batches == []


QUERIES = st.builds(
    Query,
    st.sampled_from([BORN, MARRIED, NOTHING]),
    st.integers(1, 8),
    st.none() | st.floats(0, 1),
    st.none() | st.lists(st.sampled_from([x.id for x in CATALOGUE_RELATIONS]), min_size=1, unique=True).map(tuple),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(QUERIES, min_size=1, max_size=8))
def test_an_answer_does_not_depend_on_who_shares_the_batch(extractor: Extractor, queries: list[Query]) -> None:
    assert extractor.extract(queries) == [answer(extractor, query) for query in queries]


def test_a_fault_within_a_batch_has_its_position_in_the_field() -> None:
    moved = within(3, InputError("head", "x"))
    assert isinstance(moved, InputError)
    assert moved.field == "items.3.head"
    unknown = within(2, UnknownRelationsError(["a"]))
    assert isinstance(unknown, UnknownRelationsError)
    assert unknown.field == "items.2.relations"


def test_stages_and_outcomes_are_counted(model: FakeRuntime, index: RelationIndex) -> None:
    metrics = Metrics()
    Extractor(model, index, metrics).extract([Query(BORN), Query(NOTHING), Query(NOTHING)])
    text = metrics.render().decode()
    for stage in ("tokenize", "encode", "search", "classify"):
        assert f'emma_stage_seconds_count{{stage="{stage}"}} 1.0' in text
    assert 'emma_extractions_total{outcome="relation"} 1.0' in text
    assert 'emma_extractions_total{outcome="none"} 2.0' in text
