"""The page on which people look through label issues: what stands in it, and what a browser makes of it."""

import base64
import hashlib
from pathlib import Path

import pytest
from browser import HOSTILE, Node, Tree, browse, context_of, needs_browser
from review_frames import make_frames
from text_strategies import span_of

from span_label_errors.review.page import write_review_page


def page_of(tmp_path: Path, *examples: dict, **options) -> Node:
    path = write_review_page(tmp_path / "review.html", *make_frames(*examples), **options)
    return Tree(path.read_bytes().decode("utf-8")).root


def marks_of(card: Node) -> list[tuple[str, str]]:
    """The classes and the text of each mark in the context of a card."""
    return [(mark.attributes["class"], mark.text()) for mark in card.one(".context").all("mark")]


def lines_of(card: Node) -> dict[str, str]:
    """What stands below the context of a card."""
    lines = card.one("dl")
    return {name.text(): text.text() for name, text in zip(lines.all("dt"), lines.all("dd"), strict=True)}


# What a row says


def test_card_says_what_is_known_of_an_example(tmp_path):
    example = {
        "id": "q7", "title": "Rivers", "question": "Which river?", "context": "The Elbe, not the Oder.",
        "given": [(18, 22)], "suggested": (4, 8), "label_quality": 0.0316, "suggestion_confidence": 0.875,
        "checks": "far from the question; another span is likelier", "fold": 2,
        "reason": "probably < cut", "evidence": "a name ends there; far away",
    }  # fmt: skip
    card = page_of(tmp_path, example).one("article")
    facts = card.one(".facts")
    assert facts.one(".rank").text() == "1"
    assert "label quality 0.032" in facts.text()
    assert facts.all("rect")[1].attributes["width"] == "3.2"
    assert facts.one(".badge").text() == "issue"
    assert [check.text() for check in facts.all("li")] == ["far from the question", "another span is likelier"]
    assert facts.one(".last").text() == "Rivers · q7 · fold 2"
    assert card.one("h2").text() == "Which river?"
    assert context_of(card) == "The Elbe, not the Oder."
    assert lines_of(card) == {
        "given": "Oder", "suggested": "Elbe (confidence 0.88)", "why": "probably < cut (a name ends there; far away)",
    }  # fmt: skip
    assert {name: value for name, value in card.attributes.items() if name.startswith("data-")} == {
        "data-rank": "1", "data-quality": "0.032", "data-issue": "1", "data-confidence": "0.875", "data-fold": "2",
    }  # fmt: skip


def test_row_without_issue_answer_or_suggestion(tmp_path):
    card = page_of(tmp_path, {"context": "None.", "is_issue": False})
    card = card.one("article")
    assert card.one(".badge").text() == "not flagged"
    assert lines_of(card) == {"given": "no answer", "suggested": "none"}
    assert marks_of(card) == []
    assert (card.attributes["data-issue"], card.attributes["data-confidence"]) == ("0", "-1.000")


def test_suggestion_says_how_it_differs(tmp_path):
    same, moved, also = page_of(
        tmp_path,
        {"context": "a bit a", "given": [(0, 1)], "suggested": (0, 1)},
        {"context": "a bit a", "given": [(0, 1)], "suggested": (6, 7)},
        {"context": "a bit a", "given": [(0, 1), (2, 5)], "suggested": (0, 5)},
    ).all("article")
    assert lines_of(same) == {"given": "a", "suggested": "a (confidence 0.75, the given answer)"}
    assert lines_of(moved) == {"given": "a", "suggested": "a (confidence 0.75, the same text in another place)"}
    assert lines_of(also) == {"given": "a", "also given": "bit", "suggested": "a bit (confidence 0.75)"}


def test_suggestion_of_no_answer_marks_nothing(tmp_path):
    card = page_of(tmp_path, {"context": "a bit", "given": [(0, 1)], "suggested": "[no answer]"}).one("article")
    assert lines_of(card) == {"given": "a", "suggested": "no answer (confidence 0.75)"}
    assert marks_of(card) == [("given starts ends", "a")]


