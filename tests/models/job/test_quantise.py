from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.bundle import CLASSIFIER, RECALL, Bundle
from models.candidates import CandidateList
from models.job.checkpoint import Checkpoint
from models.job.quantise import LARGEST_WEIGHT, TABLE_ROWS, quantise
from tests.models.job.graphs import batch, candidate_lists, laid_out, run, samples, session, trimmed


@pytest.fixture(scope="module")
def small(tiny_checkpoint: Checkpoint, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's graphs in 8 bits."""
    folder = tmp_path_factory.mktemp("int8")
    for name in (RECALL, CLASSIFIER):
        quantise(tiny_bundle.path / name, folder / name, samples(tiny_checkpoint, name))
    return folder


@pytest.mark.parametrize("output", ["instance", "description", "states"])
def test_a_text_alone_gives_what_it_gives_in_a_batch(tiny_checkpoint: Checkpoint, small: Path, output: str) -> None:
    graph = session(small / RECALL)
    arrays = batch(tiny_checkpoint, 9, 50)
    for row, together in enumerate(run(graph, output, arrays)):
        [alone] = run(graph, output, trimmed(arrays, row))
        assert np.abs(together[: len(alone)] - alone).max() < 1e-3


def test_a_candidate_alone_gives_what_it_gives_in_a_batch(small: Path) -> None:
    graph = session(small / CLASSIFIER)
    lists = candidate_lists(7, 4, 30)
    for each, together in zip(lists, run(graph, "logits", laid_out(lists)), strict=True):
        alone = [run(graph, "logits", laid_out([CandidateList(each.instance, (y,))]))[0, 0] for y in each.candidates]
        assert np.abs(together[: len(alone)] - alone).max() < 1e-3


@pytest.mark.parametrize("output", ["instance", "description"])
def test_eight_bits_keep_the_direction_of_every_vector(
    tiny_checkpoint: Checkpoint, recall_graph: ort.InferenceSession, small: Path, output: str
) -> None:
    arrays, graph = batch(tiny_checkpoint, 32, 40), session(small / RECALL)
    full, coarse = run(recall_graph, output, arrays), run(graph, output, arrays)
    assert (full * coarse).sum(axis=1).min() >= 0.99
    assert not np.array_equal(full, coarse)


def test_eight_bits_keep_the_logits(classifier_graph: ort.InferenceSession, small: Path) -> None:
    arrays = laid_out(candidate_lists(32, 1, 40))
    full, coarse = run(classifier_graph, "logits", arrays), run(session(small / CLASSIFIER), "logits", arrays)
    assert np.abs(full - coarse).max() < 0.1


def test_eight_bits_shrink_the_files(tiny_bundle: Bundle, small: Path) -> None:
    # Both together: of so small a classifier, the nodes take as much room as the weights.
    sizes = [sum((x / name).stat().st_size for name in (RECALL, CLASSIFIER)) for x in (small, tiny_bundle.path)]
    assert sizes[0] < 0.5 * sizes[1]


# Two layers of six products each and the token table; one layer and the perceptron's first.
@pytest.mark.parametrize(("name", "least"), [(RECALL, 13), (CLASSIFIER, 7)])
def test_eight_bits_hold_the_weights_of_every_product(small: Path, name: str, least: int) -> None:
    graph = onnx.load(str(small / name)).graph
    stored = {x.name: x for x in graph.initializer}
    coarse = [x for x in stored.values() if x.data_type == onnx.TensorProto.INT8]
    assert len(coarse) >= least
    weights = [stored[node.input[1]] for node in graph.node if node.op_type == "MatMul" and node.input[1] in stored]
    assert [x.name for x in weights if len(x.dims) == 2] == []


def test_eight_bits_leave_the_token_table_within_half_a_step(tiny_bundle: Bundle, small: Path) -> None:
    def table(folder: Path, kind: int) -> list[npt.NDArray[np.float32]]:
        graph = onnx.load(str(folder / RECALL)).graph
        found = [x for x in graph.initializer if len(x.dims) == 2 and x.dims[0] > TABLE_ROWS and x.data_type == kind]
        return [numpy_helper.to_array(x).astype(np.float32) for x in found]

    [full] = table(tiny_bundle.path, onnx.TensorProto.FLOAT)
    [coarse] = table(small, onnx.TensorProto.INT8)
    [scale] = table(small, onnx.TensorProto.FLOAT)
    assert (np.abs(coarse * scale - full) <= scale * 0.501).all()


def test_quantising_leaves_its_source(tiny_checkpoint: Checkpoint, tiny_bundle: Bundle, tmp_path: Path) -> None:
    before = (tiny_bundle.path / RECALL).read_bytes()
    quantise(tiny_bundle.path / RECALL, tmp_path / RECALL, samples(tiny_checkpoint, RECALL))
    assert (tiny_bundle.path / RECALL).read_bytes() == before


def product(path: Path, weight: npt.NDArray[np.float32]) -> Path:
    """A graph that multiplies `x` with a matrix."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(weight)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, weight.shape[1]])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path


def quantised_product(
    folder: Path, weight: npt.NDArray[np.float32], x: npt.NDArray[np.float32]
) -> ort.InferenceSession:
    quantise(product(folder / "full.onnx", weight), folder / "small.onnx", [{"x": x}])
    return session(folder / "small.onnx")


def test_a_product_is_nearly_the_same(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    weight, x = draw.standard_normal((64, 32), dtype=np.float32), draw.standard_normal((50, 64), dtype=np.float32)
    found, expected = run(quantised_product(tmp_path, weight, x), "y", {"x": x}), x @ weight
    assert 0 < np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


def test_a_row_of_large_values_costs_its_neighbours_no_digits(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    weight, x = draw.standard_normal((64, 32), dtype=np.float32), draw.standard_normal((2, 64), dtype=np.float32)
    graph = quantised_product(tmp_path, weight, x)
    scaled = x * np.array([[1], [1000]], dtype=np.float32)
    assert np.array_equal(run(graph, "y", {"x": scaled})[0], run(graph, "y", {"x": x})[0])


def test_a_channel_of_large_values_leaves_the_others_their_digits(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    weight, x = draw.standard_normal((64, 32), dtype=np.float32), draw.standard_normal((200, 64), dtype=np.float32)
    x[:, 7] *= 300
    weight[7] /= 300
    found, expected = run(quantised_product(tmp_path, weight, x), "y", {"x": x}), x @ weight
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_a_row_of_zeros_stays_zero(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((64, 32), dtype=np.float32)
    graph = quantised_product(tmp_path, weight, np.ones((1, 64), dtype=np.float32))
    assert not run(graph, "y", {"x": np.zeros((3, 64), dtype=np.float32)}).any()


def test_no_sum_of_two_products_leaves_sixteen_bits(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((64, 32), dtype=np.float32)
    quantised_product(tmp_path, weight, np.ones((1, 64), dtype=np.float32))
    stored = [numpy_helper.to_array(x) for x in onnx.load(str(tmp_path / "small.onnx")).graph.initializer]
    [small] = [x for x in stored if x.dtype == np.int8]
    assert np.abs(small.astype(int)).max() == LARGEST_WEIGHT
    assert 2 * 255 * LARGEST_WEIGHT < 2**15


def test_inputs_that_several_matrices_share_are_brought_into_8_bits_once(small: Path) -> None:
    nodes = onnx.load(str(small / RECALL)).graph.node
    kinds = [x.op_type for x in nodes]
    # Of the six products of a layer, query, key and value have one input.
    assert kinds.count("QuantizeLinear") == 4 * 2
    assert kinds.count("MatMulInteger") == 6 * 2
