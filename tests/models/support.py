"""What several test modules of the offline half need."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress, TaskID
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from models.candidates import CandidateList
from models.chunks import Vectors
from models.job.checkpoint import Checkpoint
from models.job.dataset import Example, TrainingData
from models.job.recipe import Recipe
from models.job.stage import Stage
from models.job.train import train
from models.relation import Relation
from models.text import DescriptionInput, Instance, InstanceInput, Span


def quiet() -> Progress:
    """A progress display that nobody sees."""
    return Progress(console=Console(file=io.StringIO()))


class Killed(BaseException):
    """What no code that is killed can catch."""


class Deadly(Progress):
    """A display that kills the run after some steps."""

    def __init__(self, steps: int) -> None:
        super().__init__(console=quiet().console)
        self.left = steps

    def update(self, task_id: TaskID, *args: Any, **kwargs: Any) -> None:
        super().update(task_id, *args, **kwargs)
        self.left -= 1
        if not self.left:
            raise Killed


def train_quietly(recipe: Recipe, data: TrainingData, output: Path) -> Checkpoint:
    """`train` without a display; on one thread, on which a small model is fastest."""
    torch.set_num_threads(1)
    with quiet() as progress:
        return train(recipe, data, output, progress)


def losses_of(stage: Stage, rows: Sequence[int], steps: int) -> list[float]:
    """The loss before each of some steps on the same rows."""
    optimizer = torch.optim.AdamW(stage.module.parameters(), lr=4e-3)
    draw, losses = random.Random(0), []
    for _ in range(steps):
        loss = stage.loss(rows, draw)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def saved_weights(checkpoint: Path) -> dict[str, Tensor]:
    """Every weight of a checkpoint directory by its file and name."""
    return {
        f"{file.stem}.{name}": tensor
        for file in sorted(checkpoint.glob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def differing(first: dict[str, Tensor], second: dict[str, Tensor]) -> list[str]:
    """Names of the weights that are not the same to the last bit."""
    assert first.keys() == second.keys()
    return [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]


def flat(module: nn.Module) -> Tensor:
    """All parameters in one vector, detached."""
    return parameters_to_vector(module.parameters()).detach().clone()


def mentions(sentence: str, head: str, tail: str) -> Instance:
    """An instance whose mentions are the first places where these words stand."""
    starts = sentence.index(head), sentence.index(tail)
    return Instance(sentence, *(Span(i, i + len(word)) for i, word in zip(starts, (head, tail), strict=True)))


def related(relation: str | None, *also: str, sentence: str = "Ada lived in London .") -> Example:
    """An example between the first and the last word before the full stop."""
    words = sentence.split()
    return Example(Instance.from_tokens(words, [0, 1], [len(words) - 2, len(words) - 1]), relation, frozenset(also))


def one_line(text: str) -> str:
    """Text without its line breaks."""
    return " ".join(text.split())


def jsonl(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as the lines of a file."""
    return "".join(json.dumps(row) + "\n" for row in rows)


class LetterModel:
    """A model of sentences whose first word is a letter and of relations named by one.

    The nearer two letters are, the higher is their cosine; the logit is 4 for the same letter and -4 otherwise.
    """

    def prepare(self, instances: Sequence[Instance]) -> list[InstanceInput]:
        return [InstanceInput([ord(x.sentence[0])], 0, 0, False) for x in instances]

    def describe(self, relations: Sequence[Relation]) -> list[DescriptionInput]:
        return [DescriptionInput([ord(x.id[0])], False) for x in relations]

    def encode_instances(self, inputs: Sequence[InstanceInput]) -> Vectors:
        return self._vectors([x.ids[0] for x in inputs])

    def encode_descriptions(self, inputs: Sequence[DescriptionInput]) -> Vectors:
        return self._vectors([x.ids[0] for x in inputs])

    def classify(self, lists: Sequence[CandidateList]) -> Vectors:
        return np.array([[4 if y.ids == x.instance.ids else -4 for y in x.candidates] for x in lists], dtype=np.float32)

    def _vectors(self, letters: Sequence[int]) -> Vectors:
        angles = np.array(letters) / 10
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
