"""Measure memory and time of every stage on few long contexts with many questions each, as CUAD has them.

    python benchmarks/long_contexts.py

Makes SQuAD files of contexts of about 15,000 tokens. All contexts have the same questions; two in three have no answer,
and answers are long. A tiny random BERT of 512 positions stands in for the model. The three `--shapes` tell apart what
a question costs (more of them on as many contexts) and what a context costs. Each program of a user is a process of its
own. What was measured goes to `--results`/long_contexts.json, and is printed as tables; the rest stays in `--work`.
"""

import argparse
import json
import re
import shutil
import subprocess  # nosec B404 # runs this program alone
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from load import Stopwatch
from synthetic_squad import TextMaker, write_untrained_bert

from span_label_errors.files import write_file

HERE = Path(__file__).resolve().parent
# (contexts, questions on each): as many questions on more contexts, then more questions on as many contexts.
SHAPES = ("3x35", "13x8", "13x40")
PROGRAMS = ("training", "label errors", "audit")
WORDS_OF_CONTEXT, TRAINING_STEPS = 12_100, 5
LABEL_MAP = {"O": 0, "ANS": 1}
_TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_POSITIONS = 512
_SHARE_ANSWERED = 1 / 3
_ANSWER = 25  # words, at the median


def write_contracts(path: Path, num_contexts: int, num_questions: int, vocabulary: list[str], seed: int = 0) -> None:
    """Write a SQuAD v2.0 file of long contexts, one an article, with the same questions about each."""
    maker, rng, data = TextMaker(vocabulary, seed), np.random.default_rng(seed), []
    questions = [maker.question(maker.context())[0] for _ in range(num_questions)]
    for number in range(num_contexts):
        paragraphs = []
        while sum(paragraph.count(" ") + 1 for paragraph in paragraphs) < WORDS_OF_CONTEXT:
            paragraphs.append(maker.context())
        context = "\n\n".join(paragraphs)
        qas = [
            {"id": f"{number}-{row}", "question": question, "answers": _answers(context, rng)}
            for row, question in enumerate(questions)
        ]
        data.append({"title": f"Contract {number}", "paragraphs": [{"context": context, "qas": qas}]})
    path.write_text(json.dumps({"version": "v2.0", "data": data}, ensure_ascii=False), encoding="utf-8")


def _answers(context: str, rng: np.random.Generator) -> list[dict]:
    if rng.random() >= _SHARE_ANSWERED:
        return []
    words = [match.span() for match in re.finditer(r"\S+", context)]
    length = int(np.clip(_ANSWER * np.exp(0.9 * rng.standard_normal()), 1, 10 * _ANSWER))
    first = int(rng.integers(len(words) - length + 1))
    char_start, char_end = words[first][0], words[first + length - 1][1]
    return [{"text": context[char_start:char_end], "answer_start": char_start}]


# What each program does


def run_training(data: Path, checkpoint: Path, outputs: Path) -> Stopwatch:
    """Train one model in a few steps, and let the checkpoint predict all examples as it is."""
    from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
    from span_label_errors.data.shared_contexts import with_shared_contexts
    from span_label_errors.data.squad import load_squad
    from span_label_errors.model.windows import build_windows, tokenize_examples
    from span_label_errors.results.write import write_outputs
    from spanbert import QA, QATrainer

    watch = Stopwatch()
    with watch.stage("load_squad"):
        dataset = load_squad(data)
    trainer = QATrainer(QA(checkpoint), _POSITIONS, LABEL_MAP)
    with watch.stage("tokenize"):
        examples = list(with_shared_contexts(dataset))
        tokenized = tokenize_examples(trainer.qa.tokenizer, examples, LABEL_MAP, max_length=_POSITIONS)
    with watch.stage("windows"):
        windows = build_windows(tokenized, trainer.qa.template, max_length=_POSITIONS, doc_stride=trainer.doc_stride)
    num_tokens, num_windows = [len(example.context.token_ids) for example in tokenized], len(windows)
    del examples, tokenized, windows
    with watch.stage("train"):
        trainer.train(dataset, outputs / "model", max_steps=TRAINING_STEPS)
    with watch.stage("predict"):
        out_of_fold = out_of_fold_predictions(dataset, trainer, num_splits=0, folds_dir=outputs / "folds")
    with watch.stage("write_outputs"):
        write_outputs(outputs, dataset, out_of_fold, {"dataset": str(data), "num_splits": 0}, seconds=0.0)
    print(f"{sum(num_tokens) / len(num_tokens):,.0f} tokens a context, {num_windows:,} windows", file=sys.stderr)
    return watch


def run_label_errors(outputs: Path) -> Stopwatch:
    """Find label errors and write the files for a review."""
    from span_label_errors.quality.label_errors import find_label_errors
    from span_label_errors.results.read import read_outputs
    from span_label_errors.review.write import write_review_files

    watch = Stopwatch()
    with watch.stage("read_outputs"):
        table, _ = read_outputs(outputs)
    with watch.stage("find_label_errors"):
        found = find_label_errors(table)
    with watch.stage("write_review_files"):
        write_review_files(outputs, found, table)
    return watch


