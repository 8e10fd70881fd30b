"""The embedded data set holds what the documentation says of it, and its planted errors are where they should be."""

import json
import unicodedata
from collections import Counter

import pytest
from conftest import ROOT
from transformers import AutoTokenizer

from checkpoints import resolve_checkpoint

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
def paragraphs(articles) -> list[dict]:
    return [paragraph for article in articles for paragraph in article["paragraphs"]]


@pytest.fixture(scope="module")
def questions(paragraphs) -> dict[str, dict]:
    """Context, question and the only answer of each id."""
    found = {}
    for paragraph in paragraphs:
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
def token_starts(paragraphs) -> dict[str, list[int]]:
    """Offsets of the tokens of each context, as the embedded backbone's tokenizer cuts it."""
    tokenizer = AutoTokenizer.from_pretrained(resolve_checkpoint("embedded").path)
    contexts = [paragraph["context"] for paragraph in paragraphs]
    encoded = tokenizer(contexts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return {
        context: [start for start, _ in offsets]
        for context, offsets in zip(contexts, encoded["offset_mapping"], strict=True)
    }


def is_inside_word(text: str, position: int) -> bool:
    """Whether the characters on both sides of a position are letters, marks or digits."""
    around = text[max(0, position - 1) : position + 1]
    return 0 < position < len(text) and all(unicodedata.category(character)[0] in "LMN" for character in around)


def is_cut(context: str, text: str, start: int) -> bool:
    return is_inside_word(context, start) or is_inside_word(context, start + len(text))


def test_there_are_enough_articles_paragraphs_and_questions(articles, paragraphs, questions):
    assert len(articles) >= 12
    assert len({article["title"] for article in articles}) == len(articles)
    assert len(paragraphs) >= 48
    assert len({paragraph["context"] for paragraph in paragraphs}) == len(paragraphs)
    assert len(questions) >= 240


def test_paragraphs_have_50_to_110_words_but_for_two_of_more_than_512_tokens(paragraphs, token_starts):
    contexts = [paragraph["context"] for paragraph in paragraphs]
    long = [context for context in contexts if len(token_starts[context]) > 512]
    assert len(long) == 2
    other_lengths = [len(context.split()) for context in contexts if context not in long]
    assert min(other_lengths) >= 50
    assert max(other_lengths) <= 110


def test_right_answers_of_the_long_paragraphs_stand_behind_token_384(questions, right_answers, token_starts):
    positions = []
    for question_id, (_, start) in right_answers.items():
        starts = token_starts[questions[question_id]["context"]]
        if len(starts) > 512:
            positions.append(sum(token_start < start for token_start in starts))  # tokens before the answer
    assert len(positions) >= 2
    assert min(positions) >= 384


def test_given_answers_stand_where_their_offsets_say(questions):
    wrong = [
        question_id
        for question_id, question in questions.items()
        if not question["context"].startswith(question["text"], question["answer_start"]) or not question["text"]
    ]
    assert wrong == []


def test_answers_have_1_to_12_words_but_for_planted_clauses(questions, right_answers, errors):
    clauses = {error["id"] for error in errors if error["kind"] == "clause_too_long"}
    lengths = {question_id: len(question["text"].split()) for question_id, question in questions.items()}
    assert {question_id for question_id, length in lengths.items() if length > LONGEST_ANSWER} <= clauses
    assert min(lengths.values()) == 1
    assert all(1 <= len(text.split()) <= LONGEST_ANSWER for text, _ in right_answers.values())


def test_questions_end_with_a_question_mark(questions):
    assert [question["question"] for question in questions.values() if not question["question"].endswith("?")] == []


def test_sidecar_tells_what_the_data_holds(questions, errors):
    assert len({error["id"] for error in errors}) == len(errors)
    given = {error["id"]: (error["given_answer"], error["given_start"]) for error in errors}
    found = {error["id"]: (questions[error["id"]]["text"], questions[error["id"]]["answer_start"]) for error in errors}
    assert given == found


def test_right_answers_stand_in_the_context_and_differ_from_the_given_ones(questions, errors):
    for error in errors:
        assert error["right_answer"]
        assert questions[error["id"]]["context"].startswith(error["right_answer"], error["right_start"]), error
        assert (error["given_answer"], error["given_start"]) != (error["right_answer"], error["right_start"])


def test_every_kind_of_error_is_planted_and_8_to_12_percent_are_wrong(questions, errors):
    kinds = Counter(error["kind"] for error in errors)
    assert set(kinds) == KINDS
    assert 0.08 <= len(errors) / len(questions) <= 0.12


def test_kinds_of_errors_are_what_their_names_say(questions, errors):
    for error in errors:
        given, start = error["given_answer"], error["given_start"]
        right, right_start = error["right_answer"], error["right_start"]
        end, right_end = start + len(given), right_start + len(right)
        overlaps = start < right_end and right_start < end
        context = questions[error["id"]]["context"]
        holds = {
            "cut_inside_word": is_cut(context, given, start) and overlaps,
            "one_word_off": abs(len(given.split()) - len(right.split())) == 1 and overlaps,
            "wrong_occurrence": given == right and not overlaps,
            "clause_too_long": start <= right_start
            and right_end <= end
            and len(given.split()) > len(right.split()) + 2,
            "other_question": given != right and not overlaps,
            "wrong_span_same_kind": given != right and not overlaps,
        }
        assert holds[error["kind"]], error


def test_no_answer_that_is_said_to_be_right_is_cut_inside_a_word(questions, right_answers):
    cut = {
        question_id: text
        for question_id, (text, start) in right_answers.items()
        if is_cut(questions[question_id]["context"], text, start)
    }
    assert cut == {}


def test_text_holds_what_breaks_offsets(paragraphs):
    text = "\n".join(paragraph["context"] for paragraph in paragraphs)
    assert "C#" in text
    for characters in ("éáöł", "“”", "–—", "0123456789"):
        assert set(characters) & set(text) == set(characters)
    scripts = {unicodedata.name(character).split()[0] for character in text if character.isalpha()}
    assert {"LATIN", "GREEK", "CYRILLIC", "ARABIC", "CJK"} <= scripts
