"""Wrong answers of known kinds."""

from collections import Counter

from text_strategies import span_of, touched_words

from span_label_errors.quality.mistakes import cut_inside_word, cut_short, moved, swapped, too_long, wrong_occurrence
from span_label_errors.spans.text import word_spans

#       0    5   9     15  19   24 27   32
TEXT = "Anna met Bruno and Anna in Rome."


def texts_of(context: str, spans: list[tuple[int, int]]) -> list[str]:
    return [context[slice(*span)] for span in spans]


# Each kind on a small context


def test_moved_to_as_many_words_elsewhere():
    # Not the other "Anna": it repeats the text.
    assert texts_of(TEXT, moved(TEXT, (0, 4))) == ["met", "Bruno", "and", "in", "Rome"]
    assert texts_of(TEXT, moved(TEXT, span_of(TEXT, "met Bruno"))) == ["and Anna", "Anna in", "in Rome"]
    assert moved(TEXT, span_of(TEXT, "Rome"))[0] == (0, 4)


def test_swapped_with_answers_that_are_elsewhere_and_read_otherwise():
    rome, bruno, anna = span_of(TEXT, "Rome"), span_of(TEXT, "Bruno"), span_of(TEXT, "Anna", 1)
    others = [rome, bruno, rome, anna, (0, 4), (0, 14)]
    assert swapped(TEXT, (0, 4), others) == [rome, bruno]  # once each; not the other "Anna", not what overlaps
    assert swapped(TEXT, (0, 4)) == []


def test_cut_short_at_either_end_by_whole_words():
    answer = span_of(TEXT, "Bruno and Anna")
    assert texts_of(TEXT, cut_short(TEXT, answer)) == ["Bruno", "Bruno and", "and Anna", "Anna"]
    assert cut_short(TEXT, answer)[-1] == span_of(TEXT, "Anna", 1)
    assert cut_short(TEXT, (0, 4)) == []
    assert cut_short("so — it goes", (3, 4)) == []


def test_too_long_by_two_words_or_more():
    assert texts_of(TEXT, too_long(TEXT, span_of(TEXT, "Anna", 1))) == [
        "Anna in Rome",
        "and Anna in", "and Anna in Rome",
        "Bruno and Anna", "Bruno and Anna in", "Bruno and Anna in Rome",
        "met Bruno and Anna", "met Bruno and Anna in", "met Bruno and Anna in Rome",
        "Anna met Bruno and Anna", "Anna met Bruno and Anna in", "Anna met Bruno and Anna in Rome",
    ]  # fmt: skip
    assert too_long("in Rome", (3, 7)) == []


def test_too_long_by_eight_words_at_most():
    context = " ".join(f"w{number}" for number in range(30))
    spans = too_long(context, span_of(context, "w15"))
    extra = [len(touched_words(word_spans(context), span)) - 1 for span in spans]
    # n more words can stand before and behind in n + 1 ways.
    assert Counter(extra) == {number: number + 1 for number in range(2, 9)}
    assert len(set(spans)) == len(spans)


def test_wrong_occurrence_as_a_whole_word_in_any_case():
    assert wrong_occurrence(TEXT, (0, 4)) == [(19, 23)]
    assert wrong_occurrence(TEXT, (19, 23)) == [(0, 4)]
    assert wrong_occurrence("Water, waters, underwater, WATER", (0, 5)) == [(27, 32)]
    assert wrong_occurrence("C# is not c#, or C#s", (0, 2)) == [(10, 12)]
    assert wrong_occurrence("a.c or abc, a.c", (0, 3)) == [(12, 15)]  # no pattern: "." is a full stop
    assert wrong_occurrence(TEXT, span_of(TEXT, "Rome")) == []
    assert wrong_occurrence("2 of 1,2 or 2.5", (0, 1)) == []  # no part of a number


def test_cut_inside_word_leaves_a_part_that_no_word_ends():
    context = "in 1,000 BC"
    #          0123456789
    assert texts_of(context, cut_inside_word(context, (3, 8))) == [
        "1", "1,", "1,0", "1,00", ",000", "000", "00", "0",
    ]  # fmt: skip
    answer = span_of(TEXT, "in Rome")
    # Not "in", "in ", " Rome" and "Rome": they end where a word does.
    assert texts_of(TEXT, cut_inside_word(TEXT, answer)) == ["i", "in R", "in Ro", "in Rom", "n Rome", "ome", "me", "e"]
    assert cut_inside_word(TEXT, answer)[0] == (answer[0], answer[0] + 1)


def test_cut_inside_word_needs_a_word_of_two_characters():
    assert cut_inside_word("a b c", (0, 3)) == []
    assert cut_inside_word("東京へ", (0, 2)) == []
    assert cut_inside_word("a", (0, 1)) == []
