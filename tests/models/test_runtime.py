from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import runtime as module
from models.bundle import Bundle
from models.candidates import CandidateList, StateCache
from models.chunks import Vectors
from models.job.checkpoint import Checkpoint
from models.job.dataset import Example
from models.relation import Relation
from models.runtime import ROWS_AT_ONCE, Graph, Runtime, available_processors
from models.text import DescriptionInput, InputError, InstanceInput
from models.wordings import relation_vectors
from tests.models.support import mentions


@pytest.fixture(scope="module")
def runtime(tiny_bundle: Bundle) -> Runtime:
    return Runtime(tiny_bundle, threads=1)


@pytest.fixture(scope="module")
def sentences(runtime: Runtime, tiny_examples: list[Example]) -> list[InstanceInput]:
    """More than one call of a graph takes, of very different lengths."""
    found = runtime.prepare([x.instance for x in tiny_examples[: 2 * ROWS_AT_ONCE + 5]])
    assert max(len(x.ids) for x in found) > 2 * min(len(x.ids) for x in found)
    return found


@pytest.fixture(scope="module")
def descriptions(runtime: Runtime, tiny_relations: dict[str, Relation]) -> list[DescriptionInput]:
    return runtime.describe(list(tiny_relations.values()))


@pytest.fixture(scope="module")
def lists(sentences: list[InstanceInput], descriptions: list[DescriptionInput]) -> list[CandidateList]:
    """Each sentence with one to four candidates."""
    return [
        CandidateList(x, tuple(descriptions[(i + j) % len(descriptions)] for j in range(1 + i % 4)))
        for i, x in enumerate(sentences)
    ]


def shuffled(count: int) -> list[int]:
    order = list(range(count))
    random.Random(5).shuffle(order)
    return order


def assert_close(found: Vectors, expected: Vectors) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_vectors_of_both_kinds_have_unit_norm(
    runtime: Runtime, sentences: list[InstanceInput], descriptions: list[DescriptionInput]
) -> None:
    for vectors in (runtime.encode_instances(sentences), runtime.encode_descriptions(descriptions)):
        assert vectors.shape[1] == runtime.bundle.manifest.dimension
        assert_close(np.linalg.norm(vectors, axis=1), np.ones(len(vectors), dtype=np.float32))


def test_sentences_have_the_same_vectors_in_any_order(runtime: Runtime, sentences: list[InstanceInput]) -> None:
    order = shuffled(len(sentences))
    assert_close(runtime.encode_instances([sentences[i] for i in order]), runtime.encode_instances(sentences)[order])


def test_descriptions_have_the_same_vectors_in_any_order(
    runtime: Runtime, descriptions: list[DescriptionInput]
) -> None:
    order = shuffled(len(descriptions))
    expected = runtime.encode_descriptions(descriptions)[order]
    assert_close(runtime.encode_descriptions([descriptions[i] for i in order]), expected)


def test_lists_have_the_same_logits_in_any_order(runtime: Runtime, lists: list[CandidateList]) -> None:
    order = shuffled(len(lists))
    assert_close(runtime.classify([lists[i] for i in order]), runtime.classify(lists)[order])


def test_candidates_have_the_same_logits_in_any_order(runtime: Runtime, lists: list[CandidateList]) -> None:
    full = [x for x in lists if len(x.candidates) == 4]
    turned = [CandidateList(x.instance, x.candidates[::-1]) for x in full]
    assert_close(runtime.classify(turned), runtime.classify(full)[:, ::-1])


def test_a_sentence_alone_has_the_vector_that_it_has_in_a_batch(
    runtime: Runtime, sentences: list[InstanceInput]
) -> None:
    alone = np.concatenate([runtime.encode_instances([x]) for x in sentences])
    assert_close(alone, runtime.encode_instances(sentences))


def test_a_description_alone_has_the_vector_that_it_has_in_a_batch(
    runtime: Runtime, descriptions: list[DescriptionInput]
) -> None:
    alone = np.concatenate([runtime.encode_descriptions([x]) for x in descriptions])
    assert_close(alone, runtime.encode_descriptions(descriptions))


def test_a_candidate_alone_has_the_logit_that_it_has_in_a_batch(runtime: Runtime, lists: list[CandidateList]) -> None:
    for row, each in zip(runtime.classify(lists), lists, strict=True):
        alone = [runtime.classify([CandidateList(each.instance, (y,))]) for y in each.candidates]
        assert_close(row[: len(alone)], np.concatenate(alone)[:, 0])


def test_a_list_with_fewer_candidates_has_no_logit_in_the_place_of_the_others(
    runtime: Runtime, lists: list[CandidateList]
) -> None:
    found = runtime.classify(lists)
    assert found.shape == (len(lists), 4)
    assert np.isfinite(found).sum(axis=1).tolist() == [len(x.candidates) for x in lists]
    assert np.isneginf(found[0, 1:]).all()


def test_logits_are_those_of_the_checkpoint(
    runtime: Runtime, tiny_checkpoint: Checkpoint, lists: list[CandidateList]
) -> None:
    np.testing.assert_allclose(runtime.classify(lists), tiny_checkpoint.classify(lists), atol=1e-4)


def test_a_layout_is_that_of_the_checkpoint_without_its_padding(
    runtime: Runtime, tiny_checkpoint: Checkpoint, lists: list[CandidateList]
) -> None:
    found, expected = runtime.layout(lists[:4]).arrays(), tiny_checkpoint.layout(lists[:4])
    length = found["segments"].shape[1]
    assert found.keys() == expected.keys()
    for name, array in found.items():
        other = expected[name].numpy()
        np.testing.assert_allclose(array, other[:, :length] if name in ("states", "segments") else other, atol=1e-4)


