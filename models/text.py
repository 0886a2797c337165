"""Where words become model input: the one place, for training and for serving alike.

A sentence with two mentions becomes `[CLS] … [Eh] head [/Eh] … [Et] tail [/Et] … [SEP]` (§2.2.1 of the
paper), a relation becomes `[CLS] name: description [SEP]`, and a pair is the one followed by the other. All
of it is built from token ids, so nothing is ever tokenised twice and text that happens to spell a marker
stays text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

HEAD_START, HEAD_END, TAIL_START, TAIL_END = MARKERS = ("[Eh]", "[/Eh]", "[Et]", "[/Et]")

Arrays: TypeAlias = dict[str, npt.NDArray[np.int64]]
"""Named model inputs, each of shape (batch, length) unless said otherwise."""

_ZERO_WIDTH_JOINER = "\u200d"
_SKIN_TONES = range(0x1F3FB, 0x1F400)


class InputError(ValueError):
    """A sentence, span or description that cannot become model input.

    `field` names what is at fault (`sentence`, `head`, `tail` or `description`).
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Span:
    """A mention: character offsets into the sentence in Unicode code points, `end` exclusive."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Instance:
    """A sentence with its head and tail mention.

    Raises:
        InputError: the sentence is blank or not Unicode, or a span is out of range, inverted, empty, blank,
            cuts a character in two or overlaps the other.
    """

    sentence: str
    head: Span
    tail: Span

    def __post_init__(self) -> None:
        if not self.sentence.strip():
            raise InputError("sentence", "the sentence is empty or all white space: give it some text")
        _check_unicode("sentence", self.sentence)
        for name, span in (("head", self.head), ("tail", self.tail)):
            _check_span(name, span, self.sentence)
        if self.head == self.tail:
            raise InputError(
                "tail", f"head and tail are the same span [{self.head.start}, {self.head.end}): give two mentions"
            )
        if self.head.start < self.tail.end and self.tail.start < self.head.end:
            raise InputError(
                "tail",
                f"the tail [{self.tail.start}, {self.tail.end}) overlaps the head "
                f"[{self.head.start}, {self.head.end}): the two mentions must not share characters",
            )

    def turned(self) -> Instance:
        """The same sentence with head and tail changed."""
        return replace(self, head=self.tail, tail=self.head)

    @classmethod
    def from_tokens(cls, tokens: Sequence[str], head: Sequence[int], tail: Sequence[int]) -> Instance:
        """An instance from tokens and token offsets `[start, end)`; the sentence joins them with spaces.

        Raises:
            InputError: as the class does, with offsets counted in tokens where they are out of range.

        >>> Instance.from_tokens(["Ada", "lived", "in", "London", "."], [0, 1], [3, 4]).tail
        Span(start=13, end=19)
        """
        starts = [0, *accumulate(len(token) + 1 for token in tokens)]
        spans = []
        for name, (start, end) in (("head", head), ("tail", tail)):
            if not 0 <= start < end <= len(tokens):
                raise InputError(
                    name,
                    f"the {name} [{start}, {end}) does not lie in the {len(tokens)} tokens: "
                    "need 0 <= start < end <= number of tokens",
                )
            spans.append(Span(starts[start], starts[end] - 1))
        return cls(" ".join(tokens), *spans)


@dataclass(frozen=True, slots=True)
class InstanceInput:
    """Token ids of a marked sentence and the positions of its `[Eh]` and `[Et]`."""

    ids: list[int]
    head: int
    tail: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class DescriptionInput:
    """Token ids of a relation's description text."""

    ids: list[int]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Lengths:
    """Limits in tokens, special tokens included: a marked sentence, and a description text.

    A pair is at most their sum less one, which has to fit the encoder's position table.
    """

    sentence: int = 128
    description: int = 64


def description_text(name: str, description: str) -> str:
    """The text that stands for a relation.

    >>> description_text("place of birth", "The head was born in the tail.")
    'place of birth: The head was born in the tail.'
    """
    return f"{name.strip()}: {description.strip()}" if name.strip() else description.strip()


