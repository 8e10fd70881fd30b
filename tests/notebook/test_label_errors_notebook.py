"""The second notebook, on outputs whose probabilities are made up."""

import csv
import io
import json
import re

import pandas as pd
import papermill
import pytest
from conftest import ROOT, squad_document, twelve_examples
from datasets import Dataset
from papermill.exceptions import PapermillExecutionError
from small_runs import write_run

from span_label_errors.data.sources import DEMO_ERRORS_PATH, read_known_errors
from span_label_errors.data.squad import load_squad
from span_label_errors.review.corrections import apply_decisions
from span_label_errors.review.decided import Answer, Decision
from span_label_errors.review.kept_decisions import keep_decisions

pytestmark = pytest.mark.slow
NOTEBOOK = ROOT / "notebooks" / "find_label_errors_in_span_classification_dataset.ipynb"
REVIEW_FILES = {
    "label_issues.html", "label_issues.csv", "label_issues.parquet", "label_studio_tasks.json",
    "label_studio_config.xml", "doccano.jsonl",
}  # fmt: skip


def given_spans(example, class_name="ANS"):
    answers = example["answers"]
    return [
        (start, start + len(text), class_name)
        for text, start in zip(answers["text"], answers["answer_start"], strict=True)
    ]


@pytest.fixture(scope="module")
def demo_outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    dataset = list(load_squad("demo"))
    known = read_known_errors(DEMO_ERRORS_PATH)
    right = [
        [(known[e["id"]]["right_start"], known[e["id"]]["right_start"] + len(known[e["id"]]["right_answer"]), "ANS")]
        if e["id"] in known
        else given_spans(e)
        for e in dataset
    ]
    write_run(folder, dataset, "demo", {"O": 0, "ANS": 1}, right)
    return folder


def execute(tmp_path, **arguments):
    notebook = papermill.execute_notebook(
        NOTEBOOK, tmp_path / "executed.ipynb", arguments, progress_bar=False, cwd=tmp_path
    )
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "\n".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs)
    images = sum("image/png" in output.get("data", {}) for output in outputs)
    errors = [output.text for output in outputs if output.get("name") == "stderr"]
    return text, images, errors


def test_demo_is_ranked_shown_and_written(demo_outputs, tmp_path):
    text, images, errors = execute(tmp_path, outputs_dir=str(demo_outputs), worst=5)
    assert errors == []
    assert images == 2
    assert {file.name for file in demo_outputs.iterdir()} >= REVIEW_FILES
    assert re.search(r"\d+ of the worst 24 are the same; rank correlation 0\.\d\d", text)
    issues = pd.read_csv(demo_outputs / "label_issues.csv", encoding="utf-8-sig", keep_default_na=False)
    assert issues["rank"].tolist() == list(range(1, 249))
    estimated = int(re.search(r"about (\d+) of 248 rows are estimated to be wrong", text).group(1))
    # The made-up model knows the right answers, so most of the worst are errors.
    known = read_known_errors(DEMO_ERRORS_PATH)
    assert 10 <= estimated <= 60
    assert issues["id"].head(20).isin(known).sum() >= 14
    assert len(json.loads((demo_outputs / "label_studio_tasks.json").read_text())) == 5
    assert len((demo_outputs / "doccano.jsonl").read_text().splitlines()) == 5
    assert "no decisions yet" in text


def test_decisions_of_a_spreadsheet_make_a_corrected_file(demo_outputs, tmp_path):
    execute(tmp_path, outputs_dir=str(demo_outputs))
    known = read_known_errors(DEMO_ERRORS_PATH)
    rows = list(csv.DictReader(io.StringIO((demo_outputs / "label_issues.csv").read_text(encoding="utf-8-sig"))))
    # Filled in where it lies: what a new run writes there must not destroy the work.
    reviewed, decided = demo_outputs / "label_issues.csv", []
    with reviewed.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "correct_answer", "correct_start"])
        writer.writeheader()
        for row in rows:
            error = known.get(row["id"])
            if error and len(decided) < 3:
                decided.append(row["id"])
                row |= {"correct_answer": error["right_answer"], "correct_start": error["right_start"]}
            writer.writerow(row)
    filled_in = reviewed.read_bytes()
    written = []
    for _ in range(2):  # the same command does the same again
        text, _, errors = execute(tmp_path, outputs_dir=str(demo_outputs), decisions=str(reviewed))
        assert errors == []
        assert "3 decisions, 3 answers changed" in text
        assert reviewed.read_bytes() == filled_in
        written.append({file.name: file.read_bytes() for file in demo_outputs.glob("[!.]*")})
    assert written[0] == written[1]
    assert written[0].keys() >= {"corrected.json", "changes.json", "label_issues.new.csv"}
    before, after = list(load_squad("demo")), list(load_squad(demo_outputs / "corrected.json"))
    changed = [new for old, new in zip(before, after, strict=True) if new != old]
    assert sorted(example["id"] for example in changed) == sorted(decided)
    # A next run knows them without being told again, and ranks them last.
    text, _, errors = execute(tmp_path, outputs_dir=str(demo_outputs))
    assert errors == []
    assert "3 decisions, 3 answers changed" in text
    issues = pd.read_parquet(demo_outputs / "label_issues.parquet")
    assert sorted(issues["id"].tail(3)) == sorted(decided)
    assert issues["decision"].tolist() == [""] * 245 + ["corrected"] * 3


