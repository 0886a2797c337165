"""Recall's encoder behind another HTTP layer, infinity (github.com/michaelfeil/infinity), for comparison."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx.utils import Extractor

from benchmarks.serving.load import Body
from benchmarks.serving.process import Server
from benchmarks.serving.stopwatch import Stopwatch
from models.bundle import RECALL, TOKENIZER
from models.runtime import Runtime, available_processors
from models.text import Instance

STATES = "last_hidden_state"
INPUTS = ["input_ids", "attention_mask"]
GRAPH = "model.onnx"


def write_encoder(runtime: Runtime, folder: Path) -> None:
    """Write recall's encoder as infinity loads one: a graph up to the last token states, tokenizer and configuration.

    The nodes are those of the bundle's graph; what makes vectors of the states is left out, infinity doing that.
    """
    bundle = runtime.bundle
    model = onnx.load(str(bundle.path / RECALL))
    width = bundle.manifest.dimension // 3
    last = [x for x in model.graph.node if x.op_type == "LayerNormalization"][-1]
    # The sizes of a batch are read off the mask of a description's content, which is of the same shape.
    renamed = {last.output[0]: STATES, "content_mask": "attention_mask"}
    last.output[0] = STATES
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
    shape: list[str | int | None] = ["batch", "length", width]
    model.graph.output.append(onnx.helper.make_tensor_value_info(STATES, onnx.TensorProto.FLOAT, shape))
    encoder = Extractor(model).extract_model(INPUTS, [STATES])
    onnx.checker.check_model(encoder)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(encoder, str(folder / GRAPH))
    shutil.copy(bundle.path / TOKENIZER, folder / TOKENIZER)
    tokens = bundle.manifest.sentence_tokens
    named = {f"{name}_token": token for name, token in bundle.manifest.special_tokens.items()}
    _write(folder / "config.json", {"model_type": "bert", "hidden_size": width, "max_position_embeddings": tokens})
    _write(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": tokens, **named},
    )


class Infinity(Server):
    """`infinity_emb`, serving that encoder."""

    def __init__(self, program: Path, folder: Path, log: Path) -> None:
        """Start it.

        Args:
            program: `infinity_emb` of an environment that has it with its extras `optimum` and `server`.
            folder: that `write_encoder` wrote.
            log: where its output goes.

        Raises:
            NotReadyError: it does not become ready.
        """
        options = ["--engine", "optimum", "--device", "cpu", "--pooling-method", "cls", "--no-bettertransformer"]
        # Its optimizer knows no graphs of 8 bits. With the folder's own name it would look for the graph twice below.
        options += ["--onnx-disable-optimize", "--no-model-warmup", "--model-id", "."]
        super().__init__(
            lambda port: [program, "v2", *options, "--port", str(port)],
            log,
            ready="/models",
            environment={"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"},
            folder=folder,
        )


def requests(asked: Sequence[Instance]) -> list[Body]:
    """What `POST /embeddings` takes, a sentence each."""
    return [{"model": ".", "input": [x.sentence]} for x in asked]


class Encoder:
    """The same graph in process."""

    def __init__(self, runtime: Runtime, folder: Path, asked: Sequence[Instance]) -> None:
        """Load what `write_encoder` wrote."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = available_processors()
        self._session = ort.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])
        self._runtime = runtime
        self._asked = asked

    def cpu_ms(self, size: int) -> float:
        """Processor time of a sentence, tokenizing included, in batches of a size."""
        watch = Stopwatch()
        for start in range(0, len(self._asked), size):
            read = self._runtime.prepare(self._asked[start : start + size])
            arrays = self._runtime.inputs.instance_arrays(read)
            self._session.run([STATES], {name: arrays[name] for name in INPUTS})
        return watch.cpu_ms() / len(self._asked)


def _write(file: Path, content: dict[str, object]) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")
