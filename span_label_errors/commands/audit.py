"""`span-label-errors audit outputs`: prove from the files of a run that its outputs are right.

The audit does not trust the run's own record. It computes hashes again, checks the splits against the groups
that the contexts form, makes the labels again from the given answers, and looks each probability up in the predictions
of its fold. Each fold's model lists, as hashes, the contexts that it was trained on. Where nothing was trained, the one
fold lists those of the checkpoint that predicted.
"""

import argparse
import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from span_label_errors.cross_validation.splits import Split, check_splits, fold_seed, group_labels
from span_label_errors.cross_validation.store import (
    configuration_of,
    fold_folder,
    fold_key,
    load_fold,
)
from span_label_errors.files import file_sha256, project_root
from span_label_errors.model.seen_contexts import SEEN_CONTEXTS_FILE, context_hash
from span_label_errors.quality.span_sites import labels_every_span
from span_label_errors.results.npz import iterate_npz
from span_label_errors.results.read import REVIEW_FILE, TABLE_FILE, array_files, read_outputs
from span_label_errors.review.marks import worst_reviews
from span_label_errors.spans.alignment import (
    AnswerSpan,
    TokenizedText,
    labelling_spans,
    span_classes,
    text_pieces,
    token_labels,
)

# Characters that no token need cover: white space, and what a tokenizer drops (control and format characters, accents,
# the replacement character).
_DROPPED_CATEGORIES, _DROPPED = ("Z", "C", "M"), "\ufffd"


class AuditError(ValueError):
    """The first thing that is wrong with a run."""


@dataclass(frozen=True)
class _Run:
    outputs_dir: Path
    folds_dir: Path
    table: pd.DataFrame
    record: dict

    @property
    def classes(self) -> list[str]:
        return span_classes(self.record["label_map"])

    @property
    def is_trained(self) -> bool:
        return any(fold["train_indices"] for fold in self.record["folds"])

    def where(self, example_index: int) -> str:
        return f"example {example_index} (id {self.table['id'].iloc[example_index]!r})"


def audit(outputs_dir: str | Path, folds_dir: str | Path | None = None) -> Iterator[str]:
    """Check the outputs of a run and the folds that they come from.

    Parameters
    ----------
    outputs_dir : str or Path
        Folder that `write_outputs` wrote to.
    folds_dir : str or Path, optional
        Folder of the run's folds; by default the one in the run's parameters, or `folds` beside the outputs.

    Yields
    ------
    str
        A statement about the run that was proven.

    Raises
    ------
    AuditError
        The first thing that is wrong: the file or example, what was expected and what was found.
    """
    outputs_dir = Path(outputs_dir)
    try:
        table, record = read_outputs(outputs_dir)
        if folds_dir is None:
            of_run = (record.get("parameters") or {}).get("folds_dir")
            folds_dir = project_root() / of_run if of_run else outputs_dir.parent / "folds"
        run = _Run(outputs_dir, Path(folds_dir), table, record)
        for check in _CHECKS:
            yield check(run)
    except AuditError:
        raise
    except (ValueError, OSError) as error:
        raise AuditError(str(error)) from error
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise AuditError(
            f"expected the files of a run, found one of another form ({error!r}); "
            "if an older version made them, run the training notebook again"
        ) from error


def _expect(holds: bool, text: str) -> None:
    if not holds:
        raise AuditError(text)


def _check_files(run: _Run) -> str:
    # `read_outputs` has compared the hashes.
    names, needed = set(run.record["files"]), {TABLE_FILE, *array_files(run.classes)}
    _expect(names == needed, f"run.json: expected to list {sorted(needed)}, found {sorted(names)}")
    patterns = ("pred_probs*.npz", "labels*.npz", "out_of_fold*.parquet")
    others = sorted({file.name for pattern in patterns for file in run.outputs_dir.glob(pattern)} - needed)
    _expect(not others, f"{run.outputs_dir}: expected only files of this run, found {others} of another")
    return f"{len(names)} files are those that run.json lists, by SHA-256"


def _check_examples(run: _Run) -> str:
    table, num_examples = run.table, run.record["num_examples"]
    _expect(len(table) == num_examples, f"{TABLE_FILE}: expected {num_examples} examples, found {len(table)}")
    for example_index in np.flatnonzero(table["id"].duplicated()):
        raise AuditError(f"{TABLE_FILE}: expected unique ids, found {run.where(example_index)} again")
    return f"{num_examples} examples, each once"


