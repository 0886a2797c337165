"""Exported graphs and what they are fed, for the tests of how they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from models.bundle import CLASSIFIER
from models.candidates import CandidateList, lay_out, texts
from models.job.checkpoint import Checkpoint
from models.text import DescriptionInput, InstanceInput

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]


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
    positions = np.stack([np.ones(rows), np.maximum(1, lengths - 2)], axis=1).astype(np.int64)
    return {
        "input_ids": ids * mask,
        "attention_mask": mask,
        "content_mask": content,
        "marker_positions": positions,
    }


def candidate_lists(rows: int, k: int, length: int) -> list[CandidateList]:
    """Lists of random tokens; every second one has a candidate less, if that leaves any."""
    draw = np.random.default_rng(rows * 1000 + k * 100 + length)

    def text(shortest: int) -> list[int]:
        return [int(x) for x in draw.integers(5, 99, draw.integers(shortest, length + 1))]

    return [
        CandidateList(
            InstanceInput(text(4), 1, 3, False),
            tuple(DescriptionInput(text(3), False) for _ in range(max(1, k - row % 2))),
        )
        for row in range(rows)
    ]


def laid_out(lists: Sequence[CandidateList]) -> Arrays:
    """Lists as the classifier's input, each text's states drawn at random from a seed of its own."""
    wanted = texts(part for x in lists for part in x.parts)
    draws = {text: np.random.default_rng(text).standard_normal((len(text), 32)) for text in wanted}
    return lay_out(lists, {text: states.astype(np.float32) for text, states in draws.items()}).arrays()


def samples(checkpoint: Checkpoint, name: str) -> list[Arrays]:
    """Inputs of a graph without padding, for the sizes of its values."""
    if name == CLASSIFIER:
        return [laid_out([x]) for x in candidate_lists(32, 2, 30)]
    arrays = batch(checkpoint, 32, 40)
    return [trimmed(arrays, row) for row in range(32)]


def run(graph: ort.InferenceSession, output: str, arrays: Arrays) -> npt.NDArray[np.float32]:
    wanted = {node.name for node in graph.get_inputs()}
    return np.asarray(graph.run([output], {k: v for k, v in arrays.items() if k in wanted})[0])


def trimmed(arrays: Arrays, row: int) -> Arrays:
    """One row without its padding."""
    length = int(arrays["attention_mask"][row].sum())
    return {
        name: array[row : row + 1] if name == "marker_positions" else array[row : row + 1, :length]
        for name, array in arrays.items()
    }
