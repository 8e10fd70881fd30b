"""Files that hold no decisions, and what is said of them; those that do are tested with their tools."""

import pytest

from span_label_errors.review.decisions import read_decisions

HEADER = "id,given_answer,given_start,correct_answer"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,given_answer,given_start\na,b,1\n", "expected one column 'correct_answer', found"),
        (b"", "expected one column 'id'"),
        (f"{HEADER}\na,He\n".encode(), "row 2: expected 4 cells, found 2"),
        (f'{HEADER}\na,"He\n'.encode(), "expected CSV"),
        (f"{HEADER}\nZürich,He,0,x\n".encode("cp1252"), 'expected UTF-8 text; .* Save a workbook as "CSV UTF-8"'),
        (b"PK\x03\x04", "expected JSON, JSON Lines or CSV, found an archive"),
        (b"[{]", "expected JSON"),
        (b'{"id": "a", "text": ', "line 1: expected JSON"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_decisions(tmp_path / "x.csv")
