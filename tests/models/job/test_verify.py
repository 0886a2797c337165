from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from models.chunks import Vectors
from models.decision import Calibration
from models.job.verify import ExportError, Fidelity, check_fp32, check_quantised, compare
from models.relation import Relation
from models.text import DescriptionInput, InstanceInput
from tests.models.support import LetterModel, related

GOOD = Fidelity(max_difference=0.0, min_cosine=1.0, top1_agreement=100.0, company_effect=0.0)
RELATIONS = [Relation(name, name, name) for name in "abcdefgh"]
INSTANCES = [related(None, sentence=f"{letter} met x .").instance for letter in "abcdefghhgfedcba"]
FUSED = Calibration(recall_weight=1.0)
Pairs = Sequence[tuple[InstanceInput, DescriptionInput]]


def measure(exported: LetterModel) -> Fidelity:
    return compare(LetterModel(), exported, FUSED, INSTANCES, RELATIONS)


def test_the_same_model_does_not_differ() -> None:
    found = measure(LetterModel())
    assert (found.max_difference, found.top1_agreement, found.company_effect) == (0.0, 100.0, 0.0)
    assert found.min_cosine == pytest.approx(1.0, abs=1e-6)


def test_the_largest_difference_of_a_vector_is_found() -> None:
    class Other(LetterModel):
        def encode_descriptions(self, inputs: Sequence[DescriptionInput]) -> Vectors:
            vectors = super().encode_descriptions(inputs)
            vectors[3, 1] += 0.25
            return vectors

    assert measure(Other()).max_difference == pytest.approx(0.25)


def test_the_largest_difference_of_a_logit_is_found() -> None:
    class Other(LetterModel):
        def classify(self, pairs: Pairs) -> Vectors:
            return super().classify(pairs) + np.float32(0.5)

    assert measure(Other()).max_difference == pytest.approx(0.5)


def test_the_least_cosine_of_a_vector_is_found() -> None:
    class Other(LetterModel):
        def encode_instances(self, inputs: Sequence[InstanceInput]) -> Vectors:
            vectors = super().encode_instances(inputs)
            if len(vectors) > 1:
                vectors[5] = [-vectors[5, 1], vectors[5, 0]]
            return vectors

    assert measure(Other()).min_cosine == pytest.approx(0.0, abs=1e-6)


def test_other_first_choices_are_counted() -> None:
    class Other(LetterModel):
        def classify(self, pairs: Pairs) -> Vectors:
            logits = super().classify(pairs)
            return np.where([x.ids[0] == ord("a") for x, _ in pairs], -logits, logits).astype(np.float32)

    assert measure(Other()).top1_agreement == pytest.approx(100 * 14 / 16)


def test_a_logit_that_depends_on_company_is_found() -> None:
    class Other(LetterModel):
        def classify(self, pairs: Pairs) -> Vectors:
            return super().classify(pairs) + np.float32(0.3 * (len(pairs) > 1))

    found = measure(Other()).company_effect
    assert found == pytest.approx(1 / (1 + np.exp(3.7)) - 1 / (1 + np.exp(4.0)), rel=0.01)


def test_a_vector_that_depends_on_company_is_found() -> None:
    class Other(LetterModel):
        def encode_instances(self, inputs: Sequence[InstanceInput]) -> Vectors:
            return super().encode_instances(inputs) * np.float32(0.5 if len(inputs) == 1 else 1)

    assert measure(Other()).company_effect == pytest.approx(0.5, rel=0.01)


def test_two_relations_are_enough_to_verify_on() -> None:
    assert compare(LetterModel(), LetterModel(), FUSED, INSTANCES, RELATIONS[:2]).top1_agreement == 100.0


@pytest.mark.parametrize("check", [check_fp32, check_quantised])
def test_the_model_itself_passes(check: Callable[[Fidelity], None]) -> None:
    check(GOOD)


@pytest.mark.parametrize("difference", [1e-4, 0.5, float("nan")])
def test_a_full_precision_graph_that_differs_is_refused_with_the_figure(difference: float) -> None:
    with pytest.raises(ExportError, match=f"largest difference from PyTorch {difference:.2g}, must be below 0.0001"):
        check_fp32(replace(GOOD, max_difference=difference))


def test_a_quantised_graph_may_differ_a_little() -> None:
    check_quantised(Fidelity(max_difference=0.2, min_cosine=0.99, top1_agreement=99.0, company_effect=1e-3))


@pytest.mark.parametrize("cosine", [0.9899, -1.0, float("nan")])
def test_a_quantised_graph_with_other_vectors_is_refused_with_the_figure(cosine: float) -> None:
    with pytest.raises(ExportError, match=f"least cosine with fp32 {cosine:.4f}, must be at least 0.99"):
        check_quantised(replace(GOOD, min_cosine=cosine))


@pytest.mark.parametrize("agreement", [98.9, 0.0, float("nan")])
def test_a_quantised_graph_with_other_answers_is_refused_with_the_figure(agreement: float) -> None:
    with pytest.raises(ExportError, match=f"equal first choices {agreement:.1f}%, must be at least 99.0%"):
        check_quantised(replace(GOOD, top1_agreement=agreement))


@pytest.mark.parametrize("check", [check_fp32, check_quantised])
@pytest.mark.parametrize("effect", [0.0011, float("nan")])
def test_a_graph_that_reads_its_company_is_refused_with_the_figure(
    check: Callable[[Fidelity], None], effect: float
) -> None:
    with pytest.raises(ExportError, match=f"changes by {effect:.2g} with the rest of the batch, must be at most 0.001"):
        check(replace(GOOD, company_effect=effect))


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ExportError, match=r"least cosine.*equal first choices.*rest of the batch"):
        check_quantised(Fidelity(max_difference=1.0, min_cosine=0.5, top1_agreement=50.0, company_effect=0.5))


def test_the_figures_are_told_by_name() -> None:
    assert GOOD.to_json() == {
        "max_difference": 0.0,
        "min_cosine": 1.0,
        "top1_agreement": 100.0,
        "company_effect": 0.0,
    }