def _check_tokens(run: _Run) -> str:
    num_tokens = 0
    columns = ("context", "tokens", "char_start", "char_end")
    for example_index, row in enumerate(run.table[list(columns)].itertuples(index=False)):
        where, context = run.where(example_index), row.context
        start, end = np.asarray(row.char_start), np.asarray(row.char_end)
        _expect(len(start) == len(end) == len(row.tokens) > 0, f"{where}: expected as many offsets as tokens")
        in_order = (start[1:] >= start[:-1]).all() and (end >= start).all()
        _expect(in_order and start[0] >= 0 and end.max() <= len(context), f"{where}: offsets are not in order")
        pieces = text_pieces(context, start, end)
        for position, (token, piece) in enumerate(zip(row.tokens, pieces, strict=True)):
            if token != piece:
                raise AuditError(f"{where}: expected token {position} to be {piece!r}, found {token!r}")
        is_covered = np.zeros(len(context), dtype=bool)
        for char_start, char_end in zip(start, end, strict=True):
            is_covered[char_start:char_end] = True
        for char_index in np.flatnonzero(~is_covered).tolist():
            character = context[char_index]
            is_dropped = unicodedata.category(character)[0] in _DROPPED_CATEGORIES or character in _DROPPED
            _expect(is_dropped, f"{where}: expected a token over character {char_index}, {character!r}, found none")
        num_tokens += len(pieces)
    return f"{num_tokens:,} tokens are pieces of their contexts, and cover every visible character"


def _check_labels(run: _Run) -> str:
    label_map, num_answers = run.record["label_map"], 0
    for example_index, row in enumerate(run.table.to_dict("records")):
        where, context = run.where(example_index), row["context"]
        spans = []
        for text, start, name in zip(row["given_answer"], row["given_start"], row["given_label"], strict=True):
            found = context[start : start + len(text)]
            _expect(found == text, f"{where}: expected the answer {text!r} at character {start}, found {found!r}")
            spans.append(AnswerSpan(name, int(start), int(start) + len(text)))
        start, end = np.asarray(row["char_start"]), np.asarray(row["char_end"])
        num_answers += len(spans)
        spans = labelling_spans(spans, "each" if "given_annotator" in row else "all")
        expected = token_labels(TokenizedText(start, start, end), spans, label_map)
        for name in run.classes:
            given = np.asarray(row[f"labels_{name}"])
            _expect(
                np.array_equal(given, expected[:, label_map[name]]),
                f"{where}: expected the labels of {name} to mark the tokens of {[span[1:] for span in spans]}, "
                f"found marks at tokens {np.flatnonzero(given).tolist()}",
            )
    labelling = "" if "given_annotator" not in run.table else ", of each example those that agree most with the others"
    return f"the labels mark the tokens of {num_answers:,} given answers, and no others{labelling}"


def _check_probabilities(run: _Run) -> str:
    for name in run.classes:
        columns = run.table[f"pred_probs_{name}"], run.table["tokens"]
        for example_index, (probs, tokens) in enumerate(zip(*columns, strict=True)):
            where = run.where(example_index)
            _expect(len(probs) == len(tokens), f"{where}: expected {len(tokens)} probabilities, found {len(probs)}")
            # NaN is in no range.
            wrong = np.asarray(probs)[~((probs >= 0) & (probs <= 1))]
            _expect(not len(wrong), f"{where}: expected probabilities from 0 to 1, found {wrong[:1]}")
    return "all probabilities are finite, from 0 to 1"


def _check_arrays(run: _Run) -> str:
    files = array_files(run.classes)
    for file, column in files.items():
        cells, num_arrays = run.table[column].to_list(), 0
        for array in iterate_npz(run.outputs_dir / file):
            _expect(
                num_arrays >= len(cells) or np.array_equal(array, np.asarray(cells[num_arrays])),
                f"{file}: expected under {str(num_arrays)!r} what {TABLE_FILE} has for it, found other values",
            )
            num_arrays += 1
        _expect(num_arrays == len(cells), f"{file}: expected {len(cells)} arrays, found {num_arrays}")
    return f"the arrays of {len(files)} npz files are the columns of {TABLE_FILE}"


