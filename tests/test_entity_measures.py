"""How entities are measured, worked out by hand; all texts here are made up."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from label_errors import measures, real, runs
from label_errors.documents import parts_of_documents, sentence_predictions
from label_errors.entities import (
    correction_of,
    entity_figures,
    measured_spans,
    missed_spans,
    predicted_spans,
    with_truth,
)
from label_errors.real_data import read_real, without_contexts_of
from label_errors.scores import LOWEST_TOKEN, LOWEST_WORD, MEAN, OURS, SOFTMIN_WORD, TUNED_SOFTMIN, Words, words_of

from span_label_errors.model.predictions import SpanPrediction

PER, LOC, ORG = "PER", "LOC", "ORG"
# Two sentences: of the first, a class, a border, a spurious span and a right one; of the second, two missed spans.
GIVEN = [[(0, 3, PER), (5, 9, LOC), (10, 12, ORG), (20, 24, PER)], []]
CORRECTED = [[(0, 3, ORG), (5, 12, LOC), (20, 24, PER)], [(0, 4, LOC), (8, 11, PER)]]
# Of the second sentence: a place that is about both missed spans, a part of the second, and one about nothing. Of the
# first: a place where a corrected span goes on, which was not missed.
ROWS = [
    # index, span, given, label_quality, suggestion
    (0, (0, 3), PER, 0.1, ("abc", 0, ORG)),
    (0, (20, 24), PER, 0.2, ("", None, "")),
    (0, (5, 9), LOC, 0.3, ("abcdefg", 5, PER)),
    (1, (20, 24), None, 0.35, ("abcd", 20, PER)),
    (1, (3, 9), None, 0.4, ("abcd", 0, LOC)),
    (0, (10, 12), ORG, 0.5, ("[no answer]", None, "")),
    (1, (10, 11), None, 0.6, ("", None, "")),
    (0, (9, 10), None, 0.7, ("", None, "")),
]
OTHER = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.95])


def issues(*rows) -> pd.DataFrame:
    """Return rows as `find_label_errors` has them, and one about an example of which nothing was judged."""
    found = [
        {
            "index": index, "place_start": start, "place_end": end, "given_answer": "x" if label else "",
            "given_label": label or "", "label_quality": quality, "suggested_answer": text, "suggested_start": at,
            "suggested_label": suggested,
        }
        for index, (start, end), label, quality, (text, at, suggested) in rows
    ]  # fmt: skip
    nothing = {**found[0], "index": 2, "place_start": 0, "place_end": 0, "given_answer": "", "given_label": ""}
    return pd.DataFrame([*found, nothing]).astype({"suggested_start": "Int64"})


@pytest.fixture
def judged():
    return with_truth(issues(*ROWS), GIVEN, CORRECTED)


def test_correction_of_a_wrong_span():
    corrected = [(0, 3, ORG), (5, 12, LOC)]
    assert correction_of((0, 3, PER), corrected) == "other class"
    assert correction_of((5, 9, LOC), corrected) == "other border"
    assert correction_of((5, 9, PER), corrected) == "other class and border"
    assert correction_of((3, 5, PER), corrected) == "removed"
    # A span that overlaps a given one was not missed, whatever its class.
    assert missed_spans([(0, 2, PER)], [(1, 3, LOC), (2, 4, PER)]) == [(2, 4, PER)]


def test_rows_with_what_is_right_there(judged):
    assert judged["is_given"].tolist() == [True, True, True, False, False, True, False, False]
    assert judged["is_error"].tolist() == [True, False, True, False, True, True, True, False]
    assert judged["right"].tolist() == [
        [(0, 3, ORG)], [(20, 24, PER)], [(5, 12, LOC)], [], CORRECTED[1], [(5, 12, LOC)], [(8, 11, PER)], [],
    ]  # fmt: skip
    assert judged["suggested"].tolist() == [
        (0, 3, ORG), None, (5, 12, PER), (20, 24, PER), (0, 4, LOC), (0, 0, "[no answer]"), None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("rows", [ROWS[1:], [*ROWS, ROWS[0]]], ids=["one missing", "one twice"])
def test_rows_must_be_about_the_given_spans(rows):
    with pytest.raises(ValueError, match="expected one row for each of 4 given spans, found"):
        with_truth(issues(*rows), GIVEN, CORRECTED)


def test_given_and_missed_spans_are_measured_apart(judged):
    found = measured_spans(judged, GIVEN, CORRECTED, {"other": OTHER}, np.arange(3))
    given, missed = found["given"], found["missed"]
    assert (given["rows"], given["errors"], missed["rows"], missed["errors"], missed["spans"]) == (4, 3, 4, 2, 2)
    # Worst first, the errors are the first, third and fourth; by the other score, the first, second and fourth.
    assert given["scores"][OURS]["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert given["scores"]["other"]["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert given["scores"][OURS]["auroc"] == pytest.approx(1 / 3)
    # Of the places, the second and third; by the other score, the first two.
    assert missed["scores"][OURS]["average_precision"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert missed["scores"]["other"]["average_precision"] == 1
    assert given["sum_of_doubt"] == pytest.approx(0.9 + 0.8 + 0.7 + 0.5)
    assert missed["sum_of_doubt_by_errors"] == pytest.approx((0.65 + 0.6 + 0.4 + 0.3) / 2)


def test_missed_spans_among_the_worst_places(judged, monkeypatch):
    monkeypatch.setattr("label_errors.entities.NUMBERS_OF_ROWS", (1, 2, 3, 5))
    found = measured_spans(judged, GIVEN, CORRECTED, {"other": OTHER}, np.arange(3))["missed"]["recall"]
    # The place that ranks second is about both, and there is no fifth; the other score finds one of them first.
    assert found[OURS] == {"1": 0, "2": 2, "3": 2, "5": None, "all": 2}
    assert found["other"] == {"1": 1, "2": 2, "3": 2, "5": None, "all": 2}


def test_suggestions_beside_the_corrections(judged):
    found = measured_spans(judged, GIVEN, CORRECTED, {}, np.arange(3))["suggestions"]
    names = ["errors", "suggested", "exact", "class", "borders"]
    assert found["other class"] == dict(zip(names, [1, 1, 1, 1, 1], strict=True))
    # Its borders, but another class.
    assert found["other border"] == dict(zip(names, [1, 1, 0, 0, 1], strict=True))
    # Corrected to a longer span of another class, but a removal was suggested.
    assert found["other class and border"] == dict(zip(names, [1, 1, 0, 0, 0], strict=True))
    assert found["removed"] == dict(zip(names, [0, 0, 0, 0, 0], strict=True))
    # Both missed spans are about one place: what is suggested there is the first of them.
    assert found["added"] == dict(zip(names, [2, 2, 1, 1, 1], strict=True))
    assert found["none needed"] == {"rows": 3, "suggested": 1}


def test_removal_is_right_where_nothing_overlaps():
    rows = with_truth(issues((0, (0, 3), PER, 0.1, ("[no answer]", None, ""))), [[(0, 3, PER)]], [[(3, 5, PER)]])
    found = measured_spans(rows, [[(0, 3, PER)]], [[(3, 5, PER)]], {}, np.arange(1))
    assert found["suggestions"]["removed"]["exact"] == 1
    assert found["given"]["scores"] is None  # nothing is right: no order is better than another
    assert (found["missed"]["rows"], found["missed"]["spans"]) == (0, 1)
    assert found["missed"]["expected_calibration_error"] is None
    assert found["missed"]["recall"][OURS]["all"] == 0


@pytest.fixture
def table():
    """Two sentences: of the first, the second word has two pieces."""
    return pd.DataFrame(
        {
            "context": ["Bo Lindo.", "Rome"],
            "char_start": [np.array([0, 3, 6, 8]), np.array([0])],
            "char_end": [np.array([2, 6, 8, 9]), np.array([4])],
            "labels_PER": [np.array([1, 0, 0, 0]), np.array([0])],
            "pred_probs_PER": [np.array([0.8, 0.4, 0.6, 0.2]), np.array([0.5])],
            "labels_LOC": [np.array([0, 0, 0, 0]), np.array([1])],
            "pred_probs_LOC": [np.array([0.4, 0.2, 0.0, 0.0]), np.array([1.0])],
        }
    )


def test_words_have_one_class_each(table):
    words = words_of(table)
    # The full stop is not apart from its word in this file.
    assert [spans.tolist() for spans in words.spans] == [[[0, 2], [3, 9]], [[0, 4]]]
    assert [labels.tolist() for labels in words.labels] == [[1, 0], [2]]
    # O: 0.2 of 0.2 + 0.8 + 0.4. The pieces: 0.6, 0.4, 0.2 of 1.2; 0.4, 0.6, 0; 0.8, 0.2, 0. Rome: 0, 0.5 and 1 of 1.5.
    first = [[0.2 / 1.4, 0.8 / 1.4, 0.4 / 1.4], np.mean([[0.5, 1 / 3, 1 / 6], [0.4, 0.6, 0], [0.8, 0.2, 0]], axis=0)]
    np.testing.assert_allclose(words.pred_probs[0], first)
    np.testing.assert_allclose(words.pred_probs[1], [[0, 1 / 3, 2 / 3]])


def test_scores_of_words(table):
    words = words_of(table)
    of_words = np.array([0.8 / 1.4, (0.5 + 0.4 + 0.8) / 3])
    scores = words.sentence_scores(np.array([False, True]))
    np.testing.assert_allclose(scores[LOWEST_WORD], [of_words.min(), 2 / 3])
    weights = np.exp((1 - of_words) / 0.05)
    np.testing.assert_allclose(scores[SOFTMIN_WORD], [of_words @ weights / weights.sum(), 2 / 3])
    np.testing.assert_allclose(words.lowest_within([0, 0, 1], [(0, 2), (1, 4), (0, 4)]), [*of_words, 2 / 3])


def test_predicted_spans_beside_the_right_ones(table):
    # Of "Lindo", the pieces have a mean of 0.5, which is not above a half; of Rome, LOC is likelier.
    assert predicted_spans(table) == [[(0, 2, PER)], [(0, 4, LOC)]]


def test_entity_figures():
    predicted = [[(0, 2, PER), (5, 9, LOC)], [(0, 2, PER)], []]
    right = [[(0, 2, PER), (5, 9, PER)], [(0, 3, PER)], [(0, 2, ORG)]]
    figures = entity_figures(predicted, right)
    assert list(figures) == [LOC, ORG, PER, "all"]
    # Of two predicted persons, one has the right borders; three are right.
    assert figures[PER] == {"precision": 1 / 2, "recall": 1 / 3, "f1": pytest.approx(2 / 5)}
    assert figures[LOC] == figures[ORG] == {"precision": 0, "recall": 0, "f1": 0}
    assert figures["all"] == {"precision": 1 / 3, "recall": 1 / 4, "f1": pytest.approx(2 / 7)}


def test_softmin_is_tuned_on_the_errors():
    probs = [np.array([[0.5, 0.5], [0.6, 0.4]]), np.array([[0.52, 0.48]])]
    words = Words([], [np.array([0, 0]), np.array([0])], probs)
    # At 0.1, the first sentence has more than 0.52, and at 0.05 less.
    of_first = 0.5 + 0.1 / (1 + np.e)
    np.testing.assert_allclose(words.sentence_scores(np.array([False, True]))[TUNED_SOFTMIN], [of_first, 0.52])
    assert words.sentence_scores(np.array([False, True]))[SOFTMIN_WORD][0] < 0.52


ENTITIES = "-DOCSTART-\tO\tO\n\nBo\tB-PER\tB-PER\nleft\tO\tO\nOslo\tB-LOC\tO\n\nRome\tB-LOC\tB-ORG\n"


def test_corrected_spans_stay_with_their_sentences(tmp_path):
    file = tmp_path / "news.tsv"
    file.write_text(ENTITIES, encoding="utf-8")
    data = read_real(file)
    assert data.corrected == [[(0, 2, PER), (8, 12, LOC)], [(0, 4, LOC)]]
    assert data.take([1]).corrected == [[(0, 4, LOC)]]


def test_no_sentence_that_is_measured_is_trained_on():
    measured = [{"context": "Bo left ."}, {"context": "Rome"}]
    others = [{"context": context} for context in ("BO  left .", "Bo left", "Oslo", "rome")]
    assert without_contexts_of(others, measured) == [{"context": "Bo left"}, {"context": "Oslo"}]


def test_a_table_of_other_sentences_is_refused(tmp_path):
    file = tmp_path / "news.tsv"
    file.write_text(ENTITIES, encoding="utf-8")
    data = read_real(file)
    pd.DataFrame({"context": ["Bo left Oslo", "Rome"]}).to_parquet(tmp_path / "right.parquet")
    assert len(real.read_table(tmp_path / "right.parquet", data)) == 2
    pd.DataFrame({"context": ["Rome", "Bo left Oslo"]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="expected the predictions of the 2 examples that are measured"):
        real.read_table(tmp_path / "other.parquet", data)


def sentence(context: str, title: str, *answers: tuple[str, str]) -> dict:
    texts, labels = zip(*answers, strict=True) if answers else ((), ())
    starts = [context.index(text) for text in texts]
    answers = {"text": list(texts), "answer_start": starts, "label": list(labels)}
    return {"id": context, "title": title, "context": context, "question": "", "answers": answers}


def test_sentences_within_their_documents():
    sentences = [
        sentence("Bo left Oslo", "1", ("Bo", PER), ("Oslo", LOC)), sentence("He is back", "1"),
        sentence("in Rome", "1", ("Rome", LOC)), sentence("Bo met an old man in Rome", "2", ("Rome", LOC)),
        sentence("a", "2"),
    ]  # fmt: skip
    parts = parts_of_documents(sentences, 6)
    # Six words fit; a longer sentence stands alone, and no part is of two documents.
    assert [(part.example["context"], part.starts) for part in parts] == [
        ("Bo left Oslo\nHe is back", [0, 13]), ("in Rome", [0]), ("Bo met an old man in Rome", [0]), ("a", [0]),
    ]  # fmt: skip
    whole, *_ = parts_of_documents(sentences, 8)
    assert whole.example["answers"] == {
        "text": ["Bo", "Oslo", "Rome"], "answer_start": [0, 8, 27], "label": [PER, LOC, LOC],
    }  # fmt: skip
    starts, ends = np.array([0, 3, 8, 13, 16, 19, 24, 27, 29]), np.array([2, 7, 12, 15, 18, 23, 26, 29, 31])
    number = np.arange(9)[:, None]
    tokens = [whole.example["context"][start:end] for start, end in zip(starts, ends, strict=True)]
    prediction = SpanPrediction(number / 10, tokens, number, starts, ends, np.ones(9, dtype=bool))
    first, second, third = sentence_predictions(whole, prediction)
    assert (first.tokens, second.tokens, third.tokens) == (
        ["Bo", "left", "Oslo"], ["He", "is", "back"], ["in", "Ro", "me"],
    )  # fmt: skip
    assert (third.char_start.tolist(), third.char_end.tolist()) == ([0, 3, 5], [2, 5, 7])
    assert (third.labels.ravel().tolist(), second.pred_probs.ravel().tolist()) == ([6, 7, 8], [0.3, 0.4, 0.5])


NAMES = "Carla David Elena Felix Greta Hugo Irene Jonas Karin Lukas Maria Nils Olga Peter Rosa".split()


def run_real(monkeypatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["real.py", *map(str, words)])
    real.main()


# Thirty answers are enough to see that everything is measured, and a tokenizer that spells most words.
@pytest.mark.filterwarnings("ignore::span_label_errors.quality.label_errors.FewAnswersWarning")
@pytest.mark.filterwarnings("ignore::span_label_errors.model.tokenizer_coverage.UnreadableDataWarning")
def test_real_label_errors_of_entities(tiny_bert, tmp_path, monkeypatch):
    lines = []
    for number, name in enumerate(NAMES):
        given = "ORG" if number % 3 == 0 else "LOC"
        lines += ["-DOCSTART-\tO\tO", ""] if number % 3 == 0 else []
        lines += [f"{name}\tB-PER\tB-PER", "left\tO\tO", f"Rome\tB-LOC\tB-{given}", f"{number}\tO\tO", ""]
    file = tmp_path / "news.tsv"
    file.write_text("\n".join(lines), encoding="utf-8")
    for name, epochs in (("scratch", 1), ("new_head", 2)):
        way = runs.Way(name, str(tiny_bert), 3, {"num_train_epochs": epochs})
        monkeypatch.setitem(runs.WAYS, name, way)
    monkeypatch.setattr(measures, "NUM_RESAMPLES", 20)
    folders = ["--work", tmp_path / "work", "--results", tmp_path]
    run_real(monkeypatch, file, *folders)
    found = json.loads((tmp_path / "real_news.json").read_text(encoding="utf-8"))
    assert (found["num_measured"], found["num_errors"], found["resampled"]) == (15, 5, "sentences")
    run, other = found["runs"]
    assert (run["way"], other["way"]) == ("scratch", "new_head")
    # A mean over the given tokens has nothing to say of a sentence without any.
    assert MEAN not in run["scores"]
    assert {LOWEST_TOKEN, OURS, LOWEST_WORD, TUNED_SOFTMIN} < set(run["scores"])
    assert all(0 < of_score["trapezoidal_auprc"] <= 1 for of_score in run["scores"].values())
    assert run["suggestions"] is None
    assert list(run["token_average_precision"]) == ["LOC", "ORG", "PER"]
    assert list(run["entities"]) == ["given", "corrected"]
    assert set(run["entities"]["corrected"][PER]) == {"precision", "recall", "f1"}
    spans = run["spans"]
    assert (spans["given"]["rows"], spans["given"]["errors"], spans["missed"]["spans"]) == (30, 5, 0)
    assert spans["suggestions"]["other class"]["errors"] == 5
    text = (tmp_path / "real_news.md").read_text(encoding="utf-8")
    assert "| scratch | wrong given spans, among all given ones | 30 | 5 |" in text

    others = tmp_path / "train.txt"
    sentences = [f"{name} NNP B-NP B-PER\nleft VBD B-VP O\nRome NNP B-NP B-LOC\n" for name in NAMES]
    sentences.append("carla NNP B-NP B-PER\nleft VBD B-VP O\nRome NNP B-NP B-LOC\n0 CD B-NP O\n")  # is measured
    others.write_text("\n".join(sentences), encoding="utf-8")
    run_real(monkeypatch, file, *folders, "--train_on", others, "--ways", "scratch", "--document_words", 8)
    found = json.loads((tmp_path / "real_news_trained_elsewhere.json").read_text(encoding="utf-8"))
    assert (found["num_measured"], found["num_errors"], found["num_left_out_of_training"]) == (15, 5, 1)
    assert found["runs"][0]["way"] == f"{tiny_bert}, trained on train.txt, 8 words of a document at once"
    # One model predicts all.
    assert [len(of_folds) for of_folds in found["runs"][0]["token_average_precision"].values()] == [1] * 3

    run_real(monkeypatch, file, *folders, "--ways", "scratch", "--document_words", 8)
    (run,) = json.loads((tmp_path / "real_news.json").read_text(encoding="utf-8"))["runs"]
    assert [len(of_folds) for of_folds in run["token_average_precision"].values()] == [3] * 3

    (run_folder,) = (tmp_path / "work").glob("news_trained_elsewhere-*")
    run_real(monkeypatch, file, *folders, "--table", run_folder / runs.TABLE_FILE)
    again = json.loads((tmp_path / "real_news.json").read_text(encoding="utf-8"))
    assert again["runs"][0]["scores"] == found["runs"][0]["scores"]
    assert again["runs"][0]["training_seconds"] is None
