from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.progress import Progress, TaskID
from torch import Tensor

from models.job import train as module
from models.job.checkpoint import Checkpoint, CheckpointError, load_checkpoint, new_checkpoint
from models.job.dataset import Split, TrainingData, read_split
from models.job.metrics import paper_scores
from models.job.recipe import Recipe
from models.job.scoring import score
from models.job.stages import RecallStage
from models.job.train import train
from tests.models.support import Deadly, Killed, differing, flat, quiet, saved_weights, train_quietly

Make = Callable[..., Recipe]
Data = Callable[..., TrainingData]
CLOSED = {"reading": "published", "withheld": 0, "reversed": 0, "unrelated": 0}


@pytest.fixture(scope="module")
def brief(tiny_recipe: Make) -> Recipe:
    """Two epochs of 9 steps for recall and two of 4 for the classifier, saved after every third."""
    return tiny_recipe(recall_epochs=2, classifier_epochs=2)


@pytest.fixture(scope="module")
def data(brief: Recipe, tiny_training: Data) -> TrainingData:
    return tiny_training(brief)


@pytest.fixture(scope="module")
def uninterrupted(brief: Recipe, data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    train_quietly(brief, data, folder)
    return folder


class Counting(Progress):
    """A display that counts the steps."""

    steps = 0

    def update(self, task_id: TaskID, *args: Any, **kwargs: Any) -> None:
        super().update(task_id, *args, **kwargs)
        self.steps += 1


def kill_after(steps: int, recipe: Recipe, data: TrainingData, output: Path) -> None:
    with pytest.raises(Killed), Deadly(steps) as progress:
        train(recipe, data, output, progress)


def metrics(output: Path) -> str:
    return (output / "metrics.jsonl").read_text(encoding="utf-8")


def assert_same(first: Path, second: Path) -> None:
    assert differing(saved_weights(first), saved_weights(second)) == []
    assert metrics(first) == metrics(second)
    assert (first / "config.json").read_text() == (second / "config.json").read_text()


def test_the_same_seed_gives_the_same_weights_and_metrics(
    brief: Recipe, data: TrainingData, uninterrupted: Path, tmp_path: Path
) -> None:
    train_quietly(brief, data, tmp_path)
    assert_same(tmp_path, uninterrupted)


def test_another_seed_gives_other_weights(
    brief: Recipe, data: TrainingData, uninterrupted: Path, tmp_path: Path
) -> None:
    train_quietly(brief.model_copy(update={"seed": 14}), data, tmp_path)
    assert differing(saved_weights(tmp_path), saved_weights(uninterrupted))


@pytest.mark.parametrize(
    "steps",
    [2, 7, 9, 13, 20, 26],
    ids=["before a state", "in an epoch", "at its end", "in the next", "in the next stage", "at the very end"],
)
def test_a_killed_run_goes_on_to_the_same_weights(
    brief: Recipe, data: TrainingData, uninterrupted: Path, tmp_path: Path, steps: int
) -> None:
    kill_after(steps, brief, data, tmp_path)
    assert not (tmp_path / "config.json").exists()
    train_quietly(brief, data, tmp_path)
    assert_same(tmp_path, uninterrupted)


def test_a_run_killed_again_and_again_goes_on_to_the_same_weights(
    brief: Recipe, data: TrainingData, uninterrupted: Path, tmp_path: Path
) -> None:
    for steps in (5, 5, 8, 6):
        kill_after(steps, brief, data, tmp_path)
    train_quietly(brief, data, tmp_path)
    assert_same(tmp_path, uninterrupted)


def test_a_killed_run_does_not_start_anew(brief: Recipe, data: TrainingData, tmp_path: Path) -> None:
    kill_after(25, brief, data, tmp_path)
    with Counting(console=quiet().console) as progress:
        train(brief, data, tmp_path, progress)
    assert progress.steps == 1 + 3


@pytest.mark.parametrize("write", [2, 9])
def test_a_kill_while_a_state_is_written_leaves_the_one_before(
    brief: Recipe,
    data: TrainingData,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: int,
) -> None:
    whole, left = torch.save, [write]

    def save(content: object, path: Path) -> None:
        left[0] -= 1
        if not left[0]:
            path.write_bytes(b"half a state")
            raise Killed
        whole(content, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save)
        with pytest.raises(Killed):
            train_quietly(brief, data, tmp_path)
    train_quietly(brief, data, tmp_path)
    assert_same(tmp_path, uninterrupted)


def test_a_kill_while_the_checkpoint_is_written_leaves_the_states(
    brief: Recipe, data: TrainingData, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(self: Checkpoint, path: Path) -> None:
        (path / "recall.safetensors").write_bytes(b"half a model")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save)
        with pytest.raises(Killed):
            train_quietly(brief, data, tmp_path)
    train_quietly(brief, data, tmp_path)
    assert_same(tmp_path, uninterrupted)


COMMAND = "import typer; from models.job.commands import train; app = typer.Typer(); app.command()(train); app()"


def test_a_process_that_is_killed_goes_on_to_the_same_weights(
    brief: Recipe, data: TrainingData, uninterrupted: Path, test_data: Path, tmp_path: Path
) -> None:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in brief.model_dump(exclude_defaults=True).items()]
    files = [f"--{name}={test_data / name}.jsonl" for name in ("instances", "relations")]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *flags, *files, f"--output={tmp_path}"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            # The first line of the second epoch, which is written behind the saved state.
            if line.startswith("recall 2/2: "):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL, "".join(lines)
    assert (tmp_path / "states" / "recall.pt").is_file()
    assert not (tmp_path / "config.json").exists()
    train_quietly(brief, data, tmp_path)
    assert_same(tmp_path, uninterrupted)


