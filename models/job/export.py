"""Checkpoint → ONNX graphs, in fp32 and in 8 bits."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from models.emma.classifier import PairClassifier, SharedHead
from models.job.checkpoint import Checkpoint, CheckpointError
from models.text import Arrays, Instance, Span

OPSET = 18
BLOCK = 16
"""Weights that share one scale; a divisor of every encoder's width."""

TABLE_ROWS = 1024
"""Embedding tables with fewer rows, such as that of positions, are small enough as they are."""

Floats: TypeAlias = npt.NDArray[np.float32]


def export_recall(checkpoint: Checkpoint, path: Path) -> None:
    """Write the recall tower as a graph with two outputs, `instance` and `description`.

    Both towers share one encoder, so one graph holds it once: the pools cost next to nothing beside it.
    """
    arrays = _example(checkpoint, pairs=False)
    names = ["input_ids", "attention_mask", "content_mask", "marker_positions"]
    _export(checkpoint.recall, arrays, names, ["instance", "description"], path)


def export_classifier(checkpoint: Checkpoint, path: Path) -> None:
    """Write the classifier as a graph from pairs to `logit` (pairs,).

    Raises:
        CheckpointError: there is none, or its head reads all candidates at once.
    """
    if checkpoint.classifier is None or not isinstance(checkpoint.classifier.head, SharedHead):
        raise CheckpointError(
            "only a classifier with the shared head can be exported, for it scores any number of candidates: "
            "train with --training separate or joint and --head shared"
        )
    arrays = _example(checkpoint, pairs=True)
    names = ["input_ids", "token_type_ids", "attention_mask", "marker_positions"]
    _export(_Logits(checkpoint.classifier), arrays, names, ["logit"], path)


def quantise(source: Path, target: Path) -> None:
    """Write a version of a graph whose weights take 8 bits: those of products by block, token tables by row.

    Activations stay in full precision: no scale is shared between the rows of a batch, so an answer cannot depend
    on who shares it, and first choices stay what they were. ONNX Runtime puts the products' weights together once,
    when it loads the graph, so the graph is as fast as the one in fp32 and not faster.
    """
    model = onnx.load(str(source))
    _quantise_tables(model.graph)
    _quantise_products(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


class _Logits(nn.Module):
    def __init__(self, classifier: PairClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor, marker_positions: Tensor
    ) -> Tensor:
        logits: Tensor = self.classifier(input_ids, token_type_ids, attention_mask, marker_positions)
        return logits[:, 0]


def _example(checkpoint: Checkpoint, *, pairs: bool) -> Arrays:
    sentence = "Ada Lovelace was born in London and worked with Charles Babbage."
    instances = checkpoint.prepare(
        [Instance(sentence, Span(0, 12), Span(25, 31)), Instance(sentence[:32], Span(25, 31), Span(0, 12))]
    )
    if not pairs:
        return checkpoint.inputs.instance_arrays(instances)
    described = checkpoint.inputs.descriptions(["place of birth: where someone was born", "employer"])
    return checkpoint.inputs.pair_arrays(list(zip(instances, described, strict=True)))


def _export(module: nn.Module, arrays: Arrays, inputs: list[str], outputs: list[str], path: Path) -> None:
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=3)
    shapes = {name: {0: batch} if name == "marker_positions" else {0: batch, 1: length} for name in inputs}
    device = next(module.parameters()).device
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            kwargs={name: torch.from_numpy(arrays[name]).to(device) for name in inputs},
            dynamic_shapes=shapes,
            input_names=inputs,
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto  # type: ignore[union-attr]
    _strip(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes for people, which would put this machine's paths into the file."""
    model.doc_string = ""
    del model.metadata_props[:]
    for part in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]


def _quantise_products(graph: onnx.GraphProto) -> None:
    """Store the weights of matrix products as int8, with one scale for each block of rows of a column."""
    weights = {x.name: x for x in graph.initializer}
    nodes = []
    for node in graph.node:
        weight = weights.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is not None and _is_matrix(weight) and weight.dims[0] % BLOCK == 0:
            rows, columns = weight.dims
            blocks = numpy_helper.to_array(weight).reshape(rows // BLOCK, BLOCK, columns)
            name = f"{node.output[0]}_weight"
            nodes += _stored(graph, blocks, 1, name)
            shape = f"{name}_shape"
            graph.initializer.append(numpy_helper.from_array(np.array([rows, columns], dtype=np.int64), shape))
            nodes.append(helper.make_node("Reshape", [name, shape], [f"{name}_whole"]))
            node.input[1] = f"{name}_whole"
        nodes.append(node)
    _replace(graph, nodes)


def _quantise_tables(graph: onnx.GraphProto) -> None:
    """Store large embedding tables as int8, with one scale for each row, put together after the look-up."""
    tables = {x.name: x for x in graph.initializer}
    nodes = []
    for node in graph.node:
        table = tables.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or not _is_matrix(table) or table.dims[0] < TABLE_ROWS:
            nodes.append(node)
            continue
        small, scale = _rounded(numpy_helper.to_array(table), 1)
        name, row = node.output[0], node.input[1]
        graph.initializer.append(numpy_helper.from_array(small, f"{name}_table_int8"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}_table_scale"))
        nodes += [
            helper.make_node("Gather", [f"{name}_table_int8", row], [f"{name}_int8"]),
            helper.make_node("Gather", [f"{name}_table_scale", row], [f"{name}_scale"]),
            *_product(name),
        ]
    _replace(graph, nodes)


def _is_matrix(value: onnx.TensorProto) -> bool:
    return value.data_type == TensorProto.FLOAT and len(value.dims) == 2


def _stored(graph: onnx.GraphProto, values: Floats, axis: int, name: str) -> list[onnx.NodeProto]:
    small, scale = _rounded(values, axis)
    graph.initializer.append(numpy_helper.from_array(small, f"{name}_int8"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    return _product(name)


def _product(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [f"{name}_int8"], [f"{name}_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_float", f"{name}_scale"], [name]),
    ]


def _rounded(values: Floats, axis: int) -> tuple[npt.NDArray[np.int8], Floats]:
    """Int8 values and the float32 scales, shared along an axis, that give them back."""
    scale = np.maximum(np.abs(values).max(axis=axis, keepdims=True) / 127, np.finfo(np.float32).tiny)
    return np.round(values / scale).astype(np.int8), scale.astype(np.float32)


def _replace(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Put other nodes into a graph, and drop the values that none of them reads."""
    read = {name for node in nodes for name in node.input}
    kept = [onnx.TensorProto.FromString(x.SerializeToString()) for x in graph.initializer if x.name in read]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(kept)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of its own insides from the user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