class InputBuilder:
    """Builds model input with a tokenizer that has the four markers as special tokens."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        lengths: Lengths,
        special: dict[str, str] | None = None,
        pad_to_multiple_of: int = 1,
    ) -> None:
        """Take a tokenizer.

        Args:
            tokenizer: with `MARKERS` among its special tokens.
            lengths: the limits in tokens.
            special: the tokenizer's names of `cls`, `sep` and `pad`; BERT's when not given.
            pad_to_multiple_of: batches get a length of that kind, for libraries that compile for each shape.

        Raises:
            ValueError: a special token is not in the vocabulary.
        """
        names = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]"} | (special or {})
        self.tokenizer = tokenizer
        self.lengths = lengths
        self.pad_to_multiple_of = pad_to_multiple_of
        self.cls_id, self.sep_id, self.pad_id = (self._id(names[key]) for key in ("cls", "sep", "pad"))
        self._markers = [self._id(marker) for marker in MARKERS]
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # Without this, a sentence that contains "[Eh]" or "[SEP]" as words would turn into control tokens.
        tokenizer.encode_special_tokens = True

    @classmethod
    def from_file(cls, path: Path, lengths: Lengths, special: dict[str, str] | None = None) -> InputBuilder:
        """Load `tokenizer.json`."""
        return cls(Tokenizer.from_file(str(path)), lengths, special)

    def instances(self, instances: Sequence[Instance]) -> list[InstanceInput]:
        """Marked sentences, cut around the mentions where they are longer than the limit.

        Raises:
            InputError: a mention has no readable character, or the two do not fit the limit.
        """
        pieces = [piece for instance in instances for piece in _pieces(instance)]
        tokens = self._tokenize(pieces)
        return [self._instance(instance, tokens[5 * row : 5 * row + 5]) for row, instance in enumerate(instances)]

    def descriptions(self, texts: Sequence[str]) -> list[DescriptionInput]:
        """Description texts; what is over the limit is cut at the end.

        Raises:
            InputError: a text has no readable character or is not Unicode.
        """
        for text in texts:
            _check_unicode("description", text)
        room = self.lengths.description - 2
        inputs = []
        for text, ids in zip(texts, self._tokenize(texts), strict=True):
            if not ids:
                raise InputError("description", f"the description {text[:60]!r} has no readable character")
            inputs.append(DescriptionInput([self.cls_id, *ids[:room], self.sep_id], len(ids) > room))
        return inputs

    def instance_arrays(self, inputs: Sequence[InstanceInput]) -> Arrays:
        """Pad to one batch: `input_ids`, `attention_mask`, `content_mask`, `marker_positions` (batch, 2)."""
        return self._recall_arrays([x.ids for x in inputs], [(x.head, x.tail) for x in inputs])

    def description_arrays(self, inputs: Sequence[DescriptionInput]) -> Arrays:
        """Pad to one batch, named as `instance_arrays`; the marker positions are all 0 and unused."""
        return self._recall_arrays([x.ids for x in inputs], [(0, 0)] * len(inputs))

    def pair_arrays(self, pairs: Sequence[tuple[InstanceInput, DescriptionInput]]) -> Arrays:
        """Join each sentence with its description and pad: Eq. 13's ⟨x ⊕ d⟩.

        Returns `input_ids`, `token_type_ids`, `attention_mask`, `marker_positions` (batch, 2).
        """
        ids, mask = self._pad([x.ids + d.ids[1:] for x, d in pairs])
        types = np.zeros_like(ids)
        for row, (instance, description) in enumerate(pairs):
            start = len(instance.ids)
            types[row, start : start + len(description.ids) - 1] = 1
        return {
            "input_ids": ids,
            "token_type_ids": types,
            "attention_mask": mask,
            "marker_positions": np.array([(x.head, x.tail) for x, _ in pairs], dtype=np.int64).reshape(-1, 2),
        }

    def plain_arrays(self, rows: Sequence[Sequence[int]]) -> Arrays:
        """Pad texts, whatever they are, for their states alone; arrays as of `description_arrays`."""
        return self._recall_arrays(rows, [(0, 0)] * len(rows))

    def _id(self, token: str) -> int:
        index = self.tokenizer.token_to_id(token)
        if index is None:
            raise ValueError(f"the tokenizer has no token {token!r}: add it as a special token first")
        return int(index)

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def _instance(self, instance: Instance, tokens: list[list[int]]) -> InstanceInput:
        left, first, middle, second, right = tokens
        head_first = instance.head.start < instance.tail.start
        names = ("head", "tail") if head_first else ("tail", "head")
        for name, mention in zip(names, (first, second), strict=True):
            if not mention:
                span = getattr(instance, name)
                raise InputError(
                    name, f"the {name} {instance.sentence[span.start : span.end]!r} has no readable character"
                )
        room = self.lengths.sentence - 2 - len(MARKERS) - len(first) - len(second)
        if room < 0:
            longer = names[0] if len(first) >= len(second) else names[1]
            raise InputError(
                longer,
                f"the mentions take {len(first)} and {len(second)} tokens, the limit for both together is "
                f"{self.lengths.sentence - 2 - len(MARKERS)}: give shorter spans",
            )
        truncated = len(left) + len(middle) + len(right) > room
        if truncated:
            left, middle, right = _nearest(left, middle, right, room)
        opening = [self.cls_id, *left]
        marks = self._markers if head_first else [*self._markers[2:], *self._markers[:2]]
        ids = [*opening, marks[0], *first, marks[1], *middle, marks[2], *second, marks[3], *right, self.sep_id]
        positions = (len(opening), len(opening) + len(first) + 2 + len(middle))
        head, tail = positions if head_first else positions[::-1]
        return InstanceInput(ids, head, tail, truncated)

    def _recall_arrays(self, rows: Sequence[Sequence[int]], markers: list[tuple[int, int]]) -> Arrays:
        ids, mask = self._pad(rows)
        content = mask.copy()
        for row, tokens in enumerate(rows):
            content[row, 0] = content[row, len(tokens) - 1] = 0
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "content_mask": content,
            "marker_positions": np.array(markers, dtype=np.int64).reshape(-1, 2),
        }

    def _pad(self, rows: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        multiple = self.pad_to_multiple_of
        length = -(-max(map(len, rows)) // multiple) * multiple
        ids = np.full((len(rows), length), self.pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return ids, mask


def _check_unicode(field: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            field, f"the {field} has half of a surrogate pair at offset {error.start}, which is not Unicode: mend it"
        ) from error


def _check_span(name: str, span: Span, sentence: str) -> None:
    where = f"the {name} [{span.start}, {span.end})"
    if not 0 <= span.start <= len(sentence) or not 0 <= span.end <= len(sentence):
        raise InputError(
            name,
            f"{where} does not lie in the sentence of {len(sentence)} characters: need 0 <= start < end <= length",
        )
    if span.start == span.end:
        raise InputError(name, f"{where} is empty: end is exclusive and must be greater than start")
    if span.start > span.end:
        raise InputError(name, f"{where} is inverted: start must be less than end")
    if not sentence[span.start : span.end].strip():
        raise InputError(name, f"{where} covers only white space: give the span of the mention")
    for edge in (span.start, span.end):
        if _inside_character(sentence, edge):
            raise InputError(
                name,
                f"{where} cuts the character {sentence[edge - 1 : edge + 1]!r} at offset {edge} in two: "
                "move the offset past its combining mark",
            )


def _inside_character(sentence: str, offset: int) -> bool:
    if not 0 < offset < len(sentence):
        return False
    following, before = sentence[offset], sentence[offset - 1]
    if before.isspace():
        return False
    return (
        unicodedata.category(following) in ("Mn", "Mc", "Me")
        or following == _ZERO_WIDTH_JOINER
        or before == _ZERO_WIDTH_JOINER
        or ord(following) in _SKIN_TONES
    )


def _pieces(instance: Instance) -> tuple[str, str, str, str, str]:
    first, second = sorted((instance.head, instance.tail), key=lambda span: span.start)
    text = instance.sentence
    return (
        text[: first.start],
        text[first.start : first.end],
        text[first.end : second.start],
        text[second.start : second.end],
        text[second.end :],
    )


def _nearest(left: list[int], middle: list[int], right: list[int], room: int) -> tuple[list[int], list[int], list[int]]:
    """Keep the `room` context tokens nearest to a mention; at equal distance the middle goes first."""
    size = len(middle)
    ranked = sorted(
        [(min(i, size - 1 - i), 0, i) for i in range(size)]
        + [(len(left) - 1 - i, 1, i) for i in range(len(left))]
        + [(i, 2, i) for i in range(len(right))]
    )[:room]
    kept: tuple[list[int], list[int], list[int]] = ([], [], [])
    for _, part, i in sorted(ranked, key=lambda token: token[2]):
        kept[part].append((middle, left, right)[part][i])
    return kept[1], kept[0], kept[2]
