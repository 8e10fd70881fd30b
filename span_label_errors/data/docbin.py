"""spaCy's binary files of documents (`DocBin`, `.spacy`): their entities, read as rows and written again."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from span_label_errors.data.answer_forms import NewAnswer
from span_label_errors.data.layouts import Question
from span_label_errors.data.messages import describe, shorten
from span_label_errors.data.rows import rows_of
from span_label_errors.data.span_edits import sorted_out

DOCBIN_SUFFIX = ".spacy"
_NO_SPAN_GROUPS = (b"", b"\x90")  # as they are stored: in old versions, and an empty list
# In this order, of which the first two are needed.
_ENTITY_COLUMNS = ("ENT_IOB", "ENT_TYPE", "ENT_KB_ID", "ENT_ID")


def read_docbin(path: Path) -> list[object]:
    """Return one row a document, with its `ents`; its other span groups are not read.

    Raises
    ------
    ValueError
        If it is no such file, has no entities but span groups, or spaCy is not installed.
    """
    docs = _docs(_loaded(path), path)
    nodes = ({"context": doc.text, "question": "", "answers": _answers(doc)} for doc in docs)
    return rows_of(Question((index,), (node,)) for index, node in enumerate(nodes))


def write_docbin(source: Path, path: Path, new_answers: Mapping[int, Sequence[NewAnswer]]) -> None:
    """Write a file with the entities of some documents replaced, and all else as it was.

    An answer that overlaps an entity which goes keeps the ids of that one.

    Raises
    ------
    ValueError
        If an answer begins or ends inside a token, overlaps another, or has no class; all such documents are named.
    """
    docbin = _loaded(source)
    problems = []
    for index, doc in enumerate(_docs(docbin, source)):
        if index not in new_answers:
            continue
        try:
            _set_entities(doc, new_answers[index])
        except ValueError as error:
            problems.append(f"example {str(index)!r}: {error}")
            continue
        columns = _entity_columns(docbin)
        tokens = docbin.tokens[index].copy()
        tokens[:, columns] = doc.to_array([docbin.attrs[column] for column in columns])
        docbin.tokens[index] = tokens
        docbin.strings.update(entity.label_ for entity in doc.ents)
    if problems:
        raise ValueError("\n".join([f"{source}: {len(problems)} examples cannot be written as entities:", *problems]))
    docbin.to_disk(path)


def _loaded(path: Path) -> Any:
    """Return the `DocBin` of a file."""
    try:
        from spacy.tokens import DocBin  # optional
    except ImportError as error:
        raise ImportError(
            f'{path}: expected spaCy, which reads it; install it: pip install -c constraints.txt -e ".[spacy]"'
        ) from error
    try:
        docbin = DocBin().from_disk(path)
        is_whole = len(docbin.tokens) == len(docbin.spaces)
    except Exception as error:
        # What a damaged file raises has no common type.
        found = f"{type(error).__name__}: {shorten(str(error), 200)}"
        raise ValueError(f"{path}: expected a file that spaCy's DocBin wrote, found another ({found})") from error
    if not is_whole or len(_entity_columns(docbin)) < 2:
        raise ValueError(
            f"{path}: expected documents with the attributes ENT_IOB and ENT_TYPE, found {docbin.attrs}; write it "
            "again with DocBin(docs=docs), which keeps both"
        )
    has_entities = any(tokens[:, _entity_columns(docbin)[1]].any() for tokens in docbin.tokens)
    if not has_entities and any(group not in _NO_SPAN_GROUPS for group in docbin.span_groups):
        raise ValueError(
            f"{path}: expected entities (doc.ents), found span groups (doc.spans) alone; set doc.ents to those spans, "
            "or write them as JSON Lines"
        )
    docbin.store_user_data = any(data is not None for data in docbin.user_data)
    return docbin


def _entity_columns(docbin: Any) -> list[int]:
    """Return which columns of a file's tokens say what the entities are: IOB, type and, if they are there, ids."""
    from spacy.attrs import IDS

    return [docbin.attrs.index(IDS[name]) for name in _ENTITY_COLUMNS if IDS[name] in docbin.attrs]


def _docs(docbin: Any, path: Path) -> Iterator[Any]:
    """Yield the documents, with their words and entities alone."""
    from spacy.attrs import ORTH
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

    vocab = Vocab()
    for string in docbin.strings:
        vocab.strings.add(string)
    columns = _entity_columns(docbin)
    attributes = [docbin.attrs[column] for column in columns]
    orth = docbin.attrs.index(ORTH)
    for tokens, spaces, flags in zip(docbin.tokens, docbin.spaces, docbin.flags, strict=True):
        words = [vocab.strings[number] for number in tokens[:, orth].tolist()]
        doc = Doc(vocab, words, None if flags.get("has_unknown_spaces") else spaces[:, 0].tolist())
        yield doc.from_array(attributes, tokens[:, columns]) if len(doc) else doc


def _answers(doc: Any) -> list[dict]:
    return [
        {"text": entity.text, "answer_start": entity.start_char, "label": entity.label_ or None} for entity in doc.ents
    ]


def _set_entities(doc: Any, answers: Sequence[NewAnswer]) -> None:
    """Give a document other entities; tokens that no changed one covers stay as they are, even if nothing is known."""
    from spacy.tokens import Span

    old = list(doc.ents)
    changed, added, gone = sorted_out(_answers(doc), answers)
    new = []
    for of_old, answer in [*((old[at], answer) for at, answer in changed.items()), *((None, one) for one in added)]:
        char_end = answer["answer_start"] + len(answer["text"])
        span = doc.char_span(answer["answer_start"], char_end, label=answer.get("label") or "")
        if span is None:
            covered = doc.char_span(answer["answer_start"], char_end, alignment_mode="expand")
            raise ValueError(
                f"expected an answer that begins and ends where tokens do, found {shorten(answer['text'])!r} at "
                f"{answer['answer_start']}; the tokens there are {shorten(str(covered))!r}"
            )
        if not answer.get("label"):
            raise ValueError(f"expected the name of a class, which an entity needs, found {describe(answer['label'])}")
        ids = {} if of_old is None else {"kb_id": of_old.kb_id, "span_id": of_old.ent_id}
        new.append(Span(doc, span.start, span.end, label=span.label, **ids))
    taken = {token.i for span in new for token in span}
    kept = [entity for at, entity in enumerate(old) if at not in changed and at not in gone]
    if len(taken) < sum(map(len, new)) or any(token.i in taken for entity in kept for token in entity):
        raise ValueError("expected entities apart from each other, found some that overlap; write them as JSON Lines")
    free = [token.i for at, entity in enumerate(old) if at in changed or at in gone for token in entity]
    outside = [Span(doc, at, at + 1) for at in free if at not in taken]
    doc.set_ents(new, outside=outside, default="unmodified")
