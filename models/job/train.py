"""The training loop: epochs, the best of them, saved states, resumption."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from models.job.calibrate import calibrate
from models.job.checkpoint import (
    CONFIG,
    METRICS,
    Checkpoint,
    CheckpointError,
    autocast,
    best_device,
    load_checkpoint,
    new_checkpoint,
)
from models.job.dataset import TrainingData
from models.job.recipe import Recipe
from models.job.stages import ClassifierStage, JointStage, RecallStage, Stage

RUN, STATES = "run.json", "states"

_STAGES: dict[str, list[type[Stage]]] = {
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
    _claim(output, facts)
    if (output / CONFIG).is_file():
        return load_checkpoint(output)
    checkpoint = new_checkpoint(recipe)
    for module in (checkpoint.recall, checkpoint.classifier):
        if module is not None:
            module.to(best_device())
    kinds = _STAGES[recipe.training]
    history: list[dict[str, Any]] = []
    for kind in kinds:
        loop = _Loop(kind(checkpoint, data), output / STATES)
        history.extend(loop.run(progress))
        _write_lines(output / METRICS, history)
    checkpoint.training.update(facts, history=history)
    checkpoint = checkpoint.calibrated(calibrate(checkpoint, data))
    checkpoint.save(output)
    for file in sorted((output / STATES).iterdir()):
        file.unlink()
    (output / STATES).rmdir()
    return checkpoint


@dataclass
class _State:
    """Where a stage stands: `step` steps of `epoch` are done."""

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    best: float = -1.0


class _Loop:
    """One stage from its first step, or from a saved state, to its best epoch."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage, self.recipe = stage, stage.recipe
        self.file, self.best_file = folder / f"{stage.name}.pt", folder / f"{stage.name}-best.pt"
        self.state = _State()
        self.history: list[dict[str, Any]] = []
        self.optimizer = AdamW(
            _parameter_groups(stage.module, self.recipe.weight_decay), lr=stage.learning_rate, fused=True
        )
        self.schedule: LambdaLR | None = None
        self.start = _copied(stage.module.state_dict()) if stage.start_share else {}
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, progress: Progress) -> list[dict[str, Any]]:
        """Train, load the best epoch's weights, and tell what each epoch scored."""
        torch.manual_seed(self.recipe.seed)
        saved = torch.load(self.file, weights_only=True) if self.file.is_file() else None
        first = saved["state"]["epoch"] if saved else 0
        for epoch in range(first, self.stage.epochs):
            batches = self.stage.batches(epoch)
            if self.schedule is None:
                self._restore(saved, steps=len(batches) * self.stage.epochs)
            self._epoch(epoch, batches, progress)
        if self.best_file.is_file():
            self.stage.module.load_state_dict(torch.load(self.best_file, weights_only=True))
        if saved and not self.history:
            self.history = saved["history"]
        return self.history

    def _epoch(self, epoch: int, batches: list[list[int]], progress: Progress) -> None:
        state, name = self.state, f"{self.stage.name} {epoch + 1}/{self.stage.epochs}"
        bar = progress.add_task(name, total=len(batches), completed=state.step)
        self.stage.module.train()
        for rows in batches[state.step :]:
            draw = random.Random(f"{self.recipe.seed}/{self.stage.name}/{epoch}/{state.step}")
            loss = self._step(rows, draw)
            state.step += 1
            # A running mean over about the last hundred steps.
            state.loss = loss if state.step == 1 else state.loss + (loss - state.loss) / min(state.step, 100)
            progress.update(bar, completed=state.step, description=f"{name} loss {state.loss:.3f}")
            if state.step % self.recipe.save_every == 0 and state.step < len(batches):
                self._save()
                if not progress.console.is_terminal:
                    progress.console.print(f"{name}: {state.step}/{len(batches)} steps, loss {state.loss:.3f}")
        with self._mixed_with_start():
            metrics = self.stage.validate()
            self.history.append({"stage": self.stage.name, "epoch": epoch + 1, "loss": state.loss, **metrics})
            progress.console.print(json.dumps(self.history[-1]), soft_wrap=True)
            if metrics["score"] > state.best:
                state.best = metrics["score"]
                _save_atomically(self.stage.module.state_dict(), self.best_file)
        state.epoch, state.step = epoch + 1, 0
        self._save()

    @contextmanager
    def _mixed_with_start(self) -> Iterator[None]:
        """Weights as they are validated and kept: an interpolation of the trained ones and those at the start.

        Wortsman et al., Robust fine-tuning of zero-shot models (arXiv 2109.01903), Eq. 1. Training goes on from
        the trained ones.
        """
        share, module = self.stage.start_share, self.stage.module
        if not share:
            yield
            return
        trained = _copied(module.state_dict())
        module.load_state_dict({name: torch.lerp(trained[name], self.start[name], share) for name in trained})
        try:
            yield
        finally:
            module.load_state_dict(trained)

    def _step(self, rows: list[int], draw: random.Random) -> float:
        with autocast(self.recipe, self.stage.checkpoint.device):
            loss: Tensor = self.stage.loss(rows, draw)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.stage.module.parameters(), self.recipe.clip)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def _restore(self, saved: dict[str, Any] | None, steps: int) -> None:
        warmup = min(self.recipe.warmup_steps, steps // 2)
        self.schedule = LambdaLR(self.optimizer, lambda step: _warm_up_and_decay(step, warmup, steps))
        if saved is None:
            return
        self.stage.module.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        # The function of the step is made anew above; torch wants its key all the same.
        self.schedule.load_state_dict(saved["schedule"] | {"lr_lambdas": [None] * len(self.optimizer.param_groups)})
        torch.set_rng_state(saved["random"])
        torch.cuda.set_rng_state_all(saved["random_gpu"])
        self.state, self.history = _State(**saved["state"]), saved["history"]

    def _save(self) -> None:
        if self.schedule is None:
            return
        _save_atomically(
            {
                "model": self.stage.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": {"last_epoch": self.schedule.last_epoch, "_step_count": self.schedule._step_count},
                "random": torch.get_rng_state(),
                "random_gpu": torch.cuda.get_rng_state_all(),
                "state": vars(self.state).copy(),
                "history": self.history,
            },
            self.file,
        )


def _copied(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in weights.items()}


def _warm_up_and_decay(step: int, warmup: int, steps: int) -> float:
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, (steps - step) / max(1, steps - warmup))


def _parameter_groups(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight matrices decay; biases, norms and pooling vectors do not."""
    matrices = [p for p in module.parameters() if p.ndim > 1]
    vectors = [p for p in module.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]


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


def _claim(output: Path, facts: dict[str, Any]) -> None:
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


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _save_atomically(content: dict[str, Any], path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)
