from __future__ import annotations

import pytest
import torch

from models.baselines.margin import margin_loss

SCORES = torch.tensor([[0.9, 0.5, 0.88], [0.2, 0.7, 0.1]])
GOLD = torch.tensor([0, 1])


def test_the_loss_is_the_margin_less_the_lead_over_the_hardest() -> None:
    wrong = torch.tensor([[False, True, True], [True, False, True]])
    # The first leads by 0.02, the second by 0.5.
    assert margin_loss(SCORES, GOLD, wrong, 0.06).item() == pytest.approx((0.04 + 0) / 2)


def test_a_relation_that_was_not_drawn_does_not_count() -> None:
    wrong = torch.tensor([[False, True, False], [True, False, True]])
    assert margin_loss(SCORES, GOLD, wrong, 0.06).item() == 0


def test_an_instance_with_nothing_wrong_costs_nothing_and_has_no_gradient() -> None:
    scores = SCORES.clone().requires_grad_()
    wrong = torch.tensor([[False, False, False], [True, False, True]])
    loss = margin_loss(scores, GOLD, wrong, 1.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx((1 - 0.5) / 2)
    assert scores.grad is not None
    assert scores.grad.tolist() == [[0, 0, 0], [0.5, -0.5, 0]]
