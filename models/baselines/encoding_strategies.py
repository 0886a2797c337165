"""Ways to read an instance off an encoder's states: entity embeddings, a relation embedding at a mask, or both.

Mtumbuka & Schockaert, Entity or Relation Embeddings? An Analysis of Encoding Strategies for Relation Extraction
(arXiv 2312.11062). The paper classifies; here each encoding is the instance tower of two, trained by InfoNCE over
descriptions as EMMA's recall is. It pre-trains on coreference chains of a large corpus, with masked language modelling
besides; here it is pairs of training sentences that name the same two entities, and InfoNCE alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.baselines.entity_pairs import EntityPair, PairStage, entity_pairs
from models.baselines.mask_prompt import MaskPrompt, mask_token
from models.baselines.method import DualTower
from models.baselines.related import RelatedStage
from models.chunks import Vectors, in_chunks
from models.emma.encoder import Encoder, EncoderError, load_encoder
from models.emma.losses import info_nce
from models.emma.recall import WeightPooling
from models.job.dataset import TrainingData
from models.job.inference import ROWS_AT_ONCE, full_precision, numbers, tensors
from models.job.recipe import Recipe
from models.job.stage import Stage
from models.relation import Relation
from models.text import DescriptionInput, Instance, InstanceInput, description_text

Strategy: TypeAlias = Literal["ht", "mask", "ht-mask"]

PAIR_BATCHES = 2
"""Fewest batches of pairs that pre-training is worth starting for."""

_STATES: dict[Strategy, int] = {"ht": 2, "mask": 1, "ht-mask": 3}


class EncodingStrategy(DualTower):
    """One encoder whose states at some tokens are the instance's vector (§3 of the paper).

    - `ht`, [H,T]: the states of the two start markers, 2·d
    - `mask`, [MASK]: the state of the mask in "The relation between HEAD and TAIL is [MASK] .", d
    - `ht-mask`, [H,T,Mask]: the three of them, read with the prompt, 3·d

    A description meets each state with an attention-weighted pool of its own, as EMMA's virtual entities do, so that
    no strategy is favoured by the side that the paper does not have.
    """

    def __init__(self, recipe: Recipe, strategy: Strategy, pretrain: bool = False) -> None:
        """Load the encoder.

        Args:
            recipe: shared by all methods.
            strategy: which states.
            pretrain: train on pairs of sentences about the same entities first.

        Raises:
            models.emma.encoder.EncoderError: it cannot be loaded, is asked for a mask and has none, or reads fewer
                tokens than the recipe's texts have.
        """
        super().__init__(recipe)
        self.strategy, self.pretrain = strategy, pretrain
        encoder = load_encoder(recipe.encoder, self.vocabulary_size, recipe.attention_dropout)
        longest = max(recipe.sentence_tokens, recipe.description_tokens)
        if longest > encoder.positions:
            raise EncoderError(
                f"{recipe.encoder} reads at most {encoder.positions} tokens, not {longest}: lower the lengths"
            )
        self.prompt: MaskPrompt | None = None
        if strategy != "ht":
            mask_id = mask_token(recipe.encoder, self.vocabulary)
            self.prompt = MaskPrompt(self.vocabulary, mask_id, self.inputs, encoder.positions)
        self.tower = StateTower(encoder, _STATES[strategy]).to(self.device)

    def train(self, data: TrainingData, folder: Path, progress: Progress) -> list[dict[str, Any]]:
        """Train the stages; if pre-training is left out, that is said and is the first row."""
        reason = self.left_out(data)
        if reason is None:
            return super().train(data, folder, progress)
        progress.console.print(f"no pre-training of {self.strategy}: {reason}", soft_wrap=True)
        return [
            {"stage": f"pairs-{self.strategy}", "epoch": 0, "left_out": reason},
            *super().train(data, folder, progress),
        ]

    def left_out(self, data: TrainingData) -> str | None:
        """Why there is no pre-training although it is asked for; None where there is, or none is asked for."""
        if not self.pretrain:
            return None
        found, needed = len(self._pairs(data)), PAIR_BATCHES * self.recipe.recall_batch
        return None if found >= needed else f"{found} pairs of sentences about the same entities, {needed} are needed"

    def stages(self, data: TrainingData) -> Iterator[Stage]:
        """Pre-training, if asked for and there are enough pairs, and InfoNCE over descriptions."""
        if self.pretrain and self.left_out(data) is None:
            yield PairStage(self, data, self._pairs(data))
        yield DescriptionStage(self, data)

    def prepared(self, marked: Sequence[InstanceInput], instances: Sequence[Instance]) -> list[InstanceInput]:
        """Marked sentences, with the prompt where the strategy has one.

        Raises:
            models.text.InputError: sentence and prompt do not fit the encoder even without context.
        """
        if self.prompt is None:
            return list(marked)
        return [self.prompt.appended(x, instance) for x, instance in zip(marked, instances, strict=True)]

    def instance_vectors(self, inputs: Sequence[InstanceInput]) -> Tensor:
        """Unit vectors (instances, dimension) of one batch, float32."""
        batch = tensors(self.inputs.instance_arrays(inputs), self.device)
        places = [batch["marker_positions"]] if self.strategy != "mask" else []
        if self.prompt is not None:
            masks = [[self.prompt.place(x)] for x in inputs]
            places.append(torch.tensor(masks, device=self.device))
        return self.tower.instances(batch["input_ids"], batch["attention_mask"], torch.cat(places, dim=1))

    def description_vectors(self, inputs: Sequence[DescriptionInput]) -> Tensor:
        """Unit vectors (descriptions, dimension) of one batch, float32."""
        batch = tensors(self.inputs.description_arrays(inputs), self.device)
        return self.tower.descriptions(batch["input_ids"], batch["attention_mask"], batch["content_mask"])

    def encode_instances(self, instances: Sequence[Instance]) -> Vectors:
        """Unit vectors (instances, dimension)."""

        def call(rows: list[InstanceInput]) -> Vectors:
            return numbers(self.tower, self.recipe, self.device, lambda: self.instance_vectors(rows))

        inputs = self.prepared(self.inputs.instances(instances), instances)
        return in_chunks(inputs, lambda x: len(x.ids), ROWS_AT_ONCE, call)

    def encode_descriptions(self, relations: Sequence[Relation]) -> Vectors:
        """Unit vectors (relations, dimension) of the principal descriptions."""

        def call(rows: list[DescriptionInput]) -> Vectors:
            return numbers(self.tower, self.recipe, self.device, lambda: self.description_vectors(rows))

        inputs = self.inputs.descriptions([description_text(x.name, x.description) for x in relations])
        return in_chunks(inputs, lambda x: len(x.ids), ROWS_AT_ONCE, call)

    def _pairs(self, data: TrainingData) -> list[EntityPair]:
        return entity_pairs(data.train, f"{self.recipe.seed}/pairs")


class Hybrid(DualTower):
    """[H,T]+Mask: two encoders, each trained by itself, whose vectors are put side by side (§3.3 of the paper).

    Both unit vectors are divided by √2, so that a dot product is the mean of the two cosines.
    """

    def __init__(self, recipe: Recipe, pretrain: bool = False) -> None:
        """Load the encoder twice; `pretrain` is as in `EncodingStrategy`."""
        super().__init__(recipe)
        self.parts = [EncodingStrategy(recipe, "ht", pretrain), EncodingStrategy(recipe, "mask", pretrain)]

    def train(self, data: TrainingData, folder: Path, progress: Progress) -> list[dict[str, Any]]:
        """Train one part and then the other."""
        return [row for part in self.parts for row in part.train(data, folder, progress)]

    def stages(self, data: TrainingData) -> Iterator[Stage]:
        """Those of the two parts."""
        for part in self.parts:
            yield from part.stages(data)

    def encode_instances(self, instances: Sequence[Instance]) -> Vectors:
        """Unit vectors (instances, 3·d): 2·d of the entities and d of the mask."""
        return _side_by_side([part.encode_instances(instances) for part in self.parts])

    def encode_descriptions(self, relations: Sequence[Relation]) -> Vectors:
        """Unit vectors (relations, 3·d)."""
        return _side_by_side([part.encode_descriptions(relations) for part in self.parts])


class StateTower(nn.Module):
    """One encoder for both sides: states at given tokens, and as many pools over a description's states."""

    def __init__(self, encoder: Encoder, states: int) -> None:
        """Add the pools to an encoder."""
        super().__init__()
        self.encoder = encoder
        self.pools = nn.ModuleList(WeightPooling(encoder.width) for _ in range(states))

    def instances(self, input_ids: Tensor, attention_mask: Tensor, places: Tensor) -> Tensor:
        """Two of (batch, length) and (batch, states) → unit vectors (batch, states·d), float32."""
        hidden = self.encoder(input_ids, attention_mask)
        rows = torch.arange(len(hidden), device=hidden.device).unsqueeze(1)
        return normalize(hidden[rows, places].flatten(1).float(), dim=-1)

    def descriptions(self, input_ids: Tensor, attention_mask: Tensor, content_mask: Tensor) -> Tensor:
        """Three of (batch, length) → unit vectors (batch, states·d), float32."""
        hidden = self.encoder(input_ids, attention_mask)
        return normalize(torch.cat([pool(hidden, content_mask) for pool in self.pools], dim=-1).float(), dim=-1)


