"""Files of labels that other people judged, as they are published; all texts here are made up."""

import json

import pytest
from conftest import make_example, squad_document
from label_errors.real_data import agree, drawn, outvoted, read_real, token_f1

from span_label_errors.model.seen_contexts import context_hash
from span_label_errors.spans.text import answers_of

#          0    5   9     15 18    24    30   35  39
CONTEXT = "Anna met Bruno in Rome. Carla left for the Rome of the north, for Anna."


def span(text: str, number: int = 0) -> tuple[int, int]:
    """Return where a text stands in the context, for the `number`-th time."""
    start = -1
    for _ in range(number + 1):
        start = CONTEXT.index(text, start + 1)
    return start, start + len(text)


def spans(*texts: str) -> list[tuple[int, int]]:
    return [span(text) for text in texts]


def test_token_f1_compares_words_as_squad_does():
    assert token_f1("The Rome of the north!", "rome of north") == 1
    assert token_f1("Anna met Bruno", "Bruno left") == pytest.approx(2 * 1 / 5)
    assert token_f1("a b b", "b b b") == pytest.approx(2 * 2 / 5)  # "a" is an article
    assert token_f1("the", "a") == 1
    assert token_f1("the", "Rome") == 0


def test_outvoted_shares_nothing_with_others_that_agree():
    assert outvoted(CONTEXT, spans("Carla", "Bruno", "met Bruno")) == 0
    assert outvoted(CONTEXT, spans("Bruno", "Carla", "met Bruno", "Bruno in")) == 1
    # Two answers: nobody is outvoted.
    assert outvoted(CONTEXT, spans("Carla", "Bruno")) is None
    # The others do not agree: F1 of "Bruno" and "Anna met Bruno in" is 0.4.
    assert outvoted(CONTEXT, spans("Carla", "Bruno", "Anna met Bruno in")) is None
    # It shares a word, or all agree.
    assert outvoted(CONTEXT, [span("Rome", 1), *spans("Rome", "in Rome")]) is None
    assert outvoted(CONTEXT, spans("Bruno", "Bruno", "met Bruno")) is None
    # It shares characters, though no word.
    assert outvoted(CONTEXT, [(9, 11), *spans("Bruno", "Bruno")]) is None


def test_agreement_is_of_all_pairs():
    assert agree(CONTEXT, spans("Bruno", "met Bruno in"))  # 0.5
    assert not agree(CONTEXT, spans("met Bruno", "Bruno in Rome", "Anna met"))


def test_answer_is_drawn_by_the_id():
    # The first bytes of SHA-256: 0xca978112ca1bbdca for "a", 0x3e23e8160039594a for "b".
    assert [drawn("a", count) for count in (0, 1, 2, 3)] == [0, 0, 0xCA978112CA1BBDCA % 2, 0xCA978112CA1BBDCA % 3]
    assert drawn("b", 3) == 0x3E23E8160039594A % 3


@pytest.fixture
def annotators(tmp_path):
    """A SQuAD file with an outvoted answer, one where all agree, two where nobody knows, and one without an answer."""
    examples = [
        make_example("outvoted", CONTEXT, "who?", "Bruno", "met Bruno", "Carla"),
        make_example("agreed", CONTEXT, "whom?", "Carla", "Carla", "Carla left"),
        make_example("unclear", CONTEXT, "where?", "Rome", "Bruno", "Carla"),
        make_example("two", CONTEXT, "who again?", "Bruno", "Bruno"),
        make_example("none", "Oslo is big.", "why?"),
    ]
    file = tmp_path / "questions.json"
    document = squad_document(examples)
    document["data"][0]["paragraphs"][1]["qas"][0]["is_impossible"] = True
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def test_annotators(annotators):
    data = read_real(annotators)
    assert [example["id"] for example in data.examples] == ["outvoted", "agreed", "unclear", "two", "none"]
    assert data.is_error.tolist() == [True, False, False, False, False]
    assert data.is_measured.tolist() == [True, True, False, False, False]
    assert data.examples[0]["answers"] == {"text": ["Carla"], "answer_start": [24]}
    assert data.other_answers[0] == spans("Bruno", "met Bruno")
    given = [answers_of(example) for example in data.examples]
    assert [len(answers) for answers in given] == [1, 1, 1, 1, 0]
    assert given[2] == [spans("Rome", "Bruno", "Carla")[drawn("unclear", 3)]]
    assert (data.label_map, data.answers, data.kind) == ({"O": 0, "ANS": 1}, "first", "annotators")


def test_contexts_that_were_read_are_left_out_and_counted(annotators):
    data = read_real(annotators)
    unread = data.without_contexts({context_hash("OSLO  is big."), "another"})
    assert [example["id"] for example in unread.examples] == ["outvoted", "agreed", "unclear", "two"]
    assert (unread.num_read, len(unread.is_error), len(unread.is_measured), len(unread.other_answers)) == (1, 4, 4, 4)
    assert len(data.without_contexts(set()).examples) == 5


