"""Read public data in which some labels are known to be wrong, because other people judged them, as it is published."""

import hashlib
import json
import re
import string
import tempfile
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from span_label_errors.data.squad import load_squad, validate_examples
from span_label_errors.model.seen_contexts import context_hash
from span_label_errors.spans.text import Span, answers_of, normalized_text, overlaps

AGREEING_F1 = 0.5
FEWEST_ANNOTATORS = 3  # of two, nobody is outvoted
EntitySpan = tuple[int, int, str]  # (char_start, char_end, class)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class RealData:
    """n examples with one given label each, and what other people said about it."""

    kind: str  # "annotators", "entities" or "explanations"
    examples: list[dict]  # in the SQuAD schema
    is_error: np.ndarray  # (n,) bool
    is_measured: np.ndarray  # (n,) bool; the others are trained on, and nobody knows whether they are right
    other_answers: list[list[Span]]  # what other annotators marked; empty where nobody did
    label_map: dict[str, int]
    answers: str  # which answers of an example label tokens, as for `QA`
    corrected: list[list[EntitySpan]] | None = None  # all right spans of entities, where somebody corrected them
    num_read: int = 0  # examples left out because a checkpoint was trained on their context

    def take(self, example_indices: Sequence[int]) -> "RealData":
        """Return the examples of these indices, in this order."""
        rows = list(example_indices)
        return replace(
            self,
            examples=[self.examples[row] for row in rows],
            is_error=self.is_error[rows],
            is_measured=self.is_measured[rows],
            other_answers=[self.other_answers[row] for row in rows],
            corrected=self.corrected and [self.corrected[row] for row in rows],
        )

    def without_contexts(self, seen: Collection[str]) -> "RealData":
        """Leave out the examples on contexts whose `context_hash` is among `seen`, and count them in `num_read`."""
        rows = [
            row for row, example in enumerate(self.examples) if not seen or context_hash(example["context"]) not in seen
        ]
        return replace(self.take(rows), num_read=len(self.examples) - len(rows))


def read_real(path: str | Path) -> RealData:
    """Read a file by its suffix: `.json` by `read_annotators`, `.tsv` by `read_entities`, `.jsonlines` by `read_qed`.

    Raises
    ------
    ValueError
        If the suffix is another, or the file is not of the form that belongs to it.
    """
    readers = {".json": read_annotators, ".tsv": read_entities, ".jsonlines": read_qed}
    reader = readers.get(Path(path).suffix)
    if reader is None:
        raise ValueError(
            f"{path}: expected a file ending in .json (several annotators, SQuAD layout), .tsv (corrected entities) or "
            f".jsonlines (QED), found {Path(path).suffix!r}"
        )
    return reader(path)


def read_annotators(path: str | Path) -> RealData:
    """Read questions that several annotators answered, in SQuAD layout: SQuADShifts, or SQuAD's dev sets.

    Each question is given one annotator's answer: the outvoted one's, where there is one (see `outvoted`), and else one
    that a hash of its id draws. A given answer is an error if it was outvoted, and right if all agree pairwise. Where
    neither holds, where fewer than three people answered, and where the question has no answer, the example is not
    measured.
    """
    examples, is_error, is_measured, other_answers = [], [], [], []
    for example in load_squad(path, on_invalid="drop"):
        spans = answers_of(example)
        minority = outvoted(example["context"], spans)
        given = drawn(example["id"], len(spans)) if minority is None else minority
        examples.append(with_answer(example, given))
        is_error.append(minority is not None)
        all_agree = len(spans) >= FEWEST_ANNOTATORS and agree(example["context"], spans)
        is_measured.append(minority is not None or all_agree)
        other_answers.append([span for number, span in enumerate(spans) if number != given])
    return RealData(
        "annotators", examples, np.array(is_error), np.array(is_measured), other_answers, {"O": 0, "ANS": 1}, "first"
    )


def outvoted(context: str, spans: Sequence[Span]) -> int | None:
    """Return which of three or more answers is outvoted, or None.

    It shares no word and no character position with any other answer, while all the others agree pairwise: their token
    F1 is at least 0.5.
    """
    if len(spans) < FEWEST_ANNOTATORS:
        return None
    for number, span in enumerate(spans):
        others = [other for position, other in enumerate(spans) if position != number]
        stands_alone = not any(
            overlaps(span, other) or token_f1(context[slice(*span)], context[slice(*other)]) for other in others
        )
        if stands_alone and agree(context, others):
            return number
    return None


