"""A training run: its stages one after the other, into a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.progress import Progress

from models.job.calibrate import calibrate
from models.job.checkpoint import (
    CONFIG,
    METRICS,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    new_checkpoint,
)
from models.job.dataset import TrainingData
from models.job.devices import best_device
from models.job.loop import run_stage
from models.job.recipe import Recipe
from models.job.stages import ClassifierStage, EmmaStage, JointStage, RecallStage

RUN, STATES = "run.json", "states"

_STAGES: dict[str, list[type[EmmaStage]]] = {
    "separate": [RecallStage, ClassifierStage],
    "joint": [JointStage],
    "recall": [RecallStage],
}


def train(recipe: Recipe, data: TrainingData, output: Path, progress: Progress) -> Checkpoint:
    """Train by a recipe and write a checkpoint.

    Called again after a kill, it goes on where the last state was saved; when all is done, it loads the result.

    Args:
        recipe: the settings.
        data: what to learn from and to choose by.
        output: the checkpoint's directory. While training runs it also holds `run.json` and `states/`.
        progress: shows a bar for each epoch.

    Raises:
        CheckpointError: `output` holds another run, or one whose record cannot be read.
        models.emma.encoder.EncoderError: the encoder cannot be loaded.
    """
    facts = _facts(recipe, data)
    claim(output, facts)
    if (output / CONFIG).is_file():
        return load_checkpoint(output)
    checkpoint = new_checkpoint(recipe)
    for module in (checkpoint.recall, checkpoint.classifier):
        if module is not None:
            module.to(best_device())
    kinds = _STAGES[recipe.training]
    history: list[dict[str, Any]] = []
    for kind in kinds:
        history.extend(run_stage(kind(checkpoint, data), output / STATES, progress))
        _write_lines(output / METRICS, history)
    checkpoint.training.update(facts, history=history)
    checkpoint = checkpoint.calibrated(calibrate(checkpoint, checkpoint.calibration, recipe, data))
    checkpoint.save(output)
    for file in sorted((output / STATES).iterdir()):
        file.unlink()
    (output / STATES).rmdir()
    return checkpoint


def claim(output: Path, facts: dict[str, Any]) -> None:
    """Write down what a directory's run is of, or find that it is the same that was written there.

    Raises:
        CheckpointError: it holds another run, or one whose record cannot be read.
    """
    file = output / RUN
    if file.is_file():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"{file} cannot be read ({error}): delete {output} to start anew") from error
        differing = sorted(key for key in facts if found.get(key) != facts[key])
        if differing:
            raise CheckpointError(
                f"{output} holds a run with another {' and '.join(differing)}: "
                "give another --output, or delete it to start anew"
            )
        return
    output.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    partial.replace(file)


def _facts(recipe: Recipe, data: TrainingData) -> dict[str, Any]:
    return {
        "recipe": recipe.model_dump(),
        "data": data.digest(),
        "train_instances": len(data.train),
        "train_relations": len(data.train_relations),
        "valid_instances": len(data.valid),
        "valid_relations": len(data.valid_relations),
        "skipped": dict(data.skipped),
    }


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
