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
from onnx import numpy_helper

from models.bundle import CLASSIFIER, FILES, MANIFEST, RECALL, Bundle
from models.job.checkpoint import Checkpoint, CheckpointError, new_checkpoint
from models.job.export import BLOCK, TABLE_ROWS, export_classifier, quantise
from models.job.recipe import Recipe
from models.text import Arrays

SHAPES = [(1, 3), (1, 17), (2, 12), (3, 40), (7, 64), (32, 25)]
CLOSED = {"head": "concatenated", "withheld": 0, "reversed": 0, "unrelated": 0}


@pytest.fixture(scope="module")
def small(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's graphs in 8 bits."""
    folder = tmp_path_factory.mktemp("int8")
    for name in (RECALL, CLASSIFIER):
        quantise(tiny_bundle.path / name, folder / name)
    return folder


def session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def batch(checkpoint: Checkpoint, rows: int, length: int) -> Arrays:
    """Rows of random tokens, of which the last is the longest and the first the shortest."""
    draw = np.random.default_rng(rows * 100 + length)
    ids = draw.integers(5, checkpoint.vocabulary.tokenizer.get_vocab_size(), (rows, length))
    lengths = np.linspace(3, length, rows).astype(int) if rows > 1 else np.array([length])
    mask = (np.arange(length) < lengths[:, None]).astype(np.int64)
    content = mask.copy()
    content[:, 0] = 0
    content[np.arange(rows), lengths - 1] = 0
    types = (np.arange(length) >= lengths[:, None] // 2).astype(np.int64) * mask
    positions = np.stack([np.ones(rows), np.maximum(1, lengths - 2)], axis=1).astype(np.int64)
    return {
        "input_ids": ids * mask,
        "attention_mask": mask,
        "content_mask": content,
        "token_type_ids": types,
        "marker_positions": positions,
    }


def run(graph: ort.InferenceSession, output: str, arrays: Arrays) -> npt.NDArray[np.float32]:
    wanted = {node.name for node in graph.get_inputs()}
    return np.asarray(graph.run([output], {k: v for k, v in arrays.items() if k in wanted})[0])


def chosen(arrays: Arrays, *names: str) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(arrays[name]) for name in names}


def recall_in_torch(checkpoint: Checkpoint, arrays: Arrays) -> dict[str, npt.NDArray[np.float32]]:
    names = ("input_ids", "attention_mask", "content_mask", "marker_positions")
    with torch.inference_mode():
        instance, description = checkpoint.recall(**chosen(arrays, *names))
    return {"instance": instance.numpy(), "description": description.numpy()}


def logits_in_torch(checkpoint: Checkpoint, arrays: Arrays) -> npt.NDArray[np.float32]:
    assert checkpoint.classifier is not None
    names = ("input_ids", "attention_mask", "token_type_ids", "marker_positions")
    with torch.inference_mode():
        return np.asarray(checkpoint.classifier(**chosen(arrays, *names))[:, 0].numpy())


@pytest.fixture(scope="module")
def recall(tiny_bundle: Bundle) -> ort.InferenceSession:
    return session(tiny_bundle.path / RECALL)


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Bundle) -> ort.InferenceSession:
    return session(tiny_bundle.path / CLASSIFIER)


@pytest.mark.parametrize(("rows", "length"), SHAPES)
@pytest.mark.parametrize("output", ["instance", "description"])
def test_the_recall_graph_computes_what_pytorch_does_at_any_shape(
    tiny_checkpoint: Checkpoint, recall: ort.InferenceSession, rows: int, length: int, output: str
) -> None:
    arrays = batch(tiny_checkpoint, rows, length)
    expected = recall_in_torch(tiny_checkpoint, arrays)[output]
    assert np.abs(run(recall, output, arrays) - expected).max() < 1e-4


@pytest.mark.parametrize(("rows", "length"), SHAPES)
def test_the_classifier_graph_computes_what_pytorch_does_at_any_shape(
    tiny_checkpoint: Checkpoint, classifier: ort.InferenceSession, rows: int, length: int
) -> None:
    arrays = batch(tiny_checkpoint, rows, length)
    found = run(classifier, "logit", arrays)
    assert found.shape == (rows,)
    assert np.abs(found - logits_in_torch(tiny_checkpoint, arrays)).max() < 1e-4


def trimmed(arrays: Arrays, row: int) -> Arrays:
    """One row without its padding."""
    length = int(arrays["attention_mask"][row].sum())
    return {
        name: array[row : row + 1] if name == "marker_positions" else array[row : row + 1, :length]
        for name, array in arrays.items()
    }


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(("name", "output"), [(RECALL, "instance"), (RECALL, "description"), (CLASSIFIER, "logit")])
def test_a_row_alone_gives_what_it_gives_in_a_batch(
    tiny_checkpoint: Checkpoint, tiny_bundle: Bundle, small: Path, precision: str, name: str, output: str
) -> None:
    graph = session((small if precision == "int8" else tiny_bundle.path) / name)
    arrays = batch(tiny_checkpoint, 9, 50)
    together = run(graph, output, arrays)
    alone = np.concatenate([run(graph, output, trimmed(arrays, row)) for row in range(9)])
    assert np.abs(together - alone).max() < 1e-3


