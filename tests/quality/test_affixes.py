"""What answers leave of their words outside, by habit or by a slip."""

import pytest

from span_label_errors.quality.affixes import Affixes


def answers(*marked: str) -> list[tuple[str, tuple[int, int]]]:
    """Contexts with their answer in brackets."""
    return [(text.replace("[", "").replace("]", ""), (text.index("["), text.index("]") - 1)) for text in marked]


def is_slip(affixes: Affixes, marked: str) -> bool:
    return affixes.is_slip(*answers(marked)[0])


OTHERS = [f"this is [w{number}]" for number in range(40)]
CLITICS = ["ba[Oslo] Oslo baLima Lima baBonn", "ba[Lima] x", "wa[Cairo] Cairo waLima waOslo Rome"]
SUFFIX = ["at [Romeda] x", "at [Oslo]da", "at [Lima]da", "at [Cairo]da"]


@pytest.mark.parametrize(
    ("marked", "at_start", "at_end"),
    [
        (OTHERS, set(), set()),
        ([], set(), set()),
        ([*OTHERS, *SUFFIX], set(), {"da"}),  # three leave it out, and one holds it
        ([*OTHERS, *SUFFIX[:3]], set(), set()),  # two are no habit
        ([*OTHERS, *SUFFIX[:3], "in [Oslo]da"], set(), set()),  # nor is the same answer twice
        ([*OTHERS, *SUFFIX, "the [Bonda]", "the [Anda]"], set(), set()),  # as many hold it
        ([*OTHERS, "al[Rome] x", "al[Oslo] x", "al[Lima] x"], {"al"}, set()),
        # As many hold it, but what they would be without it is no word; what the others leave is.
        ([*OTHERS, *SUFFIX, "the [Bonda]", "the [Anda]", "Oslo Lima Cairo [x]"], set(), {"da"}),
        ([*OTHERS, *SUFFIX, "the [Bonda]", "Bon Rome Oslo Lima Cairo [x]", "the [Anda] An"], set(), set()),
        # Rarer ones, of which most cuts are, and which other words begin with.
        ([*OTHERS, *CLITICS, "baRome wOslo bonus waRome Bonn [x]"], {"ba", "wa"}, set()),
        # Held as often.
        ([*OTHERS, *CLITICS, "baRome waRome Bonn [x]", "[baOslo]", "[baLima]", "[baRome]"], set(), set()),
        (
            [*OTHERS, *SUFFIX, "[Rome]'s", "[Paris]'s", "Lima's Paris Rome Lima [x]"],
            set(),
            {"da"},
        ),  # what is divided is no word
        ([*OTHERS, *CLITICS[:2], "Bonn [x]"], set(), set()),  # two are no habit
        ([*OTHERS, *CLITICS], set(), set()),  # two words of "ba"
        (
            [*OTHERS, *CLITICS, "baRome wOslo bonus waRome Bonn [x]", "R[om]e", "O[s]lo", "B[o]nn", "Li[m]a"],
            set(),
            set(),
        ),
        ([*OTHERS, "in [19]00", "in [18]00", "in [17]00"], set(), set()),  # a part of a number is no affix
        ([*OTHERS, "[Rome]'s", "[Oslo]'s", "[Lima]'s"], set(), {"'s"}),  # a word is what candidates are made of
        ([*SUFFIX[1:], *[f"this is [w{number}]" for number in range(1000)]], set(), set()),  # fewer than one in 200
    ],
)
def test_affixes(marked, at_start, at_end):
    affixes = Affixes(answers(*marked))
    assert (affixes.at_start, affixes.at_end, affixes.cut_words) == (at_start, at_end, False)


def test_slips_are_cuts_that_leave_out_no_affix():
    affixes = Affixes(answers(*OTHERS, *SUFFIX, "al[Rome] x", "al[Oslo] x", "al[Lima] x"))
    assert not is_slip(affixes, "at [Vienna]da")
    assert not is_slip(affixes, "at al[Vienna]da")
    assert not is_slip(affixes, "at [Vienna] da")
    assert is_slip(affixes, "at al[Vienn]ada")
    assert is_slip(affixes, "at [Vien]nada")
    assert is_slip(affixes, "at da[Vienna]")  # at the other end
    assert is_slip(affixes, "about [1,0]00")


@pytest.mark.parametrize(("num_cut", "is_usual"), [(2, False), (3, True)])
def test_where_many_answers_cut_words_no_cut_is_a_slip(num_cut, is_usual):
    cut = ["[Rom]e", "O[slo]", "[Li]ma"][:num_cut]
    # Three of fourteen are more than a fifth; two of nine as well, but they may be two slips.
    affixes = Affixes(answers(*OTHERS[: 11 if is_usual else 7], *cut))
    assert affixes.cut_words == is_usual
    assert is_slip(affixes, "[Vienn]a") == (not is_usual)
    # One answer is enough there to learn from.
    assert affixes.at_end == ({"e", "ma"} if is_usual else set())


def test_slips_beside_a_habit_are_not_counted_as_one():
    """Of 16 answers, three are less than a fifth; all six would be more."""
    habit = ["at [Oslo]da", "at [Lima]da", "at [Cairo]da"]
    affixes = Affixes(answers(*OTHERS[:10], *habit, "[Rom]e", "B[onn]", "[Tri]er"))
    assert not affixes.cut_words
    assert is_slip(affixes, "[Rom]e")


def test_places_within_a_word():
    affixes = Affixes(answers(*OTHERS, *SUFFIX, "al[Rome] x", "al[Oslo] x", "al[Lima] x"))
    assert affixes.starts("alVienna") == [0, 2]
    assert affixes.starts("Vienna") == affixes.starts("al") == [0]
    assert affixes.ends("Viennada") == [8, 6]
    assert affixes.ends("Vienna") == [6]
    # Not between a letter and its mark.
    assert affixes.starts("al\u0301Vienna") == [0]
