"""Sentence vectors by the pre-trained encoder as it came, which stay the same while a method trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.nn.functional import normalize

from models.baselines.method import StagedMethod
from models.chunks import Vectors, in_chunks
from models.emma.encoder import load_encoder
from models.job.inference import ROWS_AT_ONCE, numbers, tensors
from models.text import DescriptionInput


class FrozenEncoder:
    """The recipe's encoder, untrained, as an encoder of texts.

    A text's vector is the mean of its last hidden states over all tokens, [CLS] and [SEP] included and padding
    not, scaled to unit norm. That is how all-MiniLM-L6-v2 was trained to make sentence vectors, and, but for the
    norm, how the Sentence-BERT models were that RE-Matching and ZS-BERT describe relations with.
    """

    def __init__(self, method: StagedMethod) -> None:
        """Load a copy of the encoder of its own."""
        self.method = method
        encoder = load_encoder(method.recipe.encoder, method.vocabulary_size, attention_dropout=0.0)
        self.encoder = encoder.requires_grad_(False).eval().to(method.device)
        self._known: dict[str, Vectors] = {}

    @property
    def width(self) -> int:
        """Length d of a vector."""
        return self.encoder.width

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors (texts, d); each distinct text is read once, then remembered.

        Raises:
            models.text.InputError: a text has no readable character.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            inputs = self.method.inputs.descriptions(new)
            self._known.update(zip(new, in_chunks(inputs, lambda x: len(x.ids), ROWS_AT_ONCE, self._read), strict=True))
        return np.stack([self._known[text] for text in texts])

    def _read(self, inputs: list[DescriptionInput]) -> Vectors:
        batch = tensors(self.method.inputs.description_arrays(inputs), self.method.device)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        return numbers(
            self.encoder,
            self.method.recipe,
            self.method.device,
            lambda: sentence_vectors(self.encoder(ids, mask), mask),
        )


def sentence_vectors(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean token state, scaled to unit norm: (batch, length, d), (batch, length) → (batch, d), float32."""
    weights = attention_mask.unsqueeze(-1).float()
    return normalize((weights * hidden.float()).sum(dim=1) / weights.sum(dim=1), dim=-1)
