"""spaCy's DocBin: the entities of its documents read as rows, and written again with others.

A document is one example: its context is the text, its answers are `doc.ents`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from span_label_errors.data.answer_forms import NewAnswer
from span_label_errors.data.messages import describe, shorten, shown_names

if TYPE_CHECKING:
    from spacy.tokens import Doc, DocBin

DOCBIN_SUFFIXES = (".spacy",)
_ENTITY_ATTRIBUTES = ("ENT_IOB", "ENT_TYPE")


def read_docbin(path: Path) -> list[object]:
    """Return one row a document; its id is the document's position.

    Raises
    ------
    OSError
        If spaCy is not installed, or the file cannot be read.
    ValueError
        If it is no DocBin, or one without entities.
    """
    _, documents = _parsed(path)
    return [
        {
            "id": str(index),
            "title": "",
            "context": document.text,
            "question": "",
            "answers": {
                "text": [entity.text for entity in document.ents],
                "answer_start": [entity.start_char for entity in document.ents],
                "label": [entity.label_ for entity in document.ents],
            },
        }
        for index, document in enumerate(documents)
    ]


def write_docbin(source: Path, path: Path, new_answers: Mapping[int, Sequence[NewAnswer]]) -> None:
    """Write a DocBin with the entities of some documents replaced.

    All else stays: tokens, other attributes, categories, span groups and user data. So do entities that do not change,
    with their ids and links to a knowledge base; a new or changed entity has neither.

    Raises
    ------
    ValueError
        If answers cannot be entities; all of their documents are named.
    """
    packed, documents = _parsed(source)
    problems = []
    for index, answers in sorted(new_answers.items()):
        try:
            _set_entities(documents[index], answers)
        except ValueError as error:
            problems.append(f"example {str(index)!r}: {error}")
            continue
        packed.tokens[index] = documents[index].to_array(packed.attrs).reshape(packed.tokens[index].shape)
        packed.strings.update(entity.label_ for entity in documents[index].ents)
    if problems:
        raise ValueError("\n".join([f"{source}: {len(problems)} examples cannot be written as entities:", *problems]))
    packed.to_disk(path)


def _parsed(path: Path) -> tuple["DocBin", list["Doc"]]:
    """Return a file and its documents."""
    try:
        from spacy.attrs import IDS
        from spacy.tokens import DocBin
        from spacy.vocab import Vocab
    except ImportError as error:
        raise OSError(
            f'{path}: expected spaCy, which reads such files, found none ({error}); "pip install -c constraints.txt '
            '-e .[spacy]" installs it'
        ) from error
    try:
        packed = DocBin().from_bytes(path.read_bytes())
        documents = list(packed.get_docs(Vocab()))
    except OSError:
        raise
    except Exception as error:
        # The errors for damaged files have no common type.
        raise ValueError(
            f"{path}: expected a DocBin, as spaCy writes it; found another or damaged file "
            f"({type(error).__name__}: {shorten(str(error))}); write it again with DocBin.to_disk"
        ) from error
    # Reading does not set this, and writing leaves the user data out without it.
    packed.store_user_data = any(data is not None for data in packed.user_data)
    missing = [name for name in _ENTITY_ATTRIBUTES if IDS[name] not in packed.attrs]
    if missing:
        raise ValueError(
            f"{path}: expected entities, found documents without {' and '.join(missing)}; write it again with "
            "DocBin(attrs=…) that has these"
        )
    groups = dict.fromkeys(name for document in documents for name in document.spans)
    if groups and not any(document.has_annotation("ENT_IOB") for document in documents):
        raise ValueError(
            f"{path}: expected entities in doc.ents, found only span groups ({shown_names(groups)}); write the spans "
            "into a .jsonl file instead"
        )
    return packed, documents


def _set_entities(document: "Doc", answers: Sequence[NewAnswer]) -> None:
    old = document.ents
    kept = {answer for answer in answers if isinstance(answer, int)}
    gone = [entity for position, entity in enumerate(old) if position not in kept]
    new = [_entity(document, answer) for answer in answers if not isinstance(answer, int)]
    taken = np.zeros(len(document), dtype=bool)
    for entity in [*(old[position] for position in sorted(kept)), *new]:
        if taken[entity.start : entity.end].any():
            raise ValueError(
                f"expected entities that do not overlap, found {shorten(entity.text)!r} at {entity.start_char} over "
                "another"
            )
        taken[entity.start : entity.end] = True
    # One after the other: spaCy refuses a token that is in both. Tokens that nobody has annotated stay so.
    document.set_ents([], outside=gone, default="unmodified")
    document.set_ents(new, default="unmodified")


def _entity(document: "Doc", answer: dict | tuple[int, dict]):
    if isinstance(answer, tuple):
        answer = answer[1]
    char_start = answer["answer_start"]
    char_end = char_start + len(answer["text"])
    class_name = answer.get("label") or ""
    if not class_name:
        raise ValueError(f"expected the name of a class, which an entity needs, found {describe(class_name)}")
    entity = document.char_span(char_start, char_end, label=class_name)
    if entity is None:
        covered = document.char_span(char_start, char_end, alignment_mode="expand")
        raise ValueError(
            f"expected an answer that begins and ends where tokens do, found {shorten(answer['text'])!r} at "
            f"{char_start}; the tokens there are {shorten(covered.text)!r}"
        )
    return entity
