"""Given spans, places where one may be missing, and what may be right there, on texts small enough to read."""

import numpy as np
import pandas as pd
import pytest
from text_strategies import word_tokens

from span_label_errors.quality.sites import NO_SPAN, Known
from span_label_errors.quality.span_features import SPAN_COLUMN, SPAN_FEATURES
from span_label_errors.quality.span_sites import GivenSpan, SpanSites

CLASSES = ("LOC", "PER")
#       0    5   9     15   20 23
TEXT = "Anna met Bruno Berg in Rome"
NO_PREFERENCE = np.zeros(len(SPAN_FEATURES))


def row(context: str, given: dict[str, list[str]], title: str = "", **probs: list[float]) -> dict:
    char_start, char_end = word_tokens(context)
    made = {
        "context": context,
        "title": title,
        "question": "",
        "char_start": char_start,
        "char_end": char_end,
        "fold": 0,
    }
    made |= {"given_answer": [], "given_start": [], "given_label": []}
    for name, texts in given.items():
        for text in texts:
            made["given_answer"].append(text)
            made["given_start"].append(context.index(text))
            made["given_label"].append(name)
    nothing = [0.001] * len(char_start)
    return made | {f"pred_probs_{name}": np.array(probs.get(name, nothing), np.float32) for name in CLASSES}


def sites_of(*rows: dict, prior=NO_PREFERENCE) -> SpanSites:
    return SpanSites(pd.DataFrame(rows), prior)


def shown(site) -> list[str]:
    names = [site.classes[index] if index >= 0 else "" for index in site.class_index]
    texts = ["-" if tuple(span) == NO_SPAN else site.text[slice(*span)] for span in site.spans.tolist()]
    return [f"{text} {name}".strip() for text, name in zip(texts, names, strict=True)]


def test_given_spans_and_likely_places_come_in_the_order_of_the_text():
    likely = {"PER": [0.9, 0.01, 0.3, 0.4, 0.001, 0.001], "LOC": [0.001] * 5 + [0.03]}
    sites = sites_of(row(TEXT, {"PER": ["Anna"]}, **likely), row("It is late", {}))
    assert sites.given_answers == [
        GivenSpan(0, "PER", (0, 4), 0, (0, 4)),
        GivenSpan(0, "", NO_SPAN, 0, (9, 19)),  # neighbours are one place
        GivenSpan(0, "", NO_SPAN, 0, (23, 27)),
    ]


def test_a_text_that_is_mostly_labelled_elsewhere_may_be_missing_a_label():
    elsewhere = row("Rome is big", {"LOC": ["Rome"]})
    assert [given.place for given in sites_of(row(TEXT, {}), elsewhere).given_answers] == [(23, 27), (0, 4)]
    # Once labelled, once not.
    often = row("Rome is old", {})
    assert [given.place for given in sites_of(row(TEXT, {}), elsewhere, often).given_answers] == [(0, 4)]


def test_candidates_are_spans_at_a_place_as_each_class_and_nothing():
    given = {"PER": ["Bruno Berg"], "LOC": ["Rome"]}  # of at most two words
    first, second = (site for _, site in sites_of(row(TEXT, given)).of([0, 1]))
    # As long as spans of the data are, and beside other given spans.
    spans = ["met Bruno", "Bruno", "Bruno Berg", "Berg", "Berg in"]
    assert sorted(shown(first)) == sorted([f"{text} {name}" for text in spans for name in CLASSES] + ["-"])
    assert shown(first)[first.given_row] == "Bruno Berg PER"
    assert sorted(shown(second)) == sorted(
        [f"{text} {name}" for text in ("in Rome", "Rome") for name in CLASSES] + ["-"]
    )
    assert shown(second)[-1] == "-"


def test_features_are_those_of_each_class():
    per, loc = [0.9, 0.1, 0.8, 0.6, 0.1, 0.1], [0.1, 0.1, 0.3, 0.2, 0.1, 0.7]
    (site,) = (
        site for _, site in sites_of(row(TEXT, {"PER": ["Bruno Berg"]}, PER=per, LOC=loc)).of([1])
    )  # behind Anna
    of = dict(zip(shown(site), site.features, strict=True))

    def logit(prob: float) -> float:
        return float(np.log(prob / (1 - prob)))

    expected = {
        "lowest_logit": logit(0.6), "mean_logit": (logit(0.8) + logit(0.6)) / 2, "first_logit": logit(0.8),
        "last_logit": logit(0.6), "logit_before": logit(0.1), "logit_after": logit(0.1),
        "rival_logit": (logit(0.3) + logit(0.2)) / 2,
        "share_of_class": np.log(2 / 3),  # each class counts once more than it is given
        "log_num_words": np.log(2), "share_of_names": 1.0, "begins_lower": 0.0,
        "class_elsewhere": 0.0, "labelled_elsewhere": 0.0,
    }  # fmt: skip
    found = {name: of["Bruno Berg PER"][SPAN_COLUMN[name]] for name in expected}
    assert found == pytest.approx(expected, abs=1e-5)
    assert of["Bruno Berg LOC"][SPAN_COLUMN["rival_logit"]] == pytest.approx(expected["mean_logit"], abs=1e-5)
    nothing = of["-"]
    assert nothing[SPAN_COLUMN["nothing"]] == 1
    assert nothing[SPAN_COLUMN["highest_logit"]] == pytest.approx(logit(0.8), abs=1e-5)


