"""FineCL's learning order: when a classifier first gets an instance right, which tells how far to trust its label."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models.baselines.mentions import summed
from models.baselines.method import StagedMethod
from models.baselines.related import RelatedStage
from models.emma.encoder import Encoder, load_encoder
from models.job.dataset import TrainingData
from models.job.inference import full_precision

ORDER_EPOCHS = 3
"""Passes by which the order is told. The paper takes 15; after 3, its Table 6 has 76% of the instances learnt."""
ALPHA = math.e
"""α of Eq. 5. The published code weighs by e to the power of Eq. 5's exponent."""


class OrderClassifier(nn.Module):
    """A classifier of the seen relations over r = m_head ⊕ m_tail, and when it learnt what.

    Attributes:
        order: k of each instance (instances,): the epoch, from 0, of the A_k that it is in (Eq. 2 and 3), and
            `never` where it was not learnt. Part of the state, so that a resumed run knows it.
    """

    order: Tensor

    def __init__(self, encoder: Encoder, relations: int, instances: int, never: int) -> None:
        """Add a linear layer to an encoder; nothing is learnt yet."""
        super().__init__()
        self.encoder = encoder
        self.output = nn.Linear(2 * encoder.width, relations)
        self.register_buffer("order", torch.full((instances,), never))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, mention_masks: Tensor) -> Tensor:
        """Two of (batch, length) and (batch, 2, length) → logits (batch, relations), float32."""
        hidden = self.encoder(input_ids, attention_mask)
        logits: Tensor = self.output(mean_pooled(hidden, mention_masks).flatten(1))
        return logits.float()


class LearningOrderStage(RelatedStage):
    """Cross-entropy over the seen relations (Eq. 1), with a record of what was got right in which epoch.

    The order is batch-based, as the paper's: an instance counts as learnt in the first epoch in which it is predicted
    right when its batch is trained on, before that step's update.
    """

    def __init__(self, method: StagedMethod, data: TrainingData) -> None:
        """Load an encoder of its own from the recipe's; what is kept of this stage is the order alone."""
        torch.manual_seed(method.recipe.seed)
        recipe, rows = method.recipe, sum(x.relation is not None for x in data.train)
        encoder = load_encoder(recipe.encoder, method.vocabulary_size, recipe.attention_dropout)
        self.classifier = OrderClassifier(encoder, len(data.train_relations), rows, ORDER_EPOCHS).to(method.device)
        super().__init__("learning-order", self.classifier, method, data)
        self.epochs, self.epoch = ORDER_EPOCHS, 0

    def batches(self, epoch: int) -> list[list[int]]:
        """All related pairs in length buckets; what is learnt from now on is learnt in this epoch."""
        self.epoch = epoch
        return super().batches(epoch)

    def loss(self, rows: Sequence[int], draw: random.Random) -> Tensor:
        """Eq. 1, without the other relations that hold for an instance; writes down what was predicted right."""
        batch = self.batch(rows)
        del batch["marker_positions"]
        gold = self.gold(rows)
        also = torch.zeros(len(rows), len(self.column), dtype=torch.bool)
        for i, row in enumerate(rows):
            for name in self.examples[row].also & self.column.keys():
                also[i, self.column[name]] = True
        logits = self.classifier(**batch).masked_fill(also.to(self.device), -torch.inf)
        with torch.no_grad():
            places = torch.tensor(rows, device=self.device)[logits.argmax(dim=1) == gold]
            self.classifier.order[places] = self.classifier.order[places].clamp(max=self.epoch)
        return cross_entropy(logits, gold)

    def validate(self) -> dict[str, float]:
        """Percent of the instances learnt so far.

        It rises whenever the order changes and never falls, so the best epoch's state always has the whole order.
        """
        return {"score": 100 * (self.classifier.order < ORDER_EPOCHS).float().mean().item()}


def order_weights(order: Tensor, alpha: float = ALPHA) -> Tensor:
    """f(k) = α^((k_max − k) / (k_max − k_min)) (Eq. 5), float32: from α for what was learnt first to 1.

    The exponent is 1 at k_min, so with α > 1 the early learnt count more, which is what the paper says of it. Where
    all have the same k, the exponent would be 0/0; nothing then speaks for any instance, and all weigh 1.
    """
    latest, earliest = order.max(), order.min()
    span = (latest - earliest).clamp(min=1).float()
    weights: Tensor = alpha ** ((latest - order).float() / span)
    return weights


def mean_pooled(hidden: Tensor, masks: Tensor) -> Tensor:
    """Eq. 4: the mean of a mention's token states: (batch, length, d), (batch, n, length) → (batch, n, d), float32."""
    with full_precision(hidden.device):
        return summed(hidden.float(), masks) / masks.sum(dim=-1, keepdim=True)
