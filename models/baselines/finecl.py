"""FineCL: pre-training that counts on labels the more the sooner they were learnt, and EMMA's recall from there.

Hogan, Li & Shang, Fine-grained Contrastive Learning for Relation Extraction (EMNLP 2022). The paper pre-trains
RoBERTa on distantly labelled DocRED with a temperature of 0.05 and a learning rate of 3e-5, and then fine-tunes a
classifier; here the distantly labelled data are all related pairs of the training data, whether people checked them or
not, the budget is the recipe's, and what starts from the pre-trained encoder is EMMA's recall tower.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from models.baselines.discrimination import entity_discrimination, relation_discrimination
from models.baselines.entity_pairs import entities
from models.baselines.learning_order import LearningOrderStage, mean_pooled, order_weights
from models.baselines.mask_prompt import mention_tokens
from models.baselines.masked_language import MaskedLanguageHead, Masker
from models.baselines.mentions import marked_tensors
from models.baselines.method import DualTower
from models.baselines.related import RelatedStage
from models.chunks import Vectors, in_chunks
from models.job.checkpoint import Checkpoint, new_checkpoint
from models.job.dataset import TrainingData
from models.job.inference import ROWS_AT_ONCE, full_precision, numbers, tensors
from models.job.recipe import Recipe
from models.job.stage import Stage
from models.job.stages import RecallStage
from models.relation import Relation
from models.text import HEAD_END, HEAD_START, DescriptionInput, Instance, InstanceInput
from models.wordings import relation_vectors


class FineCl(DualTower):
    """EMMA's recall tower on an encoder that FineCL pre-trained. Vectors and scores are EMMA's."""

    def __init__(self, recipe: Recipe) -> None:
        """Start from the recipe's encoder.

        Raises:
            models.emma.encoder.EncoderError: it cannot be loaded, or has no mask.
            models.job.checkpoint.CheckpointError: its position table is too short for the recipe's lengths.
        """
        super().__init__(recipe)
        self.checkpoint: Checkpoint = new_checkpoint(recipe.model_copy(update={"training": "recall"}))
        self.checkpoint.recall.to(self.device)
        self.masker = Masker.of(recipe.encoder, self.vocabulary)

    def stages(self, data: TrainingData) -> Iterator[Stage]:
        """The learning order, the pre-training that is weighed by it, and EMMA's recall."""
        first = LearningOrderStage(self, data)
        yield first
        weights = order_weights(first.classifier.order)
        # Its encoder has done its part and would take up memory.
        del first
        yield FineClStage(self, data, weights)
        yield RecallStage(self.checkpoint, data)

    def encode_instances(self, instances: Sequence[Instance]) -> Vectors:
        """EMMA's x^vec (instances, 3·d), unit norm."""
        return self.checkpoint.encode_instances(self.checkpoint.prepare(instances))

    def encode_descriptions(self, relations: Sequence[Relation]) -> Vectors:
        """EMMA's d^vec (relations, 3·d), unit norm; the mean direction of all wordings, as EMMA takes it."""
        return relation_vectors(self.checkpoint, relations)