def test_evidence_of_an_answer_without_a_reason_is_shown(tmp_path):
    card = page_of(tmp_path, {"context": "a bit", "evidence": "far away"}).one("article")
    assert lines_of(card)["why"] == "(far away)"


def test_decided_rows_say_so(tmp_path):
    example = {"context": "a bit", "given": [(0, 1)], "is_issue": False}
    corrected = example | {"decision": "corrected", "suggested": (2, 5)}
    page = page_of(tmp_path, example, example | {"decision": "confirmed"}, corrected, estimate=1.2)
    header = page.one("header").all("p")[0].text()
    assert header.startswith("3 examples, 0 issues found, 2 decided (1 corrected); about 1 wrong label estimated.")
    cards = page.all("article")
    assert [card.one(".badge").text() for card in cards] == ["not flagged", "confirmed", "corrected"]
    assert lines_of(cards[1]) == {"given": "a", "suggested": "none"}
    assert lines_of(cards[2]) == {"given": "a", "correct": "bit (as decided)"}


def test_answers_of_other_classes_are_shown_where_the_class_has_none(tmp_path):
    example = {"context": "a bit", "given": [(2, 5, "PER")], "given_answer": "", "given_start": None}
    card = page_of(tmp_path, example).one("article")
    assert lines_of(card) == {"given": "no answer", "also given": "bit", "suggested": "none"}


def test_answers_of_other_annotators_are_shown_and_marked(tmp_path):
    issues, table = make_frames({"context": "abcdefghij", "given": [(2, 4), (6, 7)]})
    others = {"other_answer": [["bcd", "cd"]], "other_start": [[1, 2]], "other_label": [["ANS", "ANS"]]}
    path = write_review_page(tmp_path / "review.html", issues, table.assign(**others))
    card = Tree(path.read_bytes().decode("utf-8")).root.one("article")
    assert lines_of(card) == {"given": "cd", "also given": "g, bcd", "suggested": "none"}
    assert marks_of(card) == [("also starts", "b"), ("given also starts ends", "cd"), ("also starts ends", "g")]


# Marks


@pytest.mark.parametrize(
    ("given", "suggested", "marks"),
    [
        ([(2, 4)], (6, 8), [("given starts ends", "cd"), ("suggested starts ends", "gh")]),
        (
            [(2, 6)],
            (4, 8),
            [("given starts", "cd"), ("given suggested starts ends", "ef"), ("suggested ends", "gh")],
        ),
        ([(0, 10)], (0, 10), [("given suggested starts ends", "abcdefghij")]),
        # Several given answers, one of them twice and the given one again.
        ([(2, 4), (2, 4), (8, 9), (8, 9)], None, [("given starts ends", "cd"), ("also starts ends", "i")]),
    ],
)
def test_marks_cover_their_characters(tmp_path, given, suggested, marks):
    card = page_of(tmp_path, {"context": "abcdefghij", "given": given, "suggested": suggested}).one("article")
    assert marks_of(card) == marks
    assert context_of(card) == "abcdefghij"


@pytest.mark.parametrize(
    ("given", "suggested", "marks"),
    [
        ("174", "1742", [("given suggested starts ends ltr", "174"), ("suggested ends ltr", "2")]),
        ("Anna", "Anna שם", [("given suggested starts ends ltr", "Anna"), ("suggested ends rtl", " שם")]),
        ("1742 Anna שם", None, [("given starts ends ltr rtl", "1742 Anna שם")]),  # as its paragraph
        (",", None, [("given starts ends", ",")]),
    ],
)
def test_edges_are_on_the_side_where_a_mark_begins_whatever_its_direction(tmp_path, given, suggested, marks):
    context = "בשנת 1742 Anna שם, כאן."
    spans = {name: span_of(context, text) for name, text in (("given", given), ("suggested", suggested)) if text}
    spans["given"] = [spans["given"]]
    card = page_of(tmp_path, {"context": context, **spans}).one("article")
    assert marks_of(card) == marks
    assert context_of(card) == context


