"""The layouts of question-answering data: where the questions stand in a document, and in which order.

A document is a list of entries: the list itself, the list `data` of an object, an entry alone, or an entry a line. All
entries are of one kind: an article with `paragraphs`, a paragraph with `qas`, or a row, which is a question with its
context. Where a list of paragraphs or of questions is expected, one object stands for a list of one.

Reading walks what JSON was parsed to, writing walks the text of a file. Each sees its nodes through a `View`, so that
both find the same questions.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from span_label_errors.data.messages import describe, shown_names

# The names of the lists from an entry down to its questions.
_LISTS = {"article": ("paragraphs", "qas"), "paragraph": ("qas",), "row": ()}
_EXPECTED = 'articles, paragraphs or rows in {"data": […]}, in a list, or one a line'


class View(Protocol):
    """How to look at the nodes of a document, whatever they are."""

    def members(self, node: Any) -> Mapping[str, Any] | None:
        """Return the members of an object; None if the node is none."""

    def items(self, node: Any) -> Sequence | None:
        """Return the items of a list; None if the node is none."""

    def shown(self, node: Any) -> str:
        """Return the beginning of a node, for a message."""


class Values:
    """The view of parsed JSON."""

    def members(self, node: object) -> dict | None:
        """Return an object."""
        return node if isinstance(node, dict) else None

    def items(self, node: object) -> list | None:
        """Return a list."""
        return node if isinstance(node, list) else None

    def shown(self, node: object) -> str:
        """Return type and beginning of a value."""
        return describe(node)


class Question(NamedTuple):
    """Where a question of a document stands."""

    position: tuple[int, ...]  # (article, paragraph, question), (paragraph, question) or (row,), each from 0
    nodes: tuple  # of the same length: the objects from the outermost to the question itself


class LayoutError(ValueError):
    """Raised where a document has another layout."""


def walk(document: Any, view: View) -> Iterator[Question]:
    """Yield the questions of a document, in the order of the examples.

    Parameters
    ----------
    document : node
        Of JSON Lines, the list of all lines.
    view : View

    Raises
    ------
    LayoutError
        If a list is missing or entries are of several kinds; the message says what was expected and found.
    """
    name, entries = _entries(document, view)
    kind, index_of_kind = "", 0
    for index, entry in enumerate(entries):
        members = view.members(entry)
        if members is not None and not kind:
            kind, index_of_kind = _kind(members), index
        if members is not None and _kind(members) != kind:
            found, first = (f"{name}[{at}] is {a}" for at, a in ((index, _kind(members)), (index_of_kind, kind)))
            raise LayoutError(f"expected entries of one kind; found that {found} and {first}; put them into two files")
        yield from _questions((index,), (entry,), _LISTS[kind or "row"], f"{name}[{index}]", view)


def _entries(document: Any, view: View) -> tuple[str, Sequence]:
    """Return what the list of a document's entries is called, and the list."""
    members, items = view.members(document), view.items(document)
    if items is not None:
        return "document", items
    if members is None:
        raise LayoutError(f"expected {_EXPECTED}; found {view.shown(document)}")
    if "data" in members and view.items(members["data"]) is not None:
        return "data", view.items(members["data"])
    columns = [field for field in ("context", "question") if field in members]
    if any(view.members(members[field]) is not None or view.items(members[field]) is not None for field in columns):
        raise LayoutError(
            f"expected {_EXPECTED}; found a table of columns [{shown_names(members)}]; write it row by row, with "
            'to_json(orient="records") in pandas, or to_json() in datasets'
        )
    if "data" in members:
        raise LayoutError(f"expected {_EXPECTED}; found 'data' as {view.shown(members['data'])}")
    if _kind(members) == "row" and "context" not in members:
        lists = [field for field, node in members.items() if view.items(node)]
        hint = f"; if {shown_names(lists)} are splits, make each of them a file" if lists else ""
        raise LayoutError(f"expected {_EXPECTED}; found the fields [{shown_names(members)}]{hint}")
    return "document", [document]


def _questions(
    position: tuple[int, ...], nodes: tuple, lists: tuple[str, ...], where: str, view: View
) -> Iterator[Question]:
    """Yield the questions below the last of `nodes`, which are in `lists`."""
    if not lists:
        yield Question(position, nodes)
        return
    for index, item in enumerate(_list_at(nodes[-1], lists[0], where, view)):
        inner = f"{where}.{lists[0]}[{index}]"
        yield from _questions((*position, index), (*nodes, item), lists[1:], inner, view)


def _list_at(parent: Any, name: str, where: str, view: View) -> Sequence:
    members = view.members(parent)
    if members is None:
        found = view.shown(parent)
    elif name not in members:
        found = f"the fields [{shown_names(members)}]"
    elif view.items(members[name]) is not None:
        return view.items(members[name])
    elif view.members(members[name]) is not None:
        return [members[name]]
    else:
        found = f"{name!r} as {view.shown(members[name])}"
    raise LayoutError(f"expected a list {name!r} in {where}; found {found}")


def _kind(members: Mapping) -> str:
    return "article" if "paragraphs" in members else "paragraph" if "qas" in members else "row"
