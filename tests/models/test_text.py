from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from models.emma.encoder import load_vocabulary
from models.text import (
    MARKERS,
    DescriptionInput,
    InputBuilder,
    InputError,
    Instance,
    InstanceInput,
    Lengths,
    Span,
    description_text,
)
from tests.models.support import mentions

SENTENCE = "Ada lived in London."
ADA, LONDON = Span(0, 3), Span(13, 19)
ASTRONAUT = "\U0001f469\u200d\U0001f680"
WAVE = "\U0001f44b\U0001f3fd"


@pytest.fixture(scope="module")
def tokenizer_text(tiny_encoder: Path) -> str:
    return load_vocabulary(str(tiny_encoder)).tokenizer.to_str()


def build(tokenizer_text: str, lengths: Lengths | None = None, multiple: int = 1) -> InputBuilder:
    return InputBuilder(Tokenizer.from_str(tokenizer_text), lengths or Lengths(), pad_to_multiple_of=multiple)


@pytest.fixture(scope="module")
def builder(tokenizer_text: str) -> InputBuilder:
    return build(tokenizer_text)


def tokens(builder: InputBuilder, ids: list[int]) -> str:
    return " ".join(str(builder.tokenizer.id_to_token(i)) for i in ids)


def marked(builder: InputBuilder, ids: list[int], marker: str) -> list[int]:
    """The ids between a marker and its closing one."""
    start, end = (special(builder, name) for name in (f"[{marker}]", f"[/{marker}]"))
    return ids[ids.index(start) + 1 : ids.index(end)]


def special(builder: InputBuilder, name: str) -> int:
    index = builder.tokenizer.token_to_id(name)
    assert index is not None
    return index


def plain(builder: InputBuilder, text: str) -> list[int]:
    return builder.tokenizer.encode(text, add_special_tokens=False).ids


def assert_valid(builder: InputBuilder, instance: Instance, found: InstanceInput) -> None:
    specials = [*(special(builder, marker) for marker in MARKERS), builder.cls_id, builder.sep_id]
    assert [found.ids.count(x) for x in specials] == [1] * 6
    assert (found.ids[0], found.ids[-1]) == (builder.cls_id, builder.sep_id)
    assert len(found.ids) <= builder.lengths.sentence
    assert (found.ids[found.head], found.ids[found.tail]) == (specials[0], specials[2])
    for marker, span in (("Eh", instance.head), ("Et", instance.tail)):
        assert marked(builder, found.ids, marker) == plain(builder, instance.sentence[span.start : span.end])


@pytest.mark.parametrize("sentence", ["", "   ", "\t\n", "\u2003"])
def test_a_sentence_without_text_is_refused(sentence: str) -> None:
    with pytest.raises(InputError, match="the sentence is empty or all white space") as caught:
        Instance(sentence, Span(0, 1), Span(1, 2))
    assert caught.value.field == "sentence"


BAD_SPANS = [
    pytest.param(SENTENCE, Span(0, 21), "does not lie in the sentence of 20 characters", id="end after the sentence"),
    pytest.param(SENTENCE, Span(25, 30), "does not lie in the sentence", id="start after the sentence"),
    pytest.param(SENTENCE, Span(-3, 3), "does not lie in the sentence", id="negative start"),
    pytest.param(SENTENCE, Span(3, -1), "does not lie in the sentence", id="negative end"),
    pytest.param(SENTENCE, Span(4, 4), "is empty", id="empty"),
    pytest.param(SENTENCE, Span(20, 20), "is empty", id="empty at the end"),
    pytest.param(SENTENCE, Span(9, 4), "is inverted", id="inverted"),
    pytest.param("Ada  \t in London.", Span(3, 6), "covers only white space", id="white space"),
    pytest.param("Jose\u0301 lived in London.", Span(0, 4), "in two", id="ends before a combining mark"),
    pytest.param("Jose\u0301 lived in London.", Span(4, 8), "in two", id="starts at a combining mark"),
    pytest.param(f"{ASTRONAUT} was in London.", Span(0, 1), "in two", id="ends before a joiner"),
    pytest.param(f"{ASTRONAUT} was in London.", Span(0, 2), "in two", id="ends after a joiner"),
    pytest.param(f"{ASTRONAUT} was in London.", Span(2, 3), "in two", id="starts after a joiner"),
    pytest.param(f"{WAVE} was in London.", Span(0, 1), "in two", id="ends before a skin tone"),
]


