"""The embedded entities hold what their card says, and their planted errors are where they should be."""

import json
from collections import Counter

import pytest
from conftest import ROOT

from span_label_errors import load_squad

KINDS = {"wrong_class": 11, "spurious": 7, "missing": 7, "too_short": 4, "too_long": 3}
NOTHING = ("", None, "")


@pytest.fixture(scope="module")
def sentences() -> dict[str, dict]:
    lines = (ROOT / "data" / "demo-entities.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows), "ids are unique"
    return found


@pytest.fixture(scope="module")
def errors() -> list[dict]:
    return json.loads((ROOT / "data" / "demo-entities.errors.json").read_text(encoding="utf-8"))


def marked(sentence: dict) -> list[tuple[str, int, str]]:
    """Text, start and class of each given span of a sentence."""
    text = sentence["text"]
    return [(text[span["start"] : span["end"]], span["start"], span["label"]) for span in sentence["spans"]]


def side(error: dict, which: str) -> tuple[str, int | None, str]:
    return error[f"{which}_answer"], error[f"{which}_start"], error[f"{which}_label"]


def test_there_are_as_many_documents_sentences_and_spans_as_the_card_says(sentences):
    assert len(sentences) == 320
    assert sum(len(sentence["text"].split()) for sentence in sentences.values()) == 3079
    assert len({sentence["title"] for sentence in sentences.values()}) == 102
    assert len({name.rpartition("-")[0] for name in sentences}) == 102
    assert sum(not sentence["spans"] for sentence in sentences.values()) == 19
    classes = Counter(span["label"] for sentence in sentences.values() for span in sentence["spans"])
    assert classes == {"PERSON": 173, "PLACE": 244, "ORGANISATION": 155}


def test_spans_are_in_order_apart_and_whole_words(sentences):
    for sentence in sentences.values():
        end_before = 0
        for text, start, _ in marked(sentence):
            end = start + len(text)
            assert end_before <= start < end <= len(sentence["text"])
            assert text == text.strip()
            around = sentence["text"][:start][-1:] + sentence["text"][end:][:1]
            assert not any(character.isalnum() for character in around), text
            end_before = end


def test_they_load_as_contexts_without_a_question(sentences):
    loaded = load_squad("demo-entities")
    assert [example["id"] for example in loaded] == list(sentences)
    for example in loaded:
        sentence, answers = sentences[example["id"]], example["answers"]
        assert (example["context"], example["question"]) == (sentence["text"], "")
        assert example["title"] == sentence["title"]
        spans = list(zip(answers["text"], answers["answer_start"], answers["label"], strict=True))
        assert spans == marked(sentence)


def test_each_given_span_of_an_error_is_marked_and_each_right_one_is_not(sentences, errors):
    assert len({error["id"] for error in errors}) == len(errors) == 32
    for error in errors:
        sentence = sentences[error["id"]]
        given, right = side(error, "given"), side(error, "right")
        assert given == NOTHING or given in marked(sentence), error
        assert right == NOTHING or sentence["text"].startswith(*right[:2]), error
        assert right not in marked(sentence)


def test_kinds_of_errors_are_what_their_names_say(errors):
    assert Counter(error["kind"] for error in errors) == KINDS
    for error in errors:
        (given, start, label), (right, right_start, right_label) = side(error, "given"), side(error, "right")
        overlaps = NOTHING not in (side(error, "given"), side(error, "right")) and (
            start < right_start + len(right) and right_start < start + len(given)
        )
        same_class = label == right_label
        holds = {
            "wrong_class": (given, start) == (right, right_start) and not same_class and overlaps,
            "spurious": given != "" and side(error, "right") == NOTHING,
            "missing": right != "" and side(error, "given") == NOTHING,
            "too_short": overlaps and same_class and given in right and given != right,
            "too_long": overlaps and same_class and right in given and given != right,
        }
        assert holds[error["kind"]], error


def test_once_corrected_a_name_has_one_class_but_for_those_that_are_ambiguous(sentences, errors):
    by_id = {error["id"]: error for error in errors}
    classes: dict[str, set[str]] = {}
    for name, sentence in sentences.items():
        spans = set(marked(sentence))
        if name in by_id:
            spans = spans - {side(by_id[name], "given")} | {side(by_id[name], "right")} - {NOTHING}
        for text, _, label in spans:
            classes.setdefault(text, set()).add(label)
    several = {text: found for text, found in classes.items() if len(found) > 1}
    assert several == {"Aldmere": {"PLACE", "ORGANISATION"}, "Linden": {"PERSON", "PLACE"}}
