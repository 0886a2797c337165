"""A marked sentence with the question "what is the relation?" put after it, to be answered at a mask."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from transformers import AutoTokenizer

from models.emma.encoder import EncoderError, Vocabulary
from models.text import MARKERS, InputBuilder, Instance, InstanceInput, Lengths

PROMPT = ("The relation between", "and", "is", ".")
"""What stands before the head, before the tail, before the mask and after it."""


class MaskPrompt:
    """Appends "The relation between HEAD and TAIL is [MASK] ." to marked sentences.

    The prompt goes before the sentence's final [SEP], in the same segment. The mentions in it are the token ids that
    they have in the sentence, without markers, so nothing is tokenised twice.

    Attributes:
        mask_id: token id of the mask, which stands in a prompted sentence exactly once.
    """

    def __init__(self, vocabulary: Vocabulary, mask_id: int, inputs: InputBuilder, positions: int) -> None:
        """Tokenize the prompt's words.

        Args:
            vocabulary: the tokenizer that sentences are read with.
            mask_id: see `mask_token`.
            inputs: what the sentences were marked with.
            positions: longest input of the encoder, in tokens.
        """
        self.mask_id = mask_id
        self._vocabulary, self._inputs, self._positions = vocabulary, inputs, positions
        tokenizer = vocabulary.tokenizer
        self._words = [tokenizer.encode(words, add_special_tokens=False).ids for words in PROMPT]

    def appended(self, marked: InstanceInput, instance: Instance) -> InstanceInput:
        """The marked sentence with its prompt; `head` and `tail` are still the places of the start markers.

        Where both are longer than the encoder reads, the sentence's context is cut further, around the mentions.

        Args:
            marked: of at most the recipe's tokens.
            instance: what it was made from.

        Raises:
            models.text.InputError: the mentions alone, which stand there twice, are too long.
        """
        head, tail = mention_tokens(self._inputs, marked)
        before, between, last, stop = self._words
        prompt = [*before, *head, *between, *tail, *last, self.mask_id, *stop]
        room = self._positions - len(prompt)
        if len(marked.ids) > room:
            lengths = Lengths(room, self._inputs.lengths.description)
            shorter = InputBuilder(self._vocabulary.tokenizer, lengths, self._vocabulary.special)
            [marked] = shorter.instances([instance])
        return replace(marked, ids=[*marked.ids[:-1], *prompt, marked.ids[-1]])

    def place(self, prompted: InstanceInput) -> int:
        """Where the mask stands. A sentence that spells it has ordinary tokens there, so it is never another one."""
        return prompted.ids.index(self.mask_id)


def mention_tokens(inputs: InputBuilder, marked: InstanceInput) -> tuple[list[int], list[int]]:
    """Token ids of head and tail, their markers left out."""
    markers = {inputs.tokenizer.token_to_id(marker) for marker in MARKERS}
    head, tail = (
        list(takewhile(lambda token: token not in markers, marked.ids[start + 1 :]))
        for start in (marked.head, marked.tail)
    )
    return head, tail


def mask_token(source: str, vocabulary: Vocabulary) -> int:
    """Token id of the mask of a tokenizer on disk or on the Hub.

    Raises:
        EncoderError: it has none.
    """
    token = AutoTokenizer.from_pretrained(source, use_fast=True).mask_token
    index = None if token is None else vocabulary.tokenizer.token_to_id(token)
    if index is None:
        raise EncoderError(f"the tokenizer of {source!r} has no mask token: take an encoder of the BERT family")
    return int(index)
