"""Pre-training on pairs of sentences that mention the same two entities, found without looking at any label."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.emma.losses import info_nce
from models.job.batches import length_buckets
from models.job.dataset import Example, TrainingData
from models.job.inference import full_precision
from models.job.stage import Stage
from models.text import Instance

if TYPE_CHECKING:
    from models.baselines.encoding_strategies import EncodingStrategy

PAIR_EPOCHS = 1
"""Passes of pre-training over the pairs."""
HELD_OUT = 0.1
"""Share of the entities whose pairs are kept for the pre-training's own score."""
HELD_OUT_PAIRS = 256
"""Most pairs that this score is computed from."""


@dataclass(frozen=True, slots=True)
class EntityPair:
    """Two sentences about the same head and tail.

    Attributes:
        entities: texts of head and tail, case-folded.
        first: row of the one example.
        second: row of the other.
    """

    entities: tuple[str, str]
    first: int
    second: int


class PairStage(Stage):
    """Self-supervised pre-training: a sentence is to find the other one about the same entities in the batch (§3.1).

    Instances are compared with instances, in the very encoding that is then trained against descriptions.
    """

    def __init__(self, method: EncodingStrategy, data: TrainingData, pairs: Sequence[EntityPair]) -> None:
        """Tokenize the pairs' sentences and hold some pairs out; `pairs` are rows of `data.train`."""
        super().__init__(method.recipe, data, method.device)
        self.name, self.module, self.method = f"pairs-{method.strategy}", method.tower, method
        self.epochs, self.learning_rate = PAIR_EPOCHS, method.recipe.recall_learning_rate
        self.pairs, away = held_out(pairs, HELD_OUT, f"{method.recipe.seed}/{self.name}")
        self.held_out = away[:HELD_OUT_PAIRS]
        rows = sorted({row for pair in (*self.pairs, *self.held_out) for row in (pair.first, pair.second)})
        instances = [data.train[row].instance for row in rows]
        self.inputs = dict(zip(rows, method.prepared(method.inputs.instances(instances), instances), strict=True))

    def batches(self, epoch: int) -> list[list[int]]:
        """All pairs, in buckets by the longer sentence."""
        lengths = [max(len(self.inputs[pair.first].ids), len(self.inputs[pair.second].ids)) for pair in self.pairs]
        return length_buckets(lengths, self.recipe.recall_batch, f"{self.recipe.seed}/{self.name}/{epoch}")

    def loss(self, rows: Sequence[int], draw: random.Random) -> Tensor:
        """InfoNCE from the first sentences to the second and back, the mean of both.

        Other pairs of the batch are the negatives, unless they are about the same entities.
        """
        pairs = [self.pairs[row] for row in rows]
        vectors = self.method.instance_vectors(
            [self.inputs[x.first] for x in pairs] + [self.inputs[x.second] for x in pairs]
        )
        first, second = vectors[: len(pairs)], vectors[len(pairs) :]
        own = torch.arange(len(pairs), device=self.device)
        also = torch.from_numpy(_same_entities(pairs)).to(self.device)
        with full_precision(self.device):
            there = info_nce(first, second, own, also, self.recipe.temperature)
            back = info_nce(second, first, own, also, self.recipe.temperature)
            return (there + back) / 2

    def validate(self) -> dict[str, float]:
        """Percent of held-out first sentences whose nearest held-out second sentence is about the same entities."""
        rows = [self.data.train[x.first].instance for x in self.held_out]
        first = self.method.encode_instances(rows)
        second = self.method.encode_instances([self.data.train[x.second].instance for x in self.held_out])
        nearest = np.argmax(first @ second.T, axis=1)
        found = [pair.entities == self.held_out[i].entities for pair, i in zip(self.held_out, nearest, strict=True)]
        return {"score": 100 * float(np.mean(found))}


def entity_pairs(examples: Sequence[Example], seed: str) -> list[EntityPair]:
    """Chains through the sentences about the same head and tail.

    n sentences give n − 1 pairs, each sentence being in one or two of them, so that entities with hundreds of
    sentences do not drown the others. Sentences that differ in case or white space alone are the same one.

    Args:
        examples: to pair up, unrelated ones too.
        seed: of the chains' order.
    """
    groups: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for row, example in enumerate(examples):
        groups[entities(example.instance)].setdefault(_folded(example.instance.sentence), row)
    draw = random.Random(seed)
    pairs: list[EntityPair] = []
    for names, sentences in groups.items():
        rows = list(sentences.values())
        draw.shuffle(rows)
        pairs.extend(EntityPair(names, first, second) for first, second in pairwise(rows))
    return pairs


def held_out(pairs: Sequence[EntityPair], share: float, seed: str) -> tuple[list[EntityPair], list[EntityPair]]:
    """The pairs of most entities, and those of a random share of the entities: at least of one."""
    names = list(dict.fromkeys(pair.entities for pair in pairs))
    random.Random(seed).shuffle(names)
    away = set(names[: max(1, round(share * len(names)))])
    return [x for x in pairs if x.entities not in away], [x for x in pairs if x.entities in away]


def entities(instance: Instance) -> tuple[str, str]:
    """Texts of head and tail, case-folded."""
    head, tail = (_folded(instance.sentence[span.start : span.end]) for span in (instance.head, instance.tail))
    return head, tail


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _same_entities(pairs: Sequence[EntityPair]) -> npt.NDArray[np.bool_]:
    return np.array([[i != j and x.entities == y.entities for j, y in enumerate(pairs)] for i, x in enumerate(pairs)])
