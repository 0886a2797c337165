"""Checkpoint → bundle: export the graphs, verify them, encode a catalogue, write the manifest last."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from models.bundle import (
    CATALOGUE,
    CLASSIFIER,
    FILES,
    INDEX,
    MANIFEST,
    RECALL,
    TOKENIZER,
    Bundle,
    BundleError,
    FileRecord,
    Manifest,
    fingerprint,
    load_bundle,
    write_manifest,
)
from models.candidates import CandidateList
from models.chunks import Vectors
from models.emma.encoder import save_vocabulary
from models.job.calibrate import calibrate as fit
from models.job.checkpoint import Checkpoint
from models.job.dataset import TrainingData
from models.job.export import export_classifier, export_recall
from models.job.quantise import quantise
from models.job.recipe import Recipe
from models.job.verify import check_fp32, check_quantised, compare
from models.relation import Relation, write_relations
from models.runtime import Runtime
from models.text import Instance
from models.wordings import relation_vectors

Precision = Literal["fp32", "int8"]
Say = Callable[[str], None]

SAMPLES = 64
"""Texts of each kind by which the sizes of a graph's values are known before they are brought into 8 bits."""


def export(
    checkpoint: Checkpoint,
    output: Path,
    *,
    precision: Precision,
    name: str,
    instances: Sequence[Instance],
    relations: Sequence[Relation],
    say: Say,
) -> Bundle:
    """Write a bundle that has no relations yet, after its graphs were found to be the model.

    Args:
        checkpoint: trained, with a classifier that reads a sentence once for all candidates.
        output: a directory that is absent, empty, or a bundle that is replaced.
        precision: of the graphs.
        name: of the model; every answer carries it.
        instances: what to verify on; at least 100 make a percentage of agreement mean something.
        relations: the candidates of the verification.
        say: takes one line for each step done.

    Raises:
        models.job.checkpoint.CheckpointError: the checkpoint cannot be exported.
        models.job.verify.ExportError: an exported graph is not the model any more.
        BundleError: `output` holds something else than a bundle.
    """
    foreign = output.exists() and (not output.is_dir() or any(output.iterdir()))
    if foreign and not (output / MANIFEST).is_file():
        raise BundleError(f"{output} holds files that are no bundle: give another --output")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-") as folder:
        full, small = Path(folder, "fp32"), Path(folder, "int8")
        full.mkdir()
        save_vocabulary(checkpoint.vocabulary, full / TOKENIZER)
        export_recall(checkpoint, full / RECALL)
        export_classifier(checkpoint, full / CLASSIFIER)
        exported = Runtime(_described(checkpoint, full, "fp32", name))
        fidelity = compare(checkpoint.exact(), exported, checkpoint.calibration, instances, relations)
        say(f"fp32 against PyTorch: {json.dumps(fidelity.to_json())}")
        check_fp32(fidelity)
        verified = {"fp32_against_pytorch": fidelity.to_json()}
        kept = full
        if precision == "int8":
            small.mkdir()
            shutil.copy(full / TOKENIZER, small / TOKENIZER)
            for graph, samples in _samples(exported, instances[:SAMPLES], relations).items():
                quantise(full / graph, small / graph, samples)
            quantised = Runtime(_described(checkpoint, small, "int8", name))
            fidelity = compare(exported, quantised, checkpoint.calibration, instances, relations)
            say(f"int8 against fp32: {json.dumps(fidelity.to_json())}")
            check_quantised(fidelity)
            verified["int8_against_fp32"] = fidelity.to_json()
            kept = small
        _described(checkpoint, kept, precision, name, {"verification": verified})
        output.mkdir(exist_ok=True)
        (output / MANIFEST).unlink(missing_ok=True)
        # The manifest goes last: until it is there, the directory is no bundle.
        for file in (*FILES, MANIFEST):
            shutil.move(kept / file, output / file)
    return load_bundle(output)


