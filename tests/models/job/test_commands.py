from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from models.bundle import Bundle, load_bundle
from models.decision import Calibration
from models.job import commands
from models.job.checkpoint import load_checkpoint
from models.job.dataset import TrainingData
from models.job.recipe import Recipe
from models.relation import Relation
from models.runtime import Runtime
from tests.models.support import differing, one_line, saved_weights

app = typer.Typer()
for command in (
    commands.train,
    commands.adapt,
    commands.evaluate,
    commands.export,
    commands.index,
    commands.calibrate,
    commands.build,
):
    app.command()(command)

Make = Callable[..., Recipe]


def emma(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(x) for x in arguments], env={"COLUMNS": "200"})


def ran(*arguments: object) -> Result:
    result = emma(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def failed(*arguments: object) -> str:
    """The one line that a command fails with."""
    result = emma(*arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    [line] = result.stderr[result.stderr.index("error: ") :].splitlines()
    return line


def flags(recipe: Recipe) -> list[str]:
    """A recipe as it is written on a command line."""
    found = []
    for name, value in recipe.model_dump(exclude_defaults=True).items():
        flag = name.replace("_", "-")
        found.append(f"--{'' if value else 'no-'}{flag}" if isinstance(value, bool) else f"--{flag}={value}")
    return found


@pytest.fixture(scope="module")
def brief(tiny_recipe: Make) -> list[str]:
    return flags(tiny_recipe(recall_epochs=1, classifier_epochs=1))


@pytest.fixture(scope="module")
def files(test_data: Path) -> list[object]:
    return ["--instances", test_data / "instances.jsonl", "--relations", test_data / "relations.jsonl"]


@pytest.fixture(scope="module")
def split(test_data: Path) -> list[object]:
    return ["--split", test_data / "split.json"]


@pytest.fixture(scope="module")
def trained(
    brief: list[str], files: list[object], split: list[object], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("commands") / "checkpoint"
    return folder, ran("train", *files, *split, *brief, "--output", folder)


@pytest.fixture(scope="module")
def checkpoint(trained: tuple[Path, Result]) -> Path:
    return trained[0]


@pytest.fixture(scope="module")
def built(
    brief: list[str], files: list[object], split: list[object], test_data: Path, checkpoint: Path
) -> tuple[Path, Result]:
    """A bundle of the checkpoint, which `build` finds finished."""
    folder = checkpoint.parent / "bundle"
    arguments = ["--catalogue", test_data / "relations.jsonl", "--test", test_data / "instances.jsonl"]
    where = ["--checkpoint", checkpoint, "--output", folder]
    made = ["--graph-precision", "fp32", "--name", "brief"]
    return folder, ran("build", *files, *split, *brief, *arguments, *where, *made)


def test_training_writes_a_checkpoint_of_the_given_recipe(checkpoint: Path, tiny_recipe: Make) -> None:
    assert load_checkpoint(checkpoint, "cpu").recipe == tiny_recipe(recall_epochs=1, classifier_epochs=1)


def test_training_says_what_it_learns_from_and_chooses_by(trained: tuple[Path, Result]) -> None:
    text = one_line(trained[1].stderr)
    assert "instances.jsonl: 240 instances" in text
    assert "instances of 9 relations, choosing by" in text
    assert f"checkpoint in {trained[0]}" in text


def test_training_again_loads_what_is_finished(
    checkpoint: Path, brief: list[str], files: list[object], split: list[object]
) -> None:
    before = saved_weights(checkpoint)
    ran("train", *files, *split, *brief, "--output", checkpoint)
    assert differing(saved_weights(checkpoint), before) == []


def test_adapting_writes_a_checkpoint_that_learnt_from_its_own_answers(
    checkpoint: Path, files: list[object], split: list[object], test_data: Path, tmp_path: Path
) -> None:
    where = ["--checkpoint", checkpoint, "--output", tmp_path / "adapted"]
    text = ["--unlabelled", test_data / "instances.jsonl", "--catalogue", test_data / "relations.jsonl"]
    said = one_line(ran("adapt", *files, *split, *text, *where, "--surest", 3).stderr)
    learnt = load_checkpoint(tmp_path / "adapted", "cpu").training["self_training"]
    assert f"learnt from {learnt['answered']} answers on 240 instances without labels" in said
    assert differing(saved_weights(tmp_path / "adapted"), saved_weights(checkpoint))


class Reached(Exception):  # noqa: N818 - no fault
    """Training would begin with this recipe and these data."""

    def __init__(self, recipe: Recipe, data: TrainingData, output: Path, bars: object) -> None:
        super().__init__()
        self.recipe, self.data = recipe, data


Stopped = Callable[..., tuple[Reached, str]]


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Stopped:
    """Run a command up to the training; what it would train with and what it said."""

    def reach(*arguments: Any) -> None:
        raise Reached(*arguments)

    def run(*arguments: object) -> tuple[Reached, str]:
        result = emma(*arguments)
        assert isinstance(result.exception, Reached)
        return result.exception, one_line(result.stderr)

    monkeypatch.setattr("models.job.train.train", reach)
    return run


def test_rows_that_were_left_out_are_told(stopped: Stopped, brief: list[str], test_data: Path, tmp_path: Path) -> None:
    rows = (test_data / "instances.jsonl").read_text(encoding="utf-8")
    bad = json.dumps({"tokens": ["a"], "head": [0, 1], "tail": [3, 4], "relation": "P19"})
    packed = tmp_path / "some.jsonl.gz"
    packed.write_bytes(gzip.compress(f"{rows}{bad}\n{bad}\n".encode()))
    given = ["--instances", packed, "--relations", test_data / "relations.jsonl"]
    _, text = stopped("train", *given, *brief, "--output", tmp_path / "x")
    assert "some.jsonl.gz: 240 instances; left out 2 (tail: unusable span or text)" in text


def evaluated(tmp_path: Path, *arguments: object) -> tuple[dict[str, Any], str]:
    file = tmp_path / "scores.json"
    result = ran("evaluate", *arguments, "--output", file)
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert isinstance(figures, dict)
    return figures, result.stdout


def test_a_checkpoint_is_evaluated_on_the_test_part(
    checkpoint: Path, files: list[object], split: list[object], tmp_path: Path
) -> None:
    figures, table = evaluated(tmp_path, "--checkpoint", checkpoint, *files, *split)
    assert (figures["related"], figures["relations"]) == (3 * 14, 3)
    assert figures["open_set"]["unrelated"] == 44
    assert figures["title"] == "checkpoint on split (test)"
    assert [(x["method"], x["k"]) for x in figures["closed_set"]][:3] == [
        ("recall only", 1),
        ("classifier only", 2),
        ("recall + classifier", 2),
    ]
    assert "checkpoint on split (test)" in table
    assert f"{figures['closed_set'][0]['paper']['f1']:.2f}" in table


def test_the_valid_part_can_be_evaluated(
    checkpoint: Path, files: list[object], split: list[object], tmp_path: Path
) -> None:
    figures, _ = evaluated(tmp_path, "--checkpoint", checkpoint, *files, *split, "--part", "valid", "--k", 2)
    assert (figures["related"], figures["relations"]) == (2 * 14, 2)
    assert [x["k"] for x in figures["closed_set"]] == [1, 2, 2]


def test_without_a_split_the_relations_of_the_files_are_the_candidates(
    checkpoint: Path, files: list[object], tmp_path: Path
) -> None:
    figures, _ = evaluated(tmp_path, "--checkpoint", checkpoint, *files, "--k", 3)
    assert (figures["related"], figures["relations"]) == (14 * 14, 14)


def test_a_limit_draws_as_many_related_and_unrelated_pairs_and_leaves_the_candidates(
    checkpoint: Path, files: list[object], tmp_path: Path
) -> None:
    arguments = ["--checkpoint", checkpoint, *files, "--k", 3, "--limit", 30]
    figures, _ = evaluated(tmp_path, *arguments)
    assert (figures["related"], figures["open_set"]["unrelated"], figures["relations"]) == (30, 30, 14)
    assert evaluated(tmp_path, *arguments)[0] == figures


def test_a_recall_only_checkpoint_can_be_evaluated(
    brief: list[str], files: list[object], split: list[object], tmp_path: Path
) -> None:
    ran("train", *files, *split, *brief, "--training", "recall", "--output", tmp_path / "recall")
    figures, _ = evaluated(tmp_path, "--checkpoint", tmp_path / "recall", *files, *split)
    assert [x["method"] for x in figures["closed_set"]] == ["recall only"]


def test_a_bundle_scores_what_its_checkpoint_does(
    tiny_bundle: Bundle, tiny_checkpoint_dir: Path, files: list[object], tmp_path: Path
) -> None:
    mine, table = evaluated(tmp_path, "--bundle", tiny_bundle.path, *files)
    other, _ = evaluated(tmp_path, "--checkpoint", tiny_checkpoint_dir, *files)
    assert "tiny on instances.jsonl" in table
    assert mine["closed_set"] == other["closed_set"]
    assert mine["recall_at"] == other["recall_at"]


def test_a_checkpoint_is_exported_and_indexed(
    built: tuple[Path, Result],
    checkpoint: Path,
    files: list[object],
    test_data: Path,
    tmp_path: Path,
    tiny_relations: dict[str, Relation],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The graphs of this very checkpoint, which `build` has made once.
    for name in ("recall", "classifier"):
        graph = built[0] / f"{name}.onnx"
        monkeypatch.setattr(f"models.job.build.export_{name}", lambda _, path, graph=graph: shutil.copy(graph, path))
    made = ["--graph-precision", "fp32", "--name", "other"]
    result = ran("export", "--checkpoint", checkpoint, *files, "--output", tmp_path / "bundle", *made)
    assert "fp32 against PyTorch: {" in one_line(result.stderr)
    assert load_bundle(tmp_path / "bundle").relations() == []
    result = ran("index", "--bundle", tmp_path / "bundle", "--relations", test_data / "relations.jsonl")
    assert "14 relations in" in one_line(result.stderr)
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.manifest.name == "other"
    assert bundle.relations() == list(tiny_relations.values())


def test_building_makes_an_indexed_bundle(built: tuple[Path, Result], tiny_relations: dict[str, Relation]) -> None:
    bundle = load_bundle(built[0])
    assert (bundle.manifest.name, bundle.manifest.precision) == ("brief", "fp32")
    assert bundle.relations() == list(tiny_relations.values())
    assert bundle.vectors().shape == (14, 96)


def test_building_records_what_the_bundle_scores(built: tuple[Path, Result]) -> None:
    test = load_bundle(built[0]).manifest.scores["test"]
    assert test["files"] == ["instances.jsonl"]
    assert (test["related"], test["relations"]) == (196, 14)
    assert f"{test['closed_set'][0]['paper']['f1']:.2f}" in built[1].stdout


@pytest.fixture
def bundle(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "bundle"))


def test_a_bundle_is_calibrated_on_data_of_ones_own(bundle: Path, files: list[object], test_data: Path) -> None:
    before = load_bundle(bundle)
    result = ran("calibrate", "--bundle", bundle, *files, "--all", "--test", test_data / "instances.jsonl")
    after = load_bundle(bundle)
    assert after.calibration != before.calibration
    assert json.dumps(after.calibration.to_json()) in result.stderr
    assert after.manifest.scores["test"]["related"] == 196
    changed = {"calibration": after.manifest.calibration, "scores": after.manifest.scores}
    assert after.manifest == before.manifest.model_copy(update=changed)


def test_a_bundle_is_calibrated_on_what_its_training_held_out(
    bundle: Path, files: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[TrainingData] = []

    def fit(model: Runtime, start: Calibration, recipe: Recipe, data: TrainingData) -> Calibration:
        given.append(data)
        return start

    monkeypatch.setattr("models.job.build.fit", fit)
    ran("calibrate", "--bundle", bundle, *files)
    [data] = given
    assert 0 < len(data.valid) < len(data.train)


def test_too_few_instances_to_calibrate_on_are_told_in_one_line(
    bundle: Path, files: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.job.calibrate.FEWEST", 197)
    before = (bundle / "manifest.json").read_bytes()
    line = failed("calibrate", "--bundle", bundle, *files, "--all")
    assert "196 related pairs to fit on, at least 197 are needed" in line
    assert (bundle / "manifest.json").read_bytes() == before


def test_building_in_8_bits_is_the_default() -> None:
    text = one_line(emma("build", "--help").output)
    assert "int8 or fp32" in text
    assert "[default: int8]" in text


def test_building_trains_where_nothing_is_trained_yet(
    stopped: Stopped, brief: list[str], files: list[object], test_data: Path, tmp_path: Path
) -> None:
    where = ["--checkpoint", tmp_path / "new", "--output", tmp_path / "bundle"]
    reached, _ = stopped("build", *files, *brief, "--catalogue", test_data / "relations.jsonl", *where)
    assert flags(reached.recipe) == brief


def test_every_setting_of_a_recipe_is_a_flag_of_train_and_build() -> None:
    for command in ("train", "build"):
        text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "300"}).output
        assert [name for name in Recipe.model_fields if f"--{name.replace('_', '-')}" not in text] == []


def test_relations_can_be_left_out_of_one_file(
    stopped: Stopped, brief: list[str], test_data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.jsonl"
    shutil.copy(test_data / "instances.jsonl", other)
    given = ["--instances", test_data / "instances.jsonl", "--instances", other]
    rules = ["--without", "other.jsonl=P19,P26", "--without", "instances.jsonl=P19"]
    reached, _ = stopped(
        "train", *given, "--relations", test_data / "relations.jsonl", *rules, *brief, "--output", tmp_path
    )
    found = Counter(x.relation for x in reached.data.train + reached.data.valid)
    assert [found[name] for name in ("P19", "P26", "P40")] == [0, 14, 28]


def test_missing_instances_are_told_in_one_line(files: list[object], tmp_path: Path) -> None:
    line = failed("train", "--instances", tmp_path / "absent.jsonl", *files[2:], "--output", tmp_path / "x")
    assert "absent.jsonl: cannot be read" in line


def test_missing_relations_are_told_in_one_line(files: list[object], tmp_path: Path) -> None:
    line = failed("train", *files[:2], "--relations", tmp_path / "absent.jsonl", "--output", tmp_path / "x")
    assert "absent.jsonl: cannot be read" in line


def test_a_missing_split_is_told_in_one_line(files: list[object], tmp_path: Path) -> None:
    line = failed("train", *files, "--split", tmp_path / "absent.json", "--output", tmp_path / "x")
    assert "absent.json: not a split file" in line


def test_a_missing_encoder_is_told_in_one_line(files: list[object], tmp_path: Path) -> None:
    line = failed(
        "train", *files, "--valid-fraction", 0.3, "--encoder", tmp_path / "absent", "--output", tmp_path / "x"
    )
    assert "no tokenizer at" in line


def test_a_bad_relation_file_is_told_with_its_line(files: list[object], tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('\n{"id": "P19", "name": "place of birth"}\n')
    line = failed("train", *files[:2], "--relations", tmp_path / "bad.jsonl", "--output", tmp_path / "x")
    assert line.endswith("bad.jsonl, line 2: key 'description' is missing")


def test_a_bad_instance_file_is_told_with_its_line(files: list[object], tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("\n\n{}\n")
    line = failed("train", "--instances", tmp_path / "bad.jsonl", *files[2:], "--output", tmp_path / "x")
    assert "bad.jsonl, line 3: not an instance (KeyError('relation'))" in line


def test_relations_without_a_description_are_told(files: list[object], tmp_path: Path) -> None:
    (tmp_path / "few.jsonl").write_text(
        '{"id": "P19", "name": "place of birth", "description": "Where one was born."}\n'
    )
    line = failed("train", *files[:2], "--relations", tmp_path / "few.jsonl", "--output", tmp_path / "x")
    assert "13 relations have no description" in line


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--temperature", "0", "--temperature is '0': Input should be greater than 0"),
        ("--training", "both", "--training is 'both': Input should be 'separate', 'joint' or 'recall'"),
        ("--recall-epochs", "0", "--recall-epochs is '0': Input should be greater than or equal to 1"),
        ("--reading", "published", 'the paper\'s head has no "none of these"'),
    ],
)
def test_a_bad_setting_is_told_with_its_flag(
    files: list[object], tmp_path: Path, flag: str, value: str, message: str
) -> None:
    assert message in failed("train", *files, flag, value, "--output", tmp_path / "x")


def test_all_bad_settings_are_told_at_once(files: list[object], tmp_path: Path) -> None:
    line = failed("train", *files, "--clip", "0", "--recall-batch", "1", "--output", tmp_path / "x")
    assert "--clip is '0'" in line
    assert "--recall-batch is '1'" in line


@pytest.mark.parametrize("rule", ["instances.jsonl", "absent.jsonl=P19", "instances.jsonl="])
def test_a_bad_rule_of_what_to_leave_out_is_told(files: list[object], tmp_path: Path, rule: str) -> None:
    line = failed("train", *files, "--without", rule, "--output", tmp_path / "x")
    assert f"--without {rule!r}: expected FILE=ID,ID" in line


def test_another_run_in_the_same_place_is_told(
    checkpoint: Path, brief: list[str], files: list[object], split: list[object]
) -> None:
    line = failed("train", *files, *split, *brief, "--clip", "2", "--output", checkpoint)
    assert "holds a run with another recipe" in line


@pytest.mark.parametrize("both", [True, False])
def test_either_a_checkpoint_or_a_bundle_is_evaluated(files: list[object], tmp_path: Path, both: bool) -> None:
    given = ["--checkpoint", tmp_path, "--bundle", tmp_path] if both else []
    assert "give either --checkpoint or --bundle" in failed("evaluate", *files, *given)


def test_an_unknown_part_is_told(checkpoint: Path, files: list[object], split: list[object]) -> None:
    line = failed("evaluate", *files, *split, "--checkpoint", checkpoint, "--part", "train")
    assert "--part is 'train': choose test or valid" in line


def test_a_missing_checkpoint_is_told(files: list[object], tmp_path: Path) -> None:
    assert "is not a checkpoint" in failed("evaluate", *files, "--checkpoint", tmp_path / "absent")


def test_a_missing_bundle_is_told(files: list[object], tmp_path: Path) -> None:
    assert "no bundle at" in failed("evaluate", *files, "--bundle", tmp_path / "absent")


def test_evaluated_relations_without_a_description_are_told(
    checkpoint: Path, files: list[object], tmp_path: Path
) -> None:
    (tmp_path / "few.jsonl").write_text(
        '{"id": "P19", "name": "place of birth", "description": "Where one was born."}\n'
    )
    line = failed("evaluate", *files[:2], "--relations", tmp_path / "few.jsonl", "--checkpoint", checkpoint)
    assert "no description of P108, P112, P159" in line


def test_nothing_to_evaluate_is_told(checkpoint: Path, files: list[object], tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text(
        json.dumps({"tokens": ["Ada", "met", "Bob"], "head": [0, 1], "tail": [2, 3], "relation": None})
    )
    line = failed("evaluate", "--instances", tmp_path / "none.jsonl", *files[2:], "--checkpoint", checkpoint)
    assert "no instance has a relation of this set" in line


def test_the_papers_head_cannot_be_evaluated_with_another_k(
    brief: list[str], files: list[object], split: list[object], tmp_path: Path
) -> None:
    head = ["--reading", "published", "--withheld", 0, "--reversed", 0, "--unrelated", 0, "--candidates", 2]
    ran("train", *files, *split, *brief, *head, "--output", tmp_path / "paper")
    figures, _ = evaluated(tmp_path, "--checkpoint", tmp_path / "paper", *files, *split, "--k", 2)
    assert [x["k"] for x in figures["closed_set"]] == [1, 2, 2]
    assert "exactly 2 candidates" in failed("evaluate", "--checkpoint", tmp_path / "paper", *files, *split, "--k", 3)


def test_a_number_of_candidates_below_one_is_refused(checkpoint: Path, files: list[object]) -> None:
    assert emma("evaluate", *files, "--checkpoint", checkpoint, "--k", 0).exit_code == 2


def test_an_unknown_precision_of_graphs_is_told(checkpoint: Path, files: list[object], tmp_path: Path) -> None:
    line = failed("export", "--checkpoint", checkpoint, *files, "--output", tmp_path / "x", "--graph-precision", "fp16")
    assert "--graph-precision is 'fp16': choose int8 or fp32" in line


def test_exporting_over_foreign_files_is_told(checkpoint: Path, files: list[object], tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    line = failed("export", "--checkpoint", checkpoint, *files, "--output", tmp_path)
    assert "holds files that are no bundle" in line


def test_exporting_what_has_no_classifier_is_told(
    brief: list[str], files: list[object], split: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.job.build.export_recall", lambda *_: None)
    ran("train", *files, *split, *brief, "--training", "recall", "--output", tmp_path / "recall")
    line = failed("export", "--checkpoint", tmp_path / "recall", *files, "--output", tmp_path / "x")
    assert "only a classifier that reads a sentence once for all candidates can be exported" in line


def test_indexing_without_a_bundle_is_told(test_data: Path, tmp_path: Path) -> None:
    line = failed("index", "--bundle", tmp_path, "--relations", test_data / "relations.jsonl")
    assert "no bundle at" in line