def test_offsets_count_characters(tmp_path):
    # The emoji is two units in JavaScript and four bytes; "é" is a letter and an accent of its own.
    card = page_of(tmp_path, {"context": "😀 Cafe\u0301 <b>", "given": [(2, 7)], "suggested": (8, 11)}).one("article")
    assert marks_of(card) == [("given starts ends", "Cafe\u0301"), ("suggested starts ends", "<b>")]


def test_direction_follows_the_text(tmp_path):
    card = page_of(tmp_path, {"context": "שלום. " * 250, "question": "מי?", "given": [(0, 4)]}).one("article")
    assert card.one("h2").attributes["dir"] == card.one(".context").attributes["dir"] == "auto"
    # Its English words must not make the Hebrew context run from the left.
    assert card.one("summary").attributes["dir"] == "ltr"


# Long contexts: "S00 is my sentence of forty characters. " and so on, 40 characters each.
SENTENCES = [f"S{number:02} is my sentence of forty characters. " for number in range(30)]


def test_long_context_shows_the_sentences_around_the_marks(tmp_path):
    assert {len(sentence) for sentence in SENTENCES} == {40}
    context = "".join(SENTENCES)
    # From sentence 2 into 3, and in the last: 1 to 4 are shown, 28 and 29.
    spans = {"given": [(2 * 40 + 35, 3 * 40 + 3)], "suggested": (29 * 40, 29 * 40 + 3)}
    card = page_of(tmp_path, {"context": context, **spans}).one("article")
    assert context_of(card) == context
    folded = card.all("details")
    assert [part.one(".text").text() for part in folded] == [SENTENCES[0], "".join(SENTENCES[5:28])]
    # Seven words a sentence.
    assert [part.one("summary").text() for part in folded] == ["… 7 more words", "… 161 more words"]
    assert marks_of(card) == [("given starts ends", "ers. S03"), ("suggested starts ends", "S29")]


def test_folded_text_without_spaces_has_as_many_words_as_letters(tmp_path):
    context = "東京。" * 400
    card = page_of(tmp_path, {"context": context, "given": [(0, 2)]}).one("article")
    assert card.one("summary").text() == "… 796 more words"


def test_long_context_without_marks_shows_its_beginning(tmp_path):
    card = page_of(tmp_path, {"context": "".join(SENTENCES)}).one("article")
    assert card.one(".context").all(".text")[0].text() == "".join(SENTENCES[:2])
    assert card.one("details").one(".text").text() == "".join(SENTENCES[2:])


def test_context_of_many_pages_stands_once_on_the_page(tmp_path):
    # An emoji is two units in JavaScript, and a line end of Windows one character of a page.
    sentences = [f"S{number:03} 😀 is here.\r\n" for number in range(600)]
    context, length = "".join(sentences), len(sentences[0])
    other = "<b>&amp; " * 2000
    spans = [[(row * length, row * length + 4)] for row in (0, 300, 599)]
    page = page_of(
        tmp_path, *({"context": context, "given": given} for given in spans), {"context": other}, {"context": "short"}
    )
    shared = [element.text().replace("\r\n", "\n") for element in page.one("template").all("div")]
    assert shared == [context.replace("\r\n", "\n"), other]
    cards = page.all("article")
    assert [card.attributes.get("data-context") for card in cards] == ["0", "0", "0", "1", None]
    units = shared[0].encode("utf-16-le")
    for card, rows_shown in zip(cards, ([0, 1], [299, 300, 301], [598, 599]), strict=False):
        text = ""
        for part in card.one(".context").children:
            if part.tag == "details":
                start, end = (2 * int(part.attributes[f"data-{name}"]) for name in ("start", "end"))
                folded = units[start:end].decode("utf-16-le")
                num_words = 3 * folded.count("\n")  # an emoji is none
                assert part.text() == f"… {num_words:,} more words"
            else:
                folded = part.text().replace("\r\n", "\n")
                assert folded == "".join(f"S{row:03} 😀 is here.\n" for row in rows_shown)
            text += folded
        assert text == shared[0]


# The page


