from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.emma.classifier import OFFSET, SCALE, ConcatenatedHead, HeadKind, PairClassifier, SharedHead
from models.emma.encoder import load_encoder, load_vocabulary
from models.emma.recall import RecallTower
from tests.models.support import flat


@dataclass
class Batch:
    """Twelve pairs' states, as a head reads them."""

    hidden: Tensor
    places: Tensor
    mask: Tensor

    def through(self, head: SharedHead | ConcatenatedHead, k: int) -> Tensor:
        logits: Tensor = head(self.hidden, self.places, self.mask, k)
        return logits


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(1)
    places = torch.tensor([[1, 2], [2, 1]] * 6)
    mask = torch.tensor([[0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1]] * 6)
    return Batch(torch.randn(12, 6, 8), places, mask)


@pytest.fixture
def shared() -> SharedHead:
    """A head that has learnt something."""
    torch.manual_seed(4)
    head = SharedHead(8).eval()
    for weight in head.parameters():
        weight.data += torch.randn_like(weight)
    return head


def classifier(tiny_encoder: Path, head: HeadKind) -> PairClassifier:
    torch.manual_seed(2)
    size = load_vocabulary(str(tiny_encoder)).tokenizer.get_vocab_size()
    return PairClassifier(load_encoder(str(tiny_encoder), size, 0.0), head, candidates=2).eval()


PAIRS = {
    "input_ids": torch.tensor([[2, 20, 30, 3, 40, 3, 0], [2, 20, 30, 3, 50, 60, 3]]),
    "token_type_ids": torch.tensor([[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1, 1]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1]]),
    "marker_positions": torch.tensor([[1, 2], [1, 2]]),
}


def test_the_shared_head_gives_one_logit_for_each_candidate(batch: Batch, shared: SharedHead) -> None:
    assert batch.through(shared, 4).shape == (3, 4)


def test_the_shared_head_does_not_depend_on_the_order_of_candidates(batch: Batch, shared: SharedHead) -> None:
    turned = Batch(batch.hidden.flip(0), batch.places.flip(0), batch.mask.flip(0))
    torch.testing.assert_close(turned.through(shared, 12), batch.through(shared, 12).flip(1))


@pytest.mark.parametrize("k", [1, 2, 3, 6, 12])
def test_the_shared_head_does_not_depend_on_their_number(batch: Batch, shared: SharedHead, k: int) -> None:
    torch.testing.assert_close(batch.through(shared, k).flatten(), batch.through(shared, 1).flatten())


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4], ids=["[CLS]", "first", "second", "description", "its end"])
def test_the_shared_head_reads_cls_the_mentions_and_the_description(
    batch: Batch, shared: SharedHead, place: int
) -> None:
    before = batch.through(shared, 1)
    batch.hidden[:, place] += torch.randn(8)
    assert not torch.isclose(batch.through(shared, 1), before).any()


def test_the_shared_head_reads_nothing_else(batch: Batch, shared: SharedHead) -> None:
    before = batch.through(shared, 1)[::2]
    batch.hidden[::2, 5] += 1
    torch.testing.assert_close(batch.through(shared, 1)[::2], before)


def test_the_shared_head_starts_as_a_cosine_of_mentions_and_virtual_entities(batch: Batch) -> None:
    mentions = batch.hidden[0, [1, 2]].flatten()
    mean = batch.hidden[0, 3:5].mean(dim=0)
    cosine = torch.nn.functional.cosine_similarity(mentions, torch.cat((mean, mean)), dim=0)
    torch.testing.assert_close(batch.through(SharedHead(8).eval(), 1)[0, 0], SCALE * cosine - OFFSET)


def test_the_concatenated_head_refuses_another_number_of_candidates(batch: Batch) -> None:
    with pytest.raises(ValueError, match="reads exactly 4 candidates, got 3"):
        batch.through(ConcatenatedHead(8, 4), 3)


def test_the_concatenated_head_gives_one_logit_for_each_candidate(batch: Batch) -> None:
    assert batch.through(ConcatenatedHead(8, 4), 4).shape == (3, 4)


def test_the_concatenated_head_reads_only_cls(batch: Batch) -> None:
    head = ConcatenatedHead(8, 4)
    before = batch.through(head, 4)
    batch.hidden[:, 1:] = 0
    assert torch.equal(batch.through(head, 4), before)


def test_the_concatenated_head_reads_all_candidates_at_once(batch: Batch) -> None:
    head = ConcatenatedHead(8, 4)
    before = batch.through(head, 4)
    batch.hidden[3] += 1
    assert not torch.isclose(batch.through(head, 4)[0, 0], before[0, 0])


def test_logits_are_in_full_precision_even_if_the_weights_are_not(batch: Batch) -> None:
    coarse = Batch(batch.hidden.bfloat16(), batch.places, batch.mask)
    assert coarse.through(SharedHead(8).eval().bfloat16(), 4).dtype == torch.float32


def test_a_classifier_starts_from_recalls_encoder_and_virtual_entities(tiny_encoder: Path) -> None:
    model = classifier(tiny_encoder, "shared")
    recall = RecallTower(classifier(tiny_encoder, "shared").encoder)
    for weight in recall.parameters():
        weight.data += 1
    model.start_from(recall)
    assert isinstance(model.head, SharedHead)
    assert torch.equal(flat(model.encoder), flat(recall.encoder))
    assert torch.equal(flat(model.head.head_pool), flat(recall.head_pool))
    assert torch.equal(flat(model.head.tail_pool), flat(recall.tail_pool))


@pytest.mark.parametrize("head", ["shared", "concatenated"])
def test_a_classifier_gives_one_row_for_each_list_of_candidates(tiny_encoder: Path, head: HeadKind) -> None:
    assert classifier(tiny_encoder, head)(**PAIRS, candidates=2).shape == (1, 2)


def test_a_pairs_logit_does_not_depend_on_the_rest_of_the_batch(tiny_encoder: Path) -> None:
    model = classifier(tiny_encoder, "shared")
    alone = model(**{name: tensor[:1, :6] for name, tensor in PAIRS.items()})
    torch.testing.assert_close(model(**PAIRS)[:1], alone, atol=1e-6, rtol=0)


def test_a_pairs_logit_depends_on_where_the_mentions_are(tiny_encoder: Path) -> None:
    model = classifier(tiny_encoder, "shared")
    # Before training both virtual entities are the same mean, for which head and tail may change places.
    model.head.head_pool.weight.data = torch.randn(32)  # type: ignore[union-attr]
    turned = PAIRS | {"marker_positions": PAIRS["marker_positions"].flip(1)}
    assert not torch.isclose(model(**turned), model(**PAIRS)).any()
