"""Records of texts and labelled spans: read as rows, and written again."""

import json
from pathlib import Path

import pytest

from span_label_errors.data.squad import load_squad
from span_label_errors.data.write import write_with_answers

TEXT = "Ann Lee saw Köln."
ANN, LEE, KOELN = ("Ann", 0, "PER"), ("Lee", 4, "PER"), ("Köln", 12, "LOC")
SPANS = '[{"start": 0, "end": 3, "label": "PER"}, {"start": 12, "end": 16, "label": "LOC"}]'
LISTS = '[[0, 3, "PER"], [12, 16, "LOC"]]'
OFFSETS = (
    '[{"id": 5, "label": "PER", "start_offset": 0, "end_offset": 3}, '
    '{"id": 6, "label": "LOC", "start_offset": 12, "end_offset": 16}]'
)
RECORDS = {
    "prodigy": f'{{"text": "{TEXT}", "spans": {SPANS}}}',
    "prodigy, with texts": f'{{"text": "{TEXT}", "spans": {SPANS}}}'.replace("3,", '3, "text": "Ann",'),
    "spacy": f'["{TEXT}", {{"entities": {LISTS}}}]',
    "entities": f'{{"entities": {LISTS}, "text": "{TEXT}"}}',
    "doccano": f'{{"id": 3, "text": "{TEXT}", "label": {LISTS}}}',
    "doccano, older": f'{{"data": "{TEXT}", "labels": {LISTS}}}',
    "doccano, relations": f'{{"text": "{TEXT}", "entities": {OFFSETS}, "relations": []}}',
}
FORMS = ["{0}\n{0}\n", "{0}\r\n\r\n{0}", "[{0},\n {0}]\n", "\ufeff[\n{0},{0}]"]


def written(tmp_path: Path, text: str, name: str = "s.jsonl") -> Path:
    (tmp_path / name).write_bytes(text.encode())
    return tmp_path / name


def spans(row: dict) -> list[tuple]:
    answers = row["answers"]
    return list(zip(answers["text"], answers["answer_start"], answers.get("label", answers["text"]), strict=True))


def answer(text: str, start: int, label: str) -> dict:
    return {"text": text, "answer_start": start, "label": label}


def edited(tmp_path: Path, text: str, new: dict, name: str = "s.jsonl") -> str:
    write_with_answers(written(tmp_path, text, name), tmp_path / "new", new)
    return (tmp_path / "new").read_bytes().decode()


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize("form", FORMS)
def test_records_are_read(tmp_path, record, form):
    source = written(tmp_path, form.format(record.replace('"id": 3, ', "")), "s.json")
    rows = load_squad(source).to_list()
    assert [(row["id"], row["title"], row["context"], row["question"]) for row in rows] == [
        ("0", "", TEXT, ""),
        ("1", "", TEXT, ""),
    ]
    assert [spans(row) for row in rows] == [[ANN, KOELN]] * 2


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_one_record_alone(tmp_path, record):
    (row,) = load_squad(written(tmp_path, record)).to_list()
    assert spans(row) == [ANN, KOELN]
    new = edited(tmp_path, record, {0: [0, answer("Köln", 12, "GPE")]})
    assert new == record.replace("LOC", "GPE")


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize("form", FORMS)
def test_a_span_changes_in_place(tmp_path, record, form):
    record = record.replace('"id": 3, ', "")
    new = edited(tmp_path, form.format(record), {1: [answer("Ann Lee", 0, "PER"), 1]})
    changed = record.replace("0, 3, ", "0, 7, ").replace('"end": 3', '"end": 7').replace('_offset": 3', '_offset": 7')
    changed = changed.replace('"text": "Ann"', '"text": "Ann Lee"')
    first, found, second = form.rpartition("{0}")
    assert found and new == first.format(record) + changed + second


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_span_goes_another_comes(tmp_path, record):
    new = edited(tmp_path, record + "\n", {0: [1, answer("saw", 8, "VERB")]})
    (row,) = load_squad(written(tmp_path, new)).to_list()
    assert spans(row) == [("saw", 8, "VERB"), KOELN]
    assert new.endswith("\n") and new.count("VERB") == 1


