from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.emma.encoder import load_encoder, load_vocabulary
from models.emma.recall import RecallTower, WeightPooling, marker_states


@pytest.fixture(scope="module")
def tower(tiny_encoder: Path) -> RecallTower:
    """A tower whose pools are not the plain mean any more."""
    size = load_vocabulary(str(tiny_encoder)).tokenizer.get_vocab_size()
    tower = RecallTower(load_encoder(str(tiny_encoder), size, 0.0)).eval()
    torch.manual_seed(3)
    for pool in (tower.head_pool, tower.tail_pool):
        pool.weight.data = torch.randn(32)
    return tower


def padded(rows: list[list[int]], length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, their mask, and the mask of what is neither special nor padding."""
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    content = torch.tensor([[0, *[1] * (len(row) - 2), *[0] * (length - len(row) + 1)] for row in rows])
    return ids, mask, content


SHORT, LONG = [2, 20, 30, 3], [2, 40, 50, 60, 70, 80, 90, 3]
POSITIONS = torch.tensor([[1, 2], [5, 3]])


def test_a_pool_starts_as_the_mean_of_the_content() -> None:
    hidden = torch.randn(2, 4, 8)
    mask = torch.tensor([[0, 1, 1, 0], [0, 1, 0, 0]])
    expected = torch.stack([hidden[0, 1:3].mean(dim=0), hidden[1, 1]])
    torch.testing.assert_close(WeightPooling(8)(hidden, mask), expected)


def test_a_pool_is_a_mean_weighted_by_a_softmax() -> None:
    pool = WeightPooling(3)
    pool.weight.data = torch.tensor([1.0, -2.0, 0.5])
    hidden = torch.randn(1, 5, 3)
    inner = hidden[0, 1:4]
    expected = (inner @ pool.weight.data).softmax(dim=0) @ inner
    torch.testing.assert_close(pool(hidden, torch.tensor([[0, 1, 1, 1, 0]]))[0], expected)


def test_a_pool_ignores_what_is_masked() -> None:
    pool = WeightPooling(8)
    pool.weight.data = torch.randn(8)
    hidden, mask = torch.randn(1, 5, 8), torch.tensor([[0, 1, 1, 0, 0]])
    changed = hidden.clone()
    changed[0, [0, 3, 4]] = 1e3
    torch.testing.assert_close(pool(changed, mask), pool(hidden, mask))


def test_a_pool_learns() -> None:
    pool = WeightPooling(8)
    pool(torch.randn(2, 4, 8), torch.ones(2, 4)).sum().backward()
    assert pool.weight.grad is not None
    assert pool.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("length", [5, 8, 40])
def test_a_descriptions_vector_does_not_depend_on_padding(tower: RecallTower, length: int) -> None:
    alone, in_batch = tower.descriptions(*padded([SHORT], 4)), tower.descriptions(*padded([SHORT], length))
    torch.testing.assert_close(in_batch, alone, atol=1e-6, rtol=0)


def test_a_descriptions_vector_does_not_depend_on_its_neighbours(tower: RecallTower) -> None:
    together = tower.descriptions(*padded([SHORT, LONG], 8))
    torch.testing.assert_close(together[:1], tower.descriptions(*padded([SHORT], 4)), atol=1e-6, rtol=0)


def test_an_instances_vector_does_not_depend_on_padding(tower: RecallTower) -> None:
    ids, mask, _ = padded([SHORT, LONG], 8)
    alone = tower.instances(*padded([SHORT], 4)[:2], POSITIONS[:1])
    torch.testing.assert_close(tower.instances(ids, mask, POSITIONS)[:1], alone, atol=1e-6, rtol=0)


def test_vectors_have_unit_norm_and_three_times_the_width(tower: RecallTower) -> None:
    ids, mask, content = padded([SHORT, LONG], 8)
    for vectors in (tower.instances(ids, mask, POSITIONS), tower.descriptions(ids, mask, content)):
        assert vectors.shape == (2, tower.dimension) == (2, 96)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_an_instances_vector_is_the_states_of_cls_and_the_markers(tower: RecallTower) -> None:
    ids, mask, _ = padded([SHORT, LONG], 8)
    hidden = tower.encoder(ids, mask)
    states = torch.stack(
        [torch.cat([hidden[0, 0], hidden[0, 1], hidden[0, 2]]), torch.cat([hidden[1, 0], hidden[1, 5], hidden[1, 3]])]
    )
    assert torch.equal(marker_states(hidden, POSITIONS), states)
    torch.testing.assert_close(tower.instances(ids, mask, POSITIONS), states / states.norm(dim=1, keepdim=True))


def test_a_descriptions_vector_is_the_state_of_cls_and_two_pools(tower: RecallTower) -> None:
    ids, mask, content = padded([SHORT, LONG], 8)
    hidden = tower.encoder(ids, mask)
    parts = torch.cat([hidden[:, 0], tower.head_pool(hidden, content), tower.tail_pool(hidden, content)], dim=1)
    torch.testing.assert_close(tower.descriptions(ids, mask, content), parts / parts.norm(dim=1, keepdim=True))


def test_the_two_pools_have_weights_of_their_own(tower: RecallTower) -> None:
    _, head, tail = tower.descriptions(*padded([LONG], 8))[0].reshape(3, 32)
    assert not torch.allclose(head, tail)


def test_vectors_are_in_full_precision_even_if_the_states_are_not(tower: RecallTower) -> None:
    assert tower.instance_vectors(torch.randn(2, 6, 32, dtype=torch.bfloat16), POSITIONS).dtype == torch.float32


def test_without_virtual_entities_both_sides_are_their_first_state(tiny_encoder: Path, tower: RecallTower) -> None:
    plain = RecallTower(tower.encoder, virtual_entities=False).eval()
    assert plain.dimension == 32
    ids, mask, content = padded([SHORT, LONG], 8)
    first = torch.nn.functional.normalize(tower.encoder(ids, mask)[:, 0], dim=-1)
    torch.testing.assert_close(plain.instances(ids, mask, POSITIONS), first)
    torch.testing.assert_close(plain.descriptions(ids, mask, content), first)
