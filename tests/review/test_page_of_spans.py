"""The page where every span of a data set is labelled: a card for each span, and for each place without one."""

from pathlib import Path

import pytest
from browser import HOSTILE, Node, Tree, browse, context_of, needs_browser
from review_frames import make_frames, make_span_frames

from span_label_errors.review.colours import COLOURS
from span_label_errors.review.page import write_review_page

CONTEXT = "Anna joined Acme in Oslo, then Rome Ltd"
GIVEN = [("Anna", "PER"), ("Acme", "LOC"), ("Oslo", "LOC"), ("Rome", "LOC")]
ROWS = [
    ("Acme", ("Acme", "ORG")), ("Rome", ("Rome Ltd", "ORG")), ("Oslo", "[no answer]"), ("then", ("then", "PER")),
    ("Anna", None),
]  # fmt: skip


def page_of(folder: Path, *examples: dict, classes: tuple[str, ...] = ("LOC", "ORG", "PER")) -> Node:
    path = write_review_page(folder / "review.html", *make_span_frames(*examples, classes=classes))
    return Tree(path.read_bytes().decode("utf-8")).root


def marks_of(card: Node) -> list[tuple[str, str, str | None]]:
    """The classes and the text of each mark in the context of a card, and the words behind it."""
    marks = card.one(".context").all("mark")
    return [(mark.attributes["class"], mark.text(), mark.attributes.get("data-class")) for mark in marks]


def lines_of(card: Node) -> list[str]:
    return [line.text().strip() for line in card.one("dl").all("dd")]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Node:
    return page_of(tmp_path_factory.mktemp("page"), {"context": CONTEXT, "given": GIVEN, "rows": ROWS})


@pytest.fixture(scope="module")
def cards(page) -> list[Node]:
    return page.all("article")


def test_card_names_given_and_suggested_class_and_the_mistake(cards):
    assert [[kind.text() for kind in card.all(".mistake")] for card in cards] == [
        ["wrong class"], ["wrong border and class"], ["spurious span"], ["missing span"], [],
    ]  # fmt: skip
    assert [lines_of(card) for card in cards] == [
        ["Acme LOC", "Acme ORG (confidence 0.75)"],
        ["Rome LOC", "Rome Ltd ORG (confidence 0.75)"],
        ["Oslo LOC", "no span (confidence 0.75)"],
        ["no span at then", "then PER (confidence 0.75)"],
        ["Anna PER", "none"],
    ]
    assert [card.attributes["data-mistake"] for card in cards[2:]] == ["spurious span", "missing span", ""]


def test_span_of_the_row_is_marked_and_the_others_lighter_each_with_its_class(cards):
    others = {text: ("also starts ends a0", text, "LOC") for text in ("Acme", "Oslo", "Rome")}
    others["Anna"] = ("also starts ends a2", "Anna", "PER")
    wrong_class, wrong_border, spurious, missing, _ = (marks_of(card) for card in cards)
    acme = ("given suggested starts ends g0 s1", "Acme", "LOC → ORG")
    assert wrong_class == [others["Anna"], acme, others["Oslo"], others["Rome"]]
    rome = [("given suggested starts ends g0 s1", "Rome", "LOC"), ("suggested ends s1", " Ltd", "→ ORG")]
    assert wrong_border == [others["Anna"], others["Acme"], others["Oslo"], *rome]
    assert spurious[2] == ("given starts ends g0", "Oslo", "LOC")
    assert missing[3] == ("suggested starts ends s2", "then", "→ PER")
    # The words behind a mark are no part of the text: it can be copied.
    assert {context_of(card) for card in cards} == {CONTEXT}


def test_adjacent_spans_of_one_class_are_two_marks(tmp_path):
    example = {"context": "Anna Bo", "given": [("Anna ", "PER"), ("Bo", "PER")], "rows": [("Bo", None)]}
    assert marks_of(page_of(tmp_path, example)) == [
        ("also starts ends a2", "Anna ", "PER"), ("given starts ends g2", "Bo", "PER"),
    ]  # fmt: skip


def test_place_without_a_suggestion_is_marked(tmp_path):
    rows = [("Bo", None), ("", None)]
    place, nothing = page_of(tmp_path, {"context": "Anna met Bo", "rows": rows}).all("article")
    assert marks_of(place) == [("place starts ends", "Bo", None)]
    assert [lines_of(place), lines_of(nothing)] == [["no span at Bo", "none"], ["no span", "none"]]


