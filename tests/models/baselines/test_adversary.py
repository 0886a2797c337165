from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from models.baselines.adversary import REVERSAL, Adversary, reversed_gradient


def backward(loss: torch.Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


def test_a_reversed_feature_is_the_feature() -> None:
    features = torch.randn(3, 4)
    assert torch.equal(reversed_gradient(features), features)


def test_a_gradient_is_reversed() -> None:
    features = torch.randn(3, 4, requires_grad=True)
    backward((reversed_gradient(features) * torch.arange(4)).sum())
    assert features.grad is not None
    assert torch.equal(features.grad, -REVERSAL * torch.arange(4.0).expand(3, 4))


def test_the_adversary_learns_while_what_it_reads_unlearns() -> None:
    torch.manual_seed(0)
    adversary, features, gold = Adversary(4, 3), torch.randn(6, 4, requires_grad=True), torch.arange(6) % 3
    before = cross_entropy(adversary(features), gold)
    backward(before)
    with torch.no_grad():
        for parameter in adversary.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.1 * parameter.grad)
        assert cross_entropy(adversary(features), gold) < before
        for parameter in adversary.parameters():
            assert parameter.grad is not None
            parameter.add_(0.1 * parameter.grad)
        assert features.grad is not None
        assert cross_entropy(adversary(features - 0.1 * features.grad), gold) > before


def test_logits_are_in_full_precision() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Adversary(4, 3)(torch.randn(2, 4)).dtype == torch.float32
