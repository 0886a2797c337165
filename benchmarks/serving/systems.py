"""The same two graphs in other runtimes: how long recall and classifier take on batches that are ready to be read.

Texts are tokenized, and candidates chosen, before; searching and deciding are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks.serving.model import Bench
from benchmarks.serving.stopwatch import Stopwatch
from benchmarks.serving.table import Row
from models.bundle import CLASSIFIER, RECALL, Bundle
from models.candidates import CandidateList
from models.runtime import Runtime, available_processors

Read: TypeAlias = Callable[[], object]
System: TypeAlias = Callable[[list[CandidateList]], Read]
"""Takes a batch, and gives what has both graphs read it, all else being done."""


def lists(bench: Bench) -> list[CandidateList]:
    """Each sentence with as many candidates as the bundle's k, by length."""
    described = cycle(bench.runtime.describe(bench.known))
    k = bench.runtime.bundle.manifest.candidates
    found = [CandidateList(x, tuple(islice(described, k))) for x in bench.runtime.prepare(bench.asked)]
    return sorted(found, key=lambda x: x.length)


def compare(
    systems: Sequence[tuple[str, System]], batch: Sequence[CandidateList], sizes: Sequence[int], repeats: int
) -> list[Row]:
    """Time of a sentence by system and size of the batch, the systems taking turns.

    `speed` is how many sentences a system reads in the time of one by the first system.

    Args:
        systems: by name.
        batch: what all read.
        sizes: how many of it at once.
        repeats: of each measurement.
    """
    rows = []
    for size in sizes:
        parts = [list(batch[start : start + size]) for start in range(0, len(batch), size)]
        reads = [[prepare(part) for part in parts] for _, prepare in systems]
        for each in reads:
            # Some compile for each new shape.
            _all(each)
        taken = np.array([[_all(each) for each in reads] for _ in range(repeats)]) / len(batch)
        rows += [
            {
                "system": name,
                "batch": size,
                "cpu_ms": taken[:, column, 0].tolist(),
                "wall_ms": taken[:, column, 1].tolist(),
                "speed": (taken[:, 0, 1] / taken[:, column, 1]).tolist(),
            }
            for column, (name, _) in enumerate(systems)
        ]
    return rows


def served(runtime: Runtime) -> System:
    """The bundle as it is served."""

    def prepare(batch: list[CandidateList]) -> Read:
        instances = [x.instance for x in batch]
        return lambda: (runtime.encode_instances(instances), runtime.classify(batch))

    return prepare


def torch_bf16(path: Path) -> tuple[str, System]:
    """A checkpoint in PyTorch, computing in bfloat16.

    Raises:
        models.job.checkpoint.CheckpointError: it is none, or has no classifier that reads a sentence once.
    """
    import torch

    from models.emma.reader import CandidateReader
    from models.job.checkpoint import CheckpointError, load_checkpoint

    torch.set_num_threads(available_processors())
    checkpoint = load_checkpoint(path, "cpu")
    # As somebody would serve it: autocast would bring the weights into bfloat16 with each call.
    recall, reader = checkpoint.recall.bfloat16(), checkpoint.classifier
    if not isinstance(reader, CandidateReader):
        raise CheckpointError(f"{path} has no classifier that reads a sentence once: give another checkpoint")
    reader.bfloat16()

    def prepare(batch: list[CandidateList]) -> Read:
        read = checkpoint.tensors(checkpoint.inputs.instance_arrays([x.instance for x in batch]))
        read.pop("content_mask")
        layout = checkpoint.layout(batch)
        layout["states"] = layout["states"].bfloat16()

        def both() -> tuple[torch.Tensor, torch.Tensor]:
            with torch.inference_mode():
                return recall.instances(**read), reader(**layout)

        return both

    return f"torch {version('torch')}, bf16", prepare


def openvino_bf16(bundle: Bundle, runtime: Runtime) -> Iterator[tuple[str, System]]:
    """A bundle's fp32 graphs in OpenVINO, computing in bfloat16; nothing where OpenVINO is not installed.

    Args:
        bundle: in full precision.
        runtime: of the same bundle, which lays the candidates out.
    """
    if find_spec("openvino") is None:
        return
    import openvino  # type: ignore[import-not-found,import-untyped,unused-ignore]

    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "INFERENCE_NUM_THREADS": available_processors(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    recall, classifier = (core.compile_model(str(bundle.path / x), "CPU", settings) for x in (RECALL, CLASSIFIER))

    def prepare(batch: list[CandidateList]) -> Read:
        read = runtime.inputs.instance_arrays([x.instance for x in batch])
        layout = runtime.layout(batch).arrays()
        return lambda: (recall(_wanted(recall, read)), classifier(_wanted(classifier, layout)))

    yield f"OpenVINO {openvino.__version__.split('-')[0]}, bf16", prepare


def _wanted(model: Any, arrays: Any) -> dict[str, Any]:
    names = {x.any_name for x in model.inputs}
    return {name: array for name, array in arrays.items() if name in names}


def _all(reads: Sequence[Read]) -> tuple[float, float]:
    """Processor and wall milliseconds of all together."""
    watch = Stopwatch()
    for read in reads:
        read()
    return watch.cpu_ms(), watch.wall_ms()
