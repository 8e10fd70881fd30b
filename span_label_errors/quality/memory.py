"""How the texts of spans are labelled elsewhere in a data set: what is Paris here is seldom a person there."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np

from span_label_errors.spans.text import Span, word_spans


class LabelMemory:
    """Counts how often the texts that are labelled anywhere have which label.

    Texts that differ in case or white space are one, and have a number. What the paragraph of an example says never
    counts for it.

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
        labelled = [
            [key_of(context, span) for span, _ in spans] for context, spans in zip(contexts, answers, strict=True)
        ]
        texts = sorted({text for of_example in labelled for text in of_example})
        self._number_of = {text: number for number, text in enumerate(texts)}
        occurring = {context: _occurring(context, texts) for context in dict.fromkeys(contexts)}
        # Column K counts where a text stands, labelled or not.
        example, number, column = [], [], []
        for index, (context, of_example, spans) in enumerate(zip(contexts, labelled, answers, strict=True)):
            number += [*map(self._number_of.get, of_example), *occurring[context]]
            column += [*(class_index for _, class_index in spans), *[num_classes] * len(occurring[context])]
            example += [index] * (len(number) - len(example))

        def counted(group_of: np.ndarray) -> "_Counts":
            return _Counts(group_of, np.array(example, dtype=int), number, column, (len(texts), num_classes + 1))

        document_of = {title: document for document, title in enumerate(dict.fromkeys(titles))}
        document, paragraph = np.array([document_of[title] for title in titles]), np.array(paragraphs)
        self._of_data, self._of_paragraph = counted(np.zeros_like(paragraph)), counted(paragraph)
        self._has_documents = len(document_of) > 1
        if self._has_documents:
            self._of_document = counted(document)
            self._of_paragraph_in_document = counted(document * (paragraph.max() + 1) + paragraph)

    def numbers_of(self, texts: Iterable[str]) -> np.ndarray:
        """Return the numbers of texts, as `key_of` has them; -1 for one that is labelled nowhere."""
        return np.array([self._number_of.get(text, -1) for text in texts], dtype=np.int64)

    def elsewhere(self, number: np.ndarray, example_index: np.ndarray) -> np.ndarray:
        """Return how often texts are labelled and stand in other paragraphs than those of some examples.

        Parameters
        ----------
        number, example_index : ndarray of shape (S,)

        Returns
        -------
        ndarray of shape (S, K + 1)
            How often each text has each class, and how often it stands there.
        """
        return self._of_data.of(number, example_index) - self._of_paragraph.of(number, example_index)

    def in_document(self, number: np.ndarray, example_index: np.ndarray) -> np.ndarray:
        """Return the same of the other paragraphs of a document; nothing where the data is one document."""
        if not self._has_documents:
            return np.zeros_like(self._of_data.of(number, example_index))
        own = self._of_paragraph_in_document.of(number, example_index)
        return self._of_document.of(number, example_index) - own


class _Counts:
    """How often each of T texts has each of K classes, and stands anywhere, in each group of examples."""

    def __init__(
        self, group_of: np.ndarray, example: np.ndarray, number: list[int], column: list[int], shape: tuple[int, int]
    ):
        (self._num_texts, num_columns), self._group_of = shape, group_of
        self._keys, row = np.unique(self._key_of(np.array(number, dtype=int), example), return_inverse=True)
        # The last row is of what is found nowhere.
        self._counts = np.zeros((len(self._keys) + 1, num_columns), dtype=np.int32)
        np.add.at(self._counts, (row, column), 1)

    def of(self, number: np.ndarray, example_index: np.ndarray) -> np.ndarray:
        """Return the counts of texts in the groups of some examples, of shape (S, K + 1)."""
        wanted = self._key_of(number, example_index)
        row = np.searchsorted(self._keys, wanted)
        is_found = np.append(self._keys, -1)[row] == wanted
        return self._counts[np.where(is_found & (number >= 0), row, len(self._keys))]

    def _key_of(self, number: np.ndarray, example_index: np.ndarray) -> np.ndarray:
        return self._group_of[example_index] * self._num_texts + number


def key_of(context: str, span: Span) -> str:
    """Return what a span is remembered by."""
    return " ".join(context[slice(*span)].split()).casefold()


def _occurring(context: str, texts: Sequence[str]) -> list[int]:
    """Return the positions in sorted texts of those that stand in a context, each as often as it stands there."""
    words, found = word_spans(context), []
    for first, (start, _) in enumerate(words):
        for _, end in words[first:]:
            text = key_of(context, (start, end))
            at = bisect_left(texts, text)
            # Behind it stand all that begin like it.
            if at == len(texts) or not texts[at].startswith(text):
                break
            if texts[at] == text:
                found.append(at)
    return found
