"""Answers, decisions about them, and when two answers are one."""

from typing import NamedTuple

from span_label_errors.spans.text import Span


class Answer(NamedTuple):
    """A span of a context; what a reviewer left open is None."""

    text: str
    char_start: int | None = None
    class_name: str | None = None

    @property
    def span(self) -> Span:
        """`char_start` and `char_end`."""
        return self.char_start, self.char_start + len(self.text)


class Decision(NamedTuple):
    """What a reviewer decided about an example, or about one place of it where every span is labelled."""

    id: str
    given: tuple[Answer, ...]  # the answers under review, with their offsets; empty for a question without one
    correct: tuple[Answer, ...]  # what replaces them: `given` itself if confirmed, nothing for no answer
    example_index: int | None = None  # where a spreadsheet says that the example stands; the id is what counts
    # The characters that were decided about, whatever else stands in the example. None: the whole example.
    place: Span | None = None


def same_answer(answer: Answer, other: Answer) -> bool:
    """Return whether two answers are one; a missing class matches every class."""
    return answer[:2] == other[:2] and (not (answer.class_name and other.class_name) or answer[2] == other[2])


def answer_entry(answer: Answer) -> dict:
    """Return an answer as a SQuAD file has it, with `label` if it has a class."""
    entry = {"text": answer.text, "answer_start": answer.char_start}
    return entry if answer.class_name is None else {**entry, "label": answer.class_name}
