"""Answers that `on_invalid="repair"` repairs, and those that it leaves alone."""

import json
import unicodedata
import warnings
from pathlib import Path

import pytest
from conftest import cases, make_example
from hypothesis import assume, given
from hypothesis import strategies as st

from span_label_errors.data.repairs import repaired
from span_label_errors.data.squad import InvalidDatasetError, check_source, load_squad, validate_examples

CONTEXT = "Łódź lies west of Warsaw; Warsaw lies on the Vistula."  # "Warsaw" at 18 and at 26, "Vistula" at 45
CAFE = "Le café de l'hôtel\u00a0Élysée\n  ouvre en été."  # "hôtel" at 13, "Élysée" at 19, "ouvre" at 28
NFD = unicodedata.normalize("NFD", CAFE)
HANGUL = unicodedata.normalize("NFD", "한국 하")  # five parts and a space and two parts; "한" has three, "하" two
# "z" at 2 and at 5. 6 UTF-8 bytes stand before the first, 6 UTF-16 units before the second.
TWO_UNITS = "😀ézxxz"


def row(*answers: tuple, context: str = CONTEXT, **changes: object) -> dict:
    """An example with answers (text, offset) or (text, offset, class)."""
    names = ("text", "answer_start", "label")[: len(answers[0])] if answers else ("text", "answer_start")
    columns = {name: [answer[index] for answer in answers] for index, name in enumerate(names)}
    return make_example("a", context, "Which?") | {"answers": columns} | changes