@pytest.mark.parametrize(("sentence", "span", "message"), BAD_SPANS)
def test_a_bad_head_is_refused(sentence: str, span: Span, message: str) -> None:
    start = sentence.index("London")
    with pytest.raises(InputError, match=message) as caught:
        Instance(sentence, span, Span(start, start + 6))
    assert caught.value.field == "head"


@pytest.mark.parametrize(("sentence", "span", "message"), BAD_SPANS)
def test_a_bad_tail_is_refused(sentence: str, span: Span, message: str) -> None:
    start = sentence.index("London")
    with pytest.raises(InputError, match=message) as caught:
        Instance(sentence, Span(start, start + 6), span)
    assert caught.value.field == "tail"


@pytest.mark.parametrize("tail", [Span(0, 5), Span(2, 3), Span(2, 8)], ids=["around", "within", "across"])
def test_mentions_that_share_characters_are_refused(tail: Span) -> None:
    with pytest.raises(InputError, match="overlaps the head") as caught:
        Instance(SENTENCE, ADA, tail)
    assert caught.value.field == "tail"


def test_one_span_for_both_mentions_is_refused() -> None:
    with pytest.raises(InputError, match="head and tail are the same span") as caught:
        Instance(SENTENCE, ADA, ADA)
    assert caught.value.field == "tail"


def test_mentions_may_touch_each_other_and_the_ends_of_the_sentence(builder: InputBuilder) -> None:
    instance = Instance("AdaLondon", Span(0, 3), Span(3, 9))
    assert_valid(builder, instance, builder.instances([instance])[0])


@pytest.mark.parametrize(
    "word",
    ["Jose\u0301", ASTRONAUT, WAVE, "\U0001f680", "\u6771\u4eac"],
    ids=["mark", "joiner", "tone", "emoji", "CJK"],
)
def test_a_mention_of_whole_characters_is_accepted(builder: InputBuilder, word: str) -> None:
    instance = mentions(f"{word} was in London.", word, "London")
    assert_valid(builder, instance, builder.instances([instance])[0])


def test_a_combining_mark_after_white_space_belongs_to_no_character() -> None:
    assert Instance("Ada \u0301x", Span(4, 6), Span(0, 3)).head == Span(4, 6)


def test_offsets_are_code_points_and_not_bytes_or_utf16_units() -> None:
    instance = Instance(f"\U0001f680 {SENTENCE}", Span(2, 5), Span(15, 21))
    assert instance.sentence[instance.head.start : instance.head.end] == "Ada"


def test_token_offsets_become_character_offsets() -> None:
    instance = Instance.from_tokens(["Ada", "King", "lived", "in", "New", "York", "."], [0, 2], [4, 6])
    assert instance == Instance("Ada King lived in New York .", Span(0, 8), Span(18, 26))


@pytest.mark.parametrize("span", [[0, 0], [2, 1], [-1, 1], [0, 6], [6, 7]])
def test_token_offsets_out_of_range_are_told_in_tokens(span: list[int]) -> None:
    with pytest.raises(InputError, match="does not lie in the 5 tokens") as caught:
        Instance.from_tokens(["Ada", "lived", "in", "London", "."], [0, 1], span)
    assert caught.value.field == "tail"


def test_an_empty_token_is_no_mention() -> None:
    with pytest.raises(InputError, match="empty") as caught:
        Instance.from_tokens(["Ada", "", "London"], [1, 2], [2, 3])
    assert caught.value.field == "head"


def test_the_name_is_left_out_of_a_description_text_where_there_is_none() -> None:
    assert description_text("  ", " The head knows the tail. ") == "The head knows the tail."


def test_a_marked_sentence_is_laid_out_as_in_the_paper(builder: InputBuilder) -> None:
    [found] = builder.instances([Instance.from_tokens(["a", "b", "c", "d", "e"], [1, 2], [3, 4])])
    assert tokens(builder, found.ids) == "[CLS] a [Eh] b [/Eh] c [Et] d [/Et] e [SEP]"
    assert (found.head, found.tail, found.truncated) == (2, 6, False)


