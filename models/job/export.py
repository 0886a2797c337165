"""Checkpoint → ONNX graphs in fp32."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from models.candidates import CandidateList
from models.emma.encoder import through
from models.emma.reader import CandidateReader
from models.emma.recall import RecallTower
from models.job.checkpoint import Checkpoint, CheckpointError
from models.text import Arrays, DescriptionInput, Instance, InstanceInput, Span

OPSET = 18


def export_recall(checkpoint: Checkpoint, path: Path) -> None:
    """Write the recall tower as a graph with three outputs, `instance`, `description` and `states`.

    Both towers share one encoder, so one graph holds it once: the pools cost next to nothing beside it. The states
    are those after the layers that the classifier shares.

    Raises:
        CheckpointError: there is no classifier that shares any.
    """
    module = _Recall(checkpoint.recall, len(_reader(checkpoint).layers))
    arrays = _example(checkpoint)
    names = ["input_ids", "attention_mask", "content_mask", "marker_positions"]
    _export(module, arrays, names, ["instance", "description", "states"], path)


def export_classifier(checkpoint: Checkpoint, path: Path) -> None:
    """Write the classifier as a graph from lists of candidates to `logits` (lists, k).

    Raises:
        CheckpointError: there is none, or it reads the sentence anew with each candidate.
    """
    reader = _reader(checkpoint)
    instances, described = _example_inputs(checkpoint)
    layout = checkpoint.layout([CandidateList(x, tuple(described[: n + 2])) for n, x in enumerate(instances)])
    arrays = {name: tensor.cpu().numpy() for name, tensor in layout.items()}
    _export(reader, arrays, list(arrays), ["logits"], path)


class _Recall(nn.Module):
    """One reading, cut where the classifier's own layers begin."""

    def __init__(self, tower: RecallTower, own: int) -> None:
        super().__init__()
        self.tower = tower
        self.shared = len(tower.encoder.layers) - own

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, content_mask: Tensor, marker_positions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        encoder = self.tower.encoder
        states = encoder.lower(input_ids, attention_mask, self.shared)
        hidden = through(encoder.layers[self.shared :], states, attention_mask[:, None, None, :] > 0)
        instances = self.tower.instance_vectors(hidden, marker_positions)
        return instances, self.tower.description_vectors(hidden, content_mask), states


def _reader(checkpoint: Checkpoint) -> CandidateReader:
    if isinstance(checkpoint.classifier, CandidateReader):
        return checkpoint.classifier
    raise CheckpointError(
        "only a classifier that reads a sentence once for all candidates can be exported: train with --training "
        "separate or joint and --reading once"
    )


def _example_inputs(checkpoint: Checkpoint) -> tuple[list[InstanceInput], list[DescriptionInput]]:
    sentence = "Ada Lovelace was born in London and worked with Charles Babbage."
    instances = checkpoint.prepare(
        [Instance(sentence, Span(0, 12), Span(25, 31)), Instance(sentence[:32], Span(25, 31), Span(0, 12))]
    )
    return instances, checkpoint.inputs.descriptions(["place of birth: where someone was born", "employer", "author"])


def _example(checkpoint: Checkpoint) -> Arrays:
    return checkpoint.inputs.instance_arrays(_example_inputs(checkpoint)[0])


def _export(
    module: nn.Module, arrays: Mapping[str, npt.NDArray[Any]], inputs: list[str], outputs: list[str], path: Path
) -> None:
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=3)
    candidates = torch.export.Dim("candidates", min=1)
    own = {"marker_positions": {0: batch}, "starts": {0: batch, 1: candidates}}
    shapes = {name: own.get(name, {0: batch, 1: length}) for name in inputs}
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
