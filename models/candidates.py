"""A sentence and the candidates that it is read with, laid out for the classifier: for training and serving alike.

Both come as token states, of recall's lower layers. The sentence's stand first, then those of each candidate without
the closing special token, which says nothing that the opening one does not.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from models.text import DescriptionInput, InstanceInput

States: TypeAlias = npt.NDArray[np.float32]
"""Of one text's tokens: (length, d)."""

Ids: TypeAlias = tuple[int, ...]
"""A text's tokens, by which its states are known."""

SENTENCE, PADDING = 0, -1
"""Segments of a token of the sentence, and of what is no token; those of the candidates are 1 … k."""


@dataclass(frozen=True, slots=True)
class CandidateList:
    """An instance and the relations that the classifier separates for it, best recalled first."""

    instance: InstanceInput
    candidates: tuple[DescriptionInput, ...]

    @property
    def parts(self) -> tuple[InstanceInput | DescriptionInput, ...]:
        """The instance and the candidates."""
        return (self.instance, *self.candidates)

    @property
    def length(self) -> int:
        """Tokens when laid out."""
        return len(self.instance.ids) + sum(len(x.ids) - 1 for x in self.candidates)


@dataclass(frozen=True, slots=True)
class Layout:
    """Lists of candidates as the classifier's input, named as in its graph.

    Attributes:
        states: (lists, length, d).
        segments: of each token (lists, length).
        marker_positions: of `[Eh]` and `[Et]` (lists, 2).
        starts: position of each candidate's `[CLS]`, 0 where a list has fewer (lists, k).
    """

    states: States
    segments: npt.NDArray[np.int64]
    marker_positions: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def arrays(self) -> dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]]:
        """By name."""
        return {
            "states": self.states,
            "segments": self.segments,
            "marker_positions": self.marker_positions,
            "starts": self.starts,
        }


def texts(inputs: Iterable[InstanceInput | DescriptionInput]) -> list[Ids]:
    """The distinct texts, in the order in which they first occur."""
    return list(dict.fromkeys(tuple(x.ids) for x in inputs))


def lay_out(lists: Sequence[CandidateList], states: Mapping[Ids, States], pad_to_multiple_of: int = 1) -> Layout:
    """Put the states of lists' texts together.

    Args:
        lists: at least one, each with at least one candidate.
        states: of all their texts.
        pad_to_multiple_of: the layout gets a length of that kind, for libraries that compile for each shape.
    """
    length = -(-max(x.length for x in lists) // pad_to_multiple_of) * pad_to_multiple_of
    k = max(len(x.candidates) for x in lists)
    width = next(iter(states.values())).shape[1]
    layout = Layout(
        np.zeros((len(lists), length, width), dtype=np.float32),
        np.full((len(lists), length), PADDING, dtype=np.int64),
        np.array([(x.instance.head, x.instance.tail) for x in lists], dtype=np.int64),
        np.zeros((len(lists), k), dtype=np.int64),
    )
    for row, each in enumerate(lists):
        end = len(each.instance.ids)
        layout.states[row, :end] = states[tuple(each.instance.ids)]
        layout.segments[row, :end] = SENTENCE
        for number, candidate in enumerate(each.candidates):
            start, end = end, end + len(candidate.ids) - 1
            layout.states[row, start:end] = states[tuple(candidate.ids)][:-1]
            layout.segments[row, start:end] = number + 1
            layout.starts[row, number] = start
    return layout


def without_absent(logits: States, lists: Sequence[CandidateList], k: int) -> States:
    """Logits (lists, k): -inf stands in place of what the graph says of a candidate that is not there."""
    counts = np.array([len(x.candidates) for x in lists])
    padded = np.pad(logits, ((0, 0), (0, k - logits.shape[1])))
    return np.where(np.arange(k) < counts[:, None], padded, -np.inf).astype(np.float32)


class StateCache:
    """The states of the texts read last, up to a number of bytes. Safe to use from several threads."""

    def __init__(self, most_bytes: int) -> None:
        """Start empty."""
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[Ids, States] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, text: Ids, states: States) -> None:
        """Keep a text's states, at the cost of those that were asked for longest ago."""
        with self._lock:
            if text in self._kept:
                return
            self._kept[text] = states
            self._bytes += states.nbytes
            while self._bytes > self._most_bytes and self._kept:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes

    def get(self, wanted: Sequence[Ids], read: Callable[[list[Ids]], Iterable[States]]) -> dict[Ids, States]:
        """States of texts: those that are kept, and the others read now.

        Args:
            wanted: distinct texts.
            read: gives the states of the texts that are not kept, in order.
        """
        found: dict[Ids, States] = {}
        with self._lock:
            for text in wanted:
                if text in self._kept:
                    self._kept.move_to_end(text)
                    found[text] = self._kept[text]
        missing = [text for text in wanted if text not in found]
        if missing:
            for text, states in zip(missing, read(missing), strict=True):
                found[text] = states
                self.put(text, states)
        return found
