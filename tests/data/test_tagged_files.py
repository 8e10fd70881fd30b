"""Files with a token and its tag a line, read as rows and written again."""

from pathlib import Path

import pytest

from span_label_errors.data.examples import problem_of_example
from span_label_errors.data.sources import read_rows
from span_label_errors.data.write import suffix_of, write_with_answers

FOUR_COLUMNS = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC

-DOCSTART- -X- -X- O

Ann NNP B-NP B-PER
Lee NNP I-NP I-PER

O VB B-VP O"""
EU, GERMAN = ("EU", 0, "ORG"), ("German", 11, "MISC")


def rows(tmp_path: Path, text: str, name: str = "s.conll") -> list:
    (tmp_path / name).write_bytes(text.encode())
    return read_rows(str(tmp_path / name), None)


def answers_of(row: dict) -> list[tuple]:
    return list(zip(*row["answers"].values(), strict=True))


def answer(text: str, char_start: int, class_name: str | None = None) -> dict:
    label = {} if class_name is None else {"label": class_name}
    return {"text": text, "answer_start": char_start, **label}


def rewritten(tmp_path: Path, text: str, new_answers: dict) -> str:
    (tmp_path / "s.conll").write_bytes(text.encode())
    write_with_answers(tmp_path / "s.conll", tmp_path / "new.conll", new_answers)
    return (tmp_path / "new.conll").read_bytes().decode()


# Reading


def test_sentences_become_rows_and_documents_titles(tmp_path):
    first, second, third = rows(tmp_path, FOUR_COLUMNS)
    assert first == {
        "id": "0",
        "title": "document 1",
        "context": "EU rejects German",
        "question": "",
        "answers": {"text": ["EU", "German"], "answer_start": [0, 11], "label": ["ORG", "MISC"]},
    }
    assert (second["id"], second["title"], answers_of(second)) == ("1", "document 2", [("Ann Lee", 0, "PER")])
    assert (third["id"], third["context"], answers_of(third)) == ("2", "O", [])


SAME = [
    ("Ann\tB-PER\nLee\tI-PER\n\n\n \nhe\tO\n", "tabs, blank lines"),
    ("\ufeffAnn   B-PER\r\nLee   I-PER\r\n\r\nhe    O\r\n", "widths, CRLF, byte-order mark"),
    ("# id 7 x\nAnn NN I-PER \nLee NN I-PER\t\n\n# text = O\nhe PRP O", "comments, IOB1, white space at the end"),
    ("1\tAnn\tB-PER\n2\tLee\tI-PER\n\n1\the\tO\n", "numbers of tokens first, as in GermEval"),
    ("Ann\t\tB-PER\nLee\tI-PER\n\nhe\t\t\tO\n", "several tabs"),
    ("Ann B-PER\n# a comment inside\nLee I-PER\n\nhe O\n", "a comment inside"),
]


@pytest.mark.parametrize(("text", "what"), SAME, ids=[what for _, what in SAME])
@pytest.mark.parametrize("suffix", [".conll", ".iob2", ".tsv", ".txt", ".testa"])
def test_layouts_read_alike(tmp_path, text, what, suffix):
    found = rows(tmp_path, text, f"s{suffix}")
    assert [(row["id"], row["title"], row["context"], answers_of(row)) for row in found] == [
        ("0", "", "Ann Lee", [("Ann Lee", 0, "PER")]),
        ("1", "", "he", []),
    ]


def test_documents_of_other_marks_and_what_stands_before_the_first(tmp_path):
    text = "he O\n\n# newdoc id = x\n# O\n-DOCSTART- O\nUN B-ORG\n"
    assert [(row["title"], row["context"]) for row in rows(tmp_path, text)] == [
        ("document 0", "he"),
        ("document 1", "#"),
        ("document 2", "UN"),
    ]


def test_fields_of_a_comment_may_be_as_many_as_columns(tmp_path):
    found = rows(tmp_path, "a b c B-X\n\n# of four words\n# text = O\n# b c O\n#d e f B-X\n")
    assert [row["context"] for row in found] == ["a", "# #d"]


def test_tokens_with_a_hash_may_have_a_class_of_their_own(tmp_path):
    found = rows(tmp_path, "so O\n#nlp B-TAG\n\n#ai B-TAG\n# B-side\n")
    assert [(row["context"], row["answers"]["label"]) for row in found] == [
        ("so #nlp", ["TAG"]),
        ("#ai #", ["TAG", "side"]),
    ]


def test_tokens_keep_white_space_of_their_own(tmp_path):
    (row,) = rows(tmp_path, "New York\tB-LOC\n1\u00a0000\tO\n\u3000x\tO\n")
    assert (row["context"], answers_of(row)) == ("New York 1\u00a0000 \u3000x", [("New York", 0, "LOC")])
    (row,) = rows(tmp_path, "1\tB-X\n2\tO\n")
    assert row["context"] == "1 2"
    (row,) = rows(tmp_path, "1\u00a0000 B-X\n")
    assert answers_of(row) == [("1\u00a0000", 0, "X")]


def test_tags_without_classes_give_answers_without(tmp_path):
    (row,) = rows(tmp_path, "Ann B\nLee I\nBo B\n")
    assert row["answers"] == {"text": ["Ann Lee", "Bo"], "answer_start": [0, 8]}


INVALID = [
    (
        "word\ttag\n\nAnn\tB-PER\nLee\tI-PER",
        0,
        "in line 1 the tag O, B-… or I-…, since the scheme is IOB2",
        "'tag' (token 'word'); if the line is a header, delete it",
    ),
    ("a O\nb B-X\n\nb E-X\nc O\n", 1, "in line 4 the tag O, B-X or S-X", "E-X (token 'b')"),
    ("a S-X\n\nb B-X\n", 1, "behind line 3 the tag I-X or E-X", "the end of the sentence (token 'b')"),
    ("a B-X\n\nb\n", 1, "a token and its tag among 2 columns in line 3", "1 columns: 'b'"),
    ("a\t\tB-X\n\nb\tN\tO\nc\tO\n", 1, "a token and its tag among 3 columns in line 4", "2 columns: 'c', 'O'"),
    ("a\tB-X\n\n\tO\n", 1, "a token and its tag among 2 columns in line 3", "2 columns: '', 'O'"),
]


@pytest.mark.parametrize(("text", "index", "expected", "found"), INVALID)
def test_invalid_sentence_is_named_by_its_line(tmp_path, text, index, expected, found):
    if "E-X" in text:
        text += "\nx S-X\n"
    problems = [problem_of_example(row, ()) for row in rows(tmp_path, text)]
    assert problems[index] == (expected, found)


REFUSED = [
    ("", "expected two or more columns, the token and its tag; found no line with a token"),
    ("Ann\nLee\n", "expected two or more columns, the token and its tag; found 1 in most lines, such as 'Ann'"),
    ("Ann NNP\nruns VBZ\n", "in the last of 2 columns expected tags such as O, B-PER and I-PER, or O and names of cl"),
    (
        "Ann B-PER NNP\nruns O VBZ\n",
        r"in the last of 3 columns .* found 'NNP', 'VBZ'. Column 2 has tags of the scheme IOB2; write it last: "
        r"awk '\{if \(NF\) print \$1, \$3, \$2; else print \"\"\}' FILE > NEW",
    ),
    ("B-PER Ann\nO ran\n", r".* found 'Ann', 'ran'. Column 1 has tags of the scheme IOB2; .* print \$2, \$1; else"),
    ("Ann O\rran B-X\r", r"expected lines that end with \\n or \\r\\n, found \\r alone; convert them"),
    ("Ann PER-B\n", ".*write it in front"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_file_without_tags_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match="s.conll: " + message):
        rows(tmp_path, text)


def test_long_lines_are_shown_in_part(tmp_path):
    with pytest.raises(ValueError, match="expected tags such as") as raised:
        rows(tmp_path, "word " * 200_000)
    assert len(str(raised.value)) < 1000
    row = rows(tmp_path, f"a B-X\na B-X\n\n{'b' * 100_000} {'c' * 100_000}\n")[1]
    assert sum(map(len, problem_of_example(row))) < 400


def test_other_encoding_is_refused(tmp_path):
    (tmp_path / "s.conll").write_bytes("Zoë B-PER\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"s.conll: expected UTF-8 text; .*; save it as UTF-8"):
        read_rows(str(tmp_path / "s.conll"), None)


# Writing


def test_only_changed_tags_differ(tmp_path):
    expected = FOUR_COLUMNS.replace("B-NP B-MISC", "B-NP O").replace("VBZ B-VP O", "VBZ B-VP B-ORG")
    assert rewritten(tmp_path, FOUR_COLUMNS, {0: [0, answer("rejects", 3, "ORG")]}) == expected
    expected = FOUR_COLUMNS.replace("O VB B-VP O", "O VB B-VP B-PER").replace("I-NP I-PER", "I-NP B-LOC")
    new = {2: [answer("O", 0, "PER")], 1: [answer("Lee", 4, "LOC"), answer("Ann", 0, "PER")]}
    assert rewritten(tmp_path, FOUR_COLUMNS, new) == expected
    assert rewritten(tmp_path, FOUR_COLUMNS, {}) == FOUR_COLUMNS
    assert suffix_of(tmp_path / "s.conll") == ".conll"


@pytest.mark.parametrize(("text", "what"), SAME, ids=[what for _, what in SAME])
def test_layout_stays(tmp_path, text, what):
    head, _, tail = text.rpartition("O")
    begin = "I-" if "I-PER \n" in text else "B-"
    assert rewritten(tmp_path, text, {1: [answer("he", 0, "MISC")]}) == f"{head}{begin}MISC{tail}"
    first = text.index("-PER") - 1
    expected = text[:first] + "O" + text[first + 5 :]
    if begin == "B-":
        expected = expected.replace("I-PER", "B-PER")
    assert rewritten(tmp_path, text, {0: [answer("Lee", 4, "PER")]}) == expected


def test_neighbours_of_one_class_stay_two(tmp_path):
    text = "Ann I-PER\nBo B-PER\nUN O\n"
    assert [a[0] for a in answers_of(rows(tmp_path, text)[0])] == ["Ann", "Bo"]
    new = rewritten(tmp_path, text, {0: [0, 1, answer("UN", 7, "PER")]})
    assert new == "Ann I-PER\nBo B-PER\nUN B-PER\n"


def test_classes_with_spaces_are_written_between_tabs(tmp_path):
    text = "Bo\tB-given name\nLi\tI-given name\nat\tO\n"
    assert rewritten(tmp_path, text, {0: [answer("Bo", 0, "given name")]}) == text.replace("I-given name", "O")


NOT_WRITTEN = [
    (FOUR_COLUMNS, [answer("ejects", 4, "X")], "where tokens do, found 'ejects' at 4; the tokens there are 'rejects'"),
    (FOUR_COLUMNS, [answer("EU reject", 0, "X")], "found 'EU reject' at 0; the tokens there are 'EU rejects'"),
    (FOUR_COLUMNS, [answer("EU", 0, "O")], "a class, which a tag needs, found str 'O'"),
    (FOUR_COLUMNS, [0, answer("EU rejects", 0, "X")], "expected spans that do not overlap"),
    (FOUR_COLUMNS, [answer("EU", 0)], "a class, which a tag needs, found str ''"),
    (FOUR_COLUMNS, [answer("EU", 0, "a b")], "a tag without white space, .*, found 'B-a b'"),
    ("a B\n", [answer("a", 0, "X")], "expected no class, since the tags of the data name none, found 'X'"),
    ("a X\nb O\n", [0, answer("b", 2, "X")], "the scheme IO, which has no B-, would make one of two"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "answers", "message"), NOT_WRITTEN)
def test_what_tags_cannot_say_is_refused(tmp_path, text, answers, message):
    where = r"s.conll: 1 examples cannot be written as tags:\nexample '0' \(line \d\): .*"
    with pytest.raises(ValueError, match=where + message):
        rewritten(tmp_path, text, {0: answers})
    assert not (tmp_path / "new.conll").exists()