def index(path: Path, relations: Sequence[Relation]) -> Bundle:
    """Encode a catalogue with a bundle's own graphs and put it into the bundle, in place of what it had.

    Raises:
        BundleError: `path` is no bundle.
        models.text.InputError: a description has no readable character.
    """
    runtime = Runtime(load_bundle(path))
    vectors = relation_vectors(runtime, relations)
    (path / MANIFEST).unlink()
    _write_catalogue(path, relations, vectors)
    return _rewritten(path, runtime.bundle.manifest)


def recipe_of(bundle: Bundle) -> Recipe:
    """The recipe that a bundle was trained by.

    Raises:
        BundleError: it does not tell, or tells what this version does not know.
    """
    try:
        return Recipe.model_validate(bundle.manifest.training["recipe"])
    except (KeyError, ValidationError) as error:
        raise BundleError(f"{bundle.path} does not tell the recipe that it was trained by: build it anew") from error


def calibrate(path: Path, data: TrainingData) -> Bundle:
    """Fit how a bundle's scores are put together on the graphs that it has, as `models.job.calibrate` does.

    Raises:
        BundleError: `path` is no bundle, or does not tell the recipe that it was trained by.
    """
    runtime = Runtime(load_bundle(path))
    recipe = recipe_of(runtime.bundle)
    start = replace(runtime.bundle.calibration, classifier_weight=1.0, recall_weight=1 / recipe.temperature)
    fitted = fit(runtime, start, recipe, data)
    return _rewritten(path, runtime.bundle.manifest.model_copy(update={"calibration": fitted.to_json()}))


def record(path: Path, scores: dict[str, Any]) -> Bundle:
    """Add what a bundle scored to its manifest.

    Raises:
        BundleError: `path` is no bundle.
    """
    manifest = load_bundle(path).manifest
    return _rewritten(path, manifest.model_copy(update={"scores": manifest.scores | scores}))


def _samples(
    runtime: Runtime, instances: Sequence[Instance], relations: Sequence[Relation]
) -> dict[str, list[Mapping[str, npt.NDArray[Any]]]]:
    """Inputs of each graph, one text or list of candidates each, so that nothing is padded."""
    inputs, described = runtime.prepare(instances), runtime.describe(relations)
    lists = [
        CandidateList(x, tuple(described[i : i + 1]))
        for x, i in zip(inputs, cycle(range(len(described))), strict=False)
    ]
    return {
        RECALL: [
            *(runtime.inputs.instance_arrays([x]) for x in inputs),
            *(runtime.inputs.description_arrays([x]) for x in described[:SAMPLES]),
        ],
        CLASSIFIER: [runtime.layout([x]).arrays() for x in lists],
    }


def _described(
    checkpoint: Checkpoint, folder: Path, precision: Precision, name: str, scores: dict[str, Any] | None = None
) -> Bundle:
    recipe = checkpoint.recipe
    _write_catalogue(folder, [], np.zeros((0, checkpoint.recall.dimension), dtype=np.float32))
    manifest = Manifest(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        precision=precision,
        dimension=checkpoint.recall.dimension,
        fingerprint=fingerprint(folder / TOKENIZER, folder / RECALL, checkpoint.inputs.lengths),
        sentence_tokens=recipe.sentence_tokens,
        description_tokens=recipe.description_tokens,
        special_tokens=checkpoint.vocabulary.special,
        candidates=recipe.choose_among,
        calibration=checkpoint.calibration.to_json(),
        training=checkpoint.training | {"recipe": recipe.public()},
        scores=scores or {},
        files={},
    )
    return _rewritten(folder, manifest)


def _rewritten(path: Path, manifest: Manifest) -> Bundle:
    files = {file: FileRecord.of(path / file) for file in FILES}
    write_manifest(path, manifest.model_copy(update={"files": files}))
    return load_bundle(path)


def _write_catalogue(path: Path, relations: Sequence[Relation], vectors: Vectors) -> None:
    write_relations(relations, path / CATALOGUE)
    vectors_index = faiss.IndexFlatIP(vectors.shape[1])
    vectors_index.add(vectors)
    faiss.write_index(vectors_index, str(path / INDEX))
