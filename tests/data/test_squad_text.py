"""Answers replaced within the text of a SQuAD file, and every other byte kept."""

import json

import pytest
from conftest import cases, make_example, squad_document, twelve_examples
from hypothesis import given
from hypothesis import strategies as st

from span_label_errors.data.squad_text import replace_answers

CONTEXT = "He wrote Ulysses in 1922. It came out in 1922."


def new_answer(text: str, *label: str) -> dict:
    return {"text": text, "answer_start": CONTEXT.index(text), **({"label": label[0]} if label else {})}


def questions_of(text: str) -> list[dict]:
    document = json.loads(text)
    return [qa for article in document["data"] for paragraph in article["paragraphs"] for qa in paragraph["qas"]]


def one_question(answers: object, **fields: object) -> str:
    question = {"id": "a", "question": "?", "answers": answers, **fields}
    return json.dumps({"data": [{"title": "", "paragraphs": [{"context": CONTEXT, "qas": [question]}]}]})


BOM_AND_CRLF = """\ufeff{"version" :\t"v2.0", "x": {"qas": [{"answers": 1}]},\r
  "data": [ {"paragraphs": [{"qas": [\r
    {"answers": [{"text": "wrong"}],\r
      "plausible_answers": [{"text": "It", "answer_start": 26}],\r
      "id": "a\\u0022]}", "question": "When\\n?",\r
      "answers": [ {"answer_start":0, "text":"He", "worker": 7},\r
                   {"text":"1922","answer_start" : 20, "worker": 8} ],\r
      "is_impossible" : false, "note": "\u2028]}" },\r
    {"id": "b", "question": "Who?", "is_impossible": true, "answers": [  ]}\r
  ,{"question":"c?","answers":[{"text":"It","answer_start":26}],"id":"c","is_impossible":false}], "context": "CTX"}],\r
  "title": ""}\r
 ] }\r\n\r\n""".replace("CTX", CONTEXT)


def test_every_other_byte_of_a_hand_made_file_is_kept():
    new_answers = {0: [new_answer("wrote"), 1], 1: [new_answer("Ulysses")], 2: []}
    old_a = BOM_AND_CRLF[BOM_AND_CRLF.index('[ {"answer_start"') : BOM_AND_CRLF.index(" ],\r") + 2]
    new_a = """[\r
        {\r
          "text": "wrote",\r
          "answer_start": 3\r
        },\r
        {\r
          "text": "1922",\r
          "answer_start": 20,\r
          "worker": 8\r
        }\r
      ]"""
    expected = BOM_AND_CRLF.replace(old_a, new_a)
    expected = expected.replace('true, "answers": [  ]', 'false, "answers": [{"text": "Ulysses", "answer_start": 9}]')
    expected = expected.replace('[{"text":"It","answer_start":26}],"id":"c","is_impossible":false',
                                '[],"id":"c","is_impossible":true')  # fmt: skip
    assert replace_answers(BOM_AND_CRLF, new_answers) == expected


def test_text_of_ascii_stays_so_and_columns_stay_columns():
    text = one_question({"text": ["He"], "answer_start": [0]})
    replaced = replace_answers(text, {0: [{"text": "\u00e9t\u00e9", "answer_start": 3}]})
    assert '"answers": {"text": ["\\u00e9t\\u00e9"], "answer_start": [3]}' in replaced
    replaced = replace_answers(text + "\u00e9", {0: [{"text": "\u00e9t\u00e9", "answer_start": 3}]})
    assert '"answers": {"text": ["\u00e9t\u00e9"], "answer_start": [3]}' in replaced
    replaced = replace_answers("\ufeff" + text, {0: [{"text": "\u00e9t\u00e9", "answer_start": 3}]})
    assert '["\\u00e9t\\u00e9"]' in replaced, "a byte order mark is no part of the text"


