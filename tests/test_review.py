"""The files of a review: of which run they are, and that nobody's work in them is lost."""

import json
import shutil
import warnings

import pandas as pd
import pytest
from conftest import twelve_examples
from test_audit import found_wrong, make_run

from audit import audit
from checkpoints import file_sha256
from label_quality import FewAnswersWarning, find_label_errors
from results_read import read_outputs
from review import write_review_files

FILES = [
    "doccano.jsonl", "label_issues.csv", "label_issues.html", "label_issues.json", "label_issues.parquet",
    "label_studio_config.xml", "label_studio_tasks.json",
]  # fmt: skip


def review(run, log=print) -> None:
    table, _ = read_outputs(run / "outputs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewAnswersWarning)
        found = find_label_errors(table)
    write_review_files(run / "outputs", found, table, log=log)


@pytest.fixture(scope="module")
def whole(tiny_bert, tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("whole"), tiny_bert)
    review(run)
    return run


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def test_record_names_the_run_and_the_files(run):
    outputs = run / "outputs"
    record = json.loads((outputs / "label_issues.json").read_text())
    assert record["out_of_fold.parquet"] == file_sha256(outputs / "out_of_fold.parquet")
    assert sorted([*record["files"], "label_issues.json"]) == FILES
    assert all(file_sha256(outputs / name) == expected for name, expected in record["files"].items())


def test_second_review_writes_the_same_and_keeps_nothing(run):
    before = {name: (run / "outputs" / name).read_bytes() for name in FILES}
    said = []
    review(run, log=said.append)
    assert {name: (run / "outputs" / name).read_bytes() for name in FILES} == before
    assert said == [] and not list((run / "outputs").glob("*kept*"))


def test_table_that_was_filled_in_is_kept(run):
    file = run / "outputs" / "label_issues.csv"
    untouched = file.read_bytes()
    for number, work in enumerate([b"one day's work", b"another day's work"], start=1):
        file.write_bytes(work)
        said = []
        review(run, log=said.append)
        assert said == [f"label_issues.csv was changed since it was written; kept as label_issues.kept-{number}.csv"]
        assert (run / "outputs" / f"label_issues.kept-{number}.csv").read_bytes() == work
        assert file.read_bytes() == untouched


def test_new_run_removes_the_review_of_the_one_before(run, tiny_bert):
    make_run(run, tiny_bert, twelve_examples()[:10])
    assert not [name for name in FILES if (run / "outputs" / name).exists()]
    assert list(audit(run / "outputs"))[-1] == "there is no review of this run yet"


def test_new_run_keeps_a_table_that_was_filled_in(run, tiny_bert):
    file = run / "outputs" / "label_issues.csv"
    file.write_bytes(b"work")
    make_run(run, tiny_bert, twelve_examples()[:10])
    assert file.read_bytes() == b"work"
    review(run)
    assert (run / "outputs" / "label_issues.kept-1.csv").read_bytes() == b"work"


# --- what the audit says of it --------------------------------------------------------------------


def test_review_of_the_run_is_proven_so(run):
    (run / "outputs" / "label_issues.csv").write_bytes(b"filled in")
    statement = list(audit(run / "outputs"))[-1]
    assert statement == "6 files of the review are of this run; its answers stand where it says"


def test_review_of_another_run_is_found(run):
    record = json.loads((run / "outputs" / "label_issues.json").read_text())
    record["out_of_fold.parquet"] = "0" * 64
    (run / "outputs" / "label_issues.json").write_text(json.dumps(record))
    assert "expected a review of this run, found one of another; run the second notebook again" in found_wrong(run)


@pytest.mark.parametrize("name", ["label_issues.html", "label_studio_tasks.json", "label_issues.parquet"])
def test_changed_file_of_the_review_is_found(run, name):
    with (run / "outputs" / name).open("ab") as file:
        file.write(b" ")
    assert f"{name}: expected the file that label_issues.json lists" in found_wrong(run)


def with_cell(issues: pd.DataFrame, column: str, value) -> pd.DataFrame:
    changed = issues.copy()
    changed.loc[changed.index[3], column] = value
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda issues: issues.iloc[:-1], "expected all examples in ranks"),
        (lambda issues: with_cell(issues, "rank", 7), "expected all examples in ranks"),
        (lambda issues: with_cell(issues, "index", issues["index"].iloc[0]), "expected each example once"),
        (lambda issues: with_cell(issues, "label_quality", 1.5), "expected label qualities from 0 to 1"),
        (lambda issues: with_cell(issues, "id", "other"), "found id 'other'"),
        (lambda issues: with_cell(issues, "given_start", 1), "expected the given answer"),
        (lambda issues: with_cell(issues, "suggested_answer", "nonsense"), "expected the suggested answer 'nonsense'"),
    ],
)
def test_issues_that_are_not_of_the_run_are_found(run, change, message):
    """Only the table is written: the page would refuse most of it."""
    file = run / "outputs" / "label_issues.parquet"
    change(pd.read_parquet(file)).to_parquet(file)
    record = json.loads((run / "outputs" / "label_issues.json").read_text())
    record["files"]["label_issues.parquet"] = file_sha256(file)
    (run / "outputs" / "label_issues.json").write_text(json.dumps(record))
    assert message in found_wrong(run)


def test_record_of_another_kind_is_found(run):
    (run / "outputs" / "label_issues.json").write_text("[]")
    assert "review: TypeError" in found_wrong(run)
