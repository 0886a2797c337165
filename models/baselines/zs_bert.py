"""ZS-BERT: a sentence is mapped to the vector of its relation's description, and the nearest description wins.

Chen & Li, ZS-BERT: Towards Zero-Shot Relation Extraction with Attribute Representation Learning (NAACL 2021). The
paper trains BERT-large in batches of 4 for 10 epochs; here encoder, epochs, batch and learning rate are those that
the recipe gives all methods.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models.baselines.frozen import FrozenEncoder
from models.baselines.margin import margin_loss
from models.baselines.mentions import marked_tensors, summed
from models.baselines.method import DualTower
from models.baselines.related import RelatedStage
from models.chunks import Vectors, in_chunks
from models.emma.encoder import Encoder, load_encoder
from models.job.dataset import TrainingData
from models.job.inference import ROWS_AT_ONCE, full_precision, numbers
from models.job.recipe import Recipe
from models.relation import Relation
from models.text import Instance, InstanceInput, description_text

ALPHA = 0.4
"""α, the weight of the cross-entropy; the margin loss has 1 − α."""
MARGIN = 7.5
"""γ, in units of the inner product."""
DROPOUT = 0.1


class ZsBert(DualTower):
    """ZS-BERT. The score is the inner product, which is the one that the paper trains with and chooses by.

    A description's vector is the frozen encoder's at the norm √d, so that its components are of order 1, as those of
    the tanh that has to meet it are. At unit norm, γ could be kept only by vectors with every component far from 0
    and of the right sign. The paper takes the vectors at whatever norm Sentence-BERT gives them; with all of one
    norm, the largest inner product is the largest cosine, and no description is preferred for its length.
    """

    def __init__(self, recipe: Recipe) -> None:
        """Load the trained encoder and the frozen one."""
        super().__init__(recipe)
        encoder = load_encoder(recipe.encoder, self.vocabulary_size, recipe.attention_dropout)
        self.frozen = FrozenEncoder(self)
        self.tower = ZsBertTower(encoder).to(self.device)

    def stages(self, data: TrainingData) -> Iterator[ZsBertStage]:
        """One: classification of the seen relations, and the margin."""
        yield ZsBertStage(self, data)

    def encode_instances(self, instances: Sequence[Instance]) -> Vectors:
        """Vectors (instances, d), each component between −1 and 1."""

        def call(rows: list[InstanceInput]) -> Vectors:
            batch = marked_tensors(self.inputs, rows, self.device)
            return numbers(self.tower, self.recipe, self.device, lambda: self.tower(**batch))

        return in_chunks(self.inputs.instances(instances), lambda x: len(x.ids), ROWS_AT_ONCE, call)

    def encode_descriptions(self, relations: Sequence[Relation]) -> Vectors:
        """Vectors (relations, d) of norm √d, by the frozen encoder."""
        return self.described([(relation, relation.description) for relation in relations])

    def described(self, wordings: Sequence[tuple[Relation, str]]) -> Vectors:
        """The same for relations in given wordings."""
        vectors = self.frozen.vectors([description_text(relation.name, wording) for relation, wording in wordings])
        scaled: Vectors = vectors * self.frozen.width**0.5
        return scaled


class ZsBertTower(nn.Module):
    """The instance side: [CLS] and the two mentions, mapped into the descriptions' space.

    The layer over [CLS] is learnt from nothing: the one that BERT was pre-trained with is not part of an `Encoder`.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Add two layers to an encoder."""
        super().__init__()
        self.encoder = encoder
        self.pool = nn.Linear(encoder.width, encoder.width)
        self.attributes = nn.Linear(3 * encoder.width, encoder.width)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, marker_positions: Tensor, mention_masks: Tensor
    ) -> Tensor:
        """â = tanh(W tanh(pooled [CLS] ⊕ Σ head ⊕ Σ tail)), sums over the mentions' token states.

        Two of (batch, length), (batch, 2), which is not read, and (batch, 2, length) → (batch, d), float32.
        """
        states = self.encoder(input_ids, attention_mask)
        with full_precision(states.device):
            hidden = states.float()
            pooled = self.dropout(self.pool(hidden[:, 0]).tanh())
            both = torch.cat((pooled, summed(hidden, mention_masks).flatten(1)), dim=-1)
            vectors: Tensor = self.dropout(self.attributes(both.tanh()).tanh())
            return vectors


class ZsBertStage(RelatedStage):
    """α · cross-entropy over the seen relations + (1 − α) · margin against the nearest other one in the batch."""

    method: ZsBert

    def __init__(self, method: ZsBert, data: TrainingData) -> None:
        """Add a classifier of the seen relations to the method's tower."""
        torch.manual_seed(method.recipe.seed)
        self.classifier = nn.Linear(method.frozen.width, len(data.train_relations)).to(method.device)
        module = nn.ModuleDict({"tower": method.tower, "classifier": self.classifier})
        super().__init__("zs-bert", module, method, data)
        seen = [data.relations[name] for name in data.train_relations]
        # All at once, so that a resumed run's vectors are the same to the last bit.
        method.described([(relation, wording) for relation in seen for wording in relation.wordings()])

    def loss(self, rows: Sequence[int], draw: random.Random) -> Tensor:
        """L = α · CE + (1 − α) · max(0, γ − â_i · a_i + max_{j ≠ i} â_i · a_j), the mean over i, j of the batch."""
        ids = sorted({str(self.examples[row].relation) for row in rows})
        described = self.method.described([(self.data.relations[name], self.wording(name, draw)) for name in ids])
        nearest = torch.tensor([ids.index(str(self.examples[row].relation)) for row in rows], device=self.device)
        wrong = torch.tensor([[name not in self.holds(row) for name in ids] for row in rows], device=self.device)
        vectors = self.method.tower(**self.batch(rows))
        with full_precision(self.device):
            classified = cross_entropy(self.classifier(vectors), self.gold(rows))
            scores = vectors @ torch.from_numpy(described).to(self.device).T
        return ALPHA * classified + (1 - ALPHA) * margin_loss(scores, nearest, wrong, MARGIN)
