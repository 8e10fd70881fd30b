"""The files of a review: of which run they are, and that nobody's work in them is lost."""

import json
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
from review_frames import make_frames, make_span_frames
from small_runs import PARAMETERS, five_examples, one_class

from span_label_errors.quality.label_errors import LabelErrors
from span_label_errors.results.write import write_outputs
from span_label_errors.review.write import write_review_files

FILES = [
    "doccano.jsonl", "label_issues.csv", "label_issues.html", "label_issues.json", "label_issues.parquet",
    "label_studio_config.xml", "label_studio_tasks.json",
]  # fmt: skip


def write(folder: Path, quality: float = 0.25) -> list[str]:
    """Write the review of two examples, and return what was said."""
    examples = [{"context": "abcd", "given": [(0, 2)], "label_quality": quality}, {"context": "abcd"}]
    issues, table = make_frames(*examples)
    said = []
    paths = write_review_files(folder, LabelErrors(issues, 1.0), table, log=said.append)
    assert all(path.is_file() for path in paths)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "label_issues.parquet"), issues)
    return said


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.startswith(".")}


def listed(folder: Path) -> dict[str, str]:
    return json.loads((folder / "label_issues.json").read_text())["files"]


def test_second_review_writes_the_same(tmp_path):
    assert write(tmp_path) == []
    before = contents(tmp_path)
    assert sorted(before) == FILES
    assert listed(tmp_path) == {name: sha256(before[name]).hexdigest() for name in FILES if name != "label_issues.json"}
    assert write(tmp_path) == []
    assert contents(tmp_path) == before


def test_decided_examples_stay_on_the_page_and_go_to_no_tool(tmp_path):
    examples = [{"context": "abcd", "id": "open"}, {"context": "abcd", "id": "done", "decision": "confirmed"}]
    issues, table = make_frames(*examples)
    write_review_files(tmp_path, LabelErrors(issues, 1.0), table)
    tasks = json.loads((tmp_path / "label_studio_tasks.json").read_text())
    lines = (tmp_path / "doccano.jsonl").read_text().splitlines()
    assert [task["data"]["id"] for task in tasks] == [json.loads(line)["id"] for line in lines] == ["open"]
    assert "2 rows on this page" in (tmp_path / "label_issues.html").read_text()


def test_tables_have_a_column_of_other_annotators_answers_where_there_are_some(tmp_path):
    issues, table = make_frames({"context": "abcd", "given": [(0, 2)]}, {"context": "abcd"})
    others = {"other_answer": [[], ["abc", "=d"]], "other_start": [[], [0, 3]], "other_label": [[], ["ANS", "ANS"]]}
    write_review_files(tmp_path, LabelErrors(issues, 1.0), table.assign(**others))
    written = pd.read_parquet(tmp_path / "label_issues.parquet")
    assert written["other_answers"].tolist() == ["abc; =d", ""]
    assert list(written)[list(written).index("given_start") + 1] == "other_answers"
    assert "other_answers" in (tmp_path / "label_issues.csv").read_text(encoding="utf-8-sig").split("\r\n")[0]
    (task, _) = json.loads((tmp_path / "label_studio_tasks.json").read_text(encoding="utf-8"))
    (line, _) = map(json.loads, (tmp_path / "doccano.jsonl").read_text(encoding="utf-8").splitlines())
    assert task["data"]["other_answers"] == line["other_answers"] == "abc; =d"
    assert "other_answers" not in issues


