from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from models.baselines.mask_prompt import MaskPrompt, mask_token, mention_tokens
from models.emma.encoder import EncoderError, Vocabulary, load_vocabulary
from models.text import InputBuilder, InputError, Instance, InstanceInput, Lengths
from tests.models.support import mentions

BORN = mentions("Ilse Manteuf was born in Brill Haven .", "Ilse Manteuf", "Brill Haven")
LONG = mentions(f"{'so ' * 60}Ilse Manteuf was {'so ' * 60}born in Brill Haven .", "Ilse Manteuf", "Brill Haven")
QUESTION = "the relation between ilse manteuf and brill haven is [MASK] . [SEP]"


@pytest.fixture(scope="module")
def vocabulary(tiny_encoder: Path) -> Vocabulary:
    return load_vocabulary(str(tiny_encoder))


@pytest.fixture(scope="module")
def builder(vocabulary: Vocabulary) -> InputBuilder:
    return InputBuilder(vocabulary.tokenizer, Lengths(64, 16), vocabulary.special)


def prompted(builder: InputBuilder, vocabulary: Vocabulary, instance: Instance, positions: int = 256) -> InstanceInput:
    mask_id = vocabulary.tokenizer.token_to_id("[MASK]")
    assert mask_id is not None
    [marked] = builder.instances([instance])
    return MaskPrompt(vocabulary, mask_id, builder, positions).appended(marked, instance)


def words(vocabulary: Vocabulary, ids: list[int]) -> list[str]:
    return [str(vocabulary.tokenizer.id_to_token(token)) for token in ids]


def test_the_prompt_follows_the_marked_sentence(builder: InputBuilder, vocabulary: Vocabulary) -> None:
    [marked] = builder.instances([BORN])
    found = words(vocabulary, prompted(builder, vocabulary, BORN).ids)
    # Pieces of a word that the test data do not have are put together.
    text = " ".join(found).replace(" ##", "")
    assert found[: len(marked.ids) - 1] == words(vocabulary, marked.ids[:-1])
    assert text.endswith(QUESTION)


def test_the_head_is_named_first_even_if_the_tail_comes_first(builder: InputBuilder, vocabulary: Vocabulary) -> None:
    swapped = Instance(BORN.sentence, BORN.tail, BORN.head)
    text = " ".join(words(vocabulary, prompted(builder, vocabulary, swapped).ids)).replace(" ##", "")
    assert "between brill haven and ilse manteuf is [MASK]" in text


@pytest.mark.parametrize("instance", [BORN, LONG])
def test_the_start_markers_stay_where_they_were(
    builder: InputBuilder, vocabulary: Vocabulary, instance: Instance
) -> None:
    found = prompted(builder, vocabulary, instance)
    assert words(vocabulary, [found.ids[found.head], found.ids[found.tail]]) == ["[Eh]", "[Et]"]


@pytest.mark.parametrize("positions", [48, 64, 80])
def test_the_prompt_and_the_mentions_are_never_cut(
    builder: InputBuilder, vocabulary: Vocabulary, positions: int
) -> None:
    free, cut = (prompted(builder, vocabulary, LONG, length) for length in (256, positions))
    assert len(cut.ids) <= positions
    assert mention_tokens(builder, cut) == mention_tokens(builder, free)
    length = len(free.ids) - len(builder.instances([LONG])[0].ids)
    assert cut.ids[-length - 1 :] == free.ids[-length - 1 :]


def test_a_sentence_that_fits_with_its_prompt_is_not_cut(builder: InputBuilder, vocabulary: Vocabulary) -> None:
    free = prompted(builder, vocabulary, LONG)
    assert prompted(builder, vocabulary, LONG, len(free.ids)) == free
    assert len(prompted(builder, vocabulary, LONG, len(free.ids) - 1).ids) == len(free.ids) - 1


def test_mentions_that_do_not_fit_with_their_prompt_are_refused(builder: InputBuilder, vocabulary: Vocabulary) -> None:
    with pytest.raises(InputError, match="give shorter spans"):
        prompted(builder, vocabulary, BORN, 16)


def test_a_mask_spelt_in_the_sentence_is_not_the_mask(builder: InputBuilder, vocabulary: Vocabulary) -> None:
    spelt = mentions("Ilse [MASK] was born in Brill .", "Ilse [MASK]", "Brill")
    assert words(vocabulary, prompted(builder, vocabulary, spelt).ids).count("[MASK]") == 1


def test_the_place_of_the_mask_is_found(builder: InputBuilder, vocabulary: Vocabulary) -> None:
    prompt = MaskPrompt(vocabulary, mask_token_of(vocabulary), builder, 256)
    [marked] = builder.instances([BORN])
    found = prompt.appended(marked, BORN)
    assert found.ids[prompt.place(found)] == mask_token_of(vocabulary)


def mask_token_of(vocabulary: Vocabulary) -> int:
    index = vocabulary.tokenizer.token_to_id("[MASK]")
    assert index is not None
    return index


def test_the_tokenizers_own_mask_token_is_taken(tiny_encoder: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    tokenizer.mask_token = "brill"
    tokenizer.save_pretrained(tmp_path)
    assert mask_token(str(tiny_encoder), vocabulary) == mask_token_of(vocabulary)
    assert mask_token(str(tmp_path), vocabulary) == vocabulary.tokenizer.token_to_id("brill")


def test_a_tokenizer_without_a_mask_is_refused(tiny_encoder: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    tokenizer.mask_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match="no mask token"):
        mask_token(str(tmp_path), vocabulary)
