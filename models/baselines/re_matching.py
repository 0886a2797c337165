"""RE-Matching: entities matched with their types, and the context with what it says beside the relation taken out.

Zhao et al., RE-Matching: A Fine-Grained Semantic Matching Method for Zero-Shot Relation Extraction (ACL 2023). Its
sections are cited by their titles. The paper trains BERT-base with a learning rate of 2e-6 and batches of 128; here
encoder, epochs, batch and learning rate are those that the recipe gives all methods. Where the published code
differs from the paper, this follows the paper: a mention's maximum is over its own tokens, while the code's is also
over a zero. The wrong relations are drawn from all seen ones, while the code draws from those of the batch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from models.baselines.adversary import Adversary
from models.baselines.frozen import FrozenEncoder
from models.baselines.margin import margin_loss
from models.baselines.mentions import marked_tensors, max_pooled
from models.baselines.method import DualTower
from models.baselines.related import RelatedStage
from models.chunks import Vectors, in_chunks
from models.emma.encoder import Encoder, load_encoder
from models.emma.recall import WeightPooling, marker_states
from models.job.dataset import TrainingData
from models.job.inference import ROWS_AT_ONCE, full_precision, numbers
from models.job.recipe import Recipe
from models.relation import Relation
from models.text import Instance, InstanceInput, description_text

TypesForm = Literal["keyword", "synonyms", "template"]

ALPHA = 0.33
"""α, the weight of each entity's cosine in the score; the context's is 1 − 2α."""
MARGIN = 0.06
NEGATIVES = 7
"""Wrong relations drawn for each instance, the hardest of which the margin is kept from."""

_WEIGHTS = (ALPHA**0.5, ALPHA**0.5, (1 - 2 * ALPHA) ** 0.5)


class ReMatching(DualTower):
    """RE-Matching. Both vectors are head, tail and context, so weighted that their dot product is the score.

    score = α · (cos(x^h, d^h) + cos(x^t, d^t)) + (1 − 2α) · cos(x^p, d) ("Fine-Grained Matching and Training").
    """

    def __init__(self, recipe: Recipe, form: TypesForm = "template") -> None:
        """Load the trained encoder and the frozen one.

        Args:
            recipe: shared by all methods.
            form: how the types of head and tail become a text, see `types_text`.
        """
        super().__init__(recipe)
        self.form = form
        encoder = load_encoder(recipe.encoder, self.vocabulary_size, recipe.attention_dropout)
        self.tower = ReMatchingTower(encoder).to(self.device)
        self.frozen = FrozenEncoder(self)

    def stages(self, data: TrainingData) -> Iterator[ReMatchingStage]:
        """One: the margin and the adversary."""
        yield ReMatchingStage(self, data)

    def encode_instances(self, instances: Sequence[Instance]) -> Vectors:
        """Unit vectors (instances, 3·d) of head, tail and context."""

        def call(rows: list[InstanceInput]) -> Vectors:
            batch = marked_tensors(self.inputs, rows, self.device)
            return numbers(self.tower, self.recipe, self.device, lambda: self.tower(**batch)[0])

        return in_chunks(self.inputs.instances(instances), lambda x: len(x.ids), ROWS_AT_ONCE, call)

    def encode_descriptions(self, relations: Sequence[Relation]) -> Vectors:
        """Unit vectors (relations, 3·d) of head types, tail types and description, by the frozen encoder."""
        return self.described([(relation, relation.description) for relation in relations])

    def described(self, wordings: Sequence[tuple[Relation, str]]) -> Vectors:
        """The same for relations in given wordings."""
        texts = [description_text(relation.name, wording) for relation, wording in wordings]
        heads, tails = (
            [types_text(types, self.form) or text for types, text in zip(column, texts, strict=True)]
            for column in ([x.head_types for x, _ in wordings], [x.tail_types for x, _ in wordings])
        )
        parts = [
            weight * self.frozen.vectors(part) for weight, part in zip(_WEIGHTS, (heads, tails, texts), strict=True)
        ]
        return np.concatenate(parts, axis=1, dtype=np.float32)


class ReMatchingTower(nn.Module):
    """The instance side ("Input Instance Encoder", "Contextual Relation Feature Distillation")."""

    def __init__(self, encoder: Encoder) -> None:
        """Add the context's layer and the pool of what is irrelevant, which starts as the plain mean."""
        super().__init__()
        self.encoder = encoder
        self.context = nn.Linear(2 * encoder.width, encoder.width)
        self.irrelevant = WeightPooling(encoder.width)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, marker_positions: Tensor, mention_masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Head ⊕ tail ⊕ context, weighted, and the irrelevant feature x*.

        Two of (batch, length), (batch, 2) and (batch, 2, length) → (batch, 3·d) of unit norm and (batch, d), float32.
        """
        states = self.encoder(input_ids, attention_mask)
        with full_precision(states.device):
            hidden = states.float()
            entities = max_pooled(hidden, mention_masks).tanh()
            markers = marker_states(hidden, marker_positions)[:, self.encoder.width :]
            # Detached, so that the adversary changes what is taken for irrelevant, and not the encoder.
            irrelevant = self.irrelevant(hidden.detach(), attention_mask)
            context = relevant_part(self.context(markers), irrelevant).tanh()
            parts = zip(_WEIGHTS, (entities[:, 0], entities[:, 1], context), strict=True)
            return torch.cat([weight * normalize(part, dim=-1) for weight, part in parts], dim=-1), irrelevant


class ReMatchingStage(RelatedStage):
    """The margin against the hardest of a few random seen relations plus the adversary's cross-entropy, 1 : 1."""

    method: ReMatching

    def __init__(self, method: ReMatching, data: TrainingData) -> None:
        """Add an adversary for the seen relations to the method's tower."""
        torch.manual_seed(method.recipe.seed)
        self.adversary = Adversary(method.frozen.width, len(data.train_relations)).to(method.device)
        module = nn.ModuleDict({"tower": method.tower, "adversary": self.adversary})
        super().__init__("re-matching", module, method, data)
        self.seen = [data.relations[name] for name in data.train_relations]
        # All at once, so that a resumed run's vectors are the same to the last bit.
        method.described([(relation, wording) for relation in self.seen for wording in relation.wordings()])

    def loss(self, rows: Sequence[int], draw: random.Random) -> Tensor:
        """L = mean max(0, γ − s_gold + max s_wrong) + CE(adversary(x*)) ("Fine-Grained Matching and Training")."""
        described = self.method.described([(relation, self.wording(relation.id, draw)) for relation in self.seen])
        wrong = torch.zeros(len(rows), len(self.seen), dtype=torch.bool)
        for i, row in enumerate(rows):
            for name in self.negatives(row, draw):
                wrong[i, self.column[name]] = True
        instances, irrelevant = self.method.tower(**self.batch(rows))
        gold = self.gold(rows)
        with full_precision(self.device):
            scores = instances @ torch.from_numpy(described).to(self.device).T
        matching = margin_loss(scores, gold, wrong.to(self.device), MARGIN)
        return matching + cross_entropy(self.adversary(irrelevant), gold)

    def negatives(self, row: int, draw: random.Random) -> list[str]:
        """Seen relations drawn for an instance, none of which is true of it."""
        holds = self.holds(row)
        others = [name for name in self.data.train_relations if name not in holds]
        return draw.sample(others, min(NEGATIVES, len(others)))


def types_text(types: Sequence[str], form: TypesForm) -> str:
    """The text that stands for what a head or a tail is ("Relation Description Encoder").

    Empty where no type is known; such a relation's own description then stands for both of its ends.

    >>> types_text(("organisation", "company"), "keyword")
    'organisation'
    >>> types_text(("organisation", "company"), "synonyms")
    'organisation, company'
    >>> types_text(("organisation", "company"), "template")
    'the entity types including organisation and company'
    """
    if not types or form == "keyword":
        return "".join(types[:1])
    if form == "synonyms":
        return ", ".join(types)
    return f"the entity types including {' and '.join(types)}"


def relevant_part(context: Tensor, irrelevant: Tensor) -> Tensor:
    """x^p = proj(x, x − proj(x, x*)) ("Relation Feature Distillation Layer"): two of (batch, d) → (batch, d)."""
    return projected(context, context - projected(context, irrelevant))


def projected(vectors: Tensor, onto: Tensor) -> Tensor:
    """proj(x, y) = (x · y / y · y) y, and 0 where y is: two of (batch, d) → (batch, d)."""
    along = (vectors * onto).sum(dim=-1, keepdim=True)
    return along / (onto.square().sum(dim=-1, keepdim=True) + 1e-12) * onto
