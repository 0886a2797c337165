"""PromptMatch: does the sentence entail that the relation holds between its two mentions?

The full encoding scheme that RE-Matching and EMMA are compared with: each sentence is read together with each
relation, put into words with the two mentions, as in Sainz et al., Label Verbalization and Entailment for Effective
Zero and Few-Shot Relation Extraction (EMNLP 2021). For m relations that is m readings of a sentence.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.baselines.method import PairReader
from models.baselines.validation import macro_f1
from models.chunks import Vectors, in_chunks
from models.emma.classifier import PairClassifier
from models.emma.encoder import EncoderError, load_encoder
from models.emma.losses import closed_candidate_loss
from models.job.batches import length_buckets
from models.job.dataset import Example, TrainingData
from models.job.inference import ROWS_AT_ONCE, numbers, tensors
from models.job.questions import spread_evenly
from models.job.recipe import Recipe
from models.job.stage import Stage
from models.relation import Relation
from models.text import DescriptionInput, Instance, InstanceInput, Span, description_text

Pair = tuple[InstanceInput, DescriptionInput]


class PromptMatch(PairReader):
    """PromptMatch, with the shared head of EMMA's classifier for its entailment logit.

    With the same head, what is compared is who chooses what is read together, and not how a reading is scored.
    """

    def __init__(self, recipe: Recipe) -> None:
        """Load the encoder.

        Raises:
            EncoderError: it cannot be loaded, or its position table is too short for the recipe's lengths.
        """
        super().__init__(recipe)
        encoder = load_encoder(recipe.encoder, self.vocabulary_size, recipe.attention_dropout)
        longest = recipe.sentence_tokens + 2 * recipe.description_tokens - 3
        if longest > encoder.positions:
            raise EncoderError(
                f"sentence_tokens + 2 · description_tokens - 3 = {longest}, but {recipe.encoder} reads at most "
                f"{encoder.positions} tokens: lower one of them"
            )
        self.classifier = PairClassifier(encoder).to(self.device)

    def stages(self, data: TrainingData) -> Iterator[PromptStage]:
        """One: the true relation against random others."""
        yield PromptStage(self, data)

    def score_pairs(self, pairs: Sequence[tuple[Instance, Relation]]) -> Vectors:
        """Entailment logits (pairs,)."""

        def call(rows: list[Pair]) -> Vectors:
            batch = tensors(self.inputs.pair_arrays(rows), self.device)
            return numbers(self.classifier, self.recipe, self.device, lambda: self.classifier(**batch)[:, 0])

        joined = self.pairs([(instance, description_text(x.name, x.description)) for instance, x in pairs])
        return in_chunks(joined, lambda pair: len(pair[0].ids) + len(pair[1].ids), ROWS_AT_ONCE, call)

    def pairs(self, pairs: Sequence[tuple[Instance, str]]) -> list[Pair]:
        """Marked sentences with their hypotheses: `hypothesis`, and then the relation's text.

        Either part of a hypothesis is at most the recipe's `description_tokens` long, so that no mention, however
        long, takes the description's room.
        """
        instances = list(dict.fromkeys(instance for instance, _ in pairs))
        texts = list(dict.fromkeys(text for _, text in pairs))
        sentences = dict(zip(instances, self.inputs.instances(instances), strict=True))
        openings = dict(zip(instances, self.inputs.descriptions([*map(hypothesis, instances)]), strict=True))
        described = dict(zip(texts, self.inputs.descriptions(texts), strict=True))
        return [(sentences[x], _joined(openings[x], described[text])) for x, text in pairs]


class PromptStage(Stage):
    """Cross-entropy over the logits of the true relation and of random other seen ones.

    Instances, epochs, batch, candidates and learning rate are those of EMMA's classifier. Wrong relations are drawn
    from all seen ones, there being no recall to ask for near ones.
    """

    name = "prompt-match"

    def __init__(self, method: PromptMatch, data: TrainingData) -> None:
        """Take the method whose classifier is trained in place, and the data."""
        super().__init__(method.recipe, data, method.device)
        self.method = method
        self.module = method.classifier
        self.epochs = self.recipe.classifier_epochs
        self.learning_rate = self.recipe.classifier_learning_rate
        self.warmup_steps = self.recipe.classifier_warmup_steps
        self.related: list[Example] = [x for x in data.train if x.relation is not None]
        self.examples: list[Example] = []

    def batches(self, epoch: int) -> list[list[int]]:
        """Related pairs drawn anew, spread evenly over relations, in length buckets."""
        seed = f"{self.recipe.seed}/{self.name}/{epoch}"
        rows = spread_evenly(self.related, self.recipe, random.Random(seed))
        self.examples = [self.related[row] for row in rows]
        lengths = [len(example.instance.sentence) for example in self.examples]
        return length_buckets(lengths, self.recipe.classifier_batch, seed)

    def loss(self, rows: Sequence[int], draw: random.Random) -> Tensor:
        """−log(exp(ŷ_+) / Σ_i exp(ŷ_i)) over the candidates i, the mean over the batch."""
        candidates = [self.candidates(self.examples[row], draw) for row in rows]
        texts = {
            name: description_text(self.data.relations[name].name, self.wording(name, draw))
            for name in sorted({name for names in candidates for name in names})
        }
        asked = [
            (self.examples[row].instance, texts[name])
            for row, names in zip(rows, candidates, strict=True)
            for name in names
        ]
        batch = tensors(self.method.inputs.pair_arrays(self.method.pairs(asked)), self.device)
        logits = self.module(**batch).squeeze(1).split([len(names) for names in candidates])
        gold = torch.zeros(len(rows), dtype=torch.long, device=self.device)
        return closed_candidate_loss(pad_sequence(logits, batch_first=True, padding_value=-torch.inf), gold)

    def candidates(self, example: Example, draw: random.Random) -> list[str]:
        """The relation, and seen ones that are not true of the pair, as many as the recipe says in all."""
        wrong = [x for x in self.data.train_relations if x != example.relation and x not in example.also]
        return [str(example.relation), *draw.sample(wrong, min(len(wrong), self.recipe.candidates - 1))]

    def validate(self) -> dict[str, float]:
        """Macro F1 of the method as it stands."""
        return macro_f1(self.method, self)


def hypothesis(instance: Instance) -> str:
    """How a hypothesis begins, before the relation's name and description.

    It gives the two mentions the names that descriptions call them by, and fits any relation's name.

    >>> hypothesis(Instance.from_tokens(["Ada", "lived", "in", "London", "."], [0, 1], [3, 4]))
    'Ada is the head and London is the tail of the relation'
    """
    head, tail = (_words(instance.sentence, span) for span in (instance.head, instance.tail))
    return f"{head} is the head and {tail} is the tail of the relation"


def _words(sentence: str, span: Span) -> str:
    return sentence[span.start : span.end].strip()


def _joined(opening: DescriptionInput, relation: DescriptionInput) -> DescriptionInput:
    return DescriptionInput([*opening.ids[:-1], *relation.ids[1:]], opening.truncated or relation.truncated)