def _check_splits(run: _Run) -> str:
    folds, group_by = run.record["folds"], run.record["group_by"]
    parts = ("train_indices", "validation_indices")
    splits = [Split(*(np.array(fold[part], dtype=np.int64) for part in parts)) for fold in folds]
    examples = run.table[["context", "title"]].to_dict("records")
    check_splits(splits, group_labels(examples, group_by))
    expected = np.full(len(run.table), -1)
    for fold_index, (fold, split) in enumerate(zip(folds, splits, strict=True)):
        _expect(fold["fold"] == fold_index, f"run.json: expected fold {fold_index}, found fold {fold['fold']}")
        expected[split.validation_indices] = fold_index
    for example_index in np.flatnonzero(run.table["fold"] != expected):
        raise AuditError(f"{run.where(example_index)}: expected fold {expected[example_index]}, which held it out")
    parameters = run.record.get("parameters") or {}
    seed, num_made = parameters.get("seed"), len(folds) if run.is_trained else 0
    num_splits = parameters.get("num_splits", num_made)
    _expect(
        num_splits == num_made, f"run.json: expected {num_made} as num_splits, as its folds are, found {num_splits}"
    )
    if not run.is_trained:
        _expect(folds[0]["seed"] is None, f"run.json: expected no seed without training, found {folds[0]['seed']}")
        return "nothing was trained: one checkpoint predicted each example once"
    derived = seed is None or all(fold["seed"] == fold_seed(seed, fold["fold"]) for fold in folds)
    _expect(derived, f"run.json: expected the seeds of the folds to be derived from {seed}")
    group = "example" if group_by == "none" else group_by
    return f"{len(folds)} folds hold each example out once, and no {group} is on both sides of a split"


def _check_folds(run: _Run) -> str:
    for fold in run.record["folds"]:
        _check_fold(run, fold)
    if not run.is_trained:
        return (
            f"the fold in {run.folds_dir.name}/ is whole, and the probabilities are those that the checkpoint predicted"
        )
    count = len(run.record["folds"])
    return f"{count} folds in {run.folds_dir.name}/ are whole, and the probabilities are the ones they predicted"


def _check_fold(run: _Run, fold: dict) -> None:
    folder, rows = run.folds_dir / Path(fold["folder"]).name, run.table.iloc[fold["validation_indices"]]
    title = f"fold {fold['fold']} ({folder})"
    try:
        report = json.loads((folder / "fold.json").read_text(encoding="utf-8"))
        key = fold_key(configuration_of(report))
        predictions = load_fold(folder, key, rows[["context"]].to_dict("records")).predictions
    except (OSError, ValueError, KeyError) as error:
        raise AuditError(f"{title}: {error}; name the folder of the run's folds with --folds") from error
    expected_folder = fold_folder(run.folds_dir, fold["fold"], len(run.record["folds"]), key).name
    _expect(folder.name == expected_folder, f"{title}: expected its configuration under the name {expected_folder}")
    _expect(report["data"] == run.record["data_sha256"], f"{title}: expected a fold of this data, found other data")
    found, expected = report["trainer"].get("checkpoint"), run.record["checkpoint_sha256"]
    _expect(found == expected, f"{title}: expected a fold from the checkpoint of run.json, found another")
    for name in ("seed", "training", "train_indices", "validation_indices"):
        _expect(report[name] == fold[name], f"{title}: expected the {name} of run.json, found others")
    for example_index, prediction in zip(fold["validation_indices"], predictions, strict=True):
        stored = {"char_start": prediction.char_start, "char_end": prediction.char_end}
        for name in run.classes:
            class_column = run.record["label_map"][name]
            stored[f"pred_probs_{name}"] = prediction.pred_probs[:, class_column]
            stored[f"labels_{name}"] = prediction.labels[:, class_column]
        for column, values in stored.items():
            _expect(
                np.array_equal(run.table[column].iloc[example_index], values),
                f"{title}: expected the {column} of {TABLE_FILE} to be what it predicted, found other values in "
                f"{run.where(example_index)}",
            )


def _check_models(run: _Run) -> str:
    return _check_trained_models(run) if run.is_trained else _check_start_checkpoint(run)


def _check_start_checkpoint(run: _Run) -> str:
    (fold,) = run.record["folds"]
    folder = run.folds_dir / Path(fold["folder"]).name
    weights = sorted(file.name for file in folder.rglob("*.safetensors"))
    _expect(not weights, f"{folder}: expected no weights, since nothing was trained, found {weights}")
    seen = json.loads((folder / SEEN_CONTEXTS_FILE).read_text(encoding="utf-8"))
    for example_index in np.flatnonzero(run.table["context"].map(context_hash).isin(seen)):
        raise AuditError(f"{folder}: expected a checkpoint that has not read the context of {run.where(example_index)}")
    if not seen:
        return "the checkpoint lists no context that it has read, so whether it has read the data cannot be seen"
    return f"of the {len(seen):,} contexts that the checkpoint lists as read, none is in the data, in whatever spelling"


