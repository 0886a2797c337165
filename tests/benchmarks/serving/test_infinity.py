from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from benchmarks.serving.infinity import GRAPH, INPUTS, STATES, Encoder, requests, write_encoder
from models.bundle import Bundle
from models.job.checkpoint import Checkpoint
from models.job.dataset import Example
from models.runtime import Runtime
from models.text import Instance, Span


@pytest.fixture(scope="module")
def runtime(tiny_bundle: Bundle) -> Runtime:
    return Runtime(tiny_bundle, threads=1)


@pytest.fixture(scope="module")
def folder(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("infinity") / "encoder"
    write_encoder(runtime, place)
    return place


def test_the_states_of_the_encoder_are_those_that_vectors_are_made_of(
    runtime: Runtime, folder: Path, tiny_checkpoint: Checkpoint, tiny_examples: list[Example]
) -> None:
    inputs = runtime.prepare([x.instance for x in tiny_examples[:3]])
    arrays = runtime.inputs.instance_arrays(inputs)
    session = ort.InferenceSession(str(folder / GRAPH), providers=["CPUExecutionProvider"])
    (states,) = session.run([STATES], {name: arrays[name] for name in INPUTS})
    rows = np.arange(3)
    parts = [states[:, 0], *(states[rows, arrays["marker_positions"][:, i]] for i in (0, 1))]
    vectors = np.concatenate(parts, axis=1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, runtime.encode_instances(inputs), atol=1e-5)


def test_the_configuration_names_the_sizes(folder: Path, tiny_bundle: Bundle) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert 3 * config["hidden_size"] == tiny_bundle.manifest.dimension
    assert config["max_position_embeddings"] == tiny_bundle.manifest.sentence_tokens


def test_the_encoder_in_process_reads_all_sentences(
    runtime: Runtime, folder: Path, tiny_examples: list[Example]
) -> None:
    assert Encoder(runtime, folder, [x.instance for x in tiny_examples[:3]]).cpu_ms(2) > 0


def test_a_request_has_one_sentence() -> None:
    [body] = requests([Instance("Ada was born in London.", Span(0, 3), Span(16, 22))])
    assert body["input"] == ["Ada was born in London."]
