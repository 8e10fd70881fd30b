"""Decisions put into data whose spans are tags of tokens."""

import pytest

from span_label_errors.data.squad import InvalidDatasetError, load_squad
from span_label_errors.review.answers import Answer, Decision
from span_label_errors.review.corrections import apply_decisions

TEXT = """-DOCSTART- -X- O\r
\r
EU NNP S-ORG\r
met VBD O\r
Ann NNP B-PER\r
Lee NNP E-PER\r
\r
Bonn NNP B-LOC\r
is VBZ O\r
\r
UN NNP S-ORG\r
"""
EU, ANN_LEE, UN = Answer("EU", 0, "ORG"), Answer("Ann Lee", 7, "PER"), Answer("UN", 0, "ORG")


@pytest.fixture
def source(tmp_path):
    (tmp_path / "s.iobes").write_bytes(TEXT.encode())
    return tmp_path / "s.iobes"


def test_file_is_loaded_like_any_data_set(source):
    with pytest.raises(
        InvalidDatasetError, match=r"1 of 3 .*\n.* \(id '1'\): expected in line 9 the tag I-LOC or E-LOC"
    ):
        load_squad(source)
    with pytest.warns(UserWarning, match=r"Dropped: '1' \(index 1\)"):
        rows = load_squad(source, on_invalid="drop").to_list()
    assert [(row["id"], row["title"], row["question"], row["answers"]["label"]) for row in rows] == [
        ("0", "document 1", "", ["ORG", "PER"]),
        ("2", "document 1", "", ["ORG"]),
    ]
    assert load_squad(source, 1).to_list() == rows[:1]


def test_only_the_tags_of_changed_spans_differ(source, tmp_path):
    decisions = [Decision("0", (EU,), (Answer("EU met", 0, "ORG"),)), Decision("2", (UN,), ())]
    corrected, changes = tmp_path / "corrected.iobes", tmp_path / "changes.json"
    with pytest.warns(UserWarning, match="1 invalid examples are left as they are"):
        found = apply_decisions(source, decisions, corrected, changes)
    expected = TEXT.replace("EU NNP S-ORG", "EU NNP B-ORG").replace("met VBD O", "met VBD E-ORG")
    assert corrected.read_bytes().decode() == expected.replace("UN NNP S-ORG", "UN NNP O")
    assert [change.id for change in found] == ["0", "2"]


def test_spans_come_back_in_the_order_of_tokens(source, tmp_path):
    added = Answer("met", 3, "ORG")
    with pytest.warns(UserWarning, match="invalid"):
        apply_decisions(
            source, [Decision("0", (EU,), (added, EU))], tmp_path / "corrected.iobes", tmp_path / "changes.json"
        )
    with pytest.warns(UserWarning, match="Dropped"):
        (first, _) = load_squad(tmp_path / "corrected.iobes", on_invalid="drop")
    assert first["answers"]["text"] == ["EU", "met", "Ann Lee"]


def test_correction_that_tags_cannot_say_writes_nothing(source, tmp_path):
    decisions = [Decision("0", (EU,), (Answer("E", 0, "ORG"),))]
    with pytest.warns(UserWarning, match="invalid"), pytest.raises(ValueError, match="where tokens do, found 'E' at 0"):
        apply_decisions(source, decisions, tmp_path / "corrected.iobes", tmp_path / "changes.json")
    assert list(tmp_path.iterdir()) == [source]