def test_a_tail_before_the_head_keeps_its_markers_and_positions(builder: InputBuilder) -> None:
    [found] = builder.instances([Instance.from_tokens(["a", "b", "c", "d", "e"], [3, 4], [1, 2])])
    assert tokens(builder, found.ids) == "[CLS] a [Et] b [/Et] c [Eh] d [/Eh] e [SEP]"
    assert (found.head, found.tail) == (6, 2)


@pytest.mark.parametrize("word", [*MARKERS, "[CLS]", "[SEP]", "[PAD]"])
def test_text_that_spells_a_control_token_stays_text(builder: InputBuilder, word: str) -> None:
    instance = mentions(f"{word} Ada {word} lived in London {word}", "Ada", "London")
    found = builder.instances([instance])[0]
    assert_valid(builder, instance, found)
    assert builder.pad_id not in found.ids


@pytest.mark.parametrize("word", [*MARKERS, "[CLS]", "[SEP]"])
def test_a_mention_that_spells_a_control_token_stays_text(builder: InputBuilder, word: str) -> None:
    instance = mentions(f"the sign {word} was in London", word, "London")
    assert_valid(builder, instance, builder.instances([instance])[0])


@pytest.mark.parametrize("word", [*MARKERS, "[CLS]", "[SEP]"])
def test_a_description_that_spells_a_control_token_stays_text(builder: InputBuilder, word: str) -> None:
    ids = builder.descriptions([f"the {word} of {word}"])[0].ids
    control = {special(builder, x) for x in MARKERS} | {builder.cls_id, builder.sep_id}
    assert not control & set(ids[1:-1])


def test_control_characters_in_the_context_are_no_obstacle(builder: InputBuilder) -> None:
    instance = mentions("a\x00b \x07Ada\u200b lived \x1b in London", "Ada", "London")
    assert_valid(builder, instance, builder.instances([instance])[0])


@pytest.mark.parametrize("name", ["head", "tail"])
def test_a_mention_without_a_readable_character_is_named(builder: InputBuilder, name: str) -> None:
    spans = {"head": Span(0, 3), "tail": Span(0, 3), name: Span(4, 5)}
    instance = Instance("Ada \x07 was here", spans["head"], spans["tail"])
    with pytest.raises(InputError, match=f"the {name} .* has no readable character") as caught:
        builder.instances([instance])
    assert caught.value.field == name


@pytest.mark.parametrize("text", ["", "  ", "\x07\x00", "\u200b"])
def test_a_description_without_a_readable_character_is_refused(builder: InputBuilder, text: str) -> None:
    with pytest.raises(InputError, match="has no readable character") as caught:
        builder.descriptions(["the head knows the tail", text])
    assert caught.value.field == "description"


def test_half_a_surrogate_pair_in_a_sentence_is_refused() -> None:
    with pytest.raises(InputError, match="half of a surrogate pair at offset 9") as caught:
        mentions("Ada lived\ud83d in London", "Ada", "London")
    assert caught.value.field == "sentence"


def test_half_a_surrogate_pair_in_a_description_is_refused(builder: InputBuilder) -> None:
    with pytest.raises(InputError, match="half of a surrogate pair at offset 0") as caught:
        builder.descriptions(["the head knows the tail", "\ude00 is known"])
    assert caught.value.field == "description"


LONG = [f"{chr(97 + i % 26)}" for i in range(300)]


@pytest.mark.parametrize(
    ("head", "tail"),
    [([0, 1], [1, 2]), ([0, 1], [299, 300]), ([299, 300], [0, 1]), ([150, 153], [140, 142]), ([10, 40], [200, 260])],
    ids=["at the start", "at both ends", "tail first", "in the middle", "long"],
)
def test_both_mentions_survive_in_a_long_sentence(builder: InputBuilder, head: list[int], tail: list[int]) -> None:
    instance = Instance.from_tokens(LONG, head, tail)
    [found] = builder.instances([instance])
    assert_valid(builder, instance, found)
    assert (len(found.ids), found.truncated) == (128, True)


