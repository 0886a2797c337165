"""What one training loop learns: recall, the classifier, or both at once."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torch.nn.utils.rnn import pad_sequence

from models.candidates import CandidateList
from models.emma.losses import candidate_loss, closed_candidate_loss, info_nce
from models.emma.reader import CandidateReader
from models.emma.recall import RecallTower
from models.job.batches import length_buckets
from models.job.checkpoint import Checkpoint
from models.job.dataset import DataError, Example, TrainingData
from models.job.devices import autocast
from models.job.inference import full_precision
from models.job.metrics import standard_scores
from models.job.questions import Question, Questioner, spread_evenly
from models.job.scoring import score
from models.job.stage import Stage
from models.relation import opposites
from models.text import DescriptionInput, InstanceInput, description_text

PAIRS_AT_ONCE = 32
"""Pairs of a step that are padded to the same length."""


class EmmaStage(Stage):
    """A stage that trains models of a checkpoint in place."""

    def __init__(self, checkpoint: Checkpoint, data: TrainingData) -> None:
        """Take the models that are trained in place, and the data."""
        super().__init__(checkpoint.recipe, data, checkpoint.device)
        self.checkpoint = checkpoint

    def described(self, ids: Sequence[str], draw: random.Random) -> list[DescriptionInput]:
        """Description inputs, of a wording drawn at random or of the principal one."""
        return self.checkpoint.inputs.descriptions(
            [description_text(self.data.relations[name].name, self.wording(name, draw)) for name in ids]
        )


class RecallStage(EmmaStage):
    """InfoNCE over the recall tower (§2.2.3)."""

    name = "recall"

    def __init__(self, checkpoint: Checkpoint, data: TrainingData) -> None:
        """Tokenize the related pairs once."""
        super().__init__(checkpoint, data)
        self.module: RecallTower = checkpoint.recall
        self.epochs = self.recipe.recall_epochs
        self.learning_rate = self.recipe.recall_learning_rate
        # What training takes away from the pre-trained encoder is missed by relations that it never saw.
        self.start_share = self.recipe.recall_start_share
        self.examples = [x for x in data.train if x.relation is not None]
        self.inputs: list[InstanceInput] = checkpoint.prepare([x.instance for x in self.examples])
        self.opposites = opposites(data.relations.values())

    def batches(self, epoch: int) -> list[list[int]]:
        """All related pairs in length buckets."""
        lengths = [len(x.ids) for x in self.inputs]
        return length_buckets(lengths, self.recipe.recall_batch, f"{self.recipe.seed}/{self.name}/{epoch}")

    def loss(self, rows: Sequence[int], draw: random.Random) -> Tensor:
        """Eq. 12 over the batch's distinct relations or, as published, over its instances' descriptions."""
        return self.similarities(rows, draw)[0]

    def turned(self, rows: Sequence[int], draw: random.Random) -> list[int]:
        """Positions of the rows that are also read the other way round, where their relation surely does not hold."""
        drawn = [i for i in range(len(rows)) if draw.random() < self.recipe.recall_turned]
        return [i for i in drawn if not self._may_hold_turned(self.examples[rows[i]])]

    def _may_hold_turned(self, example: Example) -> bool:
        return any(name in self.opposites.get(true, ()) for name in example.truth for true in example.truth)

    def similarities(self, rows: Sequence[int], draw: random.Random) -> tuple[Tensor, Tensor, list[str]]:
        """Eq. 12, the cosines (batch, relations) that it was computed from, and the ids of their columns."""
        ids = sorted({str(self.examples[row].relation) for row in rows})
        column = {name: i for i, name in enumerate(ids)}
        instance = self.checkpoint.tensors(self.checkpoint.inputs.instance_arrays([self.inputs[row] for row in rows]))
        instance.pop("content_mask")
        description = self.checkpoint.tensors(self.checkpoint.inputs.description_arrays(self.described(ids, draw)))
        description.pop("marker_positions")
        gold = torch.tensor([column[str(self.examples[row].relation)] for row in rows])
        also = torch.zeros(len(rows), len(ids), dtype=torch.bool)
        for i, row in enumerate(rows):
            for name in self.examples[row].also & column.keys():
                also[i, column[name]] = True
        device = self.checkpoint.device
        instances, descriptions = self.module.instances(**instance), self.module.descriptions(**description)
        with full_precision(device):
            loss = self._contrast(instances, descriptions, gold.to(device), also.to(device))
            if self.recipe.recall_turned:
                loss = loss + self._direction(rows, instances, descriptions[gold.to(device)], draw)
            return loss, (instances @ descriptions.T).detach(), ids

    def _direction(self, rows: Sequence[int], instances: Tensor, golds: Tensor, draw: random.Random) -> Tensor:
        """−log σ((sim(x, d) − sim(x turned round, d))/τ), its sum over the turned rows by the number of all rows."""
        places = self.turned(rows, draw)
        if not places:
            return instances.new_zeros(())
        inputs = self.checkpoint.prepare([self.examples[rows[i]].instance.turned() for i in places])
        tensors = self.checkpoint.tensors(self.checkpoint.inputs.instance_arrays(inputs))
        tensors.pop("content_mask")
        with autocast(self.recipe, self.device):
            others = self.module.instances(**tensors)
        margins = ((instances[places] - others) * golds[places]).sum(dim=1) / self.recipe.temperature
        return -logsigmoid(margins).sum() / len(rows)

    def _contrast(self, instances: Tensor, descriptions: Tensor, gold: Tensor, also: Tensor) -> Tensor:
        if self.recipe.contrast == "relations":
            return info_nce(instances, descriptions, gold, also, self.recipe.temperature)
        rows = len(instances)
        own = torch.arange(rows, device=instances.device)
        nothing = torch.zeros(rows, rows, dtype=torch.bool, device=instances.device)
        return info_nce(instances, descriptions[gold], own, nothing, self.recipe.temperature)

    def validate(self) -> dict[str, float]:
        """Recall's macro F1 (scikit-learn's) over the relations that validation has examples of."""
        examples = self.valid_examples()
        relations = [self.data.relations[name] for name in self.data.valid_relations]
        found = score(self.checkpoint, examples, relations, 1, classify=False)
        f1 = standard_scores([str(x.relation) for x in examples], found.recalled()).f1
        return {"score": f1, "recall_f1": f1}


class ClassifierStage(EmmaStage):
    """Cross-entropy over candidates that the finished recall tower found (§2.3, trained separately)."""

    name = "classifier"
    starts_from_recall = True

    def __init__(self, checkpoint: Checkpoint, data: TrainingData) -> None:
        """Take a checkpoint whose recall tower is trained.

        Raises:
            ValueError: it has no classifier.
            DataError: too few relations have as many instances as the recipe asks for.
        """
        super().__init__(checkpoint, data)
        if checkpoint.classifier is None:
            raise ValueError("the checkpoint has no classifier to train")
        self.module = self.classifier = checkpoint.classifier
        self.epochs = self.recipe.classifier_epochs
        self.learning_rate = self.recipe.classifier_learning_rate
        self.warmup_steps = self.recipe.classifier_warmup_steps
        if self.starts_from_recall and self.recipe.classifier_start == "recall":
            self.classifier.start_from(checkpoint.recall)
        # What is never right would be learnt as such, so what is not asked for is no candidate either.
        self.known = data.trained_on(self.recipe.classifier_fewest)
        if len(self.known) < 2:
            raise DataError(
                f"{len(self.known)} relations have {self.recipe.classifier_fewest} instances, the classifier needs at "
                "least 2 that have: lower classifier_fewest"
            )
        asked_for = {None, *self.known}
        self.examples = [x for x in data.train if x.relation in asked_for]
        self.questioner = Questioner(data.relations, self.known, self.recipe)
        self.questions: list[Question] = []

    def batches(self, epoch: int) -> list[list[int]]:
        """Instances drawn anew, their candidates recalled, in length buckets."""
        seed = f"{self.recipe.seed}/{self.name}/{epoch}"
        draw = random.Random(seed)
        examples = [self.examples[row] for row in spread_evenly(self.examples, self.recipe, draw)]
        relations = [self.data.relations[name] for name in self.known]
        # Enough neighbours that the recipe's number is left when the true relations are taken out.
        found = score(self.checkpoint, examples, relations, self.recipe.neighbours + 8, classify=False)
        self.questions = [
            self.questioner.ask(example, [found.relations[i] for i in row], draw)
            for example, row in zip(examples, found.top, strict=True)
        ]
        lengths = [len(question.instance.sentence) for question in self.questions]
        return length_buckets(lengths, self.recipe.classifier_batch, seed)

    def loss(self, rows: Sequence[int], draw: random.Random) -> Tensor:
        """Eq. 15 with "none of these", of the classifier by itself.

        Recall is surer of relations that it was trained on than of others: beside it, the classifier would learn
        too little of them to know others.
        """
        return question_loss(self, [self.questions[row] for row in rows], draw)

    def validate(self) -> dict[str, float]:
        """Macro F1 of recall, of the classifier and of both."""
        examples = self.valid_examples()
        relations = [self.data.relations[name] for name in self.data.valid_relations]
        k = self.recipe.choose_among if self.recipe.reading != "published" else self.recipe.candidates
        found = score(self.checkpoint, examples, relations, k)
        gold = [str(x.relation) for x in examples]
        fused = standard_scores(gold, found.fused(self.checkpoint.calibration)).f1
        return {
            "score": fused,
            "recall_f1": standard_scores(gold, found.recalled()).f1,
            "classifier_f1": standard_scores(gold, found.classified()).f1,
            "fused_f1": fused,
        }


class JointStage(ClassifierStage):
    """Recall + classifier loss, 1 : 1, in one loop (§2.3, appendix E).

    The candidates come from the batch that recall is trained on, as in the paper; they are choices, not
    functions, so no gradient flows from the classifier into recall.
    """

    name = "joint"
    starts_from_recall = False

    def __init__(self, checkpoint: Checkpoint, data: TrainingData) -> None:
        """Take a fresh checkpoint with both models."""
        super().__init__(checkpoint, data)
        self.recall = RecallStage(checkpoint, data)
        self.module = nn.ModuleList([checkpoint.recall, self.classifier])
        self.epochs, self.learning_rate = self.recall.epochs, self.recall.learning_rate

    def batches(self, epoch: int) -> list[list[int]]:
        """Recall's."""
        return self.recall.batches(epoch)

    def loss(self, rows: Sequence[int], draw: random.Random) -> Tensor:
        """Eq. 12 plus Eq. 15."""
        loss, cosines, ids = self.recall.similarities(rows, draw)
        order = np.argsort(-cosines.float().cpu().numpy(), axis=1)
        questions = [
            self.questioner.ask(self.recall.examples[row], [ids[i] for i in near], draw)
            for row, near in zip(rows, order, strict=True)
        ]
        return loss + question_loss(self, questions, draw)


