"""The embedded data set holds what the documentation says of it, and its planted errors are where they should be."""

import json
import unicodedata

import pytest
from conftest import ROOT

KINDS = {
    "clause_too_long",
    "cut_inside_word",
    "one_word_off",
    "other_question",
    "wrong_occurrence",
    "wrong_span_same_kind",
}
LONGEST_ANSWER = 12  # words


@pytest.fixture(scope="module")
def articles() -> list[dict]:
    return json.loads((ROOT / "data" / "demo-v1.1.json").read_text(encoding="utf-8"))["data"]


@pytest.fixture(scope="module")
def contexts(articles) -> list[str]:
    return [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]


@pytest.fixture(scope="module")
def questions(articles) -> dict[str, dict]:
    """Context, question and the only answer of each id."""
    found = {}
    for article in articles:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                (answer,) = qa["answers"]
                assert qa["id"] not in found, "ids are unique"
                found[qa["id"]] = {"context": paragraph["context"], "question": qa["question"], **answer}
    return found


@pytest.fixture(scope="module")
def errors() -> list[dict]:
    return json.loads((ROOT / "data" / "demo-v1.1.errors.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def right_answers(questions, errors) -> dict[str, tuple[str, int]]:
    """Text and offset of the right answer of each id."""
    given = {question_id: (question["text"], question["answer_start"]) for question_id, question in questions.items()}
    return given | {error["id"]: (error["right_answer"], error["right_start"]) for error in errors}


@pytest.fixture(scope="module")
def token_starts(contexts, embedded_tokenizer) -> dict[str, list[int]]:
    """Offsets of the tokens of each context, as the embedded backbone's tokenizer cuts it."""
    encoded = embedded_tokenizer(contexts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    starts = [[start for start, _ in offsets] for offsets in encoded["offset_mapping"]]
    return dict(zip(contexts, starts, strict=True))


def is_cut(context: str, text: str, start: int) -> bool:
    """Whether a span starts or ends between two letters, marks or digits."""
    around = [context[max(0, position - 1) : position + 1] for position in (start, start + len(text))]
    return any(len(two) == 2 and all(unicodedata.category(sign)[0] in "LMN" for sign in two) for two in around)


def test_there_are_enough_articles_paragraphs_and_questions(articles, contexts, questions):
    assert len({article["title"] for article in articles}) == len(articles) >= 12
    assert len(set(contexts)) == len(contexts) >= 48
    assert len(questions) >= 240
    assert all(question["question"].endswith("?") for question in questions.values())


def test_paragraphs_have_50_to_110_words_but_for_two_of_more_than_512_tokens(contexts, token_starts):
    long = [context for context in contexts if len(token_starts[context]) > 512]
    assert len(long) == 2
    assert all(50 <= len(context.split()) <= 110 for context in contexts if context not in long)


def test_right_answers_of_the_long_paragraphs_stand_behind_token_384(questions, right_answers, token_starts):
    tokens_before = [
        sum(token_start < start for token_start in token_starts[questions[question_id]["context"]])
        for question_id, (_, start) in right_answers.items()
        if len(token_starts[questions[question_id]["context"]]) > 512
    ]
    assert len(tokens_before) >= 2
    assert min(tokens_before) >= 384


def test_answers_stand_where_their_offsets_say(questions, right_answers):
    for question_id, question in questions.items():
        assert question["text"]
        assert question["context"].startswith(question["text"], question["answer_start"])
        assert question["context"].startswith(*right_answers[question_id])


def test_answers_have_1_to_12_words_but_for_planted_clauses(questions, right_answers, errors):
    clauses = {error["id"] for error in errors if error["kind"] == "clause_too_long"}
    too_long = {name for name, question in questions.items() if len(question["text"].split()) > LONGEST_ANSWER}
    assert too_long <= clauses
    assert all(1 <= len(text.split()) <= LONGEST_ANSWER for text, _ in right_answers.values())


def test_8_to_12_percent_are_wrong_in_every_way_and_the_sidecar_says_which(questions, errors):
    assert len({error["id"] for error in errors}) == len(errors)
    assert {error["kind"] for error in errors} == KINDS
    assert 0.08 <= len(errors) / len(questions) <= 0.12
    for error in errors:
        given = error["given_answer"], error["given_start"]
        assert given == (questions[error["id"]]["text"], questions[error["id"]]["answer_start"])
        assert given != (error["right_answer"], error["right_start"])


def test_kinds_of_errors_are_what_their_names_say(questions, errors):
    for error in errors:
        given, start = error["given_answer"], error["given_start"]
        right, right_start = error["right_answer"], error["right_start"]
        end, right_end = start + len(given), right_start + len(right)
        overlaps = start < right_end and right_start < end
        longer_by = len(given.split()) - len(right.split())
        holds = {
            "cut_inside_word": is_cut(questions[error["id"]]["context"], given, start) and overlaps,
            "one_word_off": abs(longer_by) == 1 and overlaps,
            "wrong_occurrence": given == right and not overlaps,
            "clause_too_long": start <= right_start and right_end <= end and longer_by > 2,
            "other_question": given != right and not overlaps,
            "wrong_span_same_kind": given != right and not overlaps,
        }
        assert holds[error["kind"]], error


def test_no_answer_that_is_said_to_be_right_is_cut_inside_a_word(questions, right_answers):
    cut = [name for name, (text, start) in right_answers.items() if is_cut(questions[name]["context"], text, start)]
    assert cut == []


def test_text_holds_what_breaks_offsets(contexts):
    text = "\n".join(contexts)
    assert "C#" in text
    for characters in ("éáöł", "“”", "–—", "0123456789"):
        assert set(characters) <= set(text)
    scripts = {unicodedata.name(character).split()[0] for character in text if character.isalpha()}
    assert {"LATIN", "GREEK", "CYRILLIC", "ARABIC", "CJK"} <= scripts