class DescriptionStage(RelatedStage):
    """InfoNCE over the descriptions of a batch's distinct relations, as EMMA's recall is trained."""

    method: EncodingStrategy

    def __init__(self, method: EncodingStrategy, data: TrainingData) -> None:
        """Tokenize the related pairs, with their prompts."""
        super().__init__(f"descriptions-{method.strategy}", method.tower, method, data)
        self.inputs = method.prepared(self.inputs, [x.instance for x in self.examples])

    def loss(self, rows: Sequence[int], draw: random.Random) -> Tensor:
        """EMMA's Eq. 12; another relation that holds too does not count against an instance."""
        golds = [str(self.examples[row].relation) for row in rows]
        ids = sorted(set(golds))
        texts = [description_text(self.data.relations[name].name, self.wording(name, draw)) for name in ids]
        also = torch.tensor(
            [[name != gold and name in self.holds(row) for name in ids] for row, gold in zip(rows, golds, strict=True)]
        )
        instances = self.method.instance_vectors([self.inputs[row] for row in rows])
        descriptions = self.method.description_vectors(self.method.inputs.descriptions(texts))
        gold = torch.tensor([ids.index(name) for name in golds], device=self.device)
        with full_precision(self.device):
            return info_nce(instances, descriptions, gold, also.to(self.device), self.recipe.temperature)


def _side_by_side(parts: Sequence[Vectors]) -> Vectors:
    return np.concatenate(parts, axis=1, dtype=np.float32) / np.float32(len(parts) ** 0.5)
