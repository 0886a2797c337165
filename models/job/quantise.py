"""A graph in fp32 → the same graph whose products and tables are of 8 bits.

Each row of a product's input gets a scale of its own, its largest absolute value by 127, while the product runs: so
what a token becomes cannot depend on who shares the batch, as it does with one scale for all. Each column of the
weights has a scale of its own too. Before, the input's channels are brought to more equal sizes and the weights' rows
to less equal ones (SmoothQuant, arXiv 2211.10438, Eq. 4, α = 0.5), so that no channel takes the others' digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import NodeProto, TensorProto, helper, numpy_helper

TABLE_ROWS = 1024
"""Embedding tables with fewer rows, such as that of positions, are small enough as they are."""

LARGEST_INPUT, LARGEST_WEIGHT, LARGEST_ENTRY = 127, 63, 127
"""Of the integers. Processors without VNNI add two products of an unsigned and a signed byte in 16 bits: with weights
of 7 bits that cannot overflow."""

MIDDLE = 128
"""The unsigned byte that stands for 0 in a product's input."""

LEAST = 1e-8
"""Of a scale, for rows that are 0 throughout."""

Floats: TypeAlias = npt.NDArray[np.float32]
Feed: TypeAlias = Mapping[str, npt.NDArray[Any]]


def quantise(source: Path, target: Path, samples: Sequence[Feed]) -> None:
    """Write the version of a graph in 8 bits.

    Args:
        source: a graph in fp32.
        target: where the other goes.
        samples: inputs by which the sizes of channels are known, free of padding; a few dozen are enough.
    """
    model = onnx.load(str(source))
    weights = {x.name: numpy_helper.to_array(x) for x in model.graph.initializer if _is_matrix(x)}
    products = [x for x in model.graph.node if x.op_type == "MatMul" and x.input[1] in weights]
    peaks = _peaks(model, list(dict.fromkeys(x.input[0] for x in products)), samples)
    multiplied = {x.output[0] for x in products}
    graph = _Graph(model.graph)
    for node in model.graph.node:
        if node.output[0] in multiplied:
            graph.product(node, weights, peaks, [weights[x.input[1]] for x in products if x.input[0] == node.input[0]])
        elif node.op_type == "Gather" and node.input[0] in weights and len(weights[node.input[0]]) >= TABLE_ROWS:
            graph.look_up(node, weights[node.input[0]])
        else:
            graph.nodes.append(node)
    graph.replace()
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