class FineClStage(RelatedStage):
    """L_FineCL = L_ED + L_RD + L_MLM (Eq. 7), all three from one reading of the masked sentences.

    Sentences are read with their markers, since recall reads them so; a mention's vector is the mean of its own
    tokens (Eq. 4). As in the published code, tokens of mentions are never masked. The query of L_ED, the relation's
    name and the head, stands apart from the sentence: the paper puts it before the document that has all candidates,
    but with candidates from many sentences, a query that had read one of them would know it again by its context.
    """

    method: FineCl

    def __init__(self, method: FineCl, data: TrainingData, weights: Tensor) -> None:
        """Train the encoder of the method's checkpoint in place.

        Args:
            method: whose checkpoint it is.
            data: what to learn from.
            weights: f(k) of each related pair of the training, in their order (related pairs,).
        """
        torch.manual_seed(method.recipe.seed)
        self.encoder = method.checkpoint.recall.encoder
        self.head = MaskedLanguageHead(self.encoder).to(method.device)
        super().__init__("finecl", nn.ModuleDict({"encoder": self.encoder, "head": self.head}), method, data)
        self.weights = weights.to(method.device)
        self.entities = [entities(x.instance) for x in self.examples]
        relations = [data.relations[name] for name in data.train_relations]
        named = method.inputs.descriptions([x.name.strip() or x.description for x in relations])
        self.names = {x.id: described.ids[:-1] for x, described in zip(relations, named, strict=True)}

    def loss(self, rows: Sequence[int], draw: random.Random) -> Tensor:
        """Eq. 7."""
        batch = self.batch(rows)
        mentions = batch["mention_masks"]
        read, predicted = self.method.masker.masked(batch["input_ids"], mentions.any(dim=1), draw)
        hidden = self.encoder(read, batch["attention_mask"])
        heads = self.queries(rows)
        pooled, temperature = mean_pooled(hidden, mentions), self.recipe.temperature
        with full_precision(self.device):
            entity = entity_discrimination(heads, pooled[:, 1], self.also_answers(rows), temperature)
            weights = self.weights[torch.tensor(rows, device=self.device)]
            relation = relation_discrimination(pooled.flatten(1), self.same(rows), weights, temperature)
        return entity + relation + self.head.loss(hidden, predicted, batch["input_ids"], self.encoder)

    def queries(self, rows: Sequence[int]) -> Tensor:
        """The head's vector in "[CLS] relation [Eh] head [/Eh] [SEP]" (rows, d), float32."""
        builder = self.method.inputs
        start, end = cast(list[int], [builder.tokenizer.token_to_id(marker) for marker in (HEAD_START, HEAD_END)])
        inputs: list[DescriptionInput] = []
        spans: list[tuple[int, int]] = []
        for row in rows:
            name, (head, _) = self.names[str(self.examples[row].relation)], mention_tokens(builder, self.inputs[row])
            inputs.append(DescriptionInput([*name, start, *head, end, builder.sep_id], False))
            spans.append((len(name) + 1, len(name) + 1 + len(head)))
        batch = tensors(builder.description_arrays(inputs), self.device)
        masks = torch.zeros(len(rows), 1, batch["input_ids"].shape[1], dtype=torch.bool)
        for i, (first, last) in enumerate(spans):
            masks[i, 0, first:last] = True
        hidden = self.encoder(batch["input_ids"], batch["attention_mask"])
        return mean_pooled(hidden, masks.to(self.device)).squeeze(1)

    def also_answers(self, rows: Sequence[int]) -> Tensor:
        """True where another row's tail is a right answer too: the same tail, or of the same head and relation."""
        asked = [(self.entities[row][0], self.examples[row].relation) for row in rows]
        tails = [self.entities[row][1] for row in rows]
        places = range(len(rows))
        return torch.tensor(
            [[i != j and (tails[i] == tails[j] or asked[i] == asked[j]) for j in places] for i in places],
            device=self.device,
        )

    def same(self, rows: Sequence[int]) -> Tensor:
        """True where two rows share a relation (rows, rows)."""
        holds = [self.holds(row) for row in rows]
        return torch.tensor([[bool(x & y) for y in holds] for x in holds], device=self.device)

    def validate(self) -> dict[str, float]:
        """Percent of validation sentences whose nearest other one, by r = head ⊕ tail, has the same relation."""
        examples = self.valid_examples()

        def call(rows: list[InstanceInput]) -> Vectors:
            batch = marked_tensors(self.method.inputs, rows, self.device)
            return numbers(self.encoder, self.recipe, self.device, lambda: self.relation_vectors(batch))

        inputs = self.method.inputs.instances([x.instance for x in examples])
        vectors = in_chunks(inputs, lambda x: len(x.ids), ROWS_AT_ONCE, call)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -np.inf)
        found = [x.relation == examples[i].relation for x, i in zip(examples, cosines.argmax(axis=1), strict=True)]
        return {"score": 100 * float(np.mean(found))}

    def relation_vectors(self, batch: dict[str, Tensor]) -> Tensor:
        """The vectors r = m_head ⊕ m_tail of one batch of marked sentences (batch, 2·d), float32."""
        hidden = self.encoder(batch["input_ids"], batch["attention_mask"])
        return mean_pooled(hidden, batch["mention_masks"]).flatten(1)
