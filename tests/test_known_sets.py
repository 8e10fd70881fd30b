"""Benchmarks on sets of which the right answers are known: what decisions bring, and what parts of the judge bring."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import make_example, squad_document
from label_errors import decisions, known_sets, measures, parts, runs

from span_label_errors.quality.label_errors import find_label_errors
from span_label_errors.quality.sites import Known
from span_label_errors.spans.text import answers_of

# Thirty answers are enough to see that everything is measured, and so is a tokenizer that spells most words.
pytestmark = [
    pytest.mark.filterwarnings("ignore::span_label_errors.quality.label_errors.FewAnswersWarning"),
    pytest.mark.filterwarnings("ignore::span_label_errors.model.tokenizer_coverage.UnreadableDataWarning"),
]

CONTEXT = "Anna met Bo in Rome."
ANNA, BO, ROME = (0, 4), (9, 11), (15, 19)


def example_on(number: int, span: tuple[int, int]) -> dict:
    return make_example(f"q{number}", CONTEXT, f"question {number}?", CONTEXT[slice(*span)])


def table_of(examples: list[dict]) -> pd.DataFrame:
    """The columns that a decision is made of."""
    given = [example["answers"] for example in examples]
    return pd.DataFrame(
        {
            "id": [example["id"] for example in examples], "context": [example["context"] for example in examples],
            "given_answer": [answers["text"] for answers in given],
            "given_start": [answers["answer_start"] for answers in given], "given_label": [["ANS"]] * len(given),
        }
    )  # fmt: skip


def test_state_after_decisions_by_hand():
    #                          decided      rest
    is_error = np.array([True, False, True, True, False, False])
    first_quality = np.array([0.3, 0.2, 0.5, 0.8, 0.6, 0.9])
    quality = np.array([0.0, 1.0, 0.2, 0.5, 0.7, 0.9])
    # Nobody knows of the last one: it is neither reviewed nor measured.
    assert decisions.state(quality, first_quality, is_error, [0, 1], np.array([1, 0, 2, 4, 3])) == {
        "decisions": 2, "found": 1, "found_by_first_list": 1, "rest": 3, "errors_left": 2,
        # Two errors, then the right one.
        "now": {"estimated": pytest.approx(0.8 + 0.5 + 0.3), "average_precision": 1, "auroc": 1},
        # An error, the right one, an error.
        "at_first": {"estimated": pytest.approx(0.5 + 0.2 + 0.4), "average_precision": (1 + 2 / 3) / 2, "auroc": 0.5},
    }  # fmt: skip
    first = decisions.state(quality, first_quality, is_error, [1, 2, 3], np.array([1, 0, 2, 4, 3]))
    # The errors 2 and 3 were found; the first list has 0 and 2 among its first three.
    assert (first["decisions"], first["found"], first["found_by_first_list"], first["rest"]) == (3, 2, 2, 2)
    all_right = decisions.state(quality, first_quality, is_error, [0, 2, 3], np.array([1, 0, 2, 4, 3]))
    assert (all_right["now"]["average_precision"], all_right["at_first"]["auroc"]) == (None, None)


def test_review_takes_the_worst_known_and_judges_again_after_ten():
    # The first list: 0, 1, 2, ... With decisions, the other way round. Of every third, nobody knows.
    examples = [example_on(number, BO) for number in range(36)]
    right = [None if number % 3 == 2 else [ROME] if number < 6 or number > 32 else [BO] for number in range(36)]
    known_set = known_sets.KnownSet("made up", "run", examples, right)
    seen = []

    def find(table: pd.DataFrame, *, known: dict[int, Known]) -> SimpleNamespace:
        seen.append(known)
        quality = np.linspace(0.1, 0.8, 36)
        if known:
            quality = quality[::-1]
        index = np.argsort(quality)
        # In any order: the rank counts.
        issues = pd.DataFrame({"rank": np.arange(36, 0, -1), "index": index[::-1]})
        return SimpleNamespace(issues=issues, label_quality=lambda: quality)

    states = decisions.reviewed(table_of(examples), known_set, find)
    first_ten = [0, 1, 3, 4, 6, 7, 9, 10, 12, 13]
    second_ten = [34, 33, 31, 30, 28, 27, 25, 24, 22, 21]
    assert seen[0] == {}
    assert seen[1] == {number: Known({"ANS": [ROME] if number < 6 else [BO]}) for number in first_ten}
    assert list(seen[2]) == first_ten + second_ten
    # 24 are known.
    assert [len(ids) for ids in seen] == [0, 10, 20, 24]
    assert [of_round["decisions"] for of_round in states] == [0, 10, 20, 24]
    # Errors: 0, 1, 3, 4, and 33, 34 at the end of the first list.
    assert [of_round["found"] for of_round in states] == [0, 4, 6, 6]
    assert [of_round["found_by_first_list"] for of_round in states] == [0, 4, 4, 6]
    assert [of_round["errors_left"] for of_round in states] == [6, 2, 0, 0]
    assert known_set.is_measured.sum() == 24


def test_what_annotators_agree_on_is_right():
    examples = [example_on(0, ANNA), example_on(1, BO), example_on(2, BO)]
    data = SimpleNamespace(
        examples=examples,
        is_error=np.array([True, False, False]),
        is_measured=np.array([True, True, False]),
        other_answers=[[ROME, (12, 19)], [BO, (5, 11)], [ROME]],
    )
    right = known_sets.right_of_annotators(data)
    assert right == [[ROME], [BO], None]
    known = known_sets.KnownSet("people", "run", examples, right)
    assert known.is_error.tolist() == [True, False, False]
    assert known.is_measured.tolist() == [True, True, False]


def test_right_answers_of_the_demo_are_those_of_its_list():
    known = known_sets.demo_set("in_folds")
    assert (len(known.examples), int(known.is_error.sum()), bool(known.is_measured.all())) == (248, 26, True)
    number = [example["id"] for example in known.examples].index("demo-01-01-04")
    # "Bronisław" for "Bronisława".
    assert (answers_of(known.examples[number]), known.right[number]) == ([(393, 402)], [(393, 403)])


def test_right_answers_of_planted_errors_are_those_that_stood_there(tmp_path):
    file = tmp_path / "questions.json"
    examples = [make_example(f"q{n}", f"Anna met Bo in {1800 + n}.", "whom?", "Bo") for n in range(20)]
    file.write_text(json.dumps(squad_document(examples)), encoding="utf-8")
    known = known_sets.planted_set(file, "moved", None, "as_it_is", 0)
    assert known.is_error.sum() == 2
    assert known.right == [[BO]] * 20
    assert (known.title, known.run) == ("questions.json, planted: moved", "questions_as_it_is-moved-fresh")


NAMES = "Carla David Elena Felix Greta Hugo Irene Jonas Karin Lukas Maria Nils Olga Peter Rosa".split()


@pytest.fixture
def small_run(tiny_bert, tmp_path, monkeypatch):
    """Run a benchmark on thirty questions of several annotators, fifteen of them with a third answer, five outvoted."""
    examples = []
    for number, name in enumerate(NAMES):
        context = f"Anna Berg met Bo Lind in {1800 + number}. Then {name} Dahl left Rome for Oslo."
        whom = ["Bo Lind", "Bo Lind", "Rome"] if number % 3 == 0 else ["Bo Lind", "Lind", "Bo Lind"]
        examples.append(make_example(f"{number}a", context, "Whom did Anna Berg meet?", *whom))
        examples.append(make_example(f"{number}b", context, "Who left?", *[f"{name} Dahl"] * 2))
    file = tmp_path / "questions.json"
    file.write_text(json.dumps(squad_document(examples)), encoding="utf-8")
    monkeypatch.setitem(runs.WAYS, "scratch", runs.Way("tiny", str(tiny_bert), 3, {"num_train_epochs": 1}))
    people = known_sets.people_set(file, None, "scratch")
    # Nothing is trained on the demo.
    monkeypatch.setattr(known_sets, "demo_set", lambda way: people)
    monkeypatch.setattr(measures, "NUM_RESAMPLES", 20)

    def run(benchmark) -> tuple[dict, str]:
        words = ["--way", "scratch", "--work", tmp_path / "work", "--results", tmp_path]
        monkeypatch.setattr(sys, "argv", [benchmark.__name__, *map(str, words)])
        benchmark.main()
        name = benchmark.__name__.rpartition(".")[2]
        (of_set,) = json.loads((tmp_path / f"{name}_scratch.json").read_text(encoding="utf-8"))["sets"]
        return of_set, (tmp_path / f"{name}_scratch.md").read_text(encoding="utf-8")

    return run


def test_decisions_about_outvoted_answers(small_run, tmp_path, capsys):
    of_set, text = small_run(decisions)
    assert (of_set["num_examples"], of_set["num_measured"], of_set["num_errors"]) == (30, 15, 5)
    before, after_ten, at_the_end = of_set["rounds"]
    assert [of_round["decisions"] for of_round in of_set["rounds"]] == [0, 10, 15]
    assert before["now"] == before["at_first"]
    assert after_ten["found"] == after_ten["found_by_first_list"] == 5 - after_ten["errors_left"]
    assert (at_the_end["found"], at_the_end["errors_left"]) == (5, 0)
    assert text in capsys.readouterr().out
    assert "15 of 30 known, 5 wrong" in text
    assert (tmp_path / "decisions_scratch.png").is_file()


def test_parts_of_the_judge(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "VARIANTS", {parts.AS_IT_IS: {}, "once": {"rounds": 1}})
    monkeypatch.setattr(parts, "recipes", lambda made=parts.recipes: dict(list(made().items())[:3]))
    of_set, text = small_run(parts)
    as_it_is, once, without = of_set["variants"].values()
    kind = parts.JudgeRecipe().kinds[0]
    assert list(of_set["variants"]) == [parts.AS_IT_IS, "once", f"without {kind}"]
    assert as_it_is["brought"] is None
    for variant in (once, without):
        expected = as_it_is["average_precision"] - variant["average_precision"]
        assert variant["brought"]["average_precision"]["difference"] == pytest.approx(expected)
    assert f"| without {kind} |" in text
    # As users see it.
    table = pd.read_parquet(next((tmp_path / "work").glob("*/out_of_fold.parquet")))
    quality = find_label_errors(table).label_quality()
    np.testing.assert_allclose(parts.label_quality(table, parts.JudgeRecipe()), quality)


def test_each_kind_of_mistake_is_left_out_once():
    as_it_is = parts.JudgeRecipe()
    recipes = parts.recipes()
    assert recipes[parts.AS_IT_IS] == as_it_is
    for kind in as_it_is.kinds:
        assert set(as_it_is.kinds) - set(recipes[f"without {kind}"].kinds) == {kind}
    assert len(recipes) == len(parts.VARIANTS) + len(as_it_is.kinds)