def test_new_spans_have_the_form_of_the_others(tmp_path):
    new = {0: [0, answer("Lee", 4, "PER"), 1]}
    assert edited(tmp_path, RECORDS["doccano, relations"], new) == RECORDS["doccano, relations"].replace(
        '}, {"id": 6', '}, {"id": 7, "label": "PER", "start_offset": 4, "end_offset": 7}, {"id": 6'
    )
    assert edited(tmp_path, RECORDS["spacy"], new) == RECORDS["spacy"].replace("], [12", '], [4, 7, "PER"], [12')
    compact = '{"text":"a b","spans":[]}\n{"text":"c","spans":[{"start":0,"end":1,"label":"X","score":0.5}]}'
    assert edited(tmp_path, compact, {0: [answer("b", 2, "é")]}) == compact.replace(
        "[]", r'[{"start":2,"end":3,"label":"\u00e9"}]'
    )


def test_indented_lists_stay_indented(tmp_path):
    document = [{"text": "a b", "entities": [[0, 1, "X"]]}, {"text": "c", "entities": []}]
    text = json.dumps(document, indent=2)
    new = {0: [0, answer("b", 2, "Y")], 1: [answer("c", 0, "Y")]}
    document[0]["entities"].append([2, 3, "Y"])
    document[1]["entities"].append([0, 1, "Y"])
    assert edited(tmp_path, text, new, "s.json") == json.dumps(document, indent=2)


def test_the_first_span_of_a_file_is_written_as_its_entries_are(tmp_path):
    for indent, separators in [(None, (",", ":")), (None, None), (1, None)]:
        for form, span in [("spans", {"start": 2, "end": 3, "label": "Y"}), ("label", [2, 3, "Y"])]:
            before, after = ([{"text": "a b", form: spans}] for spans in ([], [span]))
            text, expected = (json.dumps(entries, indent=indent, separators=separators) for entries in (before, after))
            assert edited(tmp_path, text, {0: [answer("b", 2, "Y")]}) == expected


def test_the_last_span_goes(tmp_path):
    assert edited(tmp_path, RECORDS["doccano"], {0: []}) == RECORDS["doccano"].replace(LISTS, "[]")
    spaced = '{"text": "a b c", "label": [ [0,1,"X"] ,  [2,3,"X"],\n [4,5,"X"]  ]}'
    assert edited(tmp_path, spaced, {0: [0, 2]}) == spaced.replace('[2,3,"X"],\n ', "")
    assert edited(tmp_path, spaced, {0: [1]}) == '{"text": "a b c", "label": [ [2,3,"X"]  ]}'


def test_further_fields_of_spans_stay_and_tokens_follow(tmp_path):
    tokens = [{"text": "a", "start": 0, "end": 1, "id": 0}, {"text": "bc", "start": 2, "end": 4, "id": 1}]
    span = {"token_start": 0, "token_end": 0, "start": 0, "end": 1, "label": "X", "score": 0.25, "rank": 1}
    record = {"text": "a bc", "tokens": tokens, "spans": [span], "answer": "accept", "_task_hash": -5}
    moved = {**record, "spans": [{**span, "token_start": 0, "token_end": 1, "end": 4}]}
    assert json.loads(edited(tmp_path, json.dumps(record), {0: [answer("a bc", 0, "X")]})) == moved
    # No token ends behind "b".
    cut = {name: value for name, value in span.items() if not name.startswith("token_")}
    new = edited(tmp_path, json.dumps(record), {0: [answer("a b", 0, "X")]})
    assert new == json.dumps({**record, "spans": [{**cut, "end": 3}]})
    added = edited(tmp_path, json.dumps(record), {0: [0, answer("bc", 2, "Y")]})
    of_added = {"token_start": 1, "token_end": 1, "start": 2, "end": 4, "label": "Y"}
    assert added == json.dumps({**record, "spans": [span, of_added]})