def question_loss(stage: ClassifierStage, questions: Sequence[Question], draw: random.Random) -> Tensor:
    """Eq. 13–15 over a batch of questions."""
    checkpoint = stage.checkpoint
    ids = sorted({name for question in questions for name in question.candidates})
    described = dict(zip(ids, stage.described(ids, draw), strict=True))
    inputs = checkpoint.prepare([question.instance for question in questions])
    lists = [
        CandidateList(instance, tuple(described[name] for name in question.candidates))
        for instance, question in zip(inputs, questions, strict=True)
    ]
    sizes = [len(question.candidates) for question in questions]
    none = max(sizes)
    gold = torch.tensor([none if x.gold is None else x.gold for x in questions], device=checkpoint.device)
    if stage.recipe.reading == "published":
        pairs = [(x.instance, y) for x in lists for y in x.candidates]
        tensors = checkpoint.tensors(checkpoint.inputs.pair_arrays(pairs))
        return closed_candidate_loss(stage.classifier(**tensors, candidates=none), gold)
    return candidate_loss(pad_sequence(_logits(stage, lists), batch_first=True, padding_value=-torch.inf), gold)


def _logits(stage: ClassifierStage, lists: Sequence[CandidateList]) -> list[Tensor]:
    """Of each list's candidates (k,), in order."""
    sizes = [len(x.candidates) for x in lists]
    if isinstance(stage.classifier, CandidateReader):
        logits = stage.classifier(**stage.checkpoint.layout(lists))
        return [row[:size] for row, size in zip(logits, sizes, strict=True)]
    flat = _pair_logits(stage, [(x.instance, y) for x in lists for y in x.candidates])
    return list(torch.split(flat, sizes))


def _pair_logits(stage: ClassifierStage, pairs: Sequence[tuple[InstanceInput, DescriptionInput]]) -> Tensor:
    """Of each pair (pairs,), in order; pairs of like length are read together, since padding costs as text does."""
    checkpoint = stage.checkpoint
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0].ids) + len(pairs[i][1].ids))
    chunks = [order[start : start + PAIRS_AT_ONCE] for start in range(0, len(order), PAIRS_AT_ONCE)]
    logits = torch.cat(
        [
            stage.classifier(**checkpoint.tensors(checkpoint.inputs.pair_arrays([pairs[i] for i in chunk]))).squeeze(1)
            for chunk in chunks
        ]
    )
    return logits[torch.tensor(order, device=logits.device).argsort()]
