from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
import torch

from models.bundle import CLASSIFIER, FILES, MANIFEST, RECALL, Bundle
from models.candidates import CandidateList, without_absent
from models.job.checkpoint import Checkpoint, CheckpointError, new_checkpoint
from models.job.export import export_classifier, export_recall
from models.job.recipe import Recipe
from tests.models.job.graphs import Arrays, batch, candidate_lists, laid_out, run, session, trimmed

SHAPES = [(1, 3), (1, 17), (2, 12), (3, 40), (7, 64), (32, 25)]
LISTS = [(1, 1, 5), (1, 6, 17), (2, 2, 12), (3, 1, 40), (7, 4, 64), (32, 5, 25)]
CLOSED = {"reading": "published", "withheld": 0, "reversed": 0, "unrelated": 0}


def chosen(arrays: Arrays, *names: str) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(arrays[name]) for name in names}


def recall_in_torch(checkpoint: Checkpoint, arrays: Arrays) -> dict[str, npt.NDArray[np.float32]]:
    names = ("input_ids", "attention_mask", "content_mask", "marker_positions")
    tensors, recall = chosen(arrays, *names), checkpoint.recall
    with torch.inference_mode():
        hidden = recall.encoder(tensors["input_ids"], tensors["attention_mask"])
        found = {
            "instance": recall.instance_vectors(hidden, tensors["marker_positions"]),
            "description": recall.description_vectors(hidden, tensors["content_mask"]),
            # One layer of the two is the classifier's own.
            "states": recall.encoder.lower(tensors["input_ids"], tensors["attention_mask"], 1),
        }
    return {name: tensor.numpy() for name, tensor in found.items()}


def logits_in_torch(checkpoint: Checkpoint, arrays: Arrays) -> npt.NDArray[np.float32]:
    assert checkpoint.classifier is not None
    with torch.inference_mode():
        return np.asarray(checkpoint.classifier(**chosen(arrays, *arrays)).numpy())


@pytest.mark.parametrize(("rows", "length"), SHAPES)
@pytest.mark.parametrize("output", ["instance", "description", "states"])
def test_the_recall_graph_computes_what_pytorch_does_at_any_shape(
    tiny_checkpoint: Checkpoint, recall_graph: ort.InferenceSession, rows: int, length: int, output: str
) -> None:
    arrays = batch(tiny_checkpoint, rows, length)
    expected = recall_in_torch(tiny_checkpoint, arrays)[output]
    assert np.abs(run(recall_graph, output, arrays) - expected).max() < 1e-4


@pytest.mark.parametrize(("rows", "k", "length"), LISTS)
def test_the_classifier_graph_computes_what_pytorch_does_at_any_shape(
    tiny_checkpoint: Checkpoint, classifier_graph: ort.InferenceSession, rows: int, k: int, length: int
) -> None:
    lists = candidate_lists(rows, k, length)
    arrays = laid_out(lists)
    found, expected = run(classifier_graph, "logits", arrays), logits_in_torch(tiny_checkpoint, arrays)
    assert found.shape == expected.shape == (rows, k)
    present = np.isfinite(without_absent(expected, lists, k))
    assert np.abs(found - expected)[present].max() < 1e-4


@pytest.mark.parametrize("output", ["instance", "description", "states"])
def test_a_text_alone_gives_what_it_gives_in_a_batch(
    tiny_checkpoint: Checkpoint, tiny_bundle: Bundle, output: str
) -> None:
    graph = session(tiny_bundle.path / RECALL)
    arrays = batch(tiny_checkpoint, 9, 50)
    for row, together in enumerate(run(graph, output, arrays)):
        [alone] = run(graph, output, trimmed(arrays, row))
        assert np.abs(together[: len(alone)] - alone).max() < 1e-3


def test_a_candidate_alone_gives_what_it_gives_in_a_batch(tiny_bundle: Bundle) -> None:
    graph = session(tiny_bundle.path / CLASSIFIER)
    lists = candidate_lists(7, 4, 30)
    for each, together in zip(lists, run(graph, "logits", laid_out(lists)), strict=True):
        alone = [run(graph, "logits", laid_out([CandidateList(each.instance, (y,))]))[0, 0] for y in each.candidates]
        assert np.abs(together[: len(alone)] - alone).max() < 1e-3


def test_no_file_tells_where_it_was_made(tiny_bundle: Bundle, tiny_encoder: Path) -> None:
    places = [Path(__file__).parents[3], tiny_encoder, tiny_bundle.path.parent, Path(onnx.__file__).parents[1]]
    files = [tiny_bundle.path / name for name in (*FILES, MANIFEST)]
    contents = {file: file.read_bytes() for file in files}
    assert [(file, place) for file in files for place in places if str(place).encode() in contents[file]] == []


@pytest.mark.parametrize("export", [export_recall, export_classifier])
@pytest.mark.parametrize(
    "settings",
    [{"reading": "pairs"}, CLOSED, {"training": "recall"}],
    ids=["pairs", "the paper's head", "recall only"],
)
def test_what_does_not_read_a_sentence_once_cannot_be_exported(
    tiny_recipe: Callable[..., Recipe],
    tmp_path: Path,
    settings: dict[str, object],
    export: Callable[[Checkpoint, Path], None],
) -> None:
    with pytest.raises(CheckpointError, match="only a classifier that reads a sentence once for all candidates"):
        export(new_checkpoint(tiny_recipe(**settings)), tmp_path / "graph.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        (
            RECALL,
            {"input_ids", "attention_mask", "content_mask", "marker_positions"},
            {"instance", "description", "states"},
        ),
        (CLASSIFIER, {"states", "segments", "marker_positions", "starts"}, {"logits"}),
    ],
)
def test_a_graph_names_its_inputs_and_outputs(
    tiny_bundle: Bundle, name: str, inputs: set[str], outputs: set[str]
) -> None:
    graph = session(tiny_bundle.path / name)
    assert {node.name for node in graph.get_inputs()} == inputs
    assert {node.name for node in graph.get_outputs()} == outputs


def test_warnings_are_heard_again_after_exporting(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    before = warnings.filters[:]
    export_classifier(tiny_checkpoint, tmp_path / CLASSIFIER)
    assert warnings.filters == before
