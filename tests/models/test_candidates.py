from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from models.candidates import CandidateList, Ids, StateCache, States, lay_out, texts, without_absent
from models.text import DescriptionInput, InstanceInput

WIDTH = 4


def description(*ids: int) -> DescriptionInput:
    return DescriptionInput(list(ids), False)


LONG = CandidateList(InstanceInput([1, 20, 21, 22, 2], 1, 3, False), (description(1, 30, 31, 2), description(1, 40, 2)))
SHORT = CandidateList(InstanceInput([1, 20, 2], 1, 1, False), (description(1, 50, 2),))
LISTS = [LONG, SHORT]


def state(text: Ids) -> States:
    """Numbers that tell a text and each of its tokens from all others."""
    return np.random.default_rng(text).standard_normal((len(text), WIDTH)).astype(np.float32)


STATES = {text: state(text) for text in texts(part for x in LISTS for part in x.parts)}


def test_the_parts_of_a_list_are_the_instance_and_then_the_candidates() -> None:
    assert LONG.parts == (LONG.instance, *LONG.candidates)


@pytest.mark.parametrize("which", LISTS)
def test_a_list_is_as_long_as_its_layout(which: CandidateList) -> None:
    assert lay_out([which], STATES).segments.shape == (1, which.length)


def test_texts_are_distinct_and_in_the_order_in_which_they_first_occur() -> None:
    inputs = [description(7, 8), description(5), description(7, 8), description(6), description(5)]
    assert texts(inputs) == [(7, 8), (5,), (6,)]


def test_the_sentence_comes_first_and_then_each_candidate_without_its_end() -> None:
    found = lay_out([LONG], STATES).states[0]
    expected = [STATES[1, 20, 21, 22, 2], STATES[1, 30, 31, 2][:-1], STATES[1, 40, 2][:-1]]
    assert np.array_equal(found, np.concatenate(expected))


def test_segments_tell_the_sentence_the_candidates_and_the_padding_apart() -> None:
    assert lay_out(LISTS, STATES).segments.tolist() == [
        [0, 0, 0, 0, 0, 1, 1, 1, 2, 2],
        [0, 0, 0, 1, 1, -1, -1, -1, -1, -1],
    ]


def test_the_marker_positions_are_those_of_the_sentence() -> None:
    assert lay_out(LISTS, STATES).marker_positions.tolist() == [[1, 3], [1, 1]]


def test_a_candidate_starts_at_its_cls_and_at_0_if_it_is_not_there() -> None:
    assert lay_out(LISTS, STATES).starts.tolist() == [[5, 8], [3, 0]]


def test_the_states_of_padding_are_0() -> None:
    assert not lay_out(LISTS, STATES).states[1, SHORT.length :].any()


@pytest.mark.parametrize(("multiple", "length"), [(1, 10), (4, 12), (5, 10), (8, 16)])
def test_the_length_of_a_layout_can_be_rounded_up(multiple: int, length: int) -> None:
    found = lay_out(LISTS, STATES, multiple)
    assert found.states.shape == (2, length, WIDTH)
    assert found.segments[:, 10:].tolist() == [[-1] * (length - 10)] * 2


def test_a_layout_is_of_the_types_that_the_graph_takes() -> None:
    found = {name: array.dtype for name, array in lay_out(LISTS, STATES).arrays().items()}
    integer = np.dtype(np.int64)
    assert found == {
        "states": np.dtype(np.float32),
        "segments": integer,
        "marker_positions": integer,
        "starts": integer,
    }


def test_a_candidate_that_is_not_there_has_a_logit_of_minus_infinity() -> None:
    logits = np.array([[1, 2], [3, 4]], dtype=np.float32)
    assert without_absent(logits, LISTS, 2).tolist() == [[1, 2], [3, -np.inf]]


def test_logits_of_shorter_lists_are_widened_to_k() -> None:
    found = without_absent(np.array([[3]], dtype=np.float32), [SHORT], 3)
    assert found.tolist() == [[3, -np.inf, -np.inf]]
    assert found.dtype == np.float32


A, B, C = (1, 2), (3, 4), (5, 6)
EACH = state(A).nbytes


class Reader:
    """Reads texts, and notes which."""

    def __init__(self) -> None:
        self.read: list[list[Ids]] = []

    def __call__(self, wanted: list[Ids]) -> list[States]:
        self.read.append(wanted)
        return [state(text) for text in wanted]


@pytest.fixture
def reader() -> Reader:
    return Reader()


def filled(most: float, *wanted: Ids) -> StateCache:
    """A cache with room for so many of the three texts, into which some were put."""
    cache = StateCache(int(most * EACH))
    for text in wanted:
        cache.put(text, state(text))
    return cache


def test_the_states_of_all_texts_are_given_whether_they_were_kept_or_not(reader: Reader) -> None:
    found = filled(9, B).get([C, B, A], reader)
    assert {text: states.tolist() for text, states in found.items()} == {x: state(x).tolist() for x in (A, B, C)}


def test_only_what_is_not_kept_is_read_and_in_the_order_in_which_it_is_wanted(reader: Reader) -> None:
    filled(9, B).get([C, B, A], reader)
    assert reader.read == [[C, A]]


def test_nothing_is_read_where_everything_is_kept(reader: Reader) -> None:
    filled(9, A, B).get([B, A], reader)
    assert reader.read == []


def test_what_was_read_is_kept(reader: Reader) -> None:
    cache = StateCache(9 * EACH)
    for _ in range(2):
        cache.get([A, B], reader)
    assert reader.read == [[A, B]]


def test_what_was_put_longest_ago_goes_when_the_bytes_run_out(reader: Reader) -> None:
    filled(2, A, B, C).get([A, B, C], reader)
    assert reader.read == [[A]]


def test_what_was_asked_for_since_stays(reader: Reader) -> None:
    cache = filled(2, A, B)
    cache.get([A], reader)
    cache.put(C, state(C))
    cache.get([A, B, C], reader)
    assert reader.read == [[B]]


def test_a_text_that_is_put_again_takes_no_more_bytes(reader: Reader) -> None:
    filled(2, A, B, B, B).get([A, B], reader)
    assert reader.read == []


def test_a_text_that_exceeds_the_bytes_is_given_though_it_is_not_kept(reader: Reader) -> None:
    cache = filled(0.5)
    for _ in range(2):
        assert np.array_equal(cache.get([A], reader)[A], state(A))
    assert reader.read == [[A], [A]]


def test_more_texts_than_are_kept_can_be_wanted_at_once(reader: Reader) -> None:
    assert filled(1).get([A, B, C], reader).keys() == {A, B, C}


def test_several_threads_get_the_right_states_of_a_cache_that_is_too_small() -> None:
    cache, wanted = filled(3), [(n, n + 1) for n in range(12)]

    def ask(seed: int) -> bool:
        chosen = random.Random(seed).sample(wanted, 5)
        found = cache.get(chosen, Reader())
        return all(np.array_equal(found[text], state(text)) for text in chosen)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, range(200)))
