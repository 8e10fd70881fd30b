"""spaCy's DocBin, read as rows and written again."""

import sys
from pathlib import Path

import pytest

from span_label_errors.data.sources import read_rows
from span_label_errors.data.squad import InvalidDatasetError, check_source, load_squad
from span_label_errors.data.write import suffix_of, write_with_answers
from span_label_errors.review.answers import Answer, Decision
from span_label_errors.review.corrections import apply_decisions

spacy = pytest.importorskip("spacy")


def file_of(path: Path, **options) -> Path:
    """Three documents: "Ann Lee met EU." with two entities, "😀 Bo Ann" with neighbours, one that is not annotated."""
    vocab = spacy.vocab.Vocab()
    doc, span = spacy.tokens.Doc, spacy.tokens.Span
    first = doc(vocab, words=["Ann", "Lee", "met", "EU", "."], spaces=[True, True, True, False, False])
    first.ents = [span(first, 0, 2, "PER", kb_id="Q1"), span(first, 3, 4, "ORG", kb_id="Q458")]
    first[2].tag_ = "VBD"
    first[3].is_sent_start = True
    second = doc(vocab, words=["😀", "Bo", "Ann"], spaces=[True, True, False])
    second.ents = [span(second, 1, 2, "PER"), span(second, 2, 3, "PER")]
    second.spans["sc"] = [span(second, 0, 3, "GREETING")]
    second.cats, second.user_data["source"] = {"mail": 1.0}, "letter 7"
    third = doc(vocab, words=["x", "y", "z"])
    options = {"store_user_data": True, **options}
    spacy.tokens.DocBin(docs=[first, second, third], **options).to_disk(path)
    return path


def documents(path: Path) -> list:
    return list(spacy.tokens.DocBin().from_disk(path).get_docs(spacy.vocab.Vocab()))


def entities(document) -> list[tuple]:
    return [(e.start, e.end, e.label_, e.kb_id_) for e in document.ents]


def answer(text: str, char_start: int, class_name: str) -> dict:
    return {"text": text, "answer_start": char_start, "label": class_name}


def test_documents_become_rows(tmp_path):
    first, second, third = read_rows(str(file_of(tmp_path / "a.spacy")), None)
    assert first == {
        "id": "0",
        "title": "",
        "context": "Ann Lee met EU.",
        "question": "",
        "answers": {"text": ["Ann Lee", "EU"], "answer_start": [0, 12], "label": ["PER", "ORG"]},
    }
    # Offsets count characters: 😀 is one.
    assert second["answers"] == {"text": ["Bo", "Ann"], "answer_start": [2, 5], "label": ["PER", "PER"]}
    assert third["context"] == "x y z " and third["answers"]["text"] == []
    assert load_squad(tmp_path / "a.spacy")[1]["answers"]["label"] == ["PER", "PER"]


@pytest.mark.parametrize("store_user_data", [True, False])
def test_without_new_answers_the_file_stays_byte_for_byte(tmp_path, store_user_data):
    source = file_of(tmp_path / "a.spacy", store_user_data=store_user_data)
    assert suffix_of(source) == ".spacy"
    write_with_answers(source, tmp_path / "b.spacy", {})
    assert (tmp_path / "b.spacy").read_bytes() == source.read_bytes()


def test_only_changed_entities_differ(tmp_path):
    source = file_of(tmp_path / "a.spacy")
    new = {0: [0, answer("met EU", 8, "EVENT")], 1: [1], 2: [answer("y", 2, "MISC")]}
    write_with_answers(source, tmp_path / "b.spacy", new)
    first, second, third = documents(tmp_path / "b.spacy")
    assert entities(first) == [(0, 2, "PER", "Q1"), (2, 4, "EVENT", "")]
    assert first[2].tag_ == "VBD" and first[3].is_sent_start
    assert entities(second) == [(2, 3, "PER", "")]
    assert second.text == "😀 Bo Ann"
    assert [(s.start, s.end, s.label_) for s in second.spans["sc"]] == [(0, 3, "GREETING")]
    assert second.cats == {"mail": 1.0} and second.user_data["source"] == "letter 7"
    # "x" and "z" still have no annotation, which is not the same as "no entity".
    assert entities(third) == [(1, 2, "MISC", "")]
    assert [token.ent_iob_ for token in third] == ["", "B", ""]
    assert [token.ent_iob_ for token in second] == ["O", "O", "B"]


