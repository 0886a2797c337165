from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.baselines.mentions import marked_tensors, max_pooled, mention_masks, summed
from models.emma.encoder import load_vocabulary
from models.text import InputBuilder, Instance, Lengths
from tests.models.support import mentions


@pytest.fixture(scope="module")
def builder(tiny_encoder: Path) -> Callable[[int], InputBuilder]:
    vocabulary = load_vocabulary(str(tiny_encoder))
    return lambda tokens: InputBuilder(vocabulary.tokenizer, Lengths(tokens, 16), vocabulary.special)


def words(builder: InputBuilder, instance: Instance) -> list[list[str | None]]:
    """The tokens that the two masks of one instance are true of."""
    found = marked_tensors(builder, builder.instances([instance]), torch.device("cpu"))
    ids = found["input_ids"][0]
    return [[builder.tokenizer.id_to_token(int(i)) for i in ids[mask]] for mask in found["mention_masks"][0]]


def test_the_masks_cover_the_words_of_head_and_tail(builder: Callable[[int], InputBuilder]) -> None:
    instance = mentions("Ilse Manteuf was born in Brill Haven .", "Ilse Manteuf", "Brill Haven")
    assert words(builder(64), instance) == [["ilse", "manteuf"], ["brill", "haven"]]


def test_the_head_comes_first_even_if_the_tail_does_in_the_sentence(builder: Callable[[int], InputBuilder]) -> None:
    instance = mentions("Ilse Manteuf was born in Brill Haven .", "Brill Haven", "Ilse Manteuf")
    assert words(builder(64), instance) == [["brill", "haven"], ["ilse", "manteuf"]]


def test_the_masks_find_the_mentions_of_a_sentence_that_was_cut(builder: Callable[[int], InputBuilder]) -> None:
    sentence = f"{'so ' * 40}Ilse Manteuf was {'so ' * 40}born in Brill Haven {'so ' * 40}."
    assert words(builder(16), mentions(sentence, "Ilse Manteuf", "Brill Haven")) == [
        ["ilse", "manteuf"],
        ["brill", "haven"],
    ]


def test_a_marker_spelt_in_the_sentence_ends_no_mention(builder: Callable[[int], InputBuilder]) -> None:
    [head, tail] = words(builder(64), mentions("Ilse [/Eh] Manteuf was in Brill .", "Ilse [/Eh] Manteuf", "Brill"))
    assert head[0] == "ilse"
    assert head[-1] == "manteuf"
    assert tail == ["brill"]


def test_rows_of_one_batch_have_masks_of_one_length(builder: Callable[[int], InputBuilder]) -> None:
    build = builder(64)
    rows = build.instances([mentions("Ada met Bo .", "Ada", "Bo"), mentions("Ada once met old Bo .", "Ada", "Bo")])
    found = marked_tensors(build, rows, torch.device("cpu"))
    assert found["mention_masks"].shape == (2, 2, found["input_ids"].shape[1])
    longest = len(rows[1].ids)
    assert mention_masks(
        rows, longest + 5, [build.tokenizer.token_to_id(x) or 0 for x in ("[/Eh]", "[/Et]")]
    ).shape == (
        2,
        2,
        longest + 5,
    )


def some() -> tuple[Tensor, Tensor]:
    hidden = torch.randn(2, 5, 3, requires_grad=True)
    masks = torch.zeros(2, 2, 5, dtype=torch.bool)
    masks[0, 0, 1:3] = masks[0, 1, 4] = masks[1, 0, 3] = masks[1, 1, 0:2] = True
    return hidden, masks


def test_max_pooling_takes_the_largest_even_if_all_are_negative() -> None:
    hidden, masks = some()
    hidden = hidden.detach() - 10
    expected = torch.stack(
        [
            torch.stack([hidden[0, 1:3].amax(dim=0), hidden[0, 4]]),
            torch.stack([hidden[1, 3], hidden[1, :2].amax(dim=0)]),
        ]
    )
    assert torch.equal(max_pooled(hidden, masks), expected)


def test_a_sum_is_over_the_mentions_own_tokens() -> None:
    hidden, masks = some()
    expected = torch.stack(
        [
            torch.stack([hidden[0, 1] + hidden[0, 2], hidden[0, 4]]),
            torch.stack([hidden[1, 3], hidden[1, 0] + hidden[1, 1]]),
        ]
    )
    torch.testing.assert_close(summed(hidden, masks), expected)


@pytest.mark.parametrize("pool", [max_pooled, summed])
def test_tokens_outside_of_the_mentions_get_no_gradient(pool: Callable[[Tensor, Tensor], Tensor]) -> None:
    hidden, masks = some()
    pool(hidden, masks).square().sum().backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is not None
    assert (hidden.grad[~masks.any(dim=1)] == 0).all()
    assert torch.isfinite(hidden.grad).all()
    assert hidden.grad.abs().sum() > 0
