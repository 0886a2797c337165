from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from models.candidates import CandidateList
from models.chunks import Vectors
from models.decision import Calibration
from models.job.dataset import Example
from models.job.scoring import score
from models.job.verify import ExportError, Fidelity, check_fp32, check_quantised, compare
from models.relation import Relation
from models.text import DescriptionInput, InstanceInput
from tests.models.support import LetterModel, related

GOOD = Fidelity(max_difference=0.0, min_cosine=1.0, top1_agreement=100.0, regret=0.0, company_effect=0.0)
RELATIONS = [Relation(name, name, name) for name in "abcdefgh"]
INSTANCES = [related(None, sentence=f"{letter} met x .").instance for letter in "abcdefghhgfedcba"]
FUSED = Calibration(recall_weight=1.0)
Lists = Sequence[CandidateList]


def measure(exported: LetterModel) -> Fidelity:
    return compare(LetterModel(), exported, FUSED, INSTANCES, RELATIONS)


def test_the_same_model_does_not_differ() -> None:
    found = measure(LetterModel())
    assert (found.max_difference, found.top1_agreement, found.regret, found.company_effect) == (0.0, 100.0, 0.0, 0.0)
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
        def classify(self, lists: Lists) -> Vectors:
            return super().classify(lists) + np.float32(0.5)

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
        def classify(self, lists: Lists) -> Vectors:
            logits = super().classify(lists)
            return np.where([[x.instance.ids[0] == ord("a")] for x in lists], -logits, logits).astype(np.float32)

    assert measure(Other()).top1_agreement == pytest.approx(100 * 14 / 16)


def test_other_first_choices_cost_what_the_reference_thinks_better_of_its_own() -> None:
    class Other(LetterModel):
        def classify(self, lists: Lists) -> Vectors:
            return -super().classify(lists)

    by_classifier = Calibration()
    likely = score(LetterModel(), [Example(x, None) for x in INSTANCES], RELATIONS, 3).likelihoods(by_classifier)
    found = compare(LetterModel(), Other(), by_classifier, INSTANCES, RELATIONS)
    assert found.regret == pytest.approx((likely.max(axis=1) - likely.min(axis=1)).mean())
    assert found.regret > 0.5


def test_a_logit_that_depends_on_company_is_found() -> None:
    class Other(LetterModel):
        def classify(self, lists: Lists) -> Vectors:
            return super().classify(lists) + np.float32(0.3 * (len(lists) > 1))

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
    check_quantised(
        Fidelity(max_difference=0.2, min_cosine=0.99, top1_agreement=90.0, regret=0.01, company_effect=1e-3)
    )


@pytest.mark.parametrize("cosine", [0.9899, -1.0, float("nan")])
def test_a_quantised_graph_with_other_vectors_is_refused_with_the_figure(cosine: float) -> None:
    with pytest.raises(ExportError, match=f"least cosine with fp32 {cosine:.4f}, must be at least 0.99"):
        check_quantised(replace(GOOD, min_cosine=cosine))


@pytest.mark.parametrize("regret", [0.011, 1.0, float("nan")])
def test_a_quantised_graph_with_worse_answers_is_refused_with_the_figure(regret: float) -> None:
    with pytest.raises(ExportError, match=f"probability lost by other choices {regret:.2g}, must be at most 0.01"):
        check_quantised(replace(GOOD, regret=regret))


@pytest.mark.parametrize("check", [check_fp32, check_quantised])
@pytest.mark.parametrize("effect", [0.0011, float("nan")])
def test_a_graph_that_reads_its_company_is_refused_with_the_figure(
    check: Callable[[Fidelity], None], effect: float
) -> None:
    with pytest.raises(ExportError, match=f"changes by {effect:.2g} with the rest of the batch, must be at most 0.001"):
        check(replace(GOOD, company_effect=effect))


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ExportError, match=r"least cosine.*lost by other choices.*rest of the batch"):
        check_quantised(
            Fidelity(max_difference=1.0, min_cosine=0.5, top1_agreement=50.0, regret=0.2, company_effect=0.5)
        )


def test_the_figures_are_told_by_name() -> None:
    assert GOOD.to_json() == {
        "max_difference": 0.0,
        "min_cosine": 1.0,
        "top1_agreement": 100.0,
        "regret": 0.0,
        "company_effect": 0.0,
    }
