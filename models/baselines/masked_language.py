"""Masked language modelling (Devlin et al., BERT, NAACL 2019, §3.1) besides another objective."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu

from models.baselines.mask_prompt import mask_token
from models.emma.encoder import Encoder, Vocabulary
from models.text import MARKERS

PREDICTED = 0.15
"""Share of the tokens that are predicted."""
AS_MASK, AS_RANDOM = 0.8, 0.1
"""Shares of these that are read as a mask and as a random word; the others are read as they are."""


@dataclass(frozen=True, slots=True)
class Masker:
    """Chooses tokens to predict, and what is read in their place.

    Attributes:
        mask_id: token id of the mask.
        control: token ids that are never predicted: markers, and what begins, ends and pads a sentence.
        words: token ids that a random word is drawn from.
    """

    mask_id: int
    control: frozenset[int]
    words: tuple[int, ...]

    @classmethod
    def of(cls, source: str, vocabulary: Vocabulary) -> Masker:
        """That of a tokenizer on disk or on the Hub.

        Raises:
            models.emma.encoder.EncoderError: it has no mask token.
        """
        mask_id = mask_token(source, vocabulary)
        names = vocabulary.tokenizer.get_vocab(with_added_tokens=True)
        control = frozenset({mask_id, *(names[token] for token in (*MARKERS, *vocabulary.special.values()))})
        return cls(mask_id, control, tuple(sorted(set(names.values()) - control)))

    def masked(self, input_ids: Tensor, protected: Tensor, draw: random.Random) -> tuple[Tensor, Tensor]:
        """What is read, and where it is to be predicted.

        Args:
            input_ids: (batch, length).
            protected: true on further tokens that are left as they are (batch, length).
            draw: of the tokens and of what becomes of them.

        Returns:
            Token ids and booleans, both (batch, length).
        """
        ids = input_ids.cpu()
        control = torch.isin(ids, torch.tensor(sorted(self.control)))
        read, predicted = ids.clone(), torch.zeros_like(ids, dtype=torch.bool)
        for row, column in (~control & ~protected.cpu()).nonzero().tolist():
            if draw.random() >= PREDICTED:
                continue
            predicted[row, column] = True
            fate = draw.random()
            if fate < AS_MASK:
                read[row, column] = self.mask_id
            elif fate < AS_MASK + AS_RANDOM:
                read[row, column] = draw.choice(self.words)
        return read.to(input_ids.device), predicted.to(input_ids.device)


class MaskedLanguageHead(nn.Module):
    """BERT's output layers, the last one tied to the encoder's token table.

    They are learnt from nothing, since an `Encoder` has none.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Take an encoder's sizes; its table is given with each call, so that it belongs to one module only."""
        super().__init__()
        tokens, width = token_table(encoder).shape
        self.transform = nn.Linear(encoder.width, width)
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(tokens))

    def forward(self, states: Tensor, table: Tensor) -> Tensor:
        """(tokens, d) and (vocabulary, e) → logits (tokens, vocabulary), float32."""
        logits: Tensor = self.norm(gelu(self.transform(states))) @ table.T
        return logits.float() + self.bias

    def loss(self, hidden: Tensor, predicted: Tensor, input_ids: Tensor, encoder: Encoder) -> Tensor:
        """L_MLM: cross-entropy of the true tokens, the mean over the predicted places; 0 where there is none.

        Args:
            hidden: the encoder's states of what `Masker.masked` made of the tokens (batch, length, d).
            predicted: where to predict (batch, length).
            input_ids: the true tokens (batch, length).
            encoder: whose token table is tied.
        """
        if not predicted.any():
            return hidden.sum() * 0
        return cross_entropy(self(hidden[predicted], token_table(encoder)), input_ids[predicted])


def token_table(encoder: Encoder) -> Tensor:
    """The encoder's token embeddings (vocabulary, e).

    Raises:
        TypeError: it has no table of them.
    """
    embeddings = encoder.model.get_input_embeddings()
    if not isinstance(embeddings, nn.Embedding):
        raise TypeError(f"an encoder with a token table is needed, got {type(embeddings).__name__}")
    return embeddings.weight