def test_a_finished_run_is_loaded_and_not_trained_again(
    brief: Recipe, data: TrainingData, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved_weights(uninterrupted)
    monkeypatch.setattr(module, "new_checkpoint", None)
    checkpoint = train_quietly(brief, data, uninterrupted)
    assert torch.equal(flat(checkpoint.recall), flat(load_checkpoint(uninterrupted, "cpu").recall))
    assert differing(saved_weights(uninterrupted), before) == []


def test_a_finished_run_has_no_states_and_nothing_pickled(uninterrupted: Path) -> None:
    assert {file.name for file in uninterrupted.iterdir()} == {
        "classifier.safetensors",
        "config.json",
        "metrics.jsonl",
        "recall.safetensors",
        "run.json",
        "tokenizer.json",
    }


def test_another_recipe_in_the_same_place_is_refused(brief: Recipe, data: TrainingData, uninterrupted: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a run with another recipe: give another --output"):
        train_quietly(brief.model_copy(update={"clip": 2.0}), data, uninterrupted)


def test_other_data_in_the_same_place_are_refused(
    brief: Recipe, tiny_training: Data, uninterrupted: Path, test_data: Path
) -> None:
    other = tiny_training(brief, read_split(test_data / "split.json"))
    with pytest.raises(CheckpointError, match="holds a run with another data"):
        train_quietly(brief, other, uninterrupted)


def test_another_recipe_is_refused_before_the_run_is_done_too(
    brief: Recipe, data: TrainingData, tmp_path: Path
) -> None:
    kill_after(2, brief, data, tmp_path)
    with pytest.raises(CheckpointError, match="another recipe"):
        train_quietly(brief.model_copy(update={"clip": 2.0}), data, tmp_path)


def test_a_refused_run_leaves_what_is_there(brief: Recipe, data: TrainingData, uninterrupted: Path) -> None:
    before = (uninterrupted / "run.json").read_text(encoding="utf-8")
    with pytest.raises(CheckpointError):
        train_quietly(brief.model_copy(update={"clip": 2.0}), data, uninterrupted)
    assert (uninterrupted / "run.json").read_text(encoding="utf-8") == before


def test_a_record_of_the_run_that_cannot_be_read_is_named(brief: Recipe, data: TrainingData, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"run.json"):
        train_quietly(brief, data, tmp_path)


@pytest.mark.parametrize(
    ("settings", "stages"),
    [
        ({"training": "recall"}, ["recall"] * 2),
        ({"training": "joint"}, ["joint"] * 2),
        ({"reading": "pairs"}, ["recall", "recall", "classifier"]),
        ({**CLOSED}, ["recall", "recall", "classifier"]),
        ({**CLOSED, "training": "joint", "recall_batch": 32, "candidates": 2}, ["joint"] * 2),
        ({"precision": "bf16"}, ["recall", "recall", "classifier"]),
    ],
    ids=["recall", "joint", "pairs", "the paper's head", "the paper's head, joint", "bfloat16"],
)
def test_other_ways_to_train_run_to_their_end(
    tiny_recipe: Make, tiny_training: Data, tmp_path: Path, settings: dict[str, Any], stages: list[str]
) -> None:
    recipe = tiny_recipe(**{"recall_epochs": 2, "classifier_epochs": 1, **settings})
    checkpoint = train_quietly(recipe, tiny_training(recipe), tmp_path)
    assert [row["stage"] for row in checkpoint.training["history"]] == stages
    assert (tmp_path / "classifier.safetensors").exists() == (recipe.training != "recall")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in saved_weights(tmp_path).values())


def test_a_joint_run_that_is_killed_goes_on_to_the_same_weights(
    tiny_recipe: Make, tiny_training: Data, tmp_path: Path
) -> None:
    recipe = tiny_recipe(training="joint", recall_epochs=2)
    data = tiny_training(recipe)
    train_quietly(recipe, data, tmp_path / "whole")
    kill_after(14, recipe, data, tmp_path / "killed")
    train_quietly(recipe, data, tmp_path / "killed")
    assert_same(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.parametrize(("keep", "kept"), [("best", 1), ("last", 3)])
def test_the_weights_of_the_best_or_the_last_epoch_are_kept(
    tiny_recipe: Make, tiny_training: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str, kept: int
) -> None:
    seen: list[Tensor] = []

    def validate(self: RecallStage) -> dict[str, float]:
        seen.append(flat(self.module))
        return {"score": [10.0, 50.0, 50.0, 20.0][len(seen) - 1]}

    monkeypatch.setattr(RecallStage, "validate", validate)
    recipe = tiny_recipe(training="recall", recall_epochs=4, keep=keep)
    checkpoint = train_quietly(recipe, tiny_training(recipe), tmp_path)
    assert [torch.equal(weights, flat(checkpoint.recall)) for weights in seen] == [i == kept for i in range(4)]
    assert torch.equal(flat(load_checkpoint(tmp_path, "cpu").recall), seen[kept])


def test_a_share_of_the_weights_at_the_start_is_mixed_into_the_kept_ones(
    tiny_recipe: Make, tiny_training: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecallStage, "validate", lambda self: {"score": 1.0})
    recipe = tiny_recipe(training="recall", recall_epochs=1, recall_start_share=0.0)
    start = flat(new_checkpoint(recipe).recall)
    trained = flat(train_quietly(recipe, tiny_training(recipe), tmp_path / "none").recall)
    recipe = recipe.model_copy(update={"recall_start_share": 0.25})
    kept = flat(train_quietly(recipe, tiny_training(recipe), tmp_path / "some").recall)
    torch.testing.assert_close(kept, 0.75 * trained + 0.25 * start)


def test_training_goes_on_from_the_weights_that_nothing_was_mixed_into(
    tiny_recipe: Make, tiny_training: Data, tmp_path: Path
) -> None:
    losses, scores = [], []
    for share in (0.0, 0.25):
        recipe = tiny_recipe(training="recall", recall_epochs=2, recall_start_share=share)
        history = train_quietly(recipe, tiny_training(recipe), tmp_path / str(share)).training["history"]
        losses.append([row["loss"] for row in history])
        scores.append([row["score"] for row in history])
    assert losses[0] == losses[1]
    assert scores[0] != scores[1]


def test_the_classifier_is_trained_on_the_best_recall(
    brief: Recipe, uninterrupted: Path, tiny_training: Data, tmp_path: Path
) -> None:
    recall = brief.model_copy(update={"training": "recall"})
    train_quietly(recall, tiny_training(recall), tmp_path)
    mine, other = ({k: v for k, v in saved_weights(x).items() if "recall." in k} for x in (tmp_path, uninterrupted))
    assert differing(mine, other) == []


def test_every_epoch_leaves_a_line_of_metrics(uninterrupted: Path) -> None:
    rows = [json.loads(line) for line in metrics(uninterrupted).splitlines()]
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        ("recall", 1),
        ("recall", 2),
        ("classifier", 1),
        ("classifier", 2),
    ]


def test_the_checkpoint_tells_what_it_was_trained_on(uninterrupted: Path, data: TrainingData) -> None:
    training = load_checkpoint(uninterrupted, "cpu").training
    assert training["data"] == data.digest()
    assert (training["train_instances"], training["valid_instances"]) == (len(data.train), len(data.valid))


def test_training_without_warm_up_and_with_more_of_it_than_steps_runs(
    tiny_recipe: Make, tiny_training: Data, tmp_path: Path
) -> None:
    for warmup in (0, 1000):
        recipe = tiny_recipe(recall_epochs=1, classifier_epochs=1, warmup_steps=warmup, classifier_warmup_steps=warmup)
        folder = tmp_path / str(warmup)
        train_quietly(recipe, tiny_training(recipe), folder)
        assert saved_weights(folder)


@pytest.fixture(scope="module")
def learnt(tiny_recipe: Make, tiny_training: Data, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A model that was trained until it knows its training instances, which are those it was chosen by."""
    # The tiny encoder was never trained, so there is nothing at the start to be kept.
    recipe = tiny_recipe(training="recall", recall_epochs=12, recall_start_share=0.0)
    data = tiny_training(recipe)
    seen = TrainingData(data.train, data.train, data.relations, data.train_relations, data.train_relations)
    return train_quietly(recipe, seen, tmp_path_factory.mktemp("learnt"))


def test_the_loss_falls(learnt: Checkpoint) -> None:
    found = [row["loss"] for row in learnt.training["history"]]
    assert found[-1] < 0.8 * found[0]


def test_recall_learns_its_training_relations(learnt: Checkpoint, tiny_training: Data) -> None:
    data = tiny_training(learnt.recipe)
    examples = [x for x in data.train if x.relation is not None]
    found = score(learnt, examples, list(data.relations.values()), 1, classify=False)
    # One of 14 at random would be 7.
    assert paper_scores([str(x.relation) for x in examples], found.recalled()).f1 > 35


def test_with_a_split_no_unseen_relation_is_trained_on(
    tiny_recipe: Make, tiny_training: Data, test_data: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(recall_epochs=1, classifier_epochs=1)
    split: Split = read_split(test_data / "split.json")
    checkpoint = train_quietly(recipe, tiny_training(recipe, split), tmp_path)
    assert checkpoint.training["train_relations"] == len(split.train)
    assert checkpoint.training["valid_relations"] == len(split.valid)
