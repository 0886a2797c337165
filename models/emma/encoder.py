"""The pre-trained encoder that both models start from, and its tokenizer with the entity markers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from models.text import MARKERS

UNSEEN = -1e4
"""Added to the attention logit of a token that is not to be seen; float16 holds it too."""


class EncoderError(Exception):
    """An encoder that cannot be loaded or used; the message names it and says what is needed."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer that knows the markers, and its names of the three special tokens that input is built with."""

    tokenizer: Tokenizer
    special: dict[str, str]


def load_vocabulary(source: str) -> Vocabulary:
    """The tokenizer of a checkpoint on disk or on the Hub, with `models.text.MARKERS` added.

    Raises:
        EncoderError: it cannot be loaded, has no fast tokenizer or lacks a special token.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True)
    except (OSError, ValueError) as error:
        raise EncoderError(f"no tokenizer at {source!r}, give a directory or a Hub name: {error}") from error
    special = {"cls": tokenizer.cls_token, "sep": tokenizer.sep_token, "pad": tokenizer.pad_token}
    missing = [name for name, token in special.items() if token is None]
    if missing or not tokenizer.is_fast:
        raise EncoderError(
            f"the tokenizer of {source!r} is not of the BERT family: it lacks {', '.join(missing) or 'a fast version'}"
        )
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS)})
    # A copy, so that settings made here do not reach back into transformers' object.
    return Vocabulary(Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()), special)


def load_encoder(source: str, vocabulary_size: int, attention_dropout: float) -> Encoder:
    """A pre-trained encoder from disk or the Hub, its token table grown to `vocabulary_size`.

    Raises:
        EncoderError: it cannot be loaded.
    """
    try:
        model = AutoModel.from_pretrained(
            source,
            attn_implementation="eager",
            dtype=torch.float32,
            attention_probs_dropout_prob=attention_dropout,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise EncoderError(f"no encoder at {source!r}, give a directory or a Hub name: {error}") from error
    return Encoder(_grown(model, vocabulary_size))


def blank_encoder(config: dict[str, Any]) -> Encoder:
    """An untrained encoder of the architecture that `Encoder.config` described."""
    settings = dict(config)
    built = AutoConfig.for_model(settings.pop("model_type"), **settings)
    model: PreTrainedModel = AutoModel.from_config(built, attn_implementation="eager")  # type: ignore[no-untyped-call]
    return Encoder(model)


class Encoder(nn.Module):
    """A BERT-family encoder reduced to what EMMA needs of it: token ids in, last hidden states out."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Wrap a Hugging Face model; its pooling head, if any, is dropped."""
        super().__init__()
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # type: ignore[assignment]
        self.model = model
        self.takes_types = getattr(model.config, "type_vocab_size", 0) > 1

    @property
    def width(self) -> int:
        """Hidden size d."""
        return int(self.model.config.hidden_size)

    @property
    def positions(self) -> int:
        """Longest input in tokens."""
        return int(getattr(self.model.config, "max_position_embeddings", 512))

    @property
    def config(self) -> dict[str, Any]:
        """What `blank_encoder` needs to build the same architecture, JSON-ready."""
        settings: dict[str, Any] = json.loads(self.model.config.to_json_string(use_diff=True))
        for private in ("_name_or_path", "architectures", "transformers_version", "dtype"):
            settings.pop(private, None)
        return settings | {"model_type": self.model.config.model_type}

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer layers, lowest first.

        Raises:
            EncoderError: the architecture keeps them elsewhere than BERT and its like do.
        """
        layers = getattr(getattr(self.model, "encoder", None), "layer", None)
        if not isinstance(layers, nn.ModuleList):
            raise EncoderError(
                f"an encoder of type {self.model.config.model_type!r} cannot be cut between its layers: "
                "take one whose layers are BERT's, such as BERT, RoBERTa or MiniLM, or train with --reading pairs"
            )
        return layers

    def check_layers(self) -> None:
        """Make sure that `lower` and `through` compute what the encoder does.

        Raises:
            EncoderError: they do not, for its layers take more than states or are not all that there is.
        """
        ids = torch.arange(1, 5, device=self.model.device)[None]
        mask = torch.ones_like(ids)
        was_training = self.training
        self.eval()
        try:
            with torch.no_grad():
                same = torch.allclose(self.lower(ids, mask, len(self.layers)), self(ids, mask), atol=1e-4)
        except (AttributeError, TypeError, ValueError, RuntimeError):
            same = False
        finally:
            self.train(was_training)
        if not same:
            raise EncoderError(
                f"an encoder of type {self.model.config.model_type!r} cannot be cut between its layers: take one whose "
                "layers are BERT's, such as BERT, RoBERTa or MiniLM, or train with --reading pairs"
            )

    def lower(self, input_ids: Tensor, attention_mask: Tensor, count: int) -> Tensor:
        """States after the first `count` layers: (batch, length) → (batch, length, d)."""
        arguments = {"input_ids": input_ids}
        if self.takes_types:
            arguments["token_type_ids"] = torch.zeros_like(input_ids)
        layers, embeddings = self.layers, cast(nn.Module, self.model.embeddings)
        return through(layers[:count], embeddings(**arguments), attention_mask[:, None, None, :] > 0)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Last hidden states (Eq. 1 and 4): (batch, length) → (batch, length, d)."""
        arguments = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.takes_types:
            arguments["token_type_ids"] = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        hidden: Tensor = self.model(**arguments).last_hidden_state
        return hidden


def through(layers: Iterable[nn.Module], hidden: Tensor, sees: Tensor) -> Tensor:
    """States after some layers.

    Args:
        layers: of a BERT-family encoder.
        hidden: states before them (batch, length, d).
        sees: which token (third axis) may attend to which (last axis): (batch, 1, length or 1, length), boolean.
    """
    hindrance = torch.zeros_like(sees, dtype=hidden.dtype).masked_fill(~sees, UNSEEN)
    for layer in layers:
        hidden = layer(hidden, hindrance)
    return hidden


def save_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Write `tokenizer.json`, free of truncation and padding settings."""
    vocabulary.tokenizer.no_truncation()
    vocabulary.tokenizer.no_padding()
    vocabulary.tokenizer.save(str(path))


def _grown(model: PreTrainedModel, vocabulary_size: int) -> PreTrainedModel:
    table = model.get_input_embeddings()
    if isinstance(table, nn.Embedding) and table.num_embeddings < vocabulary_size:
        model.resize_token_embeddings(vocabulary_size, mean_resizing=False)
    return model