def test_header_counts(tmp_path):
    examples = [{"context": "c", "is_issue": number < 3} for number in range(1500)]
    page = page_of(tmp_path, *examples, estimate=12.4, worst=2)
    assert page.one("header").all("p")[0].text() == (
        "1,500 examples, 3 issues found; about 12 wrong labels estimated. 2 rows on this page, worst first; "
        "the other 1,498 are in label_issues.csv."
    )
    assert [card.one(".rank").text() for card in page.all("article")] == ["1", "2"]

    page = page_of(tmp_path, {"context": "c"})
    assert page.one("header").all("p")[0].text() == (
        "1 example, 1 issue found; too few to estimate how many labels are wrong, so only certain issues are flagged. "
        "1 row on this page, worst first."
    )


def sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def test_policy_allows_this_script_and_style_and_nothing_else(tmp_path):
    page = page_of(tmp_path, {"context": HOSTILE[0]})
    metas = [meta.attributes for meta in page.all("meta")]
    assert metas[1] == {
        "http-equiv": "Content-Security-Policy",
        "content": f"default-src 'none'; script-src 'sha256-{sha256(page.one('script').text())}'; "
        f"style-src 'sha256-{sha256(page.one('style').text())}'; base-uri 'none'; form-action 'none'",
    }
    # Nothing with a script or style of its own may stand before the policy.
    assert [child.tag for child in page.one("head").children if isinstance(child, Node)][:2] == ["meta", "meta"]


def elements_of(node: Node) -> list[Node]:
    below = [child for child in node.children if isinstance(child, Node)]
    return below + [element for child in below for element in elements_of(child)]


