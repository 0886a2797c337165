"""A bundle running in ONNX Runtime: encode instances, encode descriptions, classify pairs. No torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from models.bundle import CLASSIFIER, RECALL, TOKENIZER, Bundle
from models.chunks import Vectors, in_chunks
from models.relation import Relation
from models.text import Arrays, DescriptionInput, InputBuilder, Instance, InstanceInput, description_text

ROWS_AT_ONCE = 32
"""Rows that one call of a graph gets; beyond it, padding costs more than batching gains on a CPU."""


class Runtime:
    """The two graphs of a bundle and the input builder that feeds them. Safe to call from several threads."""

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Load the graphs.

        Args:
            bundle: a verified bundle.
            threads: per graph; when not given, the processors that this process may use.
        """
        self.bundle = bundle
        self.inputs = InputBuilder.from_file(
            bundle.path / TOKENIZER, bundle.manifest.lengths(), bundle.manifest.special_tokens
        )
        self._recall = _session(bundle.path / RECALL, threads or available_processors())
        self._classifier = _session(bundle.path / CLASSIFIER, threads or available_processors())

    def prepare(self, instances: Sequence[Instance]) -> list[InstanceInput]:
        """Tokenize instances once, for both graphs.

        Raises:
            models.text.InputError: a mention has no readable character or does not fit.
        """
        return self.inputs.instances(instances)

    def describe(self, relations: Sequence[Relation]) -> list[DescriptionInput]:
        """Tokenize relations' principal descriptions.

        Raises:
            models.text.InputError: a description has no readable character.
        """
        return self.inputs.descriptions([description_text(x.name, x.description) for x in relations])

    def encode_instances(self, inputs: Sequence[InstanceInput]) -> Vectors:
        """x^vec of Eq. 3 with unit norm, shape (instances, dimension)."""
        return in_chunks(
            inputs,
            lambda x: len(x.ids),
            ROWS_AT_ONCE,
            lambda rows: self._run(self._recall, "instance", self.inputs.instance_arrays(rows)),
        )

    def encode_descriptions(self, inputs: Sequence[DescriptionInput]) -> Vectors:
        """d^vec of Eq. 8 with unit norm, shape (descriptions, dimension)."""
        return in_chunks(
            inputs,
            lambda x: len(x.ids),
            ROWS_AT_ONCE,
            lambda rows: self._run(self._recall, "description", self.inputs.description_arrays(rows)),
        )

    def classify(self, pairs: Sequence[tuple[InstanceInput, DescriptionInput]]) -> Vectors:
        """Logit of each pair against "none of these", shape (pairs,)."""
        return in_chunks(
            pairs,
            lambda pair: len(pair[0].ids) + len(pair[1].ids),
            ROWS_AT_ONCE,
            lambda rows: self._run(self._classifier, "logit", self.inputs.pair_arrays(rows)),
        )

    @staticmethod
    def _run(session: ort.InferenceSession, output: str, arrays: Arrays) -> Vectors:
        wanted = {node.name for node in session.get_inputs()}
        feed = {name: array for name, array in arrays.items() if name in wanted}
        return np.asarray(session.run([output], feed)[0], dtype=np.float32)


def available_processors() -> int:
    """Processors that this process may use: CPU affinity, capped by the cgroup's quota; never the host's."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota(Path("/sys/fs/cgroup"))
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def _cgroup_quota(root: Path) -> float | None:
    try:
        quota, period = (root / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        micros = int((root / "cpu" / "cpu.cfs_quota_us").read_text())
        return None if micros <= 0 else micros / int((root / "cpu" / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None


def _session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Two graphs take turns; threads that spin for work would take the processors from each other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    offered = ort.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in offered]
    return ort.InferenceSession(str(path), options, providers=providers)