def test_ids_of_spans_may_be_any_json(tmp_path):
    record = '{"text": "a b", "spans": [{"start": 0, "end": 1, "label": "X", "id": [1]}]}'
    assert edited(tmp_path, record, {0: []}) == '{"text": "a b", "spans": []}'
    added = ', {"start": 2, "end": 3, "label": "Y", "id": "new-1"}]'
    assert edited(tmp_path, record, {0: [0, answer("b", 2, "Y")]}) == record.replace("}]", "}" + added)


def test_relations_of_a_span_that_goes_go_with_it(tmp_path):
    relations = '"relations": [{"id": 1, "from_id": 5, "to_id": 6, "type": "in"}, {"from_id": 6, "to_id": 6}]'
    text = RECORDS["doccano, relations"].replace('"relations": []', relations)
    new = edited(tmp_path, text, {0: [1]})
    assert json.loads(new)["relations"] == [{"from_id": 6, "to_id": 6}]
    # A span that changes is still the one that they are of.
    assert (
        json.loads(edited(tmp_path, text, {0: [0, answer("Köln", 12, "X")]}))["relations"]
        == json.loads(text)["relations"]
    )


@pytest.mark.parametrize(
    ("record", "start"),
    [
        ('{"text": "😀 Ann", "label": [[3, 6, "PER"]]}', 2),
        ('{"text": "😀 Ann", "entities": [{"start_offset": 3, "end_offset": 6, "label": "PER"}]}', 2),
        ('{"text": "😀 Ann", "spans": [{"start": 2, "end": 5, "label": "PER"}]}', 2),
        ('["😀 Ann", {"entities": [[2, 5, "PER"]]}]', 2),
    ],
)
def test_doccano_counts_utf16_units_and_others_characters(tmp_path, record, start):
    (row,) = load_squad(written(tmp_path, record)).to_list()
    assert spans(row) == [("Ann", start, "PER")]
    new = edited(tmp_path, record, {0: [answer("An", 2, "PER")]})
    assert new == record.replace("6", "5") if "6" in record else record.replace("5", "4")


def test_a_text_of_a_span_says_where_it_is(tmp_path):
    record = '{"text": "😀 Ann saw", "spans": [{"start": 3, "end": 6, "label": "PER", "text": "Ann"}]}'
    source = written(tmp_path, record)
    with pytest.raises(ValueError, match=r"offset 3 counts UTF-16 units; in characters it is 2"):
        load_squad(source)
    with pytest.warns(UserWarning, match="1 of 1 examples are repaired"):
        (row,) = load_squad(source, on_invalid="repair").to_list()
    assert spans(row) == [("Ann", 2, "PER")]
    new = edited(tmp_path, record, {0: [(0, answer("Ann", 2, "PER"))]})
    assert new == record.replace('3, "end": 6', '2, "end": 5')


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ('[{"start": 1, "end": 9, "label": "X"}]', r"a span .* within the text's 3 characters; found dict .*'end': 9"),
        ('[{"start": 1, "end": 1, "label": "X"}]', "a span that is not empty"),
        ('[{"start": -1, "end": 1, "label": "X"}]', "a span that is not empty"),
        ('[{"start": 1, "end": 2, "label": "X"}, "b"]', r"a span as \[start, end, class\], or .*; found str 'b'"),
        ('[{"start": 1, "end": null, "label": "X"}]', "a span with integers as its borders"),
        ('[{"start": 1, "end": 2, "label": null}]', "the name of a span class in 'answers.label'; found NoneType"),
        ('[{"start": 1, "end": 2, "label": 7}]', "the name of a span class in 'answers.label'; found int 7"),
        ('{"start": 1}', "a list 'spans' of spans; found dict"),
    ],
)
def test_what_is_wrong_with_spans(tmp_path, spans, message):
    text = f'{{"text": "abc", "spans": [{{"start": 0, "end": 1, "label": "X"}}]}}\n{{"text": "abc", "spans": {spans}}}'
    source = written(tmp_path, text)
    with pytest.raises(ValueError, match=rf"1 of 2 examples are invalid:\n  example 1 \(id '1'\): expected {message}"):
        load_squad(source)
    with pytest.warns(UserWarning, match="Dropped: '1'"):
        assert load_squad(source, on_invalid="drop")["id"] == ["0"]