def written(folder: Path, *rows: dict) -> Path:
    file = folder / "data.jsonl"
    file.write_text("".join(json.dumps(example, ensure_ascii=False) + "\n" for example in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("context", "text", "char_start", "expected", "said"),
    [
        # The offset that the error names.
        (CONTEXT, "Vistula", 44, ("Vistula", 45), "offset 44 to 45 (the text is nowhere else)"),
        (CONTEXT, "Vistula", None, ("Vistula", 45), "offset None to 45 (the text is nowhere else)"),
        (CONTEXT, "Vistula", -1, ("Vistula", 45), "offset -1 to 45"),
        (CONTEXT, "Vistula", 10**30, ("Vistula", 45), f"offset {10**30} to 45"),
        (CONTEXT, "Warsaw", 17, None, None),  # two places
        (CONTEXT, "Warsaw", None, None, None),
        (CONTEXT, "warsaw", 18, None, None),  # another text
        # What stands there by chance: in a number, within a word, as a raised digit.
        ("since 1871, 7,102 km²", "87", 0, None, None),
        ("since 1871, 7,102 km²", "102", 0, None, None),
        ("since 1871, 7,102 km²", "m", 0, None, None),
        ("3 km²", "2", 0, None, None),
        ("3 km²", "km2", 0, None, None),
        ("3 km²", "km2", 2, ("km²", 2), "(only white space or compatibility characters differ)"),
        ("나는 서울에서", "서울", 0, ("서울", 3), "offset 0 to 3"),  # before a particle
        ("私は東京に", "東京", 0, ("東京", 2), "offset 0 to 2"),
        # Other units: three letters of "Łódź" take two bytes, so 21 bytes stand before the first "Warsaw".
        (CONTEXT, "Warsaw", 21, ("Warsaw", 18), "offset 21 to 18 (offset 21 counts UTF-8 bytes)"),
        ("😀 Oslo, Oslo", "Oslo", 9, ("Oslo", 8), "offset 9 to 8 (offset 9 counts UTF-16 units)"),
        (TWO_UNITS, "z", 6, None, None),
        # White space at the ends.
        (CONTEXT, "Warsaw\n", 18, ("Warsaw", 18), "'Warsaw\\n' to 'Warsaw' (only white space at its ends differs)"),
        (CONTEXT, " Warsaw", 18, ("Warsaw", 18), "text ' Warsaw' to 'Warsaw' (only white space at its ends differs)"),
        (CONTEXT, " Warsaw", 19, None, None),
        (CONTEXT, "\n Warsaw", 16, ("Warsaw", 18), "text '\\n Warsaw' to 'Warsaw' and offset 16 to 18"),
        (CONTEXT, "Warsaw ", 18, None, None),  # or with the space at 26?
        (CONTEXT, "Vistula\n", 3, ("Vistula", 45), "(only white space at its ends differs, and it is nowhere else)"),
        (CONTEXT, "Warsaw\n", 3, None, None),
        ("We sat inside, in May.", "in ", 7, None, None),
        # Unicode form.
        (CAFE, "ho\u0302tel", 13, ("hôtel", 13), "(only its Unicode form differs)"),
        (CAFE, "E\u0301lyse\u0301e", 21, ("Élysée", 19), "(only its Unicode form differs, and it is nowhere else)"),
        (NFD, "hôtel", 14, ("ho\u0302tel", 14), "(only its Unicode form differs)"),
        (NFD, "été", 1, ("e\u0301te\u0301", 41), "nowhere else"),
        ("é, e\u0301", "é", 2, ("é", 0), "offset 2 to 0"),  # the other is in another form
        ("é, e\u0301", "é", 3, None, None),  # the other is at the offset
        (HANGUL, "국", 3, (HANGUL[3:6], 3), "(only its Unicode form differs)"),
        (HANGUL, "하", 0, (HANGUL[7:], 7), "nowhere else"),  # not the beginning of the first syllable
        ("Café, in NFD: Cafe\u0301", "Cafe", 3, None, None),  # it would lose its accent
        ("a Cafe\u0301", "a  Cafe", 0, None, None),
        ("The ﬁnding of ½ inch", "finding", 4, ("ﬁnding", 4), "(only white space or compatibility characters differ)"),
        ("The ﬁnding", "inding", 5, None, None),  # it would cut the ligature
        # White space written differently.
        (CAFE, "hôtel Élysée", 13, ("hôtel\u00a0Élysée", 13), "(only white space differs)"),
        (CAFE, "Élysée ouvre", 7, ("Élysée\n  ouvre", 19), "(only white space differs, and it is nowhere else)"),
        ("in  the house, in\nthe garden", "in the", 3, None, None),
        ("in  the house, in\nthe garden", "in the", 15, ("in\nthe", 15), "(only white space differs)"),
        ("New\nYork is not New York.", "New York", 0, None, None),
        ("New\nYork is not New York.", "New York", 8, ("New York", 16), "offset 8 to 16"),
    ],
)  # fmt: skip
def test_what_is_certain_is_repaired_and_nothing_else(context, text, char_start, expected, said):
    given_row = row((text, char_start), context=context)
    mended = repaired(given_row)
    (problem,) = validate_examples([given_row])
    assert problem.repaired == mended
    assert ('; on_invalid="repair" mends this' in str(problem)) == (expected is not None)
    if expected is None:
        assert mended is None
        return
    (new_text, new_start) = expected
    assert mended.row == row((new_text, new_start), context=context)
    assert context[new_start : new_start + len(new_text)] == new_text
    (repair,) = mended.repairs
    assert repair.startswith("answer 1 of 1: ")
    assert said in repair


def test_one_bad_answer_among_several_is_left_out():
    given_row = row(("Warsaw", 17, "CITY"), ("Vistula", 44, "RIVER"), ("Łódź", 0, "CITY"), ("Łódź", 0, 7))
    mended = repaired(given_row)
    assert mended.row == row(("Vistula", 45, "RIVER"), ("Łódź", 0, "CITY"))
    assert mended.kept == [1, 2]
    assert mended.repairs == [
        "answer 1 of 4: left out: expected the answer 'Warsaw' at offset 17; found ' Warsa' "
        "(the text is at offset 18 and elsewhere)",
        "answer 2 of 4: offset 44 to 45 (the text is nowhere else)",
        "answer 4 of 4: left out: expected the name of a span class in 'answers.label'; found int 7",
    ]


@pytest.mark.parametrize(
    "given_row",
    [
        row(("Warsaw", 17), ("Kraków", 0)),  # no answer is left
        row(("Vistula", 44), is_impossible=True),
        row(("Vistula", 44), question=" "),
        row(("Vistula", 44), answers={"text": ["Vistula"], "answer_start": [44, 45]}),
        row(("Vistula", 44), answers=["Vistula"]),
        row(("Vistula", True)),
        "Vistula",
    ],
)
def test_what_is_wrong_elsewhere_is_not_repaired(given_row):
    assert repaired(given_row) is None


# What is loaded


def test_repaired_examples_come_with_what_was_done_and_the_others_stay_out(tmp_path):
    rows = [row(("Vistula", number), id=f"bad{number}") for number in range(7)]
    rows = [row(("Warsaw", 18), id="good"), row(("Kraków", 0), id="hopeless"), *rows]
    with pytest.warns(UserWarning) as caught:
        loaded = load_squad(written(tmp_path, *rows), on_invalid="repair").to_list()
    assert [example["id"] for example in loaded] == ["good", *(f"bad{number}" for number in range(7))]
    done = [f"answer 1 of 1: offset {number} to 45 (the text is nowhere else)" for number in range(7)]
    assert [example["repairs"] for example in loaded] == [[], *([each] for each in done)]
    assert [example["answers"]["answer_start"] for example in loaded] == [[18], *[[45]] * 7]
    assert {Path(warning.filename) for warning in caught} == {Path(__file__)}
    of_repairs, of_others = (str(warning.message) for warning in caught)
    assert "7 of 9 examples are repaired, see the column 'repairs'" in of_repairs
    assert f"example 6 (id 'bad4'): {done[4]}\n  and 2 more" in of_repairs
    assert "bad5" not in of_repairs
    assert "1 of 9 examples are invalid" in of_others
    assert "Dropped: 'hopeless' (index 1)." in of_others


def test_without_repairs_there_is_no_column(tmp_path):
    source = written(tmp_path, row(("Warsaw", 18)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load_squad(source, on_invalid="repair")
    assert loaded.to_list() == load_squad(source).to_list()
    assert loaded.features == load_squad(source).features


def test_error_says_how_many_repair_mends(tmp_path):
    with pytest.raises(InvalidDatasetError) as caught:
        load_squad(written(tmp_path, row(("Vistula", 4), id="a"), row(("Kraków", 4), id="b"), row(id="c")))
    assert str(caught.value).endswith(
        'Correct them, or pass on_invalid="repair" to mend 1 of them and go on without the others, or pass '
        'on_invalid="drop" to go on without them.'
    )
    with pytest.raises(InvalidDatasetError, match=r"Correct them\.$"):
        load_squad(written(tmp_path, row(("Kraków", 4))), on_invalid="repair")


def test_id_that_repair_brings_back_is_there_once(tmp_path):
    rows = [row(("Vistula", 4)), row(("Warsaw", 18)), row(("Łódź", 0), id="b")]
    checked = check_source(written(tmp_path, *rows), repair=True)
    assert [example["answers"]["text"] for example in checked.rows] == [["Vistula"], ["Łódź"]]
    assert checked.example_indices == [0, 2]
    assert list(checked.repaired) == [0]
    assert [str(problem) for problem in checked.invalid] == [
        "example 1 (id 'a'): expected a unique id; found the id of example 0 again"
    ]


# For any text


def is_mark(character: str) -> bool:
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.combining(first) > 0 or 0x1160 <= ord(first) <= 0x11FF


@st.composite
def answered(draw) -> tuple[str, int, str]:
    """A context, and an answer that begins and ends at whole characters that are not white space."""
    context = draw(st.text(st.sampled_from("ab é e\u0301\u00a0\nﬁ²한\u1112\u1161\u11ab😀Ł.")), label="context")
    starts = [at for at, letter in enumerate(context) if not letter.isspace() and not is_mark(letter)]
    assume(starts)
    start = draw(st.sampled_from(starts))
    ends = [
        at
        for at in range(start + 1, len(context) + 1)
        if not context[at - 1].isspace() and (at == len(context) or not is_mark(context[at]))
    ]
    assume(ends)
    return context, start, context[start : draw(st.sampled_from(ends))]


SPACE = st.sampled_from([" ", "  ", "\n", "\u00a0"])


@given(case=answered(), form=st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]), space=SPACE, edge=st.booleans())
@cases(400)
def test_repair_marks_the_same_characters_where_the_place_was_right(case, form, space, edge):
    context, char_start, text = case
    changed = space.join(unicodedata.normalize(form, text).split()) + space * edge
    given_row = row((changed, char_start), context=context)
    assume(validate_examples([given_row]))
    mended = repaired(given_row)
    if mended is not None or changed not in context:  # where it could stand, too
        assert mended.row["answers"] == {"text": [text], "answer_start": [char_start]}


@given(case=answered(), char_start=st.integers(-2, 30))
@cases(400)
def test_wrong_offset_is_repaired_only_where_the_text_is(case, char_start):
    context, _, text = case
    given_row = row((text, char_start), context=context)
    assume(validate_examples([given_row]))
    mended = repaired(given_row)
    places = [at for at in range(len(context)) if context.startswith(text, at)]
    starts = [len(context.encode(unit)[: size * char_start].decode(unit, "replace"))
              for unit, size in (("utf-8", 1), ("utf-16-le", 2)) if char_start >= 0]  # fmt: skip
    if mended is not None:
        assert mended.row["answers"]["text"] == [text]
        (start,) = mended.row["answers"]["answer_start"]
        assert places == [start] or (start in places and start in starts)
    assert list(given_row["answers"].values()) == [[text], [char_start]], "what was given stays as it is"