@pytest.fixture
def readings(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> tuple[Runtime, list[str]]:
    """A runtime that has read nothing, and what its graphs are asked for from now on."""
    asked: list[str] = []
    whole = Graph.run

    def run(graph: Graph, outputs: list[str], arrays: Any) -> list[Vectors]:
        asked.append("+".join(outputs))
        return whole(graph, outputs, arrays)

    monkeypatch.setattr(Graph, "run", run)
    return Runtime(tiny_bundle, threads=1), asked


def test_a_sentence_that_recall_has_read_is_not_read_again(
    readings: tuple[Runtime, list[str]], lists: list[CandidateList]
) -> None:
    fresh, asked = readings
    fresh.encode_instances([lists[0].instance])
    # Its only candidate is what is left to be read.
    fresh.classify([lists[0]])
    assert asked == ["instance+states", "states", "logits"]


def test_a_description_that_was_read_for_one_sentence_is_not_read_for_the_next(
    readings: tuple[Runtime, list[str]], lists: list[CandidateList]
) -> None:
    fresh, asked = readings
    fresh.encode_instances([lists[0].instance, lists[1].instance])
    for instance in (lists[0].instance, lists[1].instance):
        fresh.classify([CandidateList(instance, lists[0].candidates)])
    assert asked == ["instance+states", "states", "logits", "logits"]


def test_what_was_not_kept_is_read_again_with_the_same_result(
    readings: tuple[Runtime, list[str]], runtime: Runtime, lists: list[CandidateList]
) -> None:
    fresh, _ = readings
    fresh._sentences, fresh._descriptions = StateCache(0), StateCache(0)
    fresh.encode_instances([x.instance for x in lists])
    assert_close(fresh.classify(lists), runtime.classify(lists))


def test_different_sentences_have_different_vectors(runtime: Runtime, sentences: list[InstanceInput]) -> None:
    vectors = runtime.encode_instances(sentences)
    cosines = vectors @ vectors.T - 2 * np.eye(len(vectors))
    assert cosines.max() < 1 - 1e-5


def test_the_index_holds_the_mean_of_what_the_graph_gives_for_each_wording(
    runtime: Runtime, tiny_relations: dict[str, Relation]
) -> None:
    assert_close(runtime.bundle.vectors(), relation_vectors(runtime, list(tiny_relations.values())))


def test_head_and_tail_are_not_the_same_to_the_model(runtime: Runtime) -> None:
    sentence = "Ada lived in London ."
    inputs = runtime.prepare([mentions(sentence, "Ada", "London"), mentions(sentence, "London", "Ada")])
    first, second = runtime.encode_instances(inputs)
    assert first @ second < 0.999


def test_several_threads_get_the_same_answers(runtime: Runtime, sentences: list[InstanceInput]) -> None:
    expected = runtime.encode_instances(sentences)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(runtime.encode_instances, [sentences] * 8):
            assert_close(found, expected)


def test_several_threads_get_the_same_logits(tiny_bundle: Bundle, runtime: Runtime, lists: list[CandidateList]) -> None:
    expected, fresh = runtime.classify(lists), Runtime(tiny_bundle, threads=1)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(fresh.classify, [lists] * 8):
            assert_close(found, expected)


def test_an_unreadable_mention_is_the_callers_fault(runtime: Runtime) -> None:
    with pytest.raises(InputError, match="no readable character"):
        runtime.prepare([mentions("Ada \x07 London", "\x07", "London")])


def test_an_unreadable_description_is_the_callers_fault(runtime: Runtime) -> None:
    with pytest.raises(InputError, match="no readable character"):
        runtime.describe([Relation("x", "", "\x07")])


def test_a_description_is_read_with_its_name(runtime: Runtime) -> None:
    [found] = runtime.describe([Relation("x", "spouse", "They are married.")])
    assert found == runtime.inputs.descriptions(["spouse: They are married."])[0]


@pytest.fixture
def affinity(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The processors that the process seems to be bound to."""
    processors = set(range(6))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: processors, raising=False)
    monkeypatch.setattr(module, "_cgroup_quota", lambda _: None)
    return processors


def test_the_processors_are_those_of_the_affinity(affinity: set[int]) -> None:
    affinity -= {0, 3}
    assert available_processors() == 4


@pytest.mark.parametrize(("quota", "expected"), [(2.0, 2), (2.9, 2), (0.5, 1), (64.0, 6)])
@pytest.mark.usefixtures("affinity")
def test_the_quota_caps_the_processors(monkeypatch: pytest.MonkeyPatch, quota: float, expected: int) -> None:
    monkeypatch.setattr(module, "_cgroup_quota", lambda _: quota)
    assert available_processors() == expected


def test_without_affinity_all_processors_are_counted(monkeypatch: pytest.MonkeyPatch, affinity: set[int]) -> None:
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 11)
    assert available_processors() == 11


@pytest.mark.parametrize(
    ("content", "expected"),
    [("150000 100000\n", 1.5), ("400000 100000\n", 4.0), ("max 100000\n", None), ("nonsense\n", None)],
)
def test_the_quota_of_a_version_2_cgroup_is_read(tmp_path: Path, content: str, expected: float | None) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert module._cgroup_quota(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("250000\n", 2.5), ("-1\n", None)])
def test_the_quota_of_a_version_1_cgroup_is_read(tmp_path: Path, quota: str, expected: float | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert module._cgroup_quota(tmp_path) == expected


def test_without_a_cgroup_there_is_no_quota(tmp_path: Path) -> None:
    assert module._cgroup_quota(tmp_path) is None


def test_serving_imports_neither_torch_nor_transformers() -> None:
    code = "import sys, models.runtime; print(sorted({'torch', 'transformers', 'sklearn'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