def test_entries_without_spans_and_of_other_forms(tmp_path):
    text = (
        '{"text": "a", "spans": [{"start": 0, "end": 1, "label": "X"}], "id": 7, "doc_id": "d", "answer": "accept"}\n'
        '{"text": "b", "answer": "reject", "spans": [{"start": 0, "end": 1, "label": "X"}]}\n'
        '{"text": "c"}\n{"text": "d", "spans": null}\n{"text": "e", "entities": [[0, 1, "X"]]}\n{"spans": []}\n9'
    )
    message = (
        r"(?s)expected spans in 'spans', as in other entries; found them in 'entities'.*"
        r"a string 'text'; found the fields \['spans'\].*an object with a 'text' and its spans; found int 9"
    )
    with pytest.warns(UserWarning, match=message):
        rows = load_squad(written(tmp_path, text), on_invalid="drop").to_list()
    assert [(row["id"], row["title"], row["context"], len(spans(row))) for row in rows] == [
        ("7", "d", "a", 1),
        ("2", "", "c", 0),
        ("3", "", "d", 0),
    ]
    # A rejected entry does not count, and stays.
    new = edited(tmp_path, text, {1: [answer("c", 0, "Y")], 2: [answer("d", 0, "Y")]})
    added = '"spans": [{"start": 0, "end": 1, "label": "Y"}]'
    assert new == text.replace('"c"}', f'"c", {added}}}').replace('"spans": null', added)


def test_spans_without_any_class(tmp_path):
    record = '{"text": "a b", "spans": [{"start": 0, "end": 1}]}'
    (row,) = load_squad(written(tmp_path, record)).to_list()
    assert "label" not in row["answers"]
    new = edited(tmp_path, record, {0: [{"text": "b", "answer_start": 2}]})
    assert new == record.replace('0, "end": 1', '2, "end": 3')
    new = edited(tmp_path, record, {0: [(0, answer("a", 0, "X"))]})
    assert new == record.replace('"end": 1', '"end": 1, "label": "X"')


def test_rows_of_questions_stay_questions(tmp_path):
    row = {"context": "a b", "question": "?", "answers": [{"text": "b", "answer_start": 2}], "text": "x", "label": []}
    (row,) = load_squad(written(tmp_path, json.dumps(row))).to_list()
    assert (row["context"], row["question"]) == ("a b", "?")


@pytest.mark.parametrize("class_name", ['"labels": ["PER"]', '"type": "PER"', '"entity_group": "PER"'])
def test_class_under_another_name_is_refused(tmp_path, class_name):
    source = written(tmp_path, f'{{"text": "{TEXT}", "label": [{{"start": 0, "end": 3, {class_name}}}]}}')
    name = class_name.split('"')[1]
    with pytest.raises(ValueError, match=f"expected the class of a span as 'label'; found '{name}' instead: .*PER"):
        load_squad(source)


def test_spans_are_looked_for_where_there_are_some(tmp_path):
    empty, full = f'"text": "{TEXT}", "spans": []', f'"entities": {LISTS}'
    assert spans(load_squad(written(tmp_path, f'{{{empty}, "labels": ["a topic"], {full}}}'))[0]) == [ANN, KOELN]
    rows = f'{{"text": "{TEXT}", "spans": {SPANS}}}\n{{{empty}, "labels": ["a topic"]}}\n'
    assert load_squad(written(tmp_path, rows))["answers"][1]["text"] == []
    with pytest.raises(ValueError, match="expected spans in 'spans', as in other entries; found them in 'entities'"):
        load_squad(written(tmp_path, rows + f"{{{empty}, {full}}}\n"))
