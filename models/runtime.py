"""A bundle running in ONNX Runtime: encode instances, encode descriptions, classify candidates. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from models.bundle import CLASSIFIER, RECALL, TOKENIZER, Bundle
from models.candidates import CandidateList, Ids, Layout, StateCache, States, lay_out, texts, without_absent
from models.chunks import Vectors, in_chunks
from models.relation import Relation
from models.text import DescriptionInput, InputBuilder, Instance, InstanceInput, description_text

SENTENCE_BYTES, DESCRIPTION_BYTES = 16 * 2**20, 64 * 2**20
"""Memory for the states of the sentences and of the descriptions that were read last."""

ROWS_AT_ONCE = 4
"""Rows that one call of a graph gets where all processors share it: with more, a CPU takes longer for each, and ONNX
Runtime keeps the memory that the largest call took. `python -m benchmarks.serving sharing` measures it."""


class Runtime:
    """The two graphs of a bundle and the input builder that feeds them. Safe to call from several threads."""

    def __init__(self, bundle: Bundle, threads: int | None = None, rows_at_once: int = ROWS_AT_ONCE) -> None:
        """Load the graphs.

        Args:
            bundle: a verified bundle.
            threads: of one call of a graph; when not given, the processors that this process may use.
            rows_at_once: that one call of a graph gets, at most.
        """
        self.bundle = bundle
        self._rows_at_once = rows_at_once
        self.inputs = InputBuilder.from_file(
            bundle.path / TOKENIZER, bundle.manifest.lengths(), bundle.manifest.special_tokens
        )
        self._recall = Graph(bundle.path / RECALL, threads or available_processors())
        self._classifier = Graph(bundle.path / CLASSIFIER, threads or available_processors())
        self._sentences, self._descriptions = StateCache(SENTENCE_BYTES), StateCache(DESCRIPTION_BYTES)

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
        """x^vec of Eq. 3 with unit norm, shape (instances, dimension).

        What the classifier needs of the reading is kept for a while.
        """
        return in_chunks(inputs, lambda x: len(x.ids), self._rows_at_once, self._encode_instances)

    def encode_descriptions(self, inputs: Sequence[DescriptionInput]) -> Vectors:
        """d^vec of Eq. 8 with unit norm, shape (descriptions, dimension)."""
        return in_chunks(
            inputs,
            lambda x: len(x.ids),
            self._rows_at_once,
            lambda rows: self._recall.run(["description"], self.inputs.description_arrays(rows))[0],
        )

    def classify(self, lists: Sequence[CandidateList]) -> Vectors:
        """Logit of each candidate against "none of these" (lists, k), -inf where a list has fewer than k."""
        k = max((len(x.candidates) for x in lists), default=0)
        return in_chunks(lists, lambda x: x.length, self._rows_at_once, lambda rows: self._classify(rows, k))

    def layout(self, lists: Sequence[CandidateList]) -> Layout:
        """What the classifier's graph takes of lists, all at once; states that are not kept are read."""
        states = self._sentences.get(texts(x.instance for x in lists), self._read)
        states |= self._descriptions.get(texts(y for x in lists for y in x.candidates), self._read)
        return lay_out(lists, states)

    def _encode_instances(self, rows: list[InstanceInput]) -> Vectors:
        vectors, states = self._recall.run(["instance", "states"], self.inputs.instance_arrays(rows))
        for row, state in zip(rows, states, strict=True):
            # A copy: a view would keep the whole batch's padding alive.
            self._sentences.put(tuple(row.ids), state[: len(row.ids)].copy())
        return vectors

    def _classify(self, lists: list[CandidateList], k: int) -> Vectors:
        (logits,) = self._classifier.run(["logits"], self.layout(lists).arrays())
        return without_absent(logits, lists, k)

    def _read(self, wanted: list[Ids]) -> list[States]:
        found: dict[Ids, States] = {}
        order = sorted(wanted, key=len)
        for start in range(0, len(order), self._rows_at_once):
            rows = order[start : start + self._rows_at_once]
            (states,) = self._recall.run(["states"], self.inputs.plain_arrays(rows))
            found.update((row, state[: len(row)].copy()) for row, state in zip(rows, states, strict=True))
        return [found[text] for text in wanted]


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


class Graph:
    """A graph and the names of its inputs."""

    def __init__(self, path: Path, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Two graphs take turns; threads that spin for work would take the processors from each other.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        offered = ort.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in offered]
        self._session = ort.InferenceSession(str(path), options, providers=providers)
        self._inputs = {node.name for node in self._session.get_inputs()}

    def run(self, outputs: list[str], arrays: Mapping[str, Any]) -> list[Vectors]:
        """These outputs; of the arrays, the graph gets the ones that it takes."""
        feed = {name: array for name, array in arrays.items() if name in self._inputs}
        return [np.asarray(found, dtype=np.float32) for found in self._session.run(outputs, feed)]
