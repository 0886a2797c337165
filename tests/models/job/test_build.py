from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import (
    CATALOGUE,
    CLASSIFIER,
    FILES,
    MANIFEST,
    RECALL,
    Bundle,
    BundleError,
    load_bundle,
    write_manifest,
)
from models.job import build as module
from models.job.build import Precision, calibrate, export, index, recipe_of, record
from models.job.checkpoint import Checkpoint, CheckpointError, new_checkpoint
from models.job.dataset import Example, validation_data
from models.job.recipe import Recipe
from models.job.verify import ExportError, Fidelity
from models.relation import Relation
from models.runtime import Runtime
from models.text import InputError


@pytest.fixture(autouse=True)
def ready_made_graphs(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint's graphs are those of `tiny_bundle`, which `export` made without this short cut."""
    for name in (RECALL, CLASSIFIER):
        graph = tiny_bundle.path / name

        def copy(checkpoint: Checkpoint, path: Path, graph: Path = graph) -> None:
            shutil.copy(graph, path)

        monkeypatch.setattr(module, f"export_{graph.stem}", copy)


Export = Callable[..., Bundle]


@pytest.fixture
def exported(tiny_checkpoint: Checkpoint, tiny_examples: list[Example], tiny_relations: dict[str, Relation]) -> Export:
    said: list[str] = []

    def run(output: Path, precision: Precision = "fp32", checkpoint: Checkpoint = tiny_checkpoint) -> Bundle:
        return export(
            checkpoint,
            output,
            precision=precision,
            name="tiny",
            instances=[x.instance for x in tiny_examples[:20]],
            relations=list(tiny_relations.values()),
            say=said.append,
        )

    return run


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle that a test may change."""
    return shutil.copytree(tiny_bundle.path, tmp_path / "copy")


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_an_export_is_a_bundle_without_relations(exported: Export, tmp_path: Path) -> None:
    bundle = exported(tmp_path / "new")
    assert bundle == load_bundle(tmp_path / "new")
    assert bundle.relations() == []
    assert bundle.vectors().shape == (0, 96)


def test_an_export_leaves_nothing_else_behind(exported: Export, tmp_path: Path) -> None:
    exported(tmp_path / "new")
    assert [file.name for file in tmp_path.iterdir()] == ["new"]
    assert content(tmp_path / "new").keys() == {*FILES, MANIFEST}


def test_the_parents_of_the_directory_are_made(exported: Export, tmp_path: Path) -> None:
    assert exported(tmp_path / "a" / "b").path == tmp_path / "a" / "b"


def test_the_manifest_tells_the_model(exported: Export, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    manifest = exported(tmp_path / "new").manifest
    recipe = tiny_checkpoint.recipe
    assert (manifest.name, manifest.precision, manifest.dimension) == ("tiny", "fp32", 96)
    assert (manifest.sentence_tokens, manifest.description_tokens) == (
        recipe.sentence_tokens,
        recipe.description_tokens,
    )
    assert manifest.candidates == recipe.choose_among
    assert manifest.calibration == tiny_checkpoint.calibration.to_json()


def test_the_manifest_tells_the_training_but_no_path(
    exported: Export, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    training = exported(tmp_path / "new").manifest.training
    assert training["data"] == tiny_checkpoint.training["data"]
    assert training["recipe"]["encoder"] == Path(tiny_checkpoint.recipe.encoder).name
    assert str(tmp_path.parent) not in json.dumps(training)


def test_the_manifest_tells_how_the_graphs_were_verified(exported: Export, tmp_path: Path) -> None:
    found = exported(tmp_path / "new").manifest.scores["verification"]
    assert found.keys() == {"fp32_against_pytorch"}
    assert found["fp32_against_pytorch"]["max_difference"] < 1e-4


def test_an_export_in_8_bits_is_verified_twice(
    exported: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A model this small is too unsure of its answers for the bound on what other choices lose.
    monkeypatch.setattr("models.job.verify.LARGEST_REGRET", 0.1)
    bundle = exported(tmp_path / "new", "int8")
    found = bundle.manifest.scores["verification"]
    assert bundle.manifest.precision == "int8"
    assert found.keys() == {"fp32_against_pytorch", "int8_against_fp32"}
    assert found["int8_against_fp32"]["min_cosine"] >= 0.99
    assert found["int8_against_fp32"]["max_difference"] > found["fp32_against_pytorch"]["max_difference"]


def test_an_export_in_8_bits_is_smaller(
    exported: Export, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.job.verify.LARGEST_REGRET", 0.1)
    files = exported(tmp_path / "new", "int8").manifest.files
    # Both together: of so small a classifier, the nodes take as much room as the weights.
    sizes = [sum(x[name].bytes for name in (RECALL, CLASSIFIER)) for x in (files, tiny_bundle.manifest.files)]
    assert sizes[0] < 0.5 * sizes[1]


def test_vectors_of_8_bits_have_a_fingerprint_of_their_own(
    exported: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.job.verify.LARGEST_REGRET", 0.1)
    full, small = exported(tmp_path / "full"), exported(tmp_path / "small", "int8")
    assert full.manifest.fingerprint != small.manifest.fingerprint


def test_a_directory_with_foreign_files_is_refused(exported: Export, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="holds files that are no bundle: give another --output"):
        exported(tmp_path / "new")
    assert content(tmp_path / "new") == {"thesis.txt": b"years of work"}


def test_a_file_in_place_of_the_directory_is_refused(exported: Export, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("years of work")
    with pytest.raises(BundleError, match="give another --output"):
        exported(tmp_path / "new")
    assert (tmp_path / "new").read_text() == "years of work"


def test_an_empty_directory_is_filled(exported: Export, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert exported(tmp_path / "new").relations() == []


def test_a_bundle_is_replaced(exported: Export, copy: Path) -> None:
    assert load_bundle(copy).relations()
    assert exported(copy).relations() == []


def broken(*args: object) -> Fidelity:
    return Fidelity(max_difference=0.5, min_cosine=0.5, top1_agreement=50.0, regret=0.5, company_effect=0.0)


def test_a_graph_that_is_not_the_model_is_not_written(
    exported: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "compare", broken)
    with pytest.raises(ExportError, match=r"largest difference from PyTorch 0.5"):
        exported(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_is_not_the_model_leaves_the_bundle_that_is_there(
    exported: Export, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(copy)
    monkeypatch.setattr(module, "compare", broken)
    with pytest.raises(ExportError):
        exported(copy)
    assert content(copy) == before


def test_a_graph_of_another_model_is_found_out(
    exported: Export, tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    other = new_checkpoint(tiny_recipe(seed=99))
    for module_ in (other.recall, other.classifier):
        assert module_ is not None
        module_.eval()
    with pytest.raises(ExportError, match="largest difference from PyTorch"):
        exported(tmp_path / "new", "fp32", other)


def test_a_checkpoint_that_cannot_be_exported_leaves_nothing_behind(
    exported: Export, tiny_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.job.export import export_classifier

    monkeypatch.setattr(module, "export_classifier", export_classifier)
    recipe = tiny_recipe(reading="published", withheld=0, reversed=0, unrelated=0)
    with pytest.raises(CheckpointError, match="reads a sentence once"):
        exported(tmp_path / "new", "fp32", new_checkpoint(recipe))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_replacement_is_no_bundle(exported: Export, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, left = shutil.move, [2]

    def move(source: Path, target: Path) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        whole(source, target)

    monkeypatch.setattr(shutil, "move", move)
    with pytest.raises(KeyboardInterrupt):
        exported(copy)
    with pytest.raises(BundleError, match="no bundle at"):
        load_bundle(copy)


WORK = Relation("P800", "notable work", "The tail is what made the head famous.")


def test_an_index_replaces_the_catalogue(copy: Path) -> None:
    bundle = index(copy, [WORK])
    assert bundle.relations() == [WORK]
    assert bundle.vectors().shape == (1, 96)


def test_an_index_holds_the_vectors_of_the_bundles_own_graph(copy: Path) -> None:
    runtime = Runtime(index(copy, [WORK]), threads=1)
    np.testing.assert_allclose(
        runtime.bundle.vectors(), runtime.encode_descriptions(runtime.describe([WORK])), atol=1e-6
    )


def test_an_index_keeps_the_rest_of_the_bundle(copy: Path, tiny_bundle: Bundle) -> None:
    manifest = index(copy, [WORK]).manifest
    assert manifest.model_copy(update={"files": {}}) == tiny_bundle.manifest.model_copy(update={"files": {}})
    assert manifest.files[RECALL] == tiny_bundle.manifest.files[RECALL]
    assert manifest.files[CATALOGUE] != tiny_bundle.manifest.files[CATALOGUE]


def test_an_unreadable_description_leaves_the_bundle_as_it_was(copy: Path) -> None:
    before = content(copy)
    with pytest.raises(InputError, match="no readable character"):
        index(copy, [WORK, replace(WORK, id="x", name="", description="\x07")])
    assert content(copy) == before


def test_there_is_nothing_to_index_where_there_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle at"):
        index(tmp_path, [WORK])


def test_a_calibration_is_fitted_from_the_fixed_proportion(
    copy: Path, tiny_bundle: Bundle, tiny_examples: list[Example], tiny_relations: dict[str, Relation]
) -> None:
    other = replace(tiny_bundle.calibration, classifier_weight=7.0, recall_weight=0.1)
    write_manifest(copy, tiny_bundle.manifest.model_copy(update={"calibration": other.to_json()}))
    found = calibrate(copy, validation_data(tiny_examples, tiny_relations)).calibration
    assert found.recall_weight == pytest.approx(found.classifier_weight / recipe_of(tiny_bundle).temperature)
    assert found.threshold == load_bundle(copy).calibration.threshold


@pytest.mark.parametrize("training", [{}, {"recipe": {"encoder": "x", "nonsense": 1}}])
def test_a_bundle_that_tells_no_recipe_cannot_be_calibrated(
    copy: Path, tiny_bundle: Bundle, training: dict[str, object]
) -> None:
    write_manifest(copy, tiny_bundle.manifest.model_copy(update={"training": training}))
    with pytest.raises(BundleError, match="does not tell the recipe"):
        calibrate(copy, validation_data([], {}))


def test_a_score_is_added_to_those_that_are_there(copy: Path, tiny_bundle: Bundle) -> None:
    bundle = record(copy, {"test": {"f1": 90.0}})
    assert bundle.manifest.scores == tiny_bundle.manifest.scores | {"test": {"f1": 90.0}}
    assert load_bundle(copy).manifest == bundle.manifest
    assert bundle.manifest.files == tiny_bundle.manifest.files
