"""The bundle that comes with the package: whole, small, and good enough on data that no training has seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from models.bundle import DEFAULT_BUNDLE, MANIFEST, RECALL, TOKENIZER, Bundle, fingerprint, load_bundle
from models.candidates import CandidateList
from models.chunks import Vectors
from models.job.dataset import Example
from models.job.scoring import Scored, score
from models.relation import Relation
from models.runtime import Runtime
from models.text import DescriptionInput, InstanceInput
from models.wordings import relation_vectors

pytestmark = pytest.mark.weights

LARGEST_BYTES = 100_000_000


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(DEFAULT_BUNDLE)


@pytest.fixture(scope="module")
def runtime(bundle: Bundle) -> Runtime:
    return Runtime(bundle)


@pytest.fixture(scope="module")
def mixed(runtime: Runtime, tiny_examples: list[Example]) -> list[InstanceInput]:
    """Sentences of very different lengths, the shortest and the longest among them."""
    inputs = sorted(runtime.prepare([x.instance for x in tiny_examples]), key=lambda x: len(x.ids))
    return [*inputs[:6], *inputs[100:106], *inputs[-6:]]


@pytest.fixture(scope="module")
def descriptions(runtime: Runtime, tiny_relations: dict[str, Relation]) -> list[DescriptionInput]:
    return runtime.describe(list(tiny_relations.values()))


@pytest.fixture(scope="module")
def related(tiny_examples: list[Example]) -> list[Example]:
    return [x for x in tiny_examples if x.relation is not None]


@pytest.fixture(scope="module")
def related_scored(runtime: Runtime, related: list[Example], tiny_relations: dict[str, Relation]) -> Scored:
    # Each in one wording, as a relation is registered.
    described = [replace(x, paraphrases=()) for x in tiny_relations.values()]
    return score(runtime, related, described, runtime.bundle.manifest.candidates)


def test_it_comes_with_at_least_a_hundred_relations_and_their_vectors(bundle: Bundle) -> None:
    relations = bundle.relations()
    assert len({x.id for x in relations}) == len(relations) >= 100
    assert bundle.vectors().shape == (len(relations), bundle.manifest.dimension)


def test_its_files_take_no_more_than_100_megabytes(bundle: Bundle) -> None:
    assert sum(file.stat().st_size for file in DEFAULT_BUNDLE.rglob("*") if file.is_file()) <= LARGEST_BYTES


def test_its_files_are_those_that_the_manifest_lists_and_no_others(bundle: Bundle) -> None:
    assert {file.name for file in DEFAULT_BUNDLE.iterdir()} == {MANIFEST, *bundle.manifest.files}


def strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def test_its_manifest_has_no_absolute_path(bundle: Bundle) -> None:
    path = re.compile(r"""(^|[\s"'=:(])(~?/\w|[A-Za-z]:\\)""")
    assert [text for text in strings(bundle.manifest.model_dump()) if path.search(text)] == []


def test_its_fingerprint_is_that_of_its_files(bundle: Bundle) -> None:
    found = fingerprint(bundle.path / TOKENIZER, bundle.path / RECALL, bundle.manifest.lengths())
    assert bundle.manifest.fingerprint == found


def test_its_index_holds_what_its_graph_gives(bundle: Bundle, runtime: Runtime) -> None:
    found = relation_vectors(runtime, bundle.relations())
    assert (found * bundle.vectors()).sum(axis=1).min() > 0.999


def test_a_sentence_alone_has_the_cosines_that_it_has_in_a_mixed_batch(
    runtime: Runtime, bundle: Bundle, mixed: list[InstanceInput]
) -> None:
    catalogue = bundle.vectors().T
    together = runtime.encode_instances(mixed) @ catalogue
    alone = np.concatenate([runtime.encode_instances([x]) for x in mixed]) @ catalogue
    assert np.abs(together - alone).max() < 1e-3


def test_a_description_alone_has_the_vector_that_it_has_in_a_mixed_batch(
    runtime: Runtime, bundle: Bundle, descriptions: list[DescriptionInput]
) -> None:
    catalogue = bundle.vectors().T
    together = runtime.encode_descriptions(descriptions) @ catalogue
    alone = np.concatenate([runtime.encode_descriptions([x]) for x in descriptions]) @ catalogue
    assert np.abs(together - alone).max() < 1e-3


def probabilities(logits: Vectors) -> Vectors:
    return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)


def test_candidates_alone_have_the_probability_that_they_have_in_a_mixed_batch(
    runtime: Runtime, mixed: list[InstanceInput], descriptions: list[DescriptionInput]
) -> None:
    lists = [CandidateList(x, tuple(descriptions[i % 7 : i % 7 + 1 + i % 5])) for i, x in enumerate(mixed)]
    together = probabilities(runtime.classify(lists))
    for each, row in zip(lists, together, strict=True):
        [alone] = probabilities(runtime.classify([each]))
        assert np.abs(row[: len(alone)] - alone).max() < 1e-3


def test_the_right_relation_comes_first_for_three_of_four_related_pairs(
    bundle: Bundle, related: list[Example], related_scored: Scored
) -> None:
    chosen = related_scored.fused(bundle.calibration)
    right = [choice == x.relation for choice, x in zip(chosen, related, strict=True)]
    assert sum(right) / len(right) >= 0.75


def test_at_least_half_of_the_related_pairs_get_their_relation(
    bundle: Bundle, related: list[Example], related_scored: Scored
) -> None:
    answers = related_scored.decided(bundle.calibration)
    right = [answer == x.relation for answer, x in zip(answers, related, strict=True)]
    assert sum(right) / len(right) >= 0.5


def test_at_least_half_of_the_unrelated_pairs_get_no_relation(
    runtime: Runtime, bundle: Bundle, tiny_examples: list[Example], tiny_relations: dict[str, Relation]
) -> None:
    unrelated = [x for x in tiny_examples if x.relation is None]
    found = score(runtime, unrelated, list(tiny_relations.values()), bundle.manifest.candidates)
    answers = found.decided(bundle.calibration)
    assert answers.count(None) / len(answers) >= 0.5