def run_audit(outputs: Path) -> Stopwatch:
    """Audit the outputs."""
    from span_label_errors.commands.audit import audit

    watch = Stopwatch()
    with watch.stage("audit"):
        print(*audit(outputs, outputs / "folds"), sep="\n")
    return watch


def measure(program: str, data: Path, checkpoint: Path, outputs: Path) -> dict:
    """Run one program's stages in this process."""
    if program == PROGRAMS[0]:
        watch = run_training(data, checkpoint, outputs)
    else:
        watch = run_label_errors(outputs) if program == PROGRAMS[1] else run_audit(outputs)
    return {"stages": watch.stages, "baseline_mib": watch.baseline_mib}


def measured(shape: str, work: Path, programs: list[str]) -> dict:
    """Run the programs on data of one shape, each in a process of its own."""
    data, outputs = work / f"contracts-{shape}.json", work / f"outputs-{shape}"
    if PROGRAMS[0] in programs:
        shutil.rmtree(outputs, ignore_errors=True)
        outputs.mkdir(parents=True)
    num_contexts, num_questions = map(int, shape.split("x"))
    run = {"contexts": num_contexts, "questions": num_contexts * num_questions, "data_bytes": data.stat().st_size}
    for program in programs:
        record = outputs / "measured.json"
        start_again("--program", program, str(data), str(work / "tiny_reader"), str(outputs), str(record))
        run[program] = json.loads(record.read_text(encoding="utf-8"))
        record.unlink()
    run["files"] = {file.name: file.stat().st_size for file in sorted(outputs.iterdir()) if file.is_file()}
    return run


def start_again(*arguments: str) -> None:
    """Run this program in a process of its own, so that no memory of another run is counted."""
    subprocess.run([sys.executable, __file__, *arguments], check=True)  # noqa: S603 # nosec B603 # this program itself


def write_tiny_reader(folder: Path, bert: Path) -> list[str]:
    """Train an untrained BERT in one step on a made-up example, so that it has a head; return its vocabulary."""
    from spanbert import QA, QATrainer

    vocabulary = write_untrained_bert(bert, max_position_embeddings=_POSITIONS, **_TINY)
    context = "The agreement ends in June."
    read = {
        "id": "read", "title": "", "context": context, "question": "When does it end?",
        "answers": {"text": ["June"], "answer_start": [context.index("June")]},
    }  # fmt: skip
    QATrainer(QA(bert, max_length=_POSITIONS), _POSITIONS, LABEL_MAP).train([read], folder, max_steps=1)
    return vocabulary


# Tables


def tables(runs: list[dict]) -> list[pd.DataFrame]:
    """Return seconds and peak memory of each stage, memory of a question and of a context, and sizes of the files.

    Of three runs: the second has as many questions as the first on more contexts, the third more questions on as many.
    """
    few, many_contexts, many_questions = runs
    rows = []
    for program in [name for name in PROGRAMS if name in few]:
        for stage in few[program]["stages"]:
            peaks = [run[program]["stages"][stage]["peak_mib"] - run[program]["baseline_mib"] for run in runs]
            more_contexts = many_contexts["contexts"] - few["contexts"]
            more_questions = many_questions["questions"] - many_contexts["questions"]
            rows.append(
                {
                    "program": program,
                    "stage": stage,
                    **{
                        f"{run['contexts']} x {run['questions'] // run['contexts']}, MiB": peak
                        for run, peak in zip(runs, peaks, strict=True)
                    },
                    "KiB a context": 1024 * (peaks[1] - peaks[0]) / more_contexts,
                    "KiB a question": 1024 * (peaks[2] - peaks[1]) / more_questions,
                    "wall s of the last": many_questions[program]["stages"][stage]["wall_seconds"],
                }
            )
    sizes = pd.DataFrame(
        {f"{run['contexts']} x {run['questions'] // run['contexts']}": pd.Series(run["files"]) for run in runs}
    )
    return [pd.DataFrame(rows).set_index(["program", "stage"]), sizes.rename_axis("bytes")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs=3, default=list(SHAPES), help="contexts x questions on each")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--work", type=Path, default=HERE / "runs" / "long_contexts", help="where data and outputs go")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    # What this program starts itself with.
    parser.add_argument("--program", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.program:
        program, *paths = arguments.program
        data, checkpoint, outputs, record = map(Path, paths)
        record.write_text(json.dumps(measure(program, data, checkpoint, outputs)), encoding="utf-8")
        return

    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tiny_reader(work / "tiny_reader", work / "tiny_bert")
    runs = []
    for shape in arguments.shapes:
        write_contracts(work / f"contracts-{shape}.json", *map(int, shape.split("x")), vocabulary)
        runs.append(measured(shape, work, arguments.programs))
    arguments.results.mkdir(parents=True, exist_ok=True)
    write_file(arguments.results / "long_contexts.json", json.dumps(runs, indent=1))
    for table in tables(runs):
        print(table.to_string(float_format="{:,.1f}".format), end="\n\n")


if __name__ == "__main__":
    main()