def test_labels_elsewhere_are_shares_over_what_is_known_before():
    rows = [row(TEXT, {"LOC": ["Rome"]}, "a"), row("Rome is big", {"LOC": ["Rome"]}, "a")]
    rows += [row("Rome is old", {"PER": ["Rome"]}, "b"), row("old Rome", {}, "b")]
    (site,) = (site for _, site in sites_of(*rows).of([0]))
    of = {
        text: dict(zip(SPAN_FEATURES, values, strict=True))
        for text, values in zip(shown(site), site.features, strict=True)
    }
    share = {"LOC": 3 / 5, "PER": 2 / 5}  # of all spans, one more each
    for name in CLASSES:
        # Elsewhere once as each class, of three places; in the document once, as a place.
        assert of[f"Rome {name}"]["class_elsewhere"] == pytest.approx(np.log((1 + 2 * share[name]) / 4 / share[name]))
        in_document = (name == "LOC") + 2 * share[name]
        assert of[f"Rome {name}"]["class_in_document"] == pytest.approx(np.log(in_document / 3 / share[name]))
        assert of[f"Rome {name}"]["labelled_elsewhere"] == pytest.approx(np.log(2 * 2.5 / 4))
    assert of["-"]["unlabelled_elsewhere"] == pytest.approx(np.log(2 * 1.5 / 4))
    assert of["-"]["unlabelled_in_document"] == pytest.approx(np.log(2 * 0.5 / 2))


def test_likeliest_spans_are_kept():
    prior = NO_PREFERENCE.copy()
    prior[SPAN_COLUMN["log_num_words"]] = 1.0
    sites = SpanSites(pd.DataFrame([row(TEXT, {"PER": ["Bruno Berg"]})]), prior, 2)
    (site,) = (site for _, site in sites.of([0]))
    # The given one, and the first of the longest.
    assert set(shown(site)) == {"met Bruno LOC", "met Bruno PER", "Bruno Berg LOC", "Bruno Berg PER", "-"}


@pytest.mark.parametrize(
    ("known", "is_known", "right"),
    [
        (None, False, "Bruno Berg PER"),
        (Known({"PER": [(9, 19)]}), True, "Bruno Berg PER"),
        (Known({"LOC": [(9, 14)]}), True, "Bruno LOC"),
        (Known({"PER": [(15, 19)]}, [(9, 19)]), True, "Berg PER"),
        (Known({}), True, "-"),
        (Known({"LOC": [(23, 27)]}, [(23, 27)]), False, "Bruno Berg PER"),  # decided elsewhere
    ],
)
def test_what_reviewers_said_is_right_in_its_place(known, is_known, right):
    sites = sites_of(row(TEXT, {"PER": ["Bruno Berg"]}))
    sites.tell({} if known is None else {0: known})
    (site,) = (site for _, site in sites.of([0]))
    assert (site.is_known, shown(site)[site.right_row]) == (is_known, right)


def test_a_confirmed_span_that_is_no_candidate_otherwise_is_one_once():
    sites = sites_of(row(TEXT, {"PER": ["runo Berg"]}))
    sites.tell({0: Known({"PER": [(10, 19)]})})
    (site,) = (site for _, site in sites.of([0]))
    assert shown(site).count("runo Berg PER") == 1
    assert shown(site)[site.right_row] == "runo Berg PER"


def test_sites_of_many_examples_are_those_of_each_alone():
    """Places where texts begin and end, two marks without a word, and a span that another example lacks."""
    rows = [row(TEXT, {"PER": ["Anna"], "LOC": ["Rome"]}), row("§ §", {"LOC": ["§ §"]}), row("Rome", {"LOC": ["Rome"]})]
    rows.append(row(TEXT, {"PER": ["Bruno Berg", "Anna"]}))
    sites = sites_of(*rows)
    together = dict(sites.of(range(len(sites.given_answers))))
    assert len(together) == 7
    for number, site in together.items():
        ((_, alone),) = sites.of([number])
        assert shown(site) == shown(alone)
        np.testing.assert_array_equal(site.features, alone.features)