@pytest.mark.parametrize(("words", "truncated"), [(10, False), (11, True)])
def test_a_sentence_is_cut_only_when_it_is_over_the_limit(tokenizer_text: str, words: int, truncated: bool) -> None:
    [found] = build(tokenizer_text, Lengths(16, 8)).instances([Instance.from_tokens(LONG[:words], [0, 1], [4, 5])])
    assert (len(found.ids), found.truncated) == (16, truncated)


def test_what_is_kept_of_a_gap_is_next_to_the_mentions(tokenizer_text: str) -> None:
    builder = build(tokenizer_text, Lengths(12, 8))
    [found] = builder.instances([Instance.from_tokens(list("habcdefgt"), [0, 1], [8, 9])])
    assert tokens(builder, found.ids) == "[CLS] [Eh] h [/Eh] a b f g [Et] t [/Et] [SEP]"


def test_what_is_kept_around_the_mentions_is_next_to_them(tokenizer_text: str) -> None:
    builder = build(tokenizer_text, Lengths(13, 8))
    [found] = builder.instances([Instance.from_tokens(list("abchmtxyz"), [3, 4], [5, 6])])
    assert tokens(builder, found.ids) == "[CLS] b c [Eh] h [/Eh] m [Et] t [/Et] x y [SEP]"


def test_at_equal_distance_what_is_between_the_mentions_is_kept(tokenizer_text: str) -> None:
    builder = build(tokenizer_text, Lengths(9, 8))
    [found] = builder.instances([Instance.from_tokens(list("xhmty"), [1, 2], [3, 4])])
    assert tokens(builder, found.ids) == "[CLS] [Eh] h [/Eh] m [Et] t [/Et] [SEP]"


def test_mentions_that_fill_the_limit_leave_no_context(tokenizer_text: str) -> None:
    builder = build(tokenizer_text, Lengths(10, 8))
    [found] = builder.instances([Instance.from_tokens(list("xabmcdy"), [1, 3], [4, 6])])
    assert tokens(builder, found.ids) == "[CLS] [Eh] a b [/Eh] [Et] c d [/Et] [SEP]"


@pytest.mark.parametrize(("head", "tail", "field"), [([0, 3], [4, 6], "head"), ([4, 6], [0, 3], "tail")])
def test_mentions_over_the_limit_name_the_longer_one_and_the_limit(
    tokenizer_text: str, head: list[int], tail: list[int], field: str
) -> None:
    builder = build(tokenizer_text, Lengths(10, 8))
    with pytest.raises(InputError, match="take 3 and 2 tokens, the limit for both together is 4") as caught:
        builder.instances([Instance.from_tokens(list("abcmde"), head, tail)])
    assert caught.value.field == field


def test_a_long_description_is_cut_at_its_end(tokenizer_text: str) -> None:
    builder = build(tokenizer_text, Lengths(16, 8))
    [found] = builder.descriptions([" ".join("abcdefgh")])
    assert tokens(builder, found.ids) == "[CLS] a b c d e f [SEP]"
    assert found.truncated


def test_a_description_that_just_fits_is_whole(tokenizer_text: str) -> None:
    [found] = build(tokenizer_text, Lengths(16, 8)).descriptions([" ".join("abcdef")])
    assert (len(found.ids), found.truncated) == (8, False)


def test_instances_of_a_batch_are_what_they_are_alone(builder: InputBuilder) -> None:
    batch = [
        Instance.from_tokens(LONG, [3, 5], [150, 152]),
        mentions(SENTENCE, "Ada", "London"),
        mentions(SENTENCE, "London", "Ada"),
    ]
    assert builder.instances(batch) == [builder.instances([x])[0] for x in batch]


