"""The schemes of tags, worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from span_label_errors.data.tags import TagError, TaggedSpan, retagged, scheme_of, spans_of

# What a tag of each scheme says of "Ann Lee", a person, behind whom "Bo" is another, and "UN", an organisation.
SPANS = [TaggedSpan(0, 2, "PER"), TaggedSpan(2, 3, "PER"), TaggedSpan(4, 5, "ORG")]
TAGS = {
    "IOB1": "I-PER I-PER B-PER O I-ORG",
    "IOB2": "B-PER I-PER B-PER O B-ORG",
    "IOBES": "B-PER E-PER S-PER O S-ORG",
    "BILOU": "B-PER L-PER U-PER O U-ORG",
    "BMEWO": "B-PER E-PER W-PER O W-ORG",
    "BMES": "B-PER M-PER E-PER O S-ORG",
}


@pytest.mark.parametrize("name", TAGS)
def test_scheme_is_known_by_its_tags_and_read(name):
    tags = TAGS[name].split()
    scheme = scheme_of([tags])
    assert (scheme.name, scheme.separator) == (name, "-")
    expected = [TaggedSpan(0, 3, "PER"), SPANS[2]] if name == "BMES" else SPANS
    assert spans_of(tags, scheme) == expected
    assert retagged(["O"] * 5, expected, scheme) == tags


def test_tags_without_classes_and_classes_without_prefixes():
    scheme = scheme_of([["B", "I", "O", "B"]])
    assert (scheme.name, scheme.has_classes) == ("IOB2", False)
    assert spans_of(["B", "I", "B"], scheme) == [TaggedSpan(0, 2, ""), TaggedSpan(2, 3, "")]
    assert retagged(["O", "O"], [TaggedSpan(0, 2, "")], scheme) == ["B", "I"]
    scheme = scheme_of([["person-actor", "person-actor", "O", "event"]])
    assert scheme.name == "IO"
    spans = [TaggedSpan(0, 2, "person-actor"), TaggedSpan(3, 4, "event")]
    assert spans_of(["person-actor", "person-actor", "O", "event"], scheme) == spans
    assert retagged(["O"] * 4, spans, scheme) == ["person-actor", "person-actor", "O", "event"]


def test_underscore_stands_between_prefix_and_class():
    scheme = scheme_of([["B_PER", "I_PER"]])
    assert retagged(["B_PER", "I_PER"], [TaggedSpan(1, 2, "x_y")], scheme) == ["O", "B_x_y"]


@pytest.mark.parametrize("tags", ["O I-PER I-PER", "O B-PER I-PER"])
def test_span_may_begin_with_i_in_both_schemes_of_conll(tags):
    for others in (["I-PER", "O", "I-LOC"], ["B-PER", "O", "B-LOC"]):
        scheme = scheme_of([others, others, tags.split()])
        assert spans_of(tags.split(), scheme) == [TaggedSpan(1, 3, "PER")]
    assert spans_of(["B-PER", "I-LOC"], scheme) == [TaggedSpan(0, 1, "PER"), TaggedSpan(1, 2, "LOC")]


def test_scheme_is_that_of_most_spans_and_only_changed_spans_follow_it():
    tags = ["I-PER", "O", "B-PER", "O", "B-LOC"]
    scheme = scheme_of([tags])
    assert scheme.name == "IOB2"
    assert retagged(tags, [TaggedSpan(0, 1, "PER"), TaggedSpan(2, 4, "PER")], scheme) == [
        "I-PER", "O", "B-PER", "I-PER", "O",
    ]  # fmt: skip


def test_neighbour_in_iob1_begins_as_the_scheme_has_it():
    scheme = scheme_of([["I-PER", "B-PER"]])
    # Without its neighbour, the second begins as any span; behind a new one, the first of old needs its B-.
    assert retagged(["I-PER", "B-PER"], [TaggedSpan(1, 2, "PER")], scheme) == ["O", "I-PER"]
    spans = [TaggedSpan(0, 1, "PER"), TaggedSpan(1, 2, "PER")]
    assert retagged(["O", "I-PER"], spans, scheme) == ["I-PER", "B-PER"]
    assert retagged(["I-PER", "I-PER"], spans, scheme) == ["I-PER", "B-PER"]
    assert retagged(["I-PER", "B-PER"], [TaggedSpan(0, 2, "PER")], scheme) == ["I-PER", "I-PER"]
    # One that begins with B- though nothing asks for it, stays.
    assert retagged(["O", "O", "B-PER"], [TaggedSpan(0, 1, "LOC"), TaggedSpan(2, 3, "PER")], scheme) == [
        "I-LOC", "O", "B-PER",
    ]  # fmt: skip


BROKEN = [
    ("S-PER O E-PER", 2, "O, B-PER or S-PER", "E-PER"),
    ("B-PER O S-PER", 1, "I-PER or E-PER", "O"),
    ("B-PER E-LOC S-PER", 1, "I-PER or E-PER", "E-LOC"),
    ("S-PER B-PER I-PER", 3, "I-PER or E-PER", "the end of the sentence"),
    ("S-PER X-PER O", 1, "O, B-… or I-… or E-… or S-…, since the scheme is IOBES", "'X-PER'"),
    ("S-PER PER O", 1, "O, B-… or I-… or E-… or S-…, since the scheme is IOBES", "'PER'"),
]


@pytest.mark.parametrize(("tags", "position", "expected", "found"), BROKEN)
def test_tag_that_does_not_follow_is_named(tags, position, expected, found):
    scheme = scheme_of([["B-PER", "E-PER", "S-PER"], ["S-LOC"], tags.split()])
    with pytest.raises(TagError) as raised:
        spans_of(tags.split(), scheme)
    assert (raised.value.position, raised.value.expected, raised.value.found) == (position, expected, found)


def test_scheme_of_few_tags():
    assert scheme_of([["O", "O"]]).name == "IOB2"
    # A class behind another begins a span as well: two with I-, one with B-.
    assert scheme_of([["I-PER", "I-LOC", "O", "B-LOC"]]).name == "IOB1"
    assert scheme_of([["road", "road", "O", "I-95"]]).name == "IO"


def test_a_stray_tag_does_not_change_the_scheme():
    scheme = scheme_of([["B-PER", "I-PER"], ["B-LOC"], ["B-LOC"], ["S-LOC"]])
    assert scheme.name == "IOB2"
    with pytest.raises(TagError, match="expected O, B-… or I-…, since the scheme is IOB2; found 'S-LOC'"):
        spans_of(["S-LOC"], scheme)


NO_SCHEMES = [
    (["NNP", "VBZ"], "O and names of classes; found 'NNP', 'VBZ'"),
    ([f"w{n}" for n in range(201)] + ["O"], "O and names of classes; found 'w0'"),
    (["PER-B", "PER-I", "O"], "which have the prefix behind the class; write it in front"),
    (["I-PER", "E-PER", "O"], "the schemes IO, IOB1, IOB2, IOBES, BILOU, BMEWO, BMES; found the prefixes E, I"),
    (["B-PER", "L-PER", "S-PER"], "found the prefixes B, L, S"),
]


@pytest.mark.parametrize(("tags", "message"), NO_SCHEMES)
def test_other_tags_are_refused(tags, message):
    with pytest.raises(ValueError, match=message):
        scheme_of([tags])


def test_what_a_scheme_cannot_say_is_refused():
    scheme = scheme_of([["PER", "O"]])
    neighbours = [TaggedSpan(0, 1, "PER"), TaggedSpan(1, 2, "PER")]
    with pytest.raises(ValueError, match="the scheme IO, which has no B-, would make one of two; found two of the cl"):
        retagged(["PER", "O"], neighbours, scheme)
    assert retagged(["PER", "O"], [neighbours[0], TaggedSpan(1, 2, "LOC")], scheme) == ["PER", "LOC"]
    with pytest.raises(
        ValueError,
        match="found one of the class 'LOC' that begins at token 1, inside one of the class 'PER'; shorten or",
    ):
        retagged(["PER", "O"], [TaggedSpan(0, 2, "PER"), TaggedSpan(1, 2, "LOC")], scheme)


SPAN_SETS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(["PER", "LOC"])), max_size=6
)  # of each span the tokens before it, its tokens, its class


def spans_in_a_row(steps: list[tuple[int, int, str]]) -> list[TaggedSpan]:
    spans, position = [], 0
    for gap, length, class_name in steps:
        spans.append(TaggedSpan(position + gap, position + gap + length, class_name))
        position += gap + length
    return spans


@pytest.mark.parametrize("name", TAGS)
@given(old=SPAN_SETS, new=SPAN_SETS, kept=st.sets(st.integers(0, 5)))
def test_tags_say_the_new_spans_and_tokens_of_others_keep_theirs(name, old, new, kept):
    scheme = scheme_of([TAGS[name].split()])
    old, new = spans_in_a_row(old), spans_in_a_row(new)
    # Some of the old spans stay, and those of the new that are apart from them are added.
    staying = [span for number, span in enumerate(old) if number in kept]
    apart = [
        one for one in new if all(one.token_end <= s.token_start or s.token_end <= one.token_start for s in staying)
    ]
    before = retagged(["O"] * 30, old, scheme)
    assert spans_of(before, scheme) == old
    after = retagged(before, staying + apart, scheme)
    assert spans_of(after, scheme) == sorted(staying + apart)
    assert after == retagged(["O"] * 30, staying + apart, scheme)
    for span in staying:
        inner = slice(span.token_start + 1, span.token_end)
        assert after[inner] == before[inner]