@pytest.mark.parametrize("index", [0, 1])
def test_a_span_of_another_class_takes_the_place(tmp_path, index):
    source = file_of(tmp_path / "a.spacy")
    rest = [answer("EU", 12, "LOC")] if index == 0 else [answer("Ann", 5, "LOC")]
    write_with_answers(source, tmp_path / "b.spacy", {index: [0, *rest]})
    assert [label for *_, label, _ in entities(documents(tmp_path / "b.spacy")[index])] == ["PER", "LOC"]


def test_attributes_that_are_not_stored_are_not_needed(tmp_path):
    source = file_of(tmp_path / "a.spacy", attrs=["ENT_IOB", "ENT_TYPE"], store_user_data=False)
    write_with_answers(source, tmp_path / "b.spacy", {0: [1]})
    assert entities(documents(tmp_path / "b.spacy")[0]) == [(3, 4, "ORG", "")]
    assert documents(tmp_path / "b.spacy")[1].user_data == {}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([answer("nn Lee", 1, "PER")], "where tokens do, found 'nn Lee' at 1; the tokens there are 'Ann Lee'"),
        ([0, answer("Lee met", 4, "PER")], "entities that do not overlap, found 'Lee met' at 4 over another"),
        ([answer("Lee", 4, "")], "the name of a class, which an entity needs, found str ''"),
    ],
)
def test_what_cannot_be_an_entity_is_refused(tmp_path, answers, message):
    source = file_of(tmp_path / "a.spacy")
    with pytest.raises(ValueError, match=f"a.spacy: 1 examples cannot be .*\nexample '0': expected .*{message}"):
        write_with_answers(source, tmp_path / "b.spacy", {0: answers})
    assert not (tmp_path / "b.spacy").exists()


def test_decisions_give_a_corrected_file(tmp_path):
    source = file_of(tmp_path / "a.spacy")
    given, correct = Answer("EU", 12, "ORG"), Answer("EU.", 12, "ORG")
    decision = Decision("0", (given,), (correct,))
    changes = apply_decisions(source, [decision], tmp_path / "b.spacy", tmp_path / "changes.json")
    assert [(change.id, change.kind) for change in changes] == [("0", "replaced")]
    assert entities(documents(tmp_path / "b.spacy")[0]) == [(0, 2, "PER", "Q1"), (3, 5, "ORG", "")]


def test_a_document_without_text_is_invalid(tmp_path):
    vocab = spacy.vocab.Vocab()
    docs = [spacy.tokens.Doc(vocab, words=words) for words in (["x"], [])]
    spacy.tokens.DocBin(docs=docs).to_disk(tmp_path / "a.spacy")
    with pytest.raises(InvalidDatasetError, match=r"example 1 \(id '1'\): expected a 'context' that is not empty"):
        load_squad(tmp_path / "a.spacy")
    assert check_source(tmp_path / "a.spacy").example_indices == [0]


def test_files_without_entities_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a.spacy: expected entities, found documents without ENT_IOB and ENT_TYPE"):
        read_rows(str(file_of(tmp_path / "a.spacy", attrs=["TAG"])), None)
    (tmp_path / "c.spacy").write_bytes(b"no DocBin")
    with pytest.raises(ValueError, match=r"c.spacy: expected a DocBin, as spaCy writes it; found another"):
        read_rows(str(tmp_path / "c.spacy"), None)
    document = spacy.tokens.Doc(spacy.vocab.Vocab(), words=["x"])
    document.spans["sc"] = [spacy.tokens.Span(document, 0, 1, "X")]
    spacy.tokens.DocBin(docs=[document]).to_disk(tmp_path / "d.spacy")
    with pytest.raises(ValueError, match=r"d.spacy: expected entities in doc.ents, found only span groups .*sc"):
        read_rows(str(tmp_path / "d.spacy"), None)


def test_without_spacy_the_error_says_what_installs_it(tmp_path, monkeypatch):
    source = file_of(tmp_path / "a.spacy")
    monkeypatch.setitem(sys.modules, "spacy.tokens", None)
    with pytest.raises(OSError, match=r"a.spacy: expected spaCy.*pip install -c constraints.txt -e .\[spacy\]"):
        read_rows(str(source), None)