def test_a_sentence_batch_is_padded_and_masked(builder: InputBuilder) -> None:
    arrays = builder.instance_arrays([InstanceInput([7, 8, 9, 10], 1, 2, False), InstanceInput([7, 8, 9], 2, 1, False)])
    pad = builder.pad_id
    assert arrays["input_ids"].tolist() == [[7, 8, 9, 10], [7, 8, 9, pad]]
    assert arrays["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert arrays["marker_positions"].tolist() == [[1, 2], [2, 1]]


def test_the_content_mask_leaves_out_the_special_tokens_and_the_padding(builder: InputBuilder) -> None:
    inputs = [DescriptionInput([7, 8, 9, 10, 11], False), DescriptionInput([7, 8, 9], False)]
    assert builder.description_arrays(inputs)["content_mask"].tolist() == [[0, 1, 1, 1, 0], [0, 1, 0, 0, 0]]


def test_descriptions_have_unused_marker_positions(builder: InputBuilder) -> None:
    arrays = builder.description_arrays([DescriptionInput([7, 8, 9], False)] * 2)
    assert arrays["marker_positions"].tolist() == [[0, 0], [0, 0]]


def test_plain_texts_are_padded_and_masked_whatever_they_are(builder: InputBuilder) -> None:
    arrays = builder.plain_arrays([(7, 8, 9, 10), (7, 8, 9)])
    as_descriptions = builder.description_arrays(
        [DescriptionInput([7, 8, 9, 10], False), DescriptionInput([7, 8, 9], False)]
    )
    assert {name: array.tolist() for name, array in arrays.items()} == {
        name: array.tolist() for name, array in as_descriptions.items()
    }


def test_a_pair_is_the_sentence_and_then_the_description_without_its_opening(builder: InputBuilder) -> None:
    first, second = InstanceInput([1, 20, 21, 2], 1, 2, False), InstanceInput([1, 20, 2], 1, 1, False)
    arrays = builder.pair_arrays(
        [(first, DescriptionInput([1, 30, 31, 2], False)), (second, DescriptionInput([1, 30, 2], False))]
    )
    assert arrays["input_ids"].tolist() == [[1, 20, 21, 2, 30, 31, 2], [1, 20, 2, 30, 2, *[builder.pad_id] * 2]]
    assert arrays["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0]]
    assert arrays["attention_mask"].tolist() == [[1] * 7, [1] * 5 + [0] * 2]
    assert arrays["marker_positions"].tolist() == [[1, 2], [1, 1]]


def test_a_pair_is_at_most_both_limits_less_one(tokenizer_text: str) -> None:
    builder = build(tokenizer_text, Lengths(20, 10))
    instances = builder.instances([Instance.from_tokens(LONG, [5, 6], [9, 10])])
    arrays = builder.pair_arrays([(instances[0], builder.descriptions([" ".join(LONG)])[0])])
    assert arrays["input_ids"].shape == (1, 29)


def test_every_array_is_of_64_bit_integers(builder: InputBuilder) -> None:
    instances, descriptions = builder.instances([mentions(SENTENCE, "Ada", "London")]), builder.descriptions(["a b"])
    batches = (
        builder.instance_arrays(instances),
        builder.description_arrays(descriptions),
        builder.pair_arrays([(instances[0], descriptions[0])]),
        builder.plain_arrays([(7, 8, 9)]),
    )
    assert {array.dtype for batch in batches for array in batch.values()} == {np.dtype(np.int64)}


def test_lengths_can_be_rounded_up_with_padding_that_is_masked(tokenizer_text: str) -> None:
    arrays = build(tokenizer_text, multiple=8).description_arrays([DescriptionInput([7, 8, 9], False)])
    assert arrays["input_ids"].shape == (1, 8)
    assert arrays["attention_mask"].sum() == 3


def test_a_length_that_is_a_multiple_already_is_kept(tokenizer_text: str) -> None:
    inputs = [DescriptionInput(list(range(16)), False)]
    assert build(tokenizer_text, multiple=8).description_arrays(inputs)["input_ids"].shape == (1, 16)


def test_a_tokenizer_without_the_markers_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises(ValueError, match=r"no token '\[Eh\]'"):
        InputBuilder(Tokenizer.from_file(str(tiny_encoder / "tokenizer.json")), Lengths())


def test_a_tokenizer_without_a_named_special_token_is_refused(tokenizer_text: str) -> None:
    with pytest.raises(ValueError, match="no token '<s>'"):
        InputBuilder(Tokenizer.from_str(tokenizer_text), Lengths(), {"cls": "<s>"})


def test_other_names_of_the_special_tokens_are_used(tokenizer_text: str) -> None:
    tokenizer = Tokenizer.from_str(tokenizer_text)
    tokenizer.add_special_tokens(["<s>", "</s>", "<pad>"])
    builder = InputBuilder(tokenizer, Lengths(), {"cls": "<s>", "sep": "</s>", "pad": "<pad>"})
    arrays = builder.description_arrays(builder.descriptions(["a b", "a"]))
    assert tokens(builder, arrays["input_ids"].tolist()[1]) == "<s> a </s> <pad>"


def test_settings_left_in_a_tokenizer_have_no_effect(tokenizer_text: str) -> None:
    tokenizer = Tokenizer.from_str(tokenizer_text)
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=40)
    [found] = InputBuilder(tokenizer, Lengths()).descriptions(["a b c d e"])
    assert len(found.ids) == 7


def test_a_builder_from_a_file_gives_the_same_ids(tokenizer_text: str, builder: InputBuilder, tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text(tokenizer_text, encoding="utf-8")
    instances = [mentions(SENTENCE, "Ada", "London")]
    assert InputBuilder.from_file(file, Lengths()).instances(instances) == builder.instances(instances)


WORDS = st.text(st.sampled_from("ab É[]/Eht \t\u0301\u200d\U0001f469\U0001f3fd\x07\u200bß東"), max_size=12) | st.text(
    max_size=12
)


@settings(deadline=None)
@given(st.tuples(WORDS, WORDS, WORDS, WORDS, WORDS), st.booleans())
def test_any_sentence_with_mentions_is_refused_or_becomes_valid_input(
    builder: InputBuilder, parts: tuple[str, str, str, str, str], tail_first: bool
) -> None:
    left, first, middle, second, _ = parts
    start = len(left) + len(first) + len(middle)
    spans = Span(len(left), len(left) + len(first)), Span(start, start + len(second))
    try:
        instance = Instance("".join(parts), *(spans[::-1] if tail_first else spans))
        [found] = builder.instances([instance])
    except InputError as error:
        assert error.field in {"sentence", "head", "tail"}  # noqa: PT017
    else:
        assert_valid(builder, instance, found)


@settings(deadline=None)
@given(st.text(max_size=30), st.tuples(*[st.integers(-3, 33)] * 4))
def test_any_offsets_are_refused_or_become_valid_input(
    builder: InputBuilder, sentence: str, edges: tuple[int, int, int, int]
) -> None:
    try:
        instance = Instance(sentence, Span(*edges[:2]), Span(*edges[2:]))
        [found] = builder.instances([instance])
    except InputError as error:
        assert error.field in {"sentence", "head", "tail"}  # noqa: PT017
    else:
        assert_valid(builder, instance, found)


@settings(deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=6),
        min_size=2,
        max_size=120,
    ),
    st.data(),
)
def test_any_two_words_of_a_list_survive(builder: InputBuilder, words: list[str], data: st.DataObject) -> None:
    head, tail = data.draw(st.permutations(range(len(words))).map(lambda order: order[:2]))
    instance = Instance.from_tokens(words, [head, head + 1], [tail, tail + 1])
    assert instance.sentence[instance.head.start : instance.head.end] == words[head]
    assert_valid(builder, instance, builder.instances([instance])[0])


@settings(deadline=None)
@given(st.lists(st.text(max_size=5), max_size=8), st.tuples(*[st.integers(-1, 9)] * 4))
def test_any_token_offsets_are_refused_or_cover_their_tokens(
    words: list[str], edges: tuple[int, int, int, int]
) -> None:
    head, tail = edges[:2], edges[2:]
    try:
        instance = Instance.from_tokens(words, head, tail)
    except InputError:
        return
    for (start, end), span in ((head, instance.head), (tail, instance.tail)):
        assert instance.sentence[span.start : span.end] == " ".join(words[start:end])


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_description_is_refused_or_becomes_valid_input(builder: InputBuilder, text: str) -> None:
    readable = plain(builder, text)
    assume(readable)
    [found] = builder.descriptions([text])
    assert found.ids == [builder.cls_id, *readable[: builder.lengths.description - 2], builder.sep_id]


def test_a_turned_instance_has_its_mentions_changed() -> None:
    instance = Instance("Ada lived in London.", Span(0, 3), Span(13, 19))
    assert instance.turned() == Instance("Ada lived in London.", Span(13, 19), Span(0, 3))
