"""JSON and JSON Lines of tagged tokens, read as rows and written again."""

from pathlib import Path

import pytest

from span_label_errors.data.squad import InvalidDatasetError, load_squad
from span_label_errors.data.write import write_with_answers

ENTRIES = (
    '{"id": 7, "tokens": ["Ann", "Lee", "ran"], "ner_tags": ["B-PER","I-PER",  "O"], "doc_id": "x"}',
    '{ "ner_tags" : [ "O", "B-LOC" ], "tokens" : [ "in", "K\\u00f6ln" ] }',
)
FORMS = ["{}\n{}\n", "{}\r\n\r\n{}", "[{},\n {}]\n", "\ufeff[\n{},{}]"]
NEW = {0: [{"text": "Ann", "answer_start": 0, "label": "PER"}], 1: [0, {"text": "in", "answer_start": 0, "label": "é"}]}


def written(tmp_path: Path, text: str, name: str = "s.jsonl") -> Path:
    (tmp_path / name).write_bytes(text.encode())
    return tmp_path / name


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["s.json", "s.jsonl"])
def test_entries_are_read_and_only_changed_tags_differ(tmp_path, form, name):
    source = written(tmp_path, form.format(*ENTRIES), name)
    rows = load_squad(source).to_list()
    assert [(row["id"], row["title"], row["context"], row["question"]) for row in rows] == [
        ("7", "x", "Ann Lee ran", ""),
        ("1", "", "in Köln", ""),
    ]
    assert [row["answers"] for row in rows] == [
        {"text": ["Ann Lee"], "answer_start": [0], "label": ["PER"]},
        {"text": ["Köln"], "answer_start": [3], "label": ["LOC"]},
    ]
    write_with_answers(source, tmp_path / "new", NEW)
    first = ENTRIES[0].replace('"I-PER"', '"O"')
    # The file has no character beyond ASCII, so it gets none.
    second = ENTRIES[1].replace('"O"', r'"B-\u00e9"')
    assert (tmp_path / "new").read_bytes().decode() == form.format(first, second)


def test_one_entry_and_fields_of_questions(tmp_path):
    (row,) = load_squad(written(tmp_path, ENTRIES[0], "s.json")).to_list()
    assert row["answers"]["text"] == ["Ann Lee"]
    question = '{"context": "Ann", "question": "?", "answers": [], "tokens": ["a"], "tags": ["O"]}'
    (row,) = load_squad(written(tmp_path, question)).to_list()
    assert (row["context"], row["question"]) == ("Ann", "?")


def test_numbers_of_tags_are_refused(tmp_path):
    text = '{"tokens": [], "ner_tags": []}\n{"tokens": ["a"], "ner_tags": [1]}'
    message = (
        r"s\.jsonl: expected 'ner_tags' to say which tags its numbers stand for, .*; write texts, or save the data"
    )
    with pytest.raises(ValueError, match=message):
        load_squad(written(tmp_path, text))


def test_half_of_a_surrogate_pair_is_no_token(tmp_path):
    source = written(tmp_path, '{"tokens": ["a"], "tags": ["B-X"]}\n{"tokens": ["\\ud800"], "tags": ["O"]}')
    with pytest.raises(InvalidDatasetError, match="tokens of Unicode text in 'tokens'"):
        load_squad(source)


def test_entry_without_tags_and_what_tags_cannot_say(tmp_path):
    source = written(tmp_path, '{"tokens": ["a"], "ner_tags": ["B-X"]}\n{"tokens": ["a"]}\n5')
    with pytest.warns(
        UserWarning, match=r"a list of tags in 'ner_tags'; found NoneType None\n.*with the fields .* int 5"
    ):
        assert load_squad(source, on_invalid="drop")["id"] == ["0"]
    with pytest.raises(ValueError, match="entry 0: expected the name of a class, which a tag needs"):
        write_with_answers(source, tmp_path / "new", {0: [{"text": "a", "answer_start": 0}]})


def test_an_id_that_is_missing_is_that_of_no_other_entry(tmp_path):
    entry = '"tokens": ["a"], "tags": ["B-X"]}\n'
    source = written(tmp_path, f'{{"id": "1", {entry}{{{entry}{{{entry}')
    assert load_squad(source)["id"] == ["1", "1-", "2"]