def test_half_of_a_surrogate_pair_in_a_kept_answer_stays_an_escape():
    text = one_question([{"text": "He", "answer_start": 0, "by": "\ud83d"}, {"text": "It", "answer_start": 26}])
    replaced = replace_answers(text + "\u00e9", {0: [0, {"text": "\u00e9", "answer_start": 3}]})
    assert '"by": "\\ud83d"}, {"text": "\\u00e9"' in replaced


@pytest.mark.parametrize("as_columns", [False, True])
@pytest.mark.parametrize(
    ("old", "replacement", "new"),
    [
        # Where no answer names its class, a new one does not either if it has none.
        ([new_answer("He"), new_answer("It")], [new_answer("came", ""), 1], [new_answer("came"), new_answer("It")]),
        ([new_answer("He", "PER")], [new_answer("It", "PER")], [new_answer("It", "PER")]),
        ([new_answer("He", "")], [new_answer("It", "")], [new_answer("It", "")]),
        # If it has one, those that stay need one too.
        (
            [new_answer("He"), new_answer("It")],
            [new_answer("came", "PER"), 1],
            [new_answer("came", "PER"), new_answer("It", "")],
        ),
    ],
)
def test_labels_are_written_for_all_answers_of_a_question_or_none(old, replacement, new, as_columns):
    def shaped(answers: list[dict]) -> list[dict] | dict:
        return {name: [answer[name] for answer in answers] for name in answers[0]} if as_columns else answers

    (question,) = questions_of(replace_answers(one_question(shaped(old)), {0: replacement}))
    assert question["answers"] == shaped(new)


def test_first_answer_of_empty_columns_names_its_class():
    text = one_question({"text": [], "answer_start": []}, is_impossible=True)
    (question,) = questions_of(replace_answers(text, {0: [new_answer("He", "PER")]}))
    assert question["answers"] == {"text": ["He"], "answer_start": [0], "label": ["PER"]}
    assert question["is_impossible"] is False


def test_what_is_no_column_of_answers_stays():
    text = one_question({"text": ["He"], "answer_start": [0], "label": None, "by": ["x"], "seen": [1, 2], "v": 3})
    (question,) = questions_of(replace_answers(text, {0: [new_answer("It", ""), 0]}))
    assert question["answers"] == {
        "text": ["It", "He"], "answer_start": [26, 0], "label": None, "by": [None, "x"], "seen": [1, 2], "v": 3,
    }  # fmt: skip


LAYOUTS = [{}, {"indent": 2}, {"indent": "\t"}, {"separators": (",", ":")}, {"indent": 1, "separators": (",", " : ")}]


@cases(40)
@given(
    st.dictionaries(st.integers(0, 11), st.sampled_from([[], [0], ["new"], [0, "new"], ["new", 0]])),
    st.sampled_from(LAYOUTS), st.booleans(), st.booleans(),
)  # fmt: skip
def test_only_the_replaced_answers_read_otherwise(chosen, layout, with_flags, ascii_only):
    entry = {"text": "The", "answer_start": 0, "née": [1, {"}": "]"}]}
    document = squad_document([*twelve_examples(), make_example("é", CONTEXT, "Qui\u2028?", "He")])
    new_answers = {index: [entry if answer == "new" else answer for answer in items] for index, items in chosen.items()}
    if with_flags:
        for paragraph in (p for article in document["data"] for p in article["paragraphs"]):
            for question in paragraph["qas"]:
                question["is_impossible"] = not question["answers"]
    text = json.dumps(document, ensure_ascii=ascii_only, **layout)
    questions = questions_of(text)
    replaced = replace_answers(text, new_answers)
    for index, answers in new_answers.items():
        old = questions[index]["answers"]
        questions[index]["answers"] = [old[answer] if answer == 0 else answer for answer in answers]
        if with_flags:
            questions[index]["is_impossible"] = not answers
    assert questions_of(replaced) == questions
    assert replaced.isascii() or not ascii_only
