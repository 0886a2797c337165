from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from models.baselines.discrimination import entity_discrimination, relation_discrimination

TAU = 0.2


def vectors(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed))


def cosines(first: Tensor, second: Tensor) -> Tensor:
    return cosine_similarity(first[:, None], second[None], dim=-1)


def labelled(*labels: int) -> Tensor:
    column = torch.tensor(labels)
    return column[:, None] == column


def plain(r: Tensor, same: Tensor) -> Tensor:
    """Relation discrimination without weights, written as the sum that it is."""
    terms = []
    similarity = (cosines(r, r) / TAU).exp()
    for a in range(len(r)):
        z = sum(similarity[a, c] for c in range(len(r)) if c != a)
        terms += [-(similarity[a, b] / z).log() for b in range(len(r)) if b != a and same[a, b]]
    return torch.stack(terms).mean()


def test_equal_weights_give_plain_relation_discrimination() -> None:
    r, same = vectors(6), labelled(0, 0, 1, 1, 1, 2)
    torch.testing.assert_close(relation_discrimination(r, same, torch.ones(6), TAU), plain(r, same))


def test_equal_weights_w_give_w_times_the_plain_one_plus_w_log_w() -> None:
    r, same, w = vectors(6), labelled(0, 0, 1, 1, 1, 2), torch.tensor(2.5)
    found = relation_discrimination(r, same, w.expand(6), TAU)
    torch.testing.assert_close(found, w * plain(r, same) + w * w.log())


def test_relation_discrimination_weighs_the_anchor_and_each_term_of_z() -> None:
    r, f = vectors(3), torch.tensor([1.0, 2.0, 3.0])
    s = (cosines(r, r) / TAU).exp()
    first = -f[0] * (s[0, 1] / (f[1] * s[0, 1] + f[2] * s[0, 2])).log()
    second = -f[1] * (s[1, 0] / (f[0] * s[1, 0] + f[2] * s[1, 2])).log()
    found = relation_discrimination(r, labelled(0, 0, 1), f, TAU)
    torch.testing.assert_close(found, (first + second) / 2)


def test_an_instance_is_not_compared_with_itself() -> None:
    r, same = vectors(4), labelled(0, 0, 1, 1)
    none = same & ~torch.eye(4, dtype=torch.bool)
    weights = torch.ones(4)
    assert relation_discrimination(r, same, weights, TAU) == relation_discrimination(r, none, weights, TAU)


def test_a_batch_of_different_relations_costs_nothing() -> None:
    r = vectors(3).requires_grad_()
    found = relation_discrimination(r, labelled(0, 1, 2), torch.ones(3), TAU)
    found.backward()  # type: ignore[no-untyped-call]
    assert found == 0
    assert r.grad is not None
    assert (r.grad == 0).all()


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_only_directions_matter(factor: float) -> None:
    r, same, weights = vectors(4), labelled(0, 0, 1, 1), torch.tensor([1.0, 2.0, 1.0, 2.0])
    torch.testing.assert_close(
        relation_discrimination(factor * r, same, weights, TAU), relation_discrimination(r, same, weights, TAU)
    )


def test_the_gradient_is_finite_and_pulls_the_same_relation_together() -> None:
    r, same = vectors(4).requires_grad_(), labelled(0, 0, 1, 1)
    relation_discrimination(r, same, torch.ones(4), TAU).backward()  # type: ignore[no-untyped-call]
    assert r.grad is not None
    assert torch.isfinite(r.grad).all()
    moved = r.detach() - 0.1 * r.grad
    assert plain(moved, same) < plain(r.detach(), same)


def test_entity_discrimination_asks_for_the_tail_of_the_same_row() -> None:
    queries, tails = vectors(4), vectors(4, seed=1)
    expected = -(cosines(queries, tails) / TAU).log_softmax(dim=1).diagonal().mean()
    nothing = torch.zeros(4, 4, dtype=torch.bool)
    torch.testing.assert_close(entity_discrimination(queries, tails, nothing, TAU), expected)


def test_a_tail_that_answers_too_does_not_count_against_a_query() -> None:
    queries, tails, also = vectors(3), vectors(3, seed=1), torch.zeros(3, 3, dtype=torch.bool)
    also[0, 1] = True
    left = cosines(queries, tails) / TAU
    left[0, 1] = -torch.inf
    expected = -left.log_softmax(dim=1).diagonal().mean()
    torch.testing.assert_close(entity_discrimination(queries, tails, also, TAU), expected)
