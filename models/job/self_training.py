"""Self-training: a trained checkpoint learns relations that it has no examples of, from text without labels.

It labels the text itself, with both models, and trains both on the surest of its answers (Scudder, Probability of error
of some adaptive pattern-recognition machines, 1965). The classifier's reading so finds its way into recall.
"""

from __future__ import annotations

import copy
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from rich.progress import Progress
from torch.nn import Parameter

from models.decision import scores
from models.job.checkpoint import CONFIG, Checkpoint, load_checkpoint
from models.job.dataset import DataError, Example, TrainingData, validation_data
from models.job.loop import run_stage
from models.job.recipe import SUREST
from models.job.scoring import score
from models.job.stages import ClassifierStage, RecallStage
from models.job.train import STATES, claim
from models.relation import Relation
from models.text import Instance

SETTINGS = {
    "keep": "last",
    "recall_epochs": 1,
    "recall_learning_rate": 3e-5,
    "recall_start_share": 0.0,
    "warmup_steps": 5,
    "classifier_epochs": 1,
    "classifier_fewest": 1,
    "classifier_learning_rate": 3e-5,
    "classifier_warmup_steps": 5,
}
"""Of the recipe, since what is trained is trained already."""


class FurtherRecall(RecallStage):
    """Recall once more."""

    name = "self-training recall"


class FurtherClassifier(ClassifierStage):
    """The classifier once more."""

    name = "self-training classifier"
    starts_from_recall = False


def labelled(
    checkpoint: Checkpoint, unlabelled: Sequence[Instance], relations: Sequence[Relation], surest: int = SUREST
) -> list[Example]:
    """Of each relation, the instances that the checkpoint gives it with the highest scores.

    The threshold of null does not count: it would leave a relation that is hard to tell with next to nothing to learn
    from, and the others would take its place.

    Args:
        checkpoint: with a classifier that scores each candidate by itself.
        unlabelled: instances, at least one.
        relations: those to choose among.
        surest: most instances of a relation.
    """
    found = score(checkpoint, [Example(x, None) for x in unlabelled], relations, checkpoint.recipe.choose_among)
    best = scores(checkpoint.calibration, found.top_cosines(), np.asarray(found.logits)).max(axis=1)
    answers = found.fused(checkpoint.calibration)
    of: defaultdict[str, list[int]] = defaultdict(list)
    for row in np.argsort(-best, kind="stable").tolist():
        of[answers[row]].append(row)
    return [Example(unlabelled[row], name) for name in sorted(of) for row in of[name][:surest]]


def adapt(
    checkpoint: Checkpoint,
    data: TrainingData,
    unlabelled: Sequence[Instance],
    relations: dict[str, Relation],
    output: Path,
    progress: Progress,
    surest: int = SUREST,
) -> Checkpoint:
    """`self_train`, into a checkpoint directory, in which a killed run goes on and a finished one is loaded.

    Raises:
        CheckpointError: `output` holds another run.
        DataError: as `self_train`.
    """
    text = validation_data([Example(x, None) for x in unlabelled], relations)
    facts = {"from": checkpoint.training, "data": data.digest(), "unlabelled": text.digest(), "surest": surest}
    claim(output, facts)
    if (output / CONFIG).is_file():
        return load_checkpoint(output)
    adapted, _ = self_train(checkpoint, data, unlabelled, list(relations.values()), output / STATES, progress, surest)
    adapted.save(output)
    return adapted


def self_train(
    checkpoint: Checkpoint,
    data: TrainingData,
    unlabelled: Sequence[Instance],
    relations: Sequence[Relation],
    folder: Path,
    progress: Progress,
    surest: int = SUREST,
) -> tuple[Checkpoint, list[dict[str, Any]]]:
    """A checkpoint that has learnt from its own answers, beside as many examples that it was trained on.

    Called again after a kill, it goes on where the last state was saved.

    Args:
        checkpoint: a trained one, which stays as it is.
        data: what it was trained on.
        unlabelled: instances; best with three times as many of each relation as are learnt from.
        relations: those that are to be learnt; they may be among the trained ones.
        folder: for states; removed at the end.
        progress: shows a bar for each stage.
        surest: most answers of each relation that are learnt from.

    Returns:
        The checkpoint, and one row for each epoch.

    Raises:
        DataError: there is no instance, or the checkpoint has no classifier that can answer.
    """
    if checkpoint.classifier is None or checkpoint.recipe.reading == "published":
        raise DataError("self-training needs a checkpoint that can answer null: train with --reading once or pairs")
    if not unlabelled:
        raise DataError("no instance to learn from: give a file with some")
    answered = labelled(checkpoint, unlabelled, relations, surest)
    related = [x for x in data.train if x.relation is not None]
    rest = Random(checkpoint.recipe.seed).sample(related, min(len(answered), len(related)))
    further = replace(
        data,
        train=[*answered, *rest],
        relations=data.relations | {x.id: x for x in relations},
        train_relations=sorted({*data.train_relations, *(x.id for x in relations)}),
    )
    recipe = checkpoint.recipe.model_copy(update=SETTINGS | {"classifier_instances": len(further.train)})
    learning = replace(
        checkpoint,
        recipe=recipe,
        recall=copy.deepcopy(checkpoint.recall),
        classifier=copy.deepcopy(checkpoint.classifier),
    )
    with _fixed(_shared(learning)):
        history = run_stage(FurtherRecall(learning, further), folder, progress)
    history += run_stage(FurtherClassifier(learning, further), folder, progress)
    shutil.rmtree(folder)
    facts = {"self_training": {"unlabelled": len(unlabelled), "answered": len(answered), "relations": len(relations)}}
    return replace(learning, recipe=checkpoint.recipe, training=checkpoint.training | facts), history


def _shared(checkpoint: Checkpoint) -> list[Parameter]:
    """Of recall, what the classifier reads with, too."""
    if checkpoint.recipe.reading != "once":
        return []
    encoder = checkpoint.recall.encoder
    own = {id(x) for layer in encoder.layers[-checkpoint.recipe.classifier_layers :] for x in layer.parameters()}
    return [x for x in encoder.parameters() if id(x) not in own]


@contextmanager
def _fixed(parameters: Sequence[Parameter]) -> Iterator[None]:
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
