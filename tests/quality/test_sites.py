"""The given answers of a data set and the candidates in their place, on tables small enough to read."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st
from text_strategies import span_of, word_tokens

from span_label_errors.quality.context import ContextText, TextSpans, WordRarity
from span_label_errors.quality.features import COLUMN, FEATURES, QuestionFeatures
from span_label_errors.quality.sites import NO_SPAN, GivenAnswer, Site, Sites

#       0    5   9     15 18    24
TEXT = "Anna met Bruno in Rome. Carla left"
OTHER = "Oslo is big"
LONG = " ".join(f"w{number}" for number in range(10, 70))
LONGER = LONG.replace("w", "wor")
PROBS = [0.9, 0.1, 0.8, 0.05, 0.3, 0.02, 0.7, 0.2]  # Anna met Bruno in Rome . Carla left
NO_PREFERENCE = np.zeros(len(FEATURES))


def row(context: str, question: str = "q", probs=None, fold: int = 0, **answers: str | list) -> dict:
    """An example; answers by class, each where it first occurs, or as a (char_start, char_end)."""
    made = {"context": context, "question": question, "given_answer": [], "given_start": [], "given_label": []}
    made["char_start"], made["char_end"] = word_tokens(context)
    made["fold"] = fold
    for name, texts in answers.items():
        for text in [texts] if isinstance(texts, str) else texts:
            start, end = span_of(context, text) if isinstance(text, str) else text
            made["given_answer"].append(context[start:end])
            made["given_start"].append(start)
            made["given_label"].append(name)
        made[f"pred_probs_{name}"] = np.array(probs or np.linspace(0.1, 0.9, len(made["char_start"])), dtype=np.float32)
    return made


class AllSites(Sites):
    def __iter__(self) -> Iterator[tuple[int, Site]]:
        return self.of(range(len(self.given_answers)))


def sites_of(*rows: dict, prior: np.ndarray = NO_PREFERENCE) -> Sites:
    return AllSites(pd.DataFrame(rows), prior)


def spans(site: Site) -> list[tuple[int, int]]:
    return list(map(tuple, site.spans.tolist()))


def texts(site: Site) -> list[str]:
    return ["[none]" if span == NO_SPAN else site.text[slice(*span)] for span in spans(site)]


# Given answers


def test_every_answer_and_every_class_without_one_is_a_given_answer():
    sites = sites_of(
        row(TEXT, fold=2, PER=["Anna", "Bruno"], LOC="Rome"), row(OTHER, fold=1, PER=[], LOC=[]),
        row(TEXT, fold=0, LOC=["Rome", "Rome"], PER=[]),
    )  # fmt: skip
    assert sites.given_answers == [
        GivenAnswer(0, "PER", (0, 4), 0), GivenAnswer(0, "PER", (9, 14), 0), GivenAnswer(0, "LOC", (18, 22), 0),
        GivenAnswer(1, "PER", NO_SPAN, 1), GivenAnswer(1, "LOC", NO_SPAN, 1),
        GivenAnswer(2, "PER", NO_SPAN, 0), GivenAnswer(2, "LOC", (18, 22), 0),
    ]  # fmt: skip
    assert sites.fold.tolist() == [2, 2, 2, 1, 1, 0, 0]


def test_spellings_of_a_paragraph_are_one_paragraph():
    variants = (TEXT, OTHER, TEXT.upper(), f" {TEXT} ", OTHER.replace(" ", "\n"))
    sites = sites_of(*(row(text, ANS=[]) for text in variants))
    assert [given.paragraph for given in sites.given_answers] == [0, 1, 0, 0, 1]


def test_sites_of_some_rows_come_context_by_context():
    sites = sites_of(row(TEXT, ANS="Anna"), row(OTHER, ANS="Oslo"), row(TEXT, ANS="Rome"), row(f"{TEXT} ", ANS="Carla"))
    assert [number for number, _ in sites] == [0, 2, 1, 3]
    assert [(number, site.given) for number, site in sites.of(np.array([2, 1]))] == [
        (2, sites.given_answers[2]),
        (1, sites.given_answers[1]),
    ]
    assert list(sites.of(np.array([], dtype=int))) == []


# Candidates


def test_candidates_are_the_spans_within_sentences_that_are_as_long_as_answers():
    # Of ten answers, 98 % have no more than 1.82 words: as many whole words are one.
    rows = [*[row(OTHER, ANS="Oslo")] * 9, row(TEXT, ANS="Anna met")]
    site = dict(sites_of(*rows))[9]
    assert texts(site) == ["Anna", "met", "Bruno", "in", "Rome", "Carla", "left", "Anna met"]
    assert site.num_words.tolist() == [1, 1, 1, 1, 1, 1, 1, 2]
    assert (site.given_row, site.right_row, site.is_known) == (7, 7, False)
    site = dict(sites_of(row(TEXT, ANS="Anna met"), row(OTHER, ANS="is big")))[1]
    assert texts(site) == ["Oslo", "Oslo is", "is", "is big", "big"]
    assert site.given_row == 3


def test_no_answer_is_a_candidate_if_the_data_have_it():
    rows = [row(TEXT, ANS="Anna"), row(OTHER, ANS=[])]
    with_answer, without = dict(sites_of(*rows)).values()
    assert texts(with_answer)[-1] == texts(without)[without.given_row] == "[none]"
    assert with_answer.features[-1, COLUMN["no_answer"]] == 1
    assert with_answer.num_words[-1] == 0
    assert NO_SPAN not in spans(dict(sites_of(rows[0]))[0])


@pytest.mark.parametrize("answer", ["Rome. Carla", "Rome.", "Carla left"])
def test_given_answer_is_always_a_candidate(answer):
    rows = [*[row(OTHER, ANS="Oslo")] * 99, row(TEXT, ANS=answer)]
    site = dict(sites_of(*rows))[99]
    assert texts(site).count(answer) == 1
    assert texts(site)[site.given_row] == answer


def test_features_of_candidates_are_those_of_the_question():
    rows = [row(TEXT, "Who met Bruno?", PROBS, ANS="Anna met"), row(TEXT, "Where?", PROBS[::-1], ANS="in Rome.")]
    text = ContextText(TEXT, WordRarity([TEXT]))
    answers = [given.span for given in sites_of(*rows).given_answers]
    for number, site in sites_of(*rows):
        probs = np.array(rows[number]["pred_probs_ANS"], dtype=float)
        question = QuestionFeatures(rows[number]["question"], text, *word_tokens(TEXT), probs)
        expected = question.of(TextSpans(text, *site.spans.T), [answers[1 - number]])
        assert site.features == pytest.approx(expected)


def test_likeliest_candidates_are_kept_and_the_likeliest_beside_the_answer():
    rng = np.random.default_rng(0)
    prior, probs = rng.normal(size=len(FEATURES)), rng.uniform(0.2, 0.8, size=60).tolist()
    # What shares a token with the answer is among the least likely.
    prior[COLUMN["lowest_logit"]], probs[20:23] = 20.0, [0.01] * 3
    rows = [
        row(LONG, "w20 w50", probs, ANS="w30 w31 w32"),
        row(LONG, probs=probs, ANS=LONG[:119]),  # of 3 and 30 words: up to 29 are candidates
        row(OTHER, ANS=[]),
    ]
    site = dict(sites_of(*rows, prior=prior))[0]
    text = ContextText(LONG, WordRarity([LONG, OTHER]))
    every = text.spans_within_sentences(29)
    question = QuestionFeatures("w20 w50", text, *word_tokens(LONG), np.array(probs, dtype=np.float32))
    utility = question.of(every, [(0, 119)]) @ prior
    pairs = list(zip(every.char_start.tolist(), every.char_end.tolist(), strict=True))
    ranked = [pairs[place] for place in np.argsort(-utility)]
    start, end = site.given.span
    beside = [span for span in ranked if span[0] < end and start < span[1]]
    assert len(pairs) > 1000
    assert len(beside) > 200
    assert not {*ranked[:400]} & {*beside}
    kept = {*ranked[:399], *beside[:100], (start, end), NO_SPAN}
    assert kept <= set(spans(site)) <= kept | {ranked[399]}  # "no answer" may be among the 400
    assert spans(site)[site.given_row] == (start, end)


# Cut words


def cut_sites(num_cut: int) -> Sites:
    """Ten answers, of which the last cut a word."""
    return sites_of(*[row(TEXT, ANS="Anna")] * (10 - num_cut), *[row(TEXT, ANS=[(1, 4)])] * num_cut)


def test_few_answers_that_cut_a_word_are_slips():
    site = dict(cut_sites(2))[9]
    assert site.cuts_word
    assert texts(site) == ["Anna", "met", "Bruno", "in", "Rome", "Carla", "left", "nna"]
    assert not dict(cut_sites(2))[0].cuts_word


def test_many_answers_that_cut_a_word_are_how_the_data_are():
    site = dict(cut_sites(3))[9]
    assert not site.cuts_word
    assert not site.features[:, COLUMN["cuts_word"]].any()


def test_what_many_answers_leave_of_a_word_outside_candidates_leave_out_as_well():
    names = ("Annas", "Brunos", "Romes")
    rows = [row(f"met {name} here by {name}", ANS=name.removesuffix("s")) for name in names]
    # Three of sixteen are few, so that the fourth is a slip.
    site = dict(sites_of(*[row(OTHER, ANS="Oslo")] * 13, *rows, row(TEXT, ANS=[(1, 4)])))[14]
    assert texts(site) == ["met", "Brunos", "Bruno", "here", "by", "Brunos", "Bruno"]
    assert not site.cuts_word
    assert not site.features[:, COLUMN["cuts_word"]].any()
    assert dict(sites_of(*[row(OTHER, ANS="Oslo")] * 13, *rows, row(TEXT, ANS=[(1, 4)])))[16].cuts_word


@pytest.mark.parametrize(
    ("sentence", "answer", "longest"),
    [
        ("漢" * 120, "漢" * 120, 120),  # a word of one character
        (f"{LONGER} {LONGER}", f"{LONGER} wor10 wor11", 60),
    ],
)
def test_candidates_are_as_long_as_answers_whatever_a_word_is(sentence, answer, longest):
    prior = NO_PREFERENCE.copy()
    prior[COLUMN["mark_before"]] = 1.0
    rows = [row(f"{sentence}！ {sentence}", ANS=answer), row(OTHER, ANS="Oslo")]
    site = dict(sites_of(*[rows[0]] * 9, rows[1], prior=prior))[0]
    assert sorted(site.num_words[site.spans[:, 0] == len(sentence) + 2])[-1] == longest


def test_chance_tells_long_answers_apart():
    rows = [row(f"{'漢' * length}。東", ANS="漢" * length) for length in (100, 120, 120)]
    # Three answers, and a twentieth of one of each length from 0 to 120 words; one span is as long.
    assert dict(sites_of(*rows))[0].chance == pytest.approx(1.05 / (3 + 121 / 20))


@pytest.mark.parametrize(
    ("context", "cut", "whole"),
    [
        (TEXT, "nna met Bruno in Rom", "Anna met Bruno in Rome"),
        (TEXT, "ome. Carla lef", "Rome. Carla left"),
        ("He paid 1,000 there", "paid 1,", "paid 1,000"),
        ("ab\U0001e130 c", "ab", "ab\U0001e130"),  # a mark that the words do not hold,
    ],
)
def test_a_long_answer_that_cuts_a_word_is_a_part_of_a_candidate(context, cut, whole):
    """It is longer than all other candidates, so that none of them contains it."""
    site = dict(sites_of(*[row(OTHER, ANS="Oslo")] * 99, row(context, ANS=cut)))[99]
    assert site.cuts_word
    assert whole in texts(site)
    assert site.contains_given[texts(site).index(whole)]


# Chances


def test_chance_is_the_share_of_the_length_over_the_candidates_of_that_length():
    rows = [row(TEXT, ANS="Anna"), row(TEXT, ANS="Rome"), row(OTHER, ANS="Oslo"), row(TEXT, ANS="Anna met")]
    found = dict(sites_of(*rows, row(OTHER, ANS=[])))
    # Four answers, and a twentieth of one of each length from 0 to 60 words.
    total = 4 + 61 / 20
    expected = [3.05 / total / 7, 3.05 / total / 7, 3.05 / total / 3, 1.05 / total, 0.05 / total]
    assert [found[number].chance for number in range(5)] == pytest.approx(expected)


def test_chance_of_other_answer_is_that_of_the_different_answers_of_other_questions():
    rows = [
        row(TEXT, ANS="Anna"), row(TEXT, ANS="Rome"), row(TEXT, ANS="Rome"), row(TEXT, ANS=[]), row(OTHER, ANS="Oslo"),
        row(f"{TEXT} ", ANS="Anna"),  # other offsets are possible: a context of its own
    ]  # fmt: skip
    found = dict(sites_of(*rows))
    # For a question about Rome, others were answered "Anna" and "Rome".
    assert [found[number].chance_of_other_answer for number in range(6)] == [0, 1 / 2, 1 / 2, 0, 0, 0]
    anna, rome = (texts(found[0]).index(name) for name in ("Anna", "Rome"))
    overlap = COLUMN["overlap_with_other_answer"]
    assert found[0].features[[anna, rome], overlap].tolist() == [0, 1]
    assert found[1].features[[anna, rome], overlap].tolist() == [1, 1]
    assert not found[4].features[:, overlap].any()


def test_answers_of_other_classes_and_of_the_example_itself_are_no_other_answers():
    rows = [row(TEXT, PER=["Anna", "Bruno"], LOC=[]), row(TEXT, PER=[], LOC="Bruno")]
    for _, site in sites_of(*rows):
        if site.given.class_name == "PER" and site.given.example_index == 0:
            assert not site.features[:, COLUMN["overlap_with_other_answer"]].any()
            assert site.chance_of_other_answer == 0


# Other answers of the example


def masked(*tokens: int) -> list[float]:
    return [0.02 if token in tokens else prob for token, prob in enumerate(PROBS)]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["Anna", "Bruno in Rome", "Carla"], [masked(2, 3, 4, 6), masked(0, 6), masked(0, 2, 3, 4)]),
        (["Anna met", "met Bruno"], [masked(2), masked(0)]),  # tokens of the answer itself are kept
        ([(9, 11), (12, 16)], [masked(3), PROBS]),  # both cut one token
    ],
)
def test_other_answers_of_an_example_do_not_compete(answers, expected):
    found = dict(sites_of(row(TEXT, probs=PROBS, ANS=answers), *[row(OTHER, ANS="Oslo")] * 30))
    for number, probs in enumerate(expected):
        site = found[number]
        words = [texts(site).index(word) for word in ("Anna", "met", "Bruno", "in", "Rome", "Carla", "left")]
        logits = [math.log(prob / (1 - prob)) for token, prob in enumerate(probs) if token != 5]
        assert site.features[words, COLUMN["first_logit"]] == pytest.approx(logits, abs=1e-5)


def test_an_answer_given_twice_is_one():
    assert len(sites_of(row(TEXT, ANS=["Anna", "Anna"])).given_answers) == 1


# Right answers


@pytest.mark.parametrize("right", [span_of(TEXT, "Bruno"), span_of(TEXT, "Rome. Carla"), NO_SPAN])
def test_what_a_reviewer_said_is_right_is_a_candidate(right):
    sites = sites_of(row(TEXT, ANS="Anna"), row(TEXT, ANS="Rome"))
    sites.right_answers = {0: right}
    known, unknown = dict(sites).values()
    assert known.is_known
    assert spans(known)[known.right_row] == right
    assert spans(known)[known.given_row] == span_of(TEXT, "Anna")
    assert spans(known).count(right) == 1
    assert not unknown.is_known
    assert unknown.right_row == unknown.given_row


# Mass


@st.composite
def weighted_spans(draw) -> list[tuple[tuple[int, int], float]]:
    borders = st.tuples(st.integers(0, 12), st.integers(1, 8)).map(lambda pair: (pair[0], sum(pair)))
    candidates = draw(st.lists(borders | st.just(NO_SPAN), min_size=1, max_size=12, unique=True))
    return [(span, draw(st.floats(0, 1))) for span in candidates]


@cases(150)
@given(weighted_spans(), st.data())
def test_overlaps_agree_with_a_slow_double_loop(candidates, data):
    ranges, mass = zip(*candidates, strict=True)
    given_row = data.draw(st.integers(0, len(ranges) - 1))
    site = Site(
        given=GivenAnswer(0, "ANS", ranges[given_row], 0), text="x" * 20, spans=np.array(ranges),
        features=np.zeros((len(ranges), 1)), num_words=np.ones(len(ranges)), given_row=given_row, right_row=given_row,
        is_known=False, cuts_word=False, chance=0.1, chance_of_other_answer=0.0,
    )  # fmt: skip
    characters = [set(range(*span)) for span in ranges]
    expected = [
        sum(weight for other, weight in zip(characters, mass, strict=True) if own & other) for own in characters
    ]
    assert site.overlapping_mass(np.array(mass)) == pytest.approx(expected)
    own = characters[given_row]
    assert site.overlap_given.tolist() == [bool(own & other) for other in characters]
    assert site.contains_given.tolist() == [own < other for other in characters]
