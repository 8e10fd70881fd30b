"""How the texts of spans are labelled elsewhere in a data set: what is Paris here is seldom a person there."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from span_label_errors.spans.text import Span, word_spans

_Counts = dict[str, np.ndarray]  # by text, how often it is labelled with each of K classes, and how often it stands


class LabelMemory:
    """Counts how often the texts that are labelled anywhere have which label.

    Texts that differ in case or white space are one. What the paragraph of an example says never counts for it.

    Parameters
    ----------
    contexts, titles, paragraphs : sequences of length n
        Of each example its context, the name of its document, and the number of its paragraph.
    answers : sequence of list of (span, class_index), length n
        The given spans.
    num_classes : int
        K.
    """

    def __init__(
        self,
        contexts: Sequence[str],
        titles: Sequence[str],
        paragraphs: Sequence[int],
        answers: Sequence[list[tuple[Span, int]]],
        num_classes: int,
    ):
        self._nothing = np.zeros(num_classes + 1)
        self._of_data: _Counts = {}
        self._of_document: dict[str, _Counts] = defaultdict(dict)
        self._of_paragraph: dict[tuple[str, int], _Counts] = defaultdict(dict)
        self._of_paragraphs: dict[int, _Counts] = defaultdict(dict)
        self._has_documents = len(set(titles)) > 1
        texts = {key_of(context, span) for context, spans in zip(contexts, answers, strict=True) for span, _ in spans}
        longest = max((len(text.split(" ")) for text in texts), default=0)
        for context, title, paragraph, spans in zip(contexts, titles, paragraphs, answers, strict=True):
            places = (
                self._of_data, self._of_document[title], self._of_paragraph[title, paragraph],
                self._of_paragraphs[paragraph],
            )  # fmt: skip
            found = [(key_of(context, span), class_index) for span, class_index in spans]
            found += [(text, num_classes) for text in _occurring(context, texts, longest)]
            for text, column in found:
                for counts in places:
                    counts.setdefault(text, self._nothing.copy())[column] += 1

    def elsewhere(self, text: str, paragraph: int) -> np.ndarray:
        """Return how often a text has each class in other paragraphs, and how often it stands there, shape (K + 1,)."""
        return self._of_data.get(text, self._nothing) - self._of_paragraphs[paragraph].get(text, self._nothing)

    def in_document(self, text: str, title: str, paragraph: int) -> np.ndarray:
        """Return the same of the other paragraphs of a document; nothing where the data is one document."""
        if not self._has_documents:
            return self._nothing
        of_paragraph = self._of_paragraph.get((title, paragraph), {})
        return self._of_document[title].get(text, self._nothing) - of_paragraph.get(text, self._nothing)


def key_of(context: str, span: Span) -> str:
    """Return what a span is remembered by."""
    return " ".join(context[slice(*span)].split()).casefold()


def _occurring(context: str, texts: set[str], longest: int) -> list[str]:
    """Return the texts that stand in a context, each as often as it does, as whole words."""
    words = word_spans(context)
    found = []
    for first, (start, _) in enumerate(words):
        for _, end in words[first : first + longest]:
            text = key_of(context, (start, end))
            if text in texts:
                found.append(text)
    return found
