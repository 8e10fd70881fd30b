"""spaCy's binary files: their entities read as rows, and written again."""

import importlib.util
from pathlib import Path

import pytest

from span_label_errors.data.squad import load_squad
from span_label_errors.data.write import write_with_answers

TEXT = "😀 Ann Lee saw  Köln now."
with_spacy = pytest.mark.skipif(importlib.util.find_spec("spacy") is None, reason="needs spaCy, an extra")


def answer(text: str, label: str) -> dict:
    return {"text": text, "answer_start": TEXT.index(text), "label": label}


@pytest.fixture
def source(tmp_path) -> Path:
    import spacy
    from spacy.tokens import DocBin, Span

    make = spacy.blank("en")
    one, two, three = make(TEXT), make("Nothing"), make("Ann")
    # 😀, Ann, Lee, saw, a space, Köln, now, .
    one.set_ents([Span(one, 1, 3, "PER"), Span(one, 5, 6, "LOC", kb_id="Q365", span_id="e1")], default="missing")
    one.spans["sc"] = [Span(one, 3, 4, "VERB")]
    one.cats, one.user_data["source"], one[0].tag_ = {"good": 0.5}, ("a", 1), "SYM"
    three.ents = [Span(three, 0, 1, "PER")]
    DocBin(docs=[one, two, three], store_user_data=True).to_disk(tmp_path / "s.spacy")
    return tmp_path / "s.spacy"


def docs_of(path: Path) -> list:
    import spacy
    from spacy.tokens import DocBin

    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


@with_spacy
def test_entities_are_read(source):
    rows = load_squad(source).to_list()
    assert [(row["id"], row["title"], row["context"], row["question"]) for row in rows] == [
        ("0", "", TEXT, ""),
        ("1", "", "Nothing", ""),
        ("2", "", "Ann", ""),
    ]
    assert [row["answers"] for row in rows] == [
        {"text": ["Ann Lee", "Köln"], "answer_start": [2, 15], "label": ["PER", "LOC"]},
        {"text": [], "answer_start": [], "label": []},
        {"text": ["Ann"], "answer_start": [0], "label": ["PER"]},
    ]


@with_spacy
def test_without_new_answers_every_byte_stays(source, tmp_path):
    write_with_answers(source, tmp_path / "new.spacy", {})
    assert (tmp_path / "new.spacy").read_bytes() == source.read_bytes()
    write_with_answers(source, tmp_path / "new.spacy", {0: [0, 1], 1: []})
    assert (tmp_path / "new.spacy").read_bytes() == source.read_bytes()


@with_spacy
def test_only_changed_entities_differ(source, tmp_path):
    new = {0: [answer("Ann", "PERSON"), answer("Köln now", "LOC"), answer("saw", "VERB")], 2: []}
    write_with_answers(source, tmp_path / "new.spacy", new)
    before, after = docs_of(source), docs_of(tmp_path / "new.spacy")
    assert [(e.text, e.label_, e.kb_id_, e.ent_id_) for e in after[0].ents] == [
        ("Ann", "PERSON", "", ""),
        ("saw", "VERB", "", ""),
        ("Köln now", "LOC", "Q365", "e1"),
    ]
    # Of "😀" and the rest it stays unknown whether they are entities; "Lee" is none now.
    assert [token.ent_iob_ for token in after[0]] == ["", "B", "O", "B", "", "B", "I", ""]
    assert [token.ent_iob_ for token in after[2]] == ["O"]
    assert [(token.tag_, token.text_with_ws) for token in after[0]] == [
        (token.tag_, token.text_with_ws) for token in before[0]
    ]
    assert (after[0].cats, after[0].user_data) == ({"good": 0.5}, {"source": ("a", 1)})
    assert [(span.text, span.label_) for span in after[0].spans["sc"]] == [("saw", "VERB")]
    assert after[1].to_bytes() == before[1].to_bytes()


@with_spacy
@pytest.mark.parametrize(
    ("new", "message"),
    [
        (answer("Kö", "LOC"), "an answer that begins and ends where tokens do, found 'Kö' at 15; .* 'Köln'"),
        (answer("Lee saw", "X"), "entities apart from each other"),
        (answer("saw", ""), "the name of a class, which an entity needs, found str ''"),
    ],
)
def test_what_entities_cannot_say(source, tmp_path, new, message):
    with pytest.raises(ValueError, match=rf"s\.spacy: 1 examples cannot .*\nexample '0': expected {message}"):
        write_with_answers(source, tmp_path / "new.spacy", {0: [0, 1, new]})
    assert not (tmp_path / "new.spacy").exists()


@with_spacy
def test_other_files_are_refused(source, tmp_path):
    from spacy.tokens import DocBin

    docs = docs_of(source)
    DocBin(attrs=["LEMMA"], docs=docs).to_disk(tmp_path / "s.spacy")
    with pytest.raises(ValueError, match="expected documents with the attributes ENT_IOB and ENT_TYPE"):
        load_squad(tmp_path / "s.spacy")
    docs[0].ents = []
    DocBin(docs=docs[:2]).to_disk(tmp_path / "s.spacy")
    with pytest.raises(ValueError, match=r"expected entities \(doc.ents\), found span groups"):
        load_squad(tmp_path / "s.spacy")
    (tmp_path / "s.spacy").write_bytes(b"no")
    with pytest.raises(ValueError, match="expected a file that spaCy's DocBin wrote, found another"):
        load_squad(tmp_path / "s.spacy")


def test_without_spacy_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "spacy.tokens", None)
    (tmp_path / "s.spacy").write_bytes(b"")
    with pytest.raises(ImportError, match=r"""expected spaCy, .*pip install -c constraints.txt -e "\.\[spacy\]"$"""):
        load_squad(tmp_path / "s.spacy")