@pytest.mark.parametrize("output", ["instance", "description"])
def test_eight_bits_keep_the_direction_of_every_vector(
    tiny_checkpoint: Checkpoint, recall: ort.InferenceSession, small: Path, output: str
) -> None:
    arrays, graph = batch(tiny_checkpoint, 32, 40), session(small / RECALL)
    full, coarse = run(recall, output, arrays), run(graph, output, arrays)
    assert (full * coarse).sum(axis=1).min() >= 0.99
    assert not np.array_equal(full, coarse)


def test_eight_bits_keep_the_logits(tiny_checkpoint: Checkpoint, classifier: ort.InferenceSession, small: Path) -> None:
    arrays = batch(tiny_checkpoint, 32, 40)
    full, coarse = run(classifier, "logit", arrays), run(session(small / CLASSIFIER), "logit", arrays)
    assert np.abs(full - coarse).max() < 0.1


@pytest.mark.parametrize("name", [RECALL, CLASSIFIER])
def test_eight_bits_shrink_the_file(tiny_bundle: Bundle, small: Path, name: str) -> None:
    assert (small / name).stat().st_size < 0.5 * (tiny_bundle.path / name).stat().st_size


@pytest.mark.parametrize("name", [RECALL, CLASSIFIER])
def test_eight_bits_hold_the_token_table_and_the_weights_of_every_product(small: Path, name: str) -> None:
    graph = onnx.load(str(small / name)).graph
    stored = {x.name: x for x in graph.initializer}
    coarse = [x for x in stored.values() if x.data_type == onnx.TensorProto.INT8]
    assert max(x.dims[0] for x in coarse) > TABLE_ROWS
    # Two layers of six products each.
    assert len(coarse) > 12
    weights = [stored[node.input[1]] for node in graph.node if node.op_type == "MatMul" and node.input[1] in stored]
    assert [x.name for x in weights if len(x.dims) == 2 and x.dims[0] % BLOCK == 0] == []


@pytest.mark.parametrize("name", [RECALL, CLASSIFIER])
def test_eight_bits_leave_the_weights_within_half_a_step(tiny_bundle: Bundle, small: Path, name: str) -> None:
    def table(folder: Path, kind: int) -> list[npt.NDArray[np.float32]]:
        graph = onnx.load(str(folder / name)).graph
        found = [x for x in graph.initializer if len(x.dims) == 2 and x.dims[0] > TABLE_ROWS and x.data_type == kind]
        return [numpy_helper.to_array(x).astype(np.float32) for x in found]

    [full] = table(tiny_bundle.path, onnx.TensorProto.FLOAT)
    [coarse] = table(small, onnx.TensorProto.INT8)
    [scale] = table(small, onnx.TensorProto.FLOAT)
    assert (np.abs(coarse * scale - full) <= scale * 0.501).all()


def test_quantising_leaves_its_source(tiny_bundle: Bundle, tmp_path: Path) -> None:
    before = (tiny_bundle.path / RECALL).read_bytes()
    quantise(tiny_bundle.path / RECALL, tmp_path / RECALL)
    assert (tiny_bundle.path / RECALL).read_bytes() == before


def test_no_file_tells_where_it_was_made(tiny_bundle: Bundle, small: Path, tiny_encoder: Path) -> None:
    places = [Path(__file__).parents[3], tiny_encoder, tiny_bundle.path.parent, Path(onnx.__file__).parents[1]]
    files = [tiny_bundle.path / name for name in (*FILES, MANIFEST)] + [small / name for name in (RECALL, CLASSIFIER)]
    contents = {file: file.read_bytes() for file in files}
    assert [(file, place) for file in files for place in places if str(place).encode() in contents[file]] == []


@pytest.mark.parametrize("settings", [CLOSED, {"training": "recall"}], ids=["concatenated head", "recall only"])
def test_a_checkpoint_without_a_shared_head_cannot_be_exported(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path, settings: dict[str, object]
) -> None:
    with pytest.raises(CheckpointError, match="only a classifier with the shared head can be exported"):
        export_classifier(new_checkpoint(tiny_recipe(**settings)), tmp_path / CLASSIFIER)
    assert not (tmp_path / CLASSIFIER).exists()


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        (
            RECALL,
            {"input_ids", "attention_mask", "content_mask", "marker_positions"},
            {"instance", "description"},
        ),
        (CLASSIFIER, {"input_ids", "token_type_ids", "attention_mask", "marker_positions"}, {"logit"}),
    ],
)
def test_a_graph_names_its_inputs_and_outputs(
    tiny_bundle: Bundle, name: str, inputs: set[str], outputs: set[str]
) -> None:
    graph = session(tiny_bundle.path / name)
    assert {node.name for node in graph.get_inputs()} == inputs
    assert {node.name for node in graph.get_outputs()} == outputs


def test_warnings_are_heard_again_after_quantising(tiny_bundle: Bundle, tmp_path: Path) -> None:
    before = warnings.filters[:]
    quantise(tiny_bundle.path / RECALL, tmp_path / RECALL)
    assert warnings.filters == before