def test_table_that_was_filled_in_stays_however_often_it_is_written(tmp_path):
    write(tmp_path)
    file = tmp_path / "label_issues.csv"
    untouched = file.read_bytes()
    file.write_bytes(b"work")
    for _ in range(2):
        (line,) = write(tmp_path)
        assert "label_issues.csv" in line and "label_issues.new.csv" in line
        assert file.read_bytes() == b"work"
        assert (tmp_path / "label_issues.new.csv").read_bytes() == untouched
        assert sorted(contents(tmp_path)) == sorted([*FILES, "label_issues.new.csv"])
        assert "label_issues.csv" not in listed(tmp_path)
    (tmp_path / "label_issues.new.csv").write_bytes(b"more work")
    write(tmp_path)
    assert (tmp_path / "label_issues.new.csv").read_bytes() == b"more work"
    assert (tmp_path / "label_issues.new-2.csv").read_bytes() == untouched
    # Once the work lies elsewhere, the table has its own name again, and no other.
    file.unlink()
    assert write(tmp_path) == []
    assert sorted(contents(tmp_path)) == sorted([*FILES, "label_issues.new.csv"])


@pytest.mark.parametrize("record", [None, "[]", "{"])
def test_table_of_unknown_origin_stays_unless_it_is_the_same(tmp_path, record):
    write(tmp_path)
    if record is None:
        (tmp_path / "label_issues.json").unlink()
    else:
        (tmp_path / "label_issues.json").write_text(record)
    unknown = (tmp_path / "label_issues.csv").read_bytes()
    assert write(tmp_path) == []
    (tmp_path / "label_issues.json").unlink()
    assert len(write(tmp_path, quality=0.5)) == 1
    assert (tmp_path / "label_issues.csv").read_bytes() == unknown


class Killed(BaseException):
    """The end of the process."""


def counted(do, steps):
    """Let a step of the process be the last one when the count comes to 0."""

    def step(path, *arguments, **options):
        if next(steps, None) == 0:
            raise Killed
        return do(path, *arguments, **options)

    return step


def test_process_that_dies_leaves_no_table_that_passes_for_work(tmp_path):
    """Whatever step is the last, the files that lie there are listed as they are, and the next review replaces them."""
    finished, deaths = False, 0
    while not finished:
        folder = tmp_path / str(deaths)
        write(folder)
        with pytest.MonkeyPatch.context() as patch:
            steps = iter(range(deaths, -1, -1))
            for name in ("replace", "rename", "unlink", "write_bytes"):
                patch.setattr(Path, name, counted(getattr(Path, name), steps))
            try:
                write(folder, quality=0.5)
                finished = True
            except Killed:
                deaths += 1
        found = contents(folder)
        hashes = listed(folder)
        assert {
            name: sha256(found[name]).hexdigest() for name in set(found) - {"label_issues.json"}
        }.items() <= hashes.items()
        assert write(folder, quality=0.5) == []
        assert sorted(contents(folder)) == FILES
    # At least: six files written, the old ones removed, the record, the new ones put in place.
    assert deaths > 19


# With the run that it is of


def test_new_run_removes_the_review_of_the_one_before_but_no_work(tmp_path):
    write(tmp_path)
    (tmp_path / "label_issues.csv").write_bytes(b"work")
    write_outputs(tmp_path, five_examples(), one_class(five_examples()), PARAMETERS, 1.0)
    assert [name for name in sorted(contents(tmp_path)) if name in FILES] == ["label_issues.csv"]
    assert (tmp_path / "label_issues.csv").read_bytes() == b"work"


def test_example_with_a_decision_about_one_of_its_spans_goes_to_no_tool(tmp_path):
    rows = [("Anna", None, {"decision": "confirmed"}), ("Bo", None)]
    example = {"context": "Anna met Bo", "given": [("Anna", "PER"), ("Bo", "PER")]}
    frames = make_span_frames(example | {"rows": rows}, example | {"rows": [("Anna", None)]})
    write_review_files(tmp_path, LabelErrors(frames[0], 1.0), frames[1])
    (task,) = json.loads((tmp_path / "label_studio_tasks.json").read_text(encoding="utf-8"))
    (line,) = map(json.loads, (tmp_path / "doccano.jsonl").read_text(encoding="utf-8").splitlines())
    assert task["data"]["id"] == line["id"] == "s1"
    assert "3 rows on this page" in (tmp_path / "label_issues.html").read_text(encoding="utf-8")
