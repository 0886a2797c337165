from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.emma.classifier import ConcatenatedHead, HeadKind, PairClassifier, SharedHead
from models.emma.encoder import load_encoder, load_vocabulary


@pytest.fixture(scope="module")
def states() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(12, 24)


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


def test_the_shared_head_gives_one_logit_for_each_candidate(states: torch.Tensor) -> None:
    assert SharedHead(8).eval()(states, 4).shape == (3, 4)


def test_the_shared_head_does_not_depend_on_the_order_of_candidates(states: torch.Tensor) -> None:
    head = SharedHead(8).eval()
    torch.testing.assert_close(head(states.flip(0), 12), head(states, 12).flip(1))


@pytest.mark.parametrize("k", [1, 2, 3, 6, 12])
def test_the_shared_head_does_not_depend_on_their_number(states: torch.Tensor, k: int) -> None:
    head = SharedHead(8).eval()
    torch.testing.assert_close(head(states, k).flatten(), head(states, 1).flatten())


@pytest.mark.parametrize("part", [slice(0, 8), slice(8, 16), slice(16, 24)], ids=["[CLS]", "[Eh]", "[Et]"])
def test_the_shared_head_reads_all_three_states(states: torch.Tensor, part: slice) -> None:
    head, changed = SharedHead(8).eval(), states.clone()
    changed[:, part] += 1
    assert not torch.isclose(head(changed, 1), head(states, 1)).any()


def test_the_concatenated_head_refuses_another_number_of_candidates(states: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="reads exactly 4 candidates, got 3"):
        ConcatenatedHead(8, 4)(states, 3)


def test_the_concatenated_head_gives_one_logit_for_each_candidate(states: torch.Tensor) -> None:
    assert ConcatenatedHead(8, 4)(states, 4).shape == (3, 4)


def test_the_concatenated_head_reads_only_cls(states: torch.Tensor) -> None:
    head, changed = ConcatenatedHead(8, 4), states.clone()
    changed[:, 8:] = 0
    assert torch.equal(head(changed, 4), head(states, 4))


def test_the_concatenated_head_reads_all_candidates_at_once(states: torch.Tensor) -> None:
    head, changed = ConcatenatedHead(8, 4), states.clone()
    changed[3] += 1
    assert not torch.isclose(head(changed, 4)[0, 0], head(states, 4)[0, 0])


def test_logits_are_in_full_precision_even_if_the_weights_are_not(states: torch.Tensor) -> None:
    assert SharedHead(8).eval().bfloat16()(states.bfloat16(), 4).dtype == torch.float32


@pytest.mark.parametrize("head", ["shared", "concatenated"])
def test_a_classifier_gives_one_row_for_each_list_of_candidates(tiny_encoder: Path, head: HeadKind) -> None:
    assert classifier(tiny_encoder, head)(**PAIRS, candidates=2).shape == (1, 2)


def test_a_pairs_logit_does_not_depend_on_the_rest_of_the_batch(tiny_encoder: Path) -> None:
    model = classifier(tiny_encoder, "shared")
    alone = model(**{name: tensor[:1, :6] for name, tensor in PAIRS.items()})
    torch.testing.assert_close(model(**PAIRS)[:1], alone, atol=1e-6, rtol=0)


def test_a_pairs_logit_depends_on_where_the_mentions_are(tiny_encoder: Path) -> None:
    model = classifier(tiny_encoder, "shared")
    turned = PAIRS | {"marker_positions": PAIRS["marker_positions"].flip(1)}
    assert not torch.isclose(model(**turned), model(**PAIRS)).any()