def test_header_explains_marks_and_classes(page):
    _, marks, classes = page.one("header").all("p")
    assert "given span solid line below" in " ".join(marks.text().split())
    found = [(name.text(), name.attributes["class"]) for name in classes.all(".class")]
    assert found == [("LOC", "class g0 given"), ("ORG", "class g1 given"), ("PER", "class g2 given")]
    style = page.one("style").text()
    assert all(f"--c{number}: {colour};" in style for number, colour in enumerate(COLOURS))


def test_there_is_no_heading_without_a_question(page, tmp_path):
    assert page.all("h2") == []
    example = {"context": CONTEXT, "given": GIVEN, "rows": ROWS[:1]}
    assert page_of(tmp_path, example | {"question": "Who?"}).one("h2").text() == "Who?"


def test_colours_come_again_where_classes_are_many(tmp_path):
    classes = tuple(f"C{number}" for number in range(9))
    example = {"context": "a b c", "given": [("a", "C0"), ("b", "C7"), ("c", "C8")], "rows": [("a", None)]}
    marks = marks_of(page_of(tmp_path, example, classes=classes))
    assert marks == [
        ("given starts ends g0", "a", "C0"), ("also starts ends a7", "b", "C7"), ("also starts ends a0", "c", "C8"),
    ]  # fmt: skip


def test_other_spans_of_a_long_context_unfold_nothing(tmp_path):
    context = "".join(f"S{number:02} is my sentence of forty characters. " for number in range(30))
    given = [(f"S{number:02}", "LOC") for number in range(30)]
    card = page_of(tmp_path, {"context": context, "given": given, "rows": [("S10", None)]}).one("article")
    assert [text for _, text, _ in marks_of(card)] == ["S09", "S10", "S11"]
    assert context_of(card) == context


@pytest.mark.parametrize("name", HOSTILE)
def test_class_names_are_shown_and_not_obeyed(tmp_path, name):
    """They come from the data, as texts do."""
    example = {"context": "Oslo or Rome", "given": [("Oslo", name)], "rows": [("Oslo", ("Rome", name))]}
    page = page_of(tmp_path, example, classes=(name,))
    shown = {item.text() for item in page.all(".class")}
    assert shown == {name}
    assert [behind for *_, behind in marks_of(page)] == [name, f"→ {name}"]
    (chosen,) = (menu for menu in page.all("select") if menu.attributes["name"] == "class")
    assert chosen.all("option")[1].attributes["value"] == name
    assert len(page.all("script")) == 1


def test_page_of_questions_has_nothing_of_classes(tmp_path):
    path = write_review_page(tmp_path / "q.html", *make_frames({"context": "abc", "given": [(0, 1)]}))
    page = Tree(path.read_bytes().decode("utf-8")).root
    assert not [menu for menu in page.all("select") if menu.attributes["name"] in ("class", "mistake")]
    assert "--c0" not in page.one("style").text()
    assert page.all(".class") == []


@needs_browser
def test_classes_and_mistakes_filter_and_the_quality_of_examples_sorts(tmp_path):
    good = {
        "context": CONTEXT,
        "given": GIVEN,
        "rows": [("Acme", None, {"label_quality": 0.9})],
        "example_quality": 0.9,
    }
    bad = {"context": CONTEXT, "given": GIVEN, "rows": ROWS, "example_quality": 0.1}
    path = write_review_page(tmp_path / "review.html", *make_span_frames(good, bad))
    expected = {
        "": [1, 2, 3, 4, 5, 6],
        "#class=ORG": [2, 3],
        "#class=PER": [5, 6],
        "#mistake=missing+span": [5],
        "#mistake=wrong+class&class=LOC": [2],
        "#sort=example": [2, 3, 4, 5, 6, 1],
        "#class=unknown": [1, 2, 3, 4, 5, 6],
    }
    pages = browse(tmp_path, [path.name, *filter(None, expected)])
    for page, ranks in zip(pages, expected.values(), strict=True):
        cards = [card for card in page.all("article") if "hidden" not in card.attributes]
        assert [int(card.one(".rank").text()) for card in cards] == ranks
