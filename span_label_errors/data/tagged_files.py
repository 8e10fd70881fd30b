"""Files with a token and its tag a line, as CoNLL's: read as rows, and written again with other tags.

Columns stand apart by tabs or spaces, the tag is in the last one, and a blank line ends a sentence. `-DOCSTART-` begins
a document.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from span_label_errors.data.answer_forms import NewAnswer
from span_label_errors.data.examples import InvalidRow
from span_label_errors.data.json_text import decoded
from span_label_errors.data.messages import shorten, shown_names
from span_label_errors.data.tagged_rows import row_of_tokens, tags_of_answers
from span_label_errors.data.tags import OUTSIDE, Scheme, is_prefixed, scheme_of

TAGGED_SUFFIXES = tuple(
    ".conll .conll2003 .iob .iob1 .iob2 .iobes .bio .bioes .bilou .bmes .tags .tsv .tab .txt .train .testa .testb .dev "
    ".test".split()
)
_BLANK = " \t\r"
_MOST_COLUMNS = 20  # that may have tags in the place of the last; prose has as many as a line has words
_DOCUMENT = re.compile(r"-DOCSTART-|#\s*(newdoc|begin document)\b")
_FIELD_COMMENT = re.compile(r"#\s*[\w.:-]+ = ")


class _Line(NamedTuple):
    """A line that is not blank."""

    number: int  # from 1
    start: int  # of the line in the text
    text: str  # without white space at its end
    fields: list[str]


class _Sentence(NamedTuple):
    title: str
    lines: list[_Line]


class _File(NamedTuple):
    sentences: list[_Sentence]
    num_columns: int
    token_column: int
    scheme: Scheme


def read_tagged(path: Path) -> list[object]:
    """Return one row a sentence.

    The id of a row is the position of its sentence, its title is that of the document: "document 3" is what stands
    behind the third mark, and "" if there are no marks.

    Raises
    ------
    ValueError
        If it is no UTF-8 text, the last column has no tags, or the scheme of the tags is not known.
    """
    file = _parsed(decoded(path.read_bytes(), str(path)), path)
    return [_row(index, sentence, file) for index, sentence in enumerate(file.sentences)]


def write_tagged(source: Path, path: Path, new_answers: Mapping[int, Sequence[NewAnswer]]) -> None:
    """Write a file with the answers of some sentences replaced, and every byte but those of changed tags as it was.

    Raises
    ------
    ValueError
        If answers cannot be written as tags; all of their sentences are named.
    """
    text = source.read_bytes().decode("utf-8")
    file = _parsed(text, source)
    pieces, copied_to, problems = [], 0, []
    for index, answers in sorted(new_answers.items()):
        lines = file.sentences[index].lines
        tokens, tags = _tokens(lines, file), [line.fields[-1] for line in lines]
        try:
            new_tags = tags_of_answers(tokens, tags, answers, file.scheme)
            _check_columns_stay(lines, new_tags)
        except ValueError as error:
            problems.append(f"example {str(index)!r} (line {lines[0].number}): {error}")
            continue
        for line, tag, new_tag in zip(lines, tags, new_tags, strict=True):
            if tag != new_tag:
                end = line.start + len(line.text)
                pieces += [text[copied_to : end - len(tag)], new_tag]
                copied_to = end
    if problems:
        raise ValueError("\n".join([f"{source}: {len(problems)} examples cannot be written as tags:", *problems]))
    path.write_bytes("".join([*pieces, text[copied_to:]]).encode("utf-8"))


def _row(index: int, sentence: _Sentence, file: _File) -> dict:
    for line in sentence.lines:
        if len(line.fields) != file.num_columns or not line.fields[file.token_column]:
            expected = f"a token and its tag among {file.num_columns} columns in line {line.number}"
            row = {"id": str(index), "title": sentence.title}
            return InvalidRow(row, (expected, f"{len(line.fields)} columns: {shown_names(line.fields)}"))
    tags = [line.fields[-1] for line in sentence.lines]
    numbers = [line.number for line in sentence.lines]
    row = row_of_tokens(str(index), sentence.title, _tokens(sentence.lines, file), tags, file.scheme, numbers)
    if isinstance(row, InvalidRow) and row.problem[0].startswith("in line 1 "):
        expected, found = row.problem
        return InvalidRow(row, (expected, f"{found}; if the line is a header, delete it"))
    return row


def _tokens(lines: Sequence[_Line], file: _File) -> list[str]:
    return [line.fields[file.token_column] for line in lines]


def _check_columns_stay(lines: Sequence[_Line], tags: Sequence[str]) -> None:
    for line, tag in zip(lines, tags, strict=True):
        cutting = "\t\r\n" if "\t" in line.text else "\t\r\n "
        if any(mark in tag for mark in cutting) or tag != tag.strip(" "):
            raise ValueError(
                f"expected a tag without white space, which would cut it into columns, found {shorten(repr(tag))}"
            )


def _parsed(text: str, path: Path) -> _File:
    if "\r" in text and "\n" not in text:
        raise ValueError(
            f"{path}: expected lines that end with \\n or \\r\\n, found \\r alone; convert them (mac2unix)"
        )
    lines = list(_lines(text))
    tokens = [line for line in lines if not line.text.startswith("#") and not _DOCUMENT.match(line.text)]
    num_columns = Counter(len(line.fields) for line in tokens).most_common(1)[0][0] if tokens else 0
    if num_columns < 2:
        found = f"{num_columns} in most lines, such as {tokens[0].text[:60]!r}" if tokens else "no line with a token"
        raise ValueError(f"{path}: expected two or more columns, the token and its tag; found {found}")
    whole = [line for line in tokens if len(line.fields) == num_columns]
    known_tags = {line.fields[-1] for line in whole} | {OUTSIDE}
    sentences = list(_sentences(lines, num_columns, known_tags))
    try:
        scheme = _scheme(sentences, num_columns, -1)
    except ValueError as error:
        raise ValueError(f"{path}: {_in_last_column(error, sentences, num_columns)}") from error
    return _File(sentences, num_columns, _token_column(sentences, num_columns), scheme)


def _lines(text: str) -> Iterator[_Line]:
    """Yield the lines that are not blank."""
    rows = text.split("\n")
    has_tabs = 2 * sum("\t" in row for row in rows) > sum(bool(row.strip(_BLANK)) for row in rows)
    # Columns may be aligned by several tabs, and they may be empty: the former have as many in each line.
    filled = {len(_filled(row.rstrip(_BLANK), "\t")) for row in rows if has_tabs and not row.startswith("#")} - {0}
    start = 0
    for number, row in enumerate(rows, start=1):
        shift = 1 if number == 1 and row.startswith("\ufeff") else 0
        content = row[shift:].rstrip(_BLANK)
        if content.strip(_BLANK):
            # Not split(), which would also cut at white space that is a token's own.
            if has_tabs:
                fields = _filled(content, "\t") if len(filled) == 1 else content.split("\t")
            else:
                fields = _filled(content.replace("\t", " "), " ")
            yield _Line(number, start + shift, content, [field.strip(" ") for field in fields])
        start += len(row) + 1


def _filled(text: str, separator: str) -> list[str]:
    return [field for field in text.split(separator) if field]


def _sentences(lines: Sequence[_Line], num_columns: int, known_tags: set[str]) -> Iterator[_Sentence]:
    has_documents = any(_DOCUMENT.match(line.text) for line in lines)
    document, number_before, sentence = 0, 0, []
    for line in lines:
        is_mark = bool(_DOCUMENT.match(line.text))
        if sentence and (is_mark or line.number > number_before + 1):
            yield _Sentence(f"document {document}" if has_documents else "", sentence)
            sentence = []
        number_before = line.number
        if is_mark:
            document += 1
        elif not _is_comment(line, num_columns, known_tags):
            sentence.append(line)
    if sentence:
        yield _Sentence(f"document {document}" if has_documents else "", sentence)


def _is_comment(line: _Line, num_columns: int, known_tags: set[str]) -> bool:
    """Return whether a line that begins with `#` is none of a token `#`."""
    if not line.text.startswith("#"):
        return False
    is_token = len(line.fields) == num_columns and (line.fields[-1] in known_tags or is_prefixed(line.fields[-1]))
    return not is_token or bool(_FIELD_COMMENT.match(line.text))


def _scheme(sentences: Sequence[_Sentence], num_columns: int, column: int) -> Scheme:
    whole = ([line.fields[column] for line in s.lines if len(line.fields) == num_columns] for s in sentences)
    return scheme_of(whole)


def _in_last_column(error: ValueError, sentences: Sequence[_Sentence], num_columns: int) -> str:
    """Return an error about the last column, with the column that has tags if another one has."""
    for column in reversed(range(min(num_columns - 1, _MOST_COLUMNS))):
        try:
            scheme = _scheme(sentences, num_columns, column)
        except ValueError:
            continue
        others = ", ".join(f"${other + 1}" for other in range(num_columns) if other != column)
        return (
            f"in the last of {num_columns} columns {error}. Column {column + 1} has tags of the scheme {scheme.name}; "
            f"write it last: awk '{{if (NF) print {others}, ${column + 1}; else print \"\"}}' FILE > NEW"
        )
    return f"in the last of {num_columns} columns {error}"


def _token_column(sentences: Sequence[_Sentence], num_columns: int) -> int:
    """Return 1 if the first of more than two columns counts the tokens of a sentence, as in GermEval, else 0."""
    if num_columns < 3:
        return 0
    counts = all(line.fields[0] == str(position) for s in sentences for position, line in enumerate(s.lines, start=1))
    return 1 if counts else 0
