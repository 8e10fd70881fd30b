"""Judging right answers in many languages, and such as break off inside a word."""

import functools
import unicodedata

import numpy as np
import pandas as pd
import pytest
from answer_tables import answered, example
from languages import LANGUAGES, examples_of, places_of

from span_label_errors.quality.affixes import NO_AFFIXES, Affixes
from span_label_errors.quality.checks import failed_checks
from span_label_errors.quality.context import ContextText, WordRarity
from span_label_errors.quality.label_errors import find_label_errors

UNSPACED = ("Thai", "Chinese", "Japanese")
# Answers that no span of whole words within a sentence is: marks of their own at an end, initials.
OTHERWISE = {
    "Chinese": {"“云雾”茶"},
    "Russian": {"1742 г.", "1850 г.", "И. И. Семёнов", "Н. В. Щукин"},
}
# What these leave of words outside; in other languages, nothing.
AT_START = {"Arabic": {"و"}, "Hebrew": {"מ", "כ־"}}
AT_END = {"Korean": {"은", "에", "이", "를", "에서", "이다"}, "Turkish": {"'dan"}}


def span_of_answer(row: dict) -> tuple[int, int]:
    (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
    return start, start + len(text)


def rows_of(name: str) -> list[dict]:
    """Rows of a table whose model sees all answers."""
    examples = examples_of(name)
    contexts = list(dict.fromkeys(row["context"] for row in examples))
    # Tokens of scripts without spaces, and of Korean, are pieces of what stands between two spaces.
    has_short_tokens = name in (*UNSPACED, "Korean")
    tokens = {text: np.array([range(len(text)), range(1, len(text) + 1)]) for text in contexts if has_short_tokens}
    return [
        example(number, row["question"], row["context"], span_of_answer(row), span_of_answer(row),
                fold=contexts.index(row["context"]) % 3, tokens=tokens.get(row["context"]))
        for number, row in enumerate(examples)
    ]  # fmt: skip


@functools.cache
def judged(name: str) -> pd.DataFrame:
    return find_label_errors(pd.DataFrame(rows_of(name))).issues


def affixes_of(name: str) -> Affixes:
    return Affixes((row["context"], span_of_answer(row)) for row in examples_of(name))


@pytest.mark.parametrize("name", LANGUAGES)
def test_sets_have_sixty_questions_and_answers_that_a_person_may_mark(name):
    examples, places = examples_of(name), places_of(name)
    assert len(examples) >= 60
    assert len(places) == len({row["context"] for row in examples}) == 10
    for row in examples:
        (text,), (start, end) = row["answers"]["text"], span_of_answer(row)
        assert row["context"][start:end] == text
        assert {start, end} <= places[row["context"]]


@pytest.mark.parametrize("name", LANGUAGES)
def test_right_answers_fail_no_check_and_are_no_issues(name):
    assert failed_checks(examples_of(name)) == [[]] * len(examples_of(name))
    issues = judged(name)
    assert not issues["is_issue"].any()
    assert issues["label_quality"].min() > 0.9
    assert set(issues["suggested_answer"]) == {""}


@pytest.mark.parametrize("name", LANGUAGES)
def test_affixes_are_those_of_the_language(name):
    affixes = affixes_of(name)
    assert affixes.at_start == AT_START.get(name, set())
    assert affixes.at_end == AT_END.get(name, set())
    assert affixes.cut_words == (name == "Korean")


@pytest.mark.parametrize("name", LANGUAGES)
def test_candidates_begin_and_end_where_a_person_may(name):
    affixes, rarity = affixes_of(name), WordRarity([])
    for context, places in places_of(name).items():
        found = ContextText(context, rarity, affixes).spans_within_sentences(8)
        plain = ContextText(context, rarity, NO_AFFIXES).spans_within_sentences(8)
        spans = set(zip(found.char_start.tolist(), found.char_end.tolist(), strict=True))
        borders = {*plain.char_start.tolist(), *plain.char_end.tolist()}
        if name in UNSPACED:
            # Nothing shows where words end; but where letters and numbers do.
            for border in borders - places:
                before, after = context[border - 1], context[border]
                assert unicodedata.category(after)[0] != "M"
                assert after not in "ะาำๅーゃゅょャュョ々ﾞﾟ"
                assert before not in "เแโใไ"
                assert not (before + after).isdigit()
        else:
            assert borders <= places
            # Some words only look as if they had an affix: "בית" begins with one.
            for start, end in spans:
                assert start in places or any(context[:start].endswith(affix) for affix in affixes.at_start)
                assert end in places or any(context[end:].startswith(affix) for affix in affixes.at_end)
        right = {span_of_answer(row) for row in examples_of(name) if row["context"] == context}
        missed = {context[slice(*span)] for span in right - spans}
        assert missed <= OTHERWISE.get(name, set()) | {answer for answer in missed if len(answer) > 15}


@pytest.mark.parametrize("name", [name for name in LANGUAGES if name not in ("Chinese", "Japanese", "Korean")])
def test_answers_that_break_off_inside_a_word_are_found(name):
    """In Chinese and Japanese, a word ends nowhere that shows, and Korean answers cut words."""
    rows, places, cut = rows_of(name), places_of(name), []
    for number in range(0, len(rows), 9):
        row, start = rows[number], rows[number]["given_start"][0]
        end = start + len(row["given_answer"][0])
        inside = [at for at in range(start + 1, end) if at not in places[row["context"]]]
        # A word in Thai does not show where it ends, but a letter and a number do.
        if name == "Thai":
            inside = [at for at in inside if row["context"][at].isdigit() or not row["context"][at].isalnum()]
        if inside:
            rows[number] = answered(row, (start, inside[-1]))
            cut.append(number)
    assert len(cut) >= 4
    issues = find_label_errors(pd.DataFrame(rows)).issues
    assert sorted(issues["index"][issues["is_issue"]]) == cut
    worst = issues.set_index("index").loc[cut]
    assert set(worst["reason"]) == {"begins or ends inside a word or a number"}
    assert all("cut_word" in checks for checks in worst["checks"])
    for number, suggested, start in zip(cut, worst["suggested_answer"], worst["suggested_start"], strict=True):
        place = places[rows[number]["context"]]
        assert name == "Thai" or {start, start + len(suggested)} <= place


@pytest.mark.parametrize("name", LANGUAGES)
def test_suggestions_for_swapped_answers_begin_and_end_where_a_person_may(name):
    rows, places = rows_of(name), places_of(name)
    swapped = range(0, len(rows), 9)
    for number in swapped:
        context = rows[number]["context"]
        others = [row for row in rows_of(name) if row["context"] == context and row["id"] != rows[number]["id"]]
        start = others[number % len(others)]["given_start"][0]
        rows[number] = answered(rows[number], (start, start + len(others[number % len(others)]["given_answer"][0])))
    issues = find_label_errors(pd.DataFrame(rows)).issues
    assert set(issues["index"][:5]) <= set(swapped)
    suggested = issues[issues["suggested_answer"] != ""]
    assert len(suggested) >= (1 if name in UNSPACED else 3)
    for index, start, text in zip(
        suggested["index"], suggested["suggested_start"], suggested["suggested_answer"], strict=True
    ):
        assert {start, start + len(text)} <= places[rows[index]["context"]]
