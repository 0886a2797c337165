"""One stage of training: its epochs, the best of them, saved states, resumption."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from models.job.devices import autocast
from models.job.stage import Stage


def run_stage(stage: Stage, folder: Path, progress: Progress) -> list[dict[str, Any]]:
    """Train a stage's module and leave the weights of its best epoch in it, or of its last where the recipe says so.

    Called again after a kill with a stage made the same way, it goes on where the last state was saved.

    Args:
        stage: what to train.
        folder: where its states are kept, one file by the stage's name and one of its best epoch.
        progress: shows a bar for each epoch.

    Returns:
        One row for each epoch: the stage's name, the epoch, the loss and what `validate` told.
    """
    return _Loop(stage, folder).run(progress)


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
            if metrics["score"] > state.best or self.recipe.keep == "last":
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
        with autocast(self.recipe, self.stage.device):
            loss: Tensor = self.stage.loss(rows, draw)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.stage.module.parameters(), self.recipe.clip)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def _restore(self, saved: dict[str, Any] | None, steps: int) -> None:
        warmup = min(self.stage.warmup_steps, steps // 2)
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


def _save_atomically(content: dict[str, Any], path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)