class _Graph:
    """A graph whose nodes are being replaced."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._read: set[str] = set()
        self.nodes: list[NodeProto] = []
        self._constant("least_scale", np.float32(LEAST))
        self._constant("per_step", np.float32(1 / LARGEST_INPUT))
        self._constant("one", np.float32(1))
        self._constant("middle", np.uint8(MIDDLE))
        self._constant("last_axis", np.array([-1], dtype=np.int64))

    def product(
        self, node: NodeProto, weights: Mapping[str, Floats], peaks: Mapping[str, Floats], beside: Sequence[Floats]
    ) -> None:
        """The product of an input and a matrix; `beside` are all the matrices that the input is multiplied with."""
        read, name = node.input[0], node.output[0]
        smooth = _smoothing(peaks[read], np.max([np.abs(x).max(axis=1) for x in beside], axis=0))
        if read not in self._read:
            self._read.add(read)
            self._quantised_input(read, smooth)
        small, scale = _rounded(weights[node.input[1]] * smooth[:, None], 0, LARGEST_WEIGHT)
        self._constant(f"{name}_int8", small)
        self._constant(f"{name}_scale", scale)
        self._add("MatMulInteger", [f"{read}_uint8", f"{name}_int8", "middle"], f"{name}_int32")
        self._add("Cast", [f"{name}_int32"], f"{name}_float", to=TensorProto.FLOAT)
        self._add("Mul", [f"{name}_float", f"{read}_step"], f"{name}_by_row")
        self._add("Mul", [f"{name}_by_row", f"{name}_scale"], name)

    def look_up(self, node: NodeProto, table: Floats) -> None:
        """Rows of a table, each with a scale of its own, put together after the look-up."""
        name, row = node.output[0], node.input[1]
        small, scale = _rounded(table, 1, LARGEST_ENTRY)
        self._constant(f"{name}_table_int8", small)
        self._constant(f"{name}_table_scale", scale)
        self._add("Gather", [f"{name}_table_int8", row], f"{name}_int8")
        self._add("Gather", [f"{name}_table_scale", row], f"{name}_scale")
        self._add("Cast", [f"{name}_int8"], f"{name}_float", to=TensorProto.FLOAT)
        self._add("Mul", [f"{name}_float", f"{name}_scale"], name)

    def replace(self) -> None:
        """Put the new nodes in place of the old, and drop the values that none of them reads."""
        read = {name for node in self.nodes for name in node.input}
        nodes = [NodeProto.FromString(x.SerializeToString()) for x in self.nodes]
        kept = [TensorProto.FromString(x.SerializeToString()) for x in self._graph.initializer if x.name in read]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)

    def _quantised_input(self, name: str, smooth: Floats) -> None:
        self._constant(f"{name}_smoothing", 1 / smooth)
        self._add("Mul", [name, f"{name}_smoothing"], f"{name}_smooth")
        self._add("Abs", [f"{name}_smooth"], f"{name}_size")
        self._add("ReduceMax", [f"{name}_size", "last_axis"], f"{name}_peak", keepdims=1)
        self._add("Mul", [f"{name}_peak", "per_step"], f"{name}_raw_step")
        self._add("Max", [f"{name}_raw_step", "least_scale"], f"{name}_step")
        self._add("Div", [f"{name}_smooth", f"{name}_step"], f"{name}_steps")
        # A scale of 1: it rounds, moves to the middle and saturates, in one pass.
        self._add("QuantizeLinear", [f"{name}_steps", "one", "middle"], f"{name}_uint8")

    def _constant(self, name: str, value: npt.NDArray[Any] | np.generic) -> None:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))


def _peaks(model: onnx.ModelProto, names: Sequence[str], samples: Sequence[Feed]) -> dict[str, Floats]:
    """The largest absolute value of each channel of some values of a graph."""
    watched = onnx.ModelProto.FromString(model.SerializeToString())
    given = {x.name for x in watched.graph.output}
    watched.graph.output.extend(helper.make_empty_tensor_value_info(x) for x in names if x not in given)
    session = ort.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = {x.name for x in session.get_inputs()}
    peaks: dict[str, Floats] = {}
    for sample in samples:
        values = session.run(list(names), {name: array for name, array in sample.items() if name in wanted})
        for name, value in zip(names, values, strict=True):
            peak = np.abs(value).reshape(-1, value.shape[-1]).max(axis=0)
            peaks[name] = np.maximum(peaks.get(name, peak), peak)
    return peaks


def _smoothing(inputs: Floats, weights: Floats) -> Floats:
    """What each channel of an input is divided by, and its row of the weights multiplied with; 1 on the whole."""
    ratio = np.sqrt(np.maximum(inputs, LEAST) / np.maximum(weights, LEAST))
    return np.asarray(ratio / np.exp(np.log(ratio).mean()), dtype=np.float32)


def _is_matrix(value: onnx.TensorProto) -> bool:
    return value.data_type == TensorProto.FLOAT and len(value.dims) == 2


def _rounded(values: Floats, axis: int, largest: int) -> tuple[npt.NDArray[np.int8], Floats]:
    """Int8 values and the float32 scales, shared along an axis, that give them back."""
    scale = np.maximum(np.abs(values).max(axis=axis, keepdims=True) / largest, np.finfo(np.float32).tiny)
    return np.round(values / scale).astype(np.int8), scale.astype(np.float32)