# Hostile texts


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_shown_and_not_obeyed(tmp_path, text):
    middle = (len(text) // 3, 2 * len(text) // 3)
    example = {
        "id": text, "title": text, "question": text, "context": text, "given": [middle], "suggested": (0, len(text)),
        "checks": text.replace(";", ""), "reason": text, "evidence": text,
    }  # fmt: skip
    harmless = {"id": "i", "title": "t", "question": "q", "context": "abc", "given": [(1, 2)], "suggested": (0, 3),
                "checks": "c", "reason": "r", "evidence": "e"}  # fmt: skip
    page, same = page_of(tmp_path, example), page_of(tmp_path, harmless)
    assert [element.tag for element in elements_of(page)] == [element.tag for element in elements_of(same)]
    assert [sorted(e.attributes) for e in elements_of(page)] == [sorted(e.attributes) for e in elements_of(same)]

    card = page.one("article")
    assert context_of(card) == text
    assert [mark for _, mark in marks_of(card)] == [text[: middle[0]], text[slice(*middle)], text[middle[1] :]]
    assert lines_of(card)["why"] == f"{text} ({text})"
    shown = [piece.text() for name in (".title", ".id", ".question", ".checks") for piece in card.all(name)]
    assert shown == [text, text, text, text.replace(";", "")]
    assert [answer.text() for answer in card.one("dl").all("mark")] == [text[slice(*middle)], text]


def test_characters_that_html_cannot_hold_are_replaced_one_for_one(tmp_path):
    context = "a\x00b\x1bc\x7fd\x85e\tg\nh"
    page = page_of(tmp_path, {"context": context, "given": [(7, 9)], "id": "\x01"})
    assert context_of(page) == "a␀b␛c␡d\ufffde\tg\nh"
    assert marks_of(page) == [("given starts ends", "\ufffde")]
    assert page.one(".id").text() == "␁"


# In a browser


def shown(page: Node) -> list[str]:
    return [card.one(".id").text() for card in page.all("article") if "hidden" not in card.attributes]


@needs_browser
def test_folded_parts_of_a_long_context_are_taken_from_where_it_stands(tmp_path):
    context = "".join(f"S{number:03} 😀 is here.\r\n" for number in range(600))
    rows = [{"context": context, "given": [(row * 17, row * 17 + 4)]} for row in (0, 300)]
    path = write_review_page(tmp_path / "review.html", *make_frames(*rows, {"context": "Other. " * 2000}))
    (page,) = browse(tmp_path, [path.name])
    expected = [context.replace("\r\n", "\n")] * 2 + ["Other. " * 2000]
    assert [context_of(card) for card in page.all("article")] == expected


@needs_browser
def test_policy_stops_what_escaping_would_have_missed(tmp_path):
    path = write_review_page(tmp_path / "review.html", *make_frames({"context": "abc", "question": "HERE"}))
    payload = "<script>document.title='run'</script><img src='x' onerror='document.title=1'>"
    source = path.read_text(encoding="utf-8").replace("HERE", payload)
    path.write_text(source, encoding="utf-8")
    # The same payload does run where no policy stands, or the test would prove nothing.
    (tmp_path / "open.html").write_text(source.replace("Content-Security-Policy", "x"), encoding="utf-8")
    page, without_policy = browse(tmp_path, [path.name], ["open.html"])
    assert len(page.all("script")) == 2
    assert page.one("title").text() == "Label issues"
    assert page.one("form").all("p")[0].text() == "1 of 1 rows"
    assert without_policy.one("title").text() in ("run", "1")


@pytest.fixture(scope="module")
def five_rows(tmp_path_factory) -> Path:
    """Five rows: ids, qualities, confidences, folds and issues are ordered differently."""
    contexts = ["Paris, Zürich", "In Oslo", "Lima  and Oslo", "Rome", "Berlin. " * 1300 + "In Tegel."]
    columns = {
        "id": ["q10", "q9", "q2", "q1", "q3"], "label_quality": [0.1, 0.2, 0.3, 0.4, 0.5],
        "suggestion_confidence": [0.3, float("nan"), 0.9, 0.1, 0.5], "fold": [2, 0, 1, 0, 1],
        "is_issue": [True, True, True, False, False], "checks": ["a", "a; b & c", "", "b & c", ""],
    }  # fmt: skip
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    examples = [{"context": context, **row} for context, row in zip(contexts, rows, strict=True)]
    examples[3]["question"] = "Which ÉTOILE?"
    examples[4]["reason"] = "probably cut short"
    return write_review_page(tmp_path_factory.mktemp("page") / "review.html", *make_frames(*examples))


IDS_OF_ADDRESS = {
    "": ["q10", "q9", "q2", "q1", "q3"],
    "#q=OSLO&sort=-quality": ["q2", "q9"],
    "#q=lima+and&only=issues&fold=1": ["q2"],  # two spaces in the context
    "#q=etoile": ["q1"],
    "#q=cut+short": ["q3"],
    "#q=in+tegel": ["q3"],  # in a context that stands elsewhere on the page
    "#only=issues&sort=-confidence": ["q2", "q10", "q9"],  # no confidence comes last
    "#sort=id": ["q1", "q2", "q3", "q9", "q10"],
    "#min=0.2&max=0.4&check=b+%26+c": ["q9", "q1"],
    "#fold=7&sort=x&unknown=1": ["q10", "q9", "q2", "q1", "q3"],
    "#q=%3Cscript%3E": [],
}


@pytest.fixture(scope="module")
def pages_by_address(five_rows) -> dict[str, list[Node]]:
    """For each address, the page opened there, and the page sent there from the address before."""
    first, *others = IDS_OF_ADDRESS
    opened = [[five_rows.name + address] for address in IDS_OF_ADDRESS]
    pages = browse(five_rows.parent, *opened, [five_rows.name, *others, first])
    sent = dict(zip([*others, first], pages[len(opened) + 1 :], strict=True))
    return {address: [page, sent[address]] for address, page in zip(IDS_OF_ADDRESS, pages, strict=False)}


@needs_browser
@pytest.mark.parametrize("address", IDS_OF_ADDRESS)
def test_address_filters_and_sorts(pages_by_address, address):
    ids = IDS_OF_ADDRESS[address]
    for page in pages_by_address[address]:
        assert shown(page) == ids
        assert page.one("form").all("p")[0].text() == f"{len(ids)} of 5 rows"
        assert ("hidden" in page.all("p")[-1].attributes) == bool(ids)
