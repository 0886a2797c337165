from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from models.baselines.masked_language import MaskedLanguageHead, Masker, token_table
from models.emma.encoder import Encoder, Vocabulary, load_encoder, load_vocabulary
from models.text import MARKERS

WORDS = 20_000


@pytest.fixture(scope="module")
def vocabulary(tiny_encoder: Path) -> Vocabulary:
    return load_vocabulary(str(tiny_encoder))


@pytest.fixture(scope="module")
def masker(tiny_encoder: Path, vocabulary: Vocabulary) -> Masker:
    return Masker.of(str(tiny_encoder), vocabulary)


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path, vocabulary: Vocabulary) -> Encoder:
    torch.manual_seed(0)
    size = vocabulary.tokenizer.get_vocab_size(with_added_tokens=True)
    return load_encoder(str(tiny_encoder), size, 0.0).eval()


def text(masker: Masker, protected: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """One long row of one word."""
    return torch.full((1, WORDS), masker.words[-1]), torch.full((1, WORDS), protected)


def test_15_percent_of_the_words_are_predicted(masker: Masker) -> None:
    _, predicted = masker.masked(*text(masker), random.Random(0))
    assert predicted.float().mean().item() == pytest.approx(0.15, abs=0.01)


def test_of_these_80_percent_are_read_as_a_mask_10_as_another_word_and_10_as_they_are(masker: Masker) -> None:
    ids, protected = text(masker)
    read, predicted = masker.masked(ids, protected, random.Random(0))
    shares = [(read[predicted] == token).float().mean().item() for token in (masker.mask_id, masker.words[-1])]
    assert shares == pytest.approx([0.8, 0.1], abs=0.02)
    others = set(read[predicted].tolist()) - {masker.mask_id}
    assert others <= set(masker.words)
    assert len(others) > 50


def test_what_is_not_predicted_is_read_as_it_is(masker: Masker) -> None:
    ids, protected = text(masker)
    read, predicted = masker.masked(ids, protected, random.Random(0))
    assert torch.equal(read[~predicted], ids[~predicted])
    assert torch.equal(ids, text(masker)[0])


def test_protected_tokens_are_left_alone(masker: Masker) -> None:
    ids, protected = text(masker, protected=True)
    read, predicted = masker.masked(ids, protected, random.Random(0))
    assert torch.equal(read, ids)
    assert not predicted.any()


@pytest.mark.parametrize("token", ["[CLS]", "[SEP]", "[PAD]", "[MASK]", *MARKERS])
def test_control_tokens_are_neither_predicted_nor_drawn(masker: Masker, vocabulary: Vocabulary, token: str) -> None:
    index = vocabulary.tokenizer.token_to_id(token)
    assert index is not None
    assert index not in masker.words
    _, predicted = masker.masked(torch.full((1, 500), index), torch.zeros(1, 500, dtype=torch.bool), random.Random(0))
    assert not predicted.any()


def test_the_same_draw_gives_the_same_masks(masker: Masker) -> None:
    first, second, third = (masker.masked(*text(masker), random.Random(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_the_output_is_tied_to_the_encoders_token_table(encoder: Encoder) -> None:
    head, states = MaskedLanguageHead(encoder), torch.randn(3, encoder.width)
    table = token_table(encoder)
    before = head(states, table)
    assert before.shape == (3, len(table))
    with torch.no_grad():
        table[7] *= 2
    after = head(states, table)
    with torch.no_grad():
        table[7] /= 2
    torch.testing.assert_close(after[:, 7], 2 * before[:, 7])
    assert not any(p.data_ptr() == table.data_ptr() for p in head.parameters())


def test_the_loss_is_the_cross_entropy_of_the_true_tokens_where_they_are_predicted(encoder: Encoder) -> None:
    head, ids = MaskedLanguageHead(encoder), torch.tensor([[2, 40, 41, 3], [2, 42, 43, 3]])
    predicted = torch.tensor([[0, 1, 0, 0], [0, 0, 1, 0]]).bool()
    hidden = torch.randn(2, 4, encoder.width)
    logits = head(torch.stack([hidden[0, 1], hidden[1, 2]]), token_table(encoder))
    expected = cross_entropy(logits, torch.tensor([40, 43]))
    torch.testing.assert_close(head.loss(hidden, predicted, ids, encoder), expected)


def test_nothing_to_predict_costs_nothing(encoder: Encoder) -> None:
    hidden, ids = torch.randn(1, 4, encoder.width, requires_grad=True), torch.tensor([[2, 40, 41, 3]])
    assert MaskedLanguageHead(encoder).loss(hidden, torch.zeros(1, 4, dtype=torch.bool), ids, encoder) == 0
