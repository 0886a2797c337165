from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.emma.losses import candidate_loss, closed_candidate_loss, info_nce

INSTANCES = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
DESCRIPTIONS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, -0.8]])
NOTHING = torch.zeros(2, 3, dtype=torch.bool)


def nce(gold: list[int], also: Tensor = NOTHING, temperature: float = 0.5) -> float:
    return info_nce(INSTANCES, DESCRIPTIONS, torch.tensor(gold), also, temperature).item()


def by_hand(similarities: list[float], gold: int, temperature: float = 0.5) -> float:
    exponents = [math.exp(x / temperature) for x in similarities]
    return -math.log(exponents[gold] / sum(exponents))


FIRST, SECOND = [1.0, 0.0, 0.6], [0.6, 0.8, 0.6 * 0.6 - 0.8 * 0.8]


def test_info_nce_is_equation_12() -> None:
    assert nce([0, 1]) == pytest.approx((by_hand(FIRST, 0) + by_hand(SECOND, 1)) / 2)


def test_the_temperature_sharpens_it() -> None:
    expected = (by_hand(FIRST, 0, 0.1) + by_hand(SECOND, 1, 0.1)) / 2
    assert nce([0, 1], temperature=0.1) == pytest.approx(expected)


def test_instances_of_one_relation_are_not_each_others_negatives() -> None:
    same = info_nce(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), DESCRIPTIONS[:1], torch.tensor([0, 0]), NOTHING[:, :1], 0.5)
    assert same.item() == 0.0


def test_another_true_relation_does_not_count_against_an_instance() -> None:
    also = torch.tensor([[False, False, True], [False, False, False]])
    assert nce([0, 1], also) == pytest.approx((by_hand(FIRST[:2], 0) + by_hand(SECOND, 1)) / 2)


def test_info_nce_gives_the_side_of_another_true_relation_no_gradient() -> None:
    descriptions = DESCRIPTIONS.clone().requires_grad_()
    also = torch.tensor([[False, False, True], [False, False, True]])
    info_nce(INSTANCES, descriptions, torch.tensor([0, 1]), also, 0.5).backward()  # type: ignore[no-untyped-call]
    assert descriptions.grad is not None
    assert descriptions.grad[2].tolist() == [0.0, 0.0]


def test_the_candidate_loss_has_none_as_one_more_class_of_logit_zero() -> None:
    found = candidate_loss(torch.tensor([[2.0, -1.0]]), torch.tensor([0])).item()
    assert found == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + math.exp(-1) + 1)))


def test_none_is_the_class_behind_the_candidates() -> None:
    found = candidate_loss(torch.tensor([[2.0, -1.0]]), torch.tensor([2])).item()
    assert found == pytest.approx(-math.log(1 / (math.exp(2) + math.exp(-1) + 1)))


def test_padding_with_minus_infinity_does_not_count() -> None:
    short = candidate_loss(torch.tensor([[2.0, -1.0]]), torch.tensor([1]))
    padded = candidate_loss(torch.tensor([[2.0, -1.0, -torch.inf]]), torch.tensor([1]))
    torch.testing.assert_close(padded, short)


def test_padding_leaves_the_gradients_finite() -> None:
    logits = torch.tensor([[2.0, -1.0, -torch.inf], [0.5, 0.1, 0.2]], requires_grad=True)
    candidate_loss(logits, torch.tensor([3, 2])).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[0, 2] == 0


def test_the_candidate_loss_is_the_mean_over_the_batch() -> None:
    logits, gold = torch.tensor([[2.0, -1.0], [0.5, 0.0]]), torch.tensor([0, 2])
    rows = [candidate_loss(logits[i : i + 1], gold[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(candidate_loss(logits, gold), torch.stack(rows).mean())


def test_the_closed_loss_has_no_none() -> None:
    found = closed_candidate_loss(torch.tensor([[2.0, -1.0]]), torch.tensor([0])).item()
    assert found == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + math.exp(-1))))