def _check_trained_models(run: _Run) -> str:
    hashes = run.table["context"].map(context_hash)
    is_grouped = run.record["group_by"] != "none"
    for fold in run.record["folds"]:
        file = run.folds_dir / Path(fold["folder"]).name / SEEN_CONTEXTS_FILE
        was_seen = hashes.isin(json.loads(file.read_text(encoding="utf-8"))).to_numpy()
        trained_on, held_out = fold["train_indices"], np.array(fold["validation_indices"])
        _expect(was_seen[trained_on].all(), f"{file}: expected the contexts of all {len(trained_on)} training examples")
        for example_index in held_out[was_seen[held_out]] if is_grouped else []:
            raise AuditError(f"fold {fold['fold']}: the model was trained on the context of {run.where(example_index)}")
    if is_grouped:
        return "no model was ever trained on a context that it predicts, in whatever spelling"
    return "each model was trained on the contexts of its training part (with group_by none, contexts are shared)"


def _check_review(run: _Run) -> str:
    file = run.outputs_dir / REVIEW_FILE
    if not file.is_file():
        return "there is no review of this run yet"
    record = json.loads(file.read_text(encoding="utf-8"))
    is_of_run = record[TABLE_FILE] == run.record["files"][TABLE_FILE]
    _expect(is_of_run, f"{file}: expected a review of this run, found one of another; run the second notebook again")
    for name, expected in record["files"].items():
        found = run.outputs_dir / Path(name).name
        # Reviewers fill in the CSV.
        is_whole = found.suffix == ".csv" or (found.is_file() and file_sha256(found) == expected)
        _expect(is_whole, f"{found}: expected the file that {REVIEW_FILE} lists; run the second notebook again")
    issues = pd.read_parquet(run.outputs_dir / "label_issues.parquet")
    indices = list(range(len(run.table)))
    if labels_every_span(run.table):
        indices = _indices_of_spans(run, issues, file)
    elif "given_annotator" in run.table:  # a row for each answer, and one where there is none
        indices = [index for index, given in enumerate(run.table["given_answer"]) for _ in range(max(1, len(given)))]
    _expect(issues["rank"].tolist() == list(range(1, len(indices) + 1)), f"{file}: expected all examples in ranks")
    _expect(sorted(issues["index"]) == indices, f"{file}: expected each example once, or once for each annotator")
    _expect(issues["label_quality"].between(0, 1).all(), f"{file}: expected label qualities from 0 to 1")
    worst_reviews(issues, run.table, len(issues))  # compares ids and answers
    return f"{len(record['files'])} files of the review are of this run; its answers stand where it says"


def _indices_of_spans(run: _Run, issues: pd.DataFrame, file: Path) -> list[int]:
    """Return the example of each row, in order, where every given span has one, and places of missing spans have."""
    of_spans = issues.loc[issues["given_answer"] != "", ["index", "given_start", "given_label", "given_answer"]]
    given = enumerate(zip(*(run.table[name] for name in ("given_start", "given_label", "given_answer")), strict=True))
    expected = {(index, *span) for index, spans in given for span in zip(*spans, strict=True)}
    found = sorted(of_spans.itertuples(index=False, name=None))
    _expect(found == sorted(expected), f"{file}: expected each given span once")
    _expect(set(issues["index"]) == set(range(len(run.table))), f"{file}: expected a row of each example")
    return sorted(issues["index"])


_CHECKS = (
    _check_files, _check_examples, _check_tokens, _check_labels, _check_probabilities, _check_arrays, _check_splits,
    _check_folds, _check_models, _check_review,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what holds, and the first thing that does not; return 0 or 1."""
    parser = argparse.ArgumentParser(prog="span-label-errors audit", description=__doc__.split("\n\n")[0])
    parser.add_argument("outputs_dir", nargs="?", default=project_root() / "outputs", help="what a run has written")
    parser.add_argument("--folds", help="where the run kept its folds, if not where its parameters say")
    options = parser.parse_args(arguments)
    try:
        for statement in audit(options.outputs_dir, options.folds):
            print(f"ok     {statement}")
    except AuditError as error:
        print(f"WRONG  {error}")
        return 1
    return 0