def agree(context: str, spans: Sequence[Span]) -> bool:
    """Return whether all pairs of answers have a token F1 of at least 0.5."""
    texts = [context[slice(*span)] for span in spans]
    return all(
        token_f1(text, other) >= AGREEING_F1 for number, text in enumerate(texts) for other in texts[number + 1 :]
    )


def answer_words(text: str) -> list[str]:
    """Return the words of an answer as SQuAD's evaluation compares them: lower case, no punctuation, no articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def token_f1(text: str, other: str) -> float:
    """Return the F1 of the words that two answers share, as SQuAD's evaluation does (Rajpurkar et al. 2016)."""
    words, other_words = answer_words(text), answer_words(other)
    if not words or not other_words:
        return float(words == other_words)
    shared = (Counter(words) & Counter(other_words)).total()
    return 2 * shared / (len(words) + len(other_words))


def drawn(example_id: str, count: int) -> int:
    """Return a number from 0 to below `count` that depends on the id alone; 0 if `count` is 0."""
    return int.from_bytes(hashlib.sha256(example_id.encode()).digest()[:8]) % max(count, 1)


def with_answer(example: dict, number: int) -> dict:
    """Return a copy of an example that has only this one of its answers; without answers, it has none."""
    answers = {name: values[number : number + 1] for name, values in example["answers"].items()}
    return {**example, "answers": answers}


def read_entities(path: str | Path) -> RealData:
    """Read sentences whose named entities were corrected later: NoiseBench, or CoNLL++ beside CoNLL-2003.

    A line holds a token, its corrected tag and its given tag, separated by tabs; an empty line ends a sentence, and
    `-DOCSTART-` begins a document. A sentence is an example without a question, and an error if its given spans differ
    from the corrected ones.
    """
    examples = list(load_squad(path))
    with tempfile.TemporaryDirectory() as folder:
        without_given = Path(folder) / Path(path).name
        lines = Path(path).read_text(encoding="utf-8").split("\n")
        without_given.write_text("\n".join(line.rpartition("\t")[0] for line in lines), encoding="utf-8")
        corrected = [given_spans(example) for example in load_squad(without_given)]
    is_error = [given_spans(example) != spans for example, spans in zip(examples, corrected, strict=True)]
    classes = {name for example in examples for name in example["answers"]["label"]}
    classes |= {name for spans in corrected for _, _, name in spans}
    label_map = {name: column for column, name in enumerate(("O", *sorted(classes)))}
    measured, nobody = np.ones(len(examples), dtype=bool), [[] for _ in examples]
    return RealData("entities", examples, np.array(is_error), measured, nobody, label_map, "all", corrected)


def given_spans(example: dict) -> list[EntitySpan]:
    """Return the given spans of an example with their classes."""
    return [(*span, name) for span, name in zip(answers_of(example), example["answers"]["label"], strict=True)]


def without_contexts_of(others: list[dict], examples: Sequence[dict]) -> list[dict]:
    """Return those of the other examples that share no context with any of `examples`."""
    contexts = {normalized_text(example["context"]) for example in examples}
    return [example for example in others if normalized_text(example["context"]) not in contexts]


def read_qed(path: str | Path) -> RealData:
    """Read QED: answers of Natural Questions that other people tried to explain (Lamm et al. 2021).

    Each question is given the answer of one of its annotators, whom a hash of its id draws: the first span, if that
    annotator marked several. It is an error if the explainers found no correct answer in the passage
    (`explanation_type` is `none`). Examples whose answer does not stand where they say are left out, with a warning.
    """
    examples, is_error = [], []
    for number, line in enumerate(Path(path).read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            example_id, annotators = str(row["example_id"]), [spans for spans in row["original_nq_answers"] if spans]
            span = annotators[drawn(example_id, len(annotators))][0]
            examples.append(
                {"id": example_id, "title": row["title_text"], "context": row["paragraph_text"],
                 "question": row["question_text"],
                 "answers": {"text": [span["string"]], "answer_start": [span["start"]]}}
            )  # fmt: skip
            is_error.append(row["annotation"]["explanation_type"] == "none")
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ValueError(
                f"{path}, line {number}: expected an example of QED as published, with original_nq_answers; {error!r}"
            ) from error
    problems = {problem.example_index: problem for problem in validate_examples(examples)}
    if problems:
        first = next(iter(problems.values()))
        warnings.warn(f"{path}: left out {len(problems)} invalid examples, the first: {first}", stacklevel=2)
    rows = [row for row in range(len(examples)) if row not in problems]
    measured, nobody = np.ones(len(examples), dtype=bool), [[] for _ in examples]
    label_map = {"O": 0, "ANS": 1}
    return RealData("explanations", examples, np.array(is_error), measured, nobody, label_map, "first").take(rows)
