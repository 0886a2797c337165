from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from models import runtime as module
from models.bundle import Bundle
from models.chunks import Vectors
from models.job.dataset import Example
from models.relation import Relation
from models.runtime import ROWS_AT_ONCE, Runtime, available_processors
from models.text import DescriptionInput, InputError, InstanceInput
from models.wordings import relation_vectors
from tests.models.support import mentions

Pairs = list[tuple[InstanceInput, DescriptionInput]]


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
def pairs(sentences: list[InstanceInput], descriptions: list[DescriptionInput]) -> Pairs:
    return [(x, descriptions[i % len(descriptions)]) for i, x in enumerate(sentences)]


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


def test_pairs_have_the_same_logits_in_any_order(runtime: Runtime, pairs: Pairs) -> None:
    order = shuffled(len(pairs))
    assert_close(runtime.classify([pairs[i] for i in order]), runtime.classify(pairs)[order])


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


def test_a_pair_alone_has_the_logit_that_it_has_in_a_batch(runtime: Runtime, pairs: Pairs) -> None:
    alone = np.concatenate([runtime.classify([x]) for x in pairs])
    assert alone.shape == (len(pairs),)
    assert_close(alone, runtime.classify(pairs))


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