def test_next_round_on_the_corrected_data_knows_what_was_decided(demo_outputs, tmp_path):
    known = list(read_known_errors(DEMO_ERRORS_PATH).values())[:3]
    given, right = (
        [(Answer(error[f"{kind}_answer"], error[f"{kind}_start"]),) for error in known] for kind in ("given", "right")
    )
    ids = [error["id"] for error in known]
    decisions = list(map(Decision, ids, given, right))
    folder = tmp_path / "outputs"
    folder.mkdir()
    apply_decisions("demo", decisions, folder / "corrected.json", folder / "changes.json")
    keep_decisions(folder, decisions)
    dataset = list(load_squad(folder / "corrected.json"))
    write_run(folder, dataset, folder / "corrected.json", {"O": 0, "ANS": 1}, list(map(given_spans, dataset)))
    text, _, errors = execute(tmp_path, outputs_dir=str(folder))
    assert errors == []
    assert "3 decisions, 0 answers changed in corrected-2.json" in text
    assert (folder / "corrected-2.json").read_bytes() == (folder / "corrected.json").read_bytes()
    issues = pd.read_parquet(folder / "label_issues.parquet").tail(3)
    assert sorted(issues["id"]) == sorted(ids)
    assert set(issues["decision"]) == {"confirmed"}


def test_parquet_is_reviewed_in_a_spreadsheet_and_stays_parquet(tmp_path):
    """Ids are numbers, there are no titles, and the spreadsheet rewrites the numbers of the answers."""
    rows = [
        {"id": number, **{name: example[name] for name in ("context", "question", "answers")}}
        for number, example in enumerate(twelve_examples())
    ]
    Dataset.from_list(rows).to_parquet(tmp_path / "s.parquet")
    dataset, folder = list(load_squad(tmp_path / "s.parquet")), tmp_path / "run"
    write_run(folder, dataset, tmp_path / "s.parquet", {"O": 0, "ANS": 1}, list(map(given_spans, dataset)))
    start = rows[1]["answers"]["answer_start"][0]
    table = f"index;id;given_answer;given_start;correct_answer\n1;1,00;1900,0;{start};Paris\n"
    (tmp_path / "decided.csv").write_text(table, encoding="utf-8")
    text, _, _ = execute(tmp_path, outputs_dir=str(folder), decisions=str(tmp_path / "decided.csv"))
    assert "1 decisions, 1 answers changed in corrected.parquet" in text
    rows[1]["answers"] = rows[0]["answers"]
    assert Dataset.from_parquet(str(folder / "corrected.parquet")).to_list() == rows
    # Kept as the data has them, so that the next round knows the example.
    assert json.loads((folder / "decisions.json").read_text(encoding="utf-8"))[0]["id"] == "1"
    text, _, _ = execute(tmp_path, outputs_dir=str(folder))
    assert "1 decisions, 1 answers changed in corrected.parquet" in text


def test_few_examples_of_several_classes_say_so(tmp_path):
    dataset = twelve_examples()
    for number, example in enumerate(dataset):
        example["answers"]["label"] = ["LOC" if number % 2 == 0 else "YEAR"]
    file = tmp_path / "squad.json"
    file.write_text(json.dumps(squad_document(dataset)))
    dataset = list(load_squad(file))
    right = [given_spans(example, example["answers"]["label"][0]) for example in dataset]
    write_run(tmp_path / "run", dataset, file, {"O": 0, "LOC": 1, "YEAR": 2}, right)
    text, _, errors = execute(tmp_path, outputs_dir=str(tmp_path / "run"))
    assert any("FewAnswersWarning: expected at least 50 answers" in error for error in errors)
    assert "too few answers to estimate how many are wrong" in text
    assert "no known errors among these examples" in text
    assert {file.name for file in (tmp_path / "run").iterdir()} >= REVIEW_FILES


def test_outputs_that_are_not_there_stop_the_run(tmp_path):
    with pytest.raises(PapermillExecutionError, match="run the training notebook with this outputs_dir first"):
        execute(tmp_path, outputs_dir=str(tmp_path / "nothing"))