def test_examples_taken_keep_what_is_known_of_them(annotators):
    data = read_real(annotators).take([1, 0])
    assert [example["id"] for example in data.examples] == ["agreed", "outvoted"]
    assert (data.is_error.tolist(), data.is_measured.tolist()) == ([False, True], [True, True])
    assert data.other_answers[1] == spans("Bruno", "met Bruno")


ENTITIES = """-DOCSTART-\tO\tO

Bo\tB-PER\tB-PER
Lind\tI-PER\tI-PER
Oslo\tB-LOC\tB-ORG

He\tO\tO
left\tO\tO

-DOCSTART-\tO\tO

Rome\tB-LOC\tB-LOC
Bo\tB-LOC\tI-LOC
EU\tB-ORG\tI-PER

Bo\tB-PER\tB-PER
and\tO\tO
Lind\tB-PER\tI-PER
Anna\tB-PER\tB-PER
"""


@pytest.mark.parametrize("ending", ["", "\n", "\n\n"])
def test_entities(tmp_path, ending):
    file = tmp_path / "news.tsv"
    file.write_text(ENTITIES.rstrip("\n") + ending, encoding="utf-8")
    data = read_real(file)
    assert [example["context"] for example in data.examples] == [
        "Bo Lind Oslo",
        "He left",
        "Rome Bo EU",
        "Bo and Lind Anna",
    ]
    assert [example["id"] for example in data.examples] == ["0", "1", "2", "3"]
    assert [example["title"] for example in data.examples] == ["document 1", "document 1", "document 2", "document 2"]
    assert {example["question"] for example in data.examples} == {""}
    assert [example["answers"] for example in data.examples] == [
        {"text": ["Bo Lind", "Oslo"], "answer_start": [0, 8], "label": ["PER", "ORG"]},
        {"text": [], "answer_start": [], "label": []},
        # An inside label of another class begins a span.
        {"text": ["Rome Bo", "EU"], "answer_start": [0, 8], "label": ["LOC", "PER"]},
        # And so does one behind no entity, or another beginning.
        {"text": ["Bo", "Lind", "Anna"], "answer_start": [0, 7, 12], "label": ["PER", "PER", "PER"]},
    ]
    assert data.is_error.tolist() == [True, False, True, False]
    assert data.is_measured.all()
    assert (data.label_map, data.answers) == ({"O": 0, "LOC": 1, "ORG": 2, "PER": 3}, "all")


@pytest.mark.parametrize("line", ["Bo\tB-PER", "Bo\tB-PER\tX-PER", "Bo\tX-PER\tB-PER"])
def test_both_columns_must_have_tags(tmp_path, line):
    file = tmp_path / "news.tsv"
    file.write_text(f"a\tO\tO\nEU\tB-ORG\tB-ORG\nRome\tB-LOC\tB-LOC\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"(?s)news\.tsv.*expected (two or more columns|in line 4 the tag|a token)"):
        read_real(file)


def qed_row(example_id: int, explanation: str, *annotators: list[str]) -> dict:
    return {
        "example_id": example_id, "title_text": "Title", "url": "https://example.org", "question_text": "who left",
        "paragraph_text": CONTEXT, "sentence_starts": [0, 24],
        "original_nq_answers": [
            [{"start": CONTEXT.index(text), "end": CONTEXT.index(text) + len(text), "string": text} for text in texts]
            for texts in annotators
        ],
        "annotation": {"explanation_type": explanation},
    }  # fmt: skip


def test_qed(tmp_path):
    file = tmp_path / "qed-dev.jsonlines"
    rows = [
        qed_row(-7, "single_sentence", ["Carla"], ["Carla left"]),
        qed_row(8, "none", ["Bruno", "Anna"]),
        qed_row(9, "multi_sentence", ["Rome"]),
    ]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    data = read_real(file)
    assert [example["id"] for example in data.examples] == ["-7", "8", "9"]
    assert (data.is_error.tolist(), data.is_measured.tolist()) == ([False, True, False], [True, True, True])
    assert answers_of(data.examples[0]) == [spans("Carla", "Carla left")[drawn("-7", 2)]]
    assert answers_of(data.examples[1]) == spans("Bruno")
    assert data.examples[2]["question"] == "who left"
    # An answer that does not stand where it says.
    rows[2]["original_nq_answers"][0][0]["start"] = 3
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.warns(UserWarning, match="left out 1 invalid examples, the first: example 2"):
        assert [example["id"] for example in read_real(file).examples] == ["-7", "8"]
    file.write_text('{"example_id": 1}', encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"qed-dev.jsonlines, line 1: expected an example of QED .*original_nq_answers"
    ):
        read_real(file)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a file ending in .json .*, found '.csv'"):
        read_real(tmp_path / "data.csv")
